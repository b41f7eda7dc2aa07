"""Two encoders of which one learns and the other follows it: what all models have in common that predict encodings."""

from __future__ import annotations

import copy
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Following", "Predicted"]

EncoderT = TypeVar("EncoderT", bound=nn.Module)


class Predicted(NamedTuple):
    """Hidden tokens of all jets as predicted and as they are, ``(m, D)``, and the tokens that were shown, ``(n, D)``.

    A token that is in several targets of its jet is there several times.
    """

    predicted: Tensor
    target: Tensor
    context: Tensor


class Following(nn.Module, Generic[EncoderT]):
    """An encoder that learns, `context`, and its running average, `target`, which is what is kept of the training.

    Called with a batch with masks, such a model gives what it `Predicted`.

    Parameters
    ----------
    encoder : torch.nn.Module
        The encoder that learns; the other starts as its copy.
    """

    context: EncoderT
    target: EncoderT
    updates: Tensor

    def __init__(self, encoder: EncoderT) -> None:
        super().__init__()
        self.context = encoder
        self.target = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move the second encoder towards the first, all the less, the nearer the momentum is to 1."""
        for follower, leader in zip(self.target.parameters(), self.context.parameters(), strict=True):
            follower.lerp_(leader, 1 - momentum)
        self.updates += 1
