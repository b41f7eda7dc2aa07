"""The contract of all tokenizers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch, ParticleSet, pad_rows
from jetlab.errors import InvalidJetsError
from jetlab.features import Recipe
from jetlab.jets import Jets
from jetlab.models.tokens import TokenSequences

__all__ = ["Reconstruction", "Tokenizer", "Weighting"]

Weighting = Literal["momentum", "equal"]
"""How much each particle counts in the reconstruction: by the root of its momentum share, or all alike."""


class Reconstruction(NamedTuple):
    """Outcome of a forward pass: inputs rebuilt (B, N, F), codes of the real particles (m,), loss of the quantizer."""

    x: Tensor
    codes: Tensor
    commitment: Tensor


class Tokenizer(nn.Module, ABC):
    """What turns jets into codes, one a constituent, and codes into jets.

    A subclass says how a batch becomes codes (`codes`), what codes stand for (`inputs`) and how both are learned
    (`forward`).

    Attributes
    ----------
    alpha : float
        Weight of the quantizer's loss in the objective `jetlab.objectives.reconstruction`.
    weighting : {"momentum", "equal"}
        How much each particle counts there.
    """

    alpha: float = 0.0
    weighting: Weighting = "equal"

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """Inputs that the tokenizer reads."""

    @property
    @abstractmethod
    def codebook_size(self) -> int:
        """Number of different codes."""

    @abstractmethod
    def forward(self, batch: ParticleBatch, generator: torch.Generator | None = None) -> Reconstruction:
        """Encode and decode a batch, with gradients; learns the codebook in training mode."""

    @abstractmethod
    def codes(self, batch: ParticleBatch) -> Tensor:
        """Codes of the real particles of a batch, jet by jet, shape ``(m,)``."""

    @abstractmethod
    def inputs(self, codes: Tensor, mask: Tensor) -> Tensor:
        """Inputs that padded codes ``(B, N)`` stand for, shape ``(B, N, F)``, zero where padded."""

    @abstractmethod
    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration, of which ``from_config`` of the same class makes an untrained tokenizer."""

    @property
    def device(self) -> torch.device:
        """Where the tokenizer is."""
        return next(chain(self.parameters(), self.buffers())).device

    @torch.no_grad()
    def encode(self, jets: Jets, *, batch_size: int = 512) -> TokenSequences:
        """Turn jets into codes, one a constituent that the recipe keeps.

        Parameters
        ----------
        jets : Jets
        batch_size : int

        Returns
        -------
        TokenSequences
        """
        particles = ParticleSet(jets, self.recipe)
        offsets = particles.features.offsets
        codes = np.empty(int(offsets[-1]), dtype=np.int64)
        was_training = self.training
        self.eval()
        for rows in _by_length(particles.lengths, batch_size):
            codes[_flat_slots(offsets, rows)] = self.codes(particles.batch(rows).to(self.device)).cpu().numpy()
        self.train(was_training)
        return TokenSequences(codes, offsets, self.codebook_size, jets.label, jets.classes, jets.meta)

    @torch.no_grad()
    def decode_inputs(self, tokens: TokenSequences, *, batch_size: int = 512) -> npt.NDArray[np.float32]:
        """Model inputs that codes stand for, in the order of the codes, shape ``(m, F)``.

        Parameters
        ----------
        tokens : TokenSequences
        batch_size : int

        Raises
        ------
        InvalidJetsError
            If the codes belong to a codebook of another size.
        """
        if tokens.codebook_size != self.codebook_size:
            msg = f"these codes belong to a codebook of {tokens.codebook_size}, this tokenizer has {self.codebook_size}"
            raise InvalidJetsError(msg)
        x = np.empty((len(tokens.codes), self.recipe.width), dtype=np.float32)
        was_training = self.training
        self.eval()
        for rows in _by_length(tokens.multiplicity, batch_size):
            codes, mask = (torch.from_numpy(a).to(self.device) for a in pad_rows(tokens.codes, tokens.offsets, rows))
            x[_flat_slots(tokens.offsets, rows)] = self.inputs(codes, mask)[mask].cpu().numpy()
        self.train(was_training)
        return x

    def decode(self, tokens: TokenSequences, *, batch_size: int = 512) -> Jets:
        """Turn codes back into jets of massless constituents around the axis eta = phi = 0.

        Parameters and errors as for `decode_inputs`.
        """
        x = self.decode_inputs(tokens, batch_size=batch_size)
        return self.recipe.inverse(x, tokens.offsets, label=tokens.label, classes=tokens.classes, meta=tokens.meta)


def _by_length(lengths: npt.NDArray[np.int64], batch_size: int) -> list[npt.NDArray[np.int64]]:
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def _flat_slots(offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    slots, mask = pad_rows(np.arange(offsets[-1]), offsets, rows)
    return slots[mask]
