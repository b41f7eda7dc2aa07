"""Scaled dot-product attention behind one seam, so that backends can change without touching a model."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["attend", "attend_reference"]


def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
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

    Returns
    -------
    Tensor, shape (B, H, T, d)
    """
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


def _written_out_is_faster(q: Tensor) -> bool:
    """On CPU the fused kernel's bfloat16 backward pass is several times slower than matrix products of short jets."""
    return q.device.type == "cpu" and q.dtype == torch.bfloat16


def _never_empty(mask: Tensor) -> Tensor:
    first = torch.zeros_like(mask)
    first[:, 0] = ~mask.any(-1)
    return mask | first


def _causal(length: int, device: torch.device) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()
