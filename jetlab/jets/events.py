"""The class `Events`: several jets per event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.jets.checks import check_label, check_offsets, check_per_jet, whole_numbers
from jetlab.jets.columns import frozen, rows_of
from jetlab.jets.container import Jets, concatenate
from jetlab.jets.kinematics import invariant_mass

__all__ = ["EVENT_CLASSES", "Events", "concatenate_events"]

EVENT_CLASSES = ("background", "signal")
"""Class names of events where none are given, in label order."""


class Events:
    """An immutable set of events, each with any number of jets, sorted by falling pT.

    Parameters
    ----------
    jets : Jets
        The jets of all events, those of one event after those of the one before.
    offsets : array_like of int, shape (n + 1,)
        Jets of event ``i`` are ``offsets[i]:offsets[i + 1]``.
    label : array_like of int, shape (n,), optional
        Index of each event's class in `classes`.
    classes : sequence of str
        Class names of events.
    info : mapping of str to array_like, optional
        Further columns with one value an event, such as ``event`` (its number) or ``weight``.
    meta : mapping, optional
        JSON-safe provenance; by default that of the jets.

    Raises
    ------
    InvalidJetsError
        If lengths disagree or a label names no class.

    Examples
    --------
    >>> events = Events(jets, [0, 2, 5], label=[0, 1])
    >>> events["signal"].dijet_mass
    """

    def __init__(
        self,
        jets: Jets,
        offsets: npt.ArrayLike,
        *,
        label: npt.ArrayLike | None = None,
        classes: Sequence[str] = EVENT_CLASSES,
        info: Mapping[str, npt.ArrayLike] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        given = np.asarray(offsets)
        check_offsets(given, {})
        if given[-1] != len(jets):
            msg = f"the offsets of the events end at {given[-1]}, but there are {len(jets)} jets"
            raise InvalidJetsError(msg)
        self._offsets = frozen(np.array(given, dtype=np.int64))
        self._label = None if label is None else frozen(np.array(whole_numbers(np.asarray(label), "label", np.int64)))
        self._info = {name: np.asarray(values) for name, values in (info or {}).items()}
        self.classes = tuple(classes)
        self.meta = dict(jets.meta if meta is None else meta)
        check_per_jet(len(self), self._info | ({} if self._label is None else {"label": self._label}), unit="event")
        if self._label is not None:
            check_label(self._label, self.classes, unit="event")
        self._jets = _hardest_first(jets, self._event_of_jet)

    # ---- jets -------------------------------------------------------------------------------------------------------

    @property
    def jets(self) -> Jets:
        """The jets of all events, event by event, hardest first; see also `flattened`."""
        return self._jets

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """First jet of each event among all jets, shape ``(n + 1,)``."""
        return self._offsets

    @property
    def n_jets(self) -> npt.NDArray[np.int64]:
        """Number of jets of each event, shape ``(n,)``."""
        return np.diff(self._offsets)

    def flattened(self) -> Jets:
        """All jets with the label and the columns of their events.

        Returns
        -------
        Jets
            ``info["event"]`` is the event's number: its own column of that name, or else its place among these events.
            Columns that the jets have themselves are kept.
        """
        return self._with_event_columns(np.arange(len(self._jets)))

    def kth(self, k: int) -> Jets:
        """The k-th hardest jet of every event that has so many, counted from 1; columns as in `flattened`.

        The jets belong, in this order, to ``events[events.n_jets >= k]``.

        Raises
        ------
        InvalidJetsError
            If `k` is below 1.
        """
        _check_rank(k, "k")
        return self._with_event_columns(self._offsets[:-1][self.n_jets >= k] + k - 1)

    def leading(self, n: int) -> Events:
        """The same events with only the `n` hardest jets of each.

        Raises
        ------
        InvalidJetsError
            If `n` is below 1.
        """
        _check_rank(n, "n")
        rank = np.arange(len(self._jets)) - self._offsets[:-1][self._event_of_jet]
        offsets = np.concatenate([[0], np.cumsum(np.minimum(self.n_jets, n))])
        return self._replaced(self._jets[rank < n], offsets, self._label, self._info)

    # ---- events -----------------------------------------------------------------------------------------------------

    @property
    def dijet_mass(self) -> npt.NDArray[np.float64]:
        """Invariant mass of the two hardest jets [GeV], shape ``(n,)``; NaN for events with fewer."""
        mass = np.full(len(self), np.nan)
        two = self.n_jets >= 2
        first = self._offsets[:-1][two]
        mass[two] = invariant_mass(self._jets.p4[first] + self._jets.p4[first + 1])
        return mass

    @property
    def label(self) -> npt.NDArray[np.int64] | None:
        """Index of each event's class in `classes`, shape ``(n,)``, or None for unlabelled events."""
        return self._label

    @property
    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Further columns with one value an event."""
        return dict(self._info)

    # ---- selection --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[Events]:
        return (self[i : i + 1] for i in range(len(self)))

    def __getitem__(self, where: Any) -> Events:
        """Select events with a slice, boolean mask, integer array, integer or class name."""
        if isinstance(where, str):
            return self.of_class(where)
        index = np.atleast_1d(np.arange(len(self))[where])
        offsets, rows = rows_of(self._offsets, index)
        label = None if self._label is None else self._label[index]
        return self._replaced(self._jets[rows], offsets, label, {name: v[index] for name, v in self._info.items()})

    def of_class(self, name: str) -> Events:
        """Events of one class.

        Raises
        ------
        KeyError
            If the events have no labels or no such class.
        """
        if self._label is None or name not in self.classes:
            known = "these events carry no labels" if self._label is None else f"classes are {', '.join(self.classes)}"
            msg = f"cannot select class {name!r}: {known}"
            raise KeyError(msg)
        return self[self._label == self.classes.index(name)]

    def with_label(self, label: npt.ArrayLike, *, classes: Sequence[str] = EVENT_CLASSES) -> Events:
        """The same events with other labels: one for each event, shape ``(n,)``, or one for all."""
        every = np.broadcast_to(np.asarray(label), len(self)) if np.ndim(label) == 0 else label
        return Events(self._jets, self._offsets, label=every, classes=classes, info=self._info, meta=self.meta)

    def with_info(self, **columns: npt.ArrayLike) -> Events:
        """The same events with further columns, each of shape ``(n,)``."""
        info = self._info | {name: np.asarray(values) for name, values in columns.items()}
        check_per_jet(len(self), info, unit="event")
        return self._replaced(self._jets, self._offsets, self._label, info)

    def with_meta(self, **entries: Any) -> Events:
        """The same events with further provenance entries."""
        events = self._replaced(self._jets, self._offsets, self._label, self._info)
        events.meta = self.meta | entries
        return events

    # ---- display ----------------------------------------------------------------------------------------------------

    def class_counts(self) -> dict[str, int]:
        """Number of events of each class that occurs, in class order."""
        if self._label is None:
            return {}
        counts = np.bincount(self._label, minlength=len(self.classes))
        return {name: int(c) for name, c in zip(self.classes, counts, strict=True) if c}

    def __repr__(self) -> str:
        if not len(self):
            return "<Events: none>"
        parts = [f"{len(self):,} events, {len(self._jets):,} jets ({len(self._jets) / len(self):.1f} per event)"]
        hardest = self._jets.pt[self._offsets[:-1][self.n_jets > 0]]
        if hardest.size:
            parts.append(f"hardest jet pT {hardest.min():.0f} to {hardest.max():.0f} GeV")
        mass = self.dijet_mass
        if np.isfinite(mass).any():
            parts.append(f"dijet mass median {np.nanmedian(mass):.0f} GeV")
        parts += [str(self.meta["source"])] if "source" in self.meta else []
        classes = ", ".join(f"{name} {count:,}" for name, count in self.class_counts().items()) or "no labels"
        return f"<Events: {', '.join(parts)}>\n  {classes}"

    # ---- within -----------------------------------------------------------------------------------------------------

    @property
    def _event_of_jet(self) -> npt.NDArray[np.int64]:
        return np.repeat(np.arange(len(self)), self.n_jets)

    def _with_event_columns(self, rows: npt.NDArray[np.int64]) -> Jets:
        event = self._event_of_jet[rows]
        jets = self._jets[rows]
        columns = {"event": event} | {name: values[event] for name, values in self._info.items()} | jets.info
        if self._label is None:
            return jets.with_info(**columns).with_meta(**self.meta)
        return Jets.from_checked(
            jets.offsets,
            {name: jets.flat(name) for name in jets.fields},
            label=self._label[event],
            classes=self.classes,
            info=columns,
            meta=jets.meta | self.meta,
            domain=jets.domain,
            p4=jets.p4,
        )

    def _replaced(
        self,
        jets: Jets,
        offsets: npt.NDArray[np.int64],
        label: npt.NDArray[np.int64] | None,
        info: dict[str, npt.NDArray[Any]],
    ) -> Events:
        events = Events.__new__(Events)
        events._jets, events._offsets, events._label = jets, frozen(offsets), None if label is None else frozen(label)
        events._info, events.classes, events.meta = info, self.classes, dict(self.meta)
        return events


def concatenate_events(parts: Sequence[Events]) -> Events:
    """Join several sets of events; see `jetlab.jets.concatenate`."""
    if len({p.classes for p in parts}) > 1:
        msg = f"cannot concatenate events of different class lists: {sorted({p.classes for p in parts})}"
        raise InvalidJetsError(msg)
    columns = [c for c in parts[0].info if all(c in p.info for p in parts)]
    labels = [p.label for p in parts if p.label is not None]
    return parts[0]._replaced(
        concatenate([p.jets for p in parts]),
        np.concatenate([[0], np.cumsum(np.concatenate([p.n_jets for p in parts]))]).astype(np.int64),
        np.concatenate(labels) if len(labels) == len(parts) else None,
        {c: np.concatenate([p.info[c] for p in parts]) for c in columns},
    )


def _hardest_first(jets: Jets, event: npt.NDArray[np.int64]) -> Jets:
    """Jets sorted by falling pT within each event."""
    pt = jets.pt
    falls = (pt[1:] <= pt[:-1]) | (event[1:] != event[:-1])
    return jets if falls.all() else jets[np.lexsort((-pt, event))]


def _check_rank(value: int, name: str) -> None:
    if value < 1:
        msg = f"{name} is {value}, expected 1 or more: jets are counted from 1, the hardest"
        raise InvalidJetsError(msg)
