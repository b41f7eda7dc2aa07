"""NumPy files (npz, npy) and arrays in memory as tables. Pickled objects are never loaded."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.table import Column, Jagged, Rows, Shape, Table, check_size, cut, jagged_of
from jetlab.errors import FileError, InvalidJetsError

__all__ = [
    "NPY_SIGNATURE",
    "NPZ_SIGNATURE",
    "open_npy",
    "open_npz",
    "structured_columns",
    "structured_shapes",
    "table_of",
]

NPZ_SIGNATURE = b"PK\x03\x04"
NPY_SIGNATURE = b"\x93NUMPY"


@contextmanager
def open_npz(path: Path) -> Iterator[Table]:
    """Arrays of an npz archive; a structured array gives a column for each of its fields."""
    with zipfile.ZipFile(path) as archive:
        headers = {}
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    headers[member.filename] = _header(file, member.filename, member.file_size)

        def read(member: str) -> npt.NDArray[Any]:
            check_size(archive.getinfo(member).file_size, path.stat().st_size)
            with archive.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)

        yield _numpy_table(path, "NumPy archive", headers, read)


@contextmanager
def open_npy(path: Path) -> Iterator[Table]:
    """A single NumPy array: a structured one gives a column for each of its fields."""
    with path.open("rb") as file:
        stored = path.stat().st_size
        header = shape, dtype = _header(file, "the array", stored)
        there = stored - file.tell()
        if math.prod(shape) * dtype.itemsize != there:
            msg = f"the array of shape {shape} has {there} bytes: it is cut off, or something was added"
            raise FileError(msg)

    def read(member: str) -> npt.NDArray[Any]:  # noqa: ARG001 there is only one
        return np.load(path, allow_pickle=False, mmap_mode="r")

    yield _numpy_table(path, "NumPy array", {"array.npy": header}, read)


def table_of(columns: Mapping[str, Any], *, name: str = "the given arrays") -> Table:
    """Arrays in memory: NumPy arrays, awkward arrays, or lists.

    Raises
    ------
    InvalidJetsError
        If something is not an array of numbers.
    """
    import awkward as ak

    held: dict[str, Column] = {}
    for key, values in columns.items():
        if isinstance(values, ak.Array) and values.fields:
            held |= {field: _in_memory(values[field], field) for field in values.fields}
        else:
            held[key] = _in_memory(values, key)
    shapes: dict[str, Shape] = {
        key: (len(c.offsets) - 1, None) if isinstance(c, Jagged) else c.shape for key, c in held.items()
    }
    return Table(name, "arrays", shapes, lambda names, rows: {key: cut(held[key], rows) for key in names})


def structured_shapes(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> dict[str, Shape]:
    """Shapes of the numeric columns in an array: itself, or the fields of a structured one."""
    if dtype.fields is None:
        return {name: shape} if dtype.kind in "fiub" and shape else {}
    return {key: (*shape, *part.shape) for key, (part, *_) in dtype.fields.items() if part.base.kind in "fiub"}


def structured_columns(array: Any, part: str | None) -> Column:
    """An array, or one field of a structured array."""
    if isinstance(array, Jagged) or part is None:
        return array
    return np.ascontiguousarray(array[part])


def _numpy_table(
    path: Path,
    kind: str,
    headers: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]],
    read: Callable[[str], npt.NDArray[Any]],
) -> Table:
    shapes: dict[str, Shape] = {}
    places: dict[str, tuple[str, str | None]] = {}
    other = []
    for member, (shape, dtype) in headers.items():
        name = member.removesuffix(".npy")
        found = structured_shapes(name, dtype, shape)
        if not found or set(found) & set(shapes):
            other.append(name)
            continue
        shapes |= found
        places |= {column: (member, column if dtype.fields else None) for column in found}

    read_once = lru_cache(maxsize=None)(read)

    def load(names: Sequence[str], rows: Rows | None) -> dict[str, Column]:
        take = read if rows is None else read_once  # an archive cannot be read in parts
        held = {member: take(member) for member in dict.fromkeys(places[name][0] for name in names)}
        return {name: structured_columns(cut(held[places[name][0]], rows), places[name][1]) for name in names}

    return Table(str(path), kind, shapes, load, {}, other)


def _header(file: IO[bytes], name: str, stored: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, checked against the bytes that are there."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        msg = f"{name} holds pickled objects, which are never loaded; save plain arrays of numbers"
        raise FileError(msg)
    needed = int(np.prod([int(k) for k in shape], dtype=object)) * dtype.itemsize
    if needed > stored:
        msg = f"{name} should hold {needed} bytes for shape {shape}, but has {stored}: it is cut off"
        raise FileError(msg)
    return shape, dtype


def _in_memory(values: Any, name: str) -> Column:
    import awkward as ak

    if isinstance(values, ak.Array) and values.ndim == 2:
        return jagged_of(values, name)
    try:
        array = np.asarray(values)
    except ValueError as error:
        msg = f"{name} is not a regular array of numbers; give jagged columns as awkward arrays"
        raise InvalidJetsError(msg) from error
    if array.dtype.kind not in "fiub" or not array.ndim:
        msg = f"{name} has type {array.dtype} and shape {array.shape}, expected an array of numbers"
        raise InvalidJetsError(msg)
    return array
