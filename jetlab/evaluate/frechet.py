"""Frechet and kernel physics distances (FPD, KPD): how far generated jets are from true ones in 36 dimensions at once.

The features are the energy flow polynomials with at most four edges; definitions and defaults are those of JetNet [1]_.
Both draw batches with replacement from finite samples, so that neither is zero for two samples of the same jets: a
value means something only beside its truth-vs-truth floor at the same numbers of jets.

References
----------
.. [1] R. Kansal et al., arXiv:2211.10295; jetnet.evaluation.gen_metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets
from jetlab.observables.energyflow import energy_flow_polynomials

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Batches", "Estimate", "fpd", "frechet_distance", "frechet_distance_to", "kpd", "physics_distances"]

FloatArray = npt.NDArray[np.float64]

FEWEST = 100
"""Jets that a sample needs: with fewer, the covariance of 36 features means nothing."""

_BLOCK = 1000


class Estimate(NamedTuple):
    """A value, its uncertainty, and what limits it (empty if nothing does)."""

    value: float
    error: float
    note: str = ""


@dataclass(frozen=True)
class Batches:
    """Numbers of jets that the distances are measured with; the defaults are JetNet's.

    Parameters
    ----------
    smallest, largest : int
        FPD: range of batch sizes, in `points` even steps of 1 / size.
    points, repeats : int
        FPD: batch sizes, and batches of each.
    kernel, kernel_repeats : int
        KPD: size and number of batches.
    """

    smallest: int = 20_000
    largest: int = 50_000
    points: int = 10
    repeats: int = 20
    kernel: int = 5_000
    kernel_repeats: int = 10

    def for_jets(self, n: int) -> Batches:
        """The same, scaled down for samples of `n` jets if they hold fewer than `largest`."""
        if n >= self.largest:
            return self
        scale = n / self.largest
        smallest, kernel = max(int(self.smallest * scale), 2), max(int(self.kernel * scale), FEWEST // 2)
        return Batches(smallest, n, self.points, self.repeats, kernel, self.kernel_repeats)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Batch sizes of the FPD."""
        return (1 / np.linspace(1 / self.smallest, 1 / self.largest, self.points)).astype(np.int64)


# ---- the two distances ----------------------------------------------------------------------------------------------


def frechet_distance(a: FloatArray, b: FloatArray) -> float:
    """Squared Frechet distance of the normal distributions with the means and covariances of two samples.

    Parameters
    ----------
    a, b : ndarray, shapes (n, D) and (m, D)
    """
    return frechet_distance_to(b.mean(axis=0), np.cov(b, rowvar=False), a)


def frechet_distance_to(mean: FloatArray, covariance: FloatArray, a: FloatArray) -> float:
    """Squared Frechet distance of a sample to the normal distribution with this mean and covariance.

    Parameters
    ----------
    mean, covariance : ndarray, shapes (D,) and (D, D)
    a : ndarray, shape (n, D)
    """
    means, own = a.mean(axis=0) - mean, np.cov(a, rowvar=False)
    shared = np.linalg.svd(_root(own) @ _root(covariance), compute_uv=False).sum()
    return float(means @ means + np.trace(own) + np.trace(covariance) - 2 * shared)


def fpd(true: FloatArray, generated: FloatArray, *, seed: int = 42, batches: Batches | None = None) -> Estimate:
    """Frechet physics distance: Frechet distances of batches, extrapolated in a straight line to infinite batches.

    Parameters
    ----------
    true, generated : ndarray, shapes (n, D) and (m, D)
        Features, such as those of `jetlab.observables.energyflow`; divided here by the largest true ones.
    seed : int
        Of the batches.
    batches : Batches, optional
        By default those of JetNet, scaled down where there are fewer than 50,000 jets.

    Returns
    -------
    Estimate
        Intercept of the line, not below zero, and its fit error.

    Raises
    ------
    InvalidJetsError
        If a sample holds fewer than 100 jets, or the numbers of features differ.
    """
    x, y = _normalised(true, generated)
    return _fpd(x, y, seed, batches or Batches().for_jets(min(len(x), len(y))))


def _fpd(x: FloatArray, y: FloatArray, seed: int, plan: Batches) -> Estimate:
    rng = np.random.default_rng(seed)
    means = []
    for size in plan.sizes:
        pairs = ((rng.integers(0, len(x), size), rng.integers(0, len(y), size)) for _ in range(plan.repeats))
        means.append(np.mean([frechet_distance(x[a], y[b]) for a, b in pairs]))
    return Estimate(*_intercept(1 / plan.sizes, np.array(means)), _note(plan))


def kpd(true: FloatArray, generated: FloatArray, *, seed: int = 42, batches: Batches | None = None) -> Estimate:
    """Kernel physics distance: squared maximum mean discrepancy with the kernel (x y / D + 1)^4.

    Parameters
    ----------
    true, generated, seed, batches
        As for `fpd`.

    Returns
    -------
    Estimate
        Median over the batches and half of the range from 16 to 84 %. It may be negative.

    Raises
    ------
    InvalidJetsError
        As for `fpd`.
    """
    x, y = _normalised(true, generated)
    return _kpd(x, y, seed, batches or Batches().for_jets(min(len(x), len(y))))


