"""The ATLAS top tagging set (CERN Open Data 80030, arXiv:2407.20127): padded constituents in MeV, event weights."""

from __future__ import annotations

import numpy as np

from jetlab.data.formats.momenta import mass_from_energy
from jetlab.data.formats.padded import occupied
from jetlab.data.formats.table import Table
from jetlab.jets import Jets, wrap_phi

__all__ = ["ATLAS_TOP", "count", "matches", "read"]

ATLAS_TOP = ("QCD", "top")
"""Class names in label order."""

_GEV = 1e-3
_CLUSTERS = ("pt", "eta", "phi", "E")


def matches(table: Table) -> bool:
    """Whether these are the columns of the ATLAS top tagging set."""
    shapes = [table.shapes.get(f"fjet_clus_{name}", ()) for name in _CLUSTERS]
    return all(len(shape) == 2 for shape in shapes)


def count(table: Table) -> int:
    """Number of jets."""
    return int(table.shapes["fjet_clus_pt"][0] or 0)


def read(table: Table) -> Jets:
    """Read jets and their weights (``info["weight"]``), in GeV."""
    names = [f"fjet_clus_{name}" for name in _CLUSTERS]
    beside = [name for name in ("labels", "weights", "fjet_m", "fjet_pt") if table.flat(name)]
    held = table.fetch([*names, *beside])
    pt, eta, phi, energy = (np.asarray(held[name], dtype=np.float64) for name in names)
    real = occupied(pt, "pT")
    offsets = np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int64)
    pt, eta, phi, energy = _GEV * pt[real], eta[real], wrap_phi(phi[real]), _GEV * energy[real]
    columns = {"pt": pt, "eta": eta, "phi": phi, "mass": mass_from_energy(energy, pt, pt * np.sinh(eta), offsets)}
    info = {"weight": np.asarray(held["weights"])} if "weights" in held else {}
    if "fjet_m" in held:
        info["jet_mass"] = _GEV * np.asarray(held["fjet_m"])
    if "fjet_pt" in held:
        info["jet_pt"] = _GEV * np.asarray(held["fjet_pt"])
    label = np.asarray(held["labels"]) if "labels" in held else None
    return Jets.from_flat(offsets, columns, label=label, classes=ATLAS_TOP, info=info)
