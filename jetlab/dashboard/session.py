"""One user's comparison: choices, the jets that are compared, and what was computed. No widgets, no figures.

Everything happens through `Settings` and the methods of `CompareSession`; whoever shows it watches the parameters
``result``, ``progress``, ``uploading`` and ``notices``. Computing and generation run in threads; their results are
moved to the session's own thread by the `post` function it was given.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import param

from jetlab.dashboard import messages
from jetlab.dashboard.jobs import GenerationJob, NewestOnly, Progress
from jetlab.dashboard.library import Library
from jetlab.dashboard.messages import Notice
from jetlab.dashboard.results import Candidate, Request, Result, compared, drawn, in_steady_order
from jetlab.dashboard.settings import Settings
from jetlab.dashboard.uploads import read_upload
from jetlab.errors import JetLabError
from jetlab.observables import OBSERVABLES
from jetlab.vocabulary import CLASSES

__all__ = ["CompareSession"]

_PATIENCE = 0.7
"""Seconds between two showings of what is ready."""


class CompareSession(param.Parameterized):
    """State of one session.

    Parameters
    ----------
    library : Library
        What all sessions share.
    post : callable
        Runs a function in the session's thread.
    """

    result = param.ClassSelector(class_=Result, default=None, allow_None=True)

    progress = param.ClassSelector(class_=Progress, default=Progress("done"))

    uploading = param.Boolean(default=False)

    computing = param.Boolean(default=False)

    notices = param.List(default=[], item_type=Notice)

    candidate = param.ClassSelector(class_=Candidate, default=None, allow_None=True)

    def __init__(self, library: Library, *, post: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self.library, self._post = library, post
        self.settings = Settings()
        self._worker = NewestOnly()
        self._job: GenerationJob | None = None
        self._growing: Candidate | None = None
        self._closed = threading.Event()
        self._passing: dict[str, Notice] = {}  # by cause; stay until the cause is gone
        self.settings.param.watch(self._chosen, ["jet_classes", "observables", "split"])
        self.settings.param.watch(lambda _: self.refresh(), "view")

    # ---- what the user does -------------------------------------------------------------------------------------

    def open(self, query: dict[str, str]) -> None:
        """Begin with the choices in the address."""
        problems = self.settings.read_query(query)
        if self.settings.model not in self.library.models:
            self.settings.model = next(iter(self.library.models), "")
        if problems:
            self._passing["address"] = messages.bad_address(problems)
        self.show_shipped()

    def show_shipped(self) -> None:
        """Compare the jets that came with the model, if there are any."""
        measured = self.library.shipped(self.settings.model)
        self._replace(
            None if measured is None else Candidate("shipped", self.settings.model, messages.SHIPPED, measured)
        )

    def generate(self) -> None:
        """Start to generate the jets that are asked for; they replace those that are compared now."""
        if self.progress.going:
            return
        s = self.settings
        if s.model not in self.library.models or not s.jet_classes:
            self.refresh()
            return
        tokens = self.library.writes_tokens(s.model)
        detail = messages.generation(
            s.seed, temperature=s.temperature, top_k=s.top_k, steps=None if tokens else s.steps
        )
        candidate = Candidate("generated", s.model, detail, self.library.measured())
        stream = self.library.stream(
            s.model, s.n, classes=s.jet_classes, seed=s.seed, temperature=s.temperature, top_k=s.top_k or None,
            steps=s.steps,
        )  # fmt: skip
        self._growing = candidate
        self._job = GenerationJob(
            stream,
            s.n,
            on_progress=lambda progress: self._later(lambda: self._progressed(progress, candidate)),
            on_batch=candidate.measured.add,
            slots=self.library.slots,
        )
        self.progress = Progress("waiting", 0, s.n)
        self._passing.pop("generation", None)
        self._job.start()

    def stop(self) -> None:
        """End a generation; the jets that are finished stay."""
        if self._job is not None:
            self._job.stop()

    def upload(self, name: str, content: bytes) -> None:
        """Read a file and compare its jets."""
        if self.uploading:
            return
        self.uploading = True
        self._passing.pop("upload", None)
        self._announce()

        def read() -> None:
            try:
                found = read_upload(name, content)
            except JetLabError as error:
                failure = messages.upload_failed(name, str(error))
                self._later(lambda: self._upload_failed(failure))
                return
            candidate = Candidate(
                "upload", found.name, found.recognised, self.library.measured(found.jets), found.notes
            )
            self._later(lambda: self._uploaded(candidate))

        threading.Thread(target=read, name="jetlab-upload", daemon=True).start()

    def upload_too_large(self, name: str, size: int) -> None:
        """Say that a file is larger than allowed."""
        self._upload_failed(messages.upload_too_large(name, size))

    def compare_every_class(self) -> None:
        """Compare all jets of the candidate, whatever their labels."""
        if self.candidate is not None:
            self.candidate.every_class = True
            self.refresh()

    def act(self, notice: Notice) -> None:
        """Take the way out that a notice offers."""
        self._passing.pop(notice.cause, None)
        ways: dict[str, Callable[[], Any]] = {
            "all_classes": lambda: setattr(self.settings, "jet_classes", list(CLASSES)),
            "all_observables": lambda: setattr(self.settings, "observables", list(OBSERVABLES)),
            "every_class": self.compare_every_class,
            "generate": self.generate,
            "retry": self.refresh,
        }
        ways.get(notice.action, self._announce)()

    def close(self) -> None:
        """End all work of the session."""
        self._closed.set()
        self.stop()
        self._worker.close()

    # ---- computing ----------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Compute everything that the choices ask for, in the background; nothing while another view is open."""
        self._announce()
        if not self._shown:
            return
        request = self._request()
        if not request.classes or not request.names:
            self.computing = False
            self.result = None
            return
        known = self.library.recall(request)
        if known is not None:
            self._show(known)
            return
        first = self.result is None or self.result.key != request.key
        self.computing = self.computing or first
        self._worker.submit(lambda: self._compute(request, first=first))

    @property
    def _shown(self) -> bool:
        return self.settings.view == "jets"

    def _request(self) -> Request:
        growing = self.progress.going and self.candidate is not None and self.candidate is self._growing
        return Request.of(self.settings, self.candidate, partial=growing)

    def _compute(self, request: Request, *, first: bool) -> None:
        """Measure one observable after the other, the large plot's first; show what is ready every now and then."""
        try:
            shown, ready = time.monotonic(), []
            for name in request.in_order:
                if request.key != self._request().key or not self._shown:
                    return
                self.library.measure_true(request.classes, [name])
                if request.candidate is not None:
                    request.candidate.measured.measure([name])
                ready.append(name)
                if first and (len(ready) == 1 or time.monotonic() - shown > _PATIENCE):
                    self._deliver(request, drawn(self.library, request, ready))
                    shown = time.monotonic()
            result = compared(self.library, request)
            self.library.remember(request, result)
            self._deliver(request, result)
        except Exception as error:  # noqa: BLE001  (whatever fails becomes a sentence; the page stays up)
            failure = messages.computing_failed(error)
            self._later(lambda: self._failed(request, failure))

    def _deliver(self, request: Request, result: Result) -> None:
        def show() -> None:
            if request.key == self._request().key:
                self._show(result)

        self._later(show)

    def _show(self, result: Result) -> None:
        self._passing.pop("computing", None)
        self.computing = result.pending
        self.result = in_steady_order(result, self.result)
        self._announce()

    def _failed(self, request: Request, failure: Notice) -> None:
        if request.key == self._request().key:
            self.computing = False
            self._passing["computing"] = failure
            self._announce()

    def _later(self, function: Callable[[], None]) -> None:
        """Run in the session's thread, unless the session has ended."""
        if not self._closed.is_set():
            self._post(lambda: None if self._closed.is_set() else function())

    # ---- what happened ------------------------------------------------------------------------------------------

    def _chosen(self, *_: object) -> None:
        if self.settings.observables and self.settings.plot not in self.settings.observables:
            self.settings.plot = self.settings.observables[0]
        self.refresh()

    def _progressed(self, progress: Progress, candidate: Candidate) -> None:
        self.progress = progress
        if progress.phase == "failed":
            self._passing["generation"] = messages.generation_failed(progress.error)
        if self._growing is candidate and progress.done and self.candidate is not candidate:
            self._replace(candidate)
        elif progress.done or not progress.going:
            self.refresh()

    def _uploaded(self, candidate: Candidate) -> None:
        self.uploading = False
        self._growing = None
        self.stop()
        self._replace(candidate)

    def _upload_failed(self, failure: Notice) -> None:
        self.uploading = False
        self._passing["upload"] = failure
        self._announce()

    def _replace(self, candidate: Candidate | None) -> None:
        self.candidate = candidate
        self.refresh()

    def _announce(self) -> None:
        lasting = messages.lasting(self)
        self.notices = [*self._passing.values(), *lasting]
