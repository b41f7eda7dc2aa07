"""Impact-parameter resolution of tracks, in steps of pT for three regions of pseudorapidity.

The numbers follow the tracking performance published by CMS (arXiv:1405.6569) as the JetClass simulation used it. The
steps in pT are equal in its logarithm; below the first there is no smearing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["impact_parameter_resolution"]

FloatArray = npt.NDArray[np.float64]

_ETA_EDGES = np.array([0.9, 1.4])
_PT_EDGES = np.geomspace(0.1823, 134.713, 34)  # GeV, lower edges


def _table(micrometres: str) -> FloatArray:
    """Resolutions in mm, shape ``(3, 34)``, from a text with a row for each region of |eta|."""
    return 1e-3 * np.array([row.split() for row in micrometres.split(";")], dtype=np.float64)


# micrometres, a column for each step in pT; rows for |eta| up to 0.9, 1.4 and 2.5
_D0 = _table("""
    354.3 280.9 230.4 191.7 173.7 143.4 106 89.3 75.3 67 57.7 52.4 45.2 37.6 35 32.4 28.3 25.8 23.7 21.1 19.1
    16.4 15 14.3 13 13 11.6 11.6 11 11 11 10.4 10.9 11;
    456.4 358 301 235.3 202.6 159.5 138.3 111.9 92.6 81.6 66.3 55.3 48.8 43.1 39.9 35.7 31.3 27.7 23.3 22.1
    21.4 18 15.5 14.1 12.8 13.4 12.1 10.8 10.1 10.1 10.1 10.2 8.8 9.5;
    697 604.6 531.5 430.6 339.8 278.8 238.7 181.4 155.7 123 100.9 91.4 76.7 63.8 54.4 46.8 42.5 38.5 33.1 27.8
    25.6 23.6 21.7 19.6 17.6 16.5 15.7 15 14.4 14.4 13.7 13 13.7 13.7
""")
_DZ = _table("""
    369.3 313.5 312.5 257.8 222.1 193.6 168.6 135.1 111.3 98.3 88.2 78.6 68.4 61.5 55.1 51.6 48.4 45 41.6 41.6
    38.2 35 31.7 31.6 31.6 31.6 34.8 31.6 31.6 31.6 28.4 28.3 31.5 31.8;
    706.2 601 599.2 495.9 387.7 319.9 264.9 251.8 198.2 158.7 139.9 119.9 103.1 96.7 80.5 73.6 70.7 60.3 60.9
    54.1 51.1 44.3 40.9 40.8 40.9 37.7 37.5 37.7 34.2 34.2 34.3 34.3 30.9 31;
    2171.7 2071.5 2067.9 1767.9 1439.3 1199.7 980 825.1 669.5 554.5 436.6 371.1 331.9 272.1 244.3 208.5 181.6
    164.1 145.1 131.7 111.7 102 101.7 98.3 88.2 84.7 81.4 78.4 81.7 75 81.6 82 81.4 85
""")


def impact_parameter_resolution(pt: FloatArray, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Resolutions of d0 and dz.

    Parameters
    ----------
    pt : ndarray of float, shape (n,)
        Track transverse momentum in GeV.
    eta : ndarray of float, shape (n,)
        Track pseudorapidity.

    Returns
    -------
    d0err, dzerr : ndarray of float, shape (n,)
        In mm; 0 below 0.18 GeV.
    """
    step = np.searchsorted(_PT_EDGES, pt, side="left") - 1
    region = np.searchsorted(_ETA_EDGES, np.abs(eta), side="left")
    measured = step >= 0
    d0err = np.where(measured, _D0[region, step], 0.0)
    dzerr = np.where(measured, _DZ[region, step], 0.0)
    return d0err, dzerr
