"""Find out what a file is, say so, and read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jetlab.data.formats import (
    arrays,
    aspen,
    atlas,
    columns,
    compact,
    hdf5,
    jetclass,
    jetclass2,
    jetnet,
    mod,
    nanoaod,
    omnilearn,
    parquet,
    quarkgluon,
    root,
    toptagging,
)
from jetlab.data.formats.table import Table, guarded
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import Jets

__all__ = [
    "LAYOUTS",
    "JetFile",
    "Layout",
    "Recognised",
    "jets_of",
    "open_jets",
    "read_jets",
    "recognise",
    "signature_of",
]


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
    in_parts : bool
        Whether some of the rows can be read alone.
    """

    name: str
    description: str
    matches: Callable[[Table], bool]
    count: Callable[[Table], int]
    read: Callable[[Table], Jets]
    notes: tuple[str, ...] = ()
    in_parts: bool = True


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
        "top tagging",
        "E_0, PX_0, PY_0, PZ_0, ... and is_signal_new, as columns or in pandas blocks (Top Tagging Reference)",
        toptagging.matches,
        toptagging.count,
        toptagging.read,
        ("the columns truthE, ... are the generated top quark, not the jet",),
    ),
    Layout(
        "quark/gluon",
        "X (n, P, 4) and y (n,) (EnergyFlow quark/gluon)",
        quarkgluon.matches,
        quarkgluon.count,
        quarkgluon.read,
        ("rapidities became pseudorapidities, with masses by PDG code",),
    ),
    Layout(
        "ATLAS top tagging",
        "fjet_clus_pt, fjet_clus_eta, fjet_clus_phi, fjet_clus_E in MeV (ATLAS top tagging)",
        atlas.matches,
        atlas.count,
        atlas.read,
        ("MeV became GeV",),
    ),
    Layout(
        "Aspen",
        "PFCands (n, 150, 11) and jet_kinematics (n, 4) (Aspen Open Jets)",
        aspen.matches,
        aspen.count,
        aspen.read,
        ("candidates are not scaled by their PUPPI weights",),
    ),
    Layout(
        "NanoAOD",
        "FatJet_pt, FatJetPFCand_jetIdx, FatJetPFCand_pfCandIdx and PFCand_pt, ... (CMS NanoAOD, PFNano)",
        nanoaod.matches,
        nanoaod.count,
        nanoaod.read,
        ("impact parameters in cm became mm", "candidates are not scaled by PUPPI weights or jet energy corrections"),
        in_parts=False,
    ),
    Layout(
        "MOD",
        "pfcs (m, 6), pfcs_index and jets_f (CMS 2011A in the MOD format)",
        mod.matches,
        mod.count,
        mod.read,
        ("rapidities became pseudorapidities",),
        in_parts=False,
    ),
    Layout(
        "OmniLearn",
        "data (n, P, 7 or 13) and jet (n, 4) (OmniLearn)",
        omnilearn.matches_omnilearn,
        omnilearn.count,
        omnilearn.read_omnilearn,
    ),
    Layout(
        "OmniLearned",
        "data (n, P, 4 or more) and pid (n,) (OmniLearned)",
        omnilearn.matches_omnilearned,
        omnilearn.count,
        omnilearn.read_omnilearned,
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


class JetFile:
    """An open file of jets, any part of which can be read; from `open_jets`."""

    def __init__(self, path: Path, table: Table, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self._table, self._n = table, layout.count(table)

    def __len__(self) -> int:
        return self._n

    def read(self, start: int = 0, stop: int | None = None) -> Jets:
        """Read and check jets `start` to `stop` (all, if not given); errors as for `read_jets`."""
        stop = self._n if stop is None else stop
        whole = (start, stop) == (0, self._n)
        if not (whole or self.layout.in_parts):
            return self.read()[start:stop]
        table = self._table if whole else self._part(start, stop)
        with guarded(str(self.path), "read"):
            jets = self.layout.read(table)
            notes = [*self.layout.notes, *jets.meta.get("notes", ()), *_peculiarities(jets, whole=whole)]
        meta = {"source": self.path.name} | jets.meta | {"file": self.path.name, "layout": self.layout.name}
        return jets.with_meta(**(meta | {"notes": notes}))

    def _part(self, start: int, stop: int) -> Table:
        part = self._table.part(start, stop, n=self._n)
        return replace(part, meta={**part.meta, "classes": self._classes}) if self._classes else part

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Names of unnamed labels, which a part alone may not show."""
        label = columns.unnamed_labels(self._table)
        return () if label is None else columns.numbered_classes(label)


@contextmanager
def open_jets(path: str | Path) -> Iterator[JetFile]:
    """Open a file of jets, to read it in parts.

    Parameters
    ----------
    path : str or Path
        A file of any format that JetLab reads, with any name.

    Raises
    ------
    FileError
        If it is no such file, damaged, or has unknown columns.
    """
    path = Path(path)
    with ExitStack() as stack:
        with guarded(str(path), "read"):
            table = stack.enter_context(_container(path)(path))
            layout = _layout(table)
        yield JetFile(path, table, layout)


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
    with open_jets(path) as file:
        return file.read()


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
