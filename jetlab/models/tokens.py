"""Tokenized jets: codes (what a tokenizer gives) and ids (what a sequence model reads) are different things.

A code is a row of the codebook, 0 to K - 1. Ids are codes plus three special ids of our own models: stop, start and
padding, each with a meaning of its own, so that nothing is shifted and nothing is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jetlab.batches import Batch, pad_rows
from jetlab.errors import InvalidJetsError
from jetlab.vocabulary import CLASSES

__all__ = [
    "NO_TARGET",
    "Prompt",
    "SequenceBatch",
    "SequenceSet",
    "TokenBatch",
    "TokenSequences",
    "TokenSet",
    "Vocabulary",
]

NO_TARGET = -1
"""Target of padded slots: never enters a loss."""


@dataclass(frozen=True)
class Vocabulary:
    """Ids of a codebook with `codes` rows. Outputs are the codes and stop; start and padding are never predicted."""

    SPECIAL: ClassVar[int] = 3
    """Number of ids that are no codes."""

    codes: int

    @property
    def stop(self) -> int:
        """Id after the last constituent."""
        return self.codes

    @property
    def start(self) -> int:
        """Id before the first constituent."""
        return self.codes + 1

    @property
    def padding(self) -> int:
        """Id of empty slots."""
        return self.codes + 2

    @property
    def inputs(self) -> int:
        """Number of ids that can be read."""
        return self.codes + self.SPECIAL

    @property
    def outputs(self) -> int:
        """Number of ids that can be predicted: codes and stop."""
        return self.codes + 1


@dataclass(frozen=True)
class TokenSequences:
    """Jets as codes, flat with offsets.

    Parameters
    ----------
    codes : ndarray of int64, shape (m,)
        Rows of the codebook, one a constituent, in order of falling pT.
    offsets : ndarray of int64, shape (n + 1,)
    codebook_size : int
    label : ndarray of int64, shape (n,), optional
    classes : tuple of str
    meta : dict

    Raises
    ------
    InvalidJetsError
        If codes lie outside the codebook (for instance ids that were shifted by one).
    """

    codes: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    codebook_size: int
    label: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] = CLASSES
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.codes.size and not (self.codes.min() >= 0 and self.codes.max() < self.codebook_size):
            hint = {
                self.codebook_size: ". If they are shifted by one, subtract 1",
                self.codebook_size
                + 1: ". If they are ids of OmniJet-alpha (0 start, codes from 1, stop last), convert "
                "them with jetlab.zoo.importers.omnijet.ids.tokens_of_ids",
            }
            msg = (
                f"codes run from {self.codes.min()} to {self.codes.max()}, expected 0 to {self.codebook_size - 1}: "
                "give codes, without start, stop or padding ids and without a shift"
                f"{hint.get(int(self.codes.max()), '')}"
            )
            raise InvalidJetsError(msg)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def multiplicity(self) -> npt.NDArray[np.int64]:
        """Number of codes of each jet, shape ``(n,)``."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Prompt(Batch):
    """What a generator is asked for: class, pT [GeV], mass [GeV] and number of constituents, each of shape ``(B,)``."""

    label: Tensor
    pt: Tensor
    mass: Tensor
    multiplicity: Tensor

    def __getitem__(self, rows: Any) -> Prompt:
        return Prompt(self.label[rows], self.pt[rows], self.mass[rows], self.multiplicity[rows])

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class TokenBatch(Batch):
    """Sequences to generate.

    Parameters
    ----------
    ids : Tensor of int64, shape (B, T)
        Start, then codes, then padding.
    targets : Tensor of int64, shape (B, T)
        The id after each, the last one stop; `NO_TARGET` where padded.
    prompt : Prompt, optional
        What the jets were asked to be.
    label : Tensor of int64, shape (B,), optional
    x : Tensor, shape (B, T, F), optional
        Continuous inputs of the constituents in the places of `ids`, zero at start and where padded.
    """

    ids: Tensor
    targets: Tensor
    prompt: Prompt | None = None
    label: Tensor | None = None
    x: Tensor | None = None

    def to(self, device: torch.device | str) -> TokenBatch:
        """Return the same batch on another device."""
        prompt, label, x = (None if part is None else part.to(device) for part in (self.prompt, self.label, self.x))
        return TokenBatch(self.ids.to(device), self.targets.to(device), prompt, label, x)  # type: ignore[arg-type]

    @property
    def constituents(self) -> Tensor:
        """True where `ids` is the code of a constituent, shape ``(B, T)``."""
        real = self.targets != NO_TARGET
        real[:, 0] = False
        return real


