"""The layout of JetNet (arXiv:2106.11535): padded arrays relative to the jet, 30 or 150 constituents."""

from __future__ import annotations

import numpy as np

from jetlab.data.formats.momenta import momenta
from jetlab.data.formats.table import Table
from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets

__all__ = ["count", "matches", "read"]

_PARTICLES, _JETS = "particle_features", "jet_features"


def matches(table: Table) -> bool:
    """Whether these are the arrays of JetNet."""
    particles, jets = table.shapes.get(_PARTICLES, ()), table.shapes.get(_JETS, ())
    return len(particles) == 3 and particles[2] == 4 and len(jets) == 2 and jets[1] == 4


def count(table: Table) -> int:
    """Number of jets."""
    return int(table.shapes[_PARTICLES][0] or 0)


def read(table: Table) -> Jets:
    """Read jets in the JetNet layout; they carry no label, since a file holds a single class that only its name tells.

    Raises
    ------
    InvalidJetsError
        If the two arrays differ in the number of jets.
    """
    held = table.fetch([_PARTICLES, _JETS])
    particles, jets = np.asarray(held[_PARTICLES]), np.asarray(held[_JETS])
    if len(particles) != len(jets):
        msg = f"{_PARTICLES} holds {len(particles)} jets, but {_JETS} {len(jets)}"
        raise InvalidJetsError(msg)
    mask = particles[..., 3] > 0.5
    offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int64)
    flat = {name: particles[..., k][mask] for k, name in enumerate(("deta", "dphi", "ptrel"))}
    columns, notes = momenta(flat, {"pt": jets[:, 0], "eta": jets[:, 1]}, offsets)
    return Jets.from_flat(offsets, columns, info={"jet_mass": jets[:, 2]}, meta={"notes": notes})
