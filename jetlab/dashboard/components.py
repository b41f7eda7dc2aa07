"""The four small browser components of the dashboard. Each is a few lines of JavaScript in ``static/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import param
from panel.custom import JSComponent

__all__ = ["STATIC", "CopyButton", "DropZone", "PageBridge", "TileStrip"]

STATIC = Path(__file__).parent / "static"


def _css(name: str) -> list[str]:
    return [(STATIC / name).read_text(encoding="utf-8")]


class TileStrip(JSComponent):
    """Row of clickable verdict tiles."""

    tiles = param.List(
        default=[],
        item_type=dict,
        doc="""
        One mapping a tile: ``name``, ``label``, ``value`` (sign and number), ``level`` (calm, attention, alarm,
        unknown, pending), ``tip``, and the SVG paths ``true`` and ``generated`` in a box of 100 x 30.""",
    )

    selected = param.String(default="", doc="Name of the tile that was clicked.")

    _esm = STATIC / "tiles.js"
    _stylesheets = _css("tiles.css")


class CopyButton(JSComponent):
    """Button that copies a text, or the page's address if the text is empty."""

    label = param.String(default="Copy")

    text = param.String(default="")

    done = param.String(default="Copied ✓")

    tip = param.String(default="")

    _esm = STATIC / "copybutton.js"
    _stylesheets = _css("copybutton.css")


class PageBridge(JSComponent):
    """Keeps address, theme and view of the page in step with the state, and tells when the connection is lost."""

    query = param.String(default="", doc="Query string of the address.")

    theme = param.Selector(default="light", objects=["light", "dark"])

    view = param.String(default="jets", doc="The view that is shown.")

    _esm = STATIC / "page.js"


class DropZone(JSComponent):
    """Place to drop or choose one file, sent in parts.

    The size limit is enforced on the server: parts beyond it are thrown away and the upload is refused.
    """

    label = param.String(default="Drop a file or click to choose")

    accept = param.String(default="")

    limit = param.Integer(default=100_000_000, doc="Largest accepted size in bytes.")

    busy = param.Boolean(default=False)

    _esm = STATIC / "dropzone.js"
    _stylesheets = _css("dropzone.css")

    def __init__(
        self, *, on_file: Callable[[str, bytes], None], on_too_large: Callable[[str, int], None], **params: Any
    ) -> None:
        super().__init__(**params)
        self._on_file, self._on_too_large = on_file, on_too_large
        self._upload = ""
        self._parts: list[bytes] = []

    def _handle_msg(self, data: dict[str, Any]) -> None:
        name = str(data.get("name", "file"))
        if data.get("kind") == "refused":
            self._on_too_large(name, int(data["size"]))
            return
        if data["part"] == 0:
            self._upload, self._parts = str(data["id"]), []
        if data["id"] != self._upload:
            return
        self._parts.append(bytes(data["data"]))
        size = sum(map(len, self._parts))
        if size > self.limit:
            self._upload, self._parts = "", []
            self._on_too_large(name, max(size, int(data["size"])))
        elif data["part"] == data["parts"] - 1:
            content, self._parts = b"".join(self._parts), []
            self._on_file(name, content)
