"""The transformer of an OmniJet-alpha as the backbone of other tasks: generation to tagging (arXiv:2403.05618).

It reads what it learned to generate: the codes of its tokenizer between start and stop, or continuous inputs. What only
generation needs, the outputs, is left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import JetLabError
from jetlab.models.alpha import OmniJetAlpha, OmniJetAlphaConfig
from jetlab.models.encoding import Encoding
from jetlab.models.tokens import SequenceBatch, SequenceSet

if TYPE_CHECKING:
    from jetlab.features import Recipe
    from jetlab.jets import Jets
    from jetlab.models.tokenizers import VQVAE, BinnedTokenizer, Tokenizer

__all__ = ["SequenceBackbone", "SequenceConfig"]

OUTPUTS = ("head", "masked_head", "hidden")
"""Parts of a `GPT` that only its pretraining needs."""

NO_TOKENIZER = "this model came without its tokenizer, so it reads token sequences, not jets"


@dataclass(frozen=True)
class SequenceConfig:
    """Configuration of a `SequenceBackbone`.

    Parameters
    ----------
    model : OmniJetAlphaConfig
        The generator that it is taken from.
    causal : bool
        Each constituent sees itself and harder ones, as in pretraining and in the published classifiers; otherwise
        each sees all.
    max_ids : int, optional
        Longer sequences, start and stop counted, lose their end.
    """

    model: OmniJetAlphaConfig
    causal: bool = True
    max_ids: int | None = None

    @property
    def width(self) -> int:
        """Of the encoding."""
        return self.model.gpt.width

    @property
    def recipe(self) -> Recipe:
        """Inputs that are read or tokenized.

        Raises
        ------
        JetLabError
            If the tokenizer is not there.
        """
        if self.model.tokenizer is None:
            raise JetLabError(NO_TOKENIZER)
        return self.model.tokenizer.recipe

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {"model": self.model.to_dict(), "causal": self.causal, "max_ids": self.max_ids}

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> SequenceConfig:
        """Rebuild from `to_dict`."""
        return SequenceConfig(OmniJetAlphaConfig.from_dict(entries["model"]), entries["causal"], entries["max_ids"])


class SequenceBackbone(nn.Module):
    """Jets or token sequences to an `Encoding`.

    The tokenizer is part of the backbone but never learns: it only says what the constituents are called.

    Parameters
    ----------
    config : SequenceConfig
    """

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__()
        model = OmniJetAlpha(config.model)
        self.config, self.tokenizer, self.gpt = config, model.tokenizer, model.gpt
        for name in OUTPUTS:
            if hasattr(self.gpt, name):
                delattr(self.gpt, name)
        if self.tokenizer is not None:
            self.tokenizer.requires_grad_(requires_grad=False)

    @classmethod
    def of(cls, model: OmniJetAlpha, *, causal: bool = True) -> SequenceBackbone:
        """Tokenizer and transformer of a generator; tensors are copied.

        Raises
        ------
        JetLabError
            If the generator was told the classes of the jets: it would be a poor judge of them without.
        """
        if model.classes:
            msg = "this generator was told the class of every jet; transfer to tagging needs one that was not"
            raise JetLabError(msg)
        made = cls(SequenceConfig(model.config, causal))
        state, wanted = model.state_dict(), made.state_dict()
        made.load_state_dict({name: state[name] for name in wanted})
        return made

    def use(self, tokenizer: VQVAE | BinnedTokenizer) -> None:
        """Take this tokenizer, for a backbone that came without its own, so that it reads jets.

        Raises
        ------
        JetLabError
            If its codes are not those that the transformer knows.
        """
        if tokenizer.codebook_size != (codes := self.gpt.config.vocabulary.codes):
            msg = (
                f"the tokenizer has {tokenizer.codebook_size} codes, the transformer {codes}; "
                "they do not belong together"
            )
            raise JetLabError(msg)
        self.config = replace(self.config, model=replace(self.config.model, tokenizer=tokenizer.config))
        self.tokenizer = tokenizer.requires_grad_(requires_grad=False)

    def untrained(self) -> SequenceBackbone:
        """The same architecture and tokenizer with a transformer that has learned nothing."""
        fresh = SequenceBackbone(self.config)
        if fresh.tokenizer is not None and self.tokenizer is not None:
            fresh.tokenizer.load_state_dict(self.tokenizer.state_dict())
        return fresh

    def prepare(self, jets: Jets) -> ParticleSet | SequenceSet:
        """What `encode` reads of jets, in batches: tokens, so that each jet is tokenized once, or inputs."""
        if self.config.model.gpt.features:
            return ParticleSet(jets, self.config.recipe)
        return SequenceSet(self._tokenizer().encode(jets), max_ids=self.config.max_ids)

    def encode(self, batch: ParticleBatch | SequenceBatch) -> Encoding:
        """Encode constituents, or all ids of a sequence: start, codes and stop; the jet is their mean."""
        if isinstance(batch, ParticleBatch) and not self.config.model.gpt.features:
            batch = self._sequences(batch)
        return self.gpt.encode(batch, causal=self.config.causal)

    @torch.no_grad()
    def _sequences(self, batch: ParticleBatch) -> SequenceBatch:
        """Tokenize: ids ``(B, N + 2)`` with start before and stop after the codes of each jet."""
        ids, (B, N) = self.config.model.gpt.vocabulary, batch.mask.shape
        rows = torch.full((B, N + 2), ids.padding, device=batch.mask.device)
        rows[:, 0] = ids.start
        rows[:, 1:-1][batch.mask] = self._tokenizer().codes(batch)
        rows[torch.arange(B), batch.mask.sum(1) + 1] = ids.stop
        rows = rows[:, : self.config.max_ids]
        return SequenceBatch(rows, rows != ids.padding, batch.label)

    def _tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise JetLabError(NO_TOKENIZER)
        return self.tokenizer
