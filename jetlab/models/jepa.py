"""HEP-JEPA (arXiv:2502.03933): one encoder sees part of a jet and predicts what another makes of the rest.

The encoder that learns is shown some tokens. From them, and from where hidden tokens lie, a smaller network predicts
what the second encoder, a running average of the first, makes of those when it sees the whole jet. Nothing is
reconstructed and no class is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.masking import MaskedBatch, MaskedSet, Masking
from jetlab.models.blocks import mlp
from jetlab.models.encoding import Encoding
from jetlab.models.following import Following, Predicted
from jetlab.models.jepa_encoder import Block, JetEncoder, JetEncoderConfig, TokenKind
from jetlab.models.pet2 import hidden_keys
from jetlab.models.slots import at_slots, first_slots

if TYPE_CHECKING:
    from jetlab.features import Recipe
    from jetlab.features.augment import Augmentations
    from jetlab.jets import Jets

__all__ = ["Jepa", "JepaConfig", "Predicted", "Predictor"]


@dataclass(frozen=True)
class JepaConfig:
    """Configuration of a `Jepa`; `preset` gives named ones.

    Parameters
    ----------
    encoder : JetEncoderConfig
        Of both encoders.
    masking : Masking
    width, depth, heads : int
        Of the predictor.

    Raises
    ------
    ValueError
        If the width cannot be split into the heads.
    """

    encoder: JetEncoderConfig = field(default_factory=JetEncoderConfig)
    masking: Masking = field(default_factory=Masking)
    width: int = 32
    depth: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            msg = f"predictor width {self.width} cannot be split into {self.heads} heads; choose a multiple of them"
            raise ValueError(msg)

    @staticmethod
    def preset(
        name: str,
        *,
        tokens: TokenKind = "particles",
        physics_bias: bool = True,
        registers: int = 0,
        recipe: Recipe | None = None,
        masking: Masking | None = None,
    ) -> JepaConfig:
        """Model on a preset of `JetEncoderConfig`, with a predictor of half its width and depth.

        Parameters
        ----------
        name : str
        tokens, physics_bias, registers, recipe
            As for `JetEncoderConfig`.
        masking : Masking, optional
        """
        given: dict[str, Any] = {} if recipe is None else {"recipe": recipe}
        c = JetEncoderConfig.preset(name, tokens=tokens, physics_bias=physics_bias, registers=registers, **given)
        return JepaConfig(c, masking or Masking(), c.width // 2, c.depth // 2, c.heads)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> JepaConfig:
        """Rebuild from `to_dict`."""
        parts = {
            "encoder": JetEncoderConfig.from_dict(entries["encoder"]),
            "masking": Masking.from_dict(entries["masking"]),
        }
        return JepaConfig(**{**entries, **parts})


class Predictor(nn.Module):
    """Predicts tokens from others and from where they are: a transformer with a learned vector in place of each.

    Parameters
    ----------
    encoded : int
        Width of the tokens.
    width, depth, heads : int
        Of the transformer.
    places : int
        Numbers that say where a token is; see `where`.
    """

    def __init__(self, encoded: int, *, width: int, depth: int, heads: int, places: int = 2) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(encoded, width), nn.Linear(width, encoded)
        self.place = mlp(places, width, width)
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def where(self, directions: Tensor) -> Tensor:
        """What is known of tokens in these directions ``(B, T, 2)``, shape ``(B, T, W)``."""
        return self.place(directions / 0.2)

    def forward(self, context: Encoding, directions: Tensor, hidden: Tensor) -> Tensor:
        """Predict the tokens of each target separately.

        Parameters
        ----------
        context : Encoding
            Tokens that are shown, ``(B, T, D)``.
        directions : Tensor, shape (B, T, 2)
            Rapidity and azimuth of all tokens.
        hidden : Tensor of bool, shape (B, K, T)

        Returns
        -------
        Tensor, shape (m, D)
            Tokens with a True in `hidden`, in its order.
        """
        goes = hidden.shape[1]
        where = self.where(directions)  # (B, T, W)
        slots, known = first_slots(context.mask)
        seen = self.enter(at_slots(context.particles, slots)) + at_slots(where, slots)  # (B, c, W)
        asked, wanted = first_slots(hidden.flatten(0, 1))  # (B K, t)
        asking = self.token + at_slots(where.repeat_interleave(goes, 0), asked)
        x = torch.cat([seen.repeat_interleave(goes, 0), asking], 1)  # (B K, c + t, W)
        first = torch.arange(known.shape[1], device=known.device) == 0  # seen also where a jet is empty
        bias = hidden_keys(torch.cat([(known | first).repeat_interleave(goes, 0), wanted], 1))
        for block in self.blocks:
            x = block(x, bias)
        return self.leave(self.norm(x[:, seen.shape[1] :][wanted]))


class Jepa(Following[JetEncoder]):
    """Two encoders and a predictor; the second encoder is what is kept of the training.

    Parameters
    ----------
    config : JepaConfig
    """

    def __init__(self, config: JepaConfig) -> None:
        super().__init__(JetEncoder(config.encoder))
        self.config = config
        self.predictor = Predictor(config.encoder.width, width=config.width, depth=config.depth, heads=config.heads)

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.config.encoder.recipe

    def prepare(self, jets: Jets, *, seed: int = 0, augment: Augmentations | None = None) -> MaskedSet:
        """Jets as the model reads them, from which batches of any rows are cut, with masks.

        Parameters
        ----------
        jets : Jets
        seed : int
            Of masks and augmentations.
        augment : Augmentations, optional
        """
        particles = ParticleSet(jets, self.recipe, subjets=self.config.encoder.subjets)
        return MaskedSet(particles, self.config.masking, places=self.context.places, seed=seed, augment=augment)

    def encode(self, batch: ParticleBatch) -> Encoding:
        """What the second encoder makes of whole jets."""
        return self.target.encode(batch)

    def forward(self, masked: MaskedBatch) -> Predicted:
        """Predict the hidden tokens of jets from those that are shown."""
        context = self.context.encode(masked.batch, visible=masked.context)
        directions = self.context.places(masked.batch).momenta[..., 1:3]
        predicted = self.predictor(context, directions, masked.targets)
        with torch.no_grad():
            whole = self.target.encode(masked.batch)
        return Predicted.of(predicted, whole, masked.targets, context)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Jepa:
        """Untrained model of the architecture in `config_dict`."""
        return Jepa(JepaConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
