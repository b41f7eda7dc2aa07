"""The k nearest neighbours of every point among the points of its own group, and gathering their values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["gather_rows", "neighbours", "neighbours_reference"]


@torch.no_grad()
def neighbours(points: Tensor, slots: Tensor, *, k: int) -> Tensor:
    """Nearest other points of the same group by Euclidean distance.

    Parameters
    ----------
    points : Tensor, shape (m, C)
        Points of all groups, one after the other.
    slots : Tensor of int64, shape (B, N)
        Rows of `points` that belong to each group; ``m`` where a group has fewer than N.
    k : int
        Neighbours of each point.

    Returns
    -------
    Tensor of int64, shape (m, k)
        Rows of `points`, nearest first; ``m`` where a group has too few points.
    """
    m, real = len(points), slots < len(points)
    with torch.autocast(points.device.type, enabled=False):
        padded = gather_rows(points.float() if points.dtype != torch.float64 else points, slots)  # (B, N, C)
        squares = padded.square().sum(-1)
        distance = squares[:, :, None] - 2 * padded @ padded.transpose(1, 2) + squares[:, None, :]  # (B, N, N)
    itself = torch.eye(slots.shape[1], dtype=torch.bool, device=slots.device)
    distance = distance.masked_fill(itself | ~real[:, None, :], math.inf)
    nearest, place = distance.topk(min(k, slots.shape[1]), largest=False)  # (B, N, <= k)
    rows = slots[:, None, :].expand(-1, slots.shape[1], -1).gather(2, place)
    rows = rows.masked_fill(nearest.isinf(), m)[real]
    return torch.nn.functional.pad(rows, (0, k - rows.shape[1]), value=m)


@torch.no_grad()
def neighbours_reference(points: Tensor, slots: Tensor, *, k: int) -> Tensor:
    """Do the same as `neighbours`, point by point in float64: the oracle of the tests."""
    m = len(points)
    found = torch.full((m, k), m)
    for group in slots:
        rows = group[group < m]
        for row in rows:
            others = rows[rows != row]
            distance = (points[others].double() - points[row].double()).norm(dim=1)
            nearest = others[distance.argsort(stable=True)][:k]
            found[row, : len(nearest)] = nearest
    return found


def gather_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Values of these rows, zero for the row after the last: shapes ``(m, C)`` and ``(...)`` to ``(..., C)``."""
    return torch.cat([values, values.new_zeros(1, values.shape[1])])[rows]
