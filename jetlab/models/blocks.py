"""Building blocks that several architectures share."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from jetlab.kernels.attention import attend

__all__ = ["Cache", "NormformerBlock", "SelfAttention", "TransformerBlock", "mlp"]


def mlp(*widths: int, activation: type[nn.Module] = nn.GELU) -> nn.Sequential:
    """Linear layers of these widths with an activation between each two."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        layers += [activation()] if i else []
        layers += [nn.Linear(a, b)]
    return nn.Sequential(*layers)


class Cache:
    """Keys and values of the tokens seen so far, of one attention layer, for step-by-step generation.

    Parameters
    ----------
    rows, heads, length, head_width : int
        Sizes of the preallocated buffers ``(rows, heads, length, head_width)``.
    like : Tensor
        Gives dtype and device.
    """

    def __init__(self, rows: int, heads: int, length: int, head_width: int, like: Tensor) -> None:
        self.keys = torch.empty(rows, heads, length, head_width, dtype=like.dtype, device=like.device)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new tokens, shape ``(B, H, t, d)``, and return all so far."""
        end = self.length + keys.shape[2]
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        self.keys, self.values = self.keys[rows], self.values[rows]


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            msg = f"width {width} cannot be split into {heads} heads; choose a multiple of {heads}"
            raise ValueError(msg)
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, causal: bool = False, cache: Cache | None = None
    ) -> Tensor:
        """Attend within each row.

        Parameters
        ----------
        x : Tensor, shape (B, N, D)
        mask : Tensor of bool, shape (B, N), optional
            True for tokens that may be attended.
        causal : bool
            Each token sees itself and the tokens before it.
        cache : Cache, optional
            Earlier tokens; `x` then holds only the one new token of each row.
        """
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # each (B, H, N, d)
        if cache is not None:
            k, v = cache.append(k, v)
            causal = False
        y = attend(q, k, v, mask=mask, causal=causal)
        return self.out(y.transpose(1, 2).reshape(B, N, D))


class TransformerBlock(nn.Module):
    """Pre-norm attention and GELU feed-forward."""

    def __init__(self, width: int, heads: int, *, expansion: int = 4) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), SelfAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width), mlp(width, expansion * width, width)

    def forward(self, x: Tensor, *, causal: bool = False, cache: Cache | None = None) -> Tensor:
        """Shape ``(B, N, D)`` in and out."""
        x = x + self.attention(self.norm1(x), causal=causal, cache=cache)
        return x + self.mlp(self.norm2(x))


class NormformerBlock(nn.Module):
    """Attention with norms before and after it, then a feed-forward with its own norm (NormFormer, arXiv:2110.09456).

    Padding is zeroed on entry and never attended.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(width), SelfAttention(width, heads), nn.LayerNorm(width)
        self.norm3, self.mlp = nn.LayerNorm(width), mlp(width, 2 * width, width, activation=nn.SiLU)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape ``(B, N, D)`` in and out; `mask` ``(B, N)`` is True for real particles."""
        x = x * mask[..., None]
        x = x + self.norm2(self.attention(self.norm1(x), mask=mask))
        return x + self.mlp(self.norm3(x))
