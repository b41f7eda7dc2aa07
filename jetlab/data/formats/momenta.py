"""Constituent momenta from whichever columns a file has: Cartesian, polar, or relative to the jet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.units import check_energies
from jetlab.errors import InvalidJetsError
from jetlab.jets import wrap_phi

__all__ = ["MOMENTA", "mass_from_energy", "momenta"]

FloatArray = npt.NDArray[np.float64]

MOMENTA = (
    ("px", "py", "pz"),
    ("pt", "eta", "phi"),
    ("pt", "deta", "dphi"),
    ("ptrel", "deta", "dphi"),
)
"""The sets of constituent columns that fix directions and transverse momenta, in the order of preference."""

_ROUNDING = 3e-7
"""Relative error of a squared mass that comes from single-precision energies and momenta."""

_WRONG = 1e-3


def momenta(
    flat: Mapping[str, npt.NDArray[np.number]],
    axis: Mapping[str, npt.NDArray[np.number]],
    offsets: npt.NDArray[np.int64],
) -> tuple[dict[str, FloatArray], list[str]]:
    """Transverse momenta, pseudorapidities, azimuths and masses of all constituents.

    Parameters
    ----------
    flat : mapping of str to array, shape (m,)
        Constituent columns: one of the sets in `MOMENTA`, and ``mass`` or ``energy`` unless massless. GeV, radians.
    axis : mapping of str to array, shape (n,)
        ``pt``, ``eta``, ``phi`` of the jets, for columns relative to them.
    offsets : array of int, shape (n + 1,)
        Constituents of jet ``i`` are ``offsets[i]:offsets[i + 1]``.

    Returns
    -------
    columns : dict
        ``pt``, ``eta``, ``phi``, ``mass``.
    notes : list of str
        What was converted or assumed.

    Raises
    ------
    InvalidJetsError
        If columns are missing or an energy is below its momentum.
    """
    used = next((names for names in MOMENTA if all(name in flat for name in names)), None)
    if used is None:
        known = {"mass", "energy", *(name for names in MOMENTA for name in names)}
        ways, found = "; or ".join(", ".join(names) for names in MOMENTA), [name for name in flat if name in known]
        msg = f"constituent momenta are incomplete: found {', '.join(found) or 'none'}, expected {ways}"
        raise InvalidJetsError(msg)
    size = ("mass",) if "mass" in flat else ("energy",) if "energy" in flat else ()
    columns = {name: np.asarray(flat[name], dtype=np.float64) for name in (*used, *size)}
    notes: list[str] = []
    if used[0] == "px":
        px, py, pz = (columns[name] for name in used)
        pt = np.hypot(px, py)
        eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pz), where=pt > 0))
        phi = np.arctan2(py, px)
    else:
        pt, eta, phi = (columns[name] for name in used)
        counts = np.diff(offsets)
        if used[0] == "ptrel":
            pt = pt * np.repeat(_of_jets(axis, "pt"), counts)
            notes.append("pT relative to the jet was multiplied by the jet pT")
        if used[1] == "deta":
            eta = eta + np.repeat(axis.get("eta", np.zeros(len(counts))), counts)
            phi = wrap_phi(phi + np.repeat(axis.get("phi", np.zeros(len(counts))), counts))
            missing = [name for name in ("eta", "phi") if name not in axis]
            if missing:
                notes.append(
                    f"no jet {' or '.join(missing)} in the file: jet axes were put at {' = '.join(missing)} = 0"
                )
    if "mass" in columns:
        mass = columns["mass"]
    elif "energy" in columns:
        mass = mass_from_energy(columns["energy"], pt, pt * np.sinh(eta), offsets)
    else:
        mass = np.zeros_like(pt)
        notes.append("constituents have neither mass nor energy: taken as massless")
    return {"pt": pt, "eta": eta, "phi": phi, "mass": mass}, notes


def mass_from_energy(energy: FloatArray, pt: FloatArray, pz: FloatArray, offsets: npt.NDArray[np.int64]) -> FloatArray:
    """Masses in GeV from energies and momenta in single precision, shape ``(m,)``.

    Squared masses that rounding alone explains, negative ones too, become exactly 0.

    Raises
    ------
    InvalidJetsError
        If an energy is below its momentum by more than a thousandth.
    UnitsError
        If energies and momenta are in different units.
    """
    momentum = np.hypot(pt, pz)
    check_energies(energy, momentum)
    bad = energy < (1 - _WRONG) * momentum
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        jet = int(np.searchsorted(offsets, row, side="right")) - 1
        msg = (
            f"constituent {row - offsets[jet]} of jet {jet} has energy {energy[row]:.6g} below its momentum "
            f"{momentum[row]:.6g} GeV ({int(bad.sum())} such constituents)"
        )
        raise InvalidJetsError(msg)
    squared = (energy - momentum) * (energy + momentum)
    return np.sqrt(np.where(squared > _ROUNDING * energy**2, squared, 0.0))


def _of_jets(axis: Mapping[str, npt.NDArray[np.number]], name: str) -> npt.NDArray[np.number]:
    if name not in axis:
        msg = f"constituent {name} is relative to the jet, but there is no column jet_{name}"
        raise InvalidJetsError(msg)
    return axis[name]
