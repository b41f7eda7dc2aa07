"""OmniJet-alpha as published (arXiv:2403.05618): a tokenizer and a transformer over its codes, nothing else.

The generator sees the codes drawn so far and, if it was trained so, the class asked for. `jetlab.models.omnijet` is the
form that can also be asked for kinematics. A backbone that reads continuous inputs (arXiv:2512.04149) is given, while
it generates, the mean inputs that each drawn code stands for, from a table that is part of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.models.blocks import Cache
from jetlab.models.gpt import GPT, GPTConfig
from jetlab.models.tokenizers import VQVAE, VQVAEConfig
from jetlab.models.tokens import NO_TARGET, TokenBatch, Vocabulary

__all__ = ["AlphaState", "OmniJetAlpha", "OmniJetAlphaConfig", "mean_inputs"]


@dataclass(frozen=True)
class OmniJetAlphaConfig:
    """Configuration of an `OmniJetAlpha`.

    Parameters
    ----------
    gpt : GPTConfig
    tokenizer : VQVAEConfig or None
        None for a generator that came without its tokenizer.
    classes : tuple of str
        Classes that can be asked for; none if the model generates the mixture that it was trained on.
    """

    gpt: GPTConfig
    tokenizer: VQVAEConfig | None = None
    classes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> OmniJetAlphaConfig:
        """Rebuild from `to_dict`."""
        tokenizer = entries["tokenizer"]
        return OmniJetAlphaConfig(
            GPTConfig(**entries["gpt"]),
            None if tokenizer is None else VQVAEConfig.from_dict(tokenizer),
            tuple(entries["classes"]),
        )


@dataclass
class AlphaState:
    """Sequences in the making: keys and values of the tokens so far, and the class asked for, ``(B,)``, if any."""

    caches: list[Cache]
    label: Tensor | None

    def keep(self, rows: Tensor) -> None:
        """Drop all sequences but these, given by number in rising order."""
        for cache in self.caches:
            cache.keep(rows)
        self.label = None if self.label is None else self.label[rows]


class OmniJetAlpha(nn.Module):
    """Tokenizer and token generator, unconditional or asked for a class.

    Parameters
    ----------
    config : OmniJetAlphaConfig

    Attributes
    ----------
    tokenizer : Tokenizer or None
    gpt : GPT
    label : torch.nn.Embedding
        Only with classes: one vector each, added to every token.
    means : Tensor, shape (inputs, features)
        Only with continuous inputs: what each code stands for on average, see `mean_inputs`.
    """

    means: Tensor

    def __init__(self, config: OmniJetAlphaConfig) -> None:
        super().__init__()
        self.config, self.vocabulary = config, config.gpt.vocabulary
        self.tokenizer = None if config.tokenizer is None else VQVAE(config.tokenizer)
        self._check_codes()
        self.gpt = GPT(config.gpt)
        if config.classes:
            self.label = nn.Embedding(len(config.classes), config.gpt.width)
            nn.init.normal_(self.label.weight, std=0.02)
        if config.gpt.features:
            self.register_buffer("means", torch.zeros(config.gpt.inputs, config.gpt.features))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that can be asked for."""
        return self.config.classes

    def use(self, tokenizer: VQVAE) -> None:
        """Take this tokenizer, for a generator that came without its own.

        Raises
        ------
        JetLabError
            If its codes are not those of the generator.
        """
        self.config = replace(self.config, tokenizer=tokenizer.config)
        self.tokenizer = tokenizer
        self._check_codes()

    def forward(self, batch: TokenBatch) -> Tensor:
        """Logits of the next id at the real positions, shape ``(m, outputs)``, row by row."""
        h = self.gpt(batch.ids, x=self._inputs(batch.ids, batch.x), context=self._asked(batch.label))
        return self.gpt.head(h[batch.targets != NO_TARGET])

    def guess(self, batch: TokenBatch, hidden: Tensor) -> Tensor:
        """Logits of the codes of hidden constituents from all the others, shape ``(m, codes)``, row by row.

        Parameters
        ----------
        batch : TokenBatch
        hidden : Tensor of bool, shape (B, T)
            True for some of ``batch.constituents``.
        """
        h = self.gpt(
            batch.ids,
            x=self._inputs(batch.ids, batch.x),
            context=self._asked(batch.label),
            hidden=hidden,
            mask=batch.targets != NO_TARGET,
            causal=False,
        )
        return self.gpt.masked_head(h[hidden])

    # ---- step by step ---------------------------------------------------------------------------------------------

    def begin(self, label: Tensor) -> AlphaState:
        """Empty sequences, one for each class index in `label`, shape ``(B,)``, of which only the number matters
        where no class can be asked for.
        """  # noqa: D205
        return AlphaState(self.gpt.caches(len(label)), label if self.classes else None)

    def step(self, ids: Tensor, state: AlphaState, rows: Tensor | None = None) -> Tensor:
        """Logits of the next id after the newest `ids`, shape ``(B,)``, of all sequences or of these `rows`."""
        ids = ids[:, None]
        h = self.gpt(ids, x=self._inputs(ids), context=self._asked(state.label), caches=state.caches)[:, -1]
        return self.gpt.head(h if rows is None else h[rows])

    # ---- configuration --------------------------------------------------------------------------------------------

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> OmniJetAlpha:
        """Untrained model of the architecture in `config_dict`."""
        return OmniJetAlpha(OmniJetAlphaConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()

    def _inputs(self, ids: Tensor, x: Tensor | None = None) -> Tensor | None:
        if not self.config.gpt.features:
            return None
        return self.means[ids] if x is None else x

    def _asked(self, label: Tensor | None) -> Tensor | None:
        if not self.classes:
            return None
        if label is None:
            msg = "this model is asked for classes; the sequences carry no labels"
            raise InvalidJetsError(msg)
        return self.label(label)[:, None]

    def _check_codes(self) -> None:
        if self.tokenizer is None or self.config.tokenizer is None:
            return
        if (codes := self.config.tokenizer.codebook_size) != self.vocabulary.codes:
            msg = f"the tokenizer has {codes} codes, the generator {self.vocabulary.codes}; they do not belong together"
            raise JetLabError(msg)


def mean_inputs(x: npt.NDArray[np.float32], codes: npt.NDArray[np.int64], vocabulary: Vocabulary) -> Tensor:
    """Continuous inputs that each code stands for on average, zero for unused codes and the special ids.

    Parameters
    ----------
    x : ndarray, shape (m, F)
        Inputs that the codes decode to.
    codes : ndarray, shape (m,)
    vocabulary : Vocabulary

    Returns
    -------
    Tensor, shape (vocabulary.inputs, F)
    """
    counts = np.maximum(np.bincount(codes, minlength=vocabulary.inputs), 1)
    sums = [np.bincount(codes, weights=column, minlength=vocabulary.inputs) for column in x.T]
    return torch.from_numpy(np.stack(sums, axis=1) / counts[:, None]).float()
