"""`Observable`: one quantity of a jet or a constituent, with its name, unit, formula, reference and sensible bins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jetlab.jets import Jets

__all__ = ["Observable"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Observable:
    """One quantity that can be computed for every jet, or for every constituent of every jet.

    Parameters
    ----------
    name : str
        Key in `jetlab.observables.OBSERVABLES` and column name.
    label : str
        Words or symbol for an axis, without the unit.
    unit : str
        Unit, empty for a pure number.
    level : str
        ``"jet"`` or ``"constituent"``.
    compute : callable
        Function of `Jets` that returns a float64 array, shape ``(n,)`` or ``(sum of multiplicities,)``.
    definition : str
        One sentence with the formula, and what happens for jets of 0, 1 and 2 constituents.
    reference : str
        Where it was defined; empty for what needs no reference.
    lowest : float
        Smallest possible value; bins do not reach below it.
    integer : bool
        Whether values are whole numbers.
    logarithmic : bool
        Whether values span decades and are better shown on a logarithmic axis.
    """

    name: str
    label: str
    unit: str
    level: str
    compute: Callable[[Jets], FloatArray]
    definition: str
    reference: str = ""
    lowest: float = 0.0
    integer: bool = False
    logarithmic: bool = False

    @property
    def title(self) -> str:
        """Axis title with the unit in brackets, such as ``Jet mass [GeV]``."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    def edges(self, values: npt.ArrayLike, *, bins: int = 50) -> FloatArray:
        """Bin edges that resolve the bulk of these values evenly and merge the tails into ever wider bins.

        The central 99 % get about `bins` bins of a round width (whole numbers for integers, equal ratios for
        logarithmic observables); outside, widths double until all values are covered. NaN are ignored.

        Parameters
        ----------
        values : array_like of float
            Values of the reference sample, any shape.
        bins : int
            Number of bins aimed at in the bulk.

        Returns
        -------
        array of float64, strictly rising
        """
        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite) & (finite > 0 if self.logarithmic else True)]
        if not finite.size:
            return np.array([0.1, 1.0]) if self.logarithmic else np.array([0.0, 1.0]) + max(self.lowest, 0.0)
        if self.logarithmic:
            return np.exp(_edges(np.log(finite), bins))
        if self.integer:
            return np.unique(np.maximum(_edges(finite + 0.5, bins, whole=True), self.lowest)) - 0.5
        return np.unique(np.maximum(_edges(finite, bins), self.lowest))


def _edges(values: FloatArray, bins: int, *, whole: bool = False) -> FloatArray:
    """Edges in even steps over the central 99 % of the values, and in doubling steps until they enclose all values."""
    low, high = np.quantile(values, [0.005, 0.995])
    step = _round_up((high - low) / bins) or _round_up(max(abs(low), 1.0) / 1000)
    step = max(np.ceil(step), 1.0) if whole else step
    first = np.floor(low / step)
    last = max(np.ceil(high / step), first + 1)
    below = first - _doubling(first - values.min() / step)[::-1]
    above = last + _doubling(values.max() / step - last)
    return np.concatenate([below, np.arange(first, last + 1), above]) * step


def _doubling(reach: float) -> FloatArray:
    """The distances 2, 2 + 4, 2 + 4 + 8, ... up to the first beyond `reach`; none for a negative reach."""
    count = int(np.log2(reach / 2 + 1)) + 1 if reach >= 0 else 0
    return np.exp2(np.arange(2, count + 2, dtype=np.float64)) - 2


def _round_up(width: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten; 0 for 0."""
    if width <= 0:
        return 0.0
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= width * (1 - 1e-9)))
