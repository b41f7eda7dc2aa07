"""Labelled rows to learn from: some of the jets of a data set, or encodings of them that were computed once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from jetlab.batches import pad_rows
from jetlab.errors import InvalidJetsError
from jetlab.jets import Events
from jetlab.models.encoding import EncodedBatch
from jetlab.train.order import validation_batches

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.models.tagger import Tagger
    from jetlab.train import Dataset

__all__ = ["EncodedSet", "Rows", "encoded", "labels_among"]


class Rows:
    """Some rows of a data set, with labels of their own.

    Batches of jets of similar length would be batches of one class where one class has longer jets than the other.
    So rows are grouped by the rank of their length within their class: every batch holds all classes alike.

    Parameters
    ----------
    data : Dataset
    index : ndarray of int, shape (n,)
        Rows that are taken.
    label : ndarray of int, shape (len(data),)
        Class of every row of `data`.
    """

    def __init__(self, data: Dataset, index: npt.NDArray[np.int64], label: npt.NDArray[np.int64]) -> None:
        self.data, self.index, self.label = data, np.asarray(index), label
        self._lengths = _typical(np.asarray(data.lengths)[self.index], label[self.index])

    def __len__(self) -> int:
        return len(self.index)

    @property
    def lengths(self) -> npt.NDArray[Any]:
        """Items of a typical row of this rank within its class: the mean over the classes, shape ``(n,)``."""
        return self._lengths

    def batch(self, index: npt.NDArray[np.int64]) -> Any:
        """Batch of the rows with these numbers among those taken."""
        rows = self.index[index]
        batch: Any = self.data.batch(rows)
        return replace(batch, label=torch.from_numpy(self.label[rows]))


def _typical(lengths: npt.NDArray[Any], label: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    rank = np.empty(len(lengths))
    for k in np.unique(label):
        rows = np.flatnonzero(label == k)
        rank[rows[np.argsort(lengths[rows], kind="stable")]] = (np.arange(len(rows)) + 0.5) / len(rows)
    of_class = [np.quantile(lengths[label == k], rank) for k in np.unique(label)]
    return np.mean(of_class, axis=0).round().astype(np.int64)


class EncodedSet:
    """Encodings of jets, computed once, from which batches of any rows are cut.

    Parameters
    ----------
    particles : ndarray, shape (m, D)
        Encodings of the particles, jet after jet.
    offsets : ndarray of int64, shape (n + 1,)
    jet : ndarray, shape (n, D)
    seconds : float
        Processor time that computing them took [s].
    """

    def __init__(
        self,
        particles: npt.NDArray[Any],
        offsets: npt.NDArray[np.int64],
        jet: npt.NDArray[Any],
        *,
        seconds: float = 0.0,
    ) -> None:
        self.particles, self.offsets, self.jet, self.seconds = particles, offsets, jet, seconds

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Particles of each jet, shape ``(n,)``."""
        return np.diff(self.offsets)

    def batch(self, index: npt.NDArray[np.int64]) -> EncodedBatch:
        """Batch of the jets with these row numbers, padded to the longest of them."""
        particles, mask = pad_rows(self.particles, self.offsets, index)
        jet = torch.from_numpy(self.jet[index]).float()
        return EncodedBatch(torch.from_numpy(particles).float(), jet, torch.from_numpy(mask))


@torch.no_grad()
def encoded(tagger: Tagger, data: Dataset, *, batch_size: int = 128) -> EncodedSet:
    """What the tagger's backbone makes of all rows, without gradients, kept with 11 significant bits.

    Parameters
    ----------
    tagger : Tagger
    data : Dataset
        From ``tagger.prepare(jets)``.
    batch_size : int
        Jets at once, of similar length.
    """
    began, device = time.process_time(), next(tagger.parameters()).device
    width = tagger.config.backbone.width
    jet = np.empty((len(data), width), np.float16)
    found: list[npt.NDArray[np.float16]] = [np.empty((0, width), np.float16)] * len(data)
    tagger.eval()
    for rows in validation_batches(data.lengths, batch_size):
        batch: Any = data.batch(rows)
        encoding = tagger.backbone.encode(batch.to(device))
        jet[rows] = encoding.jet.half().cpu().numpy()
        flat = encoding.particles[encoding.mask].half().cpu().numpy()
        counts = encoding.mask.sum(1).cpu().numpy()
        for row, part in zip(rows, np.split(flat, np.cumsum(counts)[:-1]), strict=True):
            found[row] = part
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in found])])
    return EncodedSet(np.concatenate(found), offsets, jet, seconds=time.process_time() - began)


def labels_among(jets: Jets | Events, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Place of each jet's class, or each event's, in `classes`, -1 for those of other classes.

    Raises
    ------
    InvalidJetsError
        If there are fewer than two classes, or one of them without jets, or events.
    """
    unit = "events" if isinstance(jets, Events) else "jets"
    counts = jets.class_counts() if jets.label is not None else {}
    missing = [name for name in classes if not counts.get(name)]
    if len(set(classes)) < 2 or missing or jets.label is None:
        found = ", ".join(f"{name} {count}" for name, count in counts.items()) or f"no labelled {unit}"
        msg = (
            f"tagging needs {unit} of at least two classes, asked for {', '.join(classes) or 'none'}; there are {found}"
        )
        raise InvalidJetsError(msg)
    place = np.full(len(jets.classes), -1, np.int64)
    place[[jets.classes.index(name) for name in classes]] = np.arange(len(classes))
    return place[jets.label]
