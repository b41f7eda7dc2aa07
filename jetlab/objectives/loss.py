"""What every objective returns."""

from __future__ import annotations

from torch import Tensor

__all__ = ["Loss"]

Loss = tuple[Tensor, dict[str, Tensor]]
"""The loss and named terms, detached; the term ``weight`` is the number of items that the loss is a mean of."""
