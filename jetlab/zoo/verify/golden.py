"""Golden folders: a checkpoint with what the original software made of stored inputs, and the comparison with ours."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import CheckpointError

__all__ = ["ARRAYS", "META", "Computed", "Golden", "Skipped", "Tolerance", "compared"]

ARRAYS, META = "io.npz", "meta.json"

BESIDE = (".npz", ".json", ".yaml", ".txt")
"""Endings of files in a golden folder that hold no weights: arrays, descriptions, arguments of a training."""


@dataclass(frozen=True)
class Tolerance:
    """Largest difference that is allowed: ``absolute + relative * largest stored value``; 0 asks for equal numbers."""

    relative: float = 0.0
    absolute: float = 0.0

    def allowed(self, scale: float) -> float:
        """Allow this much for numbers whose largest is `scale`."""
        return self.absolute + self.relative * scale


@dataclass(frozen=True)
class Computed:
    """What we compute for a stored array.

    Parameters
    ----------
    values : array
        Of the shape of the stored one.
    where : ndarray of bool, optional
        Entries, or rows, that are compared; all if not given.
    note : str
        What there is to know about the comparison.
    tolerance : Tolerance, optional
        In place of the default of the system.
    stored : array, optional
        The stored array in the form in which it is compared, for instance sorted.
    """

    values: npt.ArrayLike
    where: npt.NDArray[np.bool_] | None = None
    note: str = ""
    tolerance: Tolerance | None = None
    stored: npt.ArrayLike | None = None


@dataclass(frozen=True)
class Skipped:
    """A stored array that is not compared, and why."""

    why: str
    is_input: bool = False


@dataclass(frozen=True)
class Golden:
    """A golden folder.

    Parameters
    ----------
    folder : Path
    meta : dict
        Content of ``meta.json``.
    arrays : dict of str to ndarray
        Content of ``io.npz``.
    """

    folder: Path
    meta: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]] = field(repr=False)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A stored array.

        Raises
        ------
        CheckpointError
            If the folder does not have it.
        """
        if name not in self.arrays:
            msg = f"{self.folder / ARRAYS} has no array {name!r}, which is needed to compare; it has {self._names()}"
            raise CheckpointError(msg)
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def _names(self) -> str:
        return ", ".join(list(self.arrays)[:20])

    @property
    def system(self) -> str:
        """What the checkpoint is of, as ``meta.json`` says."""
        return str(self.meta.get("system", ""))

    @property
    def checkpoint(self) -> Path:
        """The file to load; the first one, if the same weights are there in several layouts.

        Raises
        ------
        CheckpointError
            If ``meta.json`` names none that is there.
        """
        return self.checkpoints[0]

    @property
    def checkpoints(self) -> list[Path]:
        """The files to load, which hold the same weights in different layouts; mostly one. Raises as `checkpoint`."""
        named, files = self.meta.get("checkpoint"), self.meta.get("files")
        layouts = list(named.values()) if isinstance(named, dict) else []
        names = [layout.get("file") for layout in layouts if isinstance(layout, dict)]
        names += [named] if isinstance(named, str) else [*files] if isinstance(files, dict) and not names else []
        found = [name for name in names if isinstance(name, str) and Path(name).name == name]
        found = [name for name in found if Path(name).suffix not in BESIDE and (self.folder / name).is_file()]
        if not found or (len(found) > 1 and not layouts):
            msg = (
                f"{self.folder / META} names {len(found)} checkpoints that are there, expected 1: "
                '{"checkpoint": "FILE"} with a file in the same folder'
            )
            raise CheckpointError(msg)
        return [self.folder / name for name in found]

    def stated_tolerance(self, name: str) -> Tolerance | None:
        """Largest difference of an array that ``meta.json`` allows: ``{"tolerance": {"logits": 1e-4}}``."""
        stated = self.meta.get("tolerance")
        value = stated.get(name) if isinstance(stated, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return Tolerance(absolute=float(value))

    @staticmethod
    def read(folder: str | Path) -> Golden:
        """Read a golden folder.

        Raises
        ------
        CheckpointError
            If ``meta.json`` or ``io.npz`` are missing or damaged.
        """
        folder = Path(folder)
        missing = [name for name in (META, ARRAYS) if not (folder / name).is_file()]
        if missing:
            msg = (
                f"{folder} lacks {' and '.join(missing)}; expected a folder with a checkpoint, {META} (what it is) and "
                f"{ARRAYS} (inputs, and outputs of the original software)"
            )
            raise CheckpointError(msg)
        try:
            meta = json.loads((folder / META).read_text(encoding="utf-8"))
            with np.load(folder / ARRAYS, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, KeyError, EOFError, RecursionError, zipfile.BadZipFile) as error:
            msg = f"{folder} has a damaged {META} or {ARRAYS} ({str(error).splitlines()[0][:160]})"
            raise CheckpointError(msg) from error
        if not isinstance(meta, dict):
            msg = f"{folder / META} holds a {type(meta).__name__}, expected names with values"
            raise CheckpointError(msg)
        return Golden(folder, meta, arrays)


def compared(
    golden: Golden, results: Mapping[str, Computed | Skipped], *, default: Tolerance
) -> list[dict[str, object]]:
    """One row for each stored array.

    Parameters
    ----------
    golden : Golden
    results : mapping of str to Computed or Skipped
        By the names of stored arrays.
    default : Tolerance
        For numbers with a fraction, where ``meta.json`` states none; whole numbers must be equal.
    """
    rows = []
    for name, stored in golden.arrays.items():
        result = results.get(name, Skipped("jetlab does not know this array"))
        row = {"array": name, "shape": "x".join(map(str, stored.shape)) or "1"}
        if isinstance(result, Skipped):
            rows.append(row | _uncompared("input" if result.is_input else "not compared", result.why))
        else:
            rows.append(row | _row(stored, result, golden.stated_tolerance(name) or result.tolerance or default))
    return rows


def _row(stored: npt.NDArray[Any], result: Computed, tolerance: Tolerance) -> dict[str, object]:
    values = np.asarray(result.values)
    theirs = stored if result.stored is None else np.asarray(result.stored)
    if values.shape != theirs.shape:
        return _uncompared("fail", f"ours has shape {'x'.join(map(str, values.shape)) or '1'}")
    if result.where is not None:
        values, theirs = values[result.where], theirs[result.where]
    if not theirs.size:
        return _uncompared("not compared", "nothing of it can be compared")
    largest = _largest_difference(values.astype(np.float64), theirs.astype(np.float64))
    scale = float(np.abs(theirs[np.isfinite(theirs)].astype(np.float64)).max(initial=0.0))
    allowed = tolerance.allowed(scale) if np.issubdtype(stored.dtype, np.floating) else 0.0
    return {
        "compared": theirs.size,
        "difference": largest,
        "relative": largest / scale if scale else float(largest > 0),
        "tolerance": allowed,
        "status": "pass" if largest <= allowed else "fail",
        "note": result.note,
    }


def _largest_difference(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    """Infinite where only one of two numbers is finite."""
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(ours - theirs))
    return float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).max())


def _uncompared(status: str, why: str) -> dict[str, object]:
    numbers = dict.fromkeys(("difference", "relative", "tolerance"), np.nan)
    return {"compared": 0} | numbers | {"status": status, "note": why}
