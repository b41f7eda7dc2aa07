"""The order in which training visits its rows: a pure function of seed and epoch, so none of it needs saving."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["POOL", "epoch_batches", "steps_per_epoch", "validation_batches"]

POOL = 20
"""Batches that are drawn at random together before they are sorted by length."""

Index = npt.NDArray[np.int64]


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Batches in which every row occurs once."""
    return -(-rows // batch_size)


def epoch_batches(
    lengths: npt.ArrayLike, batch_size: int, *, seed: int, epoch: int, bucket: bool = True
) -> list[Index]:
    """Cut one epoch into batches that hold every row exactly once.

    Rows are shuffled and dealt into pools of `POOL` batches. With `bucket`, each pool is sorted by length before it is
    cut, so that rows of similar length share a batch and little is padded; the batches are then shuffled.

    Parameters
    ----------
    lengths : array_like of int, shape (n,)
        Items of each row.
    batch_size : int
        Most rows in a batch; the batches of the last pool are as equal as possible.
    seed, epoch : int
        The same pair always gives the same batches.
    bucket : bool
        Group rows of similar length.

    Returns
    -------
    list of numpy.ndarray
        Row numbers of each batch.
    """
    lengths = np.asarray(lengths)
    rng = np.random.default_rng((seed, epoch))
    rows = rng.permutation(len(lengths))
    batches: list[Index] = []
    for start in range(0, len(rows), POOL * batch_size):
        pool = rows[start : start + POOL * batch_size]
        if bucket:
            pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += np.array_split(pool, steps_per_epoch(len(pool), batch_size))
    return [batches[i] for i in rng.permutation(len(batches))]


def validation_batches(lengths: npt.ArrayLike, batch_size: int) -> list[Index]:
    """All rows in batches of similar length, the same at every call."""
    rows = np.argsort(np.asarray(lengths), kind="stable")
    return np.array_split(rows, steps_per_epoch(len(rows), batch_size))
