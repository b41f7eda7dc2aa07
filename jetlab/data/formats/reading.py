"""Find out what a file is, say so, and read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jetlab.data.formats import arrays, columns, compact, hdf5, jetclass, jetclass2, jetnet, parquet, root
from jetlab.data.formats.table import Table, guarded
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import Jets

__all__ = ["LAYOUTS", "Layout", "Recognised", "jets_of", "read_jets", "recognise", "signature_of"]


@dataclass(frozen=True)
class Layout:
    """What the columns of a file mean.

    Parameters
    ----------
    name : str
        Short name.
    description : str
        What one would look for in such a file, for messages.
    matches : callable
        Whether a `Table` has this layout.
    count : callable
        Number of jets of a table.
    read : callable
        Turns a table into `Jets`.
    notes : tuple of str
        What reading converts, always.
    """

    name: str
    description: str
    matches: Callable[[Table], bool]
    count: Callable[[Table], int]
    read: Callable[[Table], Jets]
    notes: tuple[str, ...] = ()


LAYOUTS = (
    Layout(
        "compact",
        "JetLab's compact columns",
        compact.matches,
        columns.count,
        compact.read,
    ),
    Layout(
        "JetClass",
        "part_px, part_py, part_pz, part_energy and label_QCD, label_Hbb, ... (JetClass)",
        jetclass.matches,
        columns.count,
        jetclass.read,
        ("directions are taken from the momenta, since part_deta carries the sign of the jet's eta",),
    ),
    Layout(
        "JetClass-II",
        "part_px, part_py, part_pz, part_energy and jet_label from 0 to 187 (JetClass-II)",
        jetclass2.matches,
        columns.count,
        jetclass2.read,
        ("directions are taken from the momenta, since part_deta carries the sign of the jet's eta",),
    ),
    Layout(
        "JetNet",
        "particle_features (n, 30 or 150, 4) and jet_features (n, 4) (JetNet)",
        jetnet.matches,
        jetnet.count,
        jetnet.read,
        ("pT relative to the jet is multiplied by the jet pT", "jets are put at phi = 0", "the file carries no labels"),
    ),
    Layout(
        "columns",
        "constituent columns px, py, pz or pt, eta, phi (with or without part_ in front), jagged, padded to (n, P), "
        "or flat beside offsets; in GeV",
        columns.matches,
        columns.count,
        columns.read,
    ),
)
"""The layouts that can be read; the first one that matches is taken."""

_CONTAINERS: dict[bytes, Callable[[Path], AbstractContextManager[Table]]] = {
    parquet.SIGNATURE: parquet.open_parquet,
    root.SIGNATURE: root.open_root,
    hdf5.SIGNATURE: hdf5.open_hdf5,
    arrays.NPZ_SIGNATURE: arrays.open_npz,
    arrays.NPY_SIGNATURE: arrays.open_npy,
}

_STRANGERS = {
    b"\x1f\x8b": "a gzip archive",
    b"\x80": "a Python pickle, which is never loaded",
    b"%PDF": "a PDF document",
}

_MANY = 128


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
        Number of jets.
    fields : tuple of str
        Constituent columns, by meaning.
    columns : tuple of str
        All numeric columns by their names in the file.
    notes : tuple of str
        What reading converts or assumes.
    """

    path: Path
    container: str
    layout: str
    description: str
    n_jets: int
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path.name}: {self.n_jets:,} jets in the {self.layout} layout ({self.container})"


def recognise(path: str | Path) -> Recognised:
    """Say what a file is, from its structure alone: no jets are read or checked.

    Parameters
    ----------
    path : str or Path
        A file of any format that JetLab reads, with any name.

    Returns
    -------
    Recognised

    Raises
    ------
    FileError
        If it is no such file or damaged; the message says what was found and what was expected.
    """
    path = Path(path)
    with guarded(str(path), "recognised"), _container(path)(path) as table:
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
        )


def read_jets(path: str | Path) -> Jets:
    """Read and check all jets of one file.

    Parameters
    ----------
    path : str or Path
        A file of any format that JetLab reads, with any name.

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
    path = Path(path)
    with guarded(str(path), "read"), _container(path)(path) as table:
        layout = _layout(table)
        jets = layout.read(table)
        notes = [*layout.notes, *jets.meta.get("notes", ()), *_peculiarities(jets)]
    meta = {"source": path.name} | jets.meta | {"file": path.name, "layout": layout.name, "notes": notes}
    return jets.with_meta(**meta)


def jets_of(given: Mapping[str, Any] | Any) -> Jets:
    """Turn arrays in memory into jets, by the names of their columns.

    Parameters
    ----------
    given : mapping of str to array_like, or awkward.Array
        Constituent columns as in a file: jagged (awkward), padded to ``(n, P)`` or flat beside ``offsets``; or an
        awkward array of constituent records. GeV, radians.

    Raises
    ------
    InvalidJetsError, FileError
        If the columns are not understood or the numbers are not those of jets.
    """
    names = given.fields if hasattr(given, "fields") else given
    table = arrays.table_of({name: given[name] for name in names})
    return _layout(table).read(table)


def signature_of(path: Path) -> bytes | None:
    """Leading bytes by which the container of a file is known; None for any other file.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        msg = f"{path} cannot be opened ({error.strerror})"
        raise FileError(msg) from error
    return next((signature for signature in _CONTAINERS if head.startswith(signature)), None)


def _container(path: Path) -> Callable[[Path], AbstractContextManager[Table]]:
    signature = signature_of(path)
    if signature is None:
        msg = f"{path} {_stranger(path)}; expected Parquet, ROOT, HDF5 or NumPy (npz, npy). Its name does not matter"
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
        expected = "; or ".join(layout.description for layout in LAYOUTS[1:])
        msg = f"no jets recognised: {table.kind} with the columns {table.listing()}. Expected {expected}"
        raise FileError(msg)
    if layout.count(table) < 1:
        msg = f"{table.kind} in the {layout.name} layout, but it holds no jets"
        raise FileError(msg)
    return layout


def _peculiarities(jets: Jets) -> list[str]:
    """What a user should know about the jets, though nothing is wrong with them."""
    empty, many = int((jets.multiplicity == 0).sum()), int((jets.multiplicity > _MANY).sum())
    notes = [f"{empty} jets have no constituents"] if empty else []
    if many:
        notes.append(f"{many} jets have more than {_MANY} constituents, up to {int(np.max(jets.multiplicity))}")
    if empty == len(jets):
        msg = f"none of the {len(jets)} jets has a constituent"
        raise InvalidJetsError(msg)
    return notes
