"""Single jets and the average jet in the eta-phi plane, in Bokeh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.models import ColorBar, ColumnDataSource, FixedTicker, HoverTool, LinearColorMapper, LogColorMapper, Range1d
from bokeh.palettes import Cividis256, interp_palette
from panel.io import unlocked

from jetlab import style
from jetlab.dashboard.canvas import FONT, paint, plain_figure, recolour

__all__ = ["ImageFigure", "JetFigure"]

FloatArray = npt.NDArray[np.float64]


class JetFigure:
    """The constituents of one jet in the eta-phi plane: area proportional to pT, particle type by shape.

    Parameters
    ----------
    role : {"true", "generated"}
        Decides the colour.
    side : int
        Of the square frame, in pixels.

    Attributes
    ----------
    figure : bokeh figure
        What to put on the page.
    """

    def __init__(self, role: str, *, side: int = 196) -> None:
        self.role = role
        self._source = ColumnDataSource(_jet_columns({}))
        reach = Range1d(-0.92, 0.92), Range1d(-0.92, 0.92)
        self.figure = plain_figure(side + 54, x_range=reach[0], y_range=reach[1], tools="")
        self.figure.update(
            min_border_left=60,
            min_border_right=6,
            width=side + 70,
            frame_width=side,
            frame_height=side,
            sizing_mode=None,
        )
        self._circle = self.figure.circle(0, 0, radius=0.8, fill_alpha=0, line_dash="dashed", line_alpha=0.5)
        self._marks = self.figure.scatter(
            "deta", "dphi", size="size", marker="marker", source=self._source, fill_alpha=0.4, line_width=1.1
        )
        tooltips = [("", "@kind"), ("pT", "@pt{0.0} GeV"), ("Δη, Δφ", "@deta{0.00}, @dphi{0.00}")]
        self.figure.add_tools(HoverTool(renderers=[self._marks], tooltips=tooltips))
        self.figure.axis.ticker = FixedTicker(ticks=[-0.8, -0.4, 0, 0.4, 0.8])
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "Δη", "Δφ"

    @unlocked()
    def show(self, constituents: Mapping[str, npt.NDArray[Any]]) -> None:
        """Show a jet.

        Parameters
        ----------
        constituents : mapping of str to ndarray
            ``deta``, ``dphi``, ``pt`` [GeV] and, if known, ``ptype``; empty for no jet.
        """
        self._source.data = _jet_columns(constituents)

    @unlocked()
    def set_theme(self, theme: str) -> None:
        """Recolour axes and constituents for a theme."""
        look = style.THEMES[theme]
        paint(self.figure, look)
        self._circle.glyph.line_color = look.text
        recolour(self._marks, style.sample_styles([self.role], theme=theme)[self.role].colour)


_WHOLE_JET = 56.0  # pixels


def _jet_columns(constituents: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    pt = np.asarray(constituents.get("pt", ()), dtype=np.float64)
    marks = [style.particle_marker(int(code)) for code in constituents.get("ptype", np.full(pt.size, -1))]
    return {
        "deta": constituents.get("deta", pt),
        "dphi": constituents.get("dphi", pt),
        "pt": pt,
        "size": _WHOLE_JET * np.sqrt(pt / pt.sum()) if pt.size else pt,
        "marker": [mark.bokeh for mark in marks],
        "kind": [mark.label for mark in marks],
    }


class ImageFigure:
    """The average jet as an image: shares of pT in logarithmic colours, or a difference in diverging ones.

    Parameters
    ----------
    side, radius : int, float
        Of the square frame: in pixels, and half its width in eta and phi.

    Attributes
    ----------
    figure : bokeh figure
        What to put on the page.
    filled : bool
        Whether there is an image.
    """

    def __init__(self, *, side: int = 186, radius: float = 0.8) -> None:
        self.filled = False
        self._mappers = {
            "share": LogColorMapper(Cividis256, low=1e-3, high=1),
            "difference": LinearColorMapper(low=-5, high=5),
        }
        self.figure = plain_figure(
            side + 54, x_range=Range1d(-radius, radius), y_range=Range1d(-radius, radius), tools=""
        )
        self.figure.update(min_border_left=60, width=side + 114, frame_width=side, frame_height=side, sizing_mode=None)
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "across", "along the principal axis"
        self.figure.axis.ticker = FixedTicker(ticks=[-0.8, -0.4, 0, 0.4, 0.8])
        box = {"x": -radius, "y": -radius, "dw": 2 * radius, "dh": 2 * radius}
        self._drawn, self._bars = {}, {}
        for kind, mapper in self._mappers.items():
            self._drawn[kind] = self.figure.image(image=[np.zeros((1, 1))], color_mapper=mapper, visible=False, **box)
            self._bars[kind] = ColorBar(color_mapper=mapper, width=10, visible=False, background_fill_color=None)
            self.figure.add_layout(self._bars[kind], "right")

    @unlocked()
    def show_share(self, share: FloatArray) -> None:
        """Show shares of the jet pT in percent, shape ``(phi, eta)``."""
        top = float(share.max()) or 1.0
        self._mappers["share"].update(low=1e-3 * top, high=top)
        self._show("share", np.maximum(share, 1e-3 * top))

    @unlocked()
    def show_difference(self, pull: FloatArray) -> None:
        """Show a difference in standard deviations, shape ``(phi, eta)``."""
        self._show("difference", pull)

    @unlocked()
    def clear(self) -> None:
        """Show nothing."""
        self._show("", np.zeros((1, 1)))

    @unlocked()
    def set_theme(self, theme: str) -> None:
        """Recolour axes and the middle of the diverging colours for a theme."""
        look = style.THEMES[theme]
        paint(self.figure, look)
        self._mappers["difference"].palette = interp_palette(style.diverging(theme), 255)
        for bar in self._bars.values():
            bar.update(
                major_label_text_color=look.text, major_label_text_font_size=FONT, major_tick_line_color=look.text
            )

    def _show(self, shown: str, image: FloatArray) -> None:
        self.filled = bool(shown)
        for kind, drawn in self._drawn.items():
            drawn.visible = self._bars[kind].visible = kind == shown
            if kind == shown:
                drawn.data_source.data = {"image": [image]}
