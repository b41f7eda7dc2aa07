"""Distances between two samples of an observable, with uncertainties and the truth-vs-truth floor.

Uncertainties come from resampling *jets*: an observable of constituents has many values per jet, and these are kept
together, because constituents of one jet are not independent.

The Wasserstein-1 distance is the area between the two cumulative distributions [1]_, in the unit of the observable:
for a pure shift it is the shift. Two finite samples of the same jets never have distance zero; the *floor* is what they
have, and a distance means something only in comparison with it.

References
----------
.. [1] C. Villani, Optimal Transport: Old and New, Springer 2009.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jetlab.errors import JetLabError
from jetlab.evaluate.samples import Grid, Sample, resample

__all__ = ["Distance", "floor", "ks", "measure", "wasserstein"]

FloatArray = npt.NDArray[np.float64]

SMALL_SAMPLE = 50
"""With fewer jets than this the uncertainties are rough, and a note says so."""

_MAX_BLOCK = 4_000_000
_EXACT_KS = 500


# ---- two samples of numbers -----------------------------------------------------------------------------------------


def wasserstein(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    a_weights: npt.ArrayLike | None = None,
    b_weights: npt.ArrayLike | None = None,
) -> float:
    """Exact Wasserstein-1 distance between two one-dimensional samples, by sorting.

    Parameters
    ----------
    a, b : array_like, shape (n,) and (m,)
        The samples; sizes may differ. Values that are not finite are left out.
    a_weights, b_weights : array_like, shape (n,) and (m,), optional
        Weights, not negative; each sample is normalised by itself.

    Returns
    -------
    float
        In the unit of the samples; NaN if a sample is empty.

    Raises
    ------
    JetLabError
        If weights are negative or their number does not match.
    """
    (x, wx), (y, wy) = _clean(a, a_weights, "a"), _clean(b, b_weights, "b")
    if not wx.sum() or not wy.sum():
        return float("nan")
    values, gap = _cumulative_gap(x, wx, y, wy)
    return float(np.sum(np.abs(gap[:-1]) * np.diff(values)))


def ks(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov test.

    Parameters
    ----------
    a, b : array_like, shape (n,) and (m,)
        The samples; sizes may differ. Values that are not finite are left out.

    Returns
    -------
    statistic, p_value : float
        Largest gap between the cumulative distributions, and the probability of a larger one if both samples come from
        the same distribution (exact for small samples; too large for discrete observables). NaN if a sample is empty.
    """
    from scipy.stats import ks_2samp

    (x, _), (y, _) = _clean(a, None, "a"), _clean(b, None, "b")
    if not x.size or not y.size:
        return float("nan"), float("nan")
    with warnings.catch_warnings():  # scipy falls back on the asymptotic value by itself where p is tiny
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation unsuccessful", RuntimeWarning)
        result = ks_2samp(x, y, method="exact" if max(x.size, y.size) <= _EXACT_KS else "asymp")
    return float(result.statistic), float(result.pvalue)


def _clean(values: npt.ArrayLike, weights: npt.ArrayLike | None, name: str) -> tuple[FloatArray, FloatArray]:
    x = np.asarray(values, dtype=np.float64).ravel()
    w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if w.shape != x.shape:
        msg = f"sample {name} has {x.size} values but {w.size} weights; expected one weight a value"
        raise JetLabError(msg)
    if not (w >= 0).all():
        msg = f"sample {name} has {int((~(w >= 0)).sum())} negative or NaN weights; a distance needs weights >= 0"
        raise JetLabError(msg)
    finite = np.isfinite(x)
    return x[finite], w[finite]


def _cumulative_gap(x: FloatArray, wx: FloatArray, y: FloatArray, wy: FloatArray) -> tuple[FloatArray, FloatArray]:
    values = np.concatenate([x, y])
    order = np.argsort(values, kind="stable")
    steps = np.concatenate([wx / wx.sum(), -wy / wy.sum()])
    return values[order], np.cumsum(steps[order])


# ---- jets -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Distance:
    """Distances of one observable between true and generated jets.

    Attributes
    ----------
    w1, w1_err : float
        Wasserstein-1 distance and its bootstrap standard deviation, in the unit of the observable.
    floor, floor_sd : float
        Mean and standard deviation of the distance between two samples of true jets of the same two sizes.
    ks, ks_p : float
        Kolmogorov-Smirnov statistic and p-value.
    n_true, n_generated : int
        Jets that have a value.
    nan_true, nan_generated : float
        Fraction of values that were undefined and left out.
    note : str
        What limits these numbers; empty if nothing does.
    """

    w1: float
    w1_err: float
    floor: float
    floor_sd: float
    ks: float
    ks_p: float
    n_true: int
    n_generated: int
    nan_true: float
    nan_generated: float
    note: str

    @property
    def z(self) -> float:
        """Distance above the floor in units of the floor's spread; NaN without a spread."""
        return (self.w1 - self.floor) / self.floor_sd if self.floor_sd > 0 else float("nan")

    @property
    def multiple(self) -> float:
        """Distance as a multiple of the floor; NaN without a floor."""
        return self.w1 / self.floor if self.floor > 0 else float("nan")


