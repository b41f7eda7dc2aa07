"""Every distance with its uncertainty beside the truth-vs-truth floor, to sort, to copy and to take away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pandas as pd
import panel as pn
from bokeh.models import HTMLTemplateFormatter, StringFormatter

from jetlab.dashboard import export, messages
from jetlab.dashboard.components import STATIC, CopyButton
from jetlab.dashboard.parts import WIDE, download, html
from jetlab.dashboard.results import Result
from jetlab.dashboard.session import CompareSession
from jetlab.evaluate import with_uncertainty
from jetlab.observables import OBSERVABLES

__all__ = ["TableCard", "distances"]

_HEAD, _ROW = 46, 30  # pixels
_NUMBERS = {"w1": "W₁", "floor": "Truth vs truth", "multiple": "× floor", "z": "z", "ks": "KS", "ks_p": "p"}
_WIDTHS = {"title": "24%", "w1": "20.3%", "floor": "20.3%", "multiple": "10%", "z": "8%", "ks": "8%", "ks_p": "9.4%"}
_COPIES: dict[Literal["markdown", "latex"], str] = {"markdown": "Markdown", "latex": "LaTeX"}


class TableCard:
    """Card of the table.

    Attributes
    ----------
    table : panel Tabulator
        Shows numbers as text with their uncertainty and sorts by the numbers.
    panel : panel Column
        What to put on the page.
    """

    def __init__(self, session: CompareSession) -> None:
        self._session = session
        aligned = {"title": "left"} | dict.fromkeys(_NUMBERS, "right")
        self.table = pn.widgets.Tabulator(
            distances(None), show_index=False, layout="fit_columns", theme="simple", disabled=True, selectable=1,
            titles={"title": "Observable", **_NUMBERS}, hidden_columns=["name", *map(_text, _NUMBERS)], widths=_WIDTHS,
            formatters=_formatters(), text_align=aligned, header_align=aligned, css_classes=["jl-distances"],
            stylesheets=[(STATIC / "table.css").read_text(encoding="utf-8")], height=_HEAD, **WIDE,
        )  # fmt: skip
        self._copies = {
            kind: CopyButton(
                label=word, tip=f"Copy the table as {word}", margin=(0, 0, 0, 6), css_classes=[f"jl-copy-{kind}"]
            )
            for kind, word in _COPIES.items()
        }
        self._distances = download("CSV", "jetlab-distances.csv", self._csv(export.table_csv), css="jl-csv")
        self._histograms = download(
            "Bins CSV", "jetlab-histograms.csv", self._csv(export.histograms_csv), css="jl-histograms-csv"
        )
        head = pn.Row(
            html("<h3>Distances</h3>"), *self._copies.values(), self._distances, self._histograms, height=40, **WIDE
        )
        self.panel = pn.Column(head, self.table, **WIDE)
        self.table.on_click(self._clicked)
        session.param.watch(self._show, "result")
        self._show()

    def _show(self, *_: object) -> None:
        result = self._session.result
        self.table.height = _HEAD + _ROW * len(self._session.settings.observables)
        self.table.value = distances(result)
        for kind, copy in self._copies.items():
            copy.text = (result and export.table_text(result, kind)) or "Nothing has been compared yet."
        self._distances.disabled = result is None or result.comparison is None
        self._histograms.disabled = result is None

    def _clicked(self, event: Any) -> None:
        names = self.table.value["name"]
        if event.row < len(names):  # else the table has changed since the click
            self._session.settings.plot = str(names.iloc[event.row])

    def _csv(self, write: Callable[[Result], str]) -> Callable[[], bytes]:
        return lambda: write(self._session.result).encode() if self._session.result is not None else b""


def distances(result: Result | None) -> pd.DataFrame:
    """Rows of the table: observable, numbers to sort by, and the same numbers as they are written.

    Parameters
    ----------
    result : Result, optional
        Without a comparison the table is empty.
    """
    columns = ["name", "title", *_NUMBERS, *map(_text, _NUMBERS)]
    if result is None or result.comparison is None:
        return pd.DataFrame({column: [] for column in columns})
    return pd.DataFrame([_row(name, result.comparison.table.loc[name]) for name in result.names], columns=columns)


def _row(name: str, row: Any) -> dict[str, Any]:
    texts = {
        "w1": with_uncertainty(row["w1"], row["w1_err"]),
        "floor": with_uncertainty(row["floor"], row["floor_sd"]),
        "multiple": f"{row['multiple']:.1f}",
        "z": messages.z_words(row["z"]),
        "ks": f"{row['ks']:.3f}",
        "ks_p": messages.p_words(row["ks_p"]),
    }
    numbers = {column: float(row[column]) for column in _NUMBERS}
    return {"name": name, "title": OBSERVABLES[name].title, **numbers, **{_text(c): t for c, t in texts.items()}}


def _text(column: str) -> str:
    """Name of the column that holds a number as it is written."""
    return f"{column}_text"


def _formatters() -> dict[str, StringFormatter]:
    """Show the written number; sorting goes by the number itself."""
    return {"title": StringFormatter()} | {c: HTMLTemplateFormatter(template=f"<%= {_text(c)} %>") for c in _NUMBERS}
