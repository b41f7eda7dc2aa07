"""One quantity ready to be drawn: the histogram of rebuilt minus true, and median and quartiles of each class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab import style
from jetlab.evaluate import with_uncertainty
from jetlab.evaluate.resolution import QUANTITIES, Quantity
from jetlab.vocabulary import class_named

if TYPE_CHECKING:
    from jetlab.dashboard.tokens.measures import Summary, Tokenized

__all__ = ["ClassRow", "Spread", "round_up"]

FloatArray = npt.NDArray[np.float64]

_BINS = 60
_STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
_SHOWN, _MOST = (0.01, 0.99), 4


class ClassRow(NamedTuple):
    """Quartiles of one class, its symbol and colour, and its median and interquartile range as they are written."""

    symbol: str
    colour: str
    low: float
    middle: float
    high: float
    median: str
    iqr: str


@dataclass(frozen=True)
class Spread:
    """Rebuilt minus true of one quantity.

    Attributes
    ----------
    quantity : Quantity
    edges : ndarray, shape (bins + 1,)
        Symmetric around 0; wide enough for the quartiles of all classes, not for the tails.
    share : ndarray, shape (bins,)
        Share of all values in each bin.
    below, above : float
        Share outside.
    rows : list of ClassRow
        In the fixed order of the classes.
    """

    quantity: Quantity
    edges: FloatArray
    share: FloatArray
    below: float
    above: float
    rows: list[ClassRow]

    @classmethod
    def of(cls, tokenized: Tokenized, quantity: str, summary: Summary) -> Spread:
        """Spread of a quantity; rows have no numbers while these are not in the summary."""
        values = tokenized.residuals(quantity).values
        rows = [
            _row(name, tokenized.residuals(quantity, of=name).values, summary.rows.get((quantity, name)))
            for name in tokenized.names
        ]
        reach = _reach(values, rows)
        edges = np.linspace(-reach, reach, _BINS + 1)
        total = max(values.size, 1)
        return cls(
            QUANTITIES[quantity], edges, np.histogram(values, edges)[0] / total,
            float((values < -reach).sum() / total), float((values > reach).sum() / total), rows,
        )  # fmt: skip

    @property
    def reach(self) -> float:
        """Half the width of the axis."""
        return float(self.edges[-1])

    @property
    def density(self) -> FloatArray:
        """Density, shape (bins,)."""
        return self.share / np.diff(self.edges)

    @property
    def density_title(self) -> str:
        """Title of the axis of the density."""
        return f"Density [1/{self.quantity.unit}]" if self.quantity.unit else "Density"

    @property
    def outside(self) -> str:
        """What lies outside the axis, in words; empty if nothing does."""
        if not self.below + self.above:
            return ""
        return f"Outside the axis: {100 * self.below:.1f} % below, {100 * self.above:.1f} % above."


def _reach(values: FloatArray, rows: list[ClassRow]) -> float:
    """Half the width of the axis: the central 98 % but not many times the interquartile range."""
    if not values.size:
        return 1.0
    first, low, high, last = np.quantile(values, [_SHOWN[0], 0.25, 0.75, _SHOWN[1]])
    far = min(max(abs(first), abs(last)), _MOST * (high - low) or np.inf)
    return round_up(max(far, *(1.1 * max(abs(row.low), abs(row.high)) for row in rows)))


def round_up(value: float) -> float:
    """The next round number, so that axes stay while numbers still change; 1 for zero."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9))


def _row(name: str, values: FloatArray, row: dict[str, float] | None) -> ClassRow:
    quartiles = np.quantile(values, [0.25, 0.5, 0.75]) if values.size else np.full(3, np.nan)
    low, middle, high = map(float, quartiles)
    median, iqr = (with_uncertainty(row[n], row[f"{n}_err"]) if row else "…" for n in ("bias", "iqr"))
    return ClassRow(class_named(name).symbol, style.class_colour(name), low, middle, high, median, iqr)
