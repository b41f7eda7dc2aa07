"""Weights that Keras wrote in HDF5: the data sets of a file by their paths, and nothing that leads out of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.folder import joined

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["is_hdf5", "read_hdf5"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Whether a file begins like one of HDF5, whatever its name."""
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def read_hdf5(path: Path) -> dict[str, Tensor]:
    """Tensors by the paths of their data sets.

    Raises
    ------
    CheckpointError
        If the file is damaged, or a data set is none of numbers, is packed, lies in another file, or says that it is
        larger than the file.
    """
    import h5py
    import numpy as np
    import torch

    try:
        with h5py.File(path, "r") as file:
            sets = _data_sets(file)
            faults = {name: fault for name, data in sets.items() if (fault := _fault(data))}
            if faults:
                msg = f"{path} has data sets that Keras does not write: {joined(faults)}"
                raise CheckpointError(msg)
            if sum(data.nbytes for data in sets.values()) > path.stat().st_size:
                msg = f"the data sets of {path} say that they are larger than the file. Is it damaged?"
                raise CheckpointError(msg)
            return {name: torch.from_numpy(np.array(data[()])) for name, data in sets.items()}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        msg = f"{path} cannot be read as an HDF5 file of weights ({error}). Is it cut short?"
        raise CheckpointError(msg) from error


def _data_sets(file: Any) -> dict[str, Any]:
    """Data sets in all groups; links, which may lead to other files, are not followed."""
    import h5py

    sets: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sets[name] = item

    file.visititems(keep)
    return sets


def _fault(data: Any) -> str:
    """What is wrong with a data set: it must be plain numbers within the file."""
    if data.dtype.kind not in "fiu" or data.dtype.itemsize > 8 or data.dtype.newbyteorder("=") != data.dtype:
        return f"numbers of kind {data.dtype}"
    if data.external or data.is_virtual:
        return "lies in another file"
    if data.compression is not None or data.chunks is not None:
        return "is packed or in pieces"
    return ""
