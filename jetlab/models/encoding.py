"""What every backbone returns, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jetlab.batches import Batch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Denoised", "EncodedBatch", "Encoding"]


class Encoding(NamedTuple):
    """Particles ``(B, N, D)``, zero where padded; jets ``(B, D)``; mask ``(B, N)``, True for real particles.

    Backbones that carry learned tokens along give those too, ``(B, T, D)``.
    """

    particles: Tensor
    jet: Tensor
    mask: Tensor
    tokens: Tensor | None = None


class Denoised(NamedTuple):
    """What a model with two heads makes of noisy jets in one pass through its body.

    The velocity ``(B, N, F)`` of the diffused features, zero where padded, and the logits ``(B, classes)``, if the
    model has a classifier head. Where the same head guesses the numbers about the jet, they are `cond` ``(B, C)``.
    """

    velocity: Tensor
    logits: Tensor | None = None
    cond: Tensor | None = None


@dataclass(frozen=True)
class EncodedBatch(Batch):
    """An `Encoding` that was made before, with the labels ``(B,)`` of the jets: what a head alone learns from."""

    particles: Tensor
    jet: Tensor
    mask: Tensor
    label: Tensor | None = None

    @property
    def encoding(self) -> Encoding:
        """What the backbone made of the jets."""
        return Encoding(self.particles, self.jet, self.mask)
