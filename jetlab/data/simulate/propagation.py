"""Flight of particles through a solenoid: where they meet the calorimeter and how close they come to the beam.

A charged particle of pT [GeV] and charge q turns on a circle of radius ``r = pT / (0.2998 q B)`` [m]. Its direction
after the transverse path ``s`` is ``phi(s) = phi0 - s / r``, its position ``(xc - r sin phi(s), yc + r cos phi(s))``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jetlab.data.simulate.candidates import StableParticles
from jetlab.jets import wrap_phi

__all__ = ["Flight", "Solenoid", "propagate"]

_MM_PER_GEV_TESLA = 1e3 / 0.299792458

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Solenoid:
    """A cylinder around the beam with a homogeneous magnetic field along it.

    Parameters
    ----------
    radius, half_length : float
        Inner surface of the calorimeters in mm.
    field : float
        Magnetic field in tesla.
    """

    radius: float = 1290.0
    half_length: float = 3000.0
    field: float = 3.8


@dataclass(frozen=True)
class Flight:
    """Where particles go; every array has shape ``(n,)``.

    Parameters
    ----------
    eta, phi : ndarray of float
        Direction from the origin to the point where the particle leaves the cylinder.
    phi_track : ndarray of float
        Direction of the transverse momentum at the point closest to the beam.
    d0, dz : ndarray of float
        Transverse and longitudinal impact parameters in mm; 0 for neutral particles. The sign of d0 is that of
        ``x py - y px`` at the closest point.
    """

    eta: FloatArray
    phi: FloatArray
    phi_track: FloatArray
    d0: FloatArray
    dz: FloatArray


def propagate(particles: StableParticles, solenoid: Solenoid) -> Flight:
    """Propagate particles, produced inside the cylinder, to its surface.

    Parameters
    ----------
    particles : StableParticles
        Particles whose vertices lie inside the cylinder.
    solenoid : Solenoid
        The cylinder and its field.
    """
    charged = (particles.charge != 0) & (solenoid.field != 0)
    x, y, z = particles.x.copy(), particles.y.copy(), particles.z.copy()
    phi_track = particles.phi.copy()
    d0, dz = np.zeros(len(particles)), np.zeros(len(particles))

    x[~charged], y[~charged], z[~charged] = _straight(_columns(particles, ~charged), solenoid)
    curved = _columns(particles, charged)
    radius = curved.pt / (particles.charge[charged] * solenoid.field) * _MM_PER_GEV_TESLA
    x[charged], y[charged], z[charged] = _helix(curved, radius, solenoid)
    phi_track[charged], d0[charged], dz[charged] = _closest_approach(curved, radius)
    return Flight(eta=np.arcsinh(z / np.hypot(x, y)), phi=np.arctan2(y, x), phi_track=phi_track, d0=d0, dz=dz)


@dataclass(frozen=True)
class _Rays:
    """Production vertices [mm], transverse direction and slope ``pz / pT`` of the particles."""

    x: FloatArray
    y: FloatArray
    z: FloatArray
    pt: FloatArray
    phi: FloatArray
    slope: FloatArray


def _columns(particles: StableParticles, where: npt.NDArray[np.bool_]) -> _Rays:
    x, y, z, pt, phi = (getattr(particles, name)[where] for name in ("x", "y", "z", "pt", "phi"))
    return _Rays(x, y, z, pt, phi, np.sinh(particles.eta[where]))


def _path_to_endcap(rays: _Rays, solenoid: Solenoid) -> FloatArray:
    """Transverse path [mm] until ``|z|`` reaches the endcap."""
    room = solenoid.half_length - np.sign(rays.slope) * rays.z
    return np.divide(room, np.abs(rays.slope), out=np.full_like(room, np.inf), where=rays.slope != 0)


def _straight(rays: _Rays, solenoid: Solenoid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """End point of neutral particles."""
    along = rays.x * np.cos(rays.phi) + rays.y * np.sin(rays.phi)
    across = rays.x * np.sin(rays.phi) - rays.y * np.cos(rays.phi)
    path = np.minimum(np.sqrt(solenoid.radius**2 - across**2) - along, _path_to_endcap(rays, solenoid))
    return rays.x + path * np.cos(rays.phi), rays.y + path * np.sin(rays.phi), rays.z + path * rays.slope


def _helix(rays: _Rays, radius: FloatArray, solenoid: Solenoid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """End point of charged particles; `radius` [mm] carries the sign of the charge."""
    xc, yc = rays.x + radius * np.sin(rays.phi), rays.y - radius * np.cos(rays.phi)
    path = np.minimum(_path_to_barrel(rays.phi, xc, yc, radius, solenoid.radius), _path_to_endcap(rays, solenoid))
    phi = rays.phi - path / radius
    return xc - radius * np.sin(phi), yc + radius * np.cos(phi), rays.z + path * rays.slope


def _path_to_barrel(phi: FloatArray, xc: FloatArray, yc: FloatArray, radius: FloatArray, barrel: float) -> FloatArray:
    """Transverse path [mm] to the barrel, infinite for loopers.

    The circle meets the barrel where ``sin(phi - phi_c) = (rc^2 + r^2 - R^2) / (2 r rc)``.
    """
    rc, phi_c = np.hypot(xc, yc), np.arctan2(yc, xc)
    with np.errstate(divide="ignore", invalid="ignore"):
        sine = (rc**2 + radius**2 - barrel**2) / (2 * radius * rc)
    reaches = np.abs(sine) <= 1
    angle = np.arcsin(np.where(reaches, sine, 0.0))
    turn = np.sign(radius) * np.stack([phi - phi_c - angle, phi - phi_c - np.pi + angle])
    path = np.abs(radius) * np.mod(turn, 2 * np.pi).min(axis=0)
    return np.where(reaches, path, np.inf)


def _closest_approach(rays: _Rays, radius: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Direction, d0 and dz [mm] at the point of the circle closest to the beam.

    There the particle moves at a right angle to the line from the beam to the centre of its circle.
    """
    xc, yc = rays.x + radius * np.sin(rays.phi), rays.y - radius * np.cos(rays.phi)
    phi = wrap_phi(np.arctan2(yc, xc) + np.sign(radius) * np.pi / 2)
    d0 = np.sign(radius) * (np.hypot(xc, yc) - np.abs(radius))
    path = radius * wrap_phi(rays.phi - phi)  # transverse, from the vertex; negative for one that lies behind
    return phi, d0, rays.z + path * rays.slope
