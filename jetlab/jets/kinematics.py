"""Formulas for four-momenta (E, px, py, pz) in GeV; they know no containers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["invariant_mass"]


def invariant_mass(p4: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Invariant mass sqrt(E^2 - p^2) [GeV] of four-momenta, 0 where rounding makes the square negative.

    Parameters
    ----------
    p4 : array_like, shape (..., 4)
        Four-momenta (E, px, py, pz) in GeV.

    Returns
    -------
    array of float64, shape (...)
    """
    e, px, py, pz = np.moveaxis(np.asarray(p4, dtype=np.float64), -1, 0)
    return np.sqrt(np.maximum(e**2 - px**2 - py**2 - pz**2, 0.0))
