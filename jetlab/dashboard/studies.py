"""The view of studies: tables of long measurements that come with the package, each with its figure and its origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd
import panel as pn

from jetlab import plots
from jetlab.dashboard.components import STATIC, CopyButton
from jetlab.dashboard.parts import WIDE, WIDGETS, download, html
from jetlab.errors import JetLabError
from jetlab.zoo.studies import provenance, studies, study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jetlab.dashboard.settings import Settings

__all__ = ["PLACES", "StudiesView", "draw", "notes", "shown_table", "titles"]

PLACES = ("study_rail", "study_figure", "study_numbers", "study_notes")
"""Names of the places on the page that the view fills."""

FIGURES: dict[str, Callable[..., Figure]] = {
    "calls": plots.quality_by_calls,
    "generation": plots.generation_quality,
    "generators": plots.generators_figure,
    "pretraining": plots.pretraining_figure,
    "steps": plots.learning_curves,
    "tokens": plots.tokenizer_sweep,
    "transfer": plots.transfer_curves,
}
"""What draws the table of a study; the first word of its name says of which kind it is."""

TITLES = {
    "calls": "Quality for so many network calls",
    "generation": "Generated jets, class by class",
    "generators": "Generators at equal compute",
    "jetnet": "Generated jets by the measures of JetNet",
    "pretraining": "What to pretrain on",
    "steps": "Steps saved",
    "tokens": "Tokenizers side by side",
    "transfer": "Labels saved",
}

JETS = {
    "coarse": "coarser detector", "dis": "electron-proton", "quark-gluon": "quark/gluon", "top": "tops",
    "jepa-top": "tops, JEPA", "jepa-quark-gluon": "quark/gluon, JEPA", "same": "same detector",
}  # fmt: skip
"""What the rest of the name of a study stands for; others are shown as they are."""

_HEAD, _ROW, _ROWS = 46, 30, 14  # pixels, pixels, rows a page


class StudiesView:
    """Cards of the view.

    Attributes
    ----------
    choice : panel RadioBoxGroup
        The studies.
    figure : panel HTML
        The drawing of the one that is chosen.
    table : panel Tabulator
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._options = settings, {title: name for name, title in titles().items()}
        self.choice = pn.widgets.RadioBoxGroup(
            options=self._options, stylesheets=[WIDGETS], css_classes=["jl-study-choice"], margin=(2, 0)
        )
        self.figure, self._notes = html(), html()
        self.table = pn.widgets.Tabulator(
            pd.DataFrame(), show_index=False, theme="simple", disabled=True, selectable=False, layout="fit_data",
            page_size=_ROWS, stylesheets=[(STATIC / "table.css").read_text(encoding="utf-8")],
            css_classes=["jl-study-rows"], height=_HEAD + _ROW * (_ROWS + 1), **WIDE,
        )  # fmt: skip
        self._copy = CopyButton(label="Markdown", tip="Copy the table as Markdown", margin=(0, 0, 0, 6))
        self._file = download("CSV", "study.csv", self._csv, css="jl-study-file")
        self._head = html("<h3>Numbers</h3>")
        self._cards = (
            pn.Column(html("<h3>Study</h3>", height=30), self.choice, **WIDE),
            pn.Column(self.figure, **WIDE),
            pn.Column(pn.Row(self._head, self._copy, self._file, height=40, **WIDE), self.table, **WIDE),
            pn.Column(html("<h3>How it was made</h3>", height=30), self._notes, **WIDE),
        )
        self.choice.param.watch(lambda event: setattr(settings, "study", event.new), "value")
        settings.param.watch(self._show, ["study", "theme"])
        self._show()

    def panels(self) -> dict[str, Any]:
        """What to put into each of the `PLACES`."""
        return dict(zip(PLACES, self._cards, strict=True))

    @property
    def name(self) -> str:
        """Study that is shown: the chosen one if there is such, else the first; empty without any."""
        known = list(self._options.values())
        return self._settings.study if self._settings.study in known else next(iter(known), "")

    def _show(self, *_: object) -> None:
        if not self.name:
            self.figure.object = '<div class="notice">This installation has no studies. Install jetlab again.</div>'
            return
        self.choice.value = self.name
        try:
            found, said = study(self.name), provenance(self.name)
            self.figure.object = draw(self.name, found, theme=self._settings.theme)
        except JetLabError as error:
            self.figure.object = f'<div class="notice error">{escape(str(error))}</div>'
            return
        self.table.value = rows = shown_table(found)
        self.table.height = _HEAD + _ROW * (min(len(rows), _ROWS) + 1)
        self._copy.text = _markdown(rows)
        self._file.filename = f"jetlab-{self.name}.csv"
        self._head.object = f"<h3>{len(rows):,} rows</h3>"
        self._notes.object = notes(said)

    def _csv(self) -> bytes:
        return study(self.name).to_csv(index=False).encode() if self.name else b""


def titles() -> dict[str, str]:
    """Title of each study that is installed."""
    found = {}
    for name in studies():
        kind, _, what = name.partition("-")
        found[name] = TITLES.get(kind, kind.capitalize()) + (
            f": {JETS.get(what, what.replace('-', ' '))}" if what else ""
        )
    return found


def draw(name: str, table: pd.DataFrame, *, theme: str) -> str:
    """The figure of a study as HTML, as wide as its card at most.

    Parameters
    ----------
    name : str
        Of the study.
    table : pandas.DataFrame
    theme : {"light", "dark"}

    Raises
    ------
    JetLabError
        If the table is not one that can be drawn.
    """
    kind = name.partition("-")[0]
    if kind not in FIGURES:
        return f"<h3>{escape(titles().get(name, name))}</h3><p class='small'>The numbers are below.</p>"
    figure = FIGURES[kind](table, theme=theme)
    figure.patch.set_alpha(0)  # the card has its own colour
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    svg = plots.as_svg(figure, name=f"study-{name}")
    return f'<h3>{escape(titles().get(name, name))}</h3><div class="drawing">{svg}</div>'


def notes(said: Mapping[str, Any]) -> str:
    """What is known about a study, as HTML: its commands first."""
    commands = said.get("commands", said.get("command", []))
    lines = [commands] if isinstance(commands, str) else list(commands)
    rest = {key: value for key, value in said.items() if key not in ("command", "commands")}
    rows = "".join(
        f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(_words(value))}</dd>" for key, value in rest.items()
    )
    return f"<pre>{escape(chr(10).join(lines))}</pre><dl class='said'>{rows}</dl>"


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(each)}" for key, each in value.items() if not isinstance(each, Mapping | list))
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return value if isinstance(value, str) else json.dumps(value)


def shown_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table with as many digits as fit a screen."""
    shown = table.copy()
    for column in shown.select_dtypes("float"):
        shown[column] = [float(f"{value:.4g}") for value in shown[column]]
    return shown


def _markdown(rows: pd.DataFrame) -> str:
    cells = [list(map(str, rows.columns)), ["---"] * len(rows.columns)]
    cells += [[f"{value:.4g}" if isinstance(value, float) else str(value) for value in row] for row in rows.to_numpy()]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"
