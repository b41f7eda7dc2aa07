"""Quantizers: points to the nearest of many vectors, learned (vector quantization) or fixed (finite scalar)."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from jetlab.kernels.nearest import nearest
from jetlab.models.tokenizers.kmeans import k_means

__all__ = ["FiniteScalarQuantizer", "Learning", "Quantized", "VectorQuantizer", "fsq_levels"]

Learning = Literal["means", "gradient"]

NORMAL = 1.702
"""The logistic function of this times x is nearly the normal distribution function of x."""


class Quantized(NamedTuple):
    """Codebook vectors (m, d) with the gradient of the points, their codes (m,) and the loss of the quantizer."""

    points: Tensor
    codes: Tensor
    commitment: Tensor


class VectorQuantizer(nn.Module):
    """Nearest vector of a learned codebook.

    Only points of real particles are ever given to it, so padding touches neither the codebook nor its use.
    For its first steps it lets the points through, until encoder and decoder have found a use for them: a codebook
    placed on the latents of an untrained encoder would be left behind. Then it starts from k-means of the latest
    points, and vectors that nothing is assigned to are moved to random points.

    Parameters
    ----------
    size, width : int
        Vectors of the codebook and their width.
    learning : {"means", "gradient"}
        "means": each vector is the running mean of the points assigned to it, and the loss is the squared distance of
        the points to their vectors. "gradient": the vectors are parameters that follow a loss of their own.
    affine : float
        If not 0, the vectors are ``(1 + affine * scale) * codebook + affine * shift`` with a learned scale and shift
        for each of the `width` directions, so that all vectors can follow the encoder together.
    beta : float
        With "gradient" the loss is ``1 - beta`` times the squared distance that the encoder feels plus `beta` times the
        one that the codebook feels.
    sync_nu : float
        Share of the decoder's gradient that reaches the codebook too.
    wait : int
        Training steps before quantization begins.
    decay : float
        Memory of the running means in steps, as ``1 - 1 / steps``.
    revive_below : float
        A vector used less than this fraction of the average is moved.

    Notes
    -----
    Start and replacement place the vectors where they are used, after the affine map.

    References
    ----------
    van den Oord et al., arXiv:1711.00937; Huh et al., "Straightening out the straight-through estimator",
    arXiv:2305.08842 (affine map, synchronised commitment).
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor
    steps: Tensor

    def __init__(
        self,
        size: int,
        width: int,
        *,
        learning: Learning = "means",
        affine: float = 0.0,
        beta: float = 0.9,
        sync_nu: float = 0.0,
        wait: int = 200,
        decay: float = 0.98,
        revive_below: float = 0.05,
    ) -> None:
        super().__init__()
        self.learning, self.affine, self.beta, self.sync_nu = learning, affine, beta, sync_nu
        self.wait, self.decay, self.revive_below = wait, decay, revive_below
        if learning == "means":
            self.register_buffer("codebook", torch.randn(size, width))
            self.register_buffer("sums", torch.zeros(size, width))
        else:
            self.codebook = nn.Parameter(torch.randn(size, width))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        if affine:
            self.scale, self.shift = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    @property
    def size(self) -> int:
        """Number of vectors."""
        return len(self.codebook)

    def vectors(self) -> Tensor:
        """Vectors that the codes stand for, shape ``(size, width)``."""
        if not self.affine:
            return self.codebook
        return (1 + self.affine * self.scale) * self.codebook.clone() + self.affine * self.shift

    def codes(self, points: Tensor) -> Tensor:
        """Codes of points of shape ``(m, width)``."""
        return nearest(points.detach().float(), self.vectors().detach())

    def points(self, codes: Tensor) -> Tensor:
        """Vectors of codes of any shape."""
        return self.vectors()[codes]

    def forward(self, points: Tensor, generator: torch.Generator | None = None) -> Quantized:
        """Quantize points of shape ``(m, width)``; learns the codebook in training mode."""
        points = points.float()
        if self.training and len(points):
            self.steps += 1
            if self.steps <= self.wait:
                self._remember(points.detach())
                nothing = torch.zeros(len(points), dtype=torch.int64, device=points.device)
                return Quantized(points, nothing, points.new_zeros(()))
            if self.steps == self.wait + 1:
                self._start(points.detach(), generator)
        vectors = self.vectors()
        codes = nearest(points.detach(), vectors.detach())
        rows = vectors[codes]
        if self.training and len(points):
            self._follow(points.detach(), codes, generator)
        through = points + (rows - points).detach()
        if self.sync_nu:
            through = through + self.sync_nu * (rows - rows.detach())
        return Quantized(through, codes, self._loss(points, rows))

    def _loss(self, points: Tensor, rows: Tensor) -> Tensor:
        if not len(points):
            return points.sum()
        felt_by_encoder = (points - rows.detach()).square().mean()
        if self.learning == "means" and not self.affine:
            return felt_by_encoder
        felt_by_codebook = (points.detach() - rows).square().mean()
        if self.learning == "means":
            return felt_by_encoder + felt_by_codebook
        return (1 - self.beta) * felt_by_encoder + self.beta * felt_by_codebook

    def _before_affine(self, vectors: Tensor) -> Tensor:
        """Rows of the codebook that the affine map turns into these vectors."""
        return (vectors - self.affine * self.shift) / (1 + self.affine * self.scale) if self.affine else vectors

    @torch.no_grad()
    def _remember(self, points: Tensor) -> None:
        """Keep the latest points in the codebook, which has no other use yet, with a count of zero."""
        self.codebook.copy_(torch.cat([points, self.codebook])[: self.size])
        self.counts.copy_(torch.cat([points.new_zeros(len(points)), self.counts])[: self.size])

    @torch.no_grad()
    def _start(self, points: Tensor, generator: torch.Generator | None) -> None:
        points = torch.cat([points, self.codebook[self.counts == 0]])
        self.codebook.copy_(self._before_affine(k_means(points, self.size, generator=generator)))
        self.counts.fill_(len(points) / self.size)
        if self.learning == "means":
            self.sums.copy_(self.codebook * self.counts[:, None])

    @torch.no_grad()
    def _follow(self, points: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        """Count the use of the vectors, move those that have none, and let running means follow."""
        points = self._before_affine(points)
        self.counts.lerp_(torch.bincount(codes, minlength=self.size).float(), 1 - self.decay)
        if self.learning == "means":
            self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, codes, points), 1 - self.decay)
        dead = self.counts < self.revive_below * self.counts.mean()
        if dead.any():
            pick = torch.randint(len(points), (int(dead.sum()),), generator=generator, device=points.device)
            usual = self.counts.mean()
            self.counts[dead] = usual
            if self.learning == "means":
                self.sums[dead] = points[pick] * usual
            else:
                self.codebook[dead] = points[pick]
        if self.learning == "means":
            self.codebook.copy_(self.sums / self.counts[:, None])


