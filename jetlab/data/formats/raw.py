"""Columns of a file as they are, checked but not turned into `Jets`: the fast way from files to model inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import columns
from jetlab.data.formats.table import Table
from jetlab.features import JETCLASS_COLUMNS, JETCLASS_JET_COLUMNS, Constituents
from jetlab.jets import OPTIONAL_PARTICLE_FIELDS
from jetlab.jets.domains import JETS
from jetlab.vocabulary import PARTICLE_TYPES

__all__ = ["RawJets", "read_jetclass"]

_LARGEST_CHARGE = 127
_BLOCK = 2048
_LEAST = 0.998
_FAR = 10.0
_HARDEST = 10_000.0
_ROUNDING = np.float32(1.000001)


class RawJets(NamedTuple):
    """Constituents by falling pT, and the labels if there are any, shape ``(n,)``."""

    constituents: Constituents
    label: npt.NDArray[np.int64] | None


def read_jetclass(table: Table) -> RawJets | None:
    """Columns of a file in the layout of JetClass, or None.

    None if columns are missing or hold zeros in their place, or if anything about the numbers looks odd. Then the jets
    have to be made, which checks one by one and says what is wrong.
    """
    lacking = [name for name in (*JETCLASS_COLUMNS, *JETCLASS_JET_COLUMNS) if name not in table.shapes]
    filled = set(OPTIONAL_PARTICLE_FIELDS) - set(table.meta.get("fields", OPTIONAL_PARTICLE_FIELDS))
    if lacking or filled:
        return None
    labels = [name for name in table.shapes if name.startswith("label_") and table.flat(name)]
    held = table.fetch([*JETCLASS_COLUMNS, *JETCLASS_JET_COLUMNS, *labels])
    offsets, flat = columns.flat_constituents({name: held[name] for name in JETCLASS_COLUMNS}, held)
    label, _ = columns.labels_of(table, held)
    constituents = Constituents(
        offsets,
        {meaning: flat[name] for name, meaning in JETCLASS_COLUMNS.items()},
        {meaning: np.asarray(held[name]) for name, meaning in JETCLASS_JET_COLUMNS.items()},
    )
    return RawJets(_sorted(constituents), label) if _sound(constituents) else None


def _sound(constituents: Constituents) -> bool:
    """Whether all numbers are those of jets in GeV beyond doubt, looked at in bulk, cache by cache."""
    if not len(constituents.columns["px"]):
        return False
    blocks = (constituents.block(i, min(i + _BLOCK, len(constituents))) for i in range(0, len(constituents), _BLOCK))
    with np.errstate(over="ignore", invalid="ignore"):
        return _plausible(constituents.jets) and all(map(_sound_block, blocks))


def _plausible(jets: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether jets are as hard as jets can be."""
    lowest, _ = JETS.plausible
    return bool(
        all(np.isfinite(values.sum()) for values in jets.values())
        and (jets["energy"] > 0).all()
        and (jets["pt"] > 0).all()
        and lowest <= np.median(jets["pt"])
        and jets["pt"].max() <= _HARDEST
    )


def _sound_block(block: Constituents) -> bool:
    """Whether constituents can be those of their jets, in number and in momentum."""
    flat, charge = block.columns, block["charge"]
    return bool(
        all(np.isfinite(values.sum()) for values in flat.values())
        and _physical(flat["px"], flat["py"], flat["energy"])
        and _known_types([flat[name] for name in PARTICLE_TYPES])
        and (np.abs(charge) <= _LARGEST_CHARGE).all()
        and (np.rint(charge) == charge).all()
        and _as_stated(block)
    )


def _physical(px: npt.NDArray[Any], py: npt.NDArray[Any], energy: npt.NDArray[Any]) -> bool:
    """Whether momenta are transverse, and energies not below them by a thousandth."""
    transverse = px * px + py * py
    return bool((transverse > 0).all() and (energy > 0).all() and (energy * energy >= _LEAST * transverse).all())


def _as_stated(block: Constituents) -> bool:
    """Whether transverse momenta and energies add up to those of the jets, within a factor."""
    filled = block.counts > 0
    px, py, energy = (
        np.add.reduceat(block[name], block.offsets[:-1][filled], dtype=np.float64) for name in ("px", "py", "energy")
    )
    ratios = np.hypot(px, py) / block.jets["pt"][filled], energy / block.jets["energy"][filled]
    return all(bool((ratio < _FAR).all() and (ratio > 1 / _FAR).all()) for ratio in ratios)


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
