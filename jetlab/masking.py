"""Which tokens of a jet are shown and which are to be predicted, drawn when a batch is cut.

As in I-JEPA (arXiv:2301.08243), masks are drawn together with the batch. They depend on nothing but a seed and the rows
of the batch, so that a training that is resumed sees the same ones, and a validation always does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jetlab.batches import Batch, ParticleBatch, ParticleSet
from jetlab.features.augment import Augmentations

__all__ = ["MaskKind", "MaskedBatch", "MaskedSet", "Masking", "Masks", "PlacesOf", "nearest_order"]

MaskKind = Literal["contiguous", "random", "momentum"]
"""Near tokens, any tokens, or any tokens up to a share of the pT of the jet."""

PlacesOf = Callable[[ParticleBatch], tuple[Tensor, Tensor]]
"""Gives pT, deta and dphi of the tokens of a batch, ``(B, T, 3 or more)``, and which tokens there are, ``(B, T)``."""

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Masks:
    """Tokens that are shown, ``(B, T)``, and tokens to predict in each of K goes, ``(B, K, T)``."""

    context: BoolArray
    targets: BoolArray


@dataclass(frozen=True)
class Masking:
    """How tokens to show and to predict are chosen; the default is that of Point-JEPA (arXiv:2404.16432).

    Every jet with two or more tokens has at least one to show and one to predict in each go. A jet with a single one
    shows it. Where the targets cover a jet, only the first is kept.

    Parameters
    ----------
    kind : {"contiguous", "random", "momentum"}
        What a target is: tokens next to each other in the order of `nearest_order`, or any.
    targets : int
        Targets of a jet, which are predicted separately and may overlap.
    target_share : (float, float)
        Least and largest share of the tokens in a target; of the pT of the jet if `kind` is "momentum".
    context : {"contiguous", "random", "rest"}
        What is shown: tokens next to each other, any, or all that are in no target.
    context_share : (float, float)
        Least and largest share of the tokens that are shown, before targets are removed; without effect for "rest".
    separate : bool
        Targets are removed from what is shown.

    Raises
    ------
    ValueError
        If there is no such kind, or a number makes no sense.
    """

    kind: MaskKind = "contiguous"
    targets: int = 4
    target_share: tuple[float, float] = (0.15, 0.2)
    context: Literal["contiguous", "random", "rest"] = "contiguous"
    context_share: tuple[float, float] = (0.4, 0.75)
    separate: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(MaskKind) or self.context not in ("contiguous", "random", "rest"):
            msg = (
                f"kind is {self.kind!r} and context {self.context!r}; expected one of {', '.join(get_args(MaskKind))}, "
                "and one of contiguous, random, rest"
            )
            raise ValueError(msg)
        if self.targets < 1:
            msg = f"targets is {self.targets}, expected 1 or more"
            raise ValueError(msg)
        for name, (low, high) in (("target_share", self.target_share), ("context_share", self.context_share)):
            if not 0 < low <= high <= 1:
                msg = f"{name} is ({low}, {high}), expected two rising numbers above 0 and up to 1"
                raise ValueError(msg)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> Masking:
        """Rebuild from `to_dict`."""
        shares = {name: tuple(entries[name]) for name in ("target_share", "context_share")}
        return Masking(**{**entries, **shares})

    def draw(self, places: FloatArray, mask: BoolArray, rng: np.random.Generator) -> Masks:
        """Draw the masks of some jets, each its own.

        Parameters
        ----------
        places : ndarray, shape (B, T, 3)
            pT, deta and dphi of the tokens.
        mask : ndarray of bool, shape (B, T)
            True for tokens that there are.
        rng : numpy.random.Generator
        """
        order = nearest_order(places[..., 1:3], mask) if "contiguous" in (self.kind, self.context) else None
        targets = np.stack([self._target(order, places[..., 0], mask, rng) for _ in range(self.targets)], 1)
        targets[(targets.any(1) | ~mask).all(1), 1:] = False
        covered = targets.any(1)
        rest = mask & ~covered
        if self.context == "rest":
            return Masks(rest, targets)
        shown = _block(order if self.context == "contiguous" else None, self.context_share, mask, rng, most=0)
        if self.separate:
            shown &= ~covered
            shown |= rest & ~shown.any(1, keepdims=True)
        return Masks(shown, targets)

    def _target(
        self, order: npt.NDArray[np.int64] | None, pt: FloatArray, mask: BoolArray, rng: np.random.Generator
    ) -> BoolArray:
        """One target of each jet, shape ``(B, T)``."""
        if self.kind == "momentum":
            return _up_to(pt, self.target_share, mask, rng)
        return _block(order if self.kind == "contiguous" else None, self.target_share, mask, rng, most=1)


def nearest_order(points: FloatArray, mask: BoolArray) -> npt.NDArray[np.int64]:
    """Rank of each token on a walk from the one with the least sum of coordinates, always to the nearest not yet seen.

    Parameters
    ----------
    points : ndarray, shape (B, T, 2)
    mask : ndarray of bool, shape (B, T)
        Tokens without a True come last.

    Returns
    -------
    ndarray of int64, shape (B, T)
    """
    rows, length = np.arange(len(points)), points.shape[1]
    x, y = (points[..., i].astype(np.float32) for i in (0, 1))
    distance = (x[:, :, None] - x[:, None]) ** 2 + (y[:, :, None] - y[:, None]) ** 2  # (B, T, T)
    left = np.where(mask, np.float32(0), np.float32(1e6))  # tokens seen already are out of reach
    ranks = np.empty(mask.shape, np.int64)
    here = (x + y + left).argmin(1)
    for step in range(length):
        ranks[rows, here] = step
        left[rows, here] = np.inf
        here = (distance[rows, here] + left).argmin(1)
    return ranks


def _block(
    order: npt.NDArray[np.int64] | None,
    share: tuple[float, float],
    mask: BoolArray,
    rng: np.random.Generator,
    *,
    most: int,
) -> BoolArray:
    """So many tokens of each jet: neighbours in an order, or any; at least one, and all but `most` at most."""
    count = mask.sum(1)
    size = np.rint(rng.uniform(*share, len(mask)) * count).astype(np.int64)
    size = np.minimum(np.maximum(size, 1), count - most)
    if order is None:
        ranks, start = _shuffled(mask, rng), np.zeros(len(mask), np.int64)
    else:
        ranks, start = order, rng.integers(0, np.maximum(count - size, 0) + 1)
    return mask & (ranks >= start[:, None]) & (ranks < (start + size)[:, None])


def _up_to(pt: FloatArray, share: tuple[float, float], mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Any tokens of each jet until their pT reaches a share of the sum; at least one, and never all."""
    ranks = _shuffled(mask, rng)
    drawn = np.take_along_axis(np.where(mask, pt, 0), ranks.argsort(1), 1)  # in the order they are taken
    before = np.take_along_axis(drawn.cumsum(1) - drawn, ranks, 1)
    wanted = rng.uniform(*share, (len(mask), 1)) * drawn.sum(1, keepdims=True)
    return mask & ((before < wanted) | (ranks == 0)) & (ranks < mask.sum(1, keepdims=True) - 1)


