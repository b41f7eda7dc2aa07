"""Clustering with FastJet, many events at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetlab.errors import JetLabError
from jetlab.jets import PARTICLE_FIELDS, Events, Jets

__all__ = ["ALGORITHMS", "Clusters", "JetFinder", "cluster", "events_of", "four_momenta", "quiet_fastjet"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_LARGEST_RADIUS = 3.0

ALGORITHMS = {"anti-kT": "antikt_algorithm", "kT": "kt_algorithm"}
"""Clustering algorithms, and what FastJet calls them."""


@dataclass(frozen=True)
class Clusters:
    """Jets of several events, in the order of the events; FastJet decides the order within one.

    Parameters
    ----------
    event : ndarray of int, shape (n,)
        Event of each jet.
    px, py, pz, energy : ndarray of float, shape (n,)
        Jet momenta and energies [GeV].
    constituents : awkward.Array of int, shape (n, var)
        Indices of the constituents among all particles given.
    """

    event: IntArray
    px: FloatArray
    py: FloatArray
    pz: FloatArray
    energy: FloatArray
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


def cluster(momenta: ak.Array, *, algorithm: str = "anti-kT", radius: float, pt_min: float) -> Clusters:
    """Cluster the particles of each event.

    Parameters
    ----------
    momenta : awkward.Array, shape (events, var)
        Particles, from `four_momenta`. Events without particles have no jets.
    algorithm : {"anti-kT", "kT"}
        How particles are clustered.
    radius : float
        Jet radius R.
    pt_min : float
        Least transverse momentum of a jet [GeV].

    References
    ----------
    M. Cacciari, G. Salam, G. Soyez, arXiv:0802.1189 and arXiv:1111.6097; S. Ellis, D. Soper, arXiv:hep-ph/9305266.
    """
    fastjet = quiet_fastjet()
    definition = fastjet.JetDefinition(getattr(fastjet, ALGORITHMS[algorithm]), radius)
    clustering = fastjet.ClusterSequence(momenta, definition)
    jets = clustering.inclusive_jets(min_pt=pt_min)
    counts = ak.to_numpy(ak.num(momenta, axis=1))
    constituents = clustering.constituent_index(min_pt=pt_min) + (np.cumsum(counts) - counts)
    px, py, pz, energy = (ak.to_numpy(ak.flatten(jets[name])) for name in ("px", "py", "pz", "E"))
    event = np.repeat(np.arange(len(momenta)), ak.to_numpy(ak.num(jets, axis=1)))
    return Clusters(event, px, py, pz, energy, ak.flatten(constituents, axis=1))


@dataclass(frozen=True)
class JetFinder:
    """Which jets of an event are wanted.

    Parameters
    ----------
    radius : float
        Radius R of anti-kT jets.
    n_jets : int or None
        Keep so many jets of each event, the hardest; None keeps all.
    pt_min : float
        Least transverse momentum of a jet [GeV].

    Raises
    ------
    JetLabError
        If a number makes no sense.
    """

    radius: float = 1.0
    n_jets: int | None = 2
    pt_min: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.radius < _LARGEST_RADIUS:
            msg = f"radius is {self.radius}, expected more than 0 and less than {_LARGEST_RADIUS:g}"
            raise JetLabError(msg)
        if self.n_jets is not None and self.n_jets < 1:
            msg = f"n_jets is {self.n_jets}, expected 1 or more, or None for all jets"
            raise JetLabError(msg)
        if not 0 <= self.pt_min < np.inf:
            msg = f"pt_min is {self.pt_min}, expected 0 GeV or more"
            raise JetLabError(msg)


def events_of(offsets: IntArray, columns: Mapping[str, npt.NDArray[Any]], finder: JetFinder) -> Events:
    """Cluster the particles of events into jets, which keep their particles as constituents.

    Parameters
    ----------
    offsets : ndarray of int, shape (events + 1,)
        Particles of event ``i`` are ``offsets[i]:offsets[i + 1]``.
    columns : mapping of str to ndarray, shape (m,)
        ``pt``, ``eta``, ``phi``, ``mass`` of the particles in GeV and radians, and any optional fields of `Jets`.
    finder : JetFinder
        Which jets to find and keep.

    Raises
    ------
    InvalidJetsError
        If the numbers are not those of particles in GeV.
    """
    pt, eta, phi, mass = (np.asarray(columns[name], dtype=np.float64) for name in PARTICLE_FIELDS)
    n_events = len(offsets) - 1
    momenta = four_momenta(pt, eta, phi, np.hypot(pt * np.cosh(eta), mass), np.diff(offsets))
    found = cluster(momenta, radius=finder.radius, pt_min=finder.pt_min)
    order = np.lexsort((-found.pt, found.event))
    per_event = np.bincount(found.event, minlength=n_events)
    rank = np.arange(len(found)) - np.repeat(np.cumsum(per_event) - per_event, per_event)
    kept = order if finder.n_jets is None else order[rank < finder.n_jets]
    constituents = found.constituents[kept]
    rows = ak.to_numpy(ak.flatten(constituents, axis=1))
    jets = Jets.from_flat(
        np.concatenate([[0], np.cumsum(ak.to_numpy(ak.num(constituents, axis=1)))]).astype(np.int64),
        {name: np.asarray(values)[rows] for name, values in columns.items()},
    )
    n_jets = np.bincount(found.event[kept], minlength=n_events)
    return Events(jets, np.concatenate([[0], np.cumsum(n_jets)]).astype(np.int64))
