"""Reading foreign PyTorch files as plain tensors, and filling a model with them; nothing inside is ever executed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from jetlab.errors import CheckpointError
from jetlab.zoo.folder import joined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

__all__ = ["fill", "read_state"]


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file that ``torch.save`` wrote of a state dictionary.

    The reader knows tensors and plain containers; a file that asks for anything else is refused before it gets it.

    Parameters
    ----------
    path : str or Path
        A file in the zip format of PyTorch since 1.6.

    Raises
    ------
    CheckpointError
        If the file is damaged, of another format, packed, or holds anything but named tensors.
    """
    import torch

    _check_archive(Path(path))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can raise anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = (
            f"{path} cannot be read as a file of weights ({reason[:160]}). It is damaged, or holds more than tensors, "
            "which is not loaded because it could run a program"
        )
        raise CheckpointError(msg) from error
    if not isinstance(state, dict):
        msg = f"{path} holds a {type(state).__name__}, expected a dictionary of named tensors"
        raise CheckpointError(msg)
    plain = (torch.Tensor, torch.nn.Parameter)
    others = {str(k): type(v).__name__ for k, v in state.items() if type(v) not in plain or not isinstance(k, str)}
    if others:
        msg = f"{path} holds more than named tensors: {joined(others)}"
        raise CheckpointError(msg)
    return {name: values.detach() for name, values in state.items()}


def _check_archive(path: Path) -> None:
    """Refuse what is no zip archive, and entries that would grow when read."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = {e.filename: "packed" for e in archive.infolist() if e.compress_type != zipfile.ZIP_STORED}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        msg = (
            f"{path} is a file, not a folder, but no file of weights in the format of torch.save ({error}). Is it cut "
            "short? Give a file as published, or the folder that save_pretrained wrote"
        )
        raise CheckpointError(msg) from error
    if packed:
        msg = f"{path} has packed entries, which torch.save does not write: {joined(packed)}"
        raise CheckpointError(msg)


def fill(model: nn.Module, state: Mapping[str, Tensor], *, names: Mapping[str, str], path: str | Path) -> None:
    """Fill a model with foreign tensors, all of them or none.

    Parameters
    ----------
    model : torch.nn.Module
    state : mapping of str to Tensor
        Foreign tensors by their foreign names; dimensions of length 1 at the end do not matter.
    names : mapping of str to str
        Foreign name of each entry of the model's state.
    path : str or Path
        Where the tensors are from, for messages.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected, of another shape or kind, or not finite; the message lists them.
    """
    own = model.state_dict()
    faults = {theirs: "missing" for theirs in names.values() if theirs not in state}
    faults |= {theirs: "unexpected" for theirs in state if theirs not in set(names.values())}
    filled = {}
    for name, theirs in names.items():
        if theirs in state:
            fault, filled[name] = _fitted(state[theirs], own[name])
            faults |= {theirs: fault} if fault else {}
    if faults:
        msg = f"the weights in {path} do not fit a {type(model).__name__} of this kind: {joined(faults)}"
        raise CheckpointError(msg)
    model.load_state_dict(filled)


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
