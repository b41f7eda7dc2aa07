"""Index of the nearest row of a table for many points, without the full points-times-rows distance matrix."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["nearest", "nearest_reference"]


@torch.no_grad()
def nearest(points: Tensor, table: Tensor, *, chunk: int = 512) -> Tensor:
    """Nearest row by Euclidean distance.

    The squared norm of the rows is folded into one matrix product, done in float32 whatever the autocast state:
    half precision picks another row for several per cent of points.

    Parameters
    ----------
    points : Tensor, shape (M, d)
    table : Tensor, shape (K, d)
    chunk : int
        Points handled at once; bounds the extra memory to ``chunk * K`` floats.

    Returns
    -------
    Tensor of int64, shape (M,)
        Row indices; the first of equal rows.
    """
    with torch.autocast(points.device.type, enabled=False):
        table = table.float()
        folded = torch.cat([-2.0 * table, table.square().sum(1, keepdim=True)], dim=1).T.contiguous()  # (d + 1, K)
        ones = torch.ones(points.shape[0], 1, device=points.device)
        queries = torch.cat([points.float(), ones], dim=1)
        found = [torch.argmin(part @ folded, dim=1) for part in queries.split(chunk)]
    return torch.cat(found) if found else torch.empty(0, dtype=torch.int64, device=points.device)


@torch.no_grad()
def nearest_reference(points: Tensor, table: Tensor) -> Tensor:
    """Do the same as `nearest` from the full distance matrix in float64: the oracle of the tests."""
    return (points[:, None, :].double() - table[None, :, :].double()).square().sum(-1).argmin(1)
