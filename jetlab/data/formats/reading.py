"""Find out what a file is, say so, and read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.clustering import JetFinder
from jetlab.data.formats import arrays, columns, hdf5, parquet, root, safetensors
from jetlab.data.formats.layouts import LAYOUTS, Layout
from jetlab.data.formats.raw import RawJets
from jetlab.data.formats.table import ANYTHING, Choice, Table, guarded
from jetlab.data.formats.units import check_alike, check_sums
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import Events, Jets, Pairs

__all__ = [
    "LAYOUTS",
    "Choice",
    "JetFile",
    "Layout",
    "Recognised",
    "jets_of",
    "open_jets",
    "read_jets",
    "recognise",
    "signature_of",
]

_CONTAINERS: dict[bytes, Callable[[Path], AbstractContextManager[Table]]] = {
    parquet.SIGNATURE: parquet.open_parquet,
    root.SIGNATURE: root.open_root,
    hdf5.SIGNATURE: hdf5.open_hdf5,
    arrays.NPZ_SIGNATURE: arrays.open_npz,
    arrays.NPY_SIGNATURE: arrays.open_npy,
    safetensors.SIGNATURE: safetensors.open_safetensors,
}

_STRANGERS = {
    b"\x1f\x8b": "a gzip archive",
    b"\x80": "a Python pickle, which is never loaded",
    b"%PDF": "a PDF document",
}

_LACKS = {"collection": "has a single set of jets", "puppi": "carries no PUPPI weights"}

_MANY = 128

_EVENTS_AT_ONCE = 1_000
"""Events of a file that are worth reading at once."""


@dataclass(frozen=True)
class Recognised:
    """What a file was recognised as.

    Parameters
    ----------
    path : Path
        The file.
    container : str
        How it is stored, such as ``"Parquet"``.
    layout : str
        What its columns mean, such as ``"JetClass"``.
    description : str
        The same in words.
    n_jets : int
        Number of jets, or of whatever else a row is.
    fields : tuple of str
        Constituent columns, by meaning.
    columns : tuple of str
        All numeric columns by their names in the file.
    notes : tuple of str
        What reading converts or assumes.
    unit : str
        What a row is: a jet, an event or a pair of jets.
    """

    path: Path
    container: str
    layout: str
    description: str
    n_jets: int
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    unit: str = "jet"

    def __str__(self) -> str:
        return f"{self.path.name}: {self.n_jets:,} {self.unit}s in the {self.layout} layout ({self.container})"


def recognise(path: str | Path, *, choice: Choice = ANYTHING) -> Recognised:
    """Say what a file is, from its structure alone: no jets are read or checked.

    Parameters
    ----------
    path : str or Path
        A file of any format that JetLab reads, with any name.
    choice : Choice
        What to take where a layout leaves a choice.

    Returns
    -------
    Recognised

    Raises
    ------
    FileError
        If it is no such file or damaged; the message says what was found and what was expected.
    """
    path = Path(path)
    with guarded(str(path), "recognised"), _container(path)(path) as opened:
        table = replace(opened, choice=choice)
        layout = _layout(table)
        return Recognised(
            path=path,
            container=table.kind,
            layout=layout.name,
            description=layout.description,
            n_jets=layout.count(table),
            fields=tuple(columns.particle_columns(table)),
            columns=tuple(table.shapes),
            notes=layout.notes,
            unit=layout.unit,
        )


class JetFile:
    """An open file of jets, any part of which can be read; from `open_jets`."""

    def __init__(self, path: Path, table: Table, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self._table, self._n = table, layout.count(table)

    def __len__(self) -> int:
        return self._n

    @property
    def together(self) -> int:
        """Number of jets that are stored together: reading fewer of them takes as long."""
        if not self.layout.in_parts:
            return self._n
        if self._starts is None:
            return self._table.together
        rows = max(self._table.together, _EVENTS_AT_ONCE)
        return max(1, self._n * rows // max(1, len(self._starts) - 1))

    def read(self, start: int = 0, stop: int | None = None) -> Jets:
        """Read and check jets `start` to `stop` (all, if not given); errors as for `read_jets`."""
        stop = self._n if stop is None else stop
        whole = (start, stop) == (0, self._n)
        if not (whole or self.layout.in_parts):
            return self.read()[start:stop]
        with guarded(str(self.path), "read"):
            jets = self.layout.read(self._table) if whole else self._read_part(start, stop)
            jets = jets if self.layout.trusted else _consistent(jets)
            notes = [*self.layout.notes, *jets.meta.get("notes", ()), *_peculiarities(jets, whole=whole)]
        meta = {"source": self.path.name} | jets.meta | {"file": self.path.name, "layout": self.layout.name}
        return jets.with_meta(**(meta | {"notes": notes}))

    def read_raw(self, start: int, stop: int) -> RawJets | None:
        """Read jets `start` to `stop` without making `Jets` of them; None where that is not possible, or looks odd."""
        if self.layout.raw is None:
            return None
        with guarded(str(self.path), "read"):
            return self.layout.raw(self._part(start, stop))

    def read_events(
        self, rows: npt.NDArray[np.int64], finder: JetFinder, wanted: Sequence[int] | None = None
    ) -> Events:
        """Read some rows as events; arguments and errors as for `jetlab.data.formats.lhco.read_events`."""
        if self.layout.events is None:
            msg = f"{self.path} holds jets in the {self.layout.name} layout, no events; jetlab.load_jets reads them"
            raise FileError(msg)
        with guarded(str(self.path), "read"):
            events = self.layout.events(self._table, rows, finder, wanted)
            check_alike(events.jets)
            return events

    def read_pairs(self) -> Pairs:
        """Read all rows as pairs of jets at generator and at detector level; errors as for `read_jets`."""
        if self.layout.pairs is None:
            msg = f"{self.path} is in the {self.layout.name} layout, without pairs; jetlab.load_jets reads its jets"
            raise FileError(msg)
        with guarded(str(self.path), "read"):
            pairs = self.layout.pairs(self._table)
            check_alike(pairs.generated)
            check_alike(pairs.detected)
            return pairs

    def _read_part(self, start: int, stop: int) -> Jets:
        if self._starts is None:
            return self.layout.read(self._part(start, stop))
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left"))
        jets = self.layout.read(self._table.part(first, last, n=len(self._starts) - 1))
        return jets[start - self._starts[first] : stop - self._starts[first]]

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64] | None:
        """Number of jets before each event, where rows are events."""
        return None if self.layout.starts is None else self.layout.starts(self._table)

    def _part(self, start: int, stop: int) -> Table:
        part = self._table.part(start, stop, n=self._n)
        return replace(part, meta={**part.meta, "classes": self._classes}) if self._classes else part

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Names of unnamed labels, which a part alone may not show."""
        label = columns.unnamed_labels(self._table)
        return () if label is None else columns.numbered_classes(label)


