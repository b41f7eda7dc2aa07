"""Anti-kT clustering with FastJet, many events at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

__all__ = ["Clusters", "anti_kt", "four_momenta", "quiet_fastjet"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """Jets of several events, in the order of the events; FastJet decides the order within one.

    Parameters
    ----------
    event : ndarray of int, shape (n,)
        Event of each jet.
    px, py, pz : ndarray of float, shape (n,)
        Jet momenta [GeV].
    constituents : awkward.Array of int, shape (n, var)
        Indices of the constituents among all particles given.
    """

    event: IntArray
    px: FloatArray
    py: FloatArray
    pz: FloatArray
    constituents: ak.Array

    def __len__(self) -> int:
        return len(self.event)

    @property
    def pt(self) -> FloatArray:
        """Transverse momenta [GeV], shape ``(n,)``."""
        return np.hypot(self.px, self.py)


@cache
def quiet_fastjet() -> Any:
    """Import FastJet and keep it from printing its banner."""
    import fastjet
    from fastjet import _swig

    _swig.ClusterSequence.set_fastjet_banner_stream(None)
    return fastjet


def four_momenta(pt: FloatArray, eta: FloatArray, phi: FloatArray, energy: FloatArray, counts: IntArray) -> ak.Array:
    """Four-momenta as FastJet takes them, grouped by the numbers of particles `counts`."""
    momenta = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "E": energy}
    return ak.unflatten(ak.zip(momenta), counts)


def anti_kt(momenta: ak.Array, *, radius: float, pt_min: float) -> Clusters:
    """Cluster the particles of each event.

    Parameters
    ----------
    momenta : awkward.Array, shape (events, var)
        Particles, from `four_momenta`. Events without particles have no jets.
    radius : float
        Jet radius R.
    pt_min : float
        Least transverse momentum of a jet [GeV].

    References
    ----------
    M. Cacciari, G. Salam, G. Soyez, arXiv:0802.1189 and arXiv:1111.6097.
    """
    fastjet = quiet_fastjet()
    clustering = fastjet.ClusterSequence(momenta, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
    jets = clustering.inclusive_jets(min_pt=pt_min)
    counts = ak.to_numpy(ak.num(momenta, axis=1))
    constituents = clustering.constituent_index(min_pt=pt_min) + (np.cumsum(counts) - counts)
    px, py, pz = (ak.to_numpy(ak.flatten(jets[name])) for name in ("px", "py", "pz"))
    event = np.repeat(np.arange(len(momenta)), ak.to_numpy(ak.num(jets, axis=1)))
    return Clusters(event, px, py, pz, ak.flatten(constituents, axis=1))
