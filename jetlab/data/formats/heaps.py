"""Lists of different lengths in HDF5, looked at before the library reads them.

An entry of such a data set is a length and a place in a heap elsewhere in the file. The library trusts both: where they
are damaged it goes around in circles, takes all memory, or ends the process. So they are compared here first.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import FileError

__all__ = ["check_lists"]

_ENTRY = np.dtype([("length", "<u4"), ("heap", "<u8"), ("object", "<u4")])
_HEAP_HEAD, _OBJECT_HEAD = 16, 16
_GZIP, _SHUFFLE = 1, 2


def check_lists(path: Path, data: Any, inner: np.dtype[Any]) -> None:
    """Refuse a data set of lists whose entries point to nothing, or to less than they say.

    Parameters
    ----------
    path : Path
        The file.
    data : h5py.Dataset
        One-dimensional, of variable-length type.
    inner : numpy.dtype
        Type of the values in the lists.

    Raises
    ------
    FileError
        If entries and heaps do not fit together, or are compressed in a way that cannot be checked.
    """
    heaps: dict[int, dict[int, int]] = {}
    with path.open("rb") as file:
        for entries in _entries(file, data):
            filled = entries[entries["length"] > 0]
            for length, heap, number in zip(*(filled[name].tolist() for name in _ENTRY.names or ()), strict=True):
                if heap not in heaps:
                    heaps[heap] = _objects(file, heap, data.name)
                if heaps[heap].get(number, -1) < length * inner.itemsize:
                    raise _damaged(data.name, f"a list of {length} values is not in the file")


def _entries(file: IO[bytes], data: Any) -> list[npt.NDArray[Any]]:
    """Entries of the data set as they are stored, chunk by chunk."""
    n, size = data.shape[0], _ENTRY.itemsize
    if data.chunks is None:
        place = data.id.get_offset()
        return [] if place is None else [_at(file, place, n * size, data.name).view(_ENTRY)]
    plan = data.id.get_create_plist()
    filters = [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]
    if not set(filters) <= {_GZIP, _SHUFFLE}:
        msg = f"{data.name} holds compressed lists; store flat columns beside offsets, or compress with gzip"
        raise FileError(msg)
    return [_chunk(file, data, k, filters) for k in range(data.id.get_num_chunks())]


def _chunk(file: IO[bytes], data: Any, k: int, filters: list[int]) -> npt.NDArray[Any]:
    info = data.id.get_chunk_info(k)
    raw = _at(file, info.byte_offset, info.size, data.name).tobytes()
    needed = data.chunks[0] * _ENTRY.itemsize
    for j in reversed(range(len(filters))):
        if info.filter_mask >> j & 1:
            continue
        if filters[j] == _GZIP:
            raw = zlib.decompressobj().decompress(raw, needed + 1)
        else:
            raw = np.frombuffer(raw, np.uint8).reshape(_ENTRY.itemsize, -1).T.tobytes()
    if len(raw) != needed:
        raise _damaged(data.name, f"a chunk has {len(raw)} bytes, expected {needed}")
    return np.frombuffer(raw, _ENTRY)[: max(0, data.shape[0] - info.chunk_offset[0])]


def _objects(file: IO[bytes], place: int, name: str) -> dict[int, int]:
    """Sizes in bytes of the objects in a heap, by their numbers."""
    head = _at(file, place, _HEAP_HEAD, name).tobytes()
    size = int.from_bytes(head[8:], "little")
    if head[:4] != b"GCOL":
        raise _damaged(name, "a list points to what is no heap")
    held = _at(file, place, size, name).tobytes()
    objects: dict[int, int] = {}
    at = _HEAP_HEAD
    while at + _OBJECT_HEAD <= size:
        number, length = int.from_bytes(held[at : at + 2], "little"), int.from_bytes(held[at + 8 : at + 16], "little")
        step = _OBJECT_HEAD + -(-length // 8) * 8 if number else length  # what is free counts its own header
        if step < _OBJECT_HEAD or at + step > size:
            raise _damaged(name, "a heap of lists is damaged")
        objects |= {number: length} if number else {}
        at += step
    return objects


def _at(file: IO[bytes], place: int, size: int, name: str) -> npt.NDArray[np.uint8]:
    """Bytes of the file."""
    there = file.seek(0, 2)
    if not 0 <= place <= place + size <= there:
        raise _damaged(name, f"{size} bytes at {place} are beyond the end of the file")
    file.seek(place)
    return np.frombuffer(file.read(size), np.uint8)


def _damaged(name: str, what: str) -> FileError:
    return FileError(f"{name} cannot be read, it is damaged: {what}")
