"""A plain transformer over the particles of a jet: no order, no pair features.

It is the Particle Transformer (arXiv:2202.03772) without its pairwise bias and the transformer classifier of
OmniJet-alpha (arXiv:2403.05618) with pre-norm blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from jetlab.batches import ParticleBatch
from jetlab.features import OMNIJET_RECIPE, Recipe
from jetlab.models.blocks import TransformerBlock, mlp
from jetlab.models.encoding import Encoding

__all__ = ["ParticleTransformer", "ParticleTransformerConfig"]


@dataclass(frozen=True)
class ParticleTransformerConfig:
    """Sizes of a `ParticleTransformer`; `preset` gives named ones."""

    width: int = 128
    depth: int = 5
    heads: int = 8
    expansion: int = 4
    recipe: Recipe = OMNIJET_RECIPE

    @staticmethod
    def preset(name: str) -> ParticleTransformerConfig:
        """``published``: 5 blocks of width 128, as the classifiers of OmniJet-alpha; ``tiny``: 2 blocks of width 32."""
        presets = {
            "published": ParticleTransformerConfig(),
            "tiny": ParticleTransformerConfig(width=32, depth=2, heads=2, expansion=2),
        }
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        return presets[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> ParticleTransformerConfig:
        """Rebuild from `to_dict`."""
        return ParticleTransformerConfig(**{**entries, "recipe": Recipe.from_dict(entries["recipe"])})


class ParticleTransformer(nn.Module):
    """Backbone in which every particle attends to all real ones; the jet is their mean.

    Parameters
    ----------
    config : ParticleTransformerConfig
    """

    def __init__(self, config: ParticleTransformerConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embed = mlp(c.recipe.width, c.width, c.width)
        self.blocks = nn.ModuleList(TransformerBlock(c.width, c.heads, expansion=c.expansion) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)

    def encode(self, batch: ParticleBatch) -> Encoding:
        """Encode the particles of the recipe's inputs ``(B, N, F)``, and the jets; an empty jet is zero."""
        h = self.embed(batch.x)  # (B, N, D)
        for block in self.blocks:
            h = block(h, mask=batch.mask)
        particles = self.norm(h) * batch.mask[..., None]
        count = batch.mask.sum(1, keepdim=True).clamp(min=1)
        return Encoding(particles, particles.sum(1) / count, batch.mask)
