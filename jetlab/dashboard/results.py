"""From choices to what is shown: which jets, which histograms, which distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jetlab.evaluate import Comparison, Observed, bin_edges, histogram
from jetlab.jets import Jets
from jetlab.observables import OBSERVABLES
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    import hist
    import numpy.typing as npt

    from jetlab.dashboard.library import Library, Measured
    from jetlab.dashboard.settings import Settings

__all__ = ["Candidate", "Request", "Result", "compared", "drawn", "in_steady_order", "same_mix"]

_RESAMPLINGS = 100
_RESAMPLINGS_WHILE_GENERATING = 20
_SAME = 0.03


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

    def jets(self, library: Library, names: Sequence[str]) -> tuple[Measurement, Measurement | None]:
        """The true jets asked for and the generated ones of the same classes; None if there are none."""
        true = Measurement(*library.true(self.classes, names, split=self.split))
        if self.candidate is None or not len(self.candidate.measured):
            return true, None
        generated = Measurement(*self.candidate.measured.observed(names))
        label = generated.jets.label
        if label is not None and generated.jets.classes == CLASSES and not self.every_class:
            generated = generated.where(np.isin(label, [CLASSES.index(name) for name in self.classes]))
            true = true.where(same_mix(true.jets.label, generated.jets.label))
        return true, generated if len(generated.jets) else None


class Measurement(NamedTuple):
    """Jets and their observables."""

    jets: Jets
    observed: Observed

    def where(self, chosen: Any) -> Measurement:
        """Those that a slice, mask or index chooses."""
        return Measurement(self.jets[chosen], self.observed[chosen])


def same_mix(true: npt.ArrayLike | None, generated: npt.ArrayLike | None) -> Any:
    """Choose true jets such that their classes are mixed as the generated ones are.

    Otherwise a difference of the mixture would be taken for a difference of the jets.

    Parameters
    ----------
    true, generated : array_like of int
        Class of each jet.

    Returns
    -------
    slice or ndarray of bool
        The first jets of each class, as many as there can be; all of them if the mixtures are the same within a few
        percent or there is nothing generated.
    """
    counts = np.array(
        [np.bincount(np.asarray(label, dtype=np.int64), minlength=len(CLASSES)) for label in (true, generated)]
    )
    there = counts[1] > 0
    if not there.any() or not counts[0][there].all():
        return slice(None)
    share = counts[1] / counts[1].sum()
    total = (counts[0][there] / share[there]).min()
    keep = np.where(np.abs(counts[0] - total * share) <= _SAME * counts[0], counts[0], np.floor(total * share))
    label = np.asarray(true, dtype=np.int64)
    order = np.argsort(label, kind="stable")
    rank = np.empty(len(label), dtype=np.int64)
    rank[order] = np.arange(len(label)) - np.repeat(np.cumsum(counts[0]) - counts[0], counts[0])
    return rank < keep[label]


def drawn(library: Library, request: Request, ready: Sequence[str]) -> Result:
    """Histograms of the observables that are measured already; the distances follow."""
    true, generated = request.jets(library, ready)
    hists = {}
    for name in ready:
        observable, samples = OBSERVABLES[name], {"true": true.observed.sample(name)}
        if generated is not None:
            samples["generated"] = generated.observed.sample(name)
        edges = bin_edges(observable, samples["true"])
        hists[name] = {
            role: histogram(sample, edges, name=name, label=observable.title) for role, sample in samples.items()
        }
    jets = true.jets[:0] if generated is None else generated.jets
    return Result(request.names, hists, None, true.jets, jets, request.key, partial=request.partial, pending=True)


def compared(library: Library, request: Request) -> Result:
    """Everything that was asked for."""
    true, generated = request.jets(library, request.names)
    if generated is None:
        return replace(drawn(library, request, request.names), pending=False)
    resamplings = _RESAMPLINGS_WHILE_GENERATING if request.partial else _RESAMPLINGS
    comparison = library.compare(true.observed, generated.observed, request.names, resamplings=resamplings)
    names = request.names if request.partial else tuple(comparison.worst_first)
    jets = true.jets, generated.jets
    return Result(names, comparison.hists, comparison, *jets, request.key, partial=request.partial)


def in_steady_order(result: Result, before: Result | None) -> Result:
    """Keep the order of the tiles while numbers still change, so that nothing jumps."""
    if not (result.partial or result.pending) or before is None or set(before.names) != set(result.names):
        return result
    return replace(result, names=before.names)
