"""Jets of CMS 2011A in the MOD format (EnergyFlow; Zenodo 3340205 and others, arXiv:1908.08542).

Candidates lie flat in ``pfcs`` (pT, *rapidity*, phi, mass, PDG code, vertex), those of jet ``i`` between the entries
``i`` and ``i + 1`` of ``pfcs_index``; jets are rows of ``jets_f`` and ``jets_i``.
"""

from __future__ import annotations

import numpy as np

from jetlab.data.formats import pdg
from jetlab.data.formats.padded import from_rapidity
from jetlab.data.formats.table import Table
from jetlab.errors import FileError
from jetlab.jets import Jets, wrap_phi

__all__ = ["count", "matches", "read"]

_FLOATS = ("jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta", "jec", "jet_area", "jet_max_nef")
_CANDIDATE_COLUMNS = 6


def matches(table: Table) -> bool:
    """Whether these are the arrays of a MOD file."""
    candidates, jets = table.shapes.get("pfcs", ()), table.shapes.get("jets_f", ())
    return len(candidates) == 2 and len(jets) == 2 and len(table.shapes.get("pfcs_index", ())) == 1


def count(table: Table) -> int:
    """Number of jets."""
    return int(table.shapes["jets_f"][0] or 0)


def read(table: Table) -> Jets:
    """Read jets; pT after the jet energy correction, the correction and the weight are in ``info``.

    Raises
    ------
    FileError
        If the index does not fit the jets or the candidates.
    """
    held = table.fetch(["pfcs", "pfcs_index", "jets_f"])
    rows, index, jets = (np.asarray(held[name]) for name in ("pfcs", "pfcs_index", "jets_f"))
    offsets = np.append(index, len(rows)) if len(index) == len(jets) else index
    if rows.shape[1] < _CANDIDATE_COLUMNS or len(offsets) != len(jets) + 1 or offsets[-1] != len(rows):
        msg = (
            f"pfcs {rows.shape}, pfcs_index {index.shape} and jets_f {jets.shape} do not belong together: "
            "the index must end at the number of candidates"
        )
        raise FileError(msg)
    pt, rapidity, phi, mass, pid = rows[:, :5].astype(np.float64).T
    flat = {
        "pt": pt,
        "eta": from_rapidity(pt, rapidity, mass),
        "phi": wrap_phi(phi),
        "mass": mass,
        "charge": pdg.charges(pid),
        "ptype": pdg.particle_types(pid),
    }
    names = _FLOATS[: jets.shape[1]]
    info = {name: jets[:, k] for k, name in enumerate(names) if name in ("jet_pt", "jec", "jet_area")}
    return Jets.from_flat(offsets.astype(np.int64), flat, info=info)
