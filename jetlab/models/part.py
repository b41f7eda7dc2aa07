"""The Particle Transformer published with JetClass (arXiv:2202.03772), read top to bottom.

Every particle attends to all others, with a bias from what each pair of them is physically: how far apart, how hard,
how heavy. Then a class token reads the particles; it is the encoding of the jet. Only real particles and pairs are
embedded, each pair once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError
from jetlab.features import JETCLASS_RECIPES, Recipe
from jetlab.kernels.attention import attend
from jetlab.models.encoding import Encoding

__all__ = ["ParT", "PartConfig", "interactions"]

SMALLEST = 1e-8
"""Values below count as this much before a logarithm is taken, as published."""

PAIRS = 4096
"""Pairs that are embedded together where nothing is learned, so that they stay in the cache."""


@dataclass(frozen=True)
class PartConfig:
    """Sizes of a `ParT`; `preset` gives named ones.

    Parameters
    ----------
    width, depth, heads : int
        Of the particle attention blocks.
    class_depth : int
        Blocks in which the class token reads the particles.
    expansion : int
        Width of the feed-forward layers over `width`.
    embedding : tuple of int
        Widths of the layers between the inputs and the first block.
    pairs : tuple of int
        Widths of the layers between the interactions of a pair and its bias.
    dropout : float
        In the particle attention blocks, also of attention weights.
    recipe : Recipe
        Inputs besides the four-momenta.
    """

    needs_p4: ClassVar[bool] = True

    width: int = 128
    depth: int = 8
    heads: int = 8
    class_depth: int = 2
    expansion: int = 4
    embedding: tuple[int, ...] = (128, 512)
    pairs: tuple[int, ...] = (64, 64, 64)
    dropout: float = 0.1
    recipe: Recipe = JETCLASS_RECIPES["full"]

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            msg = f"width {self.width} cannot be split into {self.heads} heads; choose a multiple of the heads"
            raise ValueError(msg)

    @staticmethod
    def preset(name: str) -> PartConfig:
        """``full``, ``kinpid``, ``kin``: the networks published with JetClass; ``tiny``: 2 blocks of width 32."""
        presets = {name: PartConfig(recipe=recipe) for name, recipe in JETCLASS_RECIPES.items()}
        presets["tiny"] = PartConfig(32, 2, 4, 1, 2, (32,), (16, 16), recipe=JETCLASS_RECIPES["kin"])
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        return presets[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> PartConfig:
        """Rebuild from `to_dict`."""
        widths = {name: tuple(int(width) for width in entries[name]) for name in ("embedding", "pairs")}
        return PartConfig(**{**entries, **widths, "recipe": Recipe.from_dict(entries["recipe"])})


def interactions(a: Tensor, b: Tensor) -> Tensor:
    """Logarithms of kT, z, distance and squared mass of pairs of particles.

    With ``kT = min(pT, pT') d``, ``z = min(pT, pT') / (pT + pT')`` and ``d² = Δy² + Δφ²`` of rapidity and azimuth. The
    squared mass of nearly massless pairs is what rounding leaves of a difference of large numbers. So the order of
    operations is that of the published networks, which have learned it so.

    Parameters
    ----------
    a, b : Tensor, shape (..., 4)
        Four-momenta (E, px, py, pz) [GeV].

    Returns
    -------
    Tensor, shape (..., 4)
    """
    (pt_a, y_a, phi_a), (pt_b, y_b, phi_b) = _transverse(a), _transverse(b)
    dphi = (phi_a - phi_b + math.pi) % (2 * math.pi) - math.pi
    distance = ((y_a - y_b).square() + dphi.square()).sqrt()
    softer = torch.minimum(pt_a, pt_b)
    share = softer / (pt_a + pt_b).clamp(min=SMALLEST)
    energy, px, py, pz = (a + b).unbind(-1)
    mass2 = energy.square() - (px.square() + py.square() + pz.square())
    return torch.stack([softer * distance, share, distance, mass2], -1).clamp(min=SMALLEST).log()


def _transverse(p4: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """PT, rapidity and azimuth of four-momenta ``(..., 4)``, each of shape ``(...)``."""
    energy, px, py, pz = p4.unbind(-1)
    rapidity = 0.5 * (1 + 2 * pz / (energy - pz).clamp(min=1e-20)).log()
    return (px.square() + py.square()).sqrt(), rapidity, torch.atan2(py, px)


class PairEmbedding(nn.Module):
    """Attention bias of each pair of real particles, a particle with itself included.

    Parameters
    ----------
    widths : tuple of int
        Of the layers; the last is the number of heads.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        steps = pairwise((4, *widths))
        self.layers = nn.Sequential(*(nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.GELU()) for a, b in steps))

    def forward(self, p4: Tensor, mask: Tensor) -> Tensor:
        """Four-momenta ``(B, N, 4)`` and mask ``(B, N)`` to the bias ``(B, H, N, N)``, zero where one is padded."""
        jet, i, j = (mask[:, :, None] & mask[:, None, :]).tril().nonzero(as_tuple=True)
        with torch.no_grad():
            features = interactions(p4[jet, i], p4[jet, j])  # (P, 4)
        parts = [features] if self.training else features.split(PAIRS)
        bias = torch.cat([self.layers(self.norm(part)) for part in parts])  # (P, H)
        whole = bias.new_zeros(*mask.shape, mask.shape[1], bias.shape[1])
        whole = whole.index_put((jet, i, j), bias).index_put((jet, j, i), bias)
        return whole.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Attention and feed-forward layers, each normed before and within; heads and the second residual are scaled.

    Parameters
    ----------
    width, heads, hidden : int
    dropout : float
    """

    def __init__(self, width: int, heads: int, *, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_in, self.norm_read = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.head_scale = nn.Parameter(torch.ones(heads))
        self.norm_mlp, self.norm_hidden = nn.LayerNorm(width), nn.LayerNorm(hidden)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.residual_scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Particles ``(B, N, D)`` read each other, with a bias ``(B, H, N, N)`` that is minus infinity where padded."""
        q, k, v = map(self._split, self.qkv(self.norm_in(x)).chunk(3, -1))
        read = attend(q, k, v, bias=bias, dropout=self.dropout if self.training else 0.0)
        return self._after(read, x)

    def read(self, token: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """A class token ``(B, 1, D)`` reads itself and the particles ``(B, N, D)``; it asks without being normed."""
        width = x.shape[-1]
        weights, biases = self.qkv.weight.split([width, 2 * width]), self.qkv.bias.split([width, 2 * width])
        seen = self.norm_in(torch.cat([token, x], 1))  # (B, 1 + N, D)
        q = self._split(F.linear(token, weights[0], biases[0]))
        k, v = map(self._split, F.linear(seen, weights[1], biases[1]).chunk(2, -1))
        return self._after(attend(q, k, v, mask=F.pad(mask, (1, 0), value=True)), token)

    def _after(self, read: Tensor, x: Tensor) -> Tensor:
        """What follows the attention: ``(B, H, N, d)`` and the block's input ``(B, N, D)`` to its output."""
        y = self.out(read.transpose(1, 2).flatten(2))
        y = (y.unflatten(-1, (self.heads, -1)) * self.head_scale[:, None]).flatten(2)
        x = x + self._drop(self.norm_read(y))
        y = self.norm_hidden(self._drop(F.gelu(self.up(self.norm_mlp(x)))))
        return self._drop(self.down(y)) + self.residual_scale * x

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)

    def _split(self, x: Tensor) -> Tensor:
        """``(B, N, D)`` to ``(B, H, N, d)``."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class ParT(nn.Module):
    """Particle Transformer; the jet is the class token after it has read the particles.

    A linear layer on the jet is the published classifier.

    Parameters
    ----------
    config : PartConfig
    """

    def __init__(self, config: PartConfig) -> None:
        super().__init__()
        self.config = c = config
        hidden = c.expansion * c.width
        steps = pairwise((c.recipe.width, *c.embedding, c.width))
        self.norm = nn.BatchNorm1d(c.recipe.width)
        self.embed = nn.Sequential(*(nn.Sequential(nn.LayerNorm(a), nn.Linear(a, b), nn.GELU()) for a, b in steps))
        self.pairs = PairEmbedding((*c.pairs, c.heads))
        self.blocks = nn.ModuleList(Block(c.width, c.heads, hidden=hidden, dropout=c.dropout) for _ in range(c.depth))
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, c.width), std=0.02))
        self.class_blocks = nn.ModuleList(Block(c.width, c.heads, hidden=hidden) for _ in range(c.class_depth))
        self.norm_jet = nn.LayerNorm(c.width)
        self._draw()

    def encode(self, batch: ParticleBatch) -> Encoding:
        """Encode the particles of the recipe's inputs ``(B, N, F)`` with their four-momenta, and the jets.

        Raises
        ------
        InvalidJetsError
            If the batch has no four-momenta.
        """
        x = self.particles(batch)
        bias = self.bias(batch)
        for block in self.blocks:
            x = block(x, bias)
        return Encoding(x * batch.mask[..., None], self.summary(x, batch.mask), batch.mask)

    def particles(self, batch: ParticleBatch) -> Tensor:
        """Particles as the first block gets them, shape ``(B, N, D)``, zero where padded."""
        h = self.embed(self.norm(batch.x[batch.mask]))  # (m, D)
        return h.new_zeros(*batch.mask.shape, h.shape[1]).index_put((batch.mask,), h)

    def bias(self, batch: ParticleBatch) -> Tensor:
        """What is added to the attention scores, shape ``(B, H, N, N)``, minus infinity for padded keys.

        Raises
        ------
        InvalidJetsError
            If the batch has no four-momenta.
        """
        if batch.p4 is None:
            msg = (
                "this network needs the four-momenta of the particles beside the inputs, the batch has none; prepare "
                "the jets with Tagger.prepare(jets) or ParticleSet(jets, recipe, p4=True)"
            )
            raise InvalidJetsError(msg)
        bias = self.pairs(batch.p4, batch.mask)
        hidden = ~batch.mask & batch.mask.any(1, keepdim=True)  # in an empty jet, padding may see padding
        return bias.masked_fill(hidden[:, None, None], -math.inf)

    def summary(self, x: Tensor, mask: Tensor) -> Tensor:
        """Class token after it has read the particles ``(B, N, D)``, shape ``(B, D)``."""
        token = self.token.expand(len(x), -1, -1)
        for block in self.class_blocks:
            token = cast("Block", block).read(token, x, mask)
        return self.norm_jet(token[:, 0])

    @torch.no_grad()
    def _draw(self) -> None:
        """First weights as published: smaller, the deeper the block, where it adds to what came before."""
        for linear in (m for part in (self.embed, self.blocks, self.class_blocks) for m in part.modules()):
            if isinstance(linear, nn.Linear):
                nn.init.xavier_uniform_(linear.weight)
                nn.init.zeros_(linear.bias)
        for block in (*self.blocks, *self.class_blocks):
            width = cast("Block", block).out.in_features
            bound = math.sqrt(3 / width)  # of queries, keys and values as three layers
            nn.init.uniform_(cast("Block", block).qkv.weight, -bound, bound)
        for place, block in enumerate(self.blocks, start=1):
            for layer in (cast("Block", block).out, cast("Block", block).down):
                layer.weight /= math.sqrt(2 * place)
