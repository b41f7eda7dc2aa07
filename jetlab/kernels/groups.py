"""Points spread over a set, and the points of the set that lie near each of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["farthest_points", "squared_distances"]


@torch.no_grad()
def farthest_points(points: Tensor, mask: Tensor, *, k: int) -> tuple[Tensor, Tensor]:
    """Choose points one after the other, each the farthest from all before (Eldar et al., IEEE TIP 6, 1305, 1997).

    Parameters
    ----------
    points : Tensor, shape (B, N, C)
    mask : Tensor of bool, shape (B, N)
        True for real points. The first point is where choosing starts.
    k : int
        How many to choose.

    Returns
    -------
    chosen : Tensor of int64, shape (B, k)
        Their places in the set, in the order of their choice.
    real : Tensor of bool, shape (B, k)
        False where a set has fewer than k points; `chosen` is then of no meaning.
    """
    rows = torch.arange(len(points), device=points.device)
    distance = torch.full(mask.shape, math.inf, device=points.device).masked_fill(~mask, -math.inf)  # to the chosen
    chosen = [torch.zeros_like(rows)]
    for _ in range(k - 1):
        last = points[rows, chosen[-1]]  # (B, C)
        distance = torch.minimum(distance, (points - last[:, None]).square().sum(-1))
        distance[rows, chosen[-1]] = -math.inf
        chosen.append(distance.argmax(1))
    return torch.stack(chosen, 1), torch.arange(k, device=mask.device) < mask.sum(1, keepdim=True)


@torch.no_grad()
def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances between the points ``(B, M, C)`` and ``(B, N, C)`` of each set, shape ``(B, M, N)``."""
    return (a[:, :, None] - b[:, None]).square().sum(-1)
