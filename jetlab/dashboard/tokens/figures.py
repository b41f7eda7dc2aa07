"""Figures of resolution and of the use of the codebook, in Bokeh: built once, then fed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, PrintfTickFormatter, Range1d, Span
from panel.io import unlocked

from jetlab import style
from jetlab.dashboard.canvas import FONT, paint, plain_figure, recolour

if TYPE_CHECKING:
    from jetlab.dashboard.tokens.measures import Tokenized
    from jetlab.dashboard.tokens.spread import Spread

__all__ = ["STRONG", "SpreadFigure", "UsageFigure"]

STRONG = style.sample_styles(["generated"])["generated"].colour
"""What is made by a model: rebuilt jets, decoded codes."""

_ROW, _FRAME = 27, 66  # pixels
_RANKS = 400
_INSIDE = 0.985  # where texts begin and end
_STEP: dict[str, Any] = {"x": [], "y": []}
_BINS: dict[str, Any] = {"left": [], "right": [], "top": [], "percent": []}
_ROWS: dict[str, Any] = {name: [] for name in ("y", "low", "middle", "high", "colour", "median", "iqr", "start", "end")}


class SpreadFigure:
    """Histogram of rebuilt minus true; below it median and quartiles of each class in its colour.

    Parameters
    ----------
    height : int
        Of both together, in pixels; with fewer classes the histogram is taller.

    Attributes
    ----------
    layout : bokeh Column
        What to put on the page.
    """

    def __init__(self, *, height: int = 604) -> None:
        self._height = height
        self._step, self._bins, self._rows = (ColumnDataSource(dict(empty)) for empty in (_STEP, _BINS, _ROWS))
        self._x = Range1d(-1, 1)
        self._zeros = [Span(location=0, dimension="height", line_width=1.2, line_dash="dashed") for _ in range(2)]
        self._main, self._below = self._histogram(), self._quartiles()
        self.layout = column(self._main, self._below, sizing_mode="stretch_width", spacing=0, height=height)

    @unlocked()
    def show(self, spread: Spread) -> None:
        """Show a quantity."""
        self._x.update(start=-spread.reach, end=spread.reach)
        self._step.data = {"x": np.repeat(spread.edges, 2)[1:-1], "y": np.repeat(spread.density, 2)}
        self._bins.data = {
            "left": spread.edges[:-1], "right": spread.edges[1:], "top": spread.density, "percent": 100 * spread.share,
        }  # fmt: skip
        self._main.y_range.end = 1.12 * float(spread.density.max(initial=0.0)) or 1.0
        self._main.yaxis.axis_label = spread.density_title
        self._below.xaxis.axis_label = spread.quantity.title
        self._show_rows(spread)

    @unlocked()
    def set_theme(self, theme: str) -> None:
        """Recolour for a theme."""
        look = style.THEMES[theme]
        for fig in (self._main, self._below):
            paint(fig, look)
        for zero in self._zeros:
            zero.line_color = look.text
        self._dots.glyph.update(fill_color=look.background, line_color=look.text)
        for texts in (*self._numbers, *self._heads):
            texts.glyph.text_color = look.text

    def _show_rows(self, spread: Spread) -> None:
        n = len(spread.rows)
        self._rows.data = {
            "y": np.arange(1, n + 1),
            "start": np.full(n, -_INSIDE * spread.reach), "end": np.full(n, _INSIDE * spread.reach),
            "low": [r.low for r in spread.rows], "high": [r.high for r in spread.rows],
            "middle": [r.middle for r in spread.rows], "colour": [r.colour for r in spread.rows],
            "median": [r.median for r in spread.rows], "iqr": [r.iqr for r in spread.rows],
        }  # fmt: skip
        for head, x in zip(self._heads, (-_INSIDE, _INSIDE), strict=True):
            head.data_source.patch({"x": [(0, x * spread.reach)]})
        self._below.yaxis.ticker = FixedTicker(ticks=list(range(1, n + 1)))
        self._below.yaxis.major_label_overrides = {i: row.symbol for i, row in enumerate(spread.rows, 1)}
        self._below.y_range.start = n + 0.6
        self._below.height = _FRAME + _ROW * (n + 1)
        self._main.height = self._height - self._below.height

    def _histogram(self) -> Any:
        fig = plain_figure(self._height - _FRAME - 2 * _ROW, x_range=self._x, y_range=Range1d(0, 1), tools="")
        fig.xaxis.update(
            formatter=PrintfTickFormatter(format=" "), major_label_text_font_size="0px", major_label_standoff=0
        )
        fig.varea("x", 0, "y", source=self._step, fill_color=STRONG, fill_alpha=0.22)
        fig.line("x", "y", source=self._step, line_color=STRONG, line_width=2.2)
        target = fig.quad("left", "right", "top", 0, source=self._bins, alpha=0)
        tips = [("rebuilt − true", "@left{0.[000]} to @right{0.[000]}"), ("share", "@percent{0.0} %")]
        fig.add_tools(HoverTool(renderers=[target], tooltips=tips, point_policy="follow_mouse"))
        fig.add_layout(self._zeros[0])
        return fig

    def _quartiles(self) -> Any:
        fig = plain_figure(_FRAME + 2 * _ROW, x_range=self._x, y_range=Range1d(1.6, -0.45), tools="")
        fig.yaxis.update(minor_tick_line_color=None, major_tick_in=0)
        fig.ygrid.visible = False
        fig.add_layout(self._zeros[1])
        fig.segment("low", "y", "high", "y", source=self._rows, line_color="colour", line_width=9, line_alpha=0.9)
        self._dots = fig.scatter("middle", "y", source=self._rows, size=9, line_width=1.6)
        self._numbers = [
            fig.text(x, "y", name, source=self._rows, text_align=align, text_baseline="middle", text_font_size="13px")
            for x, name, align in (("start", "median", "left"), ("end", "iqr", "right"))
        ]
        self._heads = [
            fig.text(
                "x", "y", "text", source=ColumnDataSource({"x": [0.0], "y": [0], "text": [word]}), text_align=align,
                text_baseline="middle", text_font_size="12.5px", text_alpha=0.75,
            )
            for word, align in (("median", "left"), ("interquartile range", "right"))
        ]  # fmt: skip
        return fig


class UsageFigure:
    """How often each code is used, most frequent first, beside equal use of all codes.

    Attributes
    ----------
    figure : bokeh figure
        What to put on the page.
    """

    def __init__(self, *, height: int = 270) -> None:
        self._used, self._equal = (ColumnDataSource(dict(_STEP)) for _ in range(2))
        self.figure = plain_figure(
            height, x_axis_type="log", y_axis_type="log", x_range=Range1d(1, 10), y_range=Range1d(1, 10), tools=""
        )
        line = self.figure.line("x", "y", source=self._used, line_color=STRONG, line_width=2.4, legend_label="codes")
        self._flat = self.figure.line(
            "x", "y", source=self._equal, line_width=1.8, line_dash="dashed", legend_label="equal use"
        )
        tips = [("rank", "@x{0,0}"), ("used", "@y{0,0} times")]
        self.figure.add_tools(HoverTool(renderers=[line], tooltips=tips, mode="vline"))
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "Rank of the code", "Times used"
        self.figure.legend.update(
            location="bottom_left", background_fill_alpha=0.0, border_line_alpha=0.0, label_text_font_size=FONT
        )

    @unlocked()
    def show(self, tokenized: Tokenized) -> None:
        """Show the codes of jets; of large codebooks only some ranks are drawn."""
        counts = tokenized.places.count
        ranks = np.unique(np.geomspace(1, len(counts), _RANKS).round().astype(np.int64))
        self._used.data = {"x": ranks, "y": counts[ranks - 1]}
        equal = len(tokenized.codes) / tokenized.codebook_size
        self._equal.data = {"x": [1, tokenized.codebook_size], "y": [equal, equal]}
        self.figure.x_range.end = 1.3 * tokenized.codebook_size
        self.figure.y_range.update(start=min(0.6, 0.6 * equal), end=2.0 * float(counts[0]))

    @unlocked()
    def set_theme(self, theme: str) -> None:
        """Recolour for a theme."""
        look = style.THEMES[theme]
        paint(self.figure, look)
        recolour(self._flat, look.true)
        self.figure.legend.label_text_color = look.text
