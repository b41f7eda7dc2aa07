"""The study of tokenizers that comes with the package: kinds and sizes of codebooks side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd
import panel as pn
from bokeh.models import (
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    HTMLTemplateFormatter,
    Legend,
    LegendItem,
    Range1d,
    StringFormatter,
)
from panel.io import unlocked

from jetlab import style
from jetlab.dashboard.canvas import FONT, paint, plain_figure
from jetlab.dashboard.components import STATIC, CopyButton
from jetlab.dashboard.parts import WIDE, download, html
from jetlab.errors import JetLabError
from jetlab.evaluate import with_uncertainty
from jetlab.zoo.studies import study

if TYPE_CHECKING:
    from jetlab.dashboard.settings import Settings

__all__ = ["STUDY", "StudyCard", "StudyFigure", "markdown", "study_rows"]

STUDY = "tokens"
"""Name of the study."""

_HEAD, _ROW, _MOST = 46, 30, 520  # pixels
_HEIGHT = 270
_KIND, _CODES, _RESOLUTION = "kind", "codes", "mass_iqr"


@dataclass(frozen=True)
class _Column:
    """A measure of the table: its title and, for shares, the factor to percent."""

    title: str
    factor: float = 1.0


_COLUMNS = {
    "mass_iqr": _Column("m IQR [GeV]"),
    "mass_bias": _Column("m bias [GeV]"),
    "constituent_ptrel_iqr": _Column("Const. pT [%]", 100),
    "utilisation": _Column("Used [%]", 100),
    "perplexity": _Column("Perplexity"),
    "accuracy": _Column("Accuracy [%]", 100),
}
"""Measures that are shown, if the study has them; each may have an uncertainty in the column ``…_err``."""


class StudyCard:
    """Card of the study: its table and the resolution against the size of the codebook.

    Attributes
    ----------
    table : panel Tabulator, or None if the study is not installed
    panel, table_panel : panel Column
        What to put on the page: the figure, or why there is none, and the table.
    """

    def __init__(self, settings: Settings, *, name: str = STUDY) -> None:
        self.table: Any = None
        self.table_panel = pn.Column(**WIDE)
        title = html("<h3>Which tokenizer?</h3>", height=30)
        try:
            rows = study_rows(found := study(name))
        except JetLabError as error:
            text = f"No table to compare tokenizers: {error}."
            self.panel = pn.Column(title, html(f'<div class="notice">{escape(text)}</div>'), **WIDE)
            return
        self.figure = StudyFigure(found)
        self.figure.set_theme(settings.theme)
        settings.param.watch(lambda event: self.figure.set_theme(event.new), "theme")
        copy = CopyButton(
            label="Markdown", text=markdown(rows), tip="Copy the table as Markdown", margin=(0, 0, 0, 6),
            css_classes=["jl-copy-study"],
        )  # fmt: skip
        file = download(
            "CSV", f"jetlab-{name}-study.csv", lambda: found.to_csv(index=False).encode(), css="jl-study-csv"
        )
        self.table = _table(rows)
        drawing = pn.pane.Bokeh(self.figure.figure, height=_HEIGHT, **WIDE)
        note = "Resolution against the size of the codebook, one line a kind; smaller is better."
        self.panel = pn.Column(title, drawing, html(f'<p class="small">{note}</p>', height=38), **WIDE)
        head = pn.Row(html("<h3>Tokenizers side by side</h3>"), copy, file, height=40, **WIDE)
        self.table_panel.objects = [head, self.table]


class StudyFigure:
    """Resolution of the jet mass against the size of the codebook, one line a kind.

    Parameters
    ----------
    table : pandas.DataFrame
        Of the study.

    Attributes
    ----------
    figure : bokeh figure
        What to put on the page.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        means = table.dropna(subset=[_CODES, _RESOLUTION]).groupby([_KIND, _CODES], sort=False, as_index=False)
        means = means[[_RESOLUTION]].mean().sort_values(_CODES)
        sizes, top = sorted(set(map(int, means[_CODES]))), float(means[_RESOLUTION].max())
        self.figure = plain_figure(
            _HEIGHT, x_axis_type="log", x_range=Range1d(0.8 * sizes[0], 1.25 * sizes[-1]),
            y_range=Range1d(0, 1.12 * top), tools="",
        )  # fmt: skip
        kinds = list(dict.fromkeys(means[_KIND]))
        looks = style.sample_styles(kinds)
        legend = []
        for kind in kinds:
            source = ColumnDataSource(means[means[_KIND] == kind].to_dict("list"))
            drawn: dict[str, Any] = {"source": source, "color": looks[kind].colour}
            line = self.figure.line(_CODES, _RESOLUTION, line_width=2.2, line_dash=looks[kind].line_dash, **drawn)
            dots = self.figure.scatter(_CODES, _RESOLUTION, size=8, **drawn)
            tips = [("", str(kind)), ("codes", f"@{_CODES}{{0,0}}"), ("IQR", f"@{_RESOLUTION}{{0.00}} GeV")]
            self.figure.add_tools(HoverTool(renderers=[dots], tooltips=tips))
            legend.append(LegendItem(label=str(kind), renderers=[line, dots]))
        self._legend = Legend(
            items=legend, orientation="horizontal", ncols=3, background_fill_alpha=0.0, border_line_alpha=0.0,
            label_text_font_size=FONT, margin=0, spacing=14,
        )  # fmt: skip
        self.figure.add_layout(self._legend, "above")
        self.figure.xaxis.ticker = FixedTicker(ticks=sizes)
        self.figure.xaxis.major_label_overrides = {size: f"{size:,}" for size in sizes}
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "Codes", "Mass IQR [GeV]"

    @unlocked()
    def set_theme(self, theme: str) -> None:
        """Recolour for a theme."""
        paint(self.figure, style.THEMES[theme])
        self._legend.label_text_color = style.THEMES[theme].text