class FiniteScalarQuantizer(nn.Module):
    """Each direction of the latent space is cut into levels, with nothing of them to learn by gradient.

    A point is centred, scaled, and squeezed between 0 and 1 by nearly the normal distribution function, rounded there,
    and taken back, so that the levels of a direction are about equally full and a vector lies near the points that it
    stands for. For its first steps it lets the points through and measures their mean and spread, as `VectorQuantizer`
    waits before it starts.

    Parameters
    ----------
    levels : tuple of int
        Number of levels in each direction, at least 2. The codes count the points of this grid, the last direction
        fastest.
    wait : int
        Training steps before rounding begins; from then on mean and spread stay as they were measured.

    References
    ----------
    Mentzer et al., "Finite scalar quantization: VQ-VAE made simple", arXiv:2309.15505. Measuring mean and spread, and
    taking the rounded points back to where they came from, are ours.
    """

    levels: Tensor
    strides: Tensor
    centre: Tensor
    spread: Tensor
    steps: Tensor

    def __init__(self, levels: tuple[int, ...], *, wait: int = 200) -> None:
        super().__init__()
        self.size, self.wait = math.prod(levels), wait
        strides = [math.prod(levels[i + 1 :]) for i in range(len(levels))]
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        self.register_buffer("centre", torch.zeros(len(levels)))
        self.register_buffer("spread", torch.ones(len(levels)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def vectors(self) -> Tensor:
        """Points of the grid, shape ``(size, d)``."""
        return self.points(torch.arange(self.size, device=self.levels.device))

    def codes(self, points: Tensor) -> Tensor:
        """Codes of points of shape ``(m, d)``."""
        return self._numbers(self._places(points.detach().float()).round())

    def points(self, codes: Tensor) -> Tensor:
        """Points of the grid of codes of any shape."""
        return self._on_grid(codes[..., None] // self.strides % self.levels)

    def forward(self, points: Tensor, generator: torch.Generator | None = None) -> Quantized:  # noqa: ARG002
        """Quantize points of shape ``(m, d)``; the gradient passes the rounding as if it were not there."""
        points = points.float()
        places = self._places(points)
        rounded = places.detach().round()
        through = self._on_grid(places + (rounded - places).detach())
        if self.training and len(points):
            self.steps += 1
            if self.steps <= self.wait:
                self._measure(points)
                through = points
        return Quantized(through, self._numbers(rounded), points.new_zeros(()))

    @torch.no_grad()
    def _measure(self, points: Tensor) -> None:
        self.centre.lerp_(points.mean(0), 0.1)
        self.spread.lerp_(points.std(0, correction=0).clamp(min=1e-3), 0.1)

    def _places(self, points: Tensor) -> Tensor:
        """Place among the levels before rounding, from -0.5 to half a level beyond the last: all are as wide."""
        share = torch.sigmoid(NORMAL * (points - self.centre) / self.spread)
        return self.levels * share.clamp(1e-4, 1 - 1e-4) - 0.5

    def _on_grid(self, places: Tensor) -> Tensor:
        return torch.logit((places + 0.5) / self.levels) / NORMAL * self.spread + self.centre

    def _numbers(self, places: Tensor) -> Tensor:
        return (places.long() * self.strides).sum(-1)


def fsq_levels(codes: int, width: int) -> tuple[int, ...]:
    """Levels in so many directions, as equal as can be, whose product comes nearest to a number of codes.

    As many directions as a constituent has inputs serve best: with more, a good part of the grid is never reached.
    """
    fewer = int(codes ** (1 / width) + 1e-9)
    if fewer < 2:
        msg = f"{codes} codes cannot be made of at least 2 levels in each of {width} directions"
        raise ValueError(msg)
    grids = [(fewer + 1,) * more + (fewer,) * (width - more) for more in range(width + 1)]
    return min(grids, key=lambda levels: abs(math.prod(levels) - codes))
