"""`load_events`: events of several jets, clustered from the particles of an LHC Olympics file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jetlab.data.clustering import JetFinder
from jetlab.data.formats import JetFile, open_jets
from jetlab.data.formats.lhco import row_chunks
from jetlab.data.masterkey import KEY_CLASSES, read_key
from jetlab.data.progress import Progress, Reporter
from jetlab.data.select import check_mask, inside
from jetlab.data.sources import files_of
from jetlab.errors import InvalidJetsError
from jetlab.jets import EVENT_CLASSES, Events, concatenate

__all__ = ["EventWhere", "load_events"]

IntArray = npt.NDArray[np.int64]

EventWhere = Mapping[str, tuple[float | None, float | None]] | Callable[[Events], npt.ArrayLike]
"""Conditions: ranges of ``dijet_mass``, ``n_jets`` or a per-event column, or a function of events that gives a mask."""

_OF_EVENTS = ("dijet_mass", "n_jets")


def load_events(
    source: str | Path | Sequence[str | Path],
    *,
    n: int | None = None,
    classes: str | Sequence[str] | None = None,
    radius: float = 1.0,
    n_jets: int | None = 2,
    pt_min: float = 20.0,
    drop_short: bool = False,
    where: EventWhere | None = None,
    key: str | Path | None = None,
    seed: int = 0,
    progress: Progress = True,
) -> Events:
    """Load events and cluster their particles into anti-kT jets, a thousand events at a time.

    Parameters
    ----------
    source : str, Path, or sequence of these
        LHC Olympics files (R&D or black boxes, as published, or as OmniLearn prepares them), folders or patterns.
    n : int, optional
        Total number of events, drawn at random from those that are wanted whatever their class, so that the mixture of
        signal and background is that of the file; by default all. Only what is drawn is clustered.
    classes : str or sequence of str, optional
        Only events of these classes; the others are not clustered.
    radius : float
        Jet radius R.
    n_jets : int or None
        Keep so many jets of each event, the hardest; None keeps all.
    pt_min : float
        Least transverse momentum of a jet [GeV].
    drop_short : bool
        Leave out events with fewer than `n_jets` jets; otherwise they are kept. ``meta["notes"]`` counts them.
    where : mapping or callable, optional
        Only events that fulfil these conditions: ranges such as ``{"dijet_mass": (3300, 3700)}``, see `EventWhere`.
    key : str or Path, optional
        Master key of a black box: a text file with one label a line, 0 for background, 1 (and 2) for signal.
    seed : int
        Seed of the draw. Chosen events stay in the order of the files.
    progress : bool or callable
        Show a progress bar, or call ``progress(done, total)`` with numbers of events.

    Returns
    -------
    Events
        Massless particles are the constituents of the jets. ``info["event"]`` is the row of the event in its file;
        with several files ``info["file"]`` counts them as in ``meta["files"]``.

    Raises
    ------
    FileError
        If a file is missing, damaged or holds no events, or the key does not fit.
    InvalidJetsError, UnitsError
        If numbers are not those of particles in GeV, or there are too few events.
    JetLabError
        If an argument makes no sense.

    Examples
    --------
    >>> events = load_events("events_anomalydetection_v2.h5", n=10_000, where={"dijet_mass": (2300, 5000)})
    >>> events["signal"].kth(1).mass
    """
    finder = JetFinder(radius=radius, n_jets=n_jets, pt_min=pt_min)
    with ExitStack() as stack:
        files = [stack.enter_context(open_jets(path)) for path in files_of(source)]
        labels = None if key is None else _key_of(files, key)
        names = _class_names(classes, EVENT_CLASSES if key is None else KEY_CLASSES)
        reading = _Reading(files, finder, labels, names, where, drop_short=drop_short)
        total = sum(map(len, files)) if n is None else n
        with Reporter(progress, total=total, unit="event") as reporter:
            events = reading.all_events(reporter) if n is None else reading.drawn(n, seed, reporter)
    if not len(events.jets):
        there = files[0].path if len(files) == 1 else f"{len(files)} files in {files[0].path.parent}"
        msg = f"{there}: none of the {len(events)} events has a jet with pT above {pt_min:g} GeV: are they in GeV?"
        raise InvalidJetsError(msg)
    return _described(events, files, reading, seed=None if n is None else seed)


@dataclass
class _Reading:
    """How rows of files become the events that are wanted, and how many were left out for having too few jets."""

    files: Sequence[JetFile]
    finder: JetFinder
    labels: IntArray | None
    names: Sequence[str] | None
    where: EventWhere | None
    drop_short: bool
    dropped: int = 0

    def all_events(self, reporter: Reporter) -> Events:
        """All wanted events."""
        parts = []
        for rows in self._chunks(np.arange(sum(map(len, self.files)))):
            parts.append(self._wanted(rows)[0])
            reporter.advance(len(rows))
        return self._some(parts)

    def drawn(self, n: int, seed: int, reporter: Reporter) -> Events:
        """The first `n` wanted events of a random order of all rows, in the order of the files.

        Rows are tried in rounds: as many as are still needed for the share of the earlier ones that were wanted.
        """
        order = np.random.default_rng(seed).permutation(sum(map(len, self.files)))
        _check_number(n, len(order))
        place = np.argsort(order)
        parts: list[Events] = []
        accepted: list[IntArray] = []
        tried = found = 0
        while found < n and tried < len(order):
            share = (found + 1) / (tried + 1)
            batch = order[tried : tried + int(np.ceil((n - found) / share))]
            tried += len(batch)
            for rows in self._chunks(np.sort(batch)):
                events, kept = self._wanted(rows)
                parts.append(events)
                accepted.append(kept)
                reporter.advance(min(len(kept), max(n - found, 0)))
                found += len(kept)
        events, rows = self._some(parts), np.concatenate(accepted)
        _check_number(n, len(rows))
        chosen = np.argsort(place[rows])[:n]
        return events[chosen[np.argsort(rows[chosen])]]

    def _chunks(self, rows: IntArray) -> Iterator[IntArray]:
        """Rising rows of all files together, in groups of one file each."""
        ends = np.cumsum([len(file) for file in self.files])
        for part in np.split(rows, np.searchsorted(rows, ends[:-1])):
            yield from row_chunks(part)

    def _wanted(self, rows: IntArray) -> tuple[Events, IntArray]:
        """The wanted events among some rows of one file, and the rows of these."""
        ends = np.cumsum([len(file) for file in self.files])
        number = int(np.searchsorted(ends, rows[0], side="right"))
        file, first = self.files[number], int(ends[number]) - len(self.files[number])
        events = self._read(file, rows - first)
        if len(self.files) > 1:
            events = events.with_info(file=np.full(len(events), number))
        if self.drop_short:
            enough = events.n_jets >= (self.finder.n_jets or 0)
            self.dropped += int((~enough).sum())
            events = events[enough]
        if self.where is not None:
            events = events[_mask(events, self.where)]
        return events, events.info["event"] + first

    def _read(self, file: JetFile, rows: IntArray) -> Events:
        if self.labels is None:
            wanted = None if self.names is None else [EVENT_CLASSES.index(name) for name in self.names]
            return file.read_events(rows, self.finder, wanted)
        if self.names is not None:
            rows = rows[np.isin(self.labels[rows], [KEY_CLASSES.index(name) for name in self.names])]
        events = file.read_events(rows, self.finder)
        classes = KEY_CLASSES if self.labels.max() >= len(EVENT_CLASSES) else EVENT_CLASSES
        return events.with_label(self.labels[events.info["event"]], classes=classes)

    def _some(self, parts: Sequence[Events]) -> Events:
        events = concatenate(parts)
        if len({part.label is None for part in parts if len(part)}) > 1:
            msg = "some of the files carry labels and others do not; load them one by one"
            raise InvalidJetsError(msg)
        if not len(events):
            msg = "there are no such events: the conditions leave none"
            raise InvalidJetsError(msg)
        return events


def _key_of(files: Sequence[JetFile], key: str | Path) -> IntArray:
    if len(files) > 1:
        msg = f"a master key belongs to one file, but there are {len(files)}; load them one by one"
        raise InvalidJetsError(msg)
    if files[0].read_events(np.arange(1), JetFinder()).label is not None:
        msg = f"{files[0].path} has labels of its own, so it takes no master key"
        raise InvalidJetsError(msg)
    return read_key(key, len(files[0]))


def _class_names(classes: str | Sequence[str] | None, known: Sequence[str]) -> list[str] | None:
    if classes is None:
        return None
    names = [classes] if isinstance(classes, str) else list(classes)
    if not names or not set(names) <= set(known):
        msg = f"cannot select the classes {', '.join(names) or '(none)'}; there are {', '.join(known)}"
        raise InvalidJetsError(msg)
    return names


def _check_number(n: int, there: int) -> None:
    if not 1 <= n <= there:
        msg = f"{n} events asked for, expected 1 to {there}: that is how many there are"
        raise InvalidJetsError(msg)


def _mask(events: Events, where: EventWhere) -> npt.NDArray[np.bool_]:
    """Which events fulfil all conditions."""
    if callable(where):
        return check_mask(where(events), len(events), unit="event")
    mask = np.ones(len(events), dtype=bool)
    for name, bounds in where.items():
        if name not in (*_OF_EVENTS, *events.info):
            msg = f"cannot select events by {name!r}; there are {', '.join((*_OF_EVENTS, *events.info))}"
            raise InvalidJetsError(msg)
        mask &= inside(getattr(events, name) if name in _OF_EVENTS else events.info[name], name, bounds)
    return mask


def _described(events: Events, files: Sequence[JetFile], reading: _Reading, *, seed: int | None) -> Events:
    names = [file.path.name for file in files]
    notes = [note for file in files for note in file.layout.notes]
    few = reading.dropped or int((events.n_jets < (reading.finder.n_jets or 0)).sum())
    if few:
        what = "were left out" if reading.dropped else "are among them"
        notes.append(f"{few} events with fewer than {reading.finder.n_jets} jets {what}")
    return events.with_meta(
        source=names[0] if len(names) == 1 else f"{len(names)} files in {files[0].path.parent.name}",
        files=names,
        layout=files[0].layout.name,
        notes=list(dict.fromkeys(notes)),
        jets={"algorithm": "anti-kT", **asdict(reading.finder)},
        **({} if seed is None else {"seed": seed}),
    )
