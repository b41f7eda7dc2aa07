"""Files that ``torch.save`` wrote before PyTorch 1.6: five sets of instructions, then blocks of numbers.

The first three say what the file is, the fourth describes the content, the fifth lists the blocks that follow, each
with the number of its entries. As for later files, no instruction is run, see `jetlab.zoo.importers.inert`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from jetlab.errors import CheckpointError
from jetlab.zoo.importers.inert import Storage, read_instructions

__all__ = ["is_legacy", "read_legacy"]

_START = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""Instructions for the number that such files begin with."""

_VERSION = 1001


def is_legacy(path: Path) -> bool:
    """Whether a file is of this format."""
    try:
        with path.open("rb") as file:
            return file.read(len(_START)) == _START
    except OSError:
        return False


def read_legacy(path: Path, *, sizes: Mapping[str, int]) -> tuple[Any, dict[str, bytes]]:
    """Read what a file describes, and its blocks of numbers by their keys.

    Parameters
    ----------
    path : Path
        The file.
    sizes : mapping of str to int
        Bytes of an entry, for each kind of block that is known.

    Raises
    ------
    CheckpointError
        If the file is cut short or damaged, or has blocks of an unknown kind or by whose order nothing is known.
    """
    with path.open("rb") as file:
        file.seek(len(_START))
        version, system = read_instructions(file), read_instructions(file)
        if version != _VERSION or not isinstance(system, dict) or system.get("little_endian") is not True:
            msg = f"it is of version {str(version)[:20]} of the format before PyTorch 1.6, expected {_VERSION}, "
            msg += "little-endian. Load it with PyTorch and save it again"
            raise CheckpointError(msg)
        named: dict[str, Storage] = {}
        content, order = read_instructions(file, storages=named), read_instructions(file)
        if not isinstance(order, list) or not all(isinstance(key, str) for key in order) or {*order} != {*named}:
            msg = "the list of its blocks of numbers is not that of the blocks that it describes. Is it damaged?"
            raise CheckpointError(msg)
        return content, {key: _block(file, named[key], sizes) for key in order}


def _block(file: BinaryIO, storage: Storage, sizes: Mapping[str, int]) -> bytes:
    if storage.kind not in sizes:
        msg = f"its numbers are of kind {storage.kind}, which is not known"
        raise CheckpointError(msg)
    length = int.from_bytes(file.read(8), "little", signed=True)
    size = storage.length * sizes[storage.kind]
    left = os.fstat(file.fileno()).st_size - file.tell()
    if length != storage.length or size > left:
        msg = f"block {storage.key[:40]} has {length:,} numbers and {left:,} bytes left, expected {storage.length:,} "
        msg += f"numbers in {size:,} bytes. Is it cut short?"
        raise CheckpointError(msg)
    return file.read(size)
