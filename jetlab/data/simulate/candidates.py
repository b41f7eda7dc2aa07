"""Particles on their way to becoming jet constituents: what leaves the generator and what leaves the detector."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from jetlab.data.simulate.pythia import Events
from jetlab.vocabulary import PARTICLE_TYPES

__all__ = [
    "CHARGED_HADRON",
    "ELECTRON",
    "MUON",
    "NEUTRAL_HADRON",
    "PHOTON",
    "Candidates",
    "StableParticles",
    "join",
    "particle_types",
    "stable_particles",
    "taken",
    "visible_candidates",
]

CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(len(PARTICLE_TYPES))

_NEUTRINOS = (12, 14, 16)
_POSITIVE = (-11, -13, 211, 321, 2212, 3222, -3112, -3312, -3334)  # positive particles that can be stable

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StableParticles:
    """Visible stable particles of a batch of events, flat.

    Parameters
    ----------
    event, pid, charge : ndarray of int, shape (n,)
        Event number, PDG code and electric charge.
    pt, eta, phi, mass : ndarray of float, shape (n,)
        Momentum at production; GeV and radians.
    x, y, z : ndarray of float, shape (n,)
        Production vertex in mm.
    """

    event: IntArray
    pid: IntArray
    charge: IntArray
    pt: FloatArray
    eta: FloatArray
    phi: FloatArray
    mass: FloatArray
    x: FloatArray
    y: FloatArray
    z: FloatArray

    def __len__(self) -> int:
        return len(self.event)

    @property
    def energy(self) -> FloatArray:
        """Energy in GeV, shape ``(n,)``."""
        return np.sqrt((self.pt * np.cosh(self.eta)) ** 2 + self.mass**2)


@dataclass(frozen=True)
class Candidates:
    """Reconstructed particles of a batch of events, flat: the input of the jet clustering.

    Parameters
    ----------
    event, charge, ptype : ndarray of int, shape (n,)
        Event number, electric charge and code into `jetlab.vocabulary.PARTICLE_TYPES`.
    pt, eta, phi, mass : ndarray of float, shape (n,)
        Momentum; GeV and radians.
    d0, d0err, dz, dzerr : ndarray of float, shape (n,)
        Impact parameters and their errors in mm; 0 for neutral particles.
    """

    event: IntArray
    charge: IntArray
    ptype: IntArray
    pt: FloatArray
    eta: FloatArray
    phi: FloatArray
    mass: FloatArray
    d0: FloatArray
    d0err: FloatArray
    dz: FloatArray
    dzerr: FloatArray

    def __len__(self) -> int:
        return len(self.event)

    @property
    def energy(self) -> FloatArray:
        """Energy in GeV, shape ``(n,)``."""
        return np.sqrt((self.pt * np.cosh(self.eta)) ** 2 + self.mass**2)


Flat = TypeVar("Flat", StableParticles, Candidates)


def taken(particles: Flat, where: npt.NDArray[Any]) -> Flat:
    """Select particles with a boolean mask or an integer array of shape ``(n,)``."""
    return type(particles)(**{f.name: getattr(particles, f.name)[where] for f in fields(particles)})


def join(*parts: Candidates) -> Candidates:
    """Put candidates together, ordered by event."""
    columns = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Candidates)}
    return taken(Candidates(**columns), np.argsort(columns["event"], kind="stable"))


def particle_types(pid: IntArray, charge: IntArray) -> IntArray:
    """Particle type codes of PDG codes, shape ``(n,)``."""
    kind = np.where(charge != 0, CHARGED_HADRON, NEUTRAL_HADRON)
    for code, ptype in ((22, PHOTON), (11, ELECTRON), (13, MUON)):
        kind[np.abs(pid) == code] = ptype
    return kind


def stable_particles(events: Events, *, abs_eta_max: float, without: IntArray | None = None) -> StableParticles:
    """Visible stable particles with momenta up to this pseudorapidity, without those of the rows `without`."""
    visible = (events.status > 0) & ~np.isin(np.abs(events.pid), _NEUTRINOS)
    if without is not None:
        visible[without] = False
    pt = np.hypot(events.px[visible], events.py[visible])
    rows = np.flatnonzero(visible)[np.abs(events.pz[visible]) < pt * np.sinh(abs_eta_max)]
    pid = events.pid[rows].astype(np.int64)
    px, py, pz = events.px[rows], events.py[rows], events.pz[rows]
    pt = np.hypot(px, py)
    return StableParticles(
        event=events.event[rows],
        pid=pid,
        charge=np.isin(pid, _POSITIVE).astype(np.int64) - np.isin(-pid, _POSITIVE),
        pt=pt,
        eta=np.arcsinh(pz / pt),
        phi=np.arctan2(py, px),
        mass=np.maximum(events.mass[rows], 0.0),
        x=events.x[rows],
        y=events.y[rows],
        z=events.z[rows],
    )


def visible_candidates(particles: StableParticles) -> Candidates:
    """The generated particles themselves as candidates: a perfect detector without a vertex measurement."""
    zeros = np.zeros(len(particles))
    return Candidates(
        event=particles.event,
        charge=particles.charge,
        ptype=particle_types(particles.pid, particles.charge),
        pt=particles.pt,
        eta=particles.eta,
        phi=particles.phi,
        mass=particles.mass,
        d0=zeros,
        d0err=zeros,
        dz=zeros,
        dzerr=zeros,
    )