def _shuffled(mask: BoolArray, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rank of each token in a random order, ``(B, T)``, those that there are first."""
    keys = rng.random(mask.shape) + ~mask
    return keys.argsort(1).argsort(1)


@dataclass(frozen=True)
class MaskedBatch(Batch):
    """Jets, which of their tokens are shown ``(B, T)``, and which are to be predicted in each go ``(B, K, T)``."""

    batch: ParticleBatch
    context: Tensor
    targets: Tensor

    @property
    def label(self) -> Tensor | None:
        """Jet class, shape ``(B,)``."""
        return self.batch.label


class MaskedSet:
    """Jets from which batches with masks are cut.

    Parameters
    ----------
    particles : ParticleSet
    masking : Masking
    places : callable
        Which tokens there are, such as ``JetEncoder.places``; see `PlacesOf`.
    seed : int
        Of masks and augmentations, together with the rows of a batch.
    augment : Augmentations, optional
        Made to jets before masks are drawn.

    Raises
    ------
    ValueError
        If the inputs cannot be augmented.
    """

    def __init__(
        self,
        particles: ParticleSet,
        masking: Masking,
        *,
        places: PlacesOf,
        seed: int = 0,
        augment: Augmentations | None = None,
    ) -> None:
        self.particles, self.masking, self.seed, self.places, self.augment = particles, masking, seed, places, augment
        if augment is not None:
            augment.check(particles.recipe)

    def __len__(self) -> int:
        return len(self.particles)

    @property
    def drawn(self) -> str:
        """What is drawn when a batch is cut: a training that is resumed must draw the same."""
        return f"{self.masking} {self.augment} of seed {self.seed}"

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of constituents of each jet, shape ``(n,)``."""
        return self.particles.lengths

    def batch(self, index: npt.NDArray[np.int64]) -> MaskedBatch:
        """Batch of the jets with these row numbers, with masks that depend on nothing but them and the seed."""
        rng = np.random.default_rng((self.seed, _fingerprint(index)))
        batch = self.particles.batch(index)
        if self.augment is not None:
            batch = self._augmented(batch, self.augment, int(rng.integers(2**62)))
        momenta, mask = self.places(batch)
        masks = self.masking.draw(momenta.cpu().numpy(), mask.cpu().numpy(), rng)
        return MaskedBatch(batch, torch.from_numpy(masks.context), torch.from_numpy(masks.targets))

    def _augmented(self, batch: ParticleBatch, augment: Augmentations, seed: int) -> ParticleBatch:
        generator = torch.Generator().manual_seed(seed)
        x, mask, origin = augment(batch.x, batch.mask, self.particles.recipe, generator)
        subjet = None if batch.subjet is None else batch.subjet.gather(1, origin).masked_fill(~mask, -1)
        return replace(batch, x=x, mask=mask, subjet=subjet, p4=None)


def _fingerprint(index: npt.NDArray[np.int64]) -> int:
    return int.from_bytes(hashlib.blake2b(np.ascontiguousarray(index, np.int64).tobytes(), digest_size=8).digest())
