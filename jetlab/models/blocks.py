"""Building blocks that several architectures share."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from jetlab.kernels.attention import attend

__all__ = ["Cache", "NormformerBlock", "Rotation", "SelfAttention", "TransformerBlock", "mlp"]


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
        """Drop all rows but these, given by number in rising order, in place."""
        for buffer in (self.keys, self.values):
            used = buffer[:, :, : self.length]
            used[: len(rows)] = used[rows]
        self.keys, self.values = self.keys[: len(rows)], self.values[: len(rows)]


class Rotation(NamedTuple):
    """Cosines and sines of the angles by which rotary positions turn queries and keys, each ``(N, d / 2)``."""

    cos: Tensor
    sin: Tensor

    @staticmethod
    def of(positions: Tensor, head_width: int) -> Rotation:
        """Angles at these positions, shape ``(N,)`` (RoFormer, arXiv:2104.09864)."""
        rates = 1e4 ** (-torch.arange(0, head_width, 2, device=positions.device).float() / head_width)
        angles = positions[:, None] * rates
        return Rotation(angles.cos(), angles.sin())

    def turn(self, x: Tensor) -> Tensor:
        """Turn each pair of numbers of ``(B, H, N, d)``: number ``i`` with number ``i + d / 2``."""
        a, b = x.chunk(2, -1)
        return torch.cat([a * self.cos - b * self.sin, a * self.sin + b * self.cos], -1).to(x.dtype)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values, with or without a bias."""

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        if width % heads:
            msg = f"width {width} cannot be split into {heads} heads; choose a multiple of {heads}"
            raise ValueError(msg)
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: Cache | None = None,
        rotation: Rotation | None = None,
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
            Earlier tokens; if there are any, `x` holds only the one new token of each row.
        rotation : Rotation, optional
            Rotary positions of the tokens in `x`.
        """
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # each (B, H, N, d)
        if rotation is not None:
            q, k = rotation.turn(q), rotation.turn(k)
        if cache is not None:
            k, v = cache.append(k, v)
            causal = causal and N > 1
        y = attend(q, k, v, mask=mask, causal=causal)
        return self.out(y.transpose(1, 2).reshape(B, N, D))


class TransformerBlock(nn.Module):
    """Attention and feed-forward with residuals.

    Parameters
    ----------
    width, heads : int
    expansion : int
        Width of the feed-forward layer over `width`.
    norm : {"pre", "post"}
        Layer norms before attention and feed-forward, or after each residual sum.
    activation : type of torch.nn.Module
        Of the feed-forward layer.
    bias : bool
        Of queries, keys and values.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        expansion: int = 4,
        norm: Literal["pre", "post"] = "pre",
        activation: type[nn.Module] = nn.GELU,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.post = norm == "post"
        self.norm1, self.attention = nn.LayerNorm(width), SelfAttention(width, heads, bias=bias)
        self.norm2, self.mlp = nn.LayerNorm(width), mlp(width, expansion * width, width, activation=activation)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: Cache | None = None,
        rotation: Rotation | None = None,
    ) -> Tensor:
        """Shape ``(B, N, D)`` in and out; options as for `SelfAttention`."""
        if self.post:
            x = self.norm1(x + self.attention(x, mask=mask, causal=causal, cache=cache, rotation=rotation))
            return self.norm2(x + self.mlp(x))
        x = x + self.attention(self.norm1(x), mask=mask, causal=causal, cache=cache, rotation=rotation)
        return x + self.mlp(self.norm2(x))


class NormformerBlock(nn.Module):
    """Attention with norms before and after it, then a feed-forward with its own norm (NormFormer, arXiv:2110.09456).

    Padding is zeroed on entry and never attended.
    """

    def __init__(self, width: int, heads: int, *, expansion: int = 2) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(width), SelfAttention(width, heads), nn.LayerNorm(width)
        self.norm3, self.mlp = nn.LayerNorm(width), mlp(width, expansion * width, width, activation=nn.SiLU)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape ``(B, N, D)`` in and out; `mask` ``(B, N)`` is True for real particles."""
        x = x * mask[..., None]
        x = x + self.norm2(self.attention(self.norm1(x), mask=mask))
        return x + self.mlp(self.norm3(x))
