"""JetLab's flat layout: `Jets` as they are in memory, for reading as fast as the disk gives.

The numbers were checked when they were written; the checksums of the file tell that they are still the same. So they
are not looked at again, but for the offsets, on which everything else rests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.safetensors import save_safetensors
from jetlab.data.formats.table import Table
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import Jets
from jetlab.jets.checks import check_label, check_offsets
from jetlab.jets.domains import JETS

__all__ = ["count", "flat_columns", "matches", "read", "save_flat"]

_PARTICLE, _INFO = "part_", "info_"
_OF_READING = ("file", "files", "layout")


def matches(table: Table) -> bool:
    """Whether JetLab wrote these arrays in its flat layout."""
    return table.meta.get("layout") == "flat" and table.kind == "safetensors"


def count(table: Table) -> int:
    """Number of jets."""
    return int(table.shapes["offsets"][0] or 1) - 1


def flat_columns(jets: Jets) -> dict[str, npt.NDArray[Any]]:
    """Arrays of the flat layout: ``offsets``, ``part_pt``, ..., ``jet_p4``, ``label`` and ``info_...``."""
    made = {f"{_PARTICLE}{name}": jets.flat(name) for name in jets.fields}
    made |= {"offsets": jets.offsets, "jet_p4": jets.p4}
    if jets.label is not None:
        made["label"] = jets.label.astype(np.int16)
    return made | {f"{_INFO}{name}": values for name, values in jets.info.items()}


def save_flat(path: Path, jets: Jets) -> None:
    """Write jets as they are in memory.

    Raises
    ------
    FileError
        If a column of ``info`` does not hold numbers, or it cannot be written.
    """
    meta = json.loads(json.dumps({k: v for k, v in jets.meta.items() if k not in _OF_READING}, default=_plain))
    beside = {"layout": "flat", "version": 1, "classes": list(jets.classes), "columns": list(jets.fields), "meta": meta}
    save_safetensors(path, flat_columns(jets), beside)


def read(table: Table) -> Jets:
    """Read jets in the flat layout.

    Raises
    ------
    FileError
        If arrays are missing or do not fit together.
    """
    held = table.fetch(list(table.shapes))
    fields = table.meta["columns"]
    missing = [name for name in ("offsets", "jet_p4", *(f"{_PARTICLE}{field}" for field in fields)) if name not in held]
    if missing:
        msg = f"the arrays {', '.join(missing)} are gone, though the file says that it has them"
        raise FileError(msg)
    offsets = np.asarray(held["offsets"])
    columns = {field: np.asarray(held[f"{_PARTICLE}{field}"]) for field in fields}
    label = np.asarray(held["label"]).astype(np.int64) if "label" in held else None
    classes = tuple(table.meta["classes"])
    try:
        check_offsets(offsets, columns)
        if label is not None:
            check_label(label, classes)
    except InvalidJetsError as error:
        raise FileError(str(error)) from error
    meta: Mapping[str, Any] = table.meta["meta"]
    return Jets.from_checked(
        offsets,
        columns,
        label=label,
        classes=classes,
        info={name.removeprefix(_INFO): np.asarray(v) for name, v in held.items() if name.startswith(_INFO)},
        meta=meta,
        domain=str(meta.get("domain", JETS.name)),
        p4=np.asarray(held["jet_p4"]),
    )


def _plain(value: Any) -> Any:
    """What JSON does not know, as something that it knows."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else str(value)
