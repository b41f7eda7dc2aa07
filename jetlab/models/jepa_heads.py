"""What stands on a `JetEncoder` to say something about every particle: a velocity, or the token that comes next."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jetlab.models.blocks import TransformerBlock

__all__ = ["ConstituentHead"]


class ConstituentHead(nn.Module):
    """Blocks among the particles, each told the class of the jet, then one layer on each particle by itself.

    The class is told here and not in the encoder, whose particles are so free of it: a classifier can read them too.

    Parameters
    ----------
    width, heads : int
        Of the encoder.
    depth : int
        Blocks.
    out : int
        Numbers that are said about each particle.
    classes : int
        0 for a head that is not told the class.
    """

    def __init__(self, width: int, heads: int, *, depth: int, out: int, classes: int = 0) -> None:
        super().__init__()
        self.label = nn.Embedding(classes, width) if classes else None
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, out)
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, mask: Tensor, label: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """Say what is to be said about particles.

        Parameters
        ----------
        x : Tensor, shape (B, N, D)
            Encodings of the particles.
        mask : Tensor of bool, shape (B, N)
            True for real particles.
        label : Tensor of int64, shape (B,), optional
            Classes of the jets; needed if the head is told them.
        causal : bool
            Each particle sees itself and those before it.

        Returns
        -------
        Tensor, shape (B, N, out)
            Zero where padded.
        """
        return torch.where(mask[..., None], self.out(self.read(x, mask, label, causal=causal)), 0.0)

    def read(self, x: Tensor, mask: Tensor, label: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """What the last layer sees, shape ``(B, N, D)``; parameters as for `forward`."""
        if self.label is not None:
            x = x + self.label(label)[:, None]
        for block in self.blocks:
            x = block(x, mask=mask, causal=causal)
        return self.norm(x)
