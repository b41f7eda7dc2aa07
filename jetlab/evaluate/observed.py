"""Observables of a set of jets, computed once and then selected, joined and compared at no cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import JetLabError
from jetlab.evaluate.samples import Sample
from jetlab.jets import Jets
from jetlab.observables import OBSERVABLES, compute

__all__ = ["Observed", "known_observables", "observe"]

FloatArray = npt.NDArray[np.float64]
Progress = bool | Callable[[int, int], None]


@dataclass(frozen=True)
class Observed:
    """Observables of a set of jets.

    Attributes
    ----------
    values : mapping of str to ndarray
        Values by name: one a jet, shape ``(n,)``, or one a constituent, shape ``(m,)``; NaN where undefined.
    offsets : ndarray of int, shape (n + 1,)
        Constituents of jet ``i`` are ``offsets[i]:offsets[i + 1]``.
    label : ndarray of int, shape (n,), or None
        Class of each jet, an index into `classes`.
    classes : tuple of str
        Class names.
    meta : dict
        Provenance of the jets.
    """

    values: Mapping[str, FloatArray]
    offsets: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def sample(self, name: str) -> Sample:
        """One observable as values with the jet of each, undefined ones left out."""
        return Sample.of(self.values[name], offsets=self.offsets if _per_constituent(name) else None)

    def __getitem__(self, where: Any) -> Observed:
        """Select jets with a slice, a boolean mask or an integer array."""
        index = np.atleast_1d(np.arange(len(self))[where])
        counts = np.diff(self.offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(self.offsets[index] - offsets[:-1], counts) + np.arange(offsets[-1])
        values = {name: v[rows if _per_constituent(name) else index] for name, v in self.values.items()}
        return Observed(values, offsets, None if self.label is None else self.label[index], self.classes, self.meta)

    def of_class(self, name: str) -> Observed:
        """Jets of one class; none if the class does not occur.

        Raises
        ------
        JetLabError
            If the jets have no labels or there is no such class.
        """
        if self.label is None or name not in self.classes:
            known = "these jets carry no labels" if self.label is None else f"classes are {', '.join(self.classes)}"
            msg = f"cannot select class {name!r}: {known}"
            raise JetLabError(msg)
        return self[self.label == self.classes.index(name)]

    @classmethod
    def join(cls, parts: Sequence[Observed]) -> Observed:
        """Join parts, such as batches of jets that are still being generated.

        Raises
        ------
        JetLabError
            If there are no parts, or they hold different observables or classes.
        """
        if not parts or len({(tuple(p.values), p.classes) for p in parts}) > 1:
            found = [f"{', '.join(p.values)} of {len(p)} jets" for p in parts] or ["none"]
            msg = f"cannot join parts with different observables or classes: {'; '.join(found)}"
            raise JetLabError(msg)
        counts = np.concatenate([np.diff(p.offsets) for p in parts])
        labels = [p.label for p in parts if p.label is not None]
        return cls(
            {name: np.concatenate([p.values[name] for p in parts]) for name in parts[0].values},
            np.concatenate([[0], np.cumsum(counts)]),
            np.concatenate(labels) if len(labels) == len(parts) else None,
            parts[0].classes,
            parts[0].meta,
        )


def observe(jets: Jets, names: Iterable[str] | None = None, *, progress: Progress = False) -> Observed:
    """Compute observables of jets, for repeated comparisons of the same jets.

    Parameters
    ----------
    jets : Jets
        The jets.
    names : iterable of str, optional
        Names from `jetlab.observables.OBSERVABLES`; all of them by default.
    progress : bool or callable
        True for a progress bar, or a function called with (done, total).

    Returns
    -------
    Observed
        Can be given to `compare` in place of the jets.

    Raises
    ------
    JetLabError
        For an unknown observable.
    """
    names = known_observables(names)
    per_jet = [name for name in names if not _per_constituent(name)]
    table = compute(jets, per_jet, progress=progress) if per_jet else {}
    values = {
        name: np.asarray(OBSERVABLES[name].compute(jets) if _per_constituent(name) else table[name], dtype=np.float64)
        for name in names
    }
    return Observed(values, jets.offsets, jets.label, jets.classes, dict(jets.meta))


def known_observables(names: Iterable[str] | None) -> list[str]:
    """Names as a list without repetitions, all for None.

    Raises
    ------
    JetLabError
        If there is none, or for a name that is not an observable.
    """
    chosen = list(OBSERVABLES) if names is None else list(dict.fromkeys([names] if isinstance(names, str) else names))
    unknown = [name for name in chosen if name not in OBSERVABLES]
    if unknown or not chosen:
        found = f"unknown observable {', '.join(map(repr, unknown))}" if unknown else "no observable given"
        msg = f"{found}; expected some of {', '.join(OBSERVABLES)}"
        raise JetLabError(msg)
    return chosen


def _per_constituent(name: str) -> bool:
    return OBSERVABLES[name].level == "constituent"
