"""Histograms of observables, their normalised shapes, and the one comparison that every figure draws.

Histograms are `hist.Hist` objects with ``Weight`` storage, a named axis with unit, and filled under- and overflow, so
that every tool of the field can take them. Constituents of one jet are not independent; the variances of their
histograms say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from jetlab.errors import JetLabError

if TYPE_CHECKING:
    import hist

    from jetlab.evaluate.samples import Sample
    from jetlab.observables import Observable

__all__ = ["Ratio", "Scale", "Shape", "bin_edges", "histogram", "ratio", "shape"]

FloatArray = npt.NDArray[np.float64]
Scale = Literal["fraction", "density", "log-density", "counts"]


_PEAKED = ("mass", "sdmass")  # their peaks are narrow, and need finer bins than smooth distributions
_FEWEST = 5
_WIDEST_TAIL = 5.0


# ---- binning --------------------------------------------------------------------------------------------------------


def bin_edges(observable: Observable, sample: Sample) -> FloatArray:
    """Bin edges that suit an observable and the size of a sample.

    More values give finer bins, as the cube root of their number; masses, which have peaks, get finer ones. Bins in
    the tails are merged until each holds at least five values, and the last few far-away values are left to under-
    and overflow.

    Parameters
    ----------
    observable : Observable
        Gives the edges of a wanted number of bins.
    sample : Sample
        The reference; its values set the range.

    Returns
    -------
    ndarray, shape (bins + 1,)
        Strictly rising.
    """
    finer, most = (5.0, 64) if observable.name in _PEAKED else (3.5, 50)
    bins = int(np.clip(finer * np.cbrt(sample.values.size), 12, most))
    edges = np.asarray(observable.edges(sample.values, bins=bins), dtype=np.float64)
    place = np.log(edges) if observable.logarithmic else edges
    widths = np.diff(place)
    narrow = np.flatnonzero(widths <= _WIDEST_TAIL * np.median(widths))
    edges = edges[narrow[0] : narrow[-1] + 2]
    counts, _ = np.histogram(sample.values, edges)
    well_filled = np.flatnonzero(counts >= _FEWEST)
    if not well_filled.size:
        return edges
    first, last = int(well_filled[0]), int(well_filled[-1])
    left = _merged(counts[:first][::-1], np.arange(first)[::-1])
    right = _merged(counts[last + 1 :], np.arange(last + 2, edges.size))
    return edges[np.concatenate([left[::-1], np.arange(first, last + 2), right]).astype(np.int64)]


def _merged(counts: npt.NDArray[np.int64], outer: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Outer edges to keep of tail bins, going outwards, so that each bin holds enough; the rest is flow."""
    kept, held = [], 0
    for count, edge in zip(counts, outer, strict=True):
        held += int(count)
        if held >= _FEWEST:
            kept.append(edge)
            held = 0
    return np.array(kept, dtype=np.int64)


# ---- filling --------------------------------------------------------------------------------------------------------


def histogram(sample: Sample, edges: npt.ArrayLike, *, name: str, label: str) -> hist.Hist:
    """Fill a histogram.

    Parameters
    ----------
    sample : Sample
        Finite values with the jet of each.
    edges : array_like, shape (bins + 1,)
        Rising bin edges; values outside go to under- and overflow.
    name, label : str
        Name of the axis, and its title with unit, such as ``"Jet mass [GeV]"``.

    Returns
    -------
    hist.Hist
        ``Weight`` storage. With one value a jet the variance is the count. With several, it is the count times how much
        more the bin's share fluctuates from jet to jet than it would for independent constituents.

    Raises
    ------
    JetLabError
        If the edges do not rise.
    """
    import hist

    edges = np.asarray(edges, dtype=np.float64)
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
        msg = f"bin edges of {name!r} must be at least two rising numbers; found {edges.tolist()}"
        raise JetLabError(msg)
    axis: hist.axis.Regular | hist.axis.Variable
    if _even(edges):
        axis = hist.axis.Regular(edges.size - 1, edges[0], edges[-1], name=name, label=label)
    else:
        axis = hist.axis.Variable(edges, name=name, label=label)
    filled = hist.Hist(axis, storage=hist.storage.Weight())
    filled.fill(sample.values)
    if not sample.one_per_jet:
        filled.view(flow=True).variance = _clustered_variance(sample, axis.index(sample.values) + 1, edges.size + 1)
    return filled


def _even(edges: FloatArray) -> bool:
    return bool(np.allclose(np.diff(edges), (edges[-1] - edges[0]) / (edges.size - 1), rtol=1e-9, atol=0))


def _clustered_variance(sample: Sample, cell: npt.NDArray[np.int64], cells: int) -> FloatArray:
    """Variance of the counts of correlated values, such that independent values would give the count.

    The share p of a bin varies by sum over jets of (c - p m)^2 / total^2, with c values of a jet's m in the bin; for
    independent values this is p (1 - p) / total.
    """
    per_jet = np.bincount(sample.jet, minlength=sample.jets).astype(np.float64)
    in_cell = np.bincount(cell, minlength=cells).astype(np.float64)
    pair, count = np.unique(sample.jet * cells + cell, return_counts=True)
    jet, column = pair // cells, pair % cells
    share = in_cell / per_jet.sum()
    squares = np.bincount(column, weights=count.astype(np.float64) ** 2, minlength=cells)
    crossed = np.bincount(column, weights=count * per_jet[jet], minlength=cells)
    spread = squares - 2 * share * crossed + share**2 * (per_jet**2).sum()
    return np.divide(spread, 1 - share, out=in_cell.copy(), where=share < 1)


