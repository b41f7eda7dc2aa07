"""What the dashboard says: the verdict, and for every state that is not a plot a sentence and a way out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from jetlab import style
from jetlab.dashboard.uploads import ACCEPTED, MAX_BYTES
from jetlab.observables import OBSERVABLES
from jetlab.vocabulary import CLASSES, class_named

if TYPE_CHECKING:
    from jetlab.dashboard.jobs import Progress
    from jetlab.dashboard.results import Result
    from jetlab.dashboard.session import CompareSession

__all__ = [
    "NO_CLASS", "SHIPPED", "Notice", "bad_address", "class_words", "computing_failed", "generation",
    "generation_failed", "lasting", "p_words", "progress_words", "upload_failed", "upload_too_large",
    "verdict_words", "z_number", "z_words",
]  # fmt: skip

SHIPPED = "jets that came with the model"

_FEW = 300
"""With fewer generated jets, agreement means little, and the verdict says so."""


@dataclass(frozen=True)
class Notice:
    """A sentence about a state and the way out of it.

    Attributes
    ----------
    cause : str
        What it is about.
    title, text : str
        What is the matter; plain text.
    level : str
        ``"info"`` or ``"error"``.
    action, action_label : str
        Name of the way out (see `jetlab.dashboard.app`) and the words on its button; empty for none.
    """

    cause: str
    title: str
    text: str
    level: str = "info"
    action: str = ""
    action_label: str = ""


# ---- states that last as long as their cause ------------------------------------------------------------------------


def lasting(session: CompareSession) -> list[Notice]:
    """Notices that follow from the present state of a session."""
    s = session.settings
    if not s.jet_classes:
        return [NO_CLASS]
    if not s.observables:
        return [_NO_OBSERVABLE]
    result = session.result
    if result is None or session.computing or session.progress.going:
        return []
    if not len(result.generated):
        return [_nothing_generated(session)]
    missing = [name for name in s.jet_classes if name not in result.generated.class_counts()]
    lacking = (
        missing and result.generated.label is not None and not (session.candidate and session.candidate.every_class)
    )
    return [_some_missing(session, missing)] if lacking else []


def _some_missing(session: CompareSession, missing: Sequence[str]) -> Notice:
    here = class_words([name for name in session.settings.jet_classes if name not in missing])
    title = f"No generated {class_words(missing)} jets"
    generate = f"Generate {session.settings.n:,} jets" if session.settings.model else ""
    return Notice("missing", title, f"Compared is only {here}.", "info", "generate" if generate else "", generate)


NO_CLASS = Notice(
    "classes", "No jet class is selected", "Choose at least one class on the left.", "info", "all_classes", "Select all"
)
_NO_OBSERVABLE = Notice(
    "observables", "No observable is selected", "Choose at least one observable on the left.", "info",
    "all_observables", "Select all",
)  # fmt: skip


def _nothing_generated(session: CompareSession) -> Notice:
    candidate, s = session.candidate, session.settings
    chosen = class_words(s.jet_classes)
    generate = f"Generate {s.n:,} jets"
    if candidate is not None and candidate.kind == "upload":
        text = f"The file has {_counts(candidate.measured.jets.class_counts())}."
        return Notice(
            "empty", f"{candidate.name} has no {chosen} jets", text, "info", "every_class", "Compare all of them"
        )
    if not s.model:
        text = (
            "No trained model is installed, so nothing can be generated here. Drop a file of generated jets on the "
            "left; “jetlab generate --model FOLDER --out jets.parquet” makes one. Until then you see the true jets."
        )
        return Notice("model", "No model", text)
    if candidate is not None:
        text = f"The jets from {candidate.name} that are compared now are of other classes."
        return Notice("empty", f"No generated {chosen} jets yet", text, "info", "generate", generate)
    text = f"You see the true jets. Generate jets with {s.model}, or drop a file on the left."
    return Notice("empty", "Nothing to compare yet", text, "info", "generate", generate)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {class_named(name).symbol}" for name, n in counts.items()) or "jets without labels"


# ---- states that last until they are mended -------------------------------------------------------------------------


def bad_address(problems: Sequence[str]) -> Notice:
    """The address holds choices that do not exist."""
    return Notice(
        "address", "Part of the link was not understood", " ".join(problems), action="dismiss", action_label="OK"
    )


def generation_failed(error: str) -> Notice:
    """A generation ended with an error."""
    return Notice("generation", "Generating failed", error, "error", action="generate", action_label="Try again")


def computing_failed(error: Exception) -> Notice:
    """Observables or distances could not be computed."""
    text = f"{str(error) or type(error).__name__}. Your jets are still there."
    return Notice("computing", "The comparison could not be computed", text, "error", "retry", "Try again")


def upload_failed(name: str, error: str) -> Notice:
    """A file could not be read."""
    text = f"{error}. What was compared before stays; drop another file on the left ({', '.join(ACCEPTED)})."
    return Notice("upload", f"{name[:80]} could not be read", text.replace("..", "."), "error", "dismiss", "OK")


def upload_too_large(name: str, size: int) -> Notice:
    """A file is larger than allowed."""
    text = (
        f"It has {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB can be uploaded. Send fewer jets, or run "
        "“jetlab compare” where the file is."
    )
    return Notice("upload", f"{name[:80]} is too large", text, "error", "dismiss", "OK")


# ---- short words ----------------------------------------------------------------------------------------------------


def class_words(names: Sequence[str]) -> str:
    """Symbols of classes, such as ``t→bqq′ + H→bb̄``."""
    if len(names) == len(CLASSES):
        return "all ten classes"
    symbols = [class_named(name).symbol for name in names]
    return " + ".join(symbols) if len(symbols) <= 3 else f"{len(symbols)} classes"


def generation(seed: int, *, temperature: float, top_k: int, steps: int | None) -> str:
    """How jets were generated: token by token, or in so many steps from noise."""
    if steps is not None:
        return f"seed {seed}, {steps} steps"
    return f"seed {seed}, T = {temperature:g}" + (f", top-k {top_k}" if top_k else "")


def progress_words(progress: Progress) -> str:
    """Progress of a generation: jets, jets per second and time left, or how it ended."""
    share = f"{progress.done:,} of {progress.total:,}"
    speed = f"{progress.rate:.0f} jets/s"
    words = {
        "waiting": "Waiting for a free slot…",
        "loading": "Loading the model…",
        "running": f"{share} · {speed} · {_seconds(progress.left)} left"
        if progress.done
        else "Generating the first jets…",
        "stopped": f"Stopped after {share} jets",
        "done": f"{progress.done:,} jets in {_seconds(progress.seconds)} ({speed})" if progress.done else "",
    }
    return words.get(progress.phase, "")


def _seconds(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def z_words(z: float) -> str:
    """Sign and number of a tile, such as ``✗ 12`` or ``✓ 0.4``."""
    return "?" if math.isnan(z) else f"{style.verdict(z).sign} {z_number(z)}"


def z_number(z: float) -> str:
    """One digit after the point, none for large numbers; never a negative zero."""
    return f"{z:.0f}" if abs(z) >= 10 else f"{round(z, 1) + 0.0:.1f}"


def p_words(p: float) -> str:
    """A p-value; those too small to mean anything more than "no" are only bounded."""
    return "–" if math.isnan(p) else "< 10⁻⁶" if p < 1e-6 else f"{p:.2g}"


def verdict_words(result: Result) -> str:
    """The answer after five seconds, as HTML: how many observables agree and which are farthest off."""
    if result.comparison is None:
        return "Comparing…" if result.pending else "True jets only"
    z = result.comparison.table["z"]
    calm = sum(style.verdict(value).name == "calm" for value in z)
    words = [f"<b>{calm} of {len(z)} observables agree</b> with the truth"]
    off = [name for name in result.comparison.worst_first if style.verdict(z[name]).name in ("attention", "alarm")]
    if off:
        farthest = ", ".join(f"{escape(OBSERVABLES[name].label)} {z_words(z[name])}" for name in off[:3])
        words.append(f"farthest off: {farthest}")
    if len(result.generated) < _FEW:
        words.append(f"<span>only {len(result.generated)} generated jets</span>")
    if result.partial:
        words.append("<span>still generating</span>")
    return " · ".join(words)
