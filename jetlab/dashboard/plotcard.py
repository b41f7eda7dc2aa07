"""The chosen observable, large, with its ratio, its numbers and its exports."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import panel as pn

from jetlab import style
from jetlab.dashboard import export, messages
from jetlab.dashboard.figures import OverlayFigure
from jetlab.dashboard.parts import WIDE, choice, download, html
from jetlab.dashboard.results import Result
from jetlab.dashboard.session import CompareSession
from jetlab.dashboard.spectrum import Spectrum
from jetlab.evaluate import with_uncertainty
from jetlab.observables import OBSERVABLES

__all__ = ["PlotCard"]

_HEIGHT = 514


class PlotCard:
    """Card of the large plot.

    Attributes
    ----------
    panel : panel Column
        What to put on the page.
    """

    def __init__(self, session: CompareSession) -> None:
        self._session = session
        self._figures: dict[tuple[bool, bool], OverlayFigure] = {}
        self._title, self._numbers, self._foot = html(height=32), html(height=22), html(height=20)
        self._scale = choice({"Linear": False, "Log": True}, session.settings.log, css="jl-log", width=130)
        self._downloads = [
            download(kind.upper(), f"jetlab.{kind}", self._picture(kind), css=f"jl-{kind}") for kind in ("png", "pdf")
        ]
        self._drawing = pn.pane.Bokeh(height=_HEIGHT, **WIDE)
        head = pn.Row(self._title, self._scale, *self._downloads, **WIDE)
        self.panel = pn.Column(head, self._numbers, self._drawing, self._foot, **WIDE)
        self._scale.param.watch(lambda event: setattr(session.settings, "log", event.new), "value")
        session.settings.param.watch(self._show, ["plot", "log"])
        session.settings.param.watch(self._set_theme, "theme")
        session.param.watch(self._show, ["result", "computing"])
        self._show()

    def figure(self, spectrum: Spectrum | None) -> OverlayFigure:
        """The figure for this observable and the chosen scale; each is made on first use."""
        kind = spectrum is not None and spectrum.log_x, self._session.settings.log
        if kind not in self._figures:
            self._figures[kind] = OverlayFigure(log_x=kind[0], log_y=kind[1])
            self._figures[kind].set_theme(self._session.settings.theme)
        return self._figures[kind]

    def _set_theme(self, *_: object) -> None:
        for fig in self._figures.values():
            fig.set_theme(self._session.settings.theme)

    def _show(self, *_: object) -> None:
        result, name = self._session.result, self._session.settings.plot
        self._scale.value = self._session.settings.log
        for file in self._downloads:
            file.disabled = result is None or name not in result.hists
        spectrum = Spectrum.of(name, result.hists[name]) if result is not None and name in result.hists else None
        fig = self.figure(spectrum)
        if spectrum is not None:
            fig.show(spectrum)
        elif not self._session.computing:
            fig.clear()
        self._drawing.object = fig.layout
        self._drawing.loading = spectrum is None and self._session.computing
        self._title.object = f"<h3>{escape(OBSERVABLES[name].label)}</h3>"
        self._numbers.object = f'<p class="numbers">{_numbers(result, name)}</p>'
        self._foot.object = f'<p class="small line">{escape(spectrum.outside) if spectrum else ""}</p>'

    def _picture(self, kind: str) -> Callable[[], bytes]:
        def draw() -> bytes:
            s, result = self._session.settings, self._session.result
            if result is None:
                return b""
            return export.picture(result, s.plot, kind=kind, log=s.log, title=messages.class_words(s.jet_classes))

        return draw


def _numbers(result: Result | None, name: str) -> str:
    """Distance, floor, z and p of an observable, as HTML."""
    if result is None or name not in result.hists:
        return ""
    if result.comparison is None:
        return (
            "measuring the distance…" if result.pending else f"{len(result.true):,} true jets; nothing to compare yet"
        )
    row = result.comparison.table.loc[name]
    unit = f" {row['unit']}" if row["unit"] else ""
    verdict = style.verdict(row["z"])
    p = messages.p_words(row["ks_p"])
    return (
        f"W₁ = {with_uncertainty(row['w1'], row['w1_err'])}{unit} · truth vs truth "
        f"{with_uncertainty(row['floor'], row['floor_sd'])}{unit} · "
        f'<b class="{verdict.name}">z = {messages.z_number(row["z"])} {verdict.sign}</b> · '
        f"KS p {escape(p) if p.startswith('<') else f'= {p}'}"
    )
