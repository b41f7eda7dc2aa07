"""`Jets`: the one container that every source fills and every measure reads.

Constituents are stored flat with offsets (the layout of Awkward Array), never padded. Energies and momenta are in GeV,
lengths in mm, angles in radians with phi in (-pi, pi]. Constituents are sorted by falling pT.
"""

from __future__ import annotations

from jetlab.jets.columns import OPTIONAL_PARTICLE_FIELDS, PARTICLE_FIELDS, wrap_phi
from jetlab.jets.container import Jets, concatenate

__all__ = ["OPTIONAL_PARTICLE_FIELDS", "PARTICLE_FIELDS", "Jets", "concatenate", "wrap_phi"]
