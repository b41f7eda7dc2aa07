"""Observables as samples of jets, and their resampling as matrix products.

A resampling draws jets with replacement: it gives every jet a weight, and all values of the jet get it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Grid", "Sample", "resample"]

FloatArray = npt.NDArray[np.float64]

_MAX_CELLS = 4096


class Sample(NamedTuple):
    """One observable of a set of jets: its finite values, the jet each belongs to, and what was left out.

    Attributes
    ----------
    values : ndarray, shape (m,)
        Finite values.
    jet : ndarray of int, shape (m,)
        Index of the jet of each value, 0 to ``jets - 1``.
    jets : int
        Number of jets, with those that have no finite value.
    left_out : float
        Fraction of values that are not finite.
    """

    values: FloatArray
    jet: npt.NDArray[np.int64]
    jets: int
    left_out: float

    @classmethod
    def of(cls, values: npt.ArrayLike, *, offsets: npt.NDArray[np.int64] | None = None) -> Sample:
        """Make a sample from one value a jet, or from constituent values with the `offsets` of the jets."""
        x = np.asarray(values, dtype=np.float64)
        jets = x.size if offsets is None else len(offsets) - 1
        jet = np.arange(jets) if offsets is None else np.repeat(np.arange(jets), np.diff(offsets))
        finite = np.isfinite(x)
        return cls(x[finite], jet[finite], jets, float(1 - finite.mean()) if x.size else float("nan"))

    @property
    def filled(self) -> int:
        """Number of jets that have a finite value."""
        return int(np.count_nonzero(np.bincount(self.jet)))

    @property
    def one_per_jet(self) -> bool:
        """Whether no jet has more than one value."""
        return self.values.size == self.filled


# ---- resampling -----------------------------------------------------------------------------------------------------


def resample(rng: np.random.Generator, n: int, size: int, b: int) -> npt.NDArray[np.float32]:
    """How often each of `n` jets is drawn when `size` are drawn with replacement, `b` times, shape (n, b)."""
    drawn = rng.integers(0, n, size=(size, b)) if n else np.empty((0, b), dtype=np.int64)
    counts = np.bincount((drawn * b + np.arange(b)).ravel(), minlength=n * b)
    return counts.reshape(n, b).astype(np.float32)


class Grid(NamedTuple):
    """Two samples on a common grid of cells, so that a resampling of jets is a matrix product.

    Every value is a cell of its own if there are few; else cells hold about equally many values or are equally wide,
    whichever is finer, and sit at the mean of their values.
    """

    position: FloatArray  # (cells,)
    true: Any  # sparse (cells, jets)
    generated: Any  # sparse (cells, jets)

    @classmethod
    def of(cls, true: Sample, generated: Sample) -> Grid:
        """Make the common grid of two samples with at least one value each."""
        from scipy.sparse import csr_array

        pooled = np.sort(np.concatenate([true.values, generated.values]))
        starts = _cell_starts(pooled)
        counts = np.diff(np.append(np.searchsorted(pooled, starts), pooled.size))
        sums = np.add.reduceat(pooled, np.searchsorted(pooled, starts))
        matrices = []
        for sample in (true, generated):
            cell = np.searchsorted(starts, sample.values, side="right") - 1
            ones = np.ones(sample.values.size, dtype=np.float32)
            matrices.append(csr_array((ones, (cell, sample.jet)), shape=(starts.size, sample.jets)))
        return cls(sums / counts, *matrices)

    def distances(
        self, true: npt.NDArray[np.float32], generated: npt.NDArray[np.float32], *, true_only: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """Wasserstein-1 distance and largest gap for each column of jet weights, shape (b,); NaN for empty draws."""
        first = _cumulative(self.true @ true)
        second = _cumulative((self.true if true_only else self.generated) @ generated)
        gap = np.abs(first - second)
        return np.diff(self.position) @ gap[:-1], gap.max(axis=0)


def _cell_starts(pooled: FloatArray) -> FloatArray:
    """Lower ends of the cells for sorted values; each cell holds at least one value."""
    distinct = pooled[np.concatenate([[True], np.diff(pooled) > 0])]
    if distinct.size <= _MAX_CELLS:
        return distinct
    half = _MAX_CELLS // 2
    even = pooled[np.linspace(0, pooled.size - 1, half).astype(np.int64)]
    after = np.searchsorted(distinct, np.linspace(distinct[0], distinct[-1], half))
    wide = distinct[np.minimum(after, distinct.size - 1)]
    return np.unique(np.concatenate([even, wide]))


def _cumulative(counts: npt.NDArray[np.float32]) -> FloatArray:
    total = np.cumsum(counts, axis=0, dtype=np.float64)
    return np.divide(total, total[-1], out=np.full_like(total, np.nan), where=total[-1] > 0)
