"""HDF5 files as tables, and arrays into HDF5 files.

Links out of the file are refused: an upload must not read other files. What is compressed by other filters than those
of h5py needs the package hdf5plugin.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.arrays import structured_columns, structured_shapes
from jetlab.data.formats.heaps import check_lists
from jetlab.data.formats.table import Column, Jagged, Rows, Shape, Table, check_size
from jetlab.errors import FileError, MissingExtraError

__all__ = ["SIGNATURE", "open_hdf5", "save_hdf5"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_META_KEY = "jetlab"
_HEAD = 64
_LONGEST_IN_A_HEADER = 60_000
"""Bytes. A longer text lies in a heap, whose damage the library does not notice."""
_FILTERS = {
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32024: "sz3",
    32026: "blosc2",
}
"""Registered HDF5 filters by their numbers."""


@contextmanager
def open_hdf5(path: Path) -> Iterator[Table]:
    """Data sets of an HDF5 file in all its groups, by the last part of their names; compound ones a column a field."""
    import h5py

    _check_length(path)
    with h5py.File(path, "r") as file:
        sets: dict[str, tuple[Any, str | None]] = {}
        shapes: dict[str, Shape] = {}
        other: list[str] = []
        for place, data in _datasets(file):
            found = _shapes(place.rsplit("/", 1)[-1], data)
            if not found or set(found) & set(shapes):
                other.append(place)
                continue
            shapes |= found
            sets |= {column: (data, column if data.dtype.fields else None) for column in found}

        checked: set[str] = set()

        def load(names: Sequence[str], rows: Rows | None) -> dict[str, Column]:
            wanted = {sets[name][0].name: sets[name][0] for name in names}
            check_size(sum(_unpacked_size(data, rows) for data in wanted.values()), path.stat().st_size)
            for data in wanted.values():
                _need_filters(data)
                _check_lists_once(path, data, checked)
            read = {place: _read(data, rows) for place, data in wanted.items()}
            return {name: structured_columns(read[sets[name][0].name], sets[name][1]) for name in names}

        meta = json.loads(file.attrs[_META_KEY]) if _META_KEY in file.attrs else {}
        yield Table(str(path), "HDF5", shapes, load, meta, other)


def save_hdf5(path: Path, n: int, blocks: Iterable[Mapping[str, npt.NDArray[Any]]], meta: Mapping[str, Any]) -> None:
    """Write arrays block by block, uncompressed, so that single rows can be read fast.

    Parameters
    ----------
    path : Path
        Where to.
    n : int
        Number of rows in all blocks together.
    blocks : iterable of mappings of str to array
        Some rows of each array; all blocks have the same names. A name with ``/`` lies in a group.
    meta : mapping
        JSON-safe; goes into the attribute ``jetlab`` of the file.
    """
    import h5py

    with h5py.File(path, "w") as file:
        text = json.dumps(meta)
        file.attrs[_META_KEY] = np.bytes_(text) if len(text) < _LONGEST_IN_A_HEADER else text
        start = 0
        for block in blocks:
            stop = start + len(next(iter(block.values())))
            for name, values in block.items():
                if name not in file:
                    file.create_dataset(name, (n, *values.shape[1:]), values.dtype)
                file[name][start:stop] = values
            start = stop


def _check_lists_once(path: Path, data: Any, checked: set[str]) -> None:
    """Look at lists of different lengths before they are read for the first time."""
    import h5py

    inner = h5py.check_vlen_dtype(data.dtype)
    if inner is not None and data.name not in checked:
        check_lists(path, data, inner)
        checked.add(data.name)


def _check_length(path: Path) -> None:
    """Refuse a file that is longer than its own header says: numbers would be read from wrong places.

    That it is not shorter the library finds by itself.

    Raises
    ------
    FileError
        If so.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    place, width = (28, 9) if head[8] >= 2 else (40, 13)
    said = int.from_bytes(head[place : place + head[width]], "little")
    there = path.stat().st_size
    if said < there and _ends_with_more(path, said):
        msg = f"it cannot be read: the file has {there} bytes, but says that it has {said}, so something was added"
        raise FileError(msg)


def _ends_with_more(path: Path, said: int) -> bool:
    """Whether there is anything but line ends behind this place; some tools append these."""
    with path.open("rb") as file:
        file.seek(said)
        return bool(file.read(_HEAD).strip(b"\n"))


def _need_filters(data: Any) -> None:
    """Make the filters of a data set available: h5py's own, else those of hdf5plugin.

    Raises
    ------
    MissingExtraError
        If hdf5plugin is not installed.
    FileError
        If it does not have the filter either.
    """
    missing = _missing_filters(data)
    if not missing:
        return
    what = f"{data.name} is compressed with {' and '.join(missing)}, which h5py alone cannot read"
    try:
        import hdf5plugin  # noqa: F401 importing it registers the filters
    except ImportError as error:
        msg = f"{what}. Install the package with these filters: pip install hdf5plugin"
        raise MissingExtraError(msg) from error
    missing = _missing_filters(data)
    if missing:
        msg = (
            f"{data.name} is compressed with {' and '.join(missing)}, which hdf5plugin has not either; repack the file"
        )
        raise FileError(msg)


def _missing_filters(data: Any) -> list[str]:
    import h5py

    plan = data.id.get_create_plist()
    numbers = [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]
    missing = [number for number in numbers if not h5py.h5z.filter_avail(number)]
    return [f"{_FILTERS.get(number, 'an unknown filter')} (HDF5 filter {number})" for number in missing]


def _datasets(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All data sets below a group, depth first.

    Raises
    ------
    FileError
        If a link or a data set points out of the file.
    """
    import h5py

    for name in group:
        place = f"{prefix}{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            msg = f"{place} is a link; files with soft or external links are refused. Copy the data into the file"
            raise FileError(msg)
        item = group[name]
        if isinstance(item, h5py.Group):
            if len(place) > 1000:
                msg = f"groups are nested too deep: {place[:60]}..."
                raise FileError(msg)
            yield from _datasets(item, f"{place}/")
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                msg = f"{place} keeps its values in another file; copy the data into this one"
                raise FileError(msg)
            yield place, item


def _shapes(name: str, data: Any) -> dict[str, Shape]:
    import h5py

    inner = h5py.check_vlen_dtype(data.dtype)
    if isinstance(inner, np.dtype) and inner.kind in "fiub" and data.ndim == 1:
        return {name: (*data.shape, None)}
    return structured_shapes(name, data.dtype, data.shape)


def _unpacked_size(data: Any, rows: Rows | None) -> int:
    count = data.shape[0] if rows is None else rows[1] - rows[0]
    return count * int(np.prod(data.shape[1:], dtype=object)) * data.dtype.itemsize


def _read(data: Any, rows: Rows | None) -> Any:
    import h5py

    chosen = slice(None) if rows is None else slice(*rows)
    inner = h5py.check_vlen_dtype(data.dtype)
    if inner is None:
        return data[chosen]
    lists = list(data[chosen])
    offsets = np.concatenate([[0], np.cumsum([len(values) for values in lists])]).astype(np.int64)
    return Jagged(offsets, np.concatenate(lists) if lists else np.empty(0, inner))
