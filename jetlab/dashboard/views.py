"""The line on top, the verdict and the notices."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from jetlab import style
from jetlab.dashboard import messages
from jetlab.dashboard.components import TileStrip
from jetlab.dashboard.parts import WIDE, button, html
from jetlab.dashboard.results import Result
from jetlab.dashboard.session import CompareSession
from jetlab.dashboard.spectrum import Spectrum
from jetlab.dashboard.tokens.session import TokenSession
from jetlab.evaluate import with_uncertainty
from jetlab.observables import OBSERVABLES

__all__ = ["NoticeView", "StatusView", "VerdictView"]


class StatusView:
    """The line on top: what is compared with what."""

    def __init__(self, session: CompareSession) -> None:
        self._session = session
        self.panel = html(height=52)
        session.param.watch(self._show, ["result", "candidate"])
        self._show()

    def _show(self, *_: object) -> None:
        result, candidate, s = self._session.result, self._session.candidate, self._session.settings
        true = f"{len(result.true):,} jets" if result else "…"
        classes = messages.class_words(list(result.true.class_counts()) if result else s.jet_classes) or "no class"
        split = " · test split" if s.split == "test" else ""
        parts = {"true": f"bundled sample{split} · {classes} · {true}"}
        if candidate is not None and result is not None and len(result.generated):
            parts["generated"] = f"{candidate.name} · {len(result.generated):,} jets · {candidate.detail}"
        chips = (
            f'<span class="chip {role}"><i></i><b>{role}</b> {escape(words)}</span>' for role, words in parts.items()
        )
        self.panel.object = f'<div class="status">{"".join(chips)}</div>'


class VerdictView:
    """The answer in a sentence, and a tile for every observable, worst first."""

    def __init__(self, session: CompareSession) -> None:
        self._session = session
        self._words = html(height=30)
        self.strip = TileStrip(css_classes=["jl-tiles"], **WIDE)
        self.strip.selected = session.settings.plot
        self.panel = pn.Column(self._words, self.strip, **WIDE)
        self.strip.param.watch(self._clicked, "selected")
        session.settings.param.watch(self._follow, "plot")
        session.settings.param.watch(self._show, "observables")
        session.param.watch(self._show, ["result", "computing"])
        self._show()

    def _clicked(self, event: Any) -> None:
        if event.new in self._session.settings.observables:
            self._session.settings.plot = event.new

    def _follow(self, event: Any) -> None:
        self.strip.selected = event.new

    def _show(self, *_: object) -> None:
        result = self._session.result
        names = result.names if result else self._session.settings.observables
        words = (
            messages.verdict_words(result) if result else "Measuring the true jets…" if self._session.computing else ""
        )
        self._words.object = f'<div class="verdict">{words}</div>'
        self.strip.tiles = [tile(name, result, waiting=self._session.computing) for name in names]


def tile(name: str, result: Result | None, *, waiting: bool = True) -> dict[str, str]:
    """What a tile shows, as `TileStrip` takes it.

    Parameters
    ----------
    name : str
        Observable.
    result : Result, optional
        None while nothing has been measured.
    waiting : bool
        Whether something is being measured.
    """
    shown = {
        "name": name,
        "label": OBSERVABLES[name].label,
        "value": "",
        "level": "pending",
        "true": "",
        "generated": "",
    }
    if result is None or name not in result.hists:
        return shown | ({"tip": "being measured"} if waiting else {"level": "unknown", "tip": "nothing to measure"})
    shown |= Spectrum.of(name, result.hists[name]).tile_paths()
    if result.comparison is None:
        return shown | {"level": "pending" if result.pending else "unknown", "tip": "nothing to compare yet"}
    row = result.comparison.table.loc[name]
    verdict = style.verdict(row["z"])
    tip = (
        f"z = {messages.z_number(row['z'])}, {verdict.meaning}. W1 = {with_uncertainty(row['w1'], row['w1_err'])} "
        f"{row['unit']}, truth vs truth {with_uncertainty(row['floor'], row['floor_sd'])}"
    )
    note = f"; {row['note']}" if row["note"] else ""
    return shown | {"value": messages.z_words(row["z"]), "level": verdict.name, "tip": tip + note}


class NoticeView:
    """Sentences about states that are not a plot, each with its way out."""

    def __init__(self, session: CompareSession | TokenSession) -> None:
        self._session = session
        self.panel = pn.Column(css_classes=["jl-notices"], **WIDE)
        session.param.watch(self._show, "notices")
        self._show()

    def _show(self, *_: object) -> None:
        self.panel.objects = [pn.Spacer(height=0), *map(self._row, self._session.notices)]

    def _row(self, notice: messages.Notice) -> Any:
        words = html(f'<div class="notice {notice.level}"><b>{escape(notice.title)}.</b> {escape(notice.text)}</div>')
        if not notice.action:
            return pn.Row(words, sizing_mode="stretch_width", margin=(0, 0, 8, 0))
        way_out = button(notice.action_label, css_classes=["jl-way-out"], align="center")
        way_out.on_click(lambda _: self._session.act(notice))
        return pn.Row(words, way_out, sizing_mode="stretch_width", margin=(0, 0, 8, 0))
