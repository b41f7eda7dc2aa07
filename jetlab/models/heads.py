"""Heads: what a backbone's encoding is turned into, one class a task."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from jetlab.models.encoding import Encoding

__all__ = ["ClassifierHead"]


class ClassifierHead(nn.Module):
    """Class logits from the encoding of the jet.

    Parameters
    ----------
    width : int
        Of the encoding.
    classes : int
    hidden : tuple of int
        Widths of the layers between, each with ReLU and dropout.
    dropout : float
    """

    def __init__(self, width: int, classes: int, *, hidden: tuple[int, ...] = (256,), dropout: float = 0.1) -> None:
        super().__init__()
        between = [
            nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout)) for a, b in pairwise((width, *hidden))
        ]
        self.layers = nn.Sequential(*between, nn.Linear((width, *hidden)[-1], classes))

    def forward(self, encoding: Encoding) -> Tensor:
        """Logits, shape ``(B, classes)``."""
        return self.layers(encoding.jet)
