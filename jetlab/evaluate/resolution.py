"""Resolution: how far rebuilt quantities are from the true ones, as bias, width and tails with uncertainties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["QUANTITIES", "Quantity", "Residuals", "resolution_row"]

FloatArray = npt.NDArray[np.float64]

NORMAL_IQR = 1.3489795
"""Interquartile range of a normal distribution in units of its standard deviation."""

_MAX_CELLS = 4096


@dataclass(frozen=True)
class Quantity:
    """What a resolution is given for: name, label, unit of the difference, and a distance that counts as far off."""

    name: str
    label: str
    unit: str
    level: str
    far: float
    relative: bool = False

    @property
    def title(self) -> str:
        """Axis title of the difference, such as ``Jet mass: rebuilt - true [GeV]``."""
        difference = "rebuilt / true − 1" if self.relative else "rebuilt − true"
        return f"{self.label}: {difference}" + (f" [{self.unit}]" if self.unit else "")


QUANTITIES = {
    q.name: q
    for q in (
        Quantity("mass", "Jet mass", "GeV", "jet", 20.0),
        Quantity("pt", "Jet pT", "GeV", "jet", 50.0),
        Quantity("tau21", "τ₂₁", "", "jet", 0.2),
        Quantity("tau32", "τ₃₂", "", "jet", 0.2),
        Quantity("d2", "D₂", "", "jet", 1.0),
        Quantity("constituent_pt", "Constituent pT", "GeV", "constituent", 1.0),
        Quantity("constituent_ptrel", "Constituent pT", "", "constituent", 0.2, relative=True),
        Quantity("constituent_deta", "Constituent Δη", "", "constituent", 0.05),
        Quantity("constituent_dphi", "Constituent Δφ", "rad", "constituent", 0.05),
    )
}
"""Quantities of jets and constituents that tokenizers are judged by; limits follow the figures of arXiv:2403.05618."""


class Residuals(NamedTuple):
    """Differences of one quantity: finite values (m,), the jet of each (m,), number of jets, share left out as NaN."""

    values: FloatArray
    jet: npt.NDArray[np.int64]
    jets: int
    undefined: float

    @staticmethod
    def of(true: FloatArray, rebuilt: FloatArray, counts: npt.NDArray[np.int64], *, relative: bool) -> Residuals:
        """Differences of values of which jet ``i`` has ``counts[i]``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values = rebuilt / true - 1 if relative else rebuilt - true
        finite = np.isfinite(values)
        jet = np.repeat(np.arange(len(counts)), counts)[finite]
        return Residuals(values[finite], jet, len(counts), float(1 - finite.mean()) if finite.size else float("nan"))


def resolution_row(residuals: Residuals, weights: npt.NDArray[np.float32], *, far: float) -> dict[str, float]:
    """Bias, width and tails of differences with bootstrap uncertainties.

    Parameters
    ----------
    residuals : Residuals
    weights : ndarray, shape (jets, b)
        How often each jet is drawn in each resampling, from `jetlab.evaluate.samples.resample`.
    far : float
        Distance beyond which a difference counts as far off.

    Returns
    -------
    dict of str to float
        ``bias`` (median), ``iqr`` (interquartile range), ``tail`` (share farther from the median than three standard
        deviations of a normal distribution with this interquartile range, for which it would be 0.0027), ``far``
        (share with an absolute difference above the limit), each with ``_err``; ``limit``, ``n``, ``undefined``.
    """
    values = residuals.values
    names = ("bias", "iqr", "tail", "far")
    if not values.size:
        empty = {key: float("nan") for name in names for key in (name, f"{name}_err")}
        return {**empty, "limit": far, "n": 0, "undefined": residuals.undefined}
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    in_tail = np.abs(values - middle) > 3 * (high - low) / NORMAL_IQR
    is_far = np.abs(values) > far
    found = {"bias": middle, "iqr": high - low, "tail": in_tail.mean(), "far": is_far.mean()}
    quartiles = _resampled_quantiles(residuals, weights, (0.25, 0.5, 0.75))
    drawn = {"bias": quartiles[1], "iqr": quartiles[2] - quartiles[0]}
    total = np.maximum(np.bincount(residuals.jet, minlength=residuals.jets) @ weights, 1)
    for name, chosen in (("tail", in_tail), ("far", is_far)):
        drawn[name] = np.bincount(residuals.jet, weights=chosen, minlength=residuals.jets) @ weights / total
    row = {
        key: value for n in names for key, value in ((n, float(found[n])), (f"{n}_err", float(drawn[n].std(ddof=1))))
    }
    return {**row, "limit": far, "n": len(values), "undefined": residuals.undefined}


def _resampled_quantiles(
    residuals: Residuals, weights: npt.NDArray[np.float32], levels: tuple[float, ...]
) -> list[FloatArray]:
    """Quantiles in each resampling, shape (b,) each: values are put into cells that hold equally many."""
    from scipy.sparse import csr_array

    size = len(residuals.values)
    order = np.argsort(residuals.values, kind="stable")
    cells = min(size, _MAX_CELLS)
    cell = np.arange(size) * cells // size
    content = csr_array((np.ones(size, np.float32), (cell, residuals.jet[order])), shape=(cells, residuals.jets))
    cumulative = np.cumsum(content @ weights, axis=0, dtype=np.float64)
    ordered = residuals.values[order]
    place = np.bincount(cell, weights=ordered) / np.bincount(cell)
    return [place[(cumulative >= level * cumulative[-1]).argmax(axis=0)] for level in levels]
