"""Official files as named tensors with what is saved beside them, and filling a model with the tensors."""

from __future__ import annotations

import itertools
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.folder import joined
from jetlab.zoo.importers.hdf5 import is_hdf5, read_hdf5
from jetlab.zoo.importers.inert import Described, Storage, StoredTensor, read_instructions
from jetlab.zoo.importers.legacy import is_legacy, read_legacy

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Checkpoint", "fill", "fitted", "plain", "read_checkpoint"]

MAX_INSTRUCTIONS = 8_000_000
"""Bytes of instructions that are read: a model of a thousand tensors with its optimizer takes less than a million."""

MAX_DEPTH, MAX_ENTRIES = 40, 10_000
"""How deep settings may be nested, and how many entries they may have."""

PARTS = ("body", "classifier_head", "generator_head", "ema_body", "ema_generator", "model", "ema_model")
"""State dictionaries in the files of OmniLearned."""

LONGEST = 2**31 - 1
"""Of the sides of a tensor; what has no numbers could say any."""

_DTYPES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}


@dataclass(frozen=True)
class Checkpoint:
    """What an official file holds.

    Parameters
    ----------
    path : Path
        The file.
    state : dict of str to Tensor
        The weights by their names.
    beside : dict
        What a training framework such as Lightning saved beside the weights, as plain containers and descriptions;
        empty for a file of weights alone.
    settings : dict
        What the user says about the file that it does not say itself.
    """

    path: Path
    state: dict[str, Tensor]
    beside: dict[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file that ``torch.save`` wrote of a state dictionary, or of a dictionary that has one as ``state_dict``.

    Several state dictionaries in one, as OmniLearned writes them, give tensors by the names of both: ``body.token``.
    Nothing that the file names is imported or called, see `jetlab.zoo.importers.inert`.

    Parameters
    ----------
    path : str or Path
        A file of PyTorch, in the zip format since 1.6 or the one before, a ``.safetensors`` file, or weights of Keras
        in HDF5.

    Raises
    ------
    CheckpointError
        If the file is damaged, of another format, packed, or holds no named tensors.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return Checkpoint(path, _read_safetensors(path))
    if is_hdf5(path):
        return Checkpoint(path, read_hdf5(path))
    try:
        state, beside = _read_legacy(path) if is_legacy(path) else _read_archive(path)
    except CheckpointError as error:
        msg = f"{path}: {error}"
        raise CheckpointError(msg) from error
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        msg = (
            f"{path} is a file, not a folder, but no file of weights in the format of torch.save ({error}). Is it cut "
            "short? Give a file as published, or the folder that save_pretrained wrote"
        )
        raise CheckpointError(msg) from error
    return Checkpoint(path, state, beside)


def plain(value: Any) -> Any:
    """Settings without what describes objects: an OmegaConf container becomes its content, another object its kind.

    Parameters
    ----------
    value : object
        From `Checkpoint.beside`.

    Raises
    ------
    CheckpointError
        If they are deeper or longer than any settings are: a few bytes can describe a list of lists without end.
    """
    return _plain(value, MAX_DEPTH, itertools.count())


def _plain(value: Any, depth: int, seen: Iterator[int]) -> Any:
    if depth == 0 or next(seen) > MAX_ENTRIES:
        msg = f"settings are nested more than {MAX_DEPTH} deep or have more than {MAX_ENTRIES} entries"
        raise CheckpointError(msg)
    if isinstance(value, Described):
        state = value.state if isinstance(value.state, dict) else {}
        content = state.get("_content", state.get("_val"))
        return _plain(content, depth - 1, seen) if value.kind.startswith("omegaconf.") else value.kind
    if isinstance(value, dict):
        return {str(name): _plain(entry, depth - 1, seen) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, depth - 1, seen) for entry in value]
    return value if isinstance(value, str | int | float | bool) or value is None else type(value).__name__


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        msg = f"{path} cannot be read as a file of weights ({error})"
        raise CheckpointError(msg) from error


