"""Scaled dot-product attention behind one seam, so that backends can change without touching a model."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["attend", "attend_few", "attend_reference"]


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    bias: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention over padded batches.

    Right-padded causal batches need no mask: a valid query never sees the padding after it.

    Parameters
    ----------
    q : Tensor, shape (B, H, T, d)
    k, v : Tensor, shape (B, H, S, d)
    mask : Tensor of bool, shape (B, S), optional
        True for keys that may be attended. A row without any True attends to its first key, so that empty jets stay
        finite.
    causal : bool
        Query t sees keys 0 to t; needs T == S.
    bias : Tensor, broadcastable to (B, H, T, S), optional
        Added to the scores, in place of `mask` and `causal`; minus infinity hides a key. Every query needs one it sees.
    dropout : float
        Share of the attention weights that is dropped; only together with `bias`.

    Returns
    -------
    Tensor, shape (B, H, T, d)
    """
    if bias is not None:
        return _attend_biased(q, k, v, bias, dropout)
    if _written_out_is_faster(q):
        return attend_reference(q, k, v, mask=mask, causal=causal)
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    keys = _never_empty(mask)[:, None, None, :]
    if causal:
        keys = keys & _causal(q.shape[-2], q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=keys)


def attend_reference(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Do the same as `attend`, written out: the oracle of the tests."""
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)  # (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(~_never_empty(mask)[:, None, None, :], -math.inf)
    if causal:
        scores = scores.masked_fill(~_causal(q.shape[-2], q.device), -math.inf)
    return scores.softmax(-1) @ v


def attend_few(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention within very many sets of a few points each, all of which are seen: `attend` without a mask.

    On CPU, where the fused kernel and softmax over short rows are slow, it is written out.

    Parameters
    ----------
    q, k, v : Tensor, shape (B, H, N, d)

    Returns
    -------
    Tensor, shape (B, H, N, d)
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v)
    shape = q.shape
    q, k, v = (x.reshape(-1, *shape[2:]) for x in (q * (1 / math.sqrt(shape[-1])), k, v))  # (B H, N, d)
    scores = q @ k.transpose(1, 2)
    weights = (scores - scores.detach().amax(-1, keepdim=True)).exp()
    return ((weights @ v) / weights.sum(-1, keepdim=True)).view(shape)


def _attend_biased(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dropout: float) -> Tensor:
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), dropout_p=dropout)
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    weights = (scores + bias).softmax(-1)
    return (F.dropout(weights, dropout) if dropout else weights) @ v


def _written_out_is_faster(q: Tensor) -> bool:
    """On CPU the fused kernel's bfloat16 backward pass is several times slower than matrix products of short jets."""
    return q.device.type == "cpu" and q.dtype == torch.bfloat16


def _never_empty(mask: Tensor) -> Tensor:
    first = torch.zeros_like(mask)
    first[:, 0] = ~mask.any(-1)
    return mask | first


def _causal(length: int, device: torch.device) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()