@contextmanager
def open_jets(path: str | Path, *, choice: Choice = ANYTHING) -> Iterator[JetFile]:
    """Open a file of jets, to read it in parts.

    Parameters
    ----------
    path : str or Path
        A file of any format that JetLab reads, with any name.
    choice : Choice
        What to take where a layout leaves a choice.

    Raises
    ------
    FileError
        If it is no such file, damaged, has unknown columns, or does not have what was chosen.
    """
    path = Path(path)
    with ExitStack() as stack:
        with guarded(str(path), "read"):
            table = replace(stack.enter_context(_container(path)(path)), choice=choice)
            layout = _layout(table)
            if layout.settled is not None:
                table = layout.settled(table)
        yield JetFile(path, table, layout)


def read_jets(path: str | Path, *, collection: str | None = None, puppi: bool = False) -> Jets:
    """Read and check all jets of one file.

    Parameters
    ----------
    path : str or Path
        A file of any format that JetLab reads, with any name.
    collection, puppi
        As for `jetlab.load_jets`.

    Returns
    -------
    Jets
        ``meta`` has the entries ``file``, ``layout`` and, if something was converted or is odd, ``notes``.

    Raises
    ------
    FileError
        If it is no such file, damaged, or has unknown columns.
    InvalidJetsError, UnitsError
        If the numbers are not those of jets in GeV; the message names file, jet and column.
    """
    with open_jets(path, choice=Choice(collection, puppi)) as file:
        return file.read()


