"""PET, the Point-Edge Transformer of OmniLearn (arXiv:2404.16091): neighbourhoods, then attention among all particles.

Two functions share the weights. The published one norms over padded slots too, and attends to them, so that its outputs
depend on the number of slots, which is kept in the configuration. The other one looks at real particles only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import PET_RECIPE, Recipe
from jetlab.models.blocks import mlp
from jetlab.models.encoding import Encoding
from jetlab.models.pet_layers import LocalEmbedding, PETBlock, TimeEmbedding

__all__ = ["PET", "PETConfig", "in_slots", "pooled"]


@dataclass(frozen=True)
class PETConfig:
    """Sizes and options of a `PET`; `preset` gives named ones.

    Parameters
    ----------
    width, depth, heads : int
        Of the transformer.
    neighbours : int
        Nearest particles that a local embedding looks at.
    local : int
        Local embeddings one after the other: the first in the plane of the jet, the others in the features of the one
        before. 0 leaves them out.
    layer_scale : float, optional
        What the scales of residuals start from; None leaves the scales out.
    talking_heads : bool
        Mix the heads of attention.
    dropout, drop_path : float
        In feed-forward layers, and share of jets whose residuals are left out (stochastic depth); in training.
    feature_drop : float
        Share of jets of which only the first `kept_features` inputs are shown, in training, so that the model can do
        without the others.
    kept_features : int
        Inputs that are always shown.
    normalise_padding : bool
        Norm over padded slots and attend to them, as published.
    slots : int, optional
        Particles to which every jet is padded, for `normalise_padding`.
    recipe : Recipe
        Inputs; those called ``deta`` and ``dphi`` are the coordinates of neighbourhoods.
    """

    width: int = 128
    depth: int = 8
    heads: int = 4
    neighbours: int = 10
    local: int = 2
    layer_scale: float | None = 1e-5
    talking_heads: bool = False
    dropout: float = 0.0
    drop_path: float = 0.0
    feature_drop: float = 0.1
    kept_features: int = 7
    normalise_padding: bool = False
    slots: int | None = None
    recipe: Recipe = PET_RECIPE

    def __post_init__(self) -> None:
        if self.normalise_padding and (self.slots is None or self.slots <= self.neighbours):
            msg = f"norms over padding need slots, more than the {self.neighbours} neighbours; found {self.slots}"
            raise ValueError(msg)

    @staticmethod
    def preset(name: str) -> PETConfig:
        """``published``: the function and the sizes of OmniLearn; ``small``: the same on real particles; ``tiny``."""
        presets = {
            "published": PETConfig(normalise_padding=True, slots=150),
            "small": PETConfig(),
            "tiny": PETConfig(width=32, depth=2, heads=2, neighbours=5, layer_scale=1e-2),
        }
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        return presets[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> PETConfig:
        """Rebuild from `to_dict`."""
        return PETConfig(**{**entries, "recipe": Recipe.from_dict(entries["recipe"])})


class PET(nn.Module):
    """Backbone whose particles know their neighbourhoods before they attend to each other; the jet is their mean.

    Parameters
    ----------
    config : PETConfig
    """

    def __init__(self, config: PETConfig) -> None:
        super().__init__()
        self.config = c = config
        self.place = [c.recipe.column("deta"), c.recipe.column("dphi")]
        self.embed = mlp(c.recipe.width, 2 * c.width, c.width)
        self.time = TimeEmbedding(c.width)
        self.film = nn.Linear(c.width, 2 * c.width, bias=False)
        self.local = nn.ModuleList(
            LocalEmbedding(c.width if i else c.recipe.width, c.width, c.neighbours) for i in range(c.local)
        )
        self.blocks = nn.ModuleList(
            PETBlock(
                c.width,
                c.heads,
                scale=c.layer_scale,
                talking=c.talking_heads,
                dropout=c.dropout,
                drop_path=c.drop_path,
            )
            for _ in range(c.depth)
        )

    def encode(self, batch: ParticleBatch, time: Tensor | None = None, cond: Tensor | None = None) -> Encoding:
        """Encode the particles of the recipe's inputs ``(B, N, F)``, and the jets; an empty jet is zero.

        Parameters
        ----------
        batch : ParticleBatch
        time : Tensor, shape (B,), optional
            How noisy the jets are; 0 if not given.
        cond : Tensor, optional
            Refused: only the heads of this model read numbers about jets.

        Raises
        ------
        JetLabError
            If `cond` is given.
        InvalidJetsError
            If there are more particles than slots.
        """
        if cond is not None:
            msg = "PET takes no numbers about the jet: its heads do. Put them into the batch of an OmniLearn as cond"
            raise JetLabError(msg)
        x, mask = self.padded(batch.x, batch.mask)
        particles = in_slots(self.run(x, mask, time), batch.mask)
        return Encoding(particles, pooled(particles, batch.mask), batch.mask)

    def seen(self, mask: Tensor) -> Tensor | None:
        """Slots that norms and attention look at, ``(B, N)``; None for all."""
        return None if self.config.normalise_padding else mask

    def padded(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs ``(B, N, F)`` and mask ``(B, N)`` with as many slots as the function asks for, zero where padded.

        Raises
        ------
        InvalidJetsError
            If there are more particles than slots.
        """
        x = x * mask[..., None]
        slots = self.config.slots if self.config.normalise_padding else None
        if slots is None:
            return x, mask
        missing = slots - mask.shape[1]
        if missing < 0 and mask[:, slots:].any():
            msg = (
                f"a jet reaches to slot {int(mask.any(0).nonzero().max()) + 1}, but this model was made for {slots}: "
                "keep the hardest ones, as its recipe does"
            )
            raise InvalidJetsError(msg)
        return _with_slots(x, slots), nn.functional.pad(mask, (0, missing))

    def run(self, x: Tensor, mask: Tensor, time: Tensor | None = None) -> Tensor:
        """All slots ``(B, N, D)`` after the last block, padding too, from inputs of `padded`."""
        h = self.embedded(x, mask, time)
        first = h
        for block in self.blocks:
            h = block(h, mask, self.seen(mask)) * mask[..., None]
        return h + first

    def embedded(self, x: Tensor, mask: Tensor, time: Tensor | None = None) -> Tensor:
        """Slots before the first block: their inputs at their time, and their neighbourhoods; ``(B, N, D)``."""
        x = self._with_features_dropped(x)
        h = nn.functional.gelu(self.embed(x))  # (B, N, D)
        if time is not None:
            scale, shift = nn.functional.gelu(self.film(self.time(time)))[:, None].chunk(2, -1)  # (B, 1, D)
            h = torch.where(mask[..., None], h * (1 + scale) + shift, h)
        points, features = x[..., self.place], x
        for layer in self.local:
            features = points = layer(points, features, mask, self.seen(mask))
        return h + features if len(self.local) else h

    def _with_features_dropped(self, x: Tensor) -> Tensor:
        """Hide the inputs after the first few of some jets, in training."""
        if not self.training or not self.config.feature_drop:
            return x
        hidden = torch.rand(len(x), 1, 1, device=x.device) < self.config.feature_drop
        optional = torch.arange(x.shape[2], device=x.device) >= self.config.kept_features
        return x.masked_fill(hidden & optional, 0.0)


def in_slots(x: Tensor, mask: Tensor) -> Tensor:
    """Values ``(B, M, D)`` of any number of slots in those of a mask ``(B, N)``, zero where padded."""
    return _with_slots(x, mask.shape[1]) * mask[..., None]


def _with_slots(x: Tensor, slots: int) -> Tensor:
    """Values ``(B, N, D)`` in another number of slots, by more padding or less."""
    return nn.functional.pad(x, (0, 0, 0, slots - x.shape[1]))


def pooled(particles: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real particles, ``(B, D)``, of encodings ``(B, N, D)`` that are zero where padded."""
    return particles.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
