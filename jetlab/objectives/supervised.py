"""What taggers learn."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError
from jetlab.models.tagger import Tagger
from jetlab.objectives.loss import Loss

__all__ = ["classification", "regression"]


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


def regression(model: nn.Module, batch: ParticleBatch, generator: torch.Generator | None = None) -> Loss:  # noqa: ARG001
    """Squared error of numbers about each jet, which the batch carries as its labels, ``(B, n)``.

    Raises
    ------
    InvalidJetsError
        If the model gives another number of numbers than there are: ``(B, 1)`` against ``(B,)`` would compare every jet
        with every other.
    """
    predicted, target = model(batch).float(), batch.label
    if target is None or predicted.shape != target.shape:
        found = "none" if target is None else f"some of shape {tuple(target.shape)}"
        msg = f"the model predicts numbers of shape {tuple(predicted.shape)}, the batch has {found} to compare with"
        raise InvalidJetsError(msg)
    loss = F.mse_loss(predicted, target.float())
    return loss, {"loss": loss.detach(), "weight": torch.tensor(len(target))}
