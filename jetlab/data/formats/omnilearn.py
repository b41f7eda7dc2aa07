"""The files of OmniLearn (arXiv:2404.16091) and of OmniLearned (arXiv:2510.24066): padded inputs of their networks.

OmniLearn: ``data`` (n, P, 7 or 13) with deta, dphi, log(1 - pT/jet pT), log pT, log(1 - E/jet E), log E, dR and, with
13 columns, charge and five flags; ``jet`` (n, 4 or more) with pT, eta, mass or phi, multiplicity. OmniLearned: ``data``
(n, P, 4 or more) with deta, dphi, log pT, log E, no ``jet``. Labels are ``pid`` in both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.columns import numbered_classes
from jetlab.data.formats.momenta import mass_from_energy
from jetlab.data.formats.padded import unpadded
from jetlab.data.formats.table import Table
from jetlab.jets import Jets, wrap_phi

__all__ = ["count", "matches_omnilearn", "matches_omnilearned", "read_omnilearn", "read_omnilearned"]

_WITH_TYPES = 13


def matches_omnilearn(table: Table) -> bool:
    """Whether these are the arrays of OmniLearn."""
    data, jet = table.shapes.get("data", ()), table.shapes.get("jet", ())
    return len(data) == 3 and data[2] in (7, _WITH_TYPES) and len(jet) == 2 and (jet[1] or 0) >= 4


def matches_omnilearned(table: Table) -> bool:
    """Whether these are the arrays of OmniLearned."""
    data = table.shapes.get("data", ())
    return len(data) == 3 and (data[2] or 0) >= 4 and "pid" in table.shapes and "jet" not in table.shapes


def count(table: Table) -> int:
    """Number of jets."""
    return int(table.shapes["data"][0] or 0)


def read_omnilearn(table: Table) -> Jets:
    """Read jets of an OmniLearn file, at phi = 0."""
    held = table.fetch(["data", "jet", *(["pid"] if table.flat("pid") else [])])
    data, jet = np.asarray(held["data"]), np.asarray(held["jet"], dtype=np.float64)
    offsets, rows = unpadded(data, data[..., 3] != 0)
    pt, eta = np.exp(rows[:, 3]), rows[:, 0] + np.repeat(jet[:, 1], np.diff(offsets))
    mass = mass_from_energy(np.exp(rows[:, 5]), pt, pt * np.sinh(eta), offsets)
    columns: dict[str, npt.NDArray[Any]] = {"pt": pt, "eta": eta, "phi": wrap_phi(rows[:, 1]), "mass": mass}
    if data.shape[2] == _WITH_TYPES:
        flags = rows[:, 8:13] > 0.5
        columns["charge"] = np.rint(rows[:, 7]).astype(np.int8)
        columns["ptype"] = np.where(flags.any(axis=1), flags.argmax(axis=1), -1).astype(np.int8)
    label, classes = _labels(held.get("pid"), table)
    notes = ["jets are put at phi = 0"]
    return Jets.from_flat(
        offsets, columns, label=label, classes=classes, info={"jet_pt": jet[:, 0]}, meta={"notes": notes}
    )


def read_omnilearned(table: Table) -> Jets:
    """Read jets of an OmniLearned file, massless and at eta = phi = 0: it does not tell where the jets were."""
    held = table.fetch(["data", "pid"])
    data = np.asarray(held["data"])
    offsets, rows = unpadded(data, data[..., 2] != 0)
    deta, dphi, log_pt = rows[:, :3].T
    columns = {"pt": np.exp(log_pt), "eta": deta, "phi": wrap_phi(dphi), "mass": np.zeros(len(rows))}
    label, classes = _labels(held["pid"], table)
    notes = ["jets are put at eta = phi = 0", "the file has no jet eta, so energies say nothing: taken as massless"]
    return Jets.from_flat(offsets, columns, label=label, classes=classes, meta={"notes": notes})


def _labels(pid: Any, table: Table) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    if pid is None:
        return None, ()
    label = np.asarray(pid).astype(np.int64).reshape(-1)
    return label, tuple(table.meta.get("classes", ())) or numbered_classes(label)
