"""Vectors of codes that know where each code lies in pT, eta and phi.

A generator that reads and predicts bare ids must learn from data alone which of them are neighbours. Here every code
gets one vector to be read by and one to be predicted by, both smooth functions of its place, given as waves over
(log pT, eta, phi) (random Fourier features, Rahimi and Recht, NeurIPS 2007; Tancik et al., arXiv:2006.10739).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jetlab.models.blocks import mlp

__all__ = ["CodePlaces", "places_of"]

WAVE_NUMBERS = 0.5, 30.0
"""Slowest and fastest wave, in radians per unit of `places_of`: from the whole jet to a few hundredths of eta."""


class CodePlaces(nn.Module):
    """Two vectors for each code from its place.

    Parameters
    ----------
    width : int
        Of the vectors.
    waves : int
        Number of random waves.
    """

    waves: Tensor

    def __init__(self, width: int, *, waves: int = 128) -> None:
        super().__init__()
        slow, fast = (math.log(k) for k in WAVE_NUMBERS)
        numbers = torch.exp(slow + (fast - slow) * torch.rand(waves))
        self.register_buffer("waves", nn.functional.normalize(torch.randn(3, waves), dim=0) * numbers)
        self.reading, self.predicting = (mlp(2 * waves + 3, 256, width) for _ in range(2))
        for last in (self.reading[-1], self.predicting[-1]):
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=0.02)

    def forward(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors to read codes by and to predict them by, each ``(K, D)``, from places ``(K, 3)``."""
        phase = places @ self.waves
        x = torch.cat([phase.cos(), phase.sin(), places], -1)
        return self.reading(x), self.predicting(x)


def places_of(p4: Tensor) -> Tensor:
    """Place of each four-momentum (E, px, py, pz) in GeV, shape ``(K, 4)``: log pT - 1.8, 3 eta, 3 phi."""
    pt = torch.hypot(p4[:, 1], p4[:, 2]).clamp(min=1e-3)
    return torch.stack([pt.log() - 1.8, 3 * torch.asinh(p4[:, 3] / pt), 3 * torch.atan2(p4[:, 2], p4[:, 1])], -1)
