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
from jetlab.data.formats import (
    arrays,
    aspen,
    atlas,
    columns,
    compact,
    delphes,
    h1,
    hdf5,
    jetclass,
    jetclass2,
    jetnet,
    lhco,
    minerva,
    mod,
    nanoaod,
    neutrino,
    omnifold,
    omnilearn,
    parquet,
    quarkgluon,
    root,
    toptagging,
)
from jetlab.data.formats.table import ANYTHING, Choice, Table, guarded
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
    choices : tuple of str
        What of `jetlab.data.formats.table.Choice` it honours.
    unit : str
        What a row is: a jet, or an event or a pair of jets.
    events : callable, optional
        Turns some rows into `Events`; see `jetlab.data.formats.lhco.read_events`.
    pairs : callable, optional
        Turns a table into `Pairs`.
    """

    name: str
    description: str
    matches: Callable[[Table], bool]
    count: Callable[[Table], int]
    read: Callable[[Table], Jets]
    notes: tuple[str, ...] = ()
    in_parts: bool = True
    choices: tuple[str, ...] = ()
    unit: str = "jet"
    events: Callable[[Table, npt.NDArray[np.int64], JetFinder, Sequence[int] | None], Events] | None = None
    pairs: Callable[[Table], Pairs] | None = None


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
        ("pT relative to the jet is multiplied by the jet pT",),
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
        ("candidates are scaled by their PUPPI weights only if asked for (puppi=True)",),
        choices=("puppi",),
    ),
    Layout(
        "NanoAOD",
        "FatJet_pt, FatJetPFCand_jetIdx, FatJetPFCand_pfCandIdx and PFCand_pt, ... (CMS NanoAOD, PFNano)",
        nanoaod.matches,
        nanoaod.count,
        nanoaod.read,
        (
            "impact parameters in cm became mm",
            "candidates are scaled by PUPPI weights only if asked for (puppi=True), by jet energy corrections never",
        ),
        in_parts=False,
        choices=("collection", "puppi"),
    ),
    Layout(
        "Delphes",
        "a jet branch with Constituents, and ParticleFlowCandidate or EFlowTrack, EFlowPhoton, EFlowNeutralHadron "
        "(Delphes)",
        delphes.matches,
        delphes.count,
        delphes.read,
        ("masses follow from the PDG codes; candidates of calorimeter towers are massless",),
        in_parts=False,
        choices=("collection",),
    ),
    Layout(
        "H1",
        "jet_pt, ... and jet_part_pt, jet_part_eta, jet_part_phi, jet_part_e, jet_part_idx in Django/minitree or "
        "Rapgap/minitree (H1)",
        h1.matches,
        h1.count,
        h1.read,
        ("all jets of an event are read; the quantities of the event are in info",),
        in_parts=False,
    ),
    Layout(
        "neutrino",
        "token_pt, token_eta, token_phi, token_energy and token_class, in GeV or named ..._mev (neutrino events)",
        neutrino.matches,
        neutrino.count,
        neutrino.read,
    ),
    Layout(
        "MINERvA",
        "data (m, 10) beside offsets, global_features (n, 16) and truth_labels (n, 15) (MINERvA events)",
        minerva.matches,
        minerva.count,
        minerva.read,
        ("logarithms were undone, MeV became GeV, positions became mm and times ns", "dE/dx has lost its sign"),
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
        "LHC Olympics",
        "a pandas table of 2100 or 2101 numbers a row: pT, eta, phi of 700 particles, and the label (LHC Olympics)",
        lhco.matches,
        lhco.count,
        lhco.read,
        ("rows are events of massless particles, clustered into jets",),
        unit="event",
        events=lhco.read_events,
    ),
    Layout(
        "LHC Olympics jets",
        "data (n, 2, P, 7) and jet (n, 2, 5) (LHC Olympics as OmniLearn prepares them)",
        lhco.matches_clustered,
        lhco.count_clustered,
        lhco.read_clustered,
        ("rows are events of two jets",),
        unit="event",
        events=lhco.read_clustered_events,
    ),
    Layout(
        "OmniFold",
        "gen_jets, gen_particles, sim_jets, sim_particles (OmniFold Z + jet)",
        omnifold.matches,
        omnifold.count,
        omnifold.read,
        (
            "pT were multiplied by 100 GeV and directions moved to the jet",
            "rapidities became pseudorapidities, with masses by PDG code",
            "jet_pt at detector level includes an energy correction that the constituents do not have",
        ),
        unit="pair",
        pairs=omnifold.read_pairs,
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

_LACKS = {"collection": "has a single set of jets", "puppi": "carries no PUPPI weights"}

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
        return self._table.together if self.layout.in_parts else self._n

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

    def read_events(
        self, rows: npt.NDArray[np.int64], finder: JetFinder, wanted: Sequence[int] | None = None
    ) -> Events:
        """Read some rows as events; arguments and errors as for `jetlab.data.formats.lhco.read_events`."""
        if self.layout.events is None:
            msg = f"{self.path} holds jets in the {self.layout.name} layout, no events; jetlab.load_jets reads them"
            raise FileError(msg)
        with guarded(str(self.path), "read"):
            return self.layout.events(self._table, rows, finder, wanted)

    def read_pairs(self) -> Pairs:
        """Read all rows as pairs of jets at generator and at detector level; errors as for `read_jets`."""
        if self.layout.pairs is None:
            msg = f"{self.path} is in the {self.layout.name} layout, without pairs; jetlab.load_jets reads its jets"
            raise FileError(msg)
        with guarded(str(self.path), "read"):
            return self.layout.pairs(self._table)

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
        known = "Parquet, ROOT, HDF5, NumPy (npz, npy)"
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
        expected = "; or ".join(layout.description for layout in LAYOUTS[1:])
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
