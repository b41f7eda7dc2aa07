"""The Top Tagging Reference set (Zenodo 2603256, arXiv:1902.09914): 200 four-momenta a jet in one wide table.

Published as a pandas HDF5 table, whose columns lie in blocks of one type, and converted by others to Parquet with a
column for each component. The four columns ``truthE`` ... ``truthPZ`` are the generated top quark, not the jet.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.momenta import momenta
from jetlab.data.formats.padded import occupied, unpadded
from jetlab.data.formats.table import Table
from jetlab.errors import FileError
from jetlab.jets import Jets

__all__ = ["TOP_TAGGING", "count", "matches", "read"]

TOP_TAGGING = ("QCD", "top")
"""Class names in label order."""

_SLOTS = 200
_COMPONENTS = ("E", "PX", "PY", "PZ")
_WIDE = tuple(f"{name}_{k}" for k in range(_SLOTS) for name in _COMPONENTS)
_LABEL = "is_signal_new"
_BLOCKS = (("values_block_0", "values_block_1"), ("block0_values", "block1_values"))
"""Momenta and whole numbers as pandas stores them, in its "table" and in its "fixed" format."""


def matches(table: Table) -> bool:
    """Whether these are the columns of the Top Tagging Reference set."""
    return _blocks(table) is not None or all(name in table.shapes for name in ("E_0", "PX_0", "PY_0", "PZ_0", _LABEL))


def count(table: Table) -> int:
    """Number of jets."""
    blocks = _blocks(table)
    return int(table.shapes[blocks[0] if blocks else "E_0"][0] or 0)


def read(table: Table) -> Jets:
    """Read jets; the generated top quark is in ``info`` as truth_pt, truth_eta, truth_phi, 0 for QCD jets."""
    wide, truth, label = _from_blocks(table) if _blocks(table) else _from_columns(table)
    p4 = wide.reshape(len(wide), -1, 4)
    offsets, rows = unpadded(p4, occupied(p4[..., 0], "E"))
    columns, notes = momenta(dict(zip(("energy", "px", "py", "pz"), rows.T, strict=True)), {}, offsets)
    pt = np.hypot(truth[:, 1], truth[:, 2])
    info = {
        "truth_pt": pt,
        "truth_eta": np.arcsinh(np.divide(truth[:, 3], pt, out=np.zeros_like(pt), where=pt > 0)),
        "truth_phi": np.arctan2(truth[:, 2], truth[:, 1]),
    }
    return Jets.from_flat(offsets, columns, label=label, classes=TOP_TAGGING, info=info, meta={"notes": notes})


def _blocks(table: Table) -> tuple[str, str] | None:
    for momenta_block, numbers in _BLOCKS:
        shape = table.shapes.get(momenta_block, ())
        if len(shape) == 2 and shape[1] in (4 * _SLOTS, 4 * _SLOTS + 4):
            return momenta_block, numbers
    return None


Pieces = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]


def _from_blocks(table: Table) -> Pieces:
    blocks = _blocks(table)
    assert blocks is not None
    if blocks[1] not in table.shapes:
        msg = f"{blocks[0]} is there, but not {blocks[1]}, which ends with the column {_LABEL}"
        raise FileError(msg)
    held = table.fetch(list(blocks))
    values, numbers = (np.asarray(held[name]) for name in blocks)
    if numbers.ndim != 2 or not np.isin(numbers[:, -1], (0, 1)).all():
        msg = f"{blocks[1]} should end with the column {_LABEL} of 0 and 1; its shape is {numbers.shape}"
        raise FileError(msg)
    wide = values[:, : 4 * _SLOTS].astype(np.float64)
    truth = values[:, 4 * _SLOTS :].astype(np.float64) if values.shape[1] > 4 * _SLOTS else np.zeros((len(wide), 4))
    return wide, truth, numbers[:, -1]


def _from_columns(table: Table) -> Pieces:
    there = [name for name in _WIDE if name in table.shapes]
    truth = [f"truth{name}" for name in _COMPONENTS]
    held = table.fetch([*there, *(name for name in truth if name in table.shapes), _LABEL])
    wide = np.stack([np.asarray(held[name], dtype=np.float64) for name in there], axis=1)
    known = [np.asarray(held[name], dtype=np.float64) if name in held else np.zeros(len(wide)) for name in truth]
    return wide, np.stack(known, axis=1), np.asarray(held[_LABEL])
