"""State of the view of tokens: tokenized jets, their measures, and the code that is looked at. No widgets, no figures.

Nothing is computed before the view is opened for the first time.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import param

from jetlab.dashboard.jobs import NewestOnly
from jetlab.dashboard.messages import Notice
from jetlab.dashboard.tokens import words
from jetlab.dashboard.tokens.measures import Cloud, Summary, Tokenized
from jetlab.evaluate.resolution import QUANTITIES
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    from jetlab.dashboard.session import CompareSession

__all__ = ["DRAWN_CODES", "TokenResult", "TokenSession"]

DRAWN_CODES = 4000
"""At most so many codes are drawn as dots, the most frequent ones."""

_PATIENCE = 1.0
"""Seconds between the first two showings of what is ready; each time twice as long, because less and less changes."""

_FIRST = 0.15
"""Seconds before the first showing: what is known already appears complete."""

FACTS = ("mass", "constituent_ptrel")


class _Request(NamedTuple):
    tokenizer: str
    classes: tuple[str, ...]
    split: str


@dataclass(frozen=True)
class TokenResult:
    """What is shown.

    Attributes
    ----------
    tokenizer : str
        Name.
    tokenized : Tokenized
        The jets as codes and their quantities.
    summary : Summary
        Measures; while partial, only of some quantities.
    partial : bool
        More jets are being tokenized.
    """

    tokenizer: str
    tokenized: Tokenized
    summary: Summary
    key: tuple[object, ...]
    partial: bool = False


class TokenSession(param.Parameterized):
    """State of the view of tokens in one session.

    Parameters
    ----------
    compare : CompareSession
        The session whose choices are followed.
    post : callable
        Runs a function in the session's thread.
    """

    result = param.ClassSelector(class_=TokenResult, default=None, allow_None=True)

    cloud = param.ClassSelector(class_=Cloud, default=None, allow_None=True)

    computing = param.Boolean(default=False, doc="Jets are being tokenized.")

    looking = param.Boolean(default=False, doc="A code is being decoded.")

    cloud_trouble = param.String(default="", doc="Why the code cannot be shown.")

    notices = param.List(default=[], item_type=Notice)

    def __init__(self, compare: CompareSession, *, post: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self._compare, self._post = compare, post
        self.settings, self.library = compare.settings, compare.library
        self._jets, self._clouds = NewestOnly(), NewestOnly()
        self._closed = threading.Event()
        self._failure: Notice | None = None
        self._settled: _Request | None = None
        self.settings.param.watch(self._chosen, ["view", "jet_classes", "split"])
        self.settings.param.watch(self._other_tokenizer, "tokenizer")
        self.settings.param.watch(lambda _: self.look(), "code")
        compare.param.watch(lambda _: self._announce(), "notices")

    # ---- what the user does -------------------------------------------------------------------------------------

    @property
    def opened(self) -> bool:
        """Whether the view is open."""
        return self.settings.view == "tokens"

    def refresh(self) -> None:
        """Tokenize the jets that are asked for, in the background, unless that has been done or the view is closed."""
        if not self.opened:
            return
        if self.settings.tokenizer not in self.library.tokenizers:
            self.settings.tokenizer = next(iter(self.library.tokenizers), "")
        self._failure = None
        request = self._request()
        if not request.tokenizer or not request.classes:
            self._settled = None
            self.computing, self.result, self.cloud = False, None, None
        elif request != self._settled:
            self.computing = True
            self._jets.submit(lambda: self._tokenize(request))
        self._announce()

    def look(self) -> None:
        """Decode the chosen code in many contexts, in the background."""
        code, result, request = self.settings.code, self.result, self._request()
        if not self.opened or result is None or code is None:
            return
        if code >= result.tokenized.codebook_size:
            self.cloud, self.looking = None, False
            self.cloud_trouble = words.no_such_code(code, result.tokenized.codebook_size)
            return
        self.looking = True
        self._clouds.submit(lambda: self._decode(request, code))

    def look_near(self, deta: float, dphi: float) -> None:
        """Choose the drawn code that is nearest to a point of the plane."""
        if self.result is not None:
            self.settings.code = self.result.tokenized.places.nearest(deta, dphi, among=DRAWN_CODES)

    def look_anywhere(self) -> None:
        """Choose any of the codes that occur."""
        if self.result is not None:
            self.settings.code = int(random.choice(self.result.tokenized.places.code))

    def act(self, notice: Notice) -> None:
        """Take the way out that a notice offers."""
        if notice.cause == "address":
            self._compare.act(notice)
        elif notice.action == "all_classes":
            self.settings.jet_classes = list(CLASSES)
        elif notice.action == "all_jets":
            self.settings.split = "all"
        else:
            self._settled = None
            self.refresh()

    def close(self) -> None:
        """End all work."""
        self._closed.set()
        self._jets.close()
        self._clouds.close()

    # ---- computing ----------------------------------------------------------------------------------------------

    def _request(self) -> _Request:
        s = self.settings
        return _Request(s.tokenizer, tuple(name for name in CLASSES if name in s.jet_classes), s.split)

    def _wanted(self, request: _Request) -> bool:
        return self.opened and request == self._request() and not self._closed.is_set()

    def _tokenize(self, request: _Request) -> None:
        """Tokenize part by part and show what is ready every now and then."""
        try:
            shared, patience = self.library.tokens, _PATIENCE
            due, found = time.monotonic() + _FIRST, False
            for parts, complete in shared.parts(request.tokenizer, request.classes, split=request.split):
                if not self._wanted(request):
                    return
                found = True
                if not complete and time.monotonic() < due:
                    continue
                quantities = QUANTITIES if complete else dict.fromkeys((*FACTS, self.settings.quantity))
                tokenized = Tokenized.join(parts)
                summary = shared.summary(tokenized, list(quantities), key=request if complete else None)
                result = TokenResult(request.tokenizer, tokenized, summary, request, partial=not complete)
                self._later(lambda result=result: self._show(request, result))  # type: ignore[misc]
                due, patience = time.monotonic() + patience, 2 * patience
            if not found:
                self._later(lambda: self._fail(request, words.no_jets(request.classes)))
        except Exception as error:  # noqa: BLE001  (whatever fails becomes a sentence; the page stays up)
            failure = words.tokenizing_failed(request.tokenizer, error)
            self._later(lambda: self._fail(request, failure))

    def _decode(self, request: _Request, code: int) -> None:
        trouble, cloud = "", None
        try:
            cloud = self.library.tokens.cloud(request.tokenizer, request.classes, code, split=request.split)
        except Exception as error:  # noqa: BLE001
            trouble = words.decoding_failed(code, error)
        self._later(lambda: self._show_cloud(request, code, cloud, trouble))

    def _show(self, request: _Request, result: TokenResult) -> None:
        if not self._wanted(request):
            return
        first = self.result is None or self.result.key != request
        self.computing, self.result = result.partial, result
        self._settled = None if result.partial else request
        if self.settings.code is None:
            self.settings.code = int(result.tokenized.places.code[0])
        elif first:
            self.look()
        self._announce()

    def _show_cloud(self, request: _Request, code: int, cloud: Cloud | None, trouble: str) -> None:
        if self._wanted(request) and code == self.settings.code:
            self.looking, self.cloud_trouble, self.cloud = False, trouble, cloud

    def _fail(self, request: _Request, failure: Notice) -> None:
        if self._wanted(request):
            self._failure = failure
            self.computing, self.result, self.cloud = False, None, None
            self._announce()

    def _later(self, function: Callable[[], None]) -> None:
        """Run in the session's thread, unless the session has ended."""
        if not self._closed.is_set():
            self._post(lambda: None if self._closed.is_set() else function())

    # ---- what happened ------------------------------------------------------------------------------------------

    def _chosen(self, *_: object) -> None:
        self.refresh()

    def _other_tokenizer(self, event: param.parameterized.Event) -> None:
        if event.old:  # a code of another tokenizer means something else
            self.settings.code = None
        self.refresh()

    def _announce(self) -> None:
        address = [notice for notice in self._compare.notices if notice.cause == "address"]
        lasting = words.lasting(self.settings.jet_classes, self.library.tokenizers) if self.opened else []
        self.notices = [*address, *([self._failure] if self._failure else []), *lasting]
