"""Arrays padded to ``(n, P, F)``: the real constituents of them, flat with offsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError

__all__ = ["from_rapidity", "occupied", "padded", "unpadded"]


def occupied(values: npt.NDArray[Any], name: str, *, above: float = 0.0) -> npt.NDArray[np.bool_]:
    """Which slots of a padded column hold a constituent: those above 0, shape ``(n, P)``.

    Parameters
    ----------
    values : ndarray, shape (n, P)
        Momenta, energies or a mask.
    name : str
        What they are, for messages.
    above : float
        Values up to this one are empty slots, too.

    Raises
    ------
    InvalidJetsError
        If a value is not finite or negative: such a constituent would be taken for an empty slot.
    """
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        jet, slot = (int(k[0]) for k in np.nonzero(bad))
        msg = (
            f"constituent {slot} of jet {jet} has {name} = {values[jet, slot]}, expected a positive number, or 0 where "
            f"there is none ({int(bad.sum())} such values)"
        )
        raise InvalidJetsError(msg)
    return values > above


def unpadded(
    array: npt.NDArray[Any], real: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Offsets ``(n + 1,)`` and rows ``(m, F)`` of the real constituents.

    Parameters
    ----------
    array : ndarray, shape (n, P, F)
    real : ndarray of bool, shape (n, P)
    """
    offsets = np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int64)
    return offsets, array[real].astype(np.float64)


def padded(offsets: npt.NDArray[np.int64], columns: Sequence[npt.NDArray[Any]], slots: int) -> npt.NDArray[np.float32]:
    """Flat columns as an array ``(n, slots, F)``, with zeros after the constituents; those beyond `slots` are left out.

    Parameters
    ----------
    offsets : array of int, shape (n + 1,)
    columns : sequence of F arrays, shape (m,)
    slots : int
    """
    counts = np.diff(offsets)
    jet = np.repeat(np.arange(len(counts)), counts)
    slot = np.arange(offsets[-1]) - offsets[:-1][jet]
    kept = slot < slots
    array = np.zeros((len(counts), slots, len(columns)), dtype=np.float32)
    for k, column in enumerate(columns):
        array[jet[kept], slot[kept], k] = column[kept]
    return array


def from_rapidity(
    pt: npt.NDArray[np.float64], rapidity: npt.NDArray[np.float64], mass: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Pseudorapidities from rapidities y: ``sinh(eta) = sqrt(1 + m^2 / pT^2) sinh(y)``; any shape."""
    ratio = np.divide(mass, pt, out=np.zeros_like(pt), where=pt > 0)
    return np.arcsinh(np.sqrt(1 + ratio**2) * np.sinh(rapidity))
