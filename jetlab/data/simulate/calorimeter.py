"""Two calorimeters made of towers: what particles deposit, and what the towers measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from jetlab.data.simulate.candidates import NEUTRAL_HADRON, PHOTON
from jetlab.data.simulate.tracking import log_normal

__all__ = ["ECAL", "HCAL", "Calorimeter", "Towers", "coarser"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Towers:
    """Towers of a batch of events that were hit, flat.

    Parameters
    ----------
    event : ndarray of int, shape (n,)
        Event number.
    energy, sigma : ndarray of float, shape (n,)
        Measured energy after thresholds and its resolution, in GeV.
    eta, phi : ndarray of float, shape (n,)
        A point inside the tower, drawn uniformly.
    of_particle : ndarray of int, shape (particles,)
        Tower of each particle, -1 where it deposits nothing.
    """

    event: IntArray
    energy: FloatArray
    sigma: FloatArray
    eta: FloatArray
    phi: FloatArray
    of_particle: IntArray

    def sum(self, tower: IntArray, values: FloatArray) -> FloatArray:
        """Sum values of shape ``(k,)`` by the tower, shape ``(k,)``, that each belongs to; shape ``(n,)``."""
        return np.bincount(tower, weights=values, minlength=len(self.energy)).astype(np.float64)


@dataclass(frozen=True)
class Calorimeter:
    """A calorimeter of towers in pseudorapidity and azimuth.

    Parameters
    ----------
    eta_edges : tuple of float
        Edges of the rings, k + 1 of them, the same on both sides of 0.
    n_phi : tuple of int
        Number of towers in each of the k rings.
    fractions : tuple of (int, float)
        Energy fraction that particles of these absolute PDG codes deposit.
    other_fraction : float
        Energy fraction of all other particles.
    resolution : callable
        Maps energy [GeV] and pseudorapidity of the ring, both of shape ``(n,)``, to the resolution in GeV.
    energy_min : float
        Smallest energy of a tower in GeV.
    significance_min : float
        Smallest energy of a tower in units of its resolution.
    neutral_type : int
        Code into `jetlab.vocabulary.PARTICLE_TYPES` of the neutral particles it finds.
    """

    eta_edges: tuple[float, ...]
    n_phi: tuple[int, ...]
    fractions: tuple[tuple[int, float], ...]
    other_fraction: float
    resolution: Callable[[FloatArray, FloatArray], FloatArray]
    energy_min: float
    significance_min: float
    neutral_type: int

    def fraction(self, pid: IntArray) -> FloatArray:
        """Energy fraction deposited by particles of these PDG codes, shape ``(n,)``."""
        fraction = np.full(len(pid), self.other_fraction)
        for code, value in self.fractions:
            fraction[np.abs(pid) == code] = value
        return fraction

    def measure(
        self, event: IntArray, eta: FloatArray, phi: FloatArray, deposit: FloatArray, rng: np.random.Generator
    ) -> Towers:
        """Collect deposits in towers and smear their energies.

        Parameters
        ----------
        event : ndarray of int, shape (n,)
            Event number of each particle.
        eta, phi : ndarray of float, shape (n,)
            Where each particle enters.
        deposit : ndarray of float, shape (n,)
            Energy it leaves here, in GeV.
        rng : numpy.random.Generator
            Source of random numbers.
        """
        edges, n_phi = np.array(self.eta_edges), np.array(self.n_phi)
        ring = np.searchsorted(edges, eta, side="left") - 1
        hit = np.flatnonzero((deposit > 0) & (ring >= 0) & (ring < len(n_phi)))
        ring = ring[hit]
        sector = np.floor((phi[hit] + np.pi) / (2 * np.pi) * n_phi[ring]).astype(np.int64)
        sector = np.clip(sector, 0, n_phi[ring] - 1)

        sectors = n_phi.max()
        key, tower = np.unique((event[hit] * len(n_phi) + ring) * sectors + sector, return_inverse=True)
        ring, sector = key // sectors % len(n_phi), key % sectors
        of_particle = np.full(len(event), -1)
        of_particle[hit] = tower
        total = np.bincount(tower, weights=deposit[hit], minlength=len(key)).astype(np.float64)
        energy, sigma = self._smeared(total, ring, rng)
        return Towers(
            event=key // (sectors * len(n_phi)),
            energy=energy,
            sigma=sigma,
            eta=rng.uniform(edges[ring], edges[ring + 1]),
            phi=-np.pi + 2 * np.pi * (sector + rng.random(len(key))) / n_phi[ring],
            of_particle=of_particle,
        )

    def _smeared(self, deposit: FloatArray, ring: IntArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Measured energy, 0 below threshold, and its resolution."""
        edges = np.array(self.eta_edges)
        centre = 0.5 * (edges[ring] + edges[ring + 1])
        energy = log_normal(deposit, self.resolution(deposit, centre), rng)
        sigma = self.resolution(energy, centre)
        seen = (energy >= self.energy_min) & (energy >= self.significance_min * sigma)
        return np.where(seen, energy, 0.0), sigma


