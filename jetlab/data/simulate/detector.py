"""Energy flow of a CMS-like detector, for a whole batch of events at once.

Tracks and two calorimeters, parametrised as in Delphes (arXiv:1307.6346). In each calorimeter tower the energy that
the tracks do not explain becomes a photon (electromagnetic) or a neutral hadron (hadronic); where they explain it, the
tracks take the combined measurement.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from jetlab.data.simulate.calorimeter import ECAL, HCAL, Calorimeter, Towers, coarser
from jetlab.data.simulate.candidates import Candidates, StableParticles, join, taken
from jetlab.data.simulate.propagation import Flight, Solenoid, propagate
from jetlab.data.simulate.tracking import Tracker, Tracks, tracks_of

__all__ = ["DETECTORS", "Detector", "energy_flow"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Detector:
    """A detector for `energy_flow`.

    Parameters
    ----------
    solenoid : Solenoid
        Inner volume and magnetic field.
    tracker : Tracker
        How well tracks are found and measured.
    calorimeters : tuple of Calorimeter
        In the order in which they are passed.
    trust_tracks : bool
        Whether track and calorimeter are weighted by their resolutions. False leaves the energy of a tower without
        neutral excess to the calorimeter alone, as in the JetClass simulation; soft charged hadrons are then lost.
    """

    solenoid: Solenoid = field(default_factory=Solenoid)
    tracker: Tracker = field(default_factory=Tracker)
    calorimeters: tuple[Calorimeter, ...] = (ECAL, HCAL)
    trust_tracks: bool = True


_COARSE = Detector(
    tracker=Tracker(efficiency=0.92, momentum=1.5, impact=1.5),
    calorimeters=(coarser(ECAL, merged=2, resolution=1.5), coarser(HCAL, merged=2, resolution=1.3)),
    trust_tracks=False,
)

DETECTORS: dict[str, Detector] = {"jetclass": Detector(trust_tracks=False), "cms": Detector(), "coarse": _COARSE}
"""Detectors by name.

``jetclass`` is the detector of JetClass, ``cms`` the plain CMS parametrisation. ``coarse`` is an invented one for
studies of adaptation from one detector to another. It differs from ``jetclass`` in the following numbers, which are
choices and no measurement: 92% as many tracks; resolutions of their pT and impact parameters 1.5 times as large; towers
of twice the size in pseudorapidity and in azimuth; energy resolutions of the towers 1.5 (electromagnetic) and 1.3 times
(hadronic) as large. Thresholds, field and energy flow are the same.
"""


def energy_flow(particles: StableParticles, detector: Detector, rng: np.random.Generator) -> Candidates:
    """Turn generated particles into reconstructed ones.

    Parameters
    ----------
    particles : StableParticles
        Visible stable particles of a batch of events.
    detector : Detector
        The detector.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    Candidates
        Tracks, photons and neutral hadrons, ordered by event.
    """
    particles = taken(particles, _inside(particles, detector.solenoid))
    flight = propagate(particles, detector.solenoid)
    tracks = tracks_of(particles, flight, detector.tracker, rng)
    neutrals = []
    for calorimeter in detector.calorimeters:
        tracks, found = _merge(particles, flight, tracks, calorimeter, rng, trust_tracks=detector.trust_tracks)
        neutrals.append(found)
    return join(taken(tracks.candidates, tracks.candidates.pt > 0), *neutrals)


def _inside(particles: StableParticles, solenoid: Solenoid) -> npt.NDArray[np.bool_]:
    """Whether particles are produced inside the volume."""
    return (np.hypot(particles.x, particles.y) < solenoid.radius) & (np.abs(particles.z) < solenoid.half_length)


def _merge(
    particles: StableParticles,
    flight: Flight,
    tracks: Tracks,
    calorimeter: Calorimeter,
    rng: np.random.Generator,
    *,
    trust_tracks: bool,
) -> tuple[Tracks, Candidates]:
    """Compare one calorimeter with the tracks that reach it: tracks with new momenta, and neutral candidates."""
    fraction = calorimeter.fraction(particles.pid)
    towers = calorimeter.measure(particles.event, flight.eta, flight.phi, particles.energy * fraction, rng)
    # the tower of each track, -1 for tracks that leave nothing here
    tower = np.where(fraction[tracks.particle] > 0, towers.of_particle[tracks.particle], -1)
    hits = tower >= 0
    energy = tracks.candidates.energy[hits]
    error = tracks.resolution[hits] * energy if trust_tracks else np.zeros(len(energy))
    track_energy = towers.sum(tower[hits], energy)
    track_variance = towers.sum(tower[hits], error**2)

    excess = np.maximum(towers.energy - track_energy, 0.0)
    neutral = (excess > calorimeter.energy_min) & (
        excess > calorimeter.significance_min * np.sqrt(track_variance + towers.sigma**2)
    )
    scale = np.where(neutral, 1.0, _rescaling(towers, track_energy, track_variance))
    factor = np.ones(len(tower))
    factor[hits] = scale[tower[hits]]
    rescaled = replace(tracks.candidates, pt=tracks.candidates.pt * factor)
    return replace(tracks, candidates=rescaled), _neutrals(towers, excess, neutral, calorimeter.neutral_type)


def _rescaling(towers: Towers, track_energy: FloatArray, track_variance: FloatArray) -> FloatArray:
    """Combined over track energy of each tower; 1 for towers without tracks.

    The combination is the mean weighted by inverse variances. Tracks without an error have no weight at all: this is
    how JetClass came to rely on the calorimeter.
    """
    calorimeter_variance = towers.sigma**2
    combined = np.where(
        track_variance > 0,
        (track_energy * calorimeter_variance + towers.energy * track_variance)
        / np.maximum(calorimeter_variance + track_variance, 1e-300),
        towers.energy,
    )
    return np.divide(combined, track_energy, out=np.ones_like(combined), where=track_energy > 0)


def _neutrals(towers: Towers, excess: FloatArray, found: npt.NDArray[np.bool_], ptype: int) -> Candidates:
    """Massless neutral candidates of this type with the excess energies of these towers."""
    n = int(found.sum())
    zeros, none = np.zeros(n), np.zeros(n, dtype=np.int64)
    return Candidates(
        event=towers.event[found],
        charge=none,
        ptype=np.full(n, ptype),
        pt=excess[found] / np.cosh(towers.eta[found]),
        eta=towers.eta[found],
        phi=towers.phi[found],
        mass=zeros,
        d0=zeros,
        d0err=zeros,
        dz=zeros,
        dzerr=zeros,
    )