class TokenSet:
    """Token sequences to learn to generate, from which batches of any rows are cut.

    Parameters
    ----------
    tokens : TokenSequences
        With labels if `pt` and `mass` are given.
    pt, mass : ndarray, shape (n,), optional
        Jet pT and mass [GeV] that the sequences stand for: batches then hold prompts.
    x : ndarray, shape (m, F), optional
        Continuous inputs of the constituents, in the order of the codes.
    """

    def __init__(
        self,
        tokens: TokenSequences,
        *,
        pt: npt.NDArray[Any] | None = None,
        mass: npt.NDArray[Any] | None = None,
        x: npt.NDArray[np.float32] | None = None,
    ) -> None:
        if tokens.label is None and pt is not None:
            msg = "token sequences need labels to learn class-conditional generation; these carry none"
            raise InvalidJetsError(msg)
        self.tokens, self.x, self.vocabulary = tokens, x, Vocabulary(tokens.codebook_size)
        self.label = None if tokens.label is None else torch.from_numpy(tokens.label)
        self.pt, self.mass = (None if v is None else torch.as_tensor(v, dtype=torch.float32) for v in (pt, mass))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Ids to predict of each jet, the stop included, shape ``(n,)``."""
        return self.tokens.multiplicity + 1

    def batch(self, index: npt.NDArray[np.int64]) -> TokenBatch:
        """Batch of the jets with these row numbers, padded to the longest of them."""
        codes, mask = pad_rows(self.tokens.codes, self.tokens.offsets, index, fill=self.vocabulary.padding)
        rows, counts = np.arange(len(index)), mask.sum(1)
        ids = np.concatenate([np.full((len(index), 1), self.vocabulary.start), codes], axis=1)
        targets = np.concatenate([np.where(mask, codes, NO_TARGET), np.full((len(index), 1), NO_TARGET)], axis=1)
        targets[rows, counts] = self.vocabulary.stop
        pick = torch.from_numpy(index)
        prompt = label = x = None
        if self.label is not None:
            label = self.label[pick]
        if label is not None and self.pt is not None and self.mass is not None:
            prompt = Prompt(label, self.pt[pick], self.mass[pick], torch.from_numpy(counts))
        if self.x is not None:
            inputs, _ = pad_rows(self.x, self.tokens.offsets, index)
            x = torch.from_numpy(np.pad(inputs, ((0, 0), (1, 0), (0, 0))))
        return TokenBatch(torch.from_numpy(ids), torch.from_numpy(targets), prompt, label, x)


@dataclass(frozen=True)
class SequenceBatch(Batch):
    """Whole sequences, start and stop included, to learn something about: ``ids`` and ``mask`` (B, T), ``label`` (B,).

    The mask is True for start, codes and stop.
    """

    ids: Tensor
    mask: Tensor
    label: Tensor | None = None


class SequenceSet:
    """Token sequences with start and stop, from which batches of any rows are cut.

    Parameters
    ----------
    tokens : TokenSequences
    max_ids : int, optional
        Longer sequences lose their end, as those of the published classifiers do beyond 128 ids.
    """

    def __init__(self, tokens: TokenSequences, *, max_ids: int | None = None) -> None:
        self.tokens, self.max_ids, self.vocabulary = tokens, max_ids, Vocabulary(tokens.codebook_size)
        self.label = None if tokens.label is None else torch.from_numpy(tokens.label)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Ids of each jet, start and stop included, shape ``(n,)``."""
        return np.minimum(self.tokens.multiplicity + 2, self.max_ids or np.iinfo(np.int64).max)

    def batch(self, index: npt.NDArray[np.int64]) -> SequenceBatch:
        """Batch of the jets with these row numbers, padded to the longest of them."""
        codes, real = pad_rows(self.tokens.codes, self.tokens.offsets, index, fill=self.vocabulary.padding)
        ids = np.pad(codes, ((0, 0), (1, 1)), constant_values=self.vocabulary.padding)
        ids[:, 0], ids[np.arange(len(index)), real.sum(1) + 1] = self.vocabulary.start, self.vocabulary.stop
        ids = ids[:, : self.max_ids]
        label = None if self.label is None else self.label[torch.from_numpy(index)]
        return SequenceBatch(torch.from_numpy(ids), torch.from_numpy(ids != self.vocabulary.padding), label)
