"""Finished chunks on disk: a folder that an interrupted simulation continues from.

The folder holds ``plan.json``, which says what is simulated, and a file for each finished chunk. Files appear under
their name only when they are complete, so they can be read while the simulation runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jetlab.data.formats.parquet import open_parquet, save_parquet
from jetlab.data.formats.table import Column, Jagged, guarded
from jetlab.data.simulate.chunk import Chunk
from jetlab.errors import FileError, JetLabError
from jetlab.jets import Jets
from jetlab.vocabulary import CLASSES

__all__ = ["open_parts", "part_path", "read_part", "write_part"]

_PLAN = "plan.json"
_LABEL = "label"
_CLASSES = "class_names"


def part_path(folder: Path, chunk: Chunk) -> Path:
    """Where a chunk is kept; names sort in the order of the simulation."""
    return folder / f"{chunk.number:05d}-{chunk.name}.parquet"


def open_parts(folder: Path, plan: Mapping[str, Any]) -> None:
    """Create the folder of a plan, or check that it holds parts of the same plan.

    Parameters
    ----------
    folder : Path
        The folder.
    plan : mapping
        JSON-safe description of everything the jets depend on.

    Raises
    ------
    JetLabError
        If the folder holds parts of another plan; the message names what differs and the way out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _PLAN
    if not path.exists():
        _replace(path, lambda temporary: temporary.write_text(json.dumps(plan, indent=1)))
        return
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        msg = f"{path} is not readable ({error}); remove the folder {folder} to start afresh"
        raise FileError(msg) from error
    asked = json.loads(json.dumps(plan))
    differing = [key for key in {**asked, **found} if asked.get(key) != found.get(key)]
    if differing:
        details = "; ".join(
            f"{key}: {_short(found.get(key))} there, {_short(asked.get(key))} asked" for key in differing
        )
        msg = (
            f"{folder} holds parts of another simulation ({details}). Simulate with the same options to continue it, "
            "choose another output path, or remove the folder to start afresh"
        )
        raise JetLabError(msg)


def write_part(path: Path, jets: Jets) -> None:
    """Write jets without loss; the file appears only when it is complete."""
    columns: dict[str, Column] = {name: Jagged(jets.offsets, jets.flat(name)) for name in jets.fields}
    columns |= jets.info
    if jets.label is not None:
        columns[_LABEL] = jets.label
    _replace(path, lambda temporary: save_parquet(temporary, columns, jets.meta | {_CLASSES: list(jets.classes)}))


def read_part(path: Path) -> Jets:
    """Read jets that `write_part` wrote."""
    with guarded(str(path), "read as a part of a simulation"), open_parquet(path) as table:
        columns = table.fetch(list(table.shapes))
    jagged = {name: column for name, column in columns.items() if isinstance(column, Jagged)}
    info = {name: column for name, column in columns.items() if not isinstance(column, Jagged)}
    label = info.pop(_LABEL, None)
    flat = {name: column.values for name, column in jagged.items()}
    meta = dict(table.meta)
    classes = meta.pop(_CLASSES, CLASSES)
    return Jets.from_flat(jagged["pt"].offsets, flat, label=label, classes=classes, info=info, meta=meta)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, then put it in place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
