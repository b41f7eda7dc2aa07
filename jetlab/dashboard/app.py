"""The compare dashboard as a page: one instance a session, put together from state, rail and views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import panel as pn
from panel.io.resources import get_dist_path
from tornado.ioloop import IOLoop

from jetlab import style
from jetlab.dashboard.components import STATIC, CopyButton, PageBridge
from jetlab.dashboard.helptext import help_html
from jetlab.dashboard.jetcards import ImageCard, JetsCard
from jetlab.dashboard.library import Library, library
from jetlab.dashboard.parts import WIDE, choice
from jetlab.dashboard.plotcard import PlotCard
from jetlab.dashboard.rail import Rail
from jetlab.dashboard.session import CompareSession
from jetlab.dashboard.studies import PLACES as STUDY_PLACES
from jetlab.dashboard.studies import StudiesView
from jetlab.dashboard.tablecard import TableCard
from jetlab.dashboard.tokens.session import TokenSession
from jetlab.dashboard.tokens.studycard import STUDY
from jetlab.dashboard.tokens.view import PLACES as TOKEN_PLACES
from jetlab.dashboard.tokens.view import TokenStatus, TokensView
from jetlab.dashboard.views import NoticeView, StatusView, VerdictView
from jetlab.zoo.studies import studies

if TYPE_CHECKING:
    from bokeh.document import Document

__all__ = ["CompareDashboard"]

VIEWS = {"Jets": "jets", "Tokens": "tokens", "Studies": "studies"}


class CompareDashboard:
    """True and generated jets side by side, what jets lose as tokens, and studies: three views of one page.

    Parameters
    ----------
    query : mapping of str to str, optional
        Choices, as in the address of the page.
    shared : Library, optional
        The jets and models of the server; by default those of this package.

    Attributes
    ----------
    session : CompareSession
        Choices and results; drive this to drive the page.
    token_session : TokenSession
        Results of the view of tokens.
    tokens : TokensView or None
        That view; None before it is opened.
    studies : StudiesView or None
        The view of studies; None before it is opened.
    """

    def __init__(self, *, query: Mapping[str, str] | None = None, shared: Library | None = None) -> None:
        post = _poster()
        self.session = CompareSession(shared or library(), post=post)
        self.token_session = TokenSession(self.session, post=post)
        self.session.open(dict(query or {}))
        settings = self.session.settings
        self._bridge = PageBridge(query=settings.to_query(), theme=settings.theme, view=settings.view)
        self._bridge.param.watch(lambda event: setattr(settings, "theme", event.new), "theme")
        settings.param.watch(self._follow, list(settings.param))
        self.rail = Rail(self.session)
        self.verdict, self.plot = VerdictView(self.session), PlotCard(self.session)
        self.jets, self.image = JetsCard(self.session), ImageCard(self.session)
        self.table = TableCard(self.session)
        self.notices, self.status = NoticeView(self.session), StatusView(self.session)
        self._switch = choice(VIEWS, settings.view, css="jl-view", width=220)
        self._switch.param.watch(lambda event: setattr(settings, "view", event.new), "value")
        self.token_status = TokenStatus(self.token_session)
        self.tokens: TokensView | None = None
        self.studies: StudiesView | None = None
        self._places = {name: pn.Column(**WIDE) for name in (*TOKEN_PLACES, *STUDY_PLACES)}
        settings.param.watch(self._open_view, "view")
        self._open_view()

    @classmethod
    def from_request(cls, *, shared: Library | None = None) -> CompareDashboard:
        """Dashboard of the session that is being served, with the choices in its address; ends with the session."""
        query = {name: values[0].decode(errors="replace") for name, values in pn.state.session_args.items() if values}
        dashboard = cls(query=query, shared=shared)
        pn.state.on_session_destroyed(lambda _: dashboard.close())
        return dashboard

    def close(self) -> None:
        """End all work of the session."""
        self.session.close()
        self.token_session.close()

    def page(self) -> pn.Template:
        """The page, to be served."""
        template = _Page((STATIC / "page.html").read_text(encoding="utf-8"))
        template.add_variable("page_css", _role_css() + (STATIC / "page.css").read_text(encoding="utf-8"))
        template.add_variable("theme_name", self.session.settings.theme)
        template.add_variable("view_name", self.session.settings.view)
        template.add_variable("study_hidden", "" if STUDY in studies() else "hidden")
        template.add_variable("help", help_html())
        share = CopyButton(
            label="Share", done="Link copied ✓", tip="Copy a link that holds all choices", css_classes=["jl-share"]
        )
        parts = {
            "status": self.status.panel, "share": share, "rail": self.rail.panel, "notice": self.notices.panel,
            "verdict": self.verdict.panel, "plot": self.plot.panel, "jets": self.jets.panel, "table": self.table.panel,
            "image": self.image.panel, "page": self._bridge, "switch": self._switch,
            "token_status": self.token_status.panel, **self._places,
        }  # fmt: skip
        for name, part in parts.items():
            template.add_panel(name, part)
        return template

    def _follow(self, *_: object) -> None:
        settings = self.session.settings
        self._bridge.param.update(query=settings.to_query(), theme=settings.theme, view=settings.view)

    def _open_view(self, *_: object) -> None:
        """Fill the view of tokens or of studies when it is opened for the first time."""
        settings = self.session.settings
        self._switch.value = settings.view
        if settings.view == "tokens" and self.tokens is None:
            self.tokens = TokensView(self.token_session)
            self._fill(self.tokens.panels())
        if settings.view == "studies" and self.studies is None:
            self.studies = StudiesView(settings)
            self._fill(self.studies.panels())

    def _fill(self, panels: Mapping[str, Any]) -> None:
        for name, panel in panels.items():
            self._places[name].objects = [panel]


class _Page(pn.Template):
    """A template that is put together in half the time.

    It does not write all its parts into a text whenever one is added, nor collect all models of the document again.
    """

    def __repr__(self) -> str:
        return "JetLab compare"

    def server_doc(self, doc: Document | None = None, title: str | None = None, location: bool = True) -> Document:
        """Fill the document of a session.

        Panel learns where its own style sheets are only while it writes the page; a session that is made anew, because
        the browser took longer than its lifetime, would ask for them on another host.
        """
        document = doc or pn.state.curdoc
        document.template_variables.setdefault("dist_url", get_dist_path())
        with document.models.freeze():
            return super().server_doc(document, title, location)


def _poster() -> Callable[[Callable[[], None]], None]:
    """Give a function that runs others in the thread of the present session, in order; at once if there is no server.

    They wait in a queue of their own, because Bokeh runs what is added to a young session in any order, and go through
    the event loop, because what another thread adds to a document is lost if Panel happens to hold its events. Each has
    a turn of its own, so that one that fails does not take the others with it.
    """
    document = pn.state.curdoc
    if document is None or document.session_context is None:
        return lambda function: function()
    loop, waiting = IOLoop.current(), SimpleQueue[Callable[[], None]]()

    def run_next() -> None:
        waiting.get()()

    def schedule() -> None:
        with suppress(AttributeError):  # the session has ended, and its document has lost its callbacks
            document.add_next_tick_callback(run_next)

    def post(function: Callable[[], None]) -> None:
        waiting.put(function)
        loop.add_callback(schedule)

    return post


def _role_css() -> str:
    """The colours of samples and verdicts as style variables; text takes them with more contrast."""
    generated = style.sample_styles(["generated"])["generated"].colour
    levels = {style.verdict(z).name: style.verdict(z).colour for z in (0, 3, 10)}
    rules = []
    for theme, ink in (("light", "black 30%"), ("dark", "white 25%")):
        selector = ":root" if theme == "light" else ':root[data-theme="dark"]'
        lines = [f"--jl-true: {style.THEMES[theme].true};", f"--jl-generated: {generated};"]
        lines.append(f"--jl-generated-text: color-mix(in srgb, {generated}, {ink});")
        for name, colour in levels.items():
            lines.append(f"--jl-{name}: color-mix(in srgb, {colour}, {ink});")
            lines.append(f"--jl-{name}-fill: color-mix(in srgb, {colour} 14%, var(--jl-surface));")
        rules.append(f"{selector} {{ {' '.join(lines)} }}\n")
    return "".join(rules)
