"""What a model sees: trimmed padded batches, made from flat columns for any list of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jetlab.data.formats import JetFile
from jetlab.data.select import Selection
from jetlab.data.stream import JetStream, Piece
from jetlab.data.subjets import exclusive_subjets
from jetlab.features import FlatFeatures, JetRecipe, Recipe
from jetlab.jets import Jets

__all__ = ["Batch", "ParticleBatch", "ParticleSet", "pad_rows", "stream_batches"]


@dataclass(frozen=True)
class Batch:
    """Base of all batches: a frozen dataclass of tensors, batches or None that moves between devices as one."""

    def to(self, device: torch.device | str) -> Self:
        """Return the same batch on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{k: v.to(device) if isinstance(v, Tensor | Batch) else v for k, v in moved.items()})


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
    cond : Tensor, shape (B, C), optional
        Numbers about each jet as a whole that a model is told, float32.
    p4 : Tensor, shape (B, N, 4), optional
        Four-momenta (E, px, py, pz) [GeV] of the particles, float32, zero where padded; for models that need them.
    subjet : Tensor of int64, shape (B, N), optional
        Number of the subjet of each particle, -1 where padded; for models that read subjets.
    """

    x: Tensor
    mask: Tensor
    label: Tensor | None = None
    recipe: str = ""
    cond: Tensor | None = None
    p4: Tensor | None = None
    subjet: Tensor | None = None

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
    conditions : JetRecipe, optional
        Numbers about each jet to give along.
    p4 : bool
        Give the four-momenta of the constituents along.
    subjets : int
        Find so many subjets in each jet, and tell to which each constituent belongs; 0 for none.
    """

    cond: Tensor | None
    p4: npt.NDArray[np.float32] | None
    subjet: npt.NDArray[np.int64] | None

    def __init__(
        self, jets: Jets, recipe: Recipe, *, conditions: JetRecipe | None = None, p4: bool = False, subjets: int = 0
    ) -> None:
        self._hold(recipe, recipe.transform(jets), jets.label)
        if conditions is not None:
            self.cond = torch.from_numpy(conditions.transform(jets))
        if p4:
            self.p4 = jets.flat_p4[recipe.kept(jets)].astype(np.float32)
        if subjets:
            self.subjet = exclusive_subjets(jets, subjets)[recipe.kept(jets)]

    @classmethod
    def of(cls, recipe: Recipe, features: FlatFeatures, label: npt.NDArray[np.int64] | None) -> ParticleSet:
        """Inputs that the recipe has made already, with the labels of the jets, shape ``(n,)``."""
        made = cls.__new__(cls)
        made._hold(recipe, features, label)
        return made

    def _hold(self, recipe: Recipe, features: FlatFeatures, label: npt.NDArray[np.int64] | None) -> None:
        self.recipe, self.features = recipe, features
        self.label = None if label is None else torch.from_numpy(label)
        self.cond = self.p4 = self.subjet = None

    def __len__(self) -> int:
        return len(self.features.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of constituents of each jet after the cuts of the recipe, shape ``(n,)``."""
        return np.diff(self.features.offsets)

    def batch(self, index: npt.NDArray[np.int64]) -> ParticleBatch:
        """Batch of the jets with these row numbers, padded to the longest of them."""
        x, mask = pad_rows(self.features.x, self.features.offsets, index)
        rows = torch.from_numpy(index)
        label = None if self.label is None else self.label[rows]
        cond = None if self.cond is None else self.cond[rows]
        p4, subjet = self._padded(self.p4, index), self._padded(self.subjet, index, fill=-1)
        return ParticleBatch(torch.from_numpy(x), torch.from_numpy(mask), label, self.recipe.name, cond, p4, subjet)

    def _padded(
        self, values: npt.NDArray[Any] | None, index: npt.NDArray[np.int64], *, fill: float = 0
    ) -> Tensor | None:
        return (
            None if values is None else torch.from_numpy(pad_rows(values, self.features.offsets, index, fill=fill)[0])
        )


def stream_batches(stream: JetStream, recipe: Recipe) -> Iterator[ParticleBatch]:
    """The batches of a stream as a model sees them.

    Files in the layout of JetClass, if nothing is selected from them, are not made into `Jets` on the way: their
    columns become inputs directly, with the jets' momenta that the file gives. This takes a third of the time.

    Parameters
    ----------
    stream : JetStream
        From `jetlab.stream_jets`. Its `position` tells after every batch where to go on.
    recipe : Recipe
        Inputs to compute.

    Yields
    ------
    ParticleBatch
        Padded to the longest jet of the batch.

    Examples
    --------
    >>> for batch in stream_batches(stream_jets("train/*.root", batch_size=512), JETCLASS_RECIPES["full"]):
    ...     loss = objective(model, batch)
    """

    def read(file: JetFile, piece: Piece, selection: Selection) -> ParticleSet:
        raw = file.read_raw(piece.start, piece.stop) if selection == Selection() else None
        if raw is not None:
            c = raw.constituents
            return ParticleSet.of(recipe, recipe.from_columns(c.offsets, c.columns, jets=c.jets), raw.label)
        jets = selection.of(file.read(piece.start, piece.stop))
        if len(jets):
            return ParticleSet(jets, recipe)
        nothing = FlatFeatures(np.empty((0, recipe.width), np.float32), np.zeros(1, np.int64))
        return ParticleSet.of(recipe, nothing, jets.label)

    return stream.batches(read, _Buffer, _Buffer.batch)


class _Buffer:
    """Several sets of jets, from which batches are cut as from one, without a copy of all."""

    def __init__(self, parts: Sequence[ParticleSet]) -> None:
        offsets = [part.features.offsets for part in parts]
        labels = [part.label for part in parts if part.label is not None]
        self._recipe = parts[0].recipe
        self._like = parts[0].features.x
        self._x = [_bytes_of(part.features.x) for part in parts]
        self._part = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        self._start = np.concatenate([ends[:-1] for ends in offsets])
        self._stop = np.concatenate([ends[1:] for ends in offsets])
        self._label = torch.cat(labels) if len(labels) == len(parts) else None

    def __len__(self) -> int:
        return len(self._part)

    def batch(self, index: npt.NDArray[np.int64]) -> ParticleBatch:
        """Batch of the jets with these row numbers, padded to the longest of them."""
        start, stop = self._start[index], self._stop[index]
        size = self._like.itemsize * self._like.shape[1]
        places = (self._part[index].tolist(), (size * start).tolist(), (size * stop).tolist())
        rows = [self._x[k][i:j] for k, i, j in zip(*places, strict=True)]
        x, mask = _padded(rows, stop - start, self._like, 0)
        label = None if self._label is None else self._label[torch.from_numpy(index)]
        return ParticleBatch(torch.from_numpy(x), torch.from_numpy(mask), label, self._recipe.name)


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
    index = np.asarray(index)
    start, stop = offsets[index], offsets[index + 1]
    held, size = _bytes_of(values), values.itemsize * math.prod(values.shape[1:])
    rows = [held[i:j] for i, j in zip((size * start).tolist(), (size * stop).tolist(), strict=True)]
    return _padded(rows, stop - start, values, fill)


def _bytes_of(values: npt.NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data


def _padded(
    rows: Sequence[memoryview], counts: npt.NDArray[np.int64], like: npt.NDArray[Any], fill: float
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Rows of so many entries, as bytes, one below the other in the type of `like`.

    Joining bytes is faster than any indexing, and than copying row by row.
    """
    length = max(int(counts.max(initial=0)), 1)
    empty = _bytes_of(np.full((length, *like.shape[1:]), fill, like.dtype))
    pieces = [empty] * (2 * len(rows))
    pieces[::2] = rows
    pieces[1::2] = [empty[i:] for i in (len(empty) // length * counts).tolist()]
    joined = np.frombuffer(bytearray().join(pieces), like.dtype)
    return joined.reshape(len(rows), length, *like.shape[1:]), np.arange(length) < counts[:, None]
