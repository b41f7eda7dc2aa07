"""HDF5 files as tables. Links out of the file are refused: an upload must not read other files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jetlab.data.formats.arrays import structured_columns, structured_shapes
from jetlab.data.formats.table import Column, Jagged, Rows, Shape, Table, check_size
from jetlab.errors import FileError

__all__ = ["SIGNATURE", "open_hdf5"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@contextmanager
def open_hdf5(path: Path) -> Iterator[Table]:
    """Data sets of an HDF5 file in all its groups, by the last part of their names; compound ones a column a field."""
    import h5py

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

        def load(names: Sequence[str], rows: Rows | None) -> dict[str, Column]:
            wanted = {sets[name][0].name: sets[name][0] for name in names}
            check_size(sum(_unpacked_size(data, rows) for data in wanted.values()), path.stat().st_size)
            read = {place: _read(data, rows) for place, data in wanted.items()}
            return {name: structured_columns(read[sets[name][0].name], sets[name][1]) for name in names}

        yield Table(str(path), "HDF5", shapes, load, {}, other)


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
