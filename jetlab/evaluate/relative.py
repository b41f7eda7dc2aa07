"""Jets as JetNet has them: the hardest particles relative to the jet (etarel, phirel, ptrel), padded with zeros."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets
from jetlab.observables.energyflow import polynomials

__all__ = ["FEATURES", "relative_energyflow", "relative_mass", "relative_particles"]

FloatArray = npt.NDArray[np.float64]

FEATURES = ("etarel", "phirel", "ptrel")
"""Columns of the particles."""

_CELLS = 200_000
"""Entries of the matrices of distances that are computed together, so that they stay in the processor's cache."""


def relative_particles(jets: Jets | npt.ArrayLike, *, particles: int = 30) -> FloatArray:
    """The hardest particles of each jet in the coordinates of JetNet.

    Parameters
    ----------
    jets : Jets, or array_like of shape (n, N, 3) or (n, N, 4)
        Jets, whose particles are taken relative to the sum of all of them, also of those that are left out; or arrays
        that have etarel, phirel, ptrel and possibly the mask already, such as ``particle_features`` of JetNet's files.
        JetNet took particles relative to the jet before its own cut to 30 or 150 particles.
    particles : int
        How many are kept: 30 or 150 in JetNet.

    Returns
    -------
    ndarray, shape (n, particles, 3)
        Particles by falling pT; zero where there is none. A particle without pT counts as none.

    Raises
    ------
    InvalidJetsError
        If an array has another shape, is not finite, or has negative pT.
    """
    x = _of_jets(jets, particles) if isinstance(jets, Jets) else _of_array(np.asarray(jets))
    order = np.argsort(-x[..., 2], axis=1, kind="stable")[:, :particles]
    x = np.take_along_axis(x, order[..., None], axis=1)
    return np.pad(x, ((0, 0), (0, particles - x.shape[1]), (0, 0)))


def relative_mass(x: FloatArray) -> FloatArray:
    """Masses of jets of massless particles over the pT of the jet, shapes ``(n, N, 3)`` to ``(n,)``."""
    eta, phi, pt = np.moveaxis(x, 2, 0)
    energy, pz = (pt * np.cosh(eta)).sum(axis=1), (pt * np.sinh(eta)).sum(axis=1)
    px, py = (pt * np.cos(phi)).sum(axis=1), (pt * np.sin(phi)).sum(axis=1)
    return np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))


def relative_energyflow(x: FloatArray) -> FloatArray:
    """The 36 energy flow polynomials of `jetlab.observables.energyflow`, shapes ``(n, N, 3)`` to ``(n, 36)``."""
    step = max(1, _CELLS // max(1, x.shape[1] ** 2))
    parts = [x[i : i + step] for i in range(0, max(len(x), 1), step)]
    return np.concatenate([polynomials(part[..., 2], part[..., 0], part[..., 1]) for part in parts])


def _of_jets(jets: Jets, particles: int) -> FloatArray:
    counts = np.minimum(jets.multiplicity, particles)
    rank = np.arange(jets.offsets[-1]) - np.repeat(jets.offsets[:-1], jets.multiplicity)
    pt = np.repeat(np.maximum(jets.pt, 1e-12), jets.multiplicity)
    columns = np.stack([jets.flat("deta"), jets.flat("dphi"), jets.flat("pt") / pt], axis=1)
    x = np.zeros((len(jets), particles, 3))
    x[np.arange(particles) < counts[:, None]] = columns[rank < particles]  # constituents are sorted by pT
    return x


def _of_array(x: npt.NDArray[np.number]) -> FloatArray:
    if x.ndim != 3 or x.shape[2] not in (3, 4):
        msg = f"found jets of shape {x.shape}, expected (n, N, 3) or (n, N, 4): {', '.join(FEATURES)}, mask"
        raise InvalidJetsError(msg)
    real = x[..., 3] > 0.5 if x.shape[2] == 4 else np.ones(x.shape[:2], bool)
    x = np.where(real[..., None], x[..., :3], 0).astype(np.float64)
    if not np.isfinite(x).all():
        msg = f"found NaN or infinite numbers in {int((~np.isfinite(x)).any(axis=(1, 2)).sum())} jets"
        raise InvalidJetsError(msg)
    if (x[..., 2] < 0).any():
        count, least = int((x[..., 2] < 0).sum()), x[..., 2].min()
        msg = f"found {count} particles with negative ptrel, down to {least:.3g}; set it to 0, as JetNet does"
        raise InvalidJetsError(msg)
    return np.where(x[..., 2:] > 0, x, 0)
