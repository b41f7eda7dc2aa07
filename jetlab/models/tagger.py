"""A tagger: a backbone with a classifier head and the names of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.features import Recipe
from jetlab.models.heads import ClassifierHead
from jetlab.models.particlenet import ParticleNet, ParticleNetConfig
from jetlab.vocabulary import CLASSES

__all__ = ["Tagger", "TaggerConfig"]

BACKBONES = {"particlenet": (ParticleNetConfig, ParticleNet)}
"""Configuration and class of each backbone that a tagger can stand on."""


@dataclass(frozen=True)
class TaggerConfig:
    """Configuration of a `Tagger`: that of its backbone, the hidden layers of its head and the names of the classes."""

    backbone: ParticleNetConfig
    hidden: tuple[int, ...] = (256,)
    dropout: float = 0.1
    classes: tuple[str, ...] = CLASSES

    @property
    def backbone_name(self) -> str:
        """Name of the backbone in `BACKBONES`."""
        return next(name for name, (config, _) in BACKBONES.items() if type(self.backbone) is config)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self) | {"backbone": {"name": self.backbone_name, "config": self.backbone.to_dict()}}

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> TaggerConfig:
        """Rebuild from `to_dict`."""
        config, _ = BACKBONES[entries["backbone"]["name"]]
        return TaggerConfig(
            config.from_dict(entries["backbone"]["config"]),
            tuple(entries["hidden"]),
            entries["dropout"],
            tuple(entries["classes"]),
        )


class Tagger(nn.Module):
    """Jets to class logits.

    Parameters
    ----------
    config : TaggerConfig
    """

    def __init__(self, config: TaggerConfig) -> None:
        super().__init__()
        self.config = config
        _, backbone = BACKBONES[config.backbone_name]
        self.backbone = backbone(config.backbone)
        self.head = ClassifierHead(
            config.backbone.width, len(config.classes), hidden=config.hidden, dropout=config.dropout
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.config.classes

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.config.backbone.recipe

    def forward(self, batch: ParticleBatch) -> Tensor:
        """Logits, shape ``(B, classes)``."""
        return self.head(self.backbone.encode(batch))

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Tagger:
        """Untrained model of the architecture in `config_dict`."""
        return Tagger(TaggerConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
