"""Aspen Open Jets (arXiv:2412.10504): jets of CMS data of 2016 with their particle-flow candidates.

The candidates in the file are not scaled by their PUPPI weights (against pile-up), while the jets were clustered from
scaled ones; `jetlab.load_jets` scales them if asked to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import pdg
from jetlab.data.formats.momenta import momenta
from jetlab.data.formats.padded import occupied, unpadded
from jetlab.data.formats.table import Table
from jetlab.data.formats.weighted import SCALED, scaled
from jetlab.jets import Jets

__all__ = ["count", "matches", "read"]

_CANDIDATES, _JETS = "PFCands", "jet_kinematics"
_COLUMNS = ("px", "py", "pz", "energy", "d0", "d0err", "dz", "dzerr", "charge", "pid", "puppi")


def matches(table: Table) -> bool:
    """Whether these are the arrays of Aspen Open Jets."""
    candidates, jets = table.shapes.get(_CANDIDATES, ()), table.shapes.get(_JETS, ())
    return len(candidates) == 3 and candidates[2] == len(_COLUMNS) and len(jets) == 2 and jets[1] == 4


def count(table: Table) -> int:
    """Number of jets."""
    return int(table.shapes[_CANDIDATES][0] or 0)


def read(table: Table) -> Jets:
    """Read jets; the file's own pT and soft-drop mass are in ``info``."""
    held = table.fetch([_CANDIDATES, _JETS])
    array, jets = np.asarray(held[_CANDIDATES]), np.asarray(held[_JETS])
    offsets, rows = unpadded(array, occupied(array[..., 3], "energy"))
    flat = dict(zip(_COLUMNS, rows.T, strict=True))
    columns, notes = momenta(flat, {}, offsets)
    extra = {name: flat[name] for name in ("d0", "d0err", "dz", "dzerr")}
    extra |= {"charge": flat["charge"], "ptype": pdg.particle_types(flat["pid"])}
    info = {"jet_pt": jets[:, 0], "jet_sdmass": jets[:, 3]}
    made: dict[str, npt.NDArray[Any]] = columns | extra
    if table.choice.puppi:
        offsets, made = scaled(offsets, made, flat["puppi"])
        notes.append(SCALED)
    return Jets.from_flat(offsets, made, info=info, meta={"notes": notes})
