"""k-means on the CPU in seconds, also for tens of thousands of centres."""

from __future__ import annotations

import torch
from torch import Tensor

from jetlab.kernels.nearest import nearest

__all__ = ["k_means", "spread_out"]

DRAWS = 256
"""Groups in which the first centres are drawn, at most."""

DISTANCES = 2e9
"""Distances that may be computed to draw the first centres, and again to improve them: seconds on one core."""

MANY = 0.5
"""Share of the points from which centres are drawn all alike: so many are spread out as the points are anyway."""


@torch.no_grad()
def k_means(points: Tensor, size: int, *, generator: torch.Generator | None = None, rounds: int = 10) -> Tensor:
    """Find centres of points by k-means++ and a few rounds of means of the nearest points.

    Parameters
    ----------
    points : Tensor, shape (m, d)
        At least one. If there are fewer than `size`, they are repeated with a little noise.
    size : int
        Number of centres.
    generator : torch.Generator, optional
    rounds : int
        Rounds after the draw.

    Returns
    -------
    Tensor, shape (size, d)

    Notes
    -----
    Where so many centres would take longer than some seconds, there are fewer rounds, or none, and the first centres
    are any of the points.

    References
    ----------
    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    if len(points) < size:
        repeated = points[torch.arange(size, device=points.device) % len(points)]
        noise = torch.randn(repeated.shape, generator=generator, device=points.device)
        return repeated + 1e-3 * points.std(0, correction=0) * noise
    distances = len(points) * size
    if size > MANY * len(points) or distances > DISTANCES:
        centres = points[torch.randperm(len(points), generator=generator, device=points.device)[:size]]
    else:
        centres = spread_out(points, size, generator=generator)
    for _ in range(min(rounds, int(DISTANCES / distances))):
        codes = nearest(points, centres)
        counts = torch.bincount(codes, minlength=size).to(points)
        sums = torch.zeros_like(centres).index_add_(0, codes, points)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    return centres


@torch.no_grad()
def spread_out(points: Tensor, size: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw points with probability by squared distance to those drawn before (k-means++), in at most `DRAWS` groups.

    Parameters
    ----------
    points : Tensor, shape (m, d)
    size : int
        At most m.
    generator : torch.Generator, optional

    Returns
    -------
    Tensor, shape (size, d)
    """
    group = -(-size // DRAWS)
    weight = torch.ones(len(points), device=points.device)
    drawn: list[Tensor] = []
    for done in range(0, size, group):
        rows = torch.multinomial(weight, min(group, size - done), generator=generator)
        drawn.append(points[rows])
        distance = (points - drawn[-1][nearest(points, drawn[-1])]).square().sum(1)
        weight = distance if done == 0 else torch.minimum(weight, distance)
        weight = weight.clamp(min=1e-12).index_fill(0, rows, 0.0)
    return torch.cat(drawn)