def _read_archive(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        _check_archive(archive, path)
        root = _root(archive)
        stored, beside = _weights(read_instructions(archive.read(f"{root}/data.pkl")))
        return _load(lambda storage: _entry(archive, root, storage), stored), beside


def _read_legacy(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    import torch

    content, blocks = read_legacy(path, sizes={kind: getattr(torch, name).itemsize for kind, name in _DTYPES.items()})
    stored, beside = _weights(content)
    return _load(lambda storage: blocks[storage.key], stored), beside


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse entries that would grow when read, and those that share their bytes or their names."""
    entries = archive.infolist()
    packed = {e.filename: "packed" for e in entries if e.compress_type != zipfile.ZIP_STORED}
    if packed:
        msg = f"the archive has packed entries, which torch.save does not write: {joined(packed)}"
        raise CheckpointError(msg)
    if len({e.filename for e in entries}) < len(entries):
        msg = "the archive has several entries of the same name"
        raise CheckpointError(msg)
    if sum(e.file_size for e in entries) > os.path.getsize(path):
        msg = "the entries of the archive say that they are larger than the file. Is it damaged?"
        raise CheckpointError(msg)


def _root(archive: zipfile.ZipFile) -> str:
    """Folder within the archive."""
    found = [e for e in archive.infolist() if e.filename.endswith("/data.pkl")]
    if len(found) != 1:
        msg = f"the archive has {len(found)} entries data.pkl, expected 1: it was not written by torch.save"
        raise CheckpointError(msg)
    if found[0].file_size > MAX_INSTRUCTIONS:
        msg = f"its instructions take {found[0].file_size:,} bytes, more than {MAX_INSTRUCTIONS:,}"
        raise CheckpointError(msg)
    root = found[0].filename.removesuffix("/data.pkl")
    order = archive.read(f"{root}/byteorder") if f"{root}/byteorder" in archive.namelist() else b"little"
    if order != b"little":
        msg = f"its numbers are in {order[:20]!r} byte order, expected little"
        raise CheckpointError(msg)
    return root


def _weights(content: Any) -> tuple[dict[str, StoredTensor], dict[str, Any]]:
    """The named tensors of a file, and what lies beside them."""
    held = content if isinstance(content, dict) else {}
    if isinstance(held.get("state_dict"), dict):
        return _named(held["state_dict"]), {name: values for name, values in held.items() if name != "state_dict"}
    if any(isinstance(held.get(name), dict) for name in ("body", "ema_model")):
        parts = {name: _named(held[name]) for name in PARTS if name in held}
        joined_parts = {f"{part}.{name}": tensor for part, values in parts.items() for name, tensor in values.items()}
        return joined_parts, {name: values for name, values in held.items() if name not in PARTS}
    return _named(content), {}


def _named(content: Any) -> dict[str, StoredTensor]:
    """The tensors of a state dictionary, which must hold nothing else."""
    if not isinstance(content, dict):
        kind = content.kind if isinstance(content, Described) else type(content).__name__
        msg = f"it holds a {kind}, expected a dictionary of named tensors"
        raise CheckpointError(msg)
    others = {
        str(name)[:80]: values.kind if isinstance(values, Described) else type(values).__name__
        for name, values in content.items()
        if not isinstance(values, StoredTensor) or not isinstance(name, str)
    }
    if any(isinstance(values, Described) for values in content.values()):
        msg = f"it holds more than tensors, which is not loaded because it could run a program: {joined(others)}"
        raise CheckpointError(msg)
    if others:
        msg = f"it holds more than named tensors: {joined(others)}"
        raise CheckpointError(msg)
    return content


def _load(read: Callable[[Storage], bytes], stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    storages: dict[str, Tensor] = {}
    for tensor in stored.values():
        key = tensor.storage.key
        if key not in storages:
            storages[key] = _numbers(read, tensor.storage)
    faults = {name: fault for name, t in stored.items() if (fault := _outside(t, storages[t.storage.key]))}
    if faults:
        msg = f"tensors reach beyond the numbers of the file: {joined(faults)}"
        raise CheckpointError(msg)
    return {name: storages[t.storage.key].as_strided(t.shape, t.stride, t.offset) for name, t in stored.items()}


def _numbers(read: Callable[[Storage], bytes], storage: Storage) -> Tensor:
    """The numbers of a storage, in one dimension."""
    import torch

    if storage.kind not in _DTYPES:
        msg = f"its numbers are of kind {storage.kind}, which is not known"
        raise CheckpointError(msg)
    dtype: torch.dtype = getattr(torch, _DTYPES[storage.kind])
    data = read(storage)
    if len(data) != storage.length * dtype.itemsize:
        msg = f"block {storage.key} has {len(data):,} bytes, expected {storage.length:,} numbers of {dtype.itemsize}"
        raise CheckpointError(msg)
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _entry(archive: zipfile.ZipFile, root: str, storage: Storage) -> bytes:
    entry = f"{root}/data/{storage.key}"
    if entry not in archive.namelist():
        msg = f"the archive lacks {entry}. Is it cut short?"
        raise CheckpointError(msg)
    return archive.read(entry)  # compares its checksum


def _outside(tensor: StoredTensor, numbers: Tensor) -> str:
    """What is wrong with a view of a storage: it may repeat nothing and must lie within."""
    if len(tensor.shape) != len(tensor.stride) or len(tensor.shape) > 16:
        return f"{len(tensor.shape)} dimensions with {len(tensor.stride)} strides"
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True))
    count = math.prod(tensor.shape)
    too_large = max(count, tensor.offset) > len(numbers) or max(tensor.shape, default=0) > LONGEST
    if too_large or (count and last >= len(numbers)):
        return f"shape {tensor.shape} of {len(numbers)} numbers"
    return ""


def fill(model: nn.Module, checkpoint: Checkpoint, *, names: Mapping[str, str]) -> None:
    """Fill a model with foreign tensors of the same shapes, all of them or none.

    Parameters
    ----------
    model : torch.nn.Module
    checkpoint : Checkpoint
    names : mapping of str to str
        Foreign name of each entry of the model's state.

    Raises
    ------
    CheckpointError
        As for `fitted`.
    """
    own = model.state_dict()
    expected = {theirs: own[name] for name, theirs in names.items()}
    found = fitted(checkpoint, expected, kind=type(model).__name__)
    model.load_state_dict({name: found[theirs] for name, theirs in names.items()})


def fitted(
    checkpoint: Checkpoint, expected: Mapping[str, Tensor], *, kind: str, unused: Iterable[str] = ()
) -> dict[str, Tensor]:
    """Foreign tensors in the shapes that are expected of them.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its tensors may have further dimensions of length 1 at the end.
    expected : mapping of str to Tensor
        Tensors of the right shape and kind by their foreign names.
    kind : str
        What is to be filled, for messages.
    unused : iterable of str
        Foreign names of tensors that may be there although the original never uses them.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected, of another shape or kind, or not finite; the message lists them.
    """
    state = checkpoint.state
    faults = {name: "missing" for name in expected if name not in state}
    faults |= {name: "unexpected" for name in state if name not in {*expected, *unused}}
    found = {}
    for name, own in expected.items():
        if name in state:
            fault, found[name] = _fitted(state[name], own)
            faults |= {name: fault} if fault else {}
    if faults:
        msg = f"the weights in {checkpoint.path} do not fit a {kind} of this kind: {joined(faults)}"
        raise CheckpointError(msg)
    return found


def _fitted(values: Tensor, own: Tensor) -> tuple[str, Tensor]:
    """What is wrong with foreign values, and they in the shape of our own."""
    import torch

    shape = tuple(values.shape)
    while len(shape) > own.ndim and shape[-1] == 1:
        shape = shape[:-1]
    if shape != tuple(own.shape) or values.layout != torch.strided:
        return f"shape {tuple(values.shape)}, expected {tuple(own.shape)}", own
    if values.is_floating_point() != own.is_floating_point() or values.is_complex() or values.is_quantized:
        return f"{values.dtype}, expected {own.dtype}", own
    if values.is_floating_point() and not torch.isfinite(values).all():
        return "NaN or infinite", own
    return "", values.reshape(own.shape)
