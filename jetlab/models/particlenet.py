"""ParticleNet (arXiv:1902.08570), a jet as a cloud of particles, read top to bottom.

Each block looks at every particle together with its nearest neighbours: in the first block near in (deta, dphi), in the
later ones near in what the network has made of them. Only real particles are computed, packed one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.features import JETCLASS_RECIPES, Recipe
from jetlab.kernels.neighbours import gather_rows, neighbours
from jetlab.models.encoding import Encoding

__all__ = ["EdgeConv", "NormedLinear", "ParticleNet", "ParticleNetConfig"]

PARTICLES = 128
"""Particles whose messages are computed together where nothing is learned, so that they stay in the cache."""


@dataclass(frozen=True)
class ParticleNetConfig:
    """Sizes of a `ParticleNet`; `preset` gives named ones.

    Parameters
    ----------
    blocks : tuple of tuples of int
        Widths of the layers of each EdgeConv block.
    neighbours : int
        Neighbours of a particle.
    fusion : int
        Width of a last layer that sees the outputs of all blocks; 0 takes the output of the last block.
    recipe : Recipe
        Inputs, with the direction from the axis among them.
    """

    blocks: tuple[tuple[int, ...], ...] = ((64,) * 3, (128,) * 3, (256,) * 3)
    neighbours: int = 16
    fusion: int = 0
    recipe: Recipe = JETCLASS_RECIPES["full"]

    @property
    def width(self) -> int:
        """Width of the encoding."""
        return self.fusion or self.blocks[-1][-1]

    @staticmethod
    def preset(name: str) -> ParticleNetConfig:
        """``full``, ``kinpid``, ``kin``: the networks published with JetClass; ``lite``: ParticleNet-Lite; ``tiny``."""
        presets = {name: ParticleNetConfig(recipe=recipe) for name, recipe in JETCLASS_RECIPES.items()}
        presets |= {
            "lite": ParticleNetConfig(((32,) * 3, (64,) * 3), neighbours=7, recipe=JETCLASS_RECIPES["kin"]),
            "tiny": ParticleNetConfig(((8, 8), (16, 16)), neighbours=4, fusion=16, recipe=JETCLASS_RECIPES["kin"]),
        }
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        return presets[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> ParticleNetConfig:
        """Rebuild from `to_dict`."""
        blocks = tuple(tuple(int(width) for width in block) for block in entries["blocks"])
        return ParticleNetConfig(**{**entries, "blocks": blocks, "recipe": Recipe.from_dict(entries["recipe"])})


class NormedLinear(nn.Module):
    """Linear layer and batch norm; one matrix product where nothing is learned.

    Parameters
    ----------
    width, out : int
        Widths of input and output.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(width, out, bias=False), nn.BatchNorm1d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(m, width)`` to ``(m, out)``."""
        return self.norm(self.linear(x)) if self.training else F.linear(x, *self.folded())

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight ``(out, width)`` and bias ``(out,)`` of both together, as in evaluation."""
        mean, variance = self.norm.get_buffer("running_mean"), self.norm.get_buffer("running_var")
        scale = self.norm.weight * (variance + self.norm.eps).rsqrt()
        return self.linear.weight * scale[:, None], self.norm.bias - mean * scale


class EdgeConv(nn.Module):
    """Mean over a particle's neighbours of what a small network makes of each pair, plus a shortcut.

    The network sees ``(x_i, x_j - x_i)``; a neighbour that does not exist counts as a particle at ``x_j = 0``.

    Parameters
    ----------
    width : int
        Of the input.
    widths : tuple of int
        Of the layers.
    shortcut : bool
        Whether there is one; without it, only `messages` are of use.
    """

    def __init__(self, width: int, widths: tuple[int, ...], *, shortcut: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(NormedLinear(a, b) for a, b in pairwise((2 * width, *widths)))
        self.shortcut = NormedLinear(width, widths[-1]) if shortcut and width != widths[-1] else None

    @property
    def _first(self) -> NormedLinear:
        return cast("NormedLinear", self.layers[0])

    def forward(self, x: Tensor, near: Tensor) -> Tensor:
        """Input ``(m, C)`` and rows of the neighbours ``(m, k)`` to output ``(m, D)``."""
        return (self.messages(x, near) + (x if self.shortcut is None else self.shortcut(x))).relu()

    def messages(self, x: Tensor, near: Tensor) -> Tensor:
        """Mean of the messages from the neighbours alone, without the shortcut, shapes as for `forward`."""
        own, other = self._sides(x)
        parts = zip(own.split(PARTICLES), near.split(PARTICLES), strict=True) if not self.training else [(own, near)]
        return torch.cat([self._mean_message(a, other, b) for a, b in parts])

    def _sides(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the first layer makes of x_i and of x_j: once a particle, not once a pair; both ``(m, D)``."""
        first = self._first
        weight, bias = (first.linear.weight, None) if self.training else first.folded()
        of_own, of_difference = weight.split(x.shape[1], dim=1)
        return F.linear(x, of_own - of_difference, bias), F.linear(x, of_difference)

    def _mean_message(self, own: Tensor, other: Tensor, near: Tensor) -> Tensor:
        """Mean of the messages that particles get from their neighbours ``near (m, k)``, shape ``(m, D)``."""
        y = (own[:, None] + gather_rows(other, near)).flatten(0, 1)  # (m k, D)
        y = (self._first.norm(y) if self.training else y).relu()
        for layer in self.layers[1:]:
            y = layer(y).relu_()
        return y.view(*near.shape, -1).mean(1)


class ParticleNet(nn.Module):
    """Backbone of EdgeConv blocks; the jet is the mean of its particles.

    Parameters
    ----------
    config : ParticleNetConfig
    """

    def __init__(self, config: ParticleNetConfig) -> None:
        super().__init__()
        self.config = config
        self.place = [config.recipe.column("deta_outward"), config.recipe.column("dphi")]
        self.norm = nn.BatchNorm1d(config.recipe.width)
        inputs = [config.recipe.width, *(widths[-1] for widths in config.blocks)]
        self.blocks = nn.ModuleList(EdgeConv(a, widths) for a, widths in zip(inputs, config.blocks, strict=False))
        self.fusion = None
        if config.fusion:
            self.fusion = NormedLinear(sum(inputs[1:]), config.fusion)

    def encode(self, batch: ParticleBatch) -> Encoding:
        """Encode the particles of the recipe's inputs ``(B, N, F)``, and the jets; an empty jet is zero."""
        points, slots = batch.x[batch.mask][:, self.place], _slots(batch.mask)
        x = self.norm(batch.x[batch.mask])  # (m, F)
        outputs = []
        for block in self.blocks:
            x = block(x, neighbours(points, slots, k=self.config.neighbours))  # (m, D)
            points = x
            outputs.append(x)
        if self.fusion is not None:
            x = self.fusion(torch.cat(outputs, dim=1)).relu()
        particles = gather_rows(x, slots)  # (B, N, D)
        count = batch.mask.sum(1, keepdim=True).clamp(min=1)
        return Encoding(particles, particles.sum(1) / count, batch.mask)


def _slots(mask: Tensor) -> Tensor:
    """Row of each real particle among all of them, and their number where padded, shape ``(B, N)``."""
    rows = mask.flatten().cumsum(0).view(mask.shape) - 1
    return rows.masked_fill(~mask, int(mask.sum()))