def _ecal_resolution(energy: FloatArray, eta: FloatArray) -> FloatArray:
    """Resolution of the electromagnetic calorimeter in GeV, worse towards the endcaps."""
    eta = np.abs(eta)
    shape = np.where(eta <= 1.5, 1 + 0.64 * eta**2, 2.16 + 5.6 * (eta - 2) ** 2)
    central = shape * np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2)
    forward = np.sqrt((0.107 * energy) ** 2 + 2.08**2 * energy)
    return np.where(eta <= 2.5, central, forward)


def _hcal_resolution(energy: FloatArray, eta: FloatArray) -> FloatArray:
    """Resolution of the hadronic calorimeter in GeV."""
    central = np.sqrt((0.05 * energy) ** 2 + 1.5**2 * energy)
    forward = np.sqrt((0.13 * energy) ** 2 + 2.7**2 * energy)
    return np.where(np.abs(eta) <= 3.0, central, forward)


def _mirrored(positive: tuple[float, ...]) -> tuple[float, ...]:
    """Edges on both sides of 0 from those above it."""
    return (*(-edge for edge in reversed(positive)), 0.0, *positive)


def _both_sides(positive: tuple[int, ...]) -> tuple[int, ...]:
    """Towers in each ring, from the rings above 0."""
    return (*reversed(positive), *positive)


_FORWARD = (3.125, 3.3, 3.475, 3.65, 3.825, 4.0, 4.175, 4.35, 4.525, 4.7, 5.0)
_ENDCAP = (1.74, 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 2.868, 2.95)

_ECAL_CELLS = tuple(round(0.0174 * i, 4) for i in range(1, 171))  # to 2.958
_HCAL_BARREL = tuple(round(0.087 * i, 3) for i in range(1, 20))  # to 1.653
_UNSEEN = ((12, 0.0), (13, 0.0), (14, 0.0), (16, 0.0))

ECAL = Calorimeter(
    eta_edges=_mirrored(_ECAL_CELLS + _FORWARD),
    n_phi=_both_sides((360,) * len(_ECAL_CELLS) + (36,) * len(_FORWARD)),
    fractions=((11, 1.0), (22, 1.0), (111, 1.0), (310, 0.3), (3122, 0.3), *_UNSEEN),
    other_fraction=0.0,
    resolution=_ecal_resolution,
    energy_min=0.5,
    significance_min=2.0,
    neutral_type=PHOTON,
)
"""Electromagnetic calorimeter: cells of 0.0174 by 1 degree, coarser beyond |eta| = 2.958."""

HCAL = Calorimeter(
    eta_edges=_mirrored(_HCAL_BARREL + _ENDCAP + _FORWARD),
    n_phi=_both_sides((72,) * len(_HCAL_BARREL) + (36,) * (len(_ENDCAP) + 9) + (18,) * 2),
    fractions=((11, 0.0), (22, 0.0), (111, 0.0), (310, 0.7), (3122, 0.7), *_UNSEEN),
    other_fraction=1.0,
    resolution=_hcal_resolution,
    energy_min=1.0,
    significance_min=1.0,
    neutral_type=NEUTRAL_HADRON,
)
"""Hadronic calorimeter: towers of 0.087 by 5 degrees, 10 degrees beyond |eta| = 1.653."""


def coarser(calorimeter: Calorimeter, *, merged: int, resolution: float) -> Calorimeter:
    """A calorimeter with larger towers and worse resolution.

    Parameters
    ----------
    calorimeter : Calorimeter
        What to change.
    merged : int
        So many neighbouring towers become one in pseudorapidity, and so many in azimuth. The last ring on each side may
        be made of fewer.
    resolution : float
        Factor on the energy resolution of a tower.
    """
    half = len(calorimeter.n_phi) // 2
    edges, n_phi = calorimeter.eta_edges[half + 1 :], calorimeter.n_phi[half:]
    last = [min(start + merged, half) - 1 for start in range(0, half, merged)]
    return replace(
        calorimeter,
        eta_edges=_mirrored(tuple(edges[ring] for ring in last)),
        n_phi=_both_sides(tuple(n_phi[ring] // merged for ring in last)),
        resolution=partial(_times, resolution, calorimeter.resolution),
    )


def _times(
    factor: float, resolution: Callable[[FloatArray, FloatArray], FloatArray], energy: FloatArray, eta: FloatArray
) -> FloatArray:
    """A resolution times a factor."""
    return factor * resolution(energy, eta)
