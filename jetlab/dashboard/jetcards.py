"""Jets themselves: one true jet beside its nearest generated one, and the average jet."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import panel as pn

from jetlab.dashboard.jetfigures import ImageFigure, JetFigure
from jetlab.dashboard.parts import WIDE, button, choice, html
from jetlab.dashboard.results import Result
from jetlab.dashboard.session import CompareSession
from jetlab.evaluate import average_image, nearest_jet
from jetlab.jets import Jets

__all__ = ["ImageCard", "JetsCard"]

_MOST_JETS_IN_IMAGE = 5000


class JetsCard:
    """One true jet and the generated jet that looks most like it, with previous, next and random."""

    def __init__(self, session: CompareSession) -> None:
        self._session = session
        self._index = 0
        self._drawn: Result | None = None
        self.figures = {role: JetFigure(role) for role in ("true", "generated")}
        self._captions = {role: html(height=22) for role in self.figures}
        steps = {"‹": -1, "›": 1, "Random": 0}
        buttons = {label: button(label, css_classes=[f"jl-jet{step}"]) for label, step in steps.items()}
        for label, step in steps.items():
            buttons[label].on_click(lambda _, step=step: self.move(step))
        head = pn.Row(html("<h3>Single jets</h3>"), *buttons.values(), height=34, **WIDE)
        drawn = [
            pn.Column(self._captions[role], pn.pane.Bokeh(fig.figure, margin=0), width=290, margin=0)
            for role, fig in self.figures.items()
        ]
        note = "Area ∝ pT; beside each true jet the generated jet nearest in mass, pT and multiplicity."
        self.panel = pn.Column(
            head, pn.FlexBox(*drawn, gap="0 24px", **WIDE), html(f'<p class="small">{note}</p>'), **WIDE
        )
        session.settings.param.watch(self._set_theme, "theme")
        session.param.watch(self._changed, "result")
        self._set_theme()
        self.show()

    def move(self, step: int) -> None:
        """Go to another true jet: -1 previous, 1 next, 0 random."""
        result = self._session.result
        if result is not None and len(result.true):
            n = len(result.true)
            self._index = random.randrange(n) if step == 0 else (self._index + step) % n
            self.show()

    def show(self) -> None:
        """Draw the present true jet and its nearest generated one."""
        result = self._session.result
        jets: dict[str, Jets | None] = {"true": None, "generated": None}
        if result is not None and len(result.true):
            self._index %= len(result.true)
            jets["true"] = result.true[self._index]
            if len(result.generated):
                jets["generated"] = result.generated[nearest_jet(result.true, self._index, result.generated)]
        for role, jet in jets.items():
            self.figures[role].show({} if jet is None else _constituents(jet))
            self._captions[role].object = f'<p class="{role}"><b>{role}</b> {_facts(jet)}</p>'

    def _changed(self, *_: object) -> None:
        """Draw again, but leave a drawn pair alone while more jets arrive."""
        before, now = self._drawn, self._session.result
        if now and now.partial and before and len(before.generated) and now.key == before.key:
            return
        self._drawn = now
        self.show()

    def _set_theme(self, *_: object) -> None:
        for fig in self.figures.values():
            fig.set_theme(self._session.settings.theme)


def _constituents(jet: Jets) -> dict[str, Any]:
    names = ("deta", "dphi", "pt", *(["ptype"] if "ptype" in jet.fields else []))
    return {name: jet.flat(name) for name in names}


def _facts(jet: Jets | None) -> str:
    if jet is None:
        return "none yet"
    return f"m {jet.mass[0]:.0f}, pT {jet.pt[0]:.0f} GeV, n = {jet.multiplicity[0]}"


class ImageCard:
    """The average jet, turned to its principal axis: true, generated, or their difference in standard deviations."""

    def __init__(self, session: CompareSession) -> None:
        self._session = session
        self._which = choice(
            {"True": "true", "Generated": "generated", "Difference": "difference"}, "true", css="jl-image", width=250
        )
        self.figure = ImageFigure()
        self._note = html(height=38)
        self.panel = pn.Column(
            html("<h3>Average jet</h3>", height=30),
            self._which,
            pn.pane.Bokeh(self.figure.figure, margin=0),
            self._note,
            **WIDE,
        )
        self._which.param.watch(self.show, "value")
        session.settings.param.watch(self._set_theme, "theme")
        session.param.watch(self._changed, "result")
        self._set_theme()
        self.show()

    def show(self, *_: object) -> None:
        """Draw the chosen image."""
        result, which = self._session.result, self._which.value
        images = {} if result is None else {"true": _image(result.true), "generated": _image(result.generated)}
        true, generated = images.get("true"), images.get("generated")
        if which == "difference" and true is not None and generated is not None:
            error = np.sqrt(true.variances() + generated.variances())
            pull = np.divide(generated.values() - true.values(), error, out=np.zeros_like(error), where=error > 0)
            self.figure.show_difference(pull.T)
        elif images.get(which) is not None:
            self.figure.show_share(100 * images[which].values().T)
        else:
            self.figure.clear()
        self._note.object = f'<p class="small">{_NOTES[which] if self.figure.filled else "Nothing to show yet."}</p>'

    def _changed(self, event: Any) -> None:
        if event.new is None or not event.new.partial:
            self.show()

    def _set_theme(self, *_: object) -> None:
        self.figure.set_theme(self._session.settings.theme)


_NOTES = {
    "true": "Share of the jet pT per cell [%], mean over true jets; harder prong up.",
    "generated": "Share of the jet pT per cell [%], mean over generated jets; harder prong up.",
    "difference": "(generated − true) / statistical uncertainty of both; blue: too little, orange: too much.",
}


def _image(jets: Jets) -> Any:
    jets = jets[:: max(1, len(jets) // _MOST_JETS_IN_IMAGE)]
    return average_image(jets, bins=32) if (jets.multiplicity > 0).any() else None
