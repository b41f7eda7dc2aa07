"""What pairs of tokens are physically, and the attention bias that a `JetEncoder` makes of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jetlab.models.blocks import mlp

__all__ = ["OF_JETS", "OF_PARTICLES", "PairBias", "Typical", "pair_features"]

Typical = tuple[tuple[float, ...], tuple[float, ...]]
"""Means and spreads of `pair_features`."""

OF_PARTICLES: Typical = ((-1.0, -1.5, -1.5, 1.0), (1.5, 1.0, 1.0, 2.5))
"""Of pairs of particles in a jet of some hundred GeV."""

OF_JETS: Typical = ((6.5, -1.0, 1.0, 14.0), (1.5, 0.5, 0.5, 2.0))
"""Of pairs of jets of some hundred GeV in an event."""

HIDDEN = 32
"""Width of the layer between what a pair is and its bias."""


def pair_features(a: Tensor, b: Tensor) -> Tensor:
    """Logarithms of kT, z, distance and squared mass of pairs of tokens, as in arXiv:2202.03772.

    They are written so that pairs of light and near tokens lose nothing to rounding.

    Parameters
    ----------
    a, b : Tensor, shape (..., 4)
        pT [GeV], rapidity, azimuth and squared mass [GeV²].

    Returns
    -------
    Tensor, shape (..., 4)
    """
    dy, dphi = a[..., 1] - b[..., 1], (a[..., 2] - b[..., 2] + math.pi) % (2 * math.pi) - math.pi
    log_distance = 0.5 * (dy.square() + dphi.square()).clamp(min=1e-8).log()
    softer, total = torch.minimum(a[..., 0], b[..., 0]), a[..., 0] + b[..., 0]
    log_softer = softer.clamp(min=1e-6).log()
    pt2 = a[..., 0] * b[..., 0]
    heavier = a[..., 3] * b[..., 3] + a[..., 3] * b[..., 0].square() + b[..., 3] * a[..., 0].square()
    mt2 = (pt2.square() + heavier).clamp(min=1e-12).sqrt()  # product of transverse masses
    opening = heavier / (mt2 + pt2).clamp(min=1e-12) + 2 * mt2 * (dy / 2).sinh().square()
    opening = opening + 2 * pt2 * (dphi / 2).sin().square()
    mass2 = a[..., 3] + b[..., 3] + 2 * opening
    log_share = log_softer - total.clamp(min=1e-6).log()
    return torch.stack([log_softer + log_distance, log_share, log_distance, mass2.clamp(min=1e-6).log()], -1)


class PairBias(nn.Module):
    """What is added to the attention scores of each pair of tokens, one number a head.

    Parameters
    ----------
    heads : int
    typical : (tuple of float, tuple of float)
        Means and spreads that bring `pair_features` to like size.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, heads: int, *, typical: Typical = OF_PARTICLES) -> None:
        super().__init__()
        mean, spread = map(torch.tensor, typical)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("spread", spread, persistent=False)
        self.mlp = mlp(4, HIDDEN, heads)

    def forward(self, momenta: Tensor, mask: Tensor) -> Tensor:
        """Momenta ``(B, T, 4)`` and mask ``(B, T)`` to the bias ``(B, H, T, T)``, zero where one is padded."""
        jet, i, j = (mask[:, :, None] & mask[:, None, :]).tril().nonzero(as_tuple=True)  # each pair once
        features = (pair_features(momenta[jet, i], momenta[jet, j]) - self.mean) / self.spread
        bias = self.mlp(features)  # (P, H)
        whole = bias.new_zeros(*mask.shape, mask.shape[1], bias.shape[1])
        return whole.index_put((jet, i, j), bias).index_put((jet, j, i), bias).permute(0, 3, 1, 2)
