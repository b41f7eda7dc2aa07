"""Response of the tracker: efficiency, momentum resolution and impact parameters of charged particles.

Parametrised as in the CMS card of Delphes (arXiv:1307.6346) that JetClass used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jetlab.data.simulate.candidates import (
    CHARGED_HADRON,
    ELECTRON,
    MUON,
    Candidates,
    StableParticles,
    particle_types,
    taken,
)
from jetlab.data.simulate.propagation import Flight
from jetlab.data.simulate.resolution import impact_parameter_resolution

__all__ = ["Tracker", "Tracks", "log_normal", "momentum_resolution", "track_efficiency", "tracks_of"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BARREL, _TRACKER = 1.5, 2.5
_PT_THRESHOLD = 0.1

# (upper pT edges [GeV], efficiencies in the barrel, efficiencies in the endcaps)
_EFFICIENCY: dict[int, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    CHARGED_HADRON: ((1.0,), (0.70, 0.95), (0.60, 0.85)),
    ELECTRON: ((1.0, 100.0), (0.73, 0.95, 0.99), (0.50, 0.83, 0.90)),
    MUON: ((1.0,), (0.75, 0.99), (0.70, 0.98)),
}

# (constant terms, terms rising with pT [1/GeV]) for |eta| up to 0.5, 1.5 and 2.5
_RESOLUTION_ETA = (0.5, 1.5)
_RESOLUTION: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {
    CHARGED_HADRON: ((0.06, 0.10, 0.25), (1.3e-3, 1.7e-3, 3.1e-3)),
    ELECTRON: ((0.03, 0.05, 0.15), (1.3e-3, 1.7e-3, 3.1e-3)),
    MUON: ((0.01, 0.015, 0.025), (1.0e-4, 1.5e-4, 3.5e-4)),
}


@dataclass(frozen=True)
class Tracker:
    """A tracker, by what it does differently from that of the CMS card.

    Parameters
    ----------
    efficiency : float
        Factor on the probability of a track, at most 1.
    momentum : float
        Factor on the relative pT resolution.
    impact : float
        Factor on the resolutions of both impact parameters.
    """

    efficiency: float = 1.0
    momentum: float = 1.0
    impact: float = 1.0


@dataclass(frozen=True)
class Tracks:
    """Reconstructed tracks before the energy flow.

    Parameters
    ----------
    candidates : Candidates
        Tracks with smeared momenta and impact parameters, n of them.
    particle : ndarray of int, shape (n,)
        Index of the particle that made each track.
    resolution : ndarray of float, shape (n,)
        Relative pT resolution.
    """

    candidates: Candidates
    particle: IntArray
    resolution: FloatArray


def log_normal(mean: FloatArray, sigma: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw from log-normal distributions with these means and standard deviations; 0 where the mean is 0."""
    relative = np.divide(sigma, mean, out=np.zeros_like(mean), where=mean > 0)
    width = np.sqrt(np.log1p(relative**2))
    return mean * np.exp(width * rng.standard_normal(len(mean)) - 0.5 * width**2)


def track_efficiency(ptype: IntArray, pt: FloatArray, eta: FloatArray) -> FloatArray:
    """Probability of a track.

    Parameters
    ----------
    ptype : ndarray of int, shape (n,)
        Particle type codes of charged particles.
    pt : ndarray of float, shape (n,)
        Transverse momentum in GeV.
    eta : ndarray of float, shape (n,)
        Pseudorapidity of the point where the particle enters the calorimeter.
    """
    efficiency = np.zeros(len(pt))
    for code, (edges, barrel, endcap) in _EFFICIENCY.items():
        step = np.searchsorted(edges, pt, side="left")
        value = np.where(np.abs(eta) <= _BARREL, np.take(barrel, step), np.take(endcap, step))
        efficiency = np.where(ptype == code, value, efficiency)
    very_hard_muon = (ptype == MUON) & (pt > 1000)
    efficiency = np.where(very_hard_muon, efficiency * np.exp(0.5 - 5e-4 * pt), efficiency)
    return np.where((pt > _PT_THRESHOLD) & (np.abs(eta) <= _TRACKER), efficiency, 0.0)


def momentum_resolution(ptype: IntArray, pt: FloatArray, eta: FloatArray) -> FloatArray:
    """Relative pT resolution of tracks, shape ``(n,)``, at most 1; arguments as in `track_efficiency`."""
    region = np.searchsorted(_RESOLUTION_ETA, np.abs(eta), side="left")
    resolution = np.zeros(len(pt))
    for code, (constant, rising) in _RESOLUTION.items():
        value = np.hypot(np.take(constant, region), np.take(rising, region) * pt)
        resolution = np.where(ptype == code, value, resolution)
    return np.minimum(resolution, 1.0)


def tracks_of(particles: StableParticles, flight: Flight, tracker: Tracker, rng: np.random.Generator) -> Tracks:
    """Reconstruct the tracks of charged particles.

    Parameters
    ----------
    particles : StableParticles
        Particles with vertices inside the detector.
    flight : Flight
        Where they go.
    tracker : Tracker
        How well their tracks are found and measured.
    rng : numpy.random.Generator
        Source of random numbers.
    """
    ptype = particle_types(particles.pid, particles.charge)
    efficiency = np.where(particles.charge != 0, track_efficiency(ptype, particles.pt, flight.eta), 0.0)
    seen = np.flatnonzero(rng.random(len(particles)) < tracker.efficiency * efficiency)
    found = taken(particles, seen)
    resolution = np.minimum(tracker.momentum * momentum_resolution(ptype[seen], found.pt, flight.eta[seen]), 1.0)
    pt = log_normal(found.pt, resolution * found.pt, rng)
    d0err, dzerr = (tracker.impact * error for error in impact_parameter_resolution(pt, found.eta))
    tracks = Candidates(
        event=found.event,
        charge=found.charge,
        ptype=ptype[seen],
        pt=pt,
        eta=found.eta,
        phi=flight.phi_track[seen],
        mass=found.mass,
        d0=rng.normal(flight.d0[seen], d0err),
        d0err=d0err,
        dz=rng.normal(flight.dz[seen], dzerr),
        dzerr=dzerr,
    )
    return Tracks(tracks, seen, resolution)
