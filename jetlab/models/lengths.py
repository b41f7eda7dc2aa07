"""Batches in parts of jets of similar length, so that little is computed for padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from jetlab.batches import ParticleBatch

__all__ = ["LengthParts", "Part"]

SLOTS = 1024
"""Slots of a part on a CPU: its activations stay in the cache, and its jets are of almost the same length."""


class Part(NamedTuple):
    """Some jets of a batch without unused slots, and which rows of the batch they are, shape ``(b,)``."""

    batch: ParticleBatch
    rows: Tensor


class LengthParts:
    """How a batch is split by the number of real particles; elsewhere than on a CPU it stays together.

    Parameters
    ----------
    batch : ParticleBatch
    slots : int, optional
        Of a part, padding included.
    """

    def __init__(self, batch: ParticleBatch, *, slots: int | None = None) -> None:
        self.batch, self.counts = batch, batch.mask.sum(1)
        if slots is None and batch.mask.device.type == "cpu":
            slots = SLOTS
        self.order = self.counts.argsort() if slots else torch.arange(len(self.counts), device=batch.mask.device)
        self.sizes = _sizes(self.counts[self.order].tolist(), slots) if slots else [len(self.counts)]

    def __iter__(self) -> Iterator[Part]:
        for rows in self.order.split(self.sizes):
            b = self.batch
            x, mask = compact(b.x[rows], b.mask[rows])
            label, cond = (None if values is None else values[rows] for values in (b.label, b.cond))
            p4 = None if b.p4 is None else compact(b.p4[rows], b.mask[rows])[0]
            yield Part(replace(b, x=x, mask=mask, label=label, cond=cond, p4=p4), rows)

    def jets(self, values: Sequence[Tensor]) -> Tensor:
        """Join what the parts have for each jet, ``(b, ...)``, in the order of the batch."""
        return torch.cat(list(values))[self.order.argsort()]

    def slots(self, values: Sequence[Tensor]) -> Tensor:
        """Join what the parts have for each slot, ``(b, n, D)``, to ``(B, N, D)``, zero where padded."""
        mask = self.batch.mask
        where = mask[self.order]
        counts = self.counts[self.order].split(self.sizes)
        real = [part[_first(part, n)] for part, n in zip(values, counts, strict=True)]  # each (m, D)
        joined = real[0].new_zeros(*mask.shape, real[0].shape[-1]).index_put((where,), torch.cat(real))
        return joined[self.order.argsort()]


def compact(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Real particles first, without slots that no jet needs: ``(B, N, F)`` to ``(B, n, F)`` and the mask ``(B, n)``."""
    counts = mask.sum(1)
    longest = max(1, int(counts.max())) if len(counts) else 1
    real = torch.arange(longest, device=mask.device) < counts[:, None]
    return x.new_zeros(*real.shape, x.shape[-1]).index_put((real,), x[mask]), real


def _first(part: Tensor, counts: Tensor) -> Tensor:
    """Where the real particles of a part are, shape ``(b, n)``."""
    return torch.arange(part.shape[1], device=part.device) < counts[:, None]


def _sizes(counts: Sequence[int], slots: int) -> list[int]:
    """How many jets each part has, from their numbers of particles in rising order."""
    sizes: list[int] = []
    size = 0
    for n in counts:
        if size and (size + 1) * n > slots:
            sizes.append(size)
            size = 0
        size += 1
    return [*sizes, size]
