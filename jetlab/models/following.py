"""Two encoders of which one learns and the other follows it: what all models have in common that predict encodings."""

from __future__ import annotations

import copy
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from jetlab.models.encoding import Encoding

__all__ = ["Following", "Predicted"]

EncoderT = TypeVar("EncoderT", bound=nn.Module)


class Predicted(NamedTuple):
    """Hidden tokens of all jets as predicted and as they are, ``(m, D)``, and the tokens that were shown, ``(n, D)``.

    A token that is in several targets of its jet is there several times.
    """

    predicted: Tensor
    target: Tensor
    context: Tensor

    @staticmethod
    def of(predicted: Tensor, whole: Encoding, hidden: Tensor, context: Encoding) -> Predicted:
        """Set what is predicted of tokens beside what they are.

        Parameters
        ----------
        predicted : Tensor, shape (m, D)
            Tokens with a True in `hidden`, in its order.
        whole : Encoding
            What the second encoder makes of everything, ``(B, T, D)``.
        hidden : Tensor of bool, shape (B, K, T)
        context : Encoding
            What the first makes of what it is shown.
        """
        goes = whole.particles[:, None].expand(-1, hidden.shape[1], -1, -1)
        return Predicted(predicted, goes[hidden], context.particles[context.mask])


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