def _kpd(x: FloatArray, y: FloatArray, seed: int, plan: Batches) -> Estimate:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(plan.kernel_repeats):
        a, b = x[rng.integers(0, len(x), plan.kernel)], y[rng.integers(0, len(y), plan.kernel)]
        found.append(_pairs(a) + _pairs(b) - 2 * _kernel_sum(a, b) / plan.kernel**2)
    low, high = np.percentile(found, [16.275, 83.725])
    return Estimate(float(np.median(found)), float(high - low) / 2, _note(plan))


def physics_distances(
    true: Jets | FloatArray,
    generated: Jets | FloatArray,
    *,
    seed: int = 42,
    floors: int = 10,
    batches: Batches | None = None,
) -> pd.DataFrame:
    """FPD and KPD between two samples of jets, each with its truth-vs-truth floor at the same numbers of jets.

    Parameters
    ----------
    true, generated : Jets, or ndarray of shape (n, D)
        Jets, or their features where they are compared more than once.
    seed : int
        Of batches and floors.
    floors : int
        How many pairs of samples are drawn from the true jets, with replacement, for the floor; at least 2. They are
        scaled like the true jets themselves, since the largest values are not in every draw.
    batches : Batches, optional
        As for `fpd`.

    Returns
    -------
    pandas.DataFrame
        Rows ``fpd`` and ``kpd``; columns ``value``, ``error``, ``floor``, ``floor_sd``, ``z`` (value above the floor in
        units of its spread), ``n_true``, ``n_generated``, ``note``.

    Raises
    ------
    InvalidJetsError
        As for `fpd`.
    """
    import pandas as pd

    x, y = _normalised(*(energy_flow_polynomials(v) if isinstance(v, Jets) else v for v in (true, generated)))
    plan = batches or Batches().for_jets(min(len(x), len(y)))
    rng = np.random.default_rng(seed)
    rows = {}
    pairs = [(x[rng.integers(0, len(x), len(x))], x[rng.integers(0, len(x), len(y))]) for _ in range(floors)]
    for name, distance in (("fpd", _fpd), ("kpd", _kpd)):
        found = distance(x, y, seed, plan)
        null = [distance(a, b, seed + 1 + k, plan).value for k, (a, b) in enumerate(pairs)]
        floor, spread = float(np.mean(null)), float(np.std(null, ddof=1))
        z = (found.value - floor) / spread if spread > 0 else float("nan")
        rows[name] = {
            "value": found.value, "error": found.error, "floor": floor, "floor_sd": spread, "z": z,
            "n_true": len(x), "n_generated": len(y), "note": found.note,
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("measure")


# ---- the parts ------------------------------------------------------------------------------------------------------


def _normalised(true: FloatArray, generated: FloatArray) -> tuple[FloatArray, FloatArray]:
    x, y = np.asarray(true, np.float64), np.asarray(generated, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        msg = f"found features of shapes {x.shape} and {y.shape}, expected (n, D) and (m, D) with the same D"
        raise InvalidJetsError(msg)
    if min(len(x), len(y)) < FEWEST:
        msg = f"found {len(x)} true and {len(y)} generated jets; FPD and KPD need at least {FEWEST} of each"
        raise InvalidJetsError(msg)
    largest = np.abs(x).max(axis=0)
    largest[largest == 0] = 1.0
    return x / largest, y / largest


def _root(covariance: FloatArray) -> FloatArray:
    """Symmetric square root of a covariance matrix."""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _intercept(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Intercept and its error of the line ``a + b x`` with a and b not below zero, by least squares."""
    design = np.stack([np.ones_like(x), x], axis=1)
    (a, b), *_ = np.linalg.lstsq(design, y, rcond=None)
    if a < 0:
        a, b = 0.0, max(float(x @ y / (x @ x)), 0.0)
    elif b < 0:
        a, b = float(y.mean()), 0.0
    left = y - a - b * x
    covariance = np.linalg.inv(design.T @ design) * (left @ left) / (len(x) - 2)
    return float(max(a, 0.0)), float(np.sqrt(covariance[0, 0]))


def _pairs(points: FloatArray) -> float:
    """Mean of the kernel over pairs of different points of one sample."""
    n = len(points)
    own = ((np.square(points).sum(axis=1) / points.shape[1] + 1) ** 4).sum()
    return float((_kernel_sum(points, points) - own) / (n * (n - 1)))


def _kernel_sum(a: FloatArray, b: FloatArray) -> float:
    total = 0.0
    for start in range(0, len(a), _BLOCK):
        kernel = a[start : start + _BLOCK] @ b.T
        kernel /= a.shape[1]
        kernel += 1
        np.square(kernel, out=kernel)
        total += float(np.vdot(kernel, kernel))
    return total


def _note(plan: Batches) -> str:
    usual = Batches()
    if plan == usual:
        return ""
    return (
        f"batches of {plan.smallest:,} to {plan.largest:,} (FPD) and {plan.kernel:,} (KPD) jets in place of the usual "
        f"{usual.smallest:,} to {usual.largest:,} and {usual.kernel:,}"
    )
