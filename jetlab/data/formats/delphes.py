"""Jets of a Delphes tree (arXiv:1307.6346) with the particle-flow candidates that they were clustered from.

Rows are events. A jet branch (``JetAK8``, ``ParticleFlowJet08``, ``FatJet``, ...) links its constituents by references
into the branch ``ParticleFlowCandidate``, or into ``EFlowTrack``, ``EFlowPhoton`` and ``EFlowNeutralHadron``. Not every
jet branch can be read: a card may store candidates after pile-up subtraction only, and jets from before it.

Three traps, all measured on such files. The column ``Eta`` of a charged candidate may be where it enters the
calorimeter, not the direction of its momentum; that is ``CtgTheta``, with which jets get back their own directions to
1e-6. ``DZ`` is measured from the centre of the detector; it is read relative to the hardest vertex. And candidates of
PUPPI weight 0 stand in the jets with no momentum, but with a mass, which makes the column ``Mass`` of a jet too large;
they are left out. Lengths are in mm, energies in GeV.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import pdg
from jetlab.data.formats.references import SIZES, identity
from jetlab.data.formats.table import Column, Rows, Table, list_column
from jetlab.errors import FileError
from jetlab.jets import Jets, wrap_phi

__all__ = ["count", "matches", "read", "settled", "starts"]

FlatColumns = dict[str, npt.NDArray[np.number]]

_CANDIDATES = (
    "ParticleFlowCandidate",
    "EFlowTrack",
    "EFlowPhoton",
    "EFlowNeutralHadron",
    "EFlowTower",
    "Track",
    "Tower",
)
"""Branches that jets may refer to. An object may stand in several; the first is taken."""

_PDG_OF_TOWERS = {"EFlowPhoton": 22, "EFlowNeutralHadron": 0, "EFlowTower": 0, "Tower": 0}
_IMPACT = {"d0": "D0", "d0err": "ErrorD0", "dz": "DZ", "dzerr": "ErrorDZ"}
_AGREEMENT = 1e-3
_LOOK_AT = 200
"""Events by which a collection is chosen."""

_PREFERRED = (
    r"(Jet)?PUPPI.*(AK)?0?8",
    r"(Jet|FatJet|ParticleFlowJet)(AK)?0?8",
    r"FatJet.*",
    r"(Jet|ParticleFlowJet).*(10|12|15)",
    r"Jet.*",
    r"ParticleFlow.*",
    r".*",
)
"""Names of jet branches, the wanted ones first: large radius before small, with pile-up subtraction before without."""


def matches(table: Table) -> bool:
    """Whether this is a Delphes tree with jets and candidates."""
    return bool(_collections(table)) and bool(_candidate_branches(table))


def count(table: Table) -> int:
    """Number of jets in all events."""
    return int(starts(table)[-1])


def starts(table: Table) -> npt.NDArray[np.int64]:
    """Number of jets before each event, and that of all."""
    name = _column(_chosen(table), "PT")
    return list_column(table.fetch([name]), name).offsets


def settled(table: Table) -> Table:
    """The same table with its collection chosen, so that all parts of a file give the same jets."""
    return replace(table, choice=replace(table.choice, collection=_chosen(table)))


def read(table: Table) -> Jets:
    """Read the jets of all events; ``info`` has the number of the event and the jet's own pT, eta, phi and mass.

    Raises
    ------
    FileError
        If the collection asked for is not there or its constituents are not in the file.
    """
    collection = _chosen(table)
    own = {name: _column(collection, name) for name in ("PT", "Eta", "Phi", "Mass")}
    links = _column(collection, "Constituents")
    held = table.fetch([*own.values(), links, f"{links}{SIZES}"])
    jet_event = _events(list_column(held, own["PT"]).offsets)
    row, jet, lost = _linked(table, collection, held, None)
    if lost:
        msg = _cannot(collection, lost, len(row) + lost, table)
        raise FileError(msg)
    flat = {name: values[row] for name, values in _candidates(table).items()}
    kept = flat["pt"] != 0
    flat, jet = {name: values[kept] for name, values in flat.items()}, jet[kept]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(jet, minlength=len(jet_event)))]).astype(np.int64)
    notes = [f"jets are those of {collection}"]
    if not kept.all():
        notes.append(
            f"{int((~kept).sum())} constituents without momentum were left out: their masses alone count in jet_mass"
        )
    info = {f"jet_{name.lower()}": list_column(held, column).values for name, column in own.items()}
    return Jets.from_flat(offsets, flat, info={"event": table.first + jet_event} | info, meta={"notes": notes})


# ---- collections -----------------------------------------------------------------------------------------------------


def _column(branch: str, name: str) -> str:
    return f"{branch}/{branch}.{name}"


def _collections(table: Table) -> list[str]:
    """Jet branches with links to constituents, the preferred ones first."""
    ends = f"Constituents{SIZES}"
    names = [name.split("/")[0] for name in table.shapes if name.endswith(ends)]
    jets = [name for name in names if not name.startswith("Gen") and _column(name, "PT") in table.shapes]
    return sorted(jets, key=lambda name: [not re.fullmatch(pattern, name) for pattern in _PREFERRED])


def _candidate_branches(table: Table) -> list[str]:
    return [name for name in _CANDIDATES if _column(name, "fUniqueID") in table.shapes]


def _chosen(table: Table) -> str:
    """The collection asked for, else the most preferred one whose constituents are in the file.

    Raises
    ------
    FileError
        If there is none.
    """
    known = _collections(table)
    wanted = table.choice.collection
    if wanted is not None:
        if wanted not in known:
            msg = f"there are no jets {wanted!r} with constituents; found {', '.join(known)}"
            raise FileError(msg)
        return wanted
    found = _complete(table)
    if not found:
        msg = f"the constituents of the jets {', '.join(known)} are not in the file; store them with the jets"
        raise FileError(msg)
    return found[0]


def _complete(table: Table, *, first_only: bool = True) -> list[str]:
    """Collections whose constituents are all in the file, as far as the first events tell."""
    rows = (0, min(_LOOK_AT, int(table.shapes[_column(_collections(table)[0], "PT")][0] or 0)))
    found = []
    for name in _collections(table):
        links = _column(name, "Constituents")
        held = table.load([_column(name, "PT"), links, f"{links}{SIZES}"], rows)
        row, _, lost = _linked(table, name, held, rows)
        if len(row) and not lost:
            found.append(name)
            if first_only:
                break
    return found


def _cannot(collection: str, lost: int, total: int, table: Table) -> str:
    others = ", ".join(_complete(table, first_only=False)) or "none"
    missing = f"{lost} of {total} constituents of {collection} are not in the file"
    return f"{missing}; jets with all their constituents: {others}"


# ---- links -----------------------------------------------------------------------------------------------------------


def _linked(
    table: Table, collection: str, held: Mapping[str, Column], rows: Rows | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """For each constituent found its row among all candidates and the row of its jet; and how many were not found."""
    links = _column(collection, "Constituents")
    references, sizes = list_column(held, links), list_column(held, f"{links}{SIZES}")
    jets = list_column(held, _column(collection, "PT"))
    if not np.array_equal(sizes.offsets, jets.offsets):
        msg = f"{collection} has other numbers of jets in PT and Constituents"
        raise FileError(msg)
    jet = np.repeat(np.arange(len(sizes.values)), sizes.values)
    event = _events(references.offsets)
    known, candidate_row = _identities(table, rows)
    wanted = _key(event, references.values)
    place = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    found = (known[place] == wanted) if len(known) else np.zeros(len(wanted), dtype=bool)
    return candidate_row[place[found]], jet[found], int((~found).sum())


def _identities(table: Table, rows: Rows | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sorted keys of event and number of all candidates that are referred to, and the rows of these candidates."""
    names = [_column(branch, "fUniqueID") for branch in _candidate_branches(table)]
    held = table.load(names, rows)
    lists = [list_column(held, name) for name in names]
    number = np.concatenate([identity(column.values) for column in lists])
    key = _key(np.concatenate([_events(column.offsets) for column in lists]), number)
    row = np.flatnonzero(number)
    known, first = np.unique(key[row], return_index=True)
    return known, row[first]


