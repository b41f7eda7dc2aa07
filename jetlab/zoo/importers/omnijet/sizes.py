"""Sizes of a model, from its tensors, and constants, from its settings; they must agree."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.folder import joined
from jetlab.zoo.importers.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch

__all__ = ["check_settings", "count", "integer", "matrix_shape", "number"]


def matrix_shape(checkpoint: Checkpoint, name: str) -> torch.Size:
    """Shape of a tensor that must be there and be a matrix.

    Raises
    ------
    CheckpointError
        If it is not.
    """
    if name not in checkpoint.state:
        msg = f"the weights in {checkpoint.path} lack {name}"
        raise CheckpointError(msg)
    shape = checkpoint.state[name].shape
    if len(shape) != 2 or 0 in shape:
        msg = f"{name} in {checkpoint.path} has shape {tuple(shape)}, expected a matrix"
        raise CheckpointError(msg)
    return shape


def count(state: Mapping[str, Any], pattern: str) -> int:
    """How many different numbers stand in the names of tensors at this place."""
    return len({found[1] for name in state if (found := re.match(pattern, name))})


def check_settings(checkpoint: Checkpoint, settings: Mapping[str, Any], learned: Mapping[str, int]) -> None:
    """Compare settings with the sizes that the tensors have.

    Raises
    ------
    CheckpointError
        If they differ; settings that are not given differ from nothing.
    """
    faults = {
        name: f"{settings[name]!r}, the tensors have {size}"
        for name, size in learned.items()
        if settings.get(name) is not None and settings[name] != size
    }
    if faults:
        msg = f"the settings of {checkpoint.path} do not fit its tensors: {joined(faults)}"
        raise CheckpointError(msg)


def integer(checkpoint: Checkpoint, settings: Mapping[str, Any], name: str) -> int:
    """Give a whole number of at least 1 from the settings.

    Raises
    ------
    CheckpointError
        If it is missing or something else.
    """
    value = settings.get(name)
    if type(value) is not int or not 1 <= value <= 1_000_000:
        msg = f"the settings of {checkpoint.path} have {name} {value!r}, expected a whole number of at least 1"
        raise CheckpointError(msg)
    return value


def number(checkpoint: Checkpoint, settings: Mapping[str, Any], name: str) -> float:
    """Give a number from the settings.

    Raises
    ------
    CheckpointError
        If it is missing or something else.
    """
    value = settings.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        msg = f"the settings of {checkpoint.path} have {name} {value!r}, expected a number"
        raise CheckpointError(msg)
    return float(value)
