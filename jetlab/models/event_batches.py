"""What a model of events sees: the particles of their jets, jet by jet, and the momenta of the jets, event by event."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jetlab.batches import Batch, ParticleBatch, ParticleSet, pad_rows
from jetlab.errors import InvalidJetsError
from jetlab.jets import Events

if TYPE_CHECKING:
    from jetlab.features import Recipe
    from jetlab.jets import Jets
    from jetlab.masking import Masking

__all__ = ["EventBatch", "EventSet", "HiddenBatch", "HiddenSet", "jets_at"]


@dataclass(frozen=True)
class EventBatch(Batch):
    """Some events of up to K jets each, and the inputs of their jets.

    Parameters
    ----------
    jets : ParticleBatch
        The m jets that there are, those of one event after those of the one before, in the order of `mask`.
    momenta : Tensor, shape (B, K, 4)
        pT [GeV], rapidity, azimuth and squared mass [GeV²] of the jets, float32, zero where padded.
    mask : Tensor of bool, shape (B, K)
        True for jets that there are; m of them.
    label : Tensor of int64, shape (B,), optional
        Class of each event.
    """

    jets: ParticleBatch
    momenta: Tensor
    mask: Tensor
    label: Tensor | None = None


class EventSet:
    """Events prepared by a recipe, from which batches of any rows are cut.

    Parameters
    ----------
    events : Events
        Events with at least one jet among them; some may have none.
    recipe : Recipe
        Inputs of the jets to compute, once.
    n_jets : int
        So many jets of each event are read, the hardest.
    subjets : int
        As for `jetlab.batches.ParticleSet`.

    Raises
    ------
    InvalidJetsError
        If these are jets, not events, or none of the events has a jet.
    """

    def __init__(self, events: Events | Jets, recipe: Recipe, *, n_jets: int, subjets: int = 0) -> None:
        if not isinstance(events, Events):
            msg = (
                f"a model of events reads Events, found {type(events).__name__}; load_events gives some, and "
                "Events(jets, offsets) makes them of jets"
            )
            raise InvalidJetsError(msg)
        leading = events.leading(n_jets)
        self.offsets = leading.offsets
        self.particles = ParticleSet(leading.jets, recipe, subjets=subjets)
        self.momenta = _momenta(leading.jets)
        self.label = None if events.label is None else torch.from_numpy(events.label.copy())

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of constituents of the jets of each event, shape ``(n,)``."""
        return np.diff(np.concatenate([[0], self.particles.lengths.cumsum()])[self.offsets])

    def batch(self, index: npt.NDArray[np.int64]) -> EventBatch:
        """Batch of the events with these row numbers, padded to the one with the most jets."""
        momenta, mask = pad_rows(self.momenta, self.offsets, index)
        jets = (self.offsets[index][:, None] + np.arange(mask.shape[1]))[mask]
        label = None if self.label is None else self.label[torch.from_numpy(index)]
        return EventBatch(self.particles.batch(jets), torch.from_numpy(momenta), torch.from_numpy(mask), label)


@dataclass(frozen=True)
class HiddenBatch(Batch):
    """Events, which of their jets are shown ``(B, K)``, and which are to be predicted in each go ``(B, G, K)``."""

    batch: EventBatch
    context: Tensor
    targets: Tensor


class HiddenSet:
    """Events from which batches are cut in which jets are hidden.

    Parameters
    ----------
    events : EventSet
    masking : Masking
        Which jets, as which tokens of a jet elsewhere.
    seed : int
        Of what is hidden, together with the rows of a batch.
    """

    def __init__(self, events: EventSet, masking: Masking, *, seed: int = 0) -> None:
        self.events, self.masking, self.seed = events, masking, seed

    def __len__(self) -> int:
        return len(self.events)

    @property
    def drawn(self) -> str:
        """What is drawn when a batch is cut: a training that is resumed must draw the same."""
        return f"{self.masking} of seed {self.seed}"

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of constituents of the jets of each event, shape ``(n,)``."""
        return self.events.lengths

    def batch(self, index: npt.NDArray[np.int64]) -> HiddenBatch:
        """Batch of the events with these row numbers; what is hidden depends on nothing but them and the seed."""
        batch = self.events.batch(index)
        rng = np.random.default_rng((self.seed, *map(int, index)))
        masks = self.masking.draw(batch.momenta[..., :3].numpy(), batch.mask.numpy(), rng)
        return HiddenBatch(batch, torch.from_numpy(masks.context), torch.from_numpy(masks.targets))


def jets_at(batch: ParticleBatch, rows: Tensor) -> ParticleBatch:
    """The jets with these row numbers ``(m,)``."""

    def at_rows(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[rows]

    label, cond, p4, subjet = map(at_rows, (batch.label, batch.cond, batch.p4, batch.subjet))
    return replace(batch, x=batch.x[rows], mask=batch.mask[rows], label=label, cond=cond, p4=p4, subjet=subjet)


def _momenta(jets: Jets) -> npt.NDArray[np.float32]:
    """pT, rapidity, azimuth and squared mass of jets, shape ``(n, 4)``; zero for jets without constituents."""
    transverse = np.hypot(jets.pt, jets.mass)
    rapidity = np.arcsinh(jets.p4[:, 3] / np.where(transverse > 0, transverse, 1))
    return np.stack([jets.pt, rapidity, jets.phi, jets.mass**2], 1).astype(np.float32)
