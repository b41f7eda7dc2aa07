"""What a `TokenWriter` learns: the cell of the next constituent, from all harder ones and what is told of the jet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from jetlab.batches import ParticleBatch
from jetlab.models.token_writer import TokenWriter
from jetlab.models.tokens import NO_TARGET
from jetlab.objectives.loss import Loss

__all__ = ["NextParticle"]


@dataclass(frozen=True)
class NextParticle:
    """Cross-entropy of the next cell at real positions, the stop included; logits exist only there."""

    def __call__(self, model: nn.Module, batch: ParticleBatch, generator: torch.Generator | None = None) -> Loss:  # noqa: ARG002
        """Loss and terms of a batch."""
        if not isinstance(model, TokenWriter):
            msg = f"NextParticle trains a TokenWriter, found {type(model).__name__}"
            raise TypeError(msg)
        logits = model(batch).float()
        targets = model.targets(batch)
        targets = targets[targets != NO_TARGET]
        loss = F.cross_entropy(logits, targets)
        return loss, {"loss": loss.detach(), "weight": torch.tensor(len(targets))}
