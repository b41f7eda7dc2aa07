"""Layers of networks with dynamic tanh in place of norms (arXiv:2503.10622), as OmniLearned is built of them.

A dynamic tanh is ``weight * tanh(alpha * x)``. Where a linear layer follows, the weight is multiplied into its matrix:
the same function with one pass over the activations less.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jetlab.kernels.attention import attend, attend_few

__all__ = ["Attention", "Block", "DynamicTanh", "FeedForward", "TokenBlock"]


class DynamicTanh(nn.Module):
    """``weight * tanh(alpha * x)`` with one alpha for all features.

    Parameters
    ----------
    width : int
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha, self.weight = nn.Parameter(torch.full((1,), 0.5)), nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(..., D)`` in and out."""
        return (self.alpha * x).tanh_() * self.weight

    def into(self, linear: nn.Linear, x: Tensor) -> Tensor:
        """What the linear layer makes of the normed input."""
        return F.linear((self.alpha * x).tanh_(), linear.weight * self.weight, linear.bias)


class FeedForward(nn.Module):
    """Two linear layers with GELU and, if asked for, a dynamic tanh between.

    Parameters
    ----------
    width, hidden, out : int
    bias, norm : bool
    """

    def __init__(self, width: int, hidden: int, out: int, *, bias: bool = True, norm: bool = True) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, hidden, bias=bias), nn.Linear(hidden, out, bias=bias)
        self.norm = DynamicTanh(hidden) if norm else None
        for linear in (self.first, self.last):
            _start(linear)

    def forward(self, x: Tensor, *, norm: DynamicTanh | None = None, mean: bool = False) -> Tensor:
        """Shape ``(..., width)`` to ``(..., out)``.

        Parameters
        ----------
        x : Tensor
        norm : DynamicTanh, optional
            Applied to `x` first.
        mean : bool
            Give the mean over the last dimension but one. It is taken before the last layer, which is linear.
        """
        h = F.gelu(self.first(x) if norm is None else norm.into(self.first, x))
        if self.norm is None:
            return self.last(h.mean(-2) if mean else h)
        if mean:
            h = (self.norm.alpha * h).tanh_().mean(-2)
            return F.linear(h, self.last.weight * self.norm.weight, self.last.bias)
        return self.norm.into(self.last, h)


class Attention(nn.Module):
    """Multi-head attention without biases.

    Parameters
    ----------
    width, heads : int
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            msg = f"width {width} cannot be split into {heads} heads; choose a multiple of {heads}"
            raise ValueError(msg)
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        for linear in (self.qkv, self.out):
            _start(linear)

    def within(self, x: Tensor, norm: DynamicTanh, *, bias: Tensor | None = None) -> Tensor:
        """Attention of a normed set to itself, shape ``(B, N, D)`` in and out.

        Parameters
        ----------
        x : Tensor, shape (B, N, D)
        norm : DynamicTanh
        bias : Tensor, broadcastable to (B, H, N, N), optional
            Added to the scores; minus infinity hides a key. None is for many small sets, of which nothing is hidden.
        """
        qkv = norm.into(self.qkv, x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, H, N, d)
        y = attend_few(*qkv) if bias is None else attend(*qkv, bias=bias)
        return self.out(y.transpose(1, 2).flatten(2))

    def across(self, tokens: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """What tokens ``(B, T, D)`` read from a set ``(B, N, D)`` with its mask ``(B, N)``, shape ``(B, T, D)``.

        The set must be zero where it is masked: an empty one then gives zero.
        """
        of_query, of_set = self.qkv.weight.split([x.shape[-1], 2 * x.shape[-1]])
        q = F.linear(tokens, of_query).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, T, d)
        k, v = F.linear(x, of_set).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, H, N, d)
        return self.out(attend(q, k, v, mask=mask).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention within a set and feed-forward, with residuals.

    Parameters
    ----------
    width, heads : int
    expansion : int
        Width of the feed-forward layer over `width`.
    """

    def __init__(self, width: int, heads: int, *, expansion: int = 2) -> None:
        super().__init__()
        self.norm1, self.attention = DynamicTanh(width), Attention(width, heads)
        self.norm2, self.mlp = DynamicTanh(width), FeedForward(width, expansion * width, width)

    def forward(self, x: Tensor, *, bias: Tensor | None = None, mean: bool = False) -> Tensor:
        """Shape ``(B, N, D)`` in and out, or ``(B, D)`` for the mean over the set; `bias` as for `Attention.within`."""
        x = x + self.attention.within(x, self.norm1, bias=bias)
        return (x.mean(-2) if mean else x) + self.mlp(x, norm=self.norm2, mean=mean)


class TokenBlock(nn.Module):
    """Tokens that read from a set, then a feed-forward layer; the tokens that ask are not normed.

    Parameters
    ----------
    width, heads, expansion : int
    """

    def __init__(self, width: int, heads: int, *, expansion: int = 2) -> None:
        super().__init__()
        self.attention, self.norm = Attention(width, heads), DynamicTanh(width)
        self.mlp = FeedForward(width, expansion * width, width)

    def forward(self, tokens: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """Shape ``(B, T, D)`` in and out; the set ``(B, N, D)`` and its mask as for `Attention.across`."""
        tokens = tokens + self.attention.across(tokens, x, mask)
        return tokens + self.mlp(tokens, norm=self.norm)


def _start(linear: nn.Linear) -> None:
    """Weights as published."""
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
