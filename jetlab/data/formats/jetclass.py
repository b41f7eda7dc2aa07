"""The layout of JetClass (arXiv:2202.03772): 41 columns, Cartesian momenta, one label column a class.

Two things to know. ``part_deta`` has the sign of the jet's pseudorapidity multiplied in, so it is not read; directions
come from the momenta. And the label columns have three different types in the published files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import columns
from jetlab.data.formats.columns import PARTICLE_FLAGS
from jetlab.data.formats.table import Column, Jagged, Table
from jetlab.jets import OPTIONAL_PARTICLE_FIELDS, Jets
from jetlab.observables.substructure import soft_drop_mass, subjettiness
from jetlab.vocabulary import CLASSES, JET_CLASSES

__all__ = ["AUXILIARY", "jetclass_columns", "matches", "read"]

AUXILIARY = ("aux_genpart_eta", "aux_genpart_phi", "aux_genpart_pid", "aux_genpart_pt", "aux_truth_match")
"""Columns about the generated particle that a jet was matched to; 0 where there is none."""

_IMPACT = {"d0": "part_d0val", "d0err": "part_d0err", "dz": "part_dzval", "dzerr": "part_dzerr"}


def matches(table: Table) -> bool:
    """Whether these are the columns of JetClass."""
    momenta = all(f"part_{name}" in table.shapes for name in ("px", "py", "pz", "energy"))
    return momenta and any(c.label_column in table.shapes for c in JET_CLASSES)


def read(table: Table) -> Jets:
    """Read jets in the JetClass layout; optional constituent fields that JetLab wrote as zeros are left out again."""
    return columns.read(table, optional=table.meta.get("fields", OPTIONAL_PARTICLE_FIELDS))


def jetclass_columns(jets: Jets) -> dict[str, Column]:
    """The 41 columns of JetClass, then the columns of ``info`` that JetClass does not have.

    Charge, particle type and impact parameters are 0 where the jets have none. N-subjettiness and soft-drop mass come
    from ``info`` or are computed. Jets of other classes than those of JetClass get a column ``jet_label`` instead of
    the label columns.
    """
    made = _particles(jets) | _labels(jets) | _of_jets(jets)
    redundant = {"jet_mass", "npart", "offsets", "jet_label", "label", "labels"}
    return made | {name: values for name, values in jets.info.items() if name not in made | dict.fromkeys(redundant)}


def _particles(jets: Jets) -> dict[str, Column]:
    energy, px, py, pz = jets.flat_p4.T
    side = np.repeat(np.where(jets.eta > 0, 1, -1), jets.multiplicity)
    flat: dict[str, npt.NDArray[Any]] = {
        "part_px": px,
        "part_py": py,
        "part_pz": pz,
        "part_energy": energy,
        "part_deta": jets.flat("deta") * side,
        "part_dphi": jets.flat("dphi"),
    }
    nothing = np.zeros(len(px))
    flat |= {column: jets.flat(name) if name in jets.fields else nothing for name, column in _IMPACT.items()}
    flat["part_charge"] = jets.flat("charge") if "charge" in jets.fields else nothing
    types = jets.flat("ptype") if "ptype" in jets.fields else nothing - 1
    single = {name: values.astype(np.float32) for name, values in flat.items()}
    single |= {f"part_{flag}": (types == code).astype(np.int32) for code, flag in enumerate(PARTICLE_FLAGS)}
    return {name: Jagged(jets.offsets, values) for name, values in single.items()}


def _labels(jets: Jets) -> dict[str, Column]:
    if jets.classes != CLASSES:
        return {} if jets.label is None else {"jet_label": jets.label.astype(np.int32)}
    label = np.full(len(jets), -1) if jets.label is None else jets.label
    kinds = (np.float32, *(np.bool_,) * 5, *(np.int32,) * 4)
    return {c.label_column: (label == k).astype(kinds[k]) for k, c in enumerate(JET_CLASSES)}


def _of_jets(jets: Jets) -> dict[str, Column]:
    values: dict[str, npt.NDArray[Any]] = {
        "jet_pt": jets.pt,
        "jet_eta": jets.eta,
        "jet_phi": jets.phi,
        "jet_energy": jets.energy,
        "jet_nparticles": jets.multiplicity,
    }
    values["jet_sdmass"] = _known(jets.info, "jet_sdmass") if "jet_sdmass" in jets.info else soft_drop_mass(jets)
    taus = [f"jet_tau{k}" for k in (1, 2, 3, 4)]
    if all(name in jets.info for name in taus):
        values |= {name: _known(jets.info, name) for name in taus}
    else:
        values |= dict(zip(taus, subjettiness(jets, (1, 2, 3, 4)).T, strict=True))
    values |= {name: _known(jets.info, name) if name in jets.info else np.zeros(len(jets)) for name in AUXILIARY}
    return {name: v.astype(np.float32) for name, v in values.items()}


def _known(info: Mapping[str, npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    return np.asarray(info[name])
