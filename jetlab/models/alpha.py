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
from jetlab.models.tokenizers import VQVAE, BinnedConfig, BinnedTokenizer, Tokenizer, VQVAEConfig
from jetlab.models.tokens import NO_TARGET, TokenBatch, Vocabulary

__all__ = ["AlphaState", "OmniJetAlpha", "OmniJetAlphaConfig", "mean_inputs"]


TokenizerConfig = VQVAEConfig | BinnedConfig

TOKENIZER_CONFIGS: dict[str, type[VQVAEConfig | BinnedConfig]] = {"vqvae": VQVAEConfig, "binned": BinnedConfig}
"""Configurations by the names that model folders give to their tokenizers."""


@dataclass(frozen=True)
class OmniJetAlphaConfig:
    """Configuration of an `OmniJetAlpha`.

    Parameters
    ----------
    gpt : GPTConfig
    tokenizer : VQVAEConfig or BinnedConfig, optional
        None for a generator that came without its tokenizer.
    classes : tuple of str
        Classes that can be asked for; none if the model generates the mixture that it was trained on.
    """

    gpt: GPTConfig
    tokenizer: TokenizerConfig | None = None
    classes: tuple[str, ...] = ()

    @staticmethod
    def preset(name: str, tokenizer: TokenizerConfig, *, classes: tuple[str, ...] = ()) -> OmniJetAlphaConfig:
        """Generator of a preset of `GPTConfig` over the codes of a tokenizer."""
        v = Vocabulary(tokenizer.codebook_size)
        recipe = tokenizer.recipe
        gpt = GPTConfig.preset(name, inputs=v.inputs, outputs=v.outputs, features=recipe.width)
        return OmniJetAlphaConfig(replace(gpt, max_length=recipe.max_particles + 2), tokenizer, classes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        kind = next((name for name, config in TOKENIZER_CONFIGS.items() if type(self.tokenizer) is config), None)
        tokenizer = None if self.tokenizer is None else {"kind": kind, "config": self.tokenizer.to_dict()}
        return {"gpt": asdict(self.gpt), "tokenizer": tokenizer, "classes": self.classes}

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> OmniJetAlphaConfig:
        """Rebuild from `to_dict`."""
        named = entries["tokenizer"]
        tokenizer = None if named is None else TOKENIZER_CONFIGS[named["kind"]].from_dict(named["config"])
        return OmniJetAlphaConfig(GPTConfig(**entries["gpt"]), tokenizer, tuple(entries["classes"]))


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
        self.tokenizer: Tokenizer | None = None
        if config.tokenizer is not None:
            part = config.tokenizer
            self.use(BinnedTokenizer(part) if isinstance(part, BinnedConfig) else VQVAE(part))
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

    @property
    def max_constituents(self) -> int:
        """Constituents of the longest jet that it can write."""
        return self.config.gpt.max_constituents

    def use(self, tokenizer: VQVAE | BinnedTokenizer) -> None:
        """Take this tokenizer, for a generator that came without its own.

        Raises
        ------
        JetLabError
            If its codes are not those of the generator.
        """
        if tokenizer.codebook_size != self.vocabulary.codes:
            msg = (
                f"the tokenizer has {tokenizer.codebook_size} codes, the generator {self.vocabulary.codes}; "
                "they do not belong together"
            )
            raise JetLabError(msg)
        self.config = replace(self.config, tokenizer=tokenizer.config)
        self.tokenizer = tokenizer

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

    def ask(
        self,
        label: Tensor,
        generator: torch.Generator | None = None,  # noqa: ARG002
        *,
        pt: float | None = None,
        mass: float | None = None,
        multiplicity: int | None = None,
    ) -> Tensor:
        """Give back the classes: nothing else can be asked of this model.

        Raises
        ------
        JetLabError
            If a kinematic value is given.
        """
        if (pt, mass, multiplicity) != (None, None, None):
            msg = (
                "this model cannot be asked for pt, mass or multiplicity, only for classes if it was trained so; leave "
                "them out, bound the length with min_constituents and max_constituents, or take an OmniJet"
            )
            raise JetLabError(msg)
        return label

    def begin(self, label: Tensor) -> AlphaState:
        """Empty sequences, one for each class number, shape ``(B,)``; any number where no class can be asked for."""
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