# ---- shapes ---------------------------------------------------------------------------------------------------------


class Shape(NamedTuple):
    """A histogram ready to be drawn or compared.

    Attributes
    ----------
    edges : ndarray, shape (bins + 1,)
        Bin edges.
    values, errors : ndarray, shape (bins,)
        Bin contents and their standard deviations.
    entry : ndarray, shape (bins,)
        What one average entry contributes to each bin: the smallest content that can be seen.
    under, over : tuple of float
        Content and standard deviation of under- and overflow: counts, or fractions of all entries.
    """

    edges: FloatArray
    values: FloatArray
    errors: FloatArray
    entry: FloatArray
    under: tuple[float, float]
    over: tuple[float, float]


def shape(filled: hist.Hist, *, scale: Scale = "fraction") -> Shape:
    """Bin contents of a histogram as fractions of all entries, as a density, or as counts, with uncertainties.

    Parameters
    ----------
    filled : hist.Hist
        One-dimensional, with variances.
    scale : {"fraction", "density", "log-density", "counts"}
        Fractions and densities are normalised to all entries, with those in under- and overflow, so that samples of
        different size can be compared; the uncertainty of a fraction p is then sqrt(variance (1 - p)) / total. A
        density is divided by the bin width, a log-density by the width in the logarithm, for logarithmic axes.

    Returns
    -------
    Shape
        All zero for an empty histogram.

    Raises
    ------
    JetLabError
        For an unknown `scale`.
    """
    if scale not in get_args(Scale):
        msg = f"scale = {scale!r} is unknown; expected one of {', '.join(get_args(Scale))}"
        raise JetLabError(msg)
    edges = np.asarray(filled.axes[0].edges, dtype=np.float64)
    values = np.asarray(filled.values(flow=True), dtype=np.float64)
    variances = np.asarray(filled.variances(flow=True), dtype=np.float64)
    total = values.sum()
    errors = np.sqrt(variances)
    entry = variances.sum() / total if total > 0 else 0.0
    if scale != "counts" and total > 0:
        values = values / total
        errors = errors * np.sqrt(np.clip(1 - values, 0, None)) / total
        entry = entry / total
    width = _widths(edges, scale)
    under, over = ((float(values[k]), float(errors[k])) for k in (0, -1))
    return Shape(edges, values[1:-1] / width, errors[1:-1] / width, entry / width, under, over)


def _widths(edges: FloatArray, scale: Scale) -> FloatArray:
    if scale == "log-density" and edges[0] <= 0:
        msg = f"a log-density needs positive bin edges; the lowest is {edges[0]:g}"
        raise JetLabError(msg)
    if scale == "log-density":
        return np.diff(np.log(edges))
    return np.diff(edges) if scale == "density" else np.ones(edges.size - 1)


# ---- comparison -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ratio:
    """Generated over true, bin by bin, with the uncertainties of the two kept apart (a split ratio).

    Attributes
    ----------
    edges : ndarray, shape (bins + 1,)
        Bin edges.
    value : ndarray, shape (bins,)
        Generated / true; NaN where there is nothing true.
    error : ndarray, shape (bins,)
        Uncertainty of the generated sample alone, in units of the true content. An empty generated bin has the
        uncertainty of one entry.
    band : ndarray, shape (bins,)
        Relative uncertainty of the true sample: the half-width of the band around 1.
    pull : ndarray, shape (bins,)
        (generated - true) / uncertainty of both; NaN where both are empty.
    """

    edges: FloatArray
    value: FloatArray
    error: FloatArray
    band: FloatArray
    pull: FloatArray

    @property
    def total_error(self) -> FloatArray:
        """Uncertainty of the ratio with both samples' uncertainties combined, shape (bins,)."""
        return np.hypot(self.error, self.value * self.band)


def ratio(true: hist.Hist, generated: hist.Hist, *, scale: Scale = "fraction") -> Ratio:
    """Compare two histograms bin by bin; matplotlib figures and the dashboard draw what this returns.

    Parameters
    ----------
    true, generated : hist.Hist
        With the same binning; sizes may differ.
    scale : {"fraction", "density", "log-density", "counts"}
        As for `shape`. Fractions and densities give the same ratio.

    Raises
    ------
    JetLabError
        If the binnings differ.
    """
    t, g = shape(true, scale=scale), shape(generated, scale=scale)
    if t.edges.shape != g.edges.shape or not np.allclose(t.edges, g.edges, rtol=1e-9, atol=1e-12):
        found = " and ".join(f"{len(s.edges) - 1} bins from {s.edges[0]:g} to {s.edges[-1]:g}" for s in (t, g))
        msg = f"cannot compare histograms of different binning: {found}. Fill both with the same edges"
        raise JetLabError(msg)
    there = t.values > 0
    g_errors = np.where(g.values > 0, g.errors, g.entry)
    both = np.where(there | (g.values > 0), np.hypot(t.errors, g_errors), 0.0)

    def over_true(values: FloatArray) -> FloatArray:
        return np.divide(values, t.values, out=np.full_like(values, np.nan), where=there)

    return Ratio(
        edges=t.edges,
        value=over_true(g.values),
        error=over_true(g_errors),
        band=over_true(t.errors),
        pull=np.divide(g.values - t.values, both, out=np.full_like(both, np.nan), where=both > 0),
    )