def floor(
    values: npt.ArrayLike,
    n_a: int | None = None,
    n_b: int | None = None,
    *,
    offsets: npt.NDArray[np.int64] | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Wasserstein-1 distance between two independent samples of the same jets.

    Parameters
    ----------
    values : array_like
        True values, one a jet, or one a constituent if `offsets` are given.
    n_a, n_b : int, optional
        Jets in the two samples; by default as many as there are.
    offsets : ndarray of int, shape (n + 1,), optional
        Constituents of jet ``i`` are ``offsets[i]:offsets[i + 1]``.
    resamples, seed : int
        How many pairs are drawn, with replacement, and the random seed.

    Returns
    -------
    mean, sd : float
        In the unit of the values; NaN for fewer than two jets with a value.
    """
    sample = Sample.of(values, offsets=offsets)
    if sample.filled < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    sizes = (n_a or sample.jets, n_b or sample.jets)
    grid = Grid.of(sample, sample)
    weights = (resample(rng, sample.jets, size, resamples) for size in sizes)
    distances, _ = grid.distances(*weights, true_only=True)
    return _mean(distances), _spread(distances)


def measure(
    pairs: Mapping[str, tuple[Sample, Sample]],
    *,
    bootstrap: int = 100,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Distance]:
    """Measure the distances of several observables of the same true and generated jets.

    Parameters
    ----------
    pairs : mapping of str to (Sample, Sample)
        True and generated values by name of the observable. All true samples come from the same jets, and so do all
        generated ones: each resampling draws jets once, for all observables.
    bootstrap : int
        Resamplings, for the uncertainty and for the floor; at least 2.
    seed : int
        Random seed; the same seed gives the same numbers.
    progress : callable, optional
        Called with (done, total) resamplings.

    Raises
    ------
    JetLabError
        If `bootstrap` is too small or the samples do not come from the same jets.
    """
    if bootstrap < 2:
        msg = f"bootstrap = {bootstrap} gives no uncertainty; expected at least 2 resamplings, 100 is usual"
        raise JetLabError(msg)
    sizes = {(true.jets, generated.jets) for true, generated in pairs.values()}
    if len(sizes) > 1:
        msg = f"observables come from different numbers of (true, generated) jets: {sorted(sizes)}"
        raise JetLabError(msg)
    grids = {name: Grid.of(*pair) for name, pair in pairs.items() if min(s.filled for s in pair)}
    boot: dict[str, list[FloatArray]] = {name: [] for name in grids}
    null: dict[str, list[FloatArray]] = {name: [] for name in grids}
    null_ks: dict[str, list[FloatArray]] = {name: [] for name in grids}
    rng = np.random.default_rng(seed)
    n_true, n_generated = next(iter(sizes), (0, 0))
    block = max(1, min(bootstrap, _MAX_BLOCK // max(n_true, n_generated, 1)))
    for done in range(0, bootstrap, block):
        b = min(block, bootstrap - done)
        true, generated = resample(rng, n_true, n_true, b), resample(rng, n_generated, n_generated, b)
        first, second = resample(rng, n_true, n_true, b), resample(rng, n_true, n_generated, b)
        for name, grid in grids.items():
            boot[name].append(grid.distances(true, generated)[0])
            w1, gap = grid.distances(first, second, true_only=True)
            null[name].append(w1)
            null_ks[name].append(gap)
        if progress is not None:
            progress(done + b, bootstrap)
    drawn = {
        name: [np.concatenate(kind[name]) if name in kind else np.empty(0) for kind in (boot, null, null_ks)]
        for name in pairs
    }
    return {name: _distance(*pair, *drawn[name]) for name, pair in pairs.items()}


def _distance(true: Sample, generated: Sample, boot: FloatArray, null: FloatArray, null_ks: FloatArray) -> Distance:
    enough = min(true.filled, generated.filled) > 1
    statistic, p_value = ks(true.values, generated.values)
    if not (true.one_per_jet and generated.one_per_jet):
        p_value = _correlated_p(statistic, null_ks) if enough else float("nan")
    return Distance(
        w1=wasserstein(true.values, generated.values),
        w1_err=_spread(boot) if enough else float("nan"),
        floor=_mean(null) if enough else float("nan"),
        floor_sd=_spread(null) if enough else float("nan"),
        ks=statistic,
        ks_p=p_value,
        n_true=true.filled,
        n_generated=generated.filled,
        nan_true=true.left_out,
        nan_generated=generated.left_out,
        note=_note(true, generated, null),
    )


def _mean(values: FloatArray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _spread(values: FloatArray) -> float:
    return float(np.nanstd(values, ddof=1)) if np.isfinite(values).sum() > 1 else float("nan")


def _correlated_p(statistic: float, null_ks: FloatArray) -> float:
    """P-value for values that are not independent.

    Resampled true jets tell which statistic is exceeded in a tenth of the cases when nothing is wrong, and so how many
    independent values the samples are worth; farther out the tail is that of Kolmogorov's distribution.
    """
    from scipy.special import kolmogi, kolmogorov

    known = null_ks[np.isfinite(null_ks)]
    tenth = float(np.quantile(known, 0.9)) if known.size else 0.0
    return float(kolmogorov(kolmogi(0.1) * statistic / tenth)) if tenth > 0 else float("nan")


def _note(true: Sample, generated: Sample, null: FloatArray) -> str:
    notes = []
    for name, sample in (("true", true), ("generated", generated)):
        if not sample.filled:
            notes.append(f"undefined for all {name} jets" if sample.jets else f"no {name} jets")
        elif sample.filled == 1:
            notes.append(f"one {name} jet: no uncertainty")
        elif sample.filled < SMALL_SAMPLE:
            notes.append(f"only {sample.filled} {name} jets: uncertainties are rough")
    if not notes and not _spread(null) > 0:
        notes.append("all true values are equal: no floor")
    return "; ".join(notes)
