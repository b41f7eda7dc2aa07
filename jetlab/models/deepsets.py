"""DeepSets, the particle flow network (arXiv:1810.05165): each particle by itself, their sum, then the jet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.features import OMNIJET_RECIPE, Recipe
from jetlab.models.blocks import mlp
from jetlab.models.encoding import Encoding

__all__ = ["DeepSets", "DeepSetsConfig"]


@dataclass(frozen=True)
class DeepSetsConfig:
    """Sizes of a `DeepSets`; `preset` gives named ones.

    Parameters
    ----------
    particle, jet : tuple of int
        Widths of the layers before and after the sum over particles.
    recipe : Recipe
        Inputs.
    """

    particle: tuple[int, ...] = (100, 100, 256)
    jet: tuple[int, ...] = (100, 100, 100)
    recipe: Recipe = OMNIJET_RECIPE

    @property
    def width(self) -> int:
        """Width of the encoding of the jet."""
        return self.jet[-1]

    @staticmethod
    def preset(name: str) -> DeepSetsConfig:
        """``published``: the sizes of the classifier test of OmniJet-alpha; ``tiny``: a fifth of the work."""
        presets = {"published": DeepSetsConfig(), "tiny": DeepSetsConfig((48, 48, 96), (64, 64))}
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        return presets[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> DeepSetsConfig:
        """Rebuild from `to_dict`."""
        return DeepSetsConfig(tuple(entries["particle"]), tuple(entries["jet"]), Recipe.from_dict(entries["recipe"]))


class DeepSets(nn.Module):
    """Backbone whose particles do not see each other before they are summed.

    Parameters
    ----------
    config : DeepSetsConfig
    """

    def __init__(self, config: DeepSetsConfig) -> None:
        super().__init__()
        self.config = config
        self.particle = nn.Sequential(mlp(config.recipe.width, *config.particle, activation=nn.ReLU), nn.ReLU())
        self.jet = nn.Sequential(mlp(config.particle[-1], *config.jet, activation=nn.ReLU), nn.ReLU())

    def encode(self, batch: ParticleBatch) -> Encoding:
        """Encode the particles of the recipe's inputs ``(B, N, F)``, and the jets; only real particles are computed."""
        real = self.particle(batch.x[batch.mask])  # (m, D)
        row = torch.arange(len(batch.mask), device=real.device).repeat_interleave(batch.mask.sum(1))
        summed = real.new_zeros(len(batch.mask), real.shape[1]).index_add(0, row, real)  # (B, D)
        return Encoding(_padded(real, batch.mask), self.jet(summed), batch.mask)


def _padded(real: Tensor, mask: Tensor) -> Tensor:
    """Rows ``(m, D)`` at their places ``(B, N, D)``, zero elsewhere."""
    return real.new_zeros(*mask.shape, real.shape[1]).index_put((mask,), real)
