"""What a model sees: trimmed padded batches, made from flat columns for any list of rows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jetlab.features import FlatFeatures, Recipe
from jetlab.jets import Jets

__all__ = ["Batch", "ParticleBatch", "ParticleSet", "pad_rows"]


@dataclass(frozen=True)
class Batch:
    """Base of all batches: a frozen dataclass of tensors (or None) that moves between devices as one."""

    def to(self, device: torch.device | str) -> Self:
        """Return the same batch on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{k: v.to(device) if isinstance(v, Tensor) else v for k, v in moved.items()})


@dataclass(frozen=True)
class ParticleBatch(Batch):
    """Constituent inputs of some jets, padded to the longest of them.

    Parameters
    ----------
    x : Tensor, shape (B, N, F)
        Inputs of the recipe, float32, zero where padded.
    mask : Tensor of bool, shape (B, N)
        True for real particles.
    label : Tensor of int64, shape (B,), optional
        Jet class.
    recipe : str
        Name of the recipe that made `x`.
    """

    x: Tensor
    mask: Tensor
    label: Tensor | None = None
    recipe: str = ""

    def packed(self) -> tuple[Tensor, Tensor]:
        """Values of the real particles and the offsets of the jets, shapes ``(m, F)`` and ``(B + 1,)``."""
        counts = self.mask.sum(1)
        return self.x[self.mask], torch.cat([counts.new_zeros(1), counts.cumsum(0)])


class ParticleSet:
    """Jets prepared by a recipe, from which batches of any rows are cut.

    Parameters
    ----------
    jets : Jets
        Jets with at least one row.
    recipe : Recipe
        Inputs to compute, once.
    """

    def __init__(self, jets: Jets, recipe: Recipe) -> None:
        self.recipe = recipe
        self.features: FlatFeatures = recipe.transform(jets)
        self.label = None if jets.label is None else torch.from_numpy(jets.label)

    def __len__(self) -> int:
        return len(self.features.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of constituents of each jet after the cuts of the recipe, shape ``(n,)``."""
        return np.diff(self.features.offsets)

    def batch(self, index: npt.NDArray[np.int64]) -> ParticleBatch:
        """Batch of the jets with these row numbers, padded to the longest of them."""
        x, mask = pad_rows(self.features.x, self.features.offsets, index)
        label = None if self.label is None else self.label[torch.from_numpy(index)]
        return ParticleBatch(torch.from_numpy(x), torch.from_numpy(mask), label, self.recipe.name)


def pad_rows(
    values: npt.NDArray[Any], offsets: npt.NDArray[np.int64], index: npt.NDArray[np.int64], *, fill: float = 0
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Gather some rows of a flat jagged array into a padded one.

    Parameters
    ----------
    values : ndarray, shape (m,) or (m, F)
    offsets : ndarray of int, shape (n + 1,)
    index : ndarray of int, shape (B,)
        Rows to gather.
    fill : float
        Value of padded slots.

    Returns
    -------
    padded : ndarray, shape (B, N) or (B, N, F)
        N is the longest of these rows, at least 1.
    mask : ndarray of bool, shape (B, N)
        True for real entries.
    """
    starts, counts = offsets[index], offsets[index + 1] - offsets[index]
    length = max(int(counts.max(initial=0)), 1)
    slot = np.arange(length)
    mask = slot < counts[:, None]
    padded = np.full((len(index), length, *values.shape[1:]), fill, dtype=values.dtype)
    padded[mask] = values[(starts[:, None] + slot)[mask]]
    return padded, mask
