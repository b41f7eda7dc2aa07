"""Write jets to files that others read: the columns of JetClass, or JetLab's compact ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from jetlab.data.formats.compact import compact_columns
from jetlab.data.formats.jetclass import jetclass_columns
from jetlab.data.formats.parquet import save_parquet
from jetlab.data.formats.root import save_root
from jetlab.data.formats.table import guarded
from jetlab.errors import FileError
from jetlab.jets import OPTIONAL_PARTICLE_FIELDS, Jets

__all__ = ["check_target", "write_jets"]

_COLUMNS = {"jetclass": jetclass_columns, "compact": compact_columns}
_POSSIBLE = (("jetclass", ".parquet"), ("jetclass", ".root"), ("compact", ".parquet"))
_OF_READING = ("file", "files", "layout", "notes")


def write_jets(jets: Jets, path: str | Path, *, layout: str | None = None) -> Path:
    """Write jets to a file, which appears under its name only when it is complete.

    Parameters
    ----------
    jets : Jets
        At least one jet.
    path : str or Path
        ``.parquet`` or ``.root``.
    layout : {"jetclass", "compact"}, optional
        ``"jetclass"``, the default, writes the 41 columns of JetClass in single precision; masses of constituents
        survive only as far as their energies tell. ``"compact"`` writes JetLab's own columns with the digits that a
        detector can resolve, in a third of the space (Parquet only).

    Returns
    -------
    Path
        The file. Its metadata hold ``jets.meta``, the class names and which optional fields were there.

    Raises
    ------
    FileError
        If the suffix or layout is unknown, there is nothing to write, or the file cannot be written.
    """
    path = Path(path)
    layout = layout or "jetclass"
    check_target(path, layout=layout)
    if not len(jets):
        msg = f"there are no jets to write to {path}"
        raise FileError(msg)
    save = save_root if path.suffix == ".root" else save_parquet
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with guarded(str(path), "written"):
            save(unfinished, _COLUMNS[layout](jets), _file_meta(jets, layout))
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def check_target(path: Path, *, layout: str) -> None:
    """Make sure that jets can be written there, before hours are spent on making them.

    Raises
    ------
    FileError
        If the suffix or layout is unknown, or the folder does not exist.
    """
    if (layout, path.suffix) not in _POSSIBLE:
        expected = ".parquet with layout jetclass or compact, or .root with jetclass"
        msg = f"cannot write {path.name} in layout {layout!r}: expected {expected}"
        raise FileError(msg)
    if not path.parent.is_dir():
        msg = f"folder {path.parent} does not exist; create it first"
        raise FileError(msg)


def _file_meta(jets: Jets, layout: str) -> dict[str, Any]:
    return {
        "layout": layout,
        "version": 1,
        "classes": list(jets.classes),
        "fields": [name for name in OPTIONAL_PARTICLE_FIELDS if name in jets.fields],
        "meta": {key: _plain(value) for key, value in jets.meta.items() if key not in _OF_READING},
    }


def _plain(value: Any) -> Any:
    """The same value in types that JSON has."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
