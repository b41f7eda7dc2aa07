"""From choices to what is shown: which jets, which histograms, which distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.evaluate import Comparison, Observed, bin_edges, histogram
from jetlab.jets import Jets
from jetlab.observables import OBSERVABLES
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    import hist

    from jetlab.dashboard.library import Library, Measured
    from jetlab.dashboard.settings import Settings

__all__ = ["Candidate", "Request", "Result", "compared", "drawn", "in_steady_order"]

_RESAMPLINGS = 100
_RESAMPLINGS_WHILE_GENERATING = 20


@dataclass
class Candidate:
    """The jets that are compared with the true ones.

    Attributes
    ----------
    kind : str
        ``"generated"`` here, ``"shipped"`` with the model, or ``"upload"``.
    name : str
        Model or file.
    detail : str
        How the jets were made or what was recognised, in words.
    measured : Measured
        The jets.
    notes : tuple of str
        What reading a file converted, assumed or left out.
    every_class : bool
        Compare all jets, whatever their labels.
    """

    kind: str
    name: str
    detail: str
    measured: Measured
    notes: tuple[str, ...] = ()
    every_class: bool = False


@dataclass(frozen=True)
class Result:
    """What is shown: always the truth, and the comparison once there is something to compare.

    Attributes
    ----------
    names : tuple of str
        Observables in the order of the tiles.
    hists : dict
        ``hists[observable]["true"]`` and, if compared, ``["generated"]``.
    comparison : Comparison or None
        The numbers.
    true, generated : Jets
        The jets behind them; no generated ones if nothing was compared.
    key : tuple
        What was chosen; the same for results that follow each other while jets are being generated.
    partial : bool
        More jets are being generated.
    pending : bool
        The comparison is still being computed.
    """

    names: tuple[str, ...]
    hists: dict[str, dict[str, hist.Hist]]
    comparison: Comparison | None
    true: Jets
    generated: Jets
    key: tuple[Any, ...] = ()
    partial: bool = False
    pending: bool = False


@dataclass(frozen=True)
class Request:
    """The choices at the moment a computation was asked for."""

    classes: tuple[str, ...]
    names: tuple[str, ...]
    split: str
    candidate: Candidate | None
    every_class: bool
    partial: bool
    plot: str

    @classmethod
    def of(cls, settings: Settings, candidate: Candidate | None, *, partial: bool) -> Request:
        """The present choices and the jets that are compared."""
        return cls(
            tuple(settings.jet_classes), tuple(settings.observables), settings.split, candidate,
            candidate is not None and candidate.every_class, partial, settings.plot,
        )  # fmt: skip

    @property
    def key(self) -> tuple[Any, ...]:
        """Results of requests with the same key may replace each other without an empty plot between."""
        return self.classes, self.names, self.split, id(self.candidate), self.every_class

    @property
    def shared_key(self) -> tuple[Any, ...] | None:
        """What identifies the result for all sessions; None if it is of this session only."""
        if self.candidate is not None and self.candidate.kind != "shipped":
            return None
        return self.classes, self.names, self.split, None if self.candidate is None else self.candidate.name

    @property
    def in_order(self) -> list[str]:
        """Observables, that of the large plot first."""
        return sorted(self.names, key=lambda name: name != self.plot)

    def true(self, library: Library, names: Sequence[str]) -> tuple[Jets, Observed]:
        """The true jets asked for."""
        return library.true(self.classes, names, split=self.split)

    def generated(self, names: Sequence[str]) -> tuple[Jets, Observed] | None:
        """The generated jets of the classes asked for; None if there are none."""
        if self.candidate is None or not len(self.candidate.measured):
            return None
        jets, observed = self.candidate.measured.observed(names)
        keep = slice(None) if self.every_class else _of_classes(jets, self.classes)
        jets, observed = jets[keep], observed[keep]
        return (jets, observed) if len(jets) else None


def drawn(library: Library, request: Request, ready: Sequence[str]) -> Result:
    """Histograms of the observables that are measured already; the distances follow."""
    true, observed = request.true(library, ready)
    generated = request.generated(ready)
    hists = {}
    for name in ready:
        observable, samples = OBSERVABLES[name], {"true": observed.sample(name)}
        if generated is not None:
            samples["generated"] = generated[1].sample(name)
        edges = bin_edges(observable, samples["true"])
        hists[name] = {
            role: histogram(sample, edges, name=name, label=observable.title) for role, sample in samples.items()
        }
    jets = true[:0] if generated is None else generated[0]
    return Result(request.names, hists, None, true, jets, request.key, partial=request.partial, pending=True)


def compared(library: Library, request: Request) -> Result:
    """Everything that was asked for."""
    generated = request.generated(request.names)
    if generated is None:
        return replace(drawn(library, request, request.names), pending=False)
    true, observed = request.true(library, request.names)
    resamplings = _RESAMPLINGS_WHILE_GENERATING if request.partial else _RESAMPLINGS
    comparison = library.compare(observed, generated[1], request.names, resamplings=resamplings)
    names = request.names if request.partial else tuple(comparison.worst_first)
    return Result(names, comparison.hists, comparison, true, generated[0], request.key, partial=request.partial)


def _of_classes(jets: Jets, classes: Sequence[str]) -> Any:
    """Mask of the jets of these classes; all jets if their labels are not those of JetClass."""
    if jets.label is None or jets.classes != CLASSES:
        return np.ones(len(jets), dtype=bool)
    return np.isin(jets.label, [CLASSES.index(name) for name in classes])


def in_steady_order(result: Result, before: Result | None) -> Result:
    """Keep the order of the tiles while numbers still change, so that nothing jumps."""
    if not (result.partial or result.pending) or before is None or set(before.names) != set(result.names):
        return result
    return replace(result, names=before.names)
