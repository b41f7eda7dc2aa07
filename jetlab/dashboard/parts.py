"""Small pieces that several cards of the page use."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import panel as pn

from jetlab.dashboard.components import STATIC

__all__ = ["CARD", "WIDE", "WIDGETS", "button", "choice", "download", "html"]

CARD = (STATIC / "card.css").read_text(encoding="utf-8")
"""Look of all text of the page."""

WIDGETS = (STATIC / "widgets.css").read_text(encoding="utf-8")
"""Look of all Panel widgets of the page."""

WIDE: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}


def html(text: str = "", **options: Any) -> Any:
    """Text of a card."""
    return pn.pane.HTML(text, stylesheets=[CARD], **(WIDE | options))


def button(label: str, **options: Any) -> Any:
    """A small button in the head of a card."""
    return pn.widgets.Button(label=label, stylesheets=[WIDGETS], margin=(0, 0, 0, 6), **options)


def choice(options: dict[str, Any], value: Any, *, css: str, width: int) -> Any:
    """Two or three choices in one bar."""
    return pn.widgets.RadioButtonGroup(
        options=options, value=value, width=width, margin=0, css_classes=["choice", css], stylesheets=[WIDGETS]
    )


def download(label: str, filename: str, write: Callable[[], bytes], *, css: str) -> Any:
    """A button that makes a file when it is clicked."""
    return pn.widgets.FileDownload(
        callback=lambda: io.BytesIO(write()), filename=filename, label=label, stylesheets=[WIDGETS],
        margin=(0, 0, 0, 6), css_classes=[css],
    )  # fmt: skip
