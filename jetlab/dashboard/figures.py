"""The large plot in Bokeh: true and generated overlaid, with their ratio.

A figure is built once and then only fed: new numbers go into its column sources, so nothing on the page jumps.
"""

from __future__ import annotations

from typing import Any

from bokeh.events import DoubleTap
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, CustomJS, FixedTicker, HoverTool, PrintfTickFormatter, Range1d, Span
from panel.io import unlocked

from jetlab import style
from jetlab.dashboard.canvas import FONT, paint, plain_figure, recolour
from jetlab.dashboard.spectrum import BIN_COLUMNS, STEP_COLUMNS, Spectrum

__all__ = ["OverlayFigure"]

_RATIO_TICKS = {0.25: [0.8, 1, 1.2], 0.5: [0.6, 1, 1.4], 1.0: [0.5, 1, 1.5]}
_GENERATED = style.sample_styles(["generated"])["generated"].colour


class OverlayFigure:
    """True jets as a filled band, generated jets as a step line with error bars, and their ratio below.

    Parameters
    ----------
    log_x, log_y : bool
        Scales of the observable and of the contents.
    height, ratio_height : int
        Of the two frames, in pixels.

    Attributes
    ----------
    layout : bokeh Column
        What to put on the page.
    """

    def __init__(self, *, log_x: bool = False, log_y: bool = False, height: int = 360, ratio_height: int = 154) -> None:
        self._log_y = log_y
        self._bins, self._steps = (
            ColumnDataSource({name: [] for name in names}) for names in (BIN_COLUMNS, STEP_COLUMNS)
        )
        self._x, self._ratio_range = Range1d(0.1, 1), Range1d(0.5, 1.5)
        x_scale = "log" if log_x else "linear"
        self._main, true = self._main_figure(x_scale, height)
        self._ratio, band = self._ratio_figure(x_scale, ratio_height)
        self._true = [*true, *band]
        self.layout = column(self._main, self._ratio, sizing_mode="stretch_width", spacing=0)

    @unlocked()
    def show(self, spectrum: Spectrum) -> None:
        """Show an observable."""
        self._bins.data, self._steps.data = spectrum.bin_columns(), spectrum.step_columns()
        ends = float(spectrum.edges[0]), float(spectrum.edges[-1])
        if ends != (self._x.reset_start, self._x.reset_end):  # else whoever has zoomed in stays there
            self._x.update(start=ends[0], end=ends[1], reset_start=ends[0], reset_end=ends[1])
        low, high = spectrum.limits(log=self._log_y)
        self._main.y_range.update(start=low, end=high)
        self._main.yaxis.axis_label = spectrum.contents_title
        self._ratio_range.update(start=1 - spectrum.reach, end=1 + spectrum.reach)
        self._ratio.yaxis.ticker = FixedTicker(ticks=_RATIO_TICKS[spectrum.reach])
        self._ratio.xaxis.axis_label = spectrum.title
        self._generated_entry.visible = spectrum.generated is not None

    @unlocked()
    def clear(self) -> None:
        """Show empty axes."""
        self._bins.data, self._steps.data = ({name: [] for name in names} for names in (BIN_COLUMNS, STEP_COLUMNS))

    @unlocked()
    def set_theme(self, theme: str) -> None:
        """Recolour axes and true jets for a theme."""
        look = style.THEMES[theme]
        for fig in (self._main, self._ratio):
            paint(fig, look)
        for drawn in self._true:
            recolour(drawn, look.true)
        self._main.legend.label_text_color = look.text

    def _main_figure(self, x_scale: str, height: int) -> tuple[Any, list[Any]]:
        fig = plain_figure(
            height, x_range=self._x, x_axis_type=x_scale, y_range=Range1d(0.1, 1),
            y_axis_type="log" if self._log_y else "linear", tools="xbox_zoom", active_drag="xbox_zoom",
        )  # fmt: skip
        fig.xaxis.update(
            formatter=PrintfTickFormatter(format=" "), major_label_text_font_size="0px", major_label_standoff=0
        )
        tag = "_log" if self._log_y else ""
        truth: dict[str, Any] = {"legend_label": "true", "source": self._steps}
        true = [
            fig.varea("x", f"floor{tag}", f"true{tag}", fill_alpha=0.14, **truth),
            fig.varea("x", f"true_low{tag}", f"true_high{tag}", fill_alpha=0.32, **truth),
            fig.line("x", f"true{tag}", line_width=1.4, **truth),
        ]
        generated: dict[str, Any] = {"legend_label": "generated", "color": _GENERATED}
        fig.line("x", f"generated{tag}", source=self._steps, line_width=2.4, **generated)
        ends = {"x0": "mid", "x1": "mid", "y0": f"generated_low{tag}", "y1": f"generated_high{tag}"}
        fig.segment(**ends, source=self._bins, line_width=1.5, **generated)
        whole = {"left": "left", "right": "right", "bottom": f"floor{tag}", "top": f"top{tag}"}
        target = fig.quad(**whole, source=self._bins, alpha=0)
        fig.add_tools(HoverTool(renderers=[target], tooltips=_TOOLTIPS, point_policy="follow_mouse"))
        fig.js_on_event(DoubleTap, CustomJS(args={"range": self._x}, code="range.reset()"))
        fig.legend.update(
            background_fill_alpha=0.0, border_line_alpha=0.0, label_text_font_size=FONT, click_policy="hide"
        )
        self._generated_entry = next(item for item in fig.legend.items if item.label.value == "generated")
        return fig, true

    def _ratio_figure(self, x_scale: str, height: int) -> tuple[Any, list[Any]]:
        fig = plain_figure(height, x_range=self._x, x_axis_type=x_scale, y_range=self._ratio_range, tools="")
        unity = Span(location=1, dimension="width", line_width=1)
        fig.add_layout(unity)
        band = fig.varea("x", "band_low", "band_high", source=self._steps, fill_alpha=0.28)
        drawn: dict[str, Any] = {"source": self._bins, "color": _GENERATED}
        fig.segment(x0="mid", x1="mid", y0="ratio_low", y1="ratio_high", line_width=1.5, **drawn)
        fig.segment(x0="left", x1="right", y0="ratio", y1="ratio", line_width=2.2, **drawn)
        fig.scatter("mid", "above", marker="triangle", size=8, **drawn)
        fig.scatter("mid", "below", marker="inverted_triangle", size=8, **drawn)
        fig.yaxis.axis_label = "gen. / true"
        return fig, [unity, band]


_TOOLTIPS = [
    ("range", "@range"),
    ("true", "@true_text"),
    ("generated", "@generated_text"),
    ("ratio", "@ratio_text"),
]