def _key(event: npt.NDArray[np.int64], number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return (event << 24) | number


def _events(offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


# ---- candidates ------------------------------------------------------------------------------------------------------


def _candidates(table: Table) -> FlatColumns:
    """All candidates of all events, one branch after the other."""
    parts = [
        _towers(table, name) if name in _PDG_OF_TOWERS else _tracks(table, name) for name in _candidate_branches(table)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _tracks(table: Table, branch: str) -> FlatColumns:
    held = _flat(table, branch, ("PT", "Eta", "Phi", "P", "CtgTheta", "PID", "Charge", *_IMPACT.values()))
    charged = held["Charge"] != 0
    columns: FlatColumns = {
        "pt": held["PT"],
        "eta": _direction(held, charged),
        "phi": wrap_phi(held["Phi"]),
        "mass": pdg.masses(held["PID"]),
        "charge": held["Charge"].astype(np.int8),
        "ptype": pdg.particle_types(held["PID"]),
    }
    impact = {name: held[column].astype(np.float64) for name, column in _IMPACT.items()}
    impact["dz"] = impact["dz"] - _vertex_z(table, _column(branch, "PT"))
    return columns | {name: np.where(charged, values, 0.0) for name, values in impact.items()}


def _direction(held: Mapping[str, npt.NDArray[np.number]], charged: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Pseudorapidities of momenta: from CtgTheta where the momentum P agrees with it, else the column Eta."""
    pt, slope, momentum = (held[name].astype(np.float64) for name in ("PT", "CtgTheta", "P"))
    agrees = np.abs(pt * np.hypot(1.0, slope) - momentum) <= _AGREEMENT * momentum
    return np.where(charged & agrees, np.arcsinh(slope), held["Eta"])


def _towers(table: Table, branch: str) -> FlatColumns:
    held = _flat(table, branch, ("ET", "Eta", "Phi"))
    n = len(held["ET"])
    columns: FlatColumns = {"pt": held["ET"], "eta": held["Eta"].astype(np.float64), "phi": wrap_phi(held["Phi"])}
    columns |= {"mass": np.zeros(n), "charge": np.zeros(n, np.int8)}
    columns["ptype"] = pdg.particle_types(np.full(n, _PDG_OF_TOWERS[branch]))
    return columns | {name: np.zeros(n) for name in _IMPACT}


def _vertex_z(table: Table, of: str) -> npt.NDArray[np.float64]:
    """Position along the beam [mm] of the hardest vertex, for each candidate; 0 where the tree has no vertices."""
    offsets = list_column(table.fetch([of]), of).offsets
    names = [_column("Vertex", "Z"), _column("Vertex", "SumPT2")]
    if not all(name in table.shapes for name in names):
        return np.zeros(offsets[-1])
    held = table.fetch(names)
    z, hardness = (list_column(held, name) for name in names)
    event = _events(z.offsets)
    hardest = np.lexsort((-hardness.values, event))[np.minimum(z.offsets[:-1], max(len(event) - 1, 0))]
    position = np.where(np.diff(z.offsets) > 0, z.values[hardest] if len(event) else 0.0, 0.0)
    return np.repeat(position.astype(np.float64), np.diff(offsets))


def _flat(table: Table, branch: str, names: Sequence[str]) -> FlatColumns:
    columns = {name: _column(branch, name) for name in names}
    missing = [name for name, column in columns.items() if column not in table.shapes]
    if missing:
        msg = f"{branch} has no {', '.join(missing)}"
        raise FileError(msg)
    held = table.fetch(list(columns.values()))
    return {name: list_column(held, column).values for name, column in columns.items()}
