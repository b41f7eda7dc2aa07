"""What the PDG codes in jet files mean: mass, charge and particle type (masses of the Review of Particle Physics)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jetlab.jets.checks import whole_numbers

__all__ = ["charges", "masses", "particle_types"]

_PHOTON, _ELECTRON, _MUON = 22, 11, 13
_MASS = {
    22: 0.0,
    11: 0.00051100,
    13: 0.10565838,
    211: 0.13957039,
    321: 0.493677,
    2212: 0.93827209,
    130: 0.497611,
    310: 0.497611,
    2112: 0.93956542,
    111: 0.1349768,
    3112: 1.197449,
    3122: 1.115683,
    3222: 1.18937,
    3312: 1.32171,
    3322: 1.31486,
    3334: 1.67245,
}
_CHARGED_PLUS = (211, 321, 2212, 3222)
_CHARGED_MINUS = (11, 13, 3112, 3312, 3334)


def masses(pid: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Masses [GeV] of particles by PDG code; 0 for codes that do not leave a detector as particles."""
    return _looked_up(np.abs(_codes(pid)), _MASS)


def charges(pid: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """Electric charges in units of the proton's."""
    codes = _codes(pid)
    sign = np.isin(np.abs(codes), _CHARGED_PLUS).astype(np.int8) - np.isin(np.abs(codes), _CHARGED_MINUS)
    return (sign * np.sign(codes)).astype(np.int8)


def particle_types(pid: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """Indices into `jetlab.vocabulary.PARTICLE_TYPES`; what is charged or neutral but no lepton or photon is a hadron.

    Code 0, and the codes 1 and 2 of CMS for hadronic and electromagnetic deposits in the forward calorimeter, count as
    neutral hadrons.
    """
    codes = np.abs(_codes(pid))
    types = np.where(charges(codes) != 0, 0, 1).astype(np.int8)
    for code, kind in ((_PHOTON, 2), (_ELECTRON, 3), (_MUON, 4)):
        types[codes == code] = kind
    return types


def _codes(pid: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Codes as whole numbers; anything else is refused."""
    return whole_numbers(np.asarray(pid), "a PDG code", np.int64)


def _looked_up(codes: npt.NDArray[np.int64], table: dict[int, float]) -> npt.NDArray[np.float64]:
    known, where = np.unique(codes, return_inverse=True)
    return np.array([table.get(int(code), 0.0) for code in known], dtype=np.float64)[where].reshape(codes.shape)