def study_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table: numbers to sort by, and the same numbers as they are written.

    Parameters
    ----------
    table : pandas.DataFrame
        Of the study.

    Raises
    ------
    JetLabError
        If it lacks the kind, the number of codes, or the resolution of the jet mass.
    """
    missing = [name for name in (_KIND, _CODES, _RESOLUTION) if name not in table]
    if missing:
        msg = f"the study lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}"
        raise JetLabError(msg)
    shown = {name: column for name, column in _COLUMNS.items() if name in table}
    rows = pd.DataFrame({_KIND: table[_KIND].astype(str), _CODES: table[_CODES].astype(float)})
    for name, column in shown.items():
        rows[name] = column.factor * table[name].astype(float)
    texts = {_text(_CODES): ["–" if math.isnan(size) else f"{size:,.0f}" for size in rows[_CODES]]}
    for name, column in shown.items():
        errors = column.factor * table.get(f"{name}_err", pd.Series(float("nan"), table.index)).astype(float)
        texts[_text(name)] = [with_uncertainty(*pair) for pair in zip(rows[name], errors, strict=True)]
    return rows.assign(**texts)


def markdown(rows: pd.DataFrame) -> str:
    """The rows as a table in Markdown."""
    titles = _titles(rows)
    lines = [list(titles.values()), [":--", *["--:"] * (len(titles) - 1)]]
    lines += [[str(row[name if name == _KIND else _text(name)]) for name in titles] for row in rows.to_dict("records")]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _titles(rows: pd.DataFrame) -> dict[str, str]:
    return {_KIND: "Tokenizer", _CODES: "Codes"} | {n: c.title for n, c in _COLUMNS.items() if n in rows}


def _table(rows: pd.DataFrame) -> Any:
    """The table: shows numbers as they are written and sorts by the numbers."""
    titles = _titles(rows)
    numbers = [name for name in titles if name != _KIND]
    aligned: Mapping[str, str] = {_KIND: "left"} | dict.fromkeys(numbers, "right")
    formatters = {_KIND: StringFormatter()} | {n: HTMLTemplateFormatter(template=f"<%= {_text(n)} %>") for n in numbers}
    return pn.widgets.Tabulator(
        rows, show_index=False, layout="fit_columns", theme="simple", disabled=True, selectable=False, titles=titles,
        hidden_columns=[_text(n) for n in numbers], formatters=formatters, text_align=aligned, header_align=aligned,
        widths={_KIND: "15%", _CODES: "9%"} | dict.fromkeys(numbers[1:], f"{75 / (len(numbers) - 1):.1f}%"),
        css_classes=["jl-study"], stylesheets=[(STATIC / "table.css").read_text(encoding="utf-8")],
        height=min(_MOST, _HEAD + _ROW * len(rows)), **WIDE,
    )  # fmt: skip


def _text(column: str) -> str:
    """Name of the column that holds a number as it is written."""
    return f"{column}_text"
