"""Masked particle modelling (arXiv:2401.13537, arXiv:2409.12589): what some particles are, from all the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import JetLabError
from jetlab.models.masked import MaskedModel
from jetlab.objectives.loss import Loss

__all__ = ["MaskedParticles", "draw_hidden"]

Targets = Literal["regression", "tokens", "both"]


@dataclass(frozen=True)
class MaskedParticles:
    """Guess the inputs of hidden particles, the cells of a grid that they lie in, or both.

    Parameters
    ----------
    targets : {"regression", "tokens", "both"}
        Smooth absolute error of the normalised inputs; cross-entropy of the cells; the sum of the two.
    share : float
        Of the particles of a jet that are hidden, drawn anew for every batch; 0.4 in the published model.

    Raises
    ------
    JetLabError
        If the targets are unknown, or the share is not between 0 and 1.
    """

    targets: Targets = "both"
    share: float = 0.4

    def __post_init__(self) -> None:
        if self.targets not in get_args(Targets) or not 0 < self.share < 1:
            msg = (
                f"targets is {self.targets!r} and share {self.share}, expected one of {', '.join(get_args(Targets))} "
                "and a share between 0 and 1"
            )
            raise JetLabError(msg)

    def __call__(self, model: nn.Module, batch: ParticleBatch, generator: torch.Generator | None = None) -> Loss:
        """Loss and terms of a batch; which particles are hidden is drawn from `generator`."""
        if not isinstance(model, MaskedModel):
            msg = f"MaskedParticles trains a MaskedModel, found {type(model).__name__}"
            raise TypeError(msg)
        guess = model(batch, draw_hidden(batch.mask, self.share, generator))
        count = max(len(guess.true_codes), 1)
        parts: dict[str, Tensor] = {}
        if self.targets != "tokens":
            parts["regression"] = F.smooth_l1_loss(guess.inputs.float(), guess.true_inputs, reduction="sum") / (
                count * guess.true_inputs.shape[1]
            )
        if self.targets != "regression":
            parts["tokens"] = F.cross_entropy(guess.logits.float(), guess.true_codes, reduction="sum") / count
        loss = torch.stack(list(parts.values())).sum()
        terms = {"loss": loss.detach(), **{name: part.detach() for name, part in parts.items()}}
        return loss, terms | {"weight": torch.tensor(count)}


def draw_hidden(mask: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Hide this share of the particles of each jet, at least one and never all; none where there is only one.

    Parameters
    ----------
    mask : Tensor of bool, shape (B, N)
        Real particles.
    share : float
    generator : torch.Generator, optional

    Returns
    -------
    Tensor of bool, shape (B, N)
    """
    drawn = torch.rand(mask.shape, generator=generator, device=mask.device).masked_fill(~mask, 2.0)
    rank = drawn.argsort(1).argsort(1)  # padding last
    count = mask.sum(1, keepdim=True)
    hidden = (share * count).round().clamp(min=1)
    return mask & (rank < torch.minimum(hidden, count - 1))
