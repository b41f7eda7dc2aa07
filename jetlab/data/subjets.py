"""Subjets: which constituents of a jet belong together."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetlab.data.clustering import quiet_fastjet
from jetlab.errors import JetLabError
from jetlab.jets import Jets

__all__ = ["exclusive_subjets"]

_BATCH = 4096
_WHOLE_JET = 1.5
"""Radius of the clustering; exclusive subjets depend on it only through beam distances, which decide nothing here."""

IntArray = npt.NDArray[np.int64]


def exclusive_subjets(jets: Jets, n: int) -> IntArray:
    """Number of the subjet of each constituent: clustering with kT ends when n subjets are left.

    Parameters
    ----------
    jets : Jets
    n : int
        Subjets of a jet; one with fewer constituents has each of them as a subjet.

    Returns
    -------
    ndarray of int64, shape (m,)
        0 for the hardest subjet of its jet, and so on by falling pT.

    Raises
    ------
    JetLabError
        If `n` is not positive.

    References
    ----------
    S. Catani, Y. Dokshitzer, M. Seymour, B. Webber, Nucl. Phys. B 406 (1993) 187; S. Ellis, D. Soper,
    arXiv:hep-ph/9305266; M. Cacciari, G. Salam, G. Soyez, arXiv:1111.6097.
    """
    if n < 1:
        msg = f"{n} subjets were asked for, expected 1 or more"
        raise JetLabError(msg)
    first, counts = jets.offsets[:-1], jets.multiplicity
    found = np.arange(jets.offsets[-1]) - np.repeat(first, counts)  # each constituent for itself
    large = np.flatnonzero(counts > n)
    for start in range(0, len(large), _BATCH):
        rows = large[start : start + _BATCH]
        part = jets[rows]
        places = np.repeat(first[rows] - part.offsets[:-1], counts[rows]) + np.arange(part.offsets[-1])
        found[places] = _by_momentum(_clustered(part, n), part)
    return found


def _clustered(jets: Jets, n: int) -> IntArray:
    """Number of the subjet of each constituent, in the order of FastJet, shape ``(m,)``."""
    fastjet = quiet_fastjet()
    energy, px, py, pz = jets.flat_p4.astype(np.float64).T
    momenta = ak.unflatten(ak.zip({"px": px, "py": py, "pz": pz, "E": energy}), jets.multiplicity)
    clustering = fastjet.ClusterSequence(momenta, fastjet.JetDefinition(fastjet.kt_algorithm, _WHOLE_JET))
    index: Any = clustering.exclusive_jets_constituent_index(njets=n)  # (jets, subjets, constituents)
    sizes = ak.to_numpy(ak.flatten(ak.num(index, axis=2)))
    places = ak.to_numpy(ak.flatten(index, axis=None)) + np.repeat(jets.offsets[:-1], jets.multiplicity)
    numbers = np.tile(np.arange(n), len(jets))
    found = np.empty(len(places), np.int64)
    found[places] = np.repeat(numbers, sizes)
    return found


def _by_momentum(subjet: IntArray, jets: Jets) -> IntArray:
    """Subjets ``(m,)`` numbered by falling pT in each jet."""
    whole = np.repeat(np.arange(len(jets)), jets.multiplicity)
    count = int(subjet.max()) + 1
    px, py = (
        np.bincount(whole * count + subjet, weights=jets.flat_p4[:, i], minlength=count * len(jets)) for i in (1, 2)
    )
    order = np.argsort(-np.hypot(px, py).reshape(len(jets), count), axis=1, kind="stable")
    return np.argsort(order, axis=1)[whole, subjet]
