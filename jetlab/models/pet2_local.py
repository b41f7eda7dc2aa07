"""What PET2 makes of pairs of particles: their bias in the attention, and each particle with its neighbours.

Only pairs of real particles are computed; the bias is symmetric, so each pair is computed once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jetlab.kernels.neighbours import neighbours
from jetlab.models.dyt import Block, FeedForward

__all__ = ["LocalEmbedding", "PairBias", "pair_features"]

PARTICLES = 128
"""Particles that are computed together with their neighbours on a CPU, so that they stay in the cache."""

PAIRS = 4096
"""Pairs of particles that are computed together on a CPU."""


def pair_features(a: Tensor, b: Tensor) -> Tensor:
    """Logarithms of squared mass, distance and kT of pairs of particles, zero where they are at the same place.

    With ``m² = 2 pT pT' (cosh Δη - cos Δφ)`` and ``kT = min(pT, pT') ΔR``, as in arXiv:2202.03772.

    Parameters
    ----------
    a, b : Tensor, shape (..., F)
        Particles, whose first three columns are deta, dphi and log pT.

    Returns
    -------
    Tensor, shape (..., 3)
    """
    deta, dphi = a[..., 0] - b[..., 0], a[..., 1] - b[..., 1]
    opening, squared = deta.cosh() - dphi.cos(), deta.square() + dphi.square()
    log_mass = a[..., 2] + b[..., 2] + math.log(2) + opening.where(opening > 0, 1).log()
    log_distance = 0.5 * squared.where(squared > 0, 1).log()
    log_kt = torch.minimum(a[..., 2], b[..., 2]) + log_distance
    return torch.stack([log_mass.where(opening > 0, 0), log_distance, log_kt.where(squared > 0, 0)], -1)


class PairBias(nn.Module):
    """What is added to the attention scores of each pair of particles, one number a head.

    Parameters
    ----------
    width, heads : int
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.mlp = FeedForward(3, 2 * width, heads, norm=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Particles ``(B, N, F)`` and their mask ``(B, N)`` to the bias ``(B, N, N, H)``, zero where one is padded."""
        jet, i, j = (mask[:, :, None] & mask[:, None, :]).tril().nonzero(as_tuple=True)
        features = pair_features(x[jet, i], x[jet, j])  # (P, 3)
        bias = torch.cat([self.mlp(part) for part in _parts(features, PAIRS)])  # (P, H)
        whole = bias.new_zeros(*mask.shape, mask.shape[1], bias.shape[1])
        return whole.index_put((jet, i, j), bias).index_put((jet, j, i), bias)


class LocalEmbedding(nn.Module):
    """Each particle by its nearest neighbours, which attend to each other and are averaged.

    Parameters
    ----------
    features : int
        Of a particle; the neighbours are given relative to it.
    width, heads, depth : int
        Of the result, and of the attention blocks.
    hidden : int
        Width of the layer before the blocks.
    neighbours : int
    coordinates : int
        So many first features tell which particles are near.
    pairs : bool
        `pair_features` are given too.
    """

    def __init__(
        self,
        features: int,
        width: int,
        *,
        heads: int,
        depth: int,
        hidden: int,
        neighbours: int,
        coordinates: int,
        pairs: bool,
    ) -> None:
        super().__init__()
        self.neighbours, self.coordinates, self.pairs = neighbours, coordinates, pairs
        self.mlp = FeedForward(features + 3 * pairs, hidden, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.width = width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Particles ``(B, N, F)`` and their mask ``(B, N)`` to ``(m, D)`` for the real ones; zero for lonely ones."""
        real, slots = x[mask], slots_of(mask)
        near = neighbours(real[:, : self.coordinates], slots, k=self.neighbours)  # (m, K)
        count = (near < len(real)).sum(1)
        found, places = [real.new_zeros(0, self.width)], [count.new_zeros(0)]
        for k in count[count > 0].unique().tolist():  # few, since only small jets have fewer neighbours
            for rows in _parts((count == k).nonzero()[:, 0], PARTICLES):
                found.append(self._around(real[rows], real[near[rows, :k]]))
                places.append(rows)
        values = torch.cat(found)  # (particles with neighbours, D)
        return values.new_zeros(len(real), self.width).index_put((torch.cat(places),), values)

    def _around(self, centre: Tensor, near: Tensor) -> Tensor:
        """Shape ``(m, D)`` for particles ``(m, F)`` with k neighbours ``(m, k, F)`` each."""
        centre = centre[:, None]
        features = centre - near
        if self.pairs:
            features = torch.cat([features, pair_features(centre, near)], -1)
        if not self.blocks:
            return self.mlp(features, mean=True)
        h = self.mlp(features)  # (m, k, D)
        for block in self.blocks[:-1]:
            h = block(h)
        return self.blocks[-1](h, mean=True)


def slots_of(mask: Tensor) -> Tensor:
    """Row of each real particle among all of them, and their number where padded, shape ``(B, N)``."""
    rows = mask.flatten().cumsum(0).view(mask.shape) - 1
    return rows.masked_fill(~mask, int(mask.sum()))


def _parts(values: Tensor, size: int) -> tuple[Tensor, ...]:
    """Parts that fit into the cache of a CPU; on other devices all at once."""
    return values.split(size) if values.device.type == "cpu" else (values,)
