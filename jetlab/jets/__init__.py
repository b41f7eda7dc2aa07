"""`Jets`: the one container that every source fills and every measure reads; `Events` and `Pairs` are made of it.

Constituents are stored flat with offsets (the layout of Awkward Array), never padded. Energies and momenta are in GeV,
lengths in mm, angles in radians with phi in (-pi, pi]. Constituents are sorted by falling pT.
"""

from __future__ import annotations

from jetlab.jets.columns import OPTIONAL_PARTICLE_FIELDS, PARTICLE_FIELDS, wrap_phi
from jetlab.jets.container import Jets
from jetlab.jets.events import EVENT_CLASSES, Events
from jetlab.jets.joining import concatenate
from jetlab.jets.kinematics import invariant_mass
from jetlab.jets.pairs import Pairs

__all__ = [
    "EVENT_CLASSES",
    "OPTIONAL_PARTICLE_FIELDS",
    "PARTICLE_FIELDS",
    "Events",
    "Jets",
    "Pairs",
    "concatenate",
    "invariant_mass",
    "wrap_phi",
]
