"""Write jets to files: in the layouts of JetClass, JetNet or OmniLearned, or in JetLab's compact one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import jetnet, omnilearn
from jetlab.data.formats.compact import compact_columns
from jetlab.data.formats.hdf5 import save_hdf5
from jetlab.data.formats.jetclass import jetclass_columns
from jetlab.data.formats.parquet import save_parquet
from jetlab.data.formats.root import save_root
from jetlab.data.formats.table import guarded
from jetlab.errors import FileError
from jetlab.jets import PARTICLE_FIELDS, Jets
from jetlab.jets.domains import JETS

__all__ = ["check_target", "write_jets"]

Arrays = dict[str, npt.NDArray[np.number]]


class _Padded(NamedTuple):
    """A layout of padded arrays: number of slots, the arrays, and what they do not keep."""

    slots: Callable[[Jets], int]
    arrays: Callable[[Jets, int], Arrays]
    losses: Callable[[Jets, int], Sequence[str]]


_COLUMNS = {"jetclass": jetclass_columns, "compact": compact_columns}
_PADDED = {
    "jetnet": _Padded(jetnet.jetnet_slots, jetnet.jetnet_arrays, jetnet.jetnet_losses),
    "omnilearned": _Padded(omnilearn.omnilearned_slots, omnilearn.omnilearned_arrays, omnilearn.omnilearned_losses),
}
_SUFFIXES = {
    "jetclass": (".parquet", ".root"),
    "compact": (".parquet",),
    "jetnet": (".h5", ".hdf5"),
    "omnilearned": (".h5", ".hdf5"),
}
_OF_READING = ("file", "files", "layout", "notes")
_JETS_IN_A_BLOCK = 20_000


def write_jets(jets: Jets, path: str | Path, *, layout: str | None = None) -> Path:
    """Write jets to a file, which appears under its name only when it is complete.

    Parameters
    ----------
    jets : Jets
        At least one jet.
    path : str or Path
        ``.parquet`` or ``.root``; ``.h5`` or ``.hdf5`` for the layouts of JetNet and OmniLearned.
    layout : {"jetclass", "compact", "jetnet", "omnilearned"}, optional
        ``"jetclass"``, the default for jets, writes the 41 columns of JetClass in single precision; masses of
        constituents survive only as far as their energies tell. ``"compact"``, the default for neutrino events, writes
        JetLab's own columns with the digits that a detector can resolve, in a third of the space (Parquet only).
        ``"jetnet"`` and ``"omnilearned"`` write the padded arrays of these tools; what they do not keep is in a note
        when the file is read.

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
    layout = layout or ("jetclass" if jets.domain == JETS.name else "compact")
    check_target(path, layout=layout)
    if not len(jets):
        msg = f"there are no jets to write to {path}"
        raise FileError(msg)
    if jets.domain != JETS.name and layout != "compact":
        msg = f"layout {layout!r} is for jets, but these are of the domain {jets.domain!r}: write them as 'compact'"
        raise FileError(msg)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with guarded(str(path), "written"):
            _save(jets, unfinished, layout, path.suffix)
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
    if path.suffix not in _SUFFIXES.get(layout, ()):
        expected = "; ".join(f"{' or '.join(suffixes)} with layout {name}" for name, suffixes in _SUFFIXES.items())
        msg = f"cannot write {path.name} in layout {layout!r}: expected {expected}"
        raise FileError(msg)
    if not path.parent.is_dir():
        msg = f"folder {path.parent} does not exist; create it first"
        raise FileError(msg)


def _save(jets: Jets, path: Path, layout: str, suffix: str) -> None:
    meta = _file_meta(jets, layout)
    if layout in _COLUMNS:
        save = save_root if suffix == ".root" else save_parquet
        save(path, _COLUMNS[layout](jets), meta)
        return
    padded = _PADDED[layout]
    slots = padded.slots(jets)
    info = [name for name, values in jets.info.items() if values.ndim == 1 and values.dtype.kind in "fiub"]
    meta |= {"lost": list(padded.losses(jets, slots)), "info": info, "labelled": jets.label is not None}
    save_hdf5(path, len(jets), _blocks(jets, padded, slots, info), meta)


def _blocks(jets: Jets, padded: _Padded, slots: int, info: Sequence[str]) -> Iterator[Arrays]:
    """The arrays of some jets after the other, so that padding does not fill the memory."""
    for start in range(0, len(jets), _JETS_IN_A_BLOCK):
        part = jets[start : start + _JETS_IN_A_BLOCK]
        yield padded.arrays(part, slots) | {f"info/{name}": part.info[name] for name in info}


def _file_meta(jets: Jets, layout: str) -> dict[str, Any]:
    return {
        "layout": layout,
        "version": 1,
        "classes": list(jets.classes),
        "fields": [name for name in jets.fields if name not in PARTICLE_FIELDS],
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
