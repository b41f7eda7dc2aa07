"""The figure that every plot function returns: JetLab's look without touching any global setting."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import IO, Any, cast

import matplotlib as mpl
from matplotlib.figure import Figure

from jetlab import style

__all__ = ["SlideFigure", "as_svg", "drawing", "one_two_five", "plain_number"]


class SlideFigure(Figure):
    """A matplotlib figure that shows itself in notebooks and keeps text as text in SVG and PDF files.

    It is not registered with pyplot, so it needs no closing.
    """

    theme: str = "light"

    def savefig(self, fname: str | PathLike[str] | IO[Any], *, transparent: bool | None = None, **options: Any) -> None:
        """Save the figure; as `matplotlib.figure.Figure.savefig`, with JetLab's settings for text in vector files."""
        with _settings(self.theme):
            super().savefig(fname, transparent=transparent, **options)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()


@contextmanager
def _settings(theme: str, *, salt: str = "jetlab") -> Iterator[None]:
    with mpl.rc_context(cast("Any", {**style.figure_rc(theme), "svg.hashsalt": salt})):
        yield


@contextmanager
def drawing(width: float, height: float, *, theme: str) -> Iterator[SlideFigure]:
    """Give an empty figure of this size (inches) to draw on, with the settings of a theme while drawing."""
    with _settings(theme):
        figure = SlideFigure(figsize=(width, height))
        figure.theme = theme
        yield figure


def as_svg(figure: Figure, *, name: str = "figure") -> str:
    """The figure as an SVG element to put into a page, with text as text.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any figure.
    name : str
        Keeps the identifiers of several figures in one page apart.
    """
    buffer = io.BytesIO()
    theme = figure.theme if isinstance(figure, SlideFigure) else "light"
    with _settings(theme, salt=name):
        Figure.savefig(figure, buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode()
    return _compact(text[text.index("<svg") :])


def _compact(svg: str) -> str:
    """Half the size of an SVG element: no metadata, lone groups or idle white space; coordinates with two decimals."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"\d+\.\d{3,}", _two_decimals, tag[0]), svg)
    svg = re.sub(r">\s+<", "><", re.sub(r"\s+", " ", svg))
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    for _ in range(2):
        svg = re.sub(r"<g>(<use [^>]*/>)</g>", r"\1", svg)
    return svg


def _two_decimals(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}"


def plain_number(value: float, _: int | None = None) -> str:
    """Label of a tick as one would write it, for logarithmic axes."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def one_two_five(value: float, _: int | None = None) -> str:
    """The same for numbers with a leading 1, 2 or 5 only, so that ticks of a logarithmic axis do not crowd."""
    return plain_number(value) if f"{value:.1e}"[:3] in ("1.0", "2.0", "5.0") else ""
