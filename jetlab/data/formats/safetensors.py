"""Safetensors files as tables: plain arrays one after the other behind a JSON header, and nothing that could be run.

Files that JetLab writes carry a checksum of the header and of every 16 KiB of each array, compared whenever they are
read. Reading a few rows costs no more than these rows.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.table import Column, Rows, Shape, Table
from jetlab.errors import FileError

__all__ = ["PAGE", "SIGNATURE", "open_safetensors", "save_safetensors"]

SIGNATURE = b'\0\0\0\0{"'
"""Bytes 4 to 10: the header is shorter than 4 GiB, and an object in JSON."""

PAGE = 2**14
"""Bytes of an array that have a checksum of their own."""

_LARGEST_HEADER = 2**27
_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
_META, _SUM, _SUMS = "jetlab", "crc32", "pages_crc32"


class _Array(NamedTuple):
    """Where an array lies in the file, and the checksums of its pages if there are any."""

    kind: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    sums: npt.NDArray[np.uint32] | None


@contextmanager
def open_safetensors(path: Path) -> Iterator[Table]:
    """The arrays of a safetensors file.

    Raises
    ------
    FileError
        If the header is no such header, or the arrays do not fit into the file.
    """
    with path.open("rb", buffering=0) as file:
        header, start = _header(file, path.stat().st_size)
        meta = _checked_meta(header)
        arrays, other = _arrays(header, start, path.stat().st_size)
        arrays = _with_sums(file, arrays, meta)

        def load(names: Sequence[str], rows: Rows | None) -> dict[str, Column]:
            return {name: _read(file, name, arrays[name], rows) for name in names}

        shapes: dict[str, Shape] = {name: array.shape for name, array in arrays.items()}
        yield Table(str(path), "safetensors", shapes, load, meta, other)


def save_safetensors(path: Path, columns: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Write arrays with checksums.

    Parameters
    ----------
    path : Path
        Where to.
    columns : mapping of str to array
        Numbers of any shape.
    meta : mapping
        JSON-safe; goes into the header.

    Raises
    ------
    FileError
        If something is not an array of numbers.
    """
    held = {name: np.ascontiguousarray(values) for name, values in columns.items()}
    for name, values in held.items():
        if values.dtype.newbyteorder("<") not in _NAMES:
            msg = f"column {name} of type {values.dtype} cannot be written as numbers; leave it out"
            raise FileError(msg)
    held = {name: values.astype(values.dtype.newbyteorder("<"), copy=False) for name, values in held.items()}
    held = dict(sorted(held.items(), key=lambda item: -item[1].dtype.itemsize))  # so that all are aligned
    sums = [_page_sums(_bytes(values)) for values in held.values()]
    odd = np.zeros(sum(map(len, sums)) % 2, np.uint32)
    held = {_SUMS: np.concatenate([*sums, odd], dtype=np.uint32)} | held
    counts = dict(zip(list(held)[1:], map(len, sums), strict=True))
    meta = dict(meta) | {"pages": counts, "sum_of_sums": _sum(_bytes(held[_SUMS]))}
    header: dict[str, Any] = {"__metadata__": {_META: json.dumps(meta)}}
    at = 0
    for name, values in held.items():
        end = at + values.nbytes
        header[name] = {"dtype": _NAMES[values.dtype], "shape": list(values.shape), "data_offsets": [at, end]}
        at = end
    header["__metadata__"][_SUM] = str(_sum_of_header(header))
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in held.values():
            file.write(_bytes(values))


# ---- header ----------------------------------------------------------------------------------------------------------


def _header(file: IO[bytes], size: int) -> tuple[dict[str, Any], int]:
    """The header, and where the arrays start."""
    raw = file.read(8)
    length = struct.unpack("<Q", raw)[0] if len(raw) == 8 else size
    if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
        msg = f"its header should be {length} bytes long, in a file of {size}: it cannot be read, as it is cut off"
        raise FileError(msg)
    header = json.loads(file.read(length))
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        msg = "its header is not one of a safetensors file, so it cannot be read"
        raise FileError(msg)
    return header, 8 + length


