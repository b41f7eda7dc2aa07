"""Matrices in one byte a number: each row is whole numbers from -127 to 127 times a scale of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jetlab.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import Tensor

__all__ = ["SCALE", "as_rows", "from_rows"]

SCALE = ".row_scale"
"""What is added to the name of a matrix to name the scales of its rows."""


def as_rows(weights: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Give the matrices among `names` as whole numbers and scales, and everything else as it is.

    Parameters
    ----------
    weights : mapping
        Tensors by name. A number is off by half of its row's scale at most, which is 1/254 of the row's largest.
    names : collection of str
        Of those that may be rounded.
    """
    import torch

    out: dict[str, Tensor] = {}
    for name, values in weights.items():
        if name not in names or values.ndim < 2 or not torch.isfinite(values).all():
            out[name] = values
            continue
        scale = values.float().flatten(1).abs().amax(1).clamp(min=1e-30) / 127  # (rows,)
        out[name] = (values.float() / _along(scale, values)).round().to(torch.int8)
        out[name + SCALE] = scale
    return out


def from_rows(stored: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Undo `as_rows`.

    Parameters
    ----------
    stored : mapping
        Tensors by name.
    where : str
        What they are read from, for messages.

    Raises
    ------
    CheckpointError
        If scales belong to no matrix of whole numbers, or are not one for each of its rows.
    """
    import torch

    weights = {name: values for name, values in stored.items() if not name.endswith(SCALE)}
    for name in stored.keys() - weights.keys():
        rows, scale = weights.get(name.removesuffix(SCALE)), stored[name]
        if rows is None or rows.dtype != torch.int8 or rows.ndim < 2 or scale.shape != rows.shape[:1]:
            kind = "nothing" if rows is None else f"{rows.dtype} {tuple(rows.shape)}"
            msg = (
                f"{name} {tuple(scale.shape)} in {where} gives scales of rows to {kind}, expected one for each row of "
                "an int8 matrix"
            )
            raise CheckpointError(msg)
        weights[name.removesuffix(SCALE)] = rows.float() * _along(scale.float(), rows)
    return weights


def _along(scale: Tensor, values: Tensor) -> Tensor:
    """Scales of rows ``(rows,)`` in a shape that multiplies `values`."""
    return scale.reshape(-1, *[1] * (values.ndim - 1))
