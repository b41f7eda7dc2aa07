"""Cards of the view of tokens: the answer, resolution, codes in the plane, and the use of the codebook."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from jetlab.dashboard.parts import WIDE, WIDGETS, button, html
from jetlab.dashboard.tokens import words
from jetlab.dashboard.tokens.codefigures import CloseUp, PlaneFigure, PtFigure
from jetlab.dashboard.tokens.figures import SpreadFigure, UsageFigure
from jetlab.dashboard.tokens.session import DRAWN_CODES, TokenSession
from jetlab.dashboard.tokens.spread import Spread
from jetlab.evaluate.resolution import QUANTITIES

__all__ = ["AnswerCard", "CodesCard", "SpreadCard", "TokenStatus", "TokenizerChoice", "UsageCard"]

_SPREAD = 604  # pixels


class TokenStatus:
    """The line on top of the page: which jets and which tokenizer."""

    def __init__(self, session: TokenSession) -> None:
        self._session = session
        self.panel = html(height=52)
        session.param.watch(self._show, ["result", "computing"])
        self._show()

    def _show(self, *_: object) -> None:
        result, s = self._session.result, self._session.settings
        parts = {}
        if result is not None:
            split = " · test split" if s.split == "test" else ""
            parts = {
                "true": f"bundled sample{split} · {words.jets_words(result.tokenized)}",
                "rebuilt": f"from codes of {result.tokenizer} · {result.tokenized.codebook_size:,} codes",
            }
        chips = (
            f'<span class="chip {"true" if role == "true" else "generated"}"><i></i><b>{role}</b> {escape(text)}</span>'
            for role, text in parts.items()
        )
        self.panel.object = f'<div class="status">{"".join(chips)}</div>'


class TokenizerChoice:
    """The choice of the tokenizer, in the rail."""

    def __init__(self, session: TokenSession) -> None:
        self._settings, known = session.settings, list(session.library.tokenizers)
        self.widget = pn.widgets.Select(
            label="Tokenizer", options=known or {"none installed": ""}, disabled=not known,
            css_classes=["jl-tokenizer"], stylesheets=[WIDGETS], **(WIDE | {"margin": (12, 0, 3, 0)}),
        )  # fmt: skip
        self.panel = self.widget
        self._follow()
        self.widget.param.watch(self._choose, "value")
        session.settings.param.watch(self._follow, "tokenizer")

    def _choose(self, event: Any) -> None:
        if event.new and event.new != self._settings.tokenizer:
            self._settings.tokenizer = event.new

    def _follow(self, *_: object) -> None:
        if self._settings.tokenizer in self.widget.options:
            self.widget.value = self._settings.tokenizer


class AnswerCard:
    """What the tokens lose, in a sentence and a row of numbers."""

    def __init__(self, session: TokenSession) -> None:
        self._session = session
        self._words, self._facts = html(height=30), html(height=82)
        self.panel = pn.Column(self._words, self._facts, **WIDE)
        session.param.watch(self._show, ["result", "computing"])
        self._show()

    def _show(self, *_: object) -> None:
        result = self._session.result
        if result is None:
            answer = "Tokenizing jets…" if self._session.computing else ""
            facts = [(name, "…" if self._session.computing else "–", "") for name in words.FACTS]
        else:
            answer = words.answer(result.tokenized, result.summary)
            answer += " · <span>still tokenizing</span>" if result.partial else ""
            facts = words.facts(result.tokenized, result.summary)
        self._words.object = f'<div class="verdict">{answer}</div>'
        tiles = (f"<div><p>{escape(a)}</p><b>{escape(b)}</b><p>{escape(c)}</p></div>" for a, b, c in facts)
        self._facts.object = f'<div class="facts">{"".join(tiles)}</div>'


class SpreadCard:
    """Rebuilt minus true of one quantity."""

    def __init__(self, session: TokenSession) -> None:
        self._session = session
        self.figure = SpreadFigure(height=_SPREAD)
        options = {words.SHORT[name]: name for name in QUANTITIES}
        self.choice = pn.widgets.RadioButtonGroup(
            options=options, value=session.settings.quantity, css_classes=["chips", "jl-quantity"],
            stylesheets=[WIDGETS], **(WIDE | {"margin": (6, 0, 4, 0)}),
        )  # fmt: skip
        self._numbers, self._foot = html(height=22), html(height=20)
        self._drawing = pn.pane.Bokeh(self.figure.layout, height=_SPREAD, **WIDE)
        self.panel = pn.Column(
            html("<h3>What is lost: rebuilt minus true</h3>", height=26), self.choice, self._numbers, self._drawing,
            self._foot, **WIDE,
        )  # fmt: skip
        self.choice.param.watch(lambda event: setattr(session.settings, "quantity", event.new), "value")
        session.settings.param.watch(self._follow, "quantity")
        session.settings.param.watch(self._set_theme, "theme")
        session.param.watch(self._show, ["result", "computing"])
        self._set_theme()
        self._show()

    def _follow(self, event: Any) -> None:
        self.choice.value = event.new
        self._show()

    def _set_theme(self, *_: object) -> None:
        self.figure.set_theme(self._session.settings.theme)

    def _show(self, *_: object) -> None:
        result, quantity = self._session.result, self._session.settings.quantity
        self._drawing.loading = result is None and self._session.computing
        numbers = foot = ""
        if result is not None:
            spread = Spread.of(result.tokenized, quantity, result.summary)
            self.figure.show(spread)
            numbers = words.spread_words(quantity, result.summary.rows.get((quantity, "all")))
            foot = spread.outside
        self._numbers.object = f'<p class="numbers narrow">{numbers}</p>'
        self._foot.object = f'<p class="small line">{escape(foot)}</p>'


class CodesCard:
    """Where codes lie in the plane of a jet, and what one of them decodes to in different contexts."""

    def __init__(self, session: TokenSession) -> None:
        self._session = session
        self.plane = PlaneFigure(on_tap=session.look_near)
        self.close_up, self.pt = CloseUp(width=198, height=184), PtFigure(width=198, height=184)
        self.number = pn.widgets.IntInput(
            value=session.settings.code, start=0, step=1, width=96, margin=0, css_classes=["jl-code"],
            stylesheets=[WIDGETS],
        )  # fmt: skip
        self.number.param.watch(self._typed, "value")
        anywhere = button("Random", css_classes=["jl-random-code"])
        anywhere.on_click(lambda _: session.look_anywhere())
        head = pn.Row(html("<h3>What a code stands for</h3>"), self.number, anywhere, height=36, **WIDE)
        self._caption, self._note = html(height=58), html(height=36)
        near = pn.Row(*(pn.pane.Bokeh(fig.figure, margin=0) for fig in (self.close_up, self.pt)), **WIDE)
        plane = pn.pane.Bokeh(self.plane.figure, margin=0)
        self.panel = pn.Column(head, self._note, plane, self._caption, near, **WIDE)
        session.settings.param.watch(self._set_theme, "theme")
        session.settings.param.watch(self._follow, "code")
        session.param.watch(self._show, "result")
        session.param.watch(self._show_cloud, ["cloud", "cloud_trouble", "looking", "result"])
        self._set_theme()
        self._show()
        self._show_cloud()

    def _typed(self, event: Any) -> None:
        if event.new is not None and event.new != self._session.settings.code:
            self._session.settings.code = event.new

    def _follow(self, event: Any) -> None:
        self.number.value = event.new

    def _set_theme(self, *_: object) -> None:
        for fig in (self.plane, self.close_up, self.pt):
            fig.set_theme(self._session.settings.theme)

    def _show(self, *_: object) -> None:
        result = self._session.result
        note = ""
        if result is not None:
            places = result.tokenized.places
            self.plane.show(places, most=DRAWN_CODES)
            self.number.end = result.tokenized.codebook_size - 1
            drawn, used = min(DRAWN_CODES, len(places.code)), len(places.code)
            which = f"the {drawn:,} most used of {used:,} codes" if drawn < used else f"the {used:,} codes in use"
            note = f"Faint: mean places of {which}, larger for higher pT. Tap one to see what it decodes to."
        self._note.object = f'<p class="small">{note}</p>'

    def _show_cloud(self, *_: object) -> None:
        session = self._session
        cloud = session.cloud if session.result is not None else None
        for draw in (self.plane.show_cloud, self.close_up.show, self.pt.show):
            draw(cloud)
        if session.cloud_trouble:
            text = escape(session.cloud_trouble)
        elif cloud is None or session.result is None:
            text = "Decoding…" if session.looking else ""
        else:
            text = words.caption(cloud, session.result.tokenized)
        self._caption.object = f'<p class="cloud{" waiting" if session.looking else ""}">{text}</p>'


class UsageCard:
    """How often each code is used."""

    def __init__(self, session: TokenSession) -> None:
        self._session = session
        self.figure = UsageFigure()
        self._foot = html(height=38)
        drawing = pn.pane.Bokeh(self.figure.figure, height=270, **WIDE)
        self.panel = pn.Column(html("<h3>Use of the codebook</h3>", height=30), drawing, self._foot, **WIDE)
        session.settings.param.watch(self._set_theme, "theme")
        session.param.watch(self._show, "result")
        self._set_theme()
        self._show()

    def _set_theme(self, *_: object) -> None:
        self.figure.set_theme(self._session.settings.theme)

    def _show(self, *_: object) -> None:
        result = self._session.result
        if result is not None:
            self.figure.show(result.tokenized)
        text = words.usage_words(result.tokenized) if result is not None else ""
        self._foot.object = f'<p class="small">{escape(text)}</p>'
