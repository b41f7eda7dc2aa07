"""The LHC Olympics 2020 (Zenodo 4536377 and 4536624, arXiv:2101.08320): rows of particles, to be clustered into jets.

A pandas table of 2100 numbers a row: (pT, eta, phi) of up to 700 massless particles, padded with zeros. In the R&D set
a last column is 1 for signal and 0 for background; the labels of black boxes are in text files beside them. OmniLearn's
files hold the two hardest jets of each event: ``data`` (n, 2, P, 7) relative to the jet, ``jet`` (n, 2, 5), and the
dijet mass in ``pid``, which is the class in its files of other sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.clustering import JetFinder, events_of
from jetlab.data.formats.momenta import mass_from_energy
from jetlab.data.formats.padded import unpadded
from jetlab.data.formats.table import Table, check_size
from jetlab.data.formats.units import check_sums
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import EVENT_CLASSES, Events, Jets, concatenate, wrap_phi

__all__ = [
    "ROWS",
    "count",
    "count_clustered",
    "matches",
    "matches_clustered",
    "read",
    "read_clustered",
    "read_clustered_events",
    "read_events",
    "row_chunks",
]

IntArray = npt.NDArray[np.int64]
Wanted = Sequence[int] | None

ROWS = 1_000
"""Rows that are held in memory and clustered at once; the jets do not depend on it."""

_PARTICLES = 700
_WIDTH = 3 * _PARTICLES
_BLOCKS = (("block0_values", "block1_values"), ("values_block_0", "values_block_1"))
"""Momenta, and labels if they are of another type, as pandas stores them in its "fixed" and "table" formats."""

_MANY_NUMBERS = 300
_GAP = 4  # rows not wanted in between that are cheaper to read than to leave out


# ---- particles of whole events ---------------------------------------------------------------------------------------


def matches(table: Table) -> bool:
    """Whether this is a pandas table of hundreds of numbers a row, nothing else."""
    return _block(table) is not None


def count(table: Table) -> int:
    """Number of events.

    Raises
    ------
    FileError
        If a row does not hold 2100 numbers or 2101, or there are far more than the file has room for.
    """
    name = _block(table)
    assert name is not None
    rows, width = (int(k or 0) for k in table.shapes[name])
    if width not in (_WIDTH, _WIDTH + 1):
        msg = (
            f"{name} has {width} columns, expected {_WIDTH} (pT, eta, phi of {_PARTICLES} particles) "
            f"or {_WIDTH + 1} (and the label) as in the LHC Olympics"
        )
        raise FileError(msg)
    _check_declared(table, name)
    return rows


def read(table: Table) -> Jets:
    """Read the two hardest jets of each event (anti-kT, R = 1, pT above 20 GeV), event by event.

    ``info["event"]`` is the row of the event in the file; the label is that of the event.
    """
    note = "these are the two hardest anti-kT jets (R = 1) of each event; load_events gives any"
    return _all_jets(table, read_events, count(table)).with_meta(notes=[note])


def read_events(table: Table, rows: IntArray, finder: JetFinder, wanted: Wanted = None) -> Events:
    """Read some events and cluster their particles.

    Parameters
    ----------
    table : Table
        The columns.
    rows : ndarray of int, shape (n,)
        Which rows, rising. All are held in memory at once.
    finder : JetFinder
        Which jets to find.
    wanted : sequence of int, optional
        Only events with these labels; the others are not clustered.

    Returns
    -------
    Events
        ``info["event"]`` is the row in the file.

    Raises
    ------
    InvalidJetsError
        If a number is not finite, a momentum negative or a label not 0 or 1; event and column are named.
    """
    momenta, label = _rows(table, rows)
    event = table.first + rows
    if label is not None:
        label = _whole_label(label, event)
    if wanted is not None:
        chosen = _chosen(label, wanted)
        momenta, event, label = momenta[chosen], event[chosen], None if label is None else label[chosen]
    particles = momenta.reshape(len(momenta), _PARTICLES, 3)
    _check_particles(particles, event)
    offsets, flat = unpadded(particles, particles[..., 0] > 0)
    pt, eta, phi = flat.T
    found = events_of(offsets, {"pt": pt, "eta": eta, "phi": wrap_phi(phi), "mass": np.zeros_like(pt)}, finder)
    return Events(found.jets, found.offsets, label=label, classes=EVENT_CLASSES, info={"event": event})


def _block(table: Table) -> str | None:
    for name, _ in _BLOCKS:
        shape = table.shapes.get(name, ())
        if len(shape) == 2 and (shape[1] or 0) >= _MANY_NUMBERS:
            return name
    return None


def _rows(table: Table, rows: IntArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any] | None]:
    """Momenta and labels of some rows; the labels stand in the last column, or in a block of another type."""
    name = _block(table)
    assert name is not None
    beside = dict(_BLOCKS)[name]
    separate = table.shapes.get(beside, ()) == (table.shapes[name][0], 1)
    held = _fetch(table, [name, *([beside] if separate else [])], rows)
    values = held[name]
    label = values[:, _WIDTH] if values.shape[1] > _WIDTH else held[beside][:, 0] if separate else None
    return values[:, :_WIDTH].astype(np.float64), label


def _check_particles(particles: npt.NDArray[np.float64], event: IntArray) -> None:
    bad = ~np.isfinite(particles)
    bad[..., 0] |= particles[..., 0] < 0
    if bad.any():
        row, slot, column = (int(k[0]) for k in np.nonzero(bad))
        name = ("pT", "eta", "phi")[column]
        msg = (
            f"particle {slot} of event {event[row]} has {name} = {particles[row, slot, column]}, which is not a "
            f"physical value ({int(bad.sum())} such values in the rows read with it)"
        )
        raise InvalidJetsError(msg)


def _whole_label(label: npt.NDArray[Any], event: IntArray) -> IntArray:
    odd = ~np.isin(label, (0, 1))
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        msg = f"the label of event {event[row]} is {label[row]}, expected 0 (background) or 1 (signal)"
        raise InvalidJetsError(msg)
    return label.astype(np.int64)


# ---- events with jets, as OmniLearn writes them ----------------------------------------------------------------------


def matches_clustered(table: Table) -> bool:
    """Whether these are the arrays of OmniLearn for the LHC Olympics."""
    data, jet = table.shapes.get("data", ()), table.shapes.get("jet", ())
    return len(data) == 4 and (data[3] or 0) >= 6 and len(jet) == 3 and (jet[2] or 0) >= 4


def count_clustered(table: Table) -> int:
    """Number of events."""
    _check_declared(table, "data")
    return int(table.shapes["data"][0] or 0)


def read_clustered(table: Table) -> Jets:
    """Read the jets of all events; columns as for `read`."""
    return _all_jets(table, read_clustered_events, count_clustered(table))


def read_clustered_events(table: Table, rows: IntArray, finder: JetFinder, wanted: Wanted = None) -> Events:
    """Read some events, whose jets (R = 1) are as the file has them; parameters as for `read_events`.

    The jets keep their pT and mass as ``jet_pt`` and ``jet_mass`` in their ``info``, the events their dijet mass [GeV]
    as ``mjj``. Whether events are signal only a column ``label`` tells, which the published files do not have.

    Raises
    ------
    FileError
        If other jets than those in the file are asked for, or its arrays do not belong together.
    """
    if finder.radius != JetFinder().radius:
        there = f"these events hold jets of R = {JetFinder().radius:g}, not particles"
        msg = f"{there}; jets of R = {finder.radius:g} cannot be made of them"
        raise FileError(msg)
    if table.shapes["jet"][:2] != table.shapes["data"][:2]:
        msg = f"data {table.shapes['data']} and jet {table.shapes['jet']} differ in the numbers of events or jets"
        raise FileError(msg)
    beside = [name for name in ("label", "pid") if table.flat(name)]
    held = _fetch(table, ["data", "jet", *beside], rows)
    event = table.first + rows
    label = _whole_label(held["label"], event) if "label" in beside else None
    if wanted is not None:
        chosen = _chosen(label, wanted)
        held = {name: values[chosen] for name, values in held.items()}
        event, label = event[chosen], None if label is None else label[chosen]
    info = {"event": event} | ({"mjj": held["pid"]} if "pid" in beside else {})
    jets, per_event = _stored_jets(held["data"], held["jet"].astype(np.float64), finder)
    found = Events(jets, np.concatenate([[0], np.cumsum(per_event)]).astype(np.int64))
    found = found if finder.n_jets is None else found.leading(finder.n_jets)
    return Events(found.jets, found.offsets, label=label, classes=EVENT_CLASSES, info=info)


def _stored_jets(
    data: npt.NDArray[Any], jet: npt.NDArray[np.float64], finder: JetFinder
) -> tuple[Jets, npt.NDArray[np.int64]]:
    """Jets that exist and are hard enough, and how many of them each event has."""
    real = (data != 0).any(axis=-1)
    _check_jets(jet[..., 0], np.where(real, np.exp(data[..., 3]), 0.0).sum(axis=2))
    there = real.any(axis=2) & (jet[..., 0] >= finder.pt_min)
    of_jets, data, real = jet[there], data[there], real[there]
    offsets, rows = unpadded(data, real)
    counts = np.diff(offsets)
    pt, eta = np.exp(rows[:, 3]), rows[:, 0] + np.repeat(of_jets[:, 1], counts)
    columns = {
        "pt": pt,
        "eta": eta,
        "phi": wrap_phi(rows[:, 1] + np.repeat(of_jets[:, 2], counts)),
        "mass": mass_from_energy(np.exp(rows[:, 5]), pt, pt * np.sinh(eta), offsets),
    }
    info = {"jet_pt": of_jets[:, 0], "jet_mass": of_jets[:, 3]}
    return Jets.from_flat(offsets, columns, info=info), there.sum(axis=1)


def _check_jets(pt: npt.NDArray[np.float64], of_particles: npt.NDArray[np.float64]) -> None:
    """Refuse jets whose momentum is not that of their particles, which could be left out as too soft."""
    bad = ~np.isfinite(pt) | ((of_particles > 0) & (pt <= 0))
    if bad.any():
        event, jet = (int(k[0]) for k in np.nonzero(bad))
        msg = (
            f"jet {jet} of event {event} of those read together has pT = {pt[event, jet]}, expected a positive number "
            f"({int(bad.sum())} such jets)"
        )
        raise InvalidJetsError(msg)
    check_sums(of_particles.ravel(), pt.ravel())


# ---- rows ------------------------------------------------------------------------------------------------------------


def row_chunks(rows: IntArray) -> Iterator[IntArray]:
    """Rows in groups of at most `ROWS`."""
    return (rows[k : k + ROWS] for k in range(0, len(rows), ROWS))


def _check_declared(table: Table, name: str) -> None:
    """Refuse a column that a damaged header makes far larger than its file: it would be read for ever, in parts."""
    if Path(table.name).is_file():
        check_size(8 * math.prod(int(k or 0) for k in table.shapes[name]), Path(table.name).stat().st_size)


def _all_jets(table: Table, reader: Callable[[Table, IntArray, JetFinder], Events], n: int) -> Jets:
    return concatenate([reader(table, rows, JetFinder()).flattened() for rows in row_chunks(np.arange(n))])


def _fetch(table: Table, names: Sequence[str], rows: IntArray) -> dict[str, npt.NDArray[Any]]:
    """Some rows of padded columns; rows that lie close to each other are read in one go."""
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > _GAP) + 1)
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
    for run in runs:
        first, last = (int(run[0]), int(run[-1]) + 1) if len(run) else (0, 0)
        held = table.load(names, (first, last))
        for name in names:
            parts[name].append(np.asarray(held[name])[run - first])
    return {name: np.concatenate(values) for name, values in parts.items()}


def _chosen(label: IntArray | None, wanted: Sequence[int]) -> npt.NDArray[np.bool_]:
    if label is None:
        msg = "these events carry no labels, so no class can be selected; black boxes take theirs from a master key"
        raise InvalidJetsError(msg)
    return np.isin(label, wanted)
