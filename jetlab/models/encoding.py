"""What every backbone returns, whatever it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Encoding"]


class Encoding(NamedTuple):
    """Particles ``(B, N, D)``, zero where padded; jets ``(B, D)``; mask ``(B, N)``, True for real particles."""

    particles: Tensor
    jet: Tensor
    mask: Tensor