def _checked_meta(header: Mapping[str, Any]) -> dict[str, Any]:
    """What JetLab wrote beside the arrays; empty for files of others."""
    written = header.get("__metadata__", {})
    if _META not in written:
        return {}
    if written.get(_SUM) != str(_sum_of_header(header)):
        msg = "its header cannot be trusted: it does not have the checksum that it was written with"
        raise FileError(msg)
    return dict(json.loads(written[_META]))


def _arrays(header: Mapping[str, Any], start: int, size: int) -> tuple[dict[str, _Array], list[str]]:
    """Arrays of numbers, and the names of the others."""
    arrays, other = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry.get("dtype") not in _TYPES or not entry.get("shape"):
            other.append(name)
            continue
        kind, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(int(k) for k in entry["shape"])
        first, last = (int(k) for k in entry["data_offsets"])
        needed = int(np.prod(shape, dtype=object)) * kind.itemsize
        if min(shape) < 0 or first < 0 or last - first != needed or start + last > size:
            msg = f"array {name} of shape {shape} cannot be read: it does not fit into the file, which may be cut off"
            raise FileError(msg)
        arrays[name] = _Array(kind, shape, start + first, None)
    return arrays, other


def _with_sums(file: IO[bytes], arrays: dict[str, _Array], meta: Mapping[str, Any]) -> dict[str, _Array]:
    """The arrays with the checksums of their pages, in files that JetLab wrote."""
    if _SUMS not in arrays:
        return arrays
    kept = arrays.pop(_SUMS)
    sums = _read(file, _SUMS, kept, None)
    if _sum(_bytes(sums)) != meta.get("sum_of_sums"):
        msg = "it cannot be read: its list of checksums is damaged"
        raise FileError(msg)
    ends = np.cumsum([0, *meta["pages"].values()])
    return {
        name: arrays[name]._replace(sums=sums[first:last])
        for name, first, last in zip(meta["pages"], ends[:-1], ends[1:], strict=True)
    }


# ---- numbers ---------------------------------------------------------------------------------------------------------


def _read(file: IO[bytes], name: str, array: _Array, rows: Rows | None) -> npt.NDArray[Any]:
    """Some rows of an array, in the byte order of this machine."""
    first, last = rows or (0, array.shape[0])
    if not 0 <= first <= last <= array.shape[0]:
        msg = f"rows {first} to {last} of array {name} cannot be read: it has {array.shape[0]}"
        raise FileError(msg)
    inner = array.shape[1:]
    stride = int(np.prod(inner)) * array.kind.itemsize
    total = array.shape[0] * stride
    begin, end = first * stride, last * stride
    low, high = begin // PAGE * PAGE, min(-(-end // PAGE) * PAGE, total)
    if array.sums is None:
        low, high = begin, end
    held = np.empty(high - low, np.uint8)
    file.seek(array.start + low)
    if _fill(file, held) != len(held):
        msg = f"array {name} cannot be read to its end: the file is cut off"
        raise FileError(msg)
    if array.sums is not None and not np.array_equal(_page_sums(held.data), array.sums[low // PAGE : -(-high // PAGE)]):
        msg = f"array {name} cannot be read: its numbers do not have the checksum that they were written with"
        raise FileError(msg)
    values = held[begin - low : end - low].view(array.kind).reshape(last - first, *inner)
    return values.astype(array.kind.newbyteorder("="), copy=False)


def _fill(file: IO[bytes], held: npt.NDArray[np.uint8]) -> int:
    """Read into an array; gives the number of bytes that there were."""
    view, done = held.data, 0
    while done < len(view) and (read := file.readinto(view[done:])):  # type: ignore[attr-defined]
        done += read
    return done


def _bytes(values: npt.NDArray[Any]) -> memoryview:
    return values.reshape(-1).view(np.uint8).data


def _page_sums(raw: memoryview) -> npt.NDArray[np.uint32]:
    return np.array([_sum(raw[at : at + PAGE]) for at in range(0, len(raw), PAGE)], dtype=np.uint32)


def _sum(raw: memoryview | bytes) -> int:
    import deflate

    return deflate.crc32(raw)


def _sum_of_header(header: Mapping[str, Any]) -> int:
    """Checksum of all that the header says, but for the checksum itself."""
    meta = {key: value for key, value in header["__metadata__"].items() if key != _SUM}
    return _sum(json.dumps({**header, "__metadata__": meta}, sort_keys=True).encode())
