"""Codes in the plane of a jet, and what one of them decodes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from bokeh.events import Tap
from bokeh.models import BasicTicker, ColumnDataSource, HoverTool, Range1d
from panel.io import unlocked

from jetlab import style
from jetlab.dashboard.canvas import paint, plain_figure, recolour
from jetlab.dashboard.tokens.figures import STRONG
from jetlab.dashboard.tokens.spread import round_up

if TYPE_CHECKING:
    from jetlab.dashboard.tokens.measures import Cloud, Places

__all__ = ["CloseUp", "PlaneFigure", "PtFigure"]

FloatArray = npt.NDArray[np.float64]

_DOTS: dict[str, Any] = {"deta": [], "dphi": [], "size": [], "pt": [], "code": [], "count": []}
_CLOUD: dict[str, Any] = {"deta": [], "dphi": []}
_BINS = 24
_NARROW = 0.004


class PlaneFigure:
    """Mean places of codes as faint dots, larger for higher pT; the cloud of the chosen one in the strong colour.

    Parameters
    ----------
    on_tap : callable
        Called with the place that was tapped.
    side : int
        Of the square frame, in pixels.

    Attributes
    ----------
    figure : bokeh figure
        What to put on the page.
    """

    def __init__(self, *, on_tap: Callable[[float, float], None], side: int = 316) -> None:
        self._codes, self._cloud = ColumnDataSource(dict(_DOTS)), ColumnDataSource(dict(_CLOUD))
        self._ring = ColumnDataSource({"deta": [], "dphi": []})
        self._x, self._y = Range1d(-0.9, 0.9), Range1d(-0.9, 0.9)
        self.figure = plain_figure(side + 54, x_range=self._x, y_range=self._y, tools="tap")
        self.figure.update(
            min_border_left=66, min_border_right=10, frame_width=side, frame_height=side, sizing_mode=None,
            width=side + 80,
        )  # fmt: skip
        same = {"fill_alpha": 0.22, "line_alpha": 0.0}
        self._dots = self.figure.scatter("deta", "dphi", size="size", source=self._codes, **same)
        self._dots.selection_glyph = self._dots.nonselection_glyph = None
        self.figure.scatter("deta", "dphi", size=4, source=self._cloud, color=STRONG, alpha=0.5, line_alpha=0)
        self._circle = self.figure.scatter("deta", "dphi", source=self._ring, size=24, fill_alpha=0, line_width=1.6)
        tips = [("code", "@code"), ("pT", "@pt{0.0} GeV"), ("used", "@count{0,0} times")]
        self.figure.add_tools(HoverTool(renderers=[self._dots], tooltips=tips))
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "Δη", "Δφ [rad]"
        self.figure.on_event(Tap, lambda event: _inside(event, on_tap))

    @unlocked()
    def show(self, places: Places, *, most: int) -> None:
        """Draw the most frequent codes."""
        shown = {name: getattr(places, name)[:most] for name in ("deta", "dphi", "pt", "code", "count")}
        self._codes.data = shown | {"size": _size(shown["pt"])}
        reach = round_up(1.02 * max(float(np.quantile(np.abs(shown[n]), 0.999)) for n in ("deta", "dphi")))
        for axis in (self._x, self._y):
            axis.update(start=-reach, end=reach)

    @unlocked()
    def show_cloud(self, cloud: Cloud | None) -> None:
        """Draw what a code decodes to; None for nothing."""
        self._cloud.data = dict(_CLOUD) if cloud is None else _columns(cloud)
        middle = {n: [] if cloud is None else [cloud.middle(n)] for n in ("deta", "dphi")}
        self._ring.data = middle

    @unlocked()
    def set_theme(self, theme: str) -> None:
        """Recolour for a theme."""
        look = style.THEMES[theme]
        paint(self.figure, look)
        recolour(self._dots, look.true)
        recolour(self._circle, look.text)


class CloseUp:
    """The cloud of one code, from near.

    Attributes
    ----------
    figure : bokeh figure
        What to put on the page.
    """

    def __init__(self, *, width: int, height: int) -> None:
        self._cloud = ColumnDataSource(dict(_CLOUD))
        self._x, self._y = Range1d(-0.1, 0.1), Range1d(-0.1, 0.1)
        self.figure = _small(width, height, self._x, self._y)
        self.figure.scatter("deta", "dphi", size=5, source=self._cloud, color=STRONG, alpha=0.45, line_alpha=0)
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "Δη", "Δφ [rad]"

    @unlocked()
    def show(self, cloud: Cloud | None) -> None:
        """Draw a cloud; None for nothing."""
        self._cloud.data = dict(_CLOUD) if cloud is None else _columns(cloud)
        if cloud is None:
            return
        ends = {n: cloud.range(n) for n in ("deta", "dphi")}
        half = round_up(max(0.9 * max(high - low for low, high in ends.values()), _NARROW))
        for axis, n in ((self._x, "deta"), (self._y, "dphi")):
            axis.update(start=cloud.middle(n) - half, end=cloud.middle(n) + half)

    @unlocked()
    def set_theme(self, theme: str) -> None:
        """Recolour for a theme."""
        paint(self.figure, style.THEMES[theme])


class PtFigure:
    """The pT that one code decodes to.

    Attributes
    ----------
    figure : bokeh figure
        What to put on the page.
    """

    def __init__(self, *, width: int, height: int) -> None:
        self._step = ColumnDataSource({"x": [], "y": []})
        self._x, self._y = Range1d(0, 1), Range1d(0, 1)
        self.figure = _small(width, height, self._x, self._y)
        self.figure.varea("x", 0, "y", source=self._step, fill_color=STRONG, fill_alpha=0.22)
        self.figure.line("x", "y", source=self._step, line_color=STRONG, line_width=2)
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "pT [GeV]", "Contexts"

    @unlocked()
    def show(self, cloud: Cloud | None) -> None:
        """Draw the histogram of a cloud; None for nothing."""
        if cloud is None:
            self._step.data = {"x": [], "y": []}
            return
        low, high = cloud.range("pt")
        half = max(0.75 * (high - low), 0.01 * cloud.middle("pt"))
        edges = np.linspace(max(0.0, cloud.middle("pt") - half), cloud.middle("pt") + half, _BINS + 1)
        counts = np.histogram(cloud.table["pt"], edges)[0]
        self._step.data = {"x": np.repeat(edges, 2), "y": np.concatenate([[0], np.repeat(counts, 2), [0]])}
        self._x.update(start=edges[0], end=edges[-1])
        self._y.end = 1.15 * max(int(counts.max()), 1)

    @unlocked()
    def set_theme(self, theme: str) -> None:
        """Recolour for a theme."""
        paint(self.figure, style.THEMES[theme])


def _small(width: int, height: int, x: Range1d, y: Range1d) -> Any:
    fig = plain_figure(height, x_range=x, y_range=y, tools="")
    fig.update(sizing_mode="fixed", width=width, min_border_left=64, min_border_right=10)
    for axis in fig.axis:
        axis.update(
            axis_label_text_font_size="14px", major_label_text_font_size="12px", ticker=BasicTicker(desired_num_ticks=3)
        )
    return fig


def _columns(cloud: Cloud) -> dict[str, Any]:
    return {n: cloud.table[n].to_numpy() for n in ("deta", "dphi")}


def _size(pt: FloatArray) -> FloatArray:
    """Diameter of a dot in pixels."""
    return 2 + 3.5 * np.log10(1 + np.maximum(pt, 0))


def _inside(event: Any, on_tap: Callable[[float, float], None]) -> None:
    if event.x is not None and event.y is not None:
        on_tap(float(event.x), float(event.y))
