"""One observable ready to be drawn in the browser: columns for the large plot and paths for the tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jetlab.evaluate import Ratio, Shape, ratio, shape, with_uncertainty
from jetlab.observables import OBSERVABLES, Observable

if TYPE_CHECKING:
    import hist

__all__ = ["BIN_COLUMNS", "STEP_COLUMNS", "Spectrum"]

FloatArray = npt.NDArray[np.float64]

_REACHES = (0.25, 0.5, 1.0)
_SHORT = {"true": "true", "generated": "gen."}

_HEIGHTS_OF_STEPS = ("floor", "true", "true_low", "true_high", "generated")
_HEIGHTS_OF_BINS = ("floor", "top", "generated_low", "generated_high")

STEP_COLUMNS = ("x", "band_low", "band_high", *(f"{h}{tag}" for h in _HEIGHTS_OF_STEPS for tag in ("", "_log")))
"""Names of the columns of `Spectrum.step_columns`."""

BIN_COLUMNS = (
    "left", "right", "mid", "ratio", "ratio_low", "ratio_high", "above", "below", "range", "true_text",
    "generated_text", "ratio_text", *(f"{h}{tag}" for h in _HEIGHTS_OF_BINS for tag in ("", "_log")),
)  # fmt: skip
"""Names of the columns of `Spectrum.bin_columns`."""


@dataclass(frozen=True)
class Spectrum:
    """Histograms of one observable as what is drawn.

    Parameters
    ----------
    observable : Observable
        What it is.
    hists : mapping of str to hist.Hist
        ``"true"`` and, if there is one, ``"generated"``.
    """

    observable: Observable
    hists: Mapping[str, hist.Hist]

    @classmethod
    def of(cls, name: str, hists: Mapping[str, hist.Hist]) -> Spectrum:
        """Spectrum of the observable with this name."""
        return cls(OBSERVABLES[name], hists)

    # ---- numbers ------------------------------------------------------------------------------------------------

    @property
    def log_x(self) -> bool:
        """Whether the axis of the observable is logarithmic."""
        return self.observable.logarithmic

    @cached_property
    def true(self) -> Shape:
        """The true density."""
        return self._shape("true")

    @cached_property
    def generated(self) -> Shape | None:
        """The generated density."""
        return self._shape("generated") if "generated" in self.hists else None

    @cached_property
    def ratio(self) -> Ratio | None:
        """Generated over true."""
        return None if self.generated is None else ratio(self.hists["true"], self.hists["generated"])

    def _shape(self, role: str) -> Shape:
        return shape(self.hists[role], scale="log-density" if self.log_x else "density")

    @property
    def edges(self) -> FloatArray:
        """Bin edges, shape ``(bins + 1,)``."""
        return self.true.edges

    @property
    def reach(self) -> float:
        """Half-width of the ratio panel: the smallest that holds nine tenths of the points that mean something."""
        if self.ratio is None:
            return 0.5
        away = np.abs(self.ratio.value - 1)[self.ratio.total_error < 0.5]
        needed = float(np.quantile(away, 0.9)) if away.size else 0.5
        return next((reach for reach in _REACHES if needed <= 0.8 * reach), _REACHES[-1])

    def limits(self, *, log: bool) -> tuple[float, float]:
        """Ends of the axis of the contents; a logarithmic one has every filled bin of both samples inside."""
        drawn = [s for s in (self.true, self.generated) if s is not None]
        top = max((float((s.values + s.errors).max(initial=0.0)) for s in drawn), default=0.0) or 1.0
        if not log:
            return 0.0, 1.25 * top
        filled = np.concatenate([s.values[s.values > 0] for s in drawn])
        return 0.5 * float(filled.min()) if filled.size else 0.1, 6 * top

    # ---- words --------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """Title of the axis of the observable."""
        return self.observable.title

    @property
    def contents_title(self) -> str:
        """Title of the axis of the contents."""
        if self.log_x:
            return "Density in the logarithm"
        return f"Density [1/{self.observable.unit}]" if self.observable.unit else "Density"

    @property
    def outside(self) -> str:
        """What lies outside the bins, in words; empty if nothing does."""
        words = []
        for side, where in (("below", "under"), ("above", "over")):
            drawn = {"true": self.true} | ({} if self.generated is None else {"generated": self.generated})
            found = {role: getattr(s, where) for role, s in drawn.items()}
            if any(content for content, _ in found.values()):
                parts = [f"{_SHORT[role]} {with_uncertainty(100 * c, 100 * e)} %" for role, (c, e) in found.items()]
                words.append(f"{side}: {', '.join(parts)}")
        return f"Outside the axis, {'; '.join(words)}" if words else ""

    # ---- columns for Bokeh --------------------------------------------------------------------------------------

    def step_columns(self) -> dict[str, FloatArray]:
        """Corners of step lines and bands; on the logarithmic axis an empty bin lies just below the frame."""
        x = np.repeat(self.edges, 2)[1:-1]
        none = np.full(len(self.true.values), np.nan)
        generated = none if self.generated is None else self.generated.values
        band = np.nan_to_num(_over(self.true.errors, self.true.values))
        heights = {
            "floor": np.zeros(none.size),
            "true": self.true.values,
            "true_low": np.maximum(self.true.values - self.true.errors, 0),
            "true_high": self.true.values + self.true.errors,
            "generated": generated,
        }
        columns = {"x": x, "band_low": np.repeat(1 - band, 2), "band_high": np.repeat(1 + band, 2)}
        for name, height in heights.items():
            columns[name] = np.repeat(height, 2)
            columns[f"{name}_log"] = np.repeat(self._lifted(height), 2)
        return columns

    def bin_columns(self) -> dict[str, Any]:
        """Error bars, ratio points and the texts that appear under the mouse."""
        none = np.full(len(self.true.values), np.nan)
        true, generated, r = self.true, self.generated, self.ratio
        values, errors = (none, none) if generated is None else (generated.values, generated.errors)
        filled = np.where(values > 0, values, np.nan)
        middle = np.sqrt(self.edges[:-1] * self.edges[1:]) if self.log_x else (self.edges[:-1] + self.edges[1:]) / 2
        heights = {
            "floor": np.zeros(none.size),
            "top": np.fmax(true.values + true.errors, values + errors),
            "generated_low": np.maximum(filled - errors, 0),
            "generated_high": filled + errors,
        }
        columns: dict[str, Any] = {"left": self.edges[:-1], "right": self.edges[1:], "mid": middle}
        for name, height in heights.items():
            columns[name], columns[f"{name}_log"] = height, self._lifted(height)
        columns |= self._ratio_columns(none if r is None else r.value, none if r is None else r.error)
        columns |= {
            "range": [
                f"{a:.4g} to {b:.4g} {self.observable.unit}" for a, b in zip(self.edges, self.edges[1:], strict=False)
            ],
            "true_text": _texts(true.values, true.errors),
            "generated_text": _texts(values, errors),
            "ratio_text": _texts(none if r is None else r.value, none if r is None else r.total_error),
        }
        return columns

    def _ratio_columns(self, value: FloatArray, error: FloatArray) -> dict[str, FloatArray]:
        low, high = 1 - self.reach, 1 + self.reach
        inside = (value >= low) & (value <= high)
        return {
            "ratio": np.where(inside, value, np.nan),
            "ratio_low": np.where(inside, np.maximum(value - error, low), np.nan),
            "ratio_high": np.where(inside, np.minimum(value + error, high), np.nan),
            "above": np.where(value > high, 1 + 0.9 * self.reach, np.nan),
            "below": np.where(value < low, 1 - 0.9 * self.reach, np.nan),
        }

    def _lifted(self, heights: FloatArray) -> FloatArray:
        below = self.limits(log=True)[0] / 2
        return np.where(np.isnan(heights), np.nan, np.fmax(heights, below))

    # ---- paths for the tiles ------------------------------------------------------------------------------------

    def tile_paths(self, *, width: float = 100, height: float = 30) -> dict[str, str]:
        """Overlay as two SVG paths in a box of this size: the true area and the generated line."""
        top = self.limits(log=False)[1] / 1.2
        first, last = _bulk(self.true)
        edges = np.log(self.edges) if self.log_x else self.edges
        edges = edges[first : last + 1]
        x = np.repeat((edges - edges[0]) / (edges[-1] - edges[0]) * width, 2)[1:-1]

        def line(s: Shape) -> str:
            y = np.repeat(height * (1 - np.clip(s.values[first:last] / top, 0, 1)), 2)
            return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))

        return {
            "true": f"M{x[0]:.1f},{height:.1f} L{line(self.true)} L{x[-1]:.1f},{height:.1f}Z",
            "generated": "" if self.generated is None else f"M{line(self.generated)}",
        }


def _bulk(s: Shape) -> tuple[int, int]:
    """First and last bin of the part worth showing in a tile: where the contents are not negligible."""
    tall = np.flatnonzero(s.values > 0.004 * s.values.max(initial=0.0))
    return (int(tall[0]), int(tall[-1]) + 1) if tall.size else (0, len(s.values))


def _over(errors: FloatArray, values: FloatArray) -> FloatArray:
    return np.divide(errors, values, out=np.full_like(values, np.nan), where=values > 0)


def _texts(values: FloatArray, errors: FloatArray) -> list[str]:
    return [with_uncertainty(value, error) for value, error in zip(values, errors, strict=True)]
