"""JetLab's own compact layout: about half a kilobyte a jet, and still plain columns that any Parquet reader shows.

Numbers keep the digits that a detector can resolve. Transverse momenta are rounded to 14 significant bits (relative
error below 2^-14), directions to a grid of 2^-16 = 1.5e-5, masses to 11 and impact parameters to 9 bits. The zeros at
the end of every number are what compression then removes. Rounding twice changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import columns
from jetlab.data.formats.table import Column, Jagged, Table
from jetlab.jets import Jets, wrap_phi

__all__ = ["ANGLE_STEP", "BITS", "compact_columns", "matches", "read", "rounded"]

BITS = {"pt": 14, "mass": 11, "d0": 9, "d0err": 9, "dz": 9, "dzerr": 9}
"""Significant bits that constituent columns keep."""

ANGLE_STEP = 2.0**-16
"""Grid of pseudorapidities and azimuths."""

_INFO_BITS = 16
_IMPLIED = ("jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_mass", "jet_nparticles")


def matches(table: Table) -> bool:
    """Whether JetLab wrote these columns in its compact layout."""
    return table.meta.get("layout") == "compact" and columns.matches(table)


def read(table: Table) -> Jets:
    """Read jets in the compact layout."""
    return columns.read(table)


def rounded(values: npt.NDArray[Any], bits: int) -> npt.NDArray[np.float32]:
    """Single-precision numbers with only this many significant bits, to nearest, ties to even.

    Parameters
    ----------
    values : array of float, any shape
        Finite numbers.
    bits : int
        Significant bits, 1 to 24.
    """
    word = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    drop = np.uint32(24 - bits)
    if drop == 0:
        return word.view(np.float32)
    half = (np.uint32(1) << (drop - np.uint32(1))) - np.uint32(1)
    odd = (word >> drop) & np.uint32(1)
    return (((word + half + odd) >> drop) << drop).view(np.float32)


def compact_columns(jets: Jets) -> dict[str, Column]:
    """Columns of the compact layout: ``part_pt``, ``part_deta``, ``part_dphi``, ``part_mass``, ..., ``jet_eta``, ...

    ``jet_eta`` and ``jet_phi`` are reference points on the grid beside the jet axis; the optional fields are there if
    the jets have them; columns of ``info`` keep 16 significant bits; the label is a whole number.
    """
    eta0, phi0 = _on_grid(jets.eta), _on_grid(jets.phi)
    deta = _on_grid(jets.flat("eta").astype(np.float64) - np.repeat(eta0, jets.multiplicity))
    dphi = _on_grid(wrap_phi(jets.flat("phi").astype(np.float64) - np.repeat(phi0, jets.multiplicity)))
    flat: dict[str, npt.NDArray[Any]] = {
        "part_pt": rounded(jets.flat("pt"), BITS["pt"]),
        "part_deta": deta.astype(np.float32),
        "part_dphi": dphi.astype(np.float32),
    }
    for name in jets.fields:
        if name not in ("pt", "eta", "phi"):
            flat[f"part_{name}"] = rounded(jets.flat(name), BITS[name]) if name in BITS else jets.flat(name)
    made: dict[str, Column] = {name: Jagged(jets.offsets, values) for name, values in flat.items()}
    made |= {"jet_eta": eta0.astype(np.float32), "jet_phi": phi0.astype(np.float32)}
    if jets.label is not None:
        made["label"] = jets.label.astype(np.int16)
    for name, values in jets.info.items():
        if name not in _IMPLIED:
            made[name] = rounded(values, _INFO_BITS) if values.dtype.kind == "f" else values
    return made


def _on_grid(angles: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.round(angles / ANGLE_STEP) * ANGLE_STEP
