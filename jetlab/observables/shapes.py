"""Jet shapes with a closed form, on flat constituent arrays and offsets.

Directions are rapidity and azimuth, so that every shape is unchanged by a boost along the beam; for massless
constituents rapidity is pseudorapidity. The axis is the direction of the summed four-momentum.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["angularity", "distance_to_axis", "momentum_fractions", "pt_dispersion", "rapidity", "segment_sum"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def segment_sum(values: npt.NDArray[np.floating], offsets: IntArray) -> FloatArray:
    """Sum of the values of each jet; 0 for a jet without constituents.

    Parameters
    ----------
    values : array of float, shape (m,)
        One value a constituent.
    offsets : array of int, shape (n + 1,)
        Constituents of jet ``i`` are ``offsets[i]:offsets[i + 1]``.
    """
    n = len(offsets) - 1
    jet = np.repeat(np.arange(n), np.diff(offsets))
    return np.bincount(jet, weights=values, minlength=n).astype(np.float64)


def rapidity(px: FloatArray, py: FloatArray, pz: FloatArray, energy: FloatArray) -> FloatArray:
    """Rapidity asinh(pz / mT) of four-momenta in GeV, any shape; 0 for a vanishing one."""
    transverse_mass = np.sqrt(np.maximum(energy**2 - pz**2, px**2 + py**2))
    return np.arcsinh(np.divide(pz, transverse_mass, out=np.zeros_like(pz), where=transverse_mass > 0))


def distance_to_axis(p4: FloatArray, offsets: IntArray) -> FloatArray:
    """Distance sqrt(dy^2 + dphi^2) of each constituent from the axis of its jet, shape ``(m,)``.

    Parameters
    ----------
    p4 : array of float, shape (m, 4)
        Constituent four-momenta (E, px, py, pz) in GeV.
    offsets : array of int, shape (n + 1,)
        Constituents of jet ``i`` are ``offsets[i]:offsets[i + 1]``.
    """
    jets = np.stack([segment_sum(p4[:, k], offsets) for k in range(4)], axis=1)
    axis = np.repeat(jets, np.diff(offsets), axis=0)
    dy = rapidity(p4[:, 1], p4[:, 2], p4[:, 3], p4[:, 0]) - rapidity(axis[:, 1], axis[:, 2], axis[:, 3], axis[:, 0])
    cross = axis[:, 1] * p4[:, 2] - axis[:, 2] * p4[:, 1]
    dot = axis[:, 1] * p4[:, 1] + axis[:, 2] * p4[:, 2]
    return np.hypot(dy, np.arctan2(cross, dot))


def momentum_fractions(pt: FloatArray, offsets: IntArray) -> FloatArray:
    """Share z of each constituent in the scalar sum of pT of its jet, shape ``(m,)``."""
    return pt / np.repeat(segment_sum(pt, offsets), np.diff(offsets))


def angularity(z: FloatArray, distance: FloatArray, offsets: IntArray, *, beta: float) -> FloatArray:
    """Angularity sum_i z_i dR_i^beta of each jet, shape ``(n,)``.

    With beta = 1 it is the girth, with 1/2 the Les Houches angularity. It is
    NaN for a jet without constituents, 0 for one constituent.

    References
    ----------
    A. Larkoski, J. Thaler, W. Waalewijn, arXiv:1408.3122.
    """
    return _defined(segment_sum(z * distance**beta, offsets), offsets)


def pt_dispersion(z: FloatArray, offsets: IntArray) -> FloatArray:
    """Dispersion pTD = sqrt(sum_i z_i^2) of each jet, shape ``(n,)``.

    It is
    NaN for a jet without constituents, 1 for one constituent, 1/sqrt(k) for k equal ones.

    References
    ----------
    CMS, CMS-PAS-JME-13-002.
    """
    return _defined(np.sqrt(segment_sum(z**2, offsets)), offsets)


def _defined(values: FloatArray, offsets: IntArray) -> FloatArray:
    return np.where(np.diff(offsets) > 0, values, np.nan)
