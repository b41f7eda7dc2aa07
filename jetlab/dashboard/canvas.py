"""The look that all Bokeh figures of the dashboard share.

Backgrounds are transparent and let the page's theme through. Whatever changes a figure that is on the page is
``unlocked()``: a choice or a click may reach it through Panel without Bokeh's lock on the document, and Bokeh refuses
changes without it.
"""

from __future__ import annotations

from typing import Any

from bokeh.models import GlyphRenderer
from bokeh.plotting import figure

from jetlab import style

__all__ = ["FONT", "paint", "plain_figure", "recolour"]

FONT = "14px"


def plain_figure(height: int, **options: Any) -> Any:
    """A figure without toolbar and background, with ticks inside, as wide as the page lets it be."""
    fig = figure(height=height, sizing_mode="stretch_width", toolbar_location=None, **options)
    fig.update(
        background_fill_color=None, border_fill_color=None, min_border_left=76, min_border_right=18, min_border_top=6
    )
    for axis in fig.axis:
        axis.update(
            axis_label_text_font_size="15px", major_label_text_font_size=FONT, axis_label_text_font_style="normal",
            major_tick_in=6, major_tick_out=0, minor_tick_in=3, minor_tick_out=0,
        )  # fmt: skip
    fig.xgrid.visible = False
    return fig


def paint(fig: Any, look: style.Theme) -> None:
    """Give axes and grid of a figure the ink of a theme."""
    for axis in fig.axis:
        axis.update(
            axis_line_color=look.text, major_tick_line_color=look.text, minor_tick_line_color=look.text,
            major_label_text_color=look.text, axis_label_text_color=look.text,
        )  # fmt: skip
    for grid in fig.grid:
        grid.update(grid_line_color=look.faint, grid_line_alpha=0.6)
    fig.outline_line_color = look.text


def recolour(drawn: Any, colour: str) -> None:
    """Give a glyph or annotation a colour, whatever it has to colour."""
    target = drawn.glyph if isinstance(drawn, GlyphRenderer) else drawn
    for attribute in ("fill_color", "line_color"):
        if attribute in target.properties():
            setattr(target, attribute, colour)
