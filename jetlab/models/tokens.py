"""Tokenized jets: codes (what a tokenizer gives) and ids (what a sequence model reads) are different things.

A code is a row of the codebook, 0 to K - 1. Ids are codes plus three special ids of our own models: stop, start and
padding, each with a meaning of its own, so that nothing is shifted and nothing is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jetlab.batches import Batch, pad_rows
from jetlab.errors import InvalidJetsError
from jetlab.vocabulary import CLASSES

__all__ = ["NO_TARGET", "Prompt", "TokenBatch", "TokenSequences", "TokenSet", "Vocabulary"]

NO_TARGET = -1
"""Target of padded slots: never enters a loss."""


@dataclass(frozen=True)
class Vocabulary:
    """Ids of a codebook with `codes` rows. Outputs are the codes and stop; start and padding are never predicted."""

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
        return self.codes + 3

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
            msg = (
                f"codes run from {self.codes.min()} to {self.codes.max()}, expected 0 to {self.codebook_size - 1}: "
                "give codes, without start, stop or padding ids and without a shift"
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
    """Sequences to learn from: ``ids`` (B, T) beginning with start, ``targets`` (B, T) ending with stop, a prompt."""

    ids: Tensor
    targets: Tensor
    prompt: Prompt

    def to(self, device: torch.device | str) -> TokenBatch:
        """Return the same batch on another device."""
        return TokenBatch(self.ids.to(device), self.targets.to(device), self.prompt.to(device))


class TokenSet:
    """Token sequences with their prompts, from which batches of any rows are cut.

    Parameters
    ----------
    tokens : TokenSequences
        Labelled sequences.
    pt, mass : ndarray, shape (n,)
        Jet pT and mass [GeV] that the sequences stand for.
    """

    def __init__(self, tokens: TokenSequences, *, pt: npt.NDArray[Any], mass: npt.NDArray[Any]) -> None:
        if tokens.label is None:
            msg = "token sequences need labels to learn class-conditional generation; these carry none"
            raise InvalidJetsError(msg)
        self.tokens, self.vocabulary = tokens, Vocabulary(tokens.codebook_size)
        self.label = torch.from_numpy(tokens.label)
        self.pt, self.mass = torch.as_tensor(pt, dtype=torch.float32), torch.as_tensor(mass, dtype=torch.float32)

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
        prompt = Prompt(self.label[pick], self.pt[pick], self.mass[pick], torch.from_numpy(counts))
        return TokenBatch(torch.from_numpy(ids), torch.from_numpy(targets), prompt)
