"""Sequences of codes, one token a step for all jets at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from jetlab.models.tokens import Vocabulary
from jetlab.samplers.choice import Choice

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from jetlab.models.tokenizers import Tokenizer

__all__ = ["JetModel", "State", "TokenModel", "sample_tokens", "write_tokens"]

FULL = 0.75
"""Finished sequences leave the cache when less than this share of it is still in the making: moving it costs as much as
a few steps of the rows that leave."""


class State(Protocol):
    """Sequences in the making, one a row."""

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these, given by number in rising order."""
        ...


class TokenModel(Protocol):
    """What sampling needs of a model of token sequences."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Ids that it reads and predicts."""
        ...

    @property
    def max_constituents(self) -> int:
        """Constituents of the longest jet that it can write."""
        ...

    def begin(self, asked: Any) -> Any:
        """Give a `State` of empty sequences, one for each row of what is asked for."""
        ...

    def step(self, ids: Tensor, state: Any, rows: Tensor | None = None) -> Tensor:
        """Read the newest id of every sequence, ``(B,)``; give logits of the next, of all or of these rows."""
        ...


class JetModel(TokenModel, Protocol):
    """What `generate` needs of a model: also a tokenizer, and what it can be asked for."""

    tokenizer: Tokenizer | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that can be asked for; none if it generates one mixture."""
        ...

    def ask(
        self,
        label: Tensor,
        generator: torch.Generator | None,
        *,
        pt: float | None,
        mass: float | None,
        multiplicity: int | None,
    ) -> Any:
        """Complete what is asked for, for `begin`: classes, ``(B,)``, and kinematics [GeV] where given."""
        ...


def sample_tokens(
    model: TokenModel,
    asked: Any,
    *,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_bias: float = 0.0,
    min_constituents: int = 1,
    max_constituents: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[npt.NDArray[np.int64]] | None:
    """Codes of one jet for each row of what is asked for, in order; None if stopped.

    Jets that are finished leave the batch, so the cost follows the real lengths.

    Parameters
    ----------
    model : TokenModel
        `OmniJet` or `OmniJetAlpha`.
    asked : Prompt or Tensor of int64
        What the model's ``begin`` takes: prompts, or class numbers of shape ``(B,)``.
    generator : torch.Generator, optional
        Source of the random numbers.
    temperature, top_k, top_p, stop_bias, min_constituents, max_constituents
        As for `jetlab.samplers.Choice`.
    stop : callable, optional
        Asked before every token.
    """
    choice = Choice(temperature, top_k, top_p, stop_bias, min_constituents, max_constituents)
    return write_tokens(model, asked, choice, generator=generator, stop=stop)


@torch.no_grad()
def write_tokens(
    model: TokenModel,
    asked: Any,
    choice: Choice,
    *,
    generator: torch.Generator | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[npt.NDArray[np.int64]] | None:
    """Do the same as `sample_tokens` by rules that are put together already."""
    vocabulary, state = model.vocabulary, model.begin(asked)
    steps = min(model.max_constituents, choice.max_constituents or model.max_constituents)
    device = asked.device if isinstance(asked, Tensor) else asked.label.device
    ids = torch.full((len(asked),), vocabulary.start, device=device)
    jets, rows = torch.arange(len(ids), device=device), None  # jet of each sequence that goes on, and its row
    written = torch.full((len(ids), steps), vocabulary.padding, device=device)
    for t in range(steps):
        if stop is not None and stop():
            return None
        drawn = choice.draw(model.step(ids, state, rows), t, vocabulary, generator)
        going = (drawn != vocabulary.stop).nonzero()[:, 0]
        if len(going) < len(drawn):
            drawn, jets, rows = drawn[going], jets[going], going if rows is None else rows[going]
            if not len(jets):
                break
            if len(jets) <= FULL * len(ids):
                state.keep(rows)
                rows = None
        written[jets, t] = drawn
        ids = drawn if rows is None else ids.index_copy(0, rows, drawn)
    return [row[row != vocabulary.padding] for row in written.cpu().numpy()]
