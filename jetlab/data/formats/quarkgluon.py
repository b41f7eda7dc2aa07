"""The quark and gluon jets of EnergyFlow (Zenodo 3164691 and 3066475, arXiv:1810.05165).

``X`` holds (pT, *rapidity*, phi, PDG code), padded with zeros and not always sorted; ``y`` is 1 for quarks.
"""

from __future__ import annotations

import numpy as np

from jetlab.data.formats import pdg
from jetlab.data.formats.padded import from_rapidity, occupied, unpadded
from jetlab.data.formats.table import Table
from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets, wrap_phi

__all__ = ["QUARK_GLUON", "count", "matches", "read"]

QUARK_GLUON = ("gluon", "quark")
"""Class names in label order."""


def matches(table: Table) -> bool:
    """Whether these are the arrays of the quark/gluon set."""
    x, y = table.shapes.get("X", ()), table.shapes.get("y", ())
    return len(x) == 3 and x[2] == 4 and len(y) == 1


def count(table: Table) -> int:
    """Number of jets."""
    return int(table.shapes["X"][0] or 0)


def read(table: Table) -> Jets:
    """Read jets; rapidities become pseudorapidities with the mass of each particle.

    Raises
    ------
    InvalidJetsError
        If the arrays differ in length or the labels are not 0 and 1.
    """
    held = table.fetch(["X", "y"])
    x, y = np.asarray(held["X"]), np.asarray(held["y"])
    if len(x) != len(y):
        msg = f"X holds {len(x)} jets, but y {len(y)}"
        raise InvalidJetsError(msg)
    if not np.isin(y, (0, 1)).all():
        msg = f"y holds {np.unique(y)[:5]}, expected 0 for gluons and 1 for quarks"
        raise InvalidJetsError(msg)
    offsets, rows = unpadded(x, occupied(x[..., 0], "pT"))
    pt, rapidity, phi, pid = rows.T
    mass = pdg.masses(pid)
    return Jets.from_flat(
        offsets,
        {
            "pt": pt,
            "eta": from_rapidity(pt, rapidity, mass),
            "phi": wrap_phi(phi),
            "mass": mass,
            "charge": pdg.charges(pid),
            "ptype": pdg.particle_types(pid),
        },
        label=y.astype(np.int64),
        classes=QUARK_GLUON,
    )
