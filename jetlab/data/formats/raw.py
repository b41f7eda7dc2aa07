"""Columns of a file as they are, checked but not turned into `Jets`: the fast way from files to model inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import columns, jetclass
from jetlab.data.formats.columns import PARTICLE_FLAGS
from jetlab.data.formats.table import Table
from jetlab.errors import InvalidJetsError
from jetlab.features import JETCLASS_COLUMNS, JETCLASS_JET_COLUMNS, Constituents
from jetlab.jets import OPTIONAL_PARTICLE_FIELDS
from jetlab.jets.checks import check_units

__all__ = ["RawJets", "read_jetclass"]

_NEEDED = {"part_pz": "pz"} | JETCLASS_COLUMNS
_FLAGS = [f"part_{flag}" for flag in PARTICLE_FLAGS]
_WHOLE = 127
_STEEPEST = float(np.sinh(20.0))
_ROUNDING = np.float32(1.000001)


class RawJets(NamedTuple):
    """Constituents by falling pT, and the labels if there are any, shape ``(n,)``."""

    constituents: Constituents
    label: npt.NDArray[np.int64] | None


def read_jetclass(table: Table) -> RawJets | None:
    """Columns of a file in the layout of JetClass; None if it lacks some of them, or holds zeros in their place.

    Raises
    ------
    InvalidJetsError, UnitsError
        As when the file is read as `Jets`.
    """
    lacking = [name for name in (*_NEEDED, *JETCLASS_JET_COLUMNS) if name not in table.shapes]
    filled = set(OPTIONAL_PARTICLE_FIELDS) - set(table.meta.get("fields", OPTIONAL_PARTICLE_FIELDS))
    if lacking or filled:
        return None
    labels = [name for name in table.shapes if name.startswith("label_") and table.flat(name)]
    held = table.fetch([*_NEEDED, *JETCLASS_JET_COLUMNS, *labels])
    offsets, flat = columns.flat_constituents({name: held[name] for name in _NEEDED}, held)
    jets = {name: np.asarray(held[name]) for name in JETCLASS_JET_COLUMNS}
    if not _sound(flat):
        jetclass.read(table)  # says what is wrong; if nothing is, the numbers only looked odd in single precision
    _check_jets(jets)
    label, _ = columns.labels_of(table, held)
    constituents = Constituents(
        offsets,
        {meaning: flat[name] for name, meaning in JETCLASS_COLUMNS.items()},
        {meaning: jets[name] for name, meaning in JETCLASS_JET_COLUMNS.items()},
    )
    return RawJets(_sorted(constituents), label)


def _check_jets(jets: dict[str, npt.NDArray[Any]]) -> None:
    """Refuse momenta of jets that are not physical; when `Jets` are made, they follow from the constituents."""
    for name, values in jets.items():
        bad = ~np.isfinite(values) | ((values < 0) & (name != "jet_eta"))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            msg = f"jet {row} has {name} = {values[row]}, which is not a physical value ({int(bad.sum())} such jets)"
            raise InvalidJetsError(msg)
    check_units(jets["jet_pt"])


def _sound(flat: dict[str, npt.NDArray[Any]]) -> bool:
    """Whether all numbers are those of constituents of jets, looked at in bulk."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(
            all(np.isfinite(values).all() for values in flat.values() if values.dtype.kind == "f")
            and _physical(*(flat[f"part_{name}"] for name in ("px", "py", "pz", "energy")))
            and _known_types([flat[name] for name in _FLAGS])
            and (np.abs(flat["part_charge"]) <= _WHOLE).all()
            and (np.rint(flat["part_charge"]) == flat["part_charge"]).all()
        )


def _physical(px: npt.NDArray[Any], py: npt.NDArray[Any], pz: npt.NDArray[Any], energy: npt.NDArray[Any]) -> bool:
    """Whether momenta are transverse enough, and energies not below them by more than a thousandth."""
    transverse = px * px + py * py
    momentum = transverse + pz * pz
    return bool(
        (transverse > 0).all()
        and (energy > 0).all()
        and (pz * pz <= _STEEPEST**2 * transverse).all()
        and (energy * energy >= 0.998 * momentum).all()
    )


def _known_types(flags: list[npt.NDArray[Any]]) -> bool:
    """Whether flags are 0 or 1, and at most one of a constituent is set."""
    total = np.zeros(len(flags[0]), dtype=np.int8)
    for flag in flags:
        if flag.size and (flag.min() < 0 or flag.max() > 1):
            return False
        total += flag != 0
    return not total.size or int(total.max()) <= 1


def _sorted(constituents: Constituents) -> Constituents:
    """The same constituents by falling pT, as they are in published files, up to rounding."""
    pt, offsets = constituents["pt"], constituents.offsets
    falls = pt[1:] <= _ROUNDING * pt[:-1]
    inner = offsets[1:-1]
    falls[inner[(inner > 0) & (inner < len(pt))] - 1] = True  # from jet to jet
    if falls.all():
        return constituents
    order = np.lexsort((-pt, np.repeat(np.arange(len(constituents)), constituents.counts)))
    columns = {name: values[order] for name, values in constituents.columns.items()}
    return Constituents(offsets, columns, constituents.jets)
