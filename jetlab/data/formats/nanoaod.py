"""Jets of CMS NanoAOD with particle-flow candidates (NanoAODv15, and PFNano before it).

Rows are events. A table of links names, for each constituent, its jet and its candidate by their numbers within the
event. The large-radius jets ``FatJet`` are taken unless another collection is asked for. Candidates carry impact
parameters and PUPPI weights only in PFNano. Impact parameters are in cm, read as mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import pdg
from jetlab.data.formats.table import Column, Table, list_column, rows_linked
from jetlab.data.formats.weighted import SCALED, scaled
from jetlab.errors import FileError
from jetlab.jets import Jets, wrap_phi

__all__ = ["count", "matches", "read", "starts"]


class _Names(NamedTuple):
    jets: str
    links: str
    candidate_number: str
    candidates: str


_DEFAULT = "FatJet"
_VERSIONS = (("PFCand_", "pfCandIdx"), ("PFCands_", "pFCandsIdx"))
_MM_IN_CM = 10.0
_IMPACT = {"d0": "d0", "d0err": "d0Err", "dz": "dz", "dzerr": "dzErr"}
_WEIGHT = "puppiWeight"


def matches(table: Table) -> bool:
    """Whether these are the branches of NanoAOD with the candidates of its jets.

    Also if the links are missing, for then the candidates of an event are no jet.
    """
    events = any(f"{prefix}pt" in table.shapes for prefix, _ in _VERSIONS) and any(
        "Jet" in name and shape[1:] == (None,) for name, shape in table.shapes.items()
    )
    return events or bool(_collections(table))


def count(table: Table) -> int:
    """Number of jets in all events."""
    return int(starts(table)[-1])


def starts(table: Table) -> npt.NDArray[np.int64]:
    """Number of jets before each event, and that of all."""
    name = f"{_names(table).jets}pt"
    return list_column(table.fetch([name]), name).offsets


def read(table: Table) -> Jets:
    """Read the jets of all events; ``info`` has the number of the event and the jet's corrected pT.

    Raises
    ------
    InvalidJetsError
        If a link names a jet or a candidate that is not there.
    FileError
        If PUPPI weights are asked for but missing.
    """
    names = _names(table)
    wanted = {f"{names.candidates}{c}" for c in ("pt", "eta", "phi", "mass", "pdgId", *_IMPACT.values())}
    weight = f"{names.candidates}{_WEIGHT}"
    if table.choice.puppi:
        if weight not in table.shapes:
            msg = f"candidates carry no PUPPI weights: there is no column {weight}. Leave puppi= out"
            raise FileError(msg)
        wanted.add(weight)
    links = [f"{names.links}jetIdx", f"{names.links}{names.candidate_number}"]
    held = table.fetch([*links, f"{names.jets}pt", *(name for name in table.shapes if name in wanted)])
    jet_pt, pt = list_column(held, f"{names.jets}pt"), list_column(held, f"{names.candidates}pt")
    jet = rows_linked(list_column(held, links[0]), jet_pt.offsets)
    row = rows_linked(list_column(held, links[1]), pt.offsets)
    row = row[np.argsort(jet, kind="stable")]
    n = int(jet_pt.offsets[-1])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(jet, minlength=n))]).astype(np.int64)
    flat = _candidates(held, names.candidates, row)
    notes = [f"jets are those of {names.jets.removesuffix('_')}"]
    if table.choice.puppi:
        offsets, flat = scaled(offsets, flat, list_column(held, weight).values[row])
        notes.append(SCALED)
    event = table.first + np.repeat(np.arange(len(jet_pt.offsets) - 1), np.diff(jet_pt.offsets))
    return Jets.from_flat(offsets, flat, info={"event": event, "jet_pt": jet_pt.values}, meta={"notes": notes})


def _candidates(
    held: Mapping[str, Column], prefix: str, row: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.number]]:
    flat = {name: list_column(held, f"{prefix}{name}").values[row] for name in ("pt", "eta", "phi", "mass", "pdgId")}
    pid = flat.pop("pdgId")
    columns = flat | {"phi": wrap_phi(flat["phi"]), "mass": np.maximum(flat["mass"], 0.0)}
    columns |= {"charge": pdg.charges(pid), "ptype": pdg.particle_types(pid)}
    for name, column in _IMPACT.items():
        if f"{prefix}{column}" in held:
            values = list_column(held, f"{prefix}{column}").values[row]
            columns[name] = np.where(columns["charge"] != 0, _MM_IN_CM * values, 0.0)
    return columns


def _names(table: Table) -> _Names:
    """Names of the columns of the collection asked for.

    Raises
    ------
    FileError
        If there is no such collection.
    """
    known = _collections(table)
    if not known:
        prefix, number = _VERSIONS[0]
        wanted_columns = f"{_DEFAULT}_pt, {_DEFAULT}{prefix}jetIdx and {_DEFAULT}{prefix}{number}"
        msg = f"it has candidates, but no jets with links to them: expected columns such as {wanted_columns}"
        raise FileError(msg)
    wanted = table.choice.collection or (_DEFAULT if _DEFAULT in known else next(iter(known)))
    if wanted not in known:
        msg = f"there are no jets {wanted!r} with links to candidates; found {', '.join(known)}"
        raise FileError(msg)
    return known[wanted]


def _collections(table: Table) -> dict[str, _Names]:
    """Collections of jets that have links to candidates, and the names of their columns."""
    found = {}
    for candidates, number in _VERSIONS:
        end = f"{candidates}jetIdx"
        for jets in (name.removesuffix(end) for name in table.shapes if name.endswith(end)):
            needed = (f"{jets}{end}", f"{jets}{candidates}{number}", f"{jets}_pt", f"{candidates}pt")
            if jets and all(table.shapes.get(name, ())[1:] == (None,) for name in needed):
                found[jets] = _Names(f"{jets}_", f"{jets}{candidates}", number, candidates)
    return found
