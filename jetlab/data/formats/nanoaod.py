"""Large-radius jets of CMS NanoAOD with particle-flow candidates (NanoAODv15, and PFNano before it).

Rows are events. A table of links names, for each constituent, its jet and its candidate by their numbers within the
event. Candidates carry impact parameters and PUPPI weights only in PFNano. Impact parameters are in cm, read as mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import pdg
from jetlab.data.formats.table import Jagged, Table
from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets, wrap_phi

__all__ = ["count", "matches", "read"]


class _Names(NamedTuple):
    links: str
    candidate_number: str
    candidates: str


_VERSIONS = (
    _Names("FatJetPFCand_", "pfCandIdx", "PFCand_"),
    _Names("FatJetPFCands_", "pFCandsIdx", "PFCands_"),
)
_JETS = "FatJet_"
_MM_IN_CM = 10.0
_IMPACT = {"d0": "d0", "d0err": "d0Err", "dz": "dz", "dzerr": "dzErr"}


def matches(table: Table) -> bool:
    """Whether these are the branches of NanoAOD with the candidates of its large-radius jets."""
    return _version(table) is not None and f"{_JETS}pt" in table.shapes


def count(table: Table) -> int:
    """Number of large-radius jets in all events."""
    return int(_jagged(table.fetch([f"{_JETS}pt"]), f"{_JETS}pt").offsets[-1])


def read(table: Table) -> Jets:
    """Read the large-radius jets of all events; ``info`` has the number of the event and the jet's corrected pT.

    Raises
    ------
    InvalidJetsError
        If a link names a jet or a candidate that is not there.
    """
    names = _version(table)
    assert names is not None
    wanted = {f"{names.candidates}{c}" for c in ("pt", "eta", "phi", "mass", "pdgId", *_IMPACT.values())}
    links = [f"{names.links}jetIdx", f"{names.links}{names.candidate_number}"]
    held = table.fetch([*links, f"{_JETS}pt", *(name for name in table.shapes if name in wanted)])
    jet_pt, pt = _jagged(held, f"{_JETS}pt"), _jagged(held, f"{names.candidates}pt")
    jet, row = _global_numbers(_jagged(held, links[0]), jet_pt), _global_numbers(_jagged(held, links[1]), pt)
    row = row[np.argsort(jet, kind="stable")]
    n = int(jet_pt.offsets[-1])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(jet, minlength=n))]).astype(np.int64)
    flat = _candidates(held, names.candidates, row)
    event = np.repeat(np.arange(len(jet_pt.offsets) - 1), np.diff(jet_pt.offsets))
    return Jets.from_flat(offsets, flat, info={"event": event, "jet_pt": jet_pt.values})


def _candidates(held: Mapping[str, Any], prefix: str, row: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    flat = {name: _jagged(held, f"{prefix}{name}").values[row] for name in ("pt", "eta", "phi", "mass", "pdgId")}
    pid = flat.pop("pdgId")
    columns = flat | {"phi": wrap_phi(flat["phi"]), "mass": np.maximum(flat["mass"], 0.0)}
    columns |= {"charge": pdg.charges(pid), "ptype": pdg.particle_types(pid)}
    for name, column in _IMPACT.items():
        if f"{prefix}{column}" in held:
            values = _jagged(held, f"{prefix}{column}").values[row]
            columns[name] = np.where(columns["charge"] != 0, _MM_IN_CM * values, 0.0)
    return columns


def _version(table: Table) -> _Names | None:
    return next(
        (v for v in _VERSIONS if f"{v.links}jetIdx" in table.shapes and f"{v.candidates}pt" in table.shapes), None
    )


def _jagged(held: Mapping[str, Any], name: str) -> Jagged:
    column = held[name]
    if not isinstance(column, Jagged):
        msg = f"{name} holds one value an event, expected a list"
        raise InvalidJetsError(msg)
    return column


def _global_numbers(links: Jagged, of: Jagged) -> npt.NDArray[np.int64]:
    """Row over all events of what a link names by its number within the event."""
    counts = np.diff(links.offsets)
    number, room = links.values.astype(np.int64), np.repeat(np.diff(of.offsets), counts)
    if ((number < 0) | (number >= room)).any():
        bad = int(np.flatnonzero((number < 0) | (number >= room))[0])
        event = int(np.searchsorted(links.offsets, bad, side="right")) - 1
        msg = f"event {event} has a link to number {number[bad]} of {room[bad]}"
        raise InvalidJetsError(msg)
    return number + np.repeat(of.offsets[:-1], counts)
