"""What taggers learn."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError
from jetlab.models.tagger import Tagger
from jetlab.objectives.loss import Loss

__all__ = ["classification"]


def classification(model: nn.Module, batch: ParticleBatch, generator: torch.Generator | None = None) -> Loss:  # noqa: ARG001
    """Cross-entropy of the class of each jet; also tells the share of jets that are recognised."""
    if not isinstance(model, Tagger):
        msg = f"classification trains a Tagger, found {type(model).__name__}"
        raise TypeError(msg)
    if batch.label is None:
        msg = "classification needs labelled jets, found a batch without labels"
        raise InvalidJetsError(msg)
    logits = model(batch).float()  # (B, classes)
    loss = F.cross_entropy(logits, batch.label)
    right = (logits.detach().argmax(1) == batch.label).float().mean()
    return loss, {"loss": loss.detach(), "accuracy": right, "weight": torch.tensor(len(batch.label))}
