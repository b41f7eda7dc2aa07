"""Units that do not go together: constituents in MeV beside jets in GeV, or some of the jets in MeV.

A median far off is found when `Jets` are built. Here one number is compared with another that should be like it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError, UnitsError
from jetlab.jets import Jets
from jetlab.jets.domains import JETS

__all__ = ["check_alike", "check_energies", "check_sums"]

_FAR = 30.0
"""Ratio of two numbers that should be alike which only different units explain: these differ by 1000."""

_VERY_FAR = 100.0
_FEW = 3
_HEAVY = 20.0
_GAP = 20.0
_THOUSAND = (300.0, 3000.0)
_ABOVE_COLLIDERS = 10_000.0


def check_sums(total: npt.NDArray[Any], stated: npt.NDArray[Any]) -> None:
    """Refuse jets whose constituents do not add up to anything like the pT that the file states.

    Pile-up, corrections and constituents that were not stored change sums by factors of a few at most.

    Parameters
    ----------
    total, stated : array of float, shape (n,)
        Transverse momenta of the sums of constituents and of the jets as the file has them; jets without one of them
        do not count.

    Raises
    ------
    UnitsError
        If constituents of some jets are in MeV and the jets in GeV, or of all jets the other way round.
    """
    stated = np.asarray(stated, dtype=np.float64)
    known = (total > 0) & (stated > 0) & np.isfinite(stated)
    if not known.any():
        return
    ratio = np.divide(total, stated, out=np.ones(len(total)), where=known)
    far = known & (ratio > (_VERY_FAR if np.median(ratio[known]) < _FAR else _FAR))
    if far.any():
        jet, units = int(np.flatnonzero(far)[0]), "constituents in MeV and jets in GeV"
    elif known.sum() >= _FEW and (ratio[known] < 1 / _FAR).all():
        jet, units = int(np.flatnonzero(known)[0]), "constituents in GeV and jets in MeV"
    else:
        return
    msg = (
        f"the constituents of jet {jet} add up to a pT of {total[jet]:.4g}, but the file says {stated[jet]:.4g}: are "
        f"{units}? ({max(int(far.sum()), 1)} such jets.) Give both in GeV"
    )
    raise UnitsError(msg)


def check_alike(jets: Jets) -> None:
    """Refuse jets some of which are in MeV, and constituents whose masses are.

    Raises
    ------
    UnitsError
        If single jets are harder than any collider makes them, jets fall into two groups a factor of 1000 apart, or
        constituents are heavier than any particle.
    """
    if jets.domain != JETS.name:
        return
    pt = jets.pt
    odd = (pt > JETS.plausible[1]) | _upper_group(pt)
    if odd.any():
        jet = int(np.flatnonzero(odd)[0])
        msg = (
            f"jet {jet} has a pT of {pt[jet]:.4g} and the median is {np.median(pt[~odd]):.3g}: are {int(odd.sum())} of "
            f"the {len(pt)} jets in MeV? Divide them by 1000"
        )
        raise UnitsError(msg)
    mass = jets.flat("mass")
    heavy = mass[mass > 0]
    if heavy.size and np.median(heavy) > _HEAVY:
        msg = f"the median mass of a constituent is {np.median(heavy):.4g}, too heavy for a particle: is it in MeV?"
        raise UnitsError(msg)


def check_energies(energy: npt.NDArray[Any], momentum: npt.NDArray[Any]) -> None:
    """Refuse energies that are no numbers, or not in the unit of the momenta.

    Parameters
    ----------
    energy, momentum : array of float, shape (m,)
        Of constituents; those at rest do not count.

    Raises
    ------
    InvalidJetsError
        If an energy is not finite.
    UnitsError
        If the median of their ratio is below 1/30 or above 30.
    """
    odd = ~np.isfinite(energy)
    if odd.any():
        msg = f"constituent {int(np.flatnonzero(odd)[0])} of all has energy {energy[odd][0]}, expected a finite number"
        raise InvalidJetsError(msg)
    moving = np.isfinite(momentum) & (momentum > 0)
    if not moving.any():
        return
    ratio = float(np.median(energy[moving] / momentum[moving]))
    if not 1 / _FAR <= ratio <= _FAR:
        msg = f"energies are {ratio:.3g} times the momenta of the constituents: is one of them in MeV? Give both in GeV"
        raise UnitsError(msg)


def _upper_group(pt: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which jets are about 1000 times as hard as the rest, with none in between."""
    rising = np.sort(pt[pt > 0])
    if len(rising) < 2 or rising[-1] < _ABOVE_COLLIDERS:
        return np.zeros(len(pt), dtype=bool)
    steps = rising[1:] / rising[:-1]
    k = int(np.argmax(steps)) + 1
    apart = float(np.median(rising[k:]) / np.median(rising[:k]))
    if steps[k - 1] < _GAP or not _THOUSAND[0] <= apart <= _THOUSAND[1]:
        return np.zeros(len(pt), dtype=bool)
    return pt >= rising[k]
