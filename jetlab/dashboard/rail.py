"""The left rail: what is compared and how it is generated, with the button that turns into progress."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

from jetlab.dashboard.components import STATIC, DropZone
from jetlab.dashboard.jobs import Progress
from jetlab.dashboard.messages import progress_words
from jetlab.dashboard.parts import WIDGETS
from jetlab.dashboard.results import Candidate
from jetlab.dashboard.session import CompareSession
from jetlab.dashboard.uploads import ACCEPTED, MAX_BYTES
from jetlab.observables import OBSERVABLES
from jetlab.vocabulary import JET_CLASSES

__all__ = ["Rail"]

_RAIL = (STATIC / "rail.css").read_text(encoding="utf-8")

_STYLED: dict[str, Any] = {"stylesheets": [WIDGETS], "sizing_mode": "stretch_width", "margin": (3, 0)}


class Rail:
    """Controls of a session.

    Attributes
    ----------
    panel : panel Column
        What to put on the page.
    """

    def __init__(self, session: CompareSession) -> None:
        self._session = session
        self._generate = pn.widgets.Button(label="Generate", color="primary", css_classes=["jl-generate"], **_STYLED)
        self._stop = pn.widgets.Button(label="Stop", css_classes=["jl-stop"], **_STYLED)
        self._bar = pn.pane.HTML("", sizing_mode="stretch_width", margin=0, height=26, stylesheets=[_RAIL])
        self._file = DropZone(
            on_file=session.upload, on_too_large=session.upload_too_large, accept=",".join(ACCEPTED), limit=MAX_BYTES,
            css_classes=["jl-upload"], sizing_mode="stretch_width", margin=(3, 0),
        )  # fmt: skip
        self._recognised = pn.pane.HTML("", sizing_mode="stretch_width", margin=(2, 0), stylesheets=[_RAIL])
        self._remove = pn.widgets.Button(label="Remove this file", css_classes=["jl-remove"], **_STYLED)
        self._remove.on_click(lambda _: session.show_shipped())
        self._generate.on_click(lambda _: session.generate())
        self._stop.on_click(lambda _: session.stop())
        self._only_jets = pn.Column(
            _heading("Generate"), *self._how(),
            pn.Column(self._generate, self._stop, self._bar, height=76, margin=0, sizing_mode="stretch_width"),
            _heading("or upload"), self._file, self._recognised, self._remove,
            _heading("Observables"), self._observables(),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self.panel = pn.Column(
            _heading("Jets"), self._classes(), self._split(), self._only_jets, sizing_mode="stretch_width", margin=0
        )
        session.param.watch(self._show_progress, "progress")
        session.param.watch(self._show_upload, ["uploading", "candidate"])
        session.settings.param.watch(self._show_progress, ["n", "model", "jet_classes"])
        session.settings.param.watch(self._show_view, "view")
        self._show_progress()
        self._show_upload()
        self._show_view()

    # ---- controls -----------------------------------------------------------------------------------------------

    def _classes(self) -> Any:
        options = {jet_class.symbol: jet_class.name for jet_class in JET_CLASSES}
        chips = pn.widgets.CheckButtonGroup(options=options, css_classes=["chips", "jl-classes"], **_STYLED)
        return self._linked(chips, "jet_classes")

    def _split(self) -> Any:
        options = {"All bundled jets": "all", "Test split": "test"}
        choice = pn.widgets.RadioButtonGroup(options=options, css_classes=["choice"], **_STYLED)
        return self._linked(choice, "split")

    def _observables(self) -> Any:
        options = {o.label: o.name for o in OBSERVABLES.values()}
        chips = pn.widgets.CheckButtonGroup(options=options, css_classes=["chips", "jl-observables"], **_STYLED)
        return self._linked(chips, "observables")

    def _how(self) -> list[Any]:
        models = self._session.library.models
        model = pn.widgets.Select(
            label="Model", options=list(models) or {"none installed": ""}, disabled=not models, **_STYLED
        )
        names = ("n", "temperature", "top_k", "steps", "seed")
        bounds = {name: self._session.settings.param[name].bounds for name in names}

        def number(name: str, label: str, step: float, kind: Any = pn.widgets.IntInput) -> Any:
            low, high = bounds[name]
            css = [f"jl-{name.replace('_', '-')}"]
            return self._linked(kind(label=label, step=step, start=low, end=high, css_classes=css, **_STYLED), name)

        count, seed = number("n", "Jets", 500), number("seed", "Seed", 1)
        temperature = number("temperature", "Temperature", 0.05, pn.widgets.FloatInput)
        top_k = number("top_k", "Top-k (0: all)", 50)
        steps = number("steps", "Steps from noise", 4)
        for widget in (seed, top_k):
            widget.margin = (3, 0, 3, 10)
        sizes, self._of_tokens, self._of_flows = (
            pn.Row(*widgets, sizing_mode="stretch_width", margin=0)
            for widgets in ((count, seed), (temperature, top_k), (steps,))
        )
        return [self._linked(model, "model"), sizes, self._of_tokens, self._of_flows]

    def _linked(self, widget: Any, name: str) -> Any:
        """Keep a widget and a choice equal, in both directions."""
        settings = self._session.settings
        widget.value = getattr(settings, name)

        def choose(event: Any) -> None:
            if event.new is not None and event.new != getattr(settings, name):
                setattr(settings, name, event.new)

        def follow(event: Any) -> None:
            widget.value = event.new

        widget.param.watch(choose, "value")
        settings.param.watch(follow, name)
        return widget

    # ---- what is going on ---------------------------------------------------------------------------------------

    def _show_view(self, *_: object) -> None:
        self._only_jets.visible = self._session.settings.view == "jets"

    def _show_progress(self, *_: object) -> None:
        progress, s = self._session.progress, self._session.settings
        self._of_tokens.visible = self._session.library.writes_tokens(s.model)
        self._of_flows.visible = not self._of_tokens.visible
        self._generate.visible, self._stop.visible = not progress.going, progress.going
        self._generate.label = f"Generate {s.n:,} jets"
        self._generate.disabled = not (s.model and s.jet_classes)
        self._bar.object = _bar(progress)

    def _show_upload(self, *_: object) -> None:
        busy, candidate = self._session.uploading, self._session.candidate
        self._file.busy = busy
        kinds = ", ".join(sorted({ending.lstrip(".") for ending in ACCEPTED} - {"hdf5"}))
        self._file.label = "Reading the file…" if busy else f"Drop a file of generated jets, or click ({kinds})"
        uploaded = candidate is not None and candidate.kind == "upload"
        self._recognised.object = _recognised(candidate) if uploaded else ""
        self._remove.visible = uploaded


def _heading(text: str) -> Any:
    return pn.pane.HTML(f"<h2>{text}</h2>", margin=(12, 0, 2, 0), sizing_mode="stretch_width", stylesheets=[_RAIL])


def _bar(progress: Progress) -> str:
    share = 100 * progress.done / progress.total if progress.total else 0
    track = f'<div class="track"><div style="width:{share:.1f}%"></div></div>' if progress.going else ""
    return f'{track}<div class="words" role="status">{escape(progress_words(progress))}</div>'


def _recognised(candidate: Candidate) -> str:
    facts = [f"{len(candidate.measured):,} jets", candidate.detail, *candidate.notes]
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return f"<b>✓ {escape(candidate.name)}</b><ul>{items}</ul>"
