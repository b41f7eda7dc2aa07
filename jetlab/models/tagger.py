"""A tagger: a backbone with a classifier head and the names of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from jetlab.batches import Batch, ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import Recipe
from jetlab.jets import Events
from jetlab.models.deepsets import DeepSets, DeepSetsConfig
from jetlab.models.encoding import EncodedBatch
from jetlab.models.event_encoder import EventEncoder, EventEncoderConfig
from jetlab.models.heads import HEADS
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.part import ParT, PartConfig
from jetlab.models.particle_transformer import ParticleTransformer, ParticleTransformerConfig
from jetlab.models.particlenet import ParticleNet, ParticleNetConfig
from jetlab.models.pet import PET, PETConfig
from jetlab.models.pet2 import PET2, PET2Config
from jetlab.models.reader import JetReader, JetReaderConfig
from jetlab.models.sequences import SequenceBackbone, SequenceConfig
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.models.event_batches import EventSet
    from jetlab.models.tokenizers import VQVAE, BinnedTokenizer
    from jetlab.models.tokens import SequenceSet

__all__ = ["BACKBONES", "BackboneConfig", "Tagger", "TaggerConfig"]


class BackboneConfig(Protocol):
    """What the configuration of every backbone offers."""

    @property
    def width(self) -> int:
        """Of the encoding."""
        ...

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        ...


BACKBONES: dict[str, tuple[Any, Any]] = {
    "particlenet": (ParticleNetConfig, ParticleNet),
    "part": (PartConfig, ParT),
    "deepsets": (DeepSetsConfig, DeepSets),
    "transformer": (ParticleTransformerConfig, ParticleTransformer),
    "pet": (PETConfig, PET),
    "pet2": (PET2Config, PET2),
    "jet-reader": (JetReaderConfig, JetReader),
    "sequence": (SequenceConfig, SequenceBackbone),
    "jepa": (JetEncoderConfig, JetEncoder),
    "event": (EventEncoderConfig, EventEncoder),
}
"""Configuration and class of each backbone that a tagger can stand on."""


@dataclass(frozen=True)
class TaggerConfig:
    """Configuration of a `Tagger`.

    Parameters
    ----------
    backbone : BackboneConfig
        One of those in `BACKBONES`.
    hidden : tuple of int
        Widths of the hidden layers of the head.
    dropout : float
        In the head.
    classes : tuple of str
    head : str
        Name in `jetlab.models.heads.HEADS`.
    """

    backbone: BackboneConfig
    hidden: tuple[int, ...] = (256,)
    dropout: float = 0.1
    classes: tuple[str, ...] = CLASSES
    head: str = "mlp"

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
            entries.get("head", "mlp"),
        )


class Tagger(nn.Module):
    """Jets to class logits; events, if it stands on an `EventEncoder`.

    Parameters
    ----------
    config : TaggerConfig
    """

    def __init__(self, config: TaggerConfig) -> None:
        super().__init__()
        self.config = config
        _, backbone = BACKBONES[config.backbone_name]
        self.backbone = backbone(config.backbone)
        self.head = HEADS[config.head](
            config.backbone.width, len(config.classes), hidden=config.hidden, dropout=config.dropout
        )

    @classmethod
    def on(
        cls,
        backbone: nn.Module,
        classes: tuple[str, ...],
        *,
        head: str = "mlp",
        hidden: tuple[int, ...] = (256,),
        dropout: float = 0.1,
    ) -> Tagger:
        """Put a new head on a backbone, which is taken over as it is, weights and all."""
        made = cls(TaggerConfig(backbone.config, hidden, dropout, tuple(classes), head))  # type: ignore[arg-type]
        made.backbone = backbone
        return made

    def use(self, tokenizer: VQVAE | BinnedTokenizer) -> None:
        """Take this tokenizer, for a tagger of token sequences that came without its own, so that it reads jets.

        Raises
        ------
        JetLabError
            If the tagger reads no codes, or codes of another tokenizer.
        """
        if not isinstance(self.backbone, SequenceBackbone):
            msg = f"a tagger on a {self.config.backbone_name} reads constituents, not codes; it needs no tokenizer"
            raise JetLabError(msg)
        self.backbone.use(tokenizer)
        self.config = replace(self.config, backbone=self.backbone.config)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.config.classes

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.config.backbone.recipe

    def prepare(self, jets: Jets | Events) -> ParticleSet | SequenceSet | EventSet:
        """Jets as the backbone reads them, or events, from which batches of any rows are cut.

        Raises
        ------
        InvalidJetsError
            If a tagger of jets is given events, or the other way round.
        """
        if isinstance(self.backbone, EventEncoder):
            return self.backbone.prepare(jets)
        if isinstance(jets, Events):
            msg = "this tagger reads jets, found Events; give it events.flattened(), or take a tagger of events"
            raise InvalidJetsError(msg)
        if isinstance(self.backbone, SequenceBackbone | JetReader):
            return self.backbone.prepare(jets)
        read = self.config.backbone
        return ParticleSet(jets, self.recipe, p4=getattr(read, "needs_p4", False), subjets=getattr(read, "subjets", 0))

    def forward(self, batch: Batch) -> Tensor:
        """Logits, shape ``(B, classes)``, of jets, token sequences or encodings that the backbone made before."""
        return self.head(batch.encoding if isinstance(batch, EncodedBatch) else self.backbone.encode(batch))

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Tagger:
        """Untrained model of the architecture in `config_dict`."""
        return Tagger(TaggerConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