def jets_of(given: Mapping[str, Any] | Any, *, choice: Choice = ANYTHING) -> Jets:
    """Turn arrays in memory into jets, by the names of their columns.

    Parameters
    ----------
    given : mapping of str to array_like, or awkward.Array
        Constituent columns as in a file: jagged (awkward), padded to ``(n, P)`` or flat beside ``offsets``; or an
        awkward array of constituent records. GeV, radians.
    choice : Choice
        What to take where a layout leaves a choice.

    Raises
    ------
    InvalidJetsError, FileError
        If the columns are not understood or the numbers are not those of jets.
    """
    names = given.fields if hasattr(given, "fields") else given
    table = replace(arrays.table_of({name: given[name] for name in names}), choice=choice)
    return _consistent(_layout(table).read(table))


def signature_of(path: Path) -> bytes | None:
    """Leading bytes by which the container of a file is known; None for any other file.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        msg = f"{path} cannot be opened ({error.strerror})"
        raise FileError(msg) from error
    if head[4:].startswith(safetensors.SIGNATURE):
        return safetensors.SIGNATURE
    return next((signature for signature in _CONTAINERS if head.startswith(signature)), None)


def _container(path: Path) -> Callable[[Path], AbstractContextManager[Table]]:
    signature = signature_of(path)
    if signature is None:
        known = "Parquet, ROOT, HDF5, NumPy (npz, npy) or safetensors"
        msg = f"{path} {_stranger(path)}; expected {known}. Its name does not matter"
        raise FileError(msg)
    return _CONTAINERS[signature]


def _stranger(path: Path) -> str:
    """What a file of no known format seems to be."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "is empty"
    known = next((what for start, what in _STRANGERS.items() if head.startswith(start)), None)
    if known:
        return f"is {known}"
    text = head.decode("ascii", "replace")
    line = (text.splitlines() or [""])[0]
    return (
        f"is a text file that starts with {line[:40]!r}"
        if text.isascii() and line.isprintable()
        else "is of no known format"
    )


def _layout(table: Table) -> Layout:
    layout = next((layout for layout in LAYOUTS if layout.matches(table)), None)
    if layout is None:
        expected = "; or ".join(layout.description for layout in LAYOUTS[2:])
        msg = f"no jets recognised: {table.kind} with the columns {table.listing()}. Expected {expected}"
        raise FileError(msg)
    for asked in table.choice.asked():
        if asked not in layout.choices:
            able = ", ".join(other.name for other in LAYOUTS if asked in other.choices)
            msg = f"the {layout.name} layout {_LACKS[asked]}; {asked}= is for {able}. Leave it out"
            raise FileError(msg)
    if layout.count(table) < 1:
        msg = f"{table.kind} in the {layout.name} layout, but it holds no {layout.unit}s"
        raise FileError(msg)
    return layout


def _consistent(jets: Jets) -> Jets:
    """The same jets, if all of them are in the same unit, and in that of what the file says about them."""
    check_alike(jets)
    if "jet_pt" in jets.info:
        check_sums(jets.pt, jets.info["jet_pt"])
    return jets


def _peculiarities(jets: Jets, *, whole: bool) -> list[str]:
    """What a user should know about the jets, though nothing is wrong with them."""
    empty, many = int((jets.multiplicity == 0).sum()), int((jets.multiplicity > _MANY).sum())
    notes = [f"{empty} jets have no constituents"] if empty else []
    if many:
        notes.append(f"{many} jets have more than {_MANY} constituents, up to {int(np.max(jets.multiplicity))}")
    if whole and empty == len(jets):
        msg = f"none of the {len(jets)} jets has a constituent"
        raise InvalidJetsError(msg)
    return notes
