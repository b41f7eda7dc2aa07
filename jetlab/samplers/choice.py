"""How the next token is chosen from its logits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from jetlab.errors import JetLabError
from jetlab.models.tokens import Vocabulary

__all__ = ["Choice"]


@dataclass(frozen=True)
class Choice:
    """Rules by which tokens are drawn; the defaults draw as the model was trained.

    Parameters
    ----------
    temperature : float
        Above 1 flattens the token probabilities, below 1 sharpens them; 0 takes the most probable token.
    top_k : int, optional
        Draw only from this many most probable tokens.
    top_p : float, optional
        Draw only from the most probable tokens that together have at least this probability.
    stop_bias : float
        Added to the logit of the stop: above 0 ends jets earlier, below 0 later.
    min_constituents : int
        Jets do not stop before.
    max_constituents : int, optional
        Jets end here at the latest; as many as the model can write if not given.

    Raises
    ------
    JetLabError
        If a value makes no sense.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    stop_bias: float = 0.0
    min_constituents: int = 1
    max_constituents: int | None = None

    def __post_init__(self) -> None:
        shortest, longest = self.min_constituents, self.max_constituents
        demands = {
            "temperature": (0 <= self.temperature < 100, "0 (most probable token) up to about 2; 1 is as trained"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1, or None to draw from all tokens"),
            "top_p": (self.top_p is None or 0 < self.top_p <= 1, "above 0 and up to 1, or None for all tokens"),
            "stop_bias": (abs(self.stop_bias) <= 100, "a number of order one; 0 is as trained"),
            "min_constituents": (shortest >= 1, "at least 1"),
            "max_constituents": (longest is None or longest >= shortest, f"at least min_constituents, {shortest}"),
        }
        for name, (met, expected) in demands.items():
            if not met:
                msg = f"{name} is {getattr(self, name)}, expected {expected}"
                raise JetLabError(msg)

    def changed(self) -> dict[str, Any]:
        """Rules that differ from the defaults, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def draw(self, logits: Tensor, written: int, vocabulary: Vocabulary, generator: torch.Generator | None) -> Tensor:
        """Draw the next id of each sequence.

        Parameters
        ----------
        logits : Tensor, shape (B, outputs)
            May be overwritten.
        written : int
            Number of constituents so far.
        vocabulary : Vocabulary
        generator : torch.Generator, optional

        Returns
        -------
        Tensor of int64, shape (B,)
        """
        logits = logits.float()[:, : vocabulary.outputs]
        if written < self.min_constituents:
            logits[:, vocabulary.stop] = -torch.inf
        elif self.stop_bias:
            logits[:, vocabulary.stop] += self.stop_bias
        if self.temperature == 0:
            return logits.argmax(-1)
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            lowest = logits.topk(self.top_k, dim=-1).values[:, -1:]
            logits = logits.masked_fill(logits < lowest, -torch.inf)
        if self.temperature != 1:
            logits = logits / self.temperature
        if self.top_p is not None and self.top_p < 1:
            logits = _nucleus(logits, self.top_p)
        return (logits - _waits(logits, generator).log_()).argmax(-1)  # who has waited least at rates exp(logits)


def _waits(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Exponentially distributed numbers of this shape.

    On CPU they are the numbers of ``exponential_``, and so the draws are those of `torch.multinomial`, in half
    of the time: only the uniform numbers behind them are made one by one.
    """
    if like.device.type != "cpu":
        return torch.empty_like(like).exponential_(generator=generator)
    u = torch.empty(like.shape, dtype=torch.float64).uniform_(generator=generator)
    return torch.sub(1, u, out=u).log_().to(like.dtype).neg_()


def _nucleus(logits: Tensor, share: float) -> Tensor:
    """Without the tail beyond the most probable tokens that together have this share; at least one stays."""
    falling, order = logits.softmax(-1).sort(-1, descending=True)
    beyond = falling.cumsum(-1) - falling >= share
    return logits.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), -torch.inf)
