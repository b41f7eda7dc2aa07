"""What diffusion and flow matching share: the models that they train, losses of velocities and of classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError
from jetlab.models.encoding import Denoised
from jetlab.models.prior import Prior

__all__ = [
    "Denoiser",
    "MeanOver",
    "Weights",
    "as_denoiser",
    "class_loss",
    "class_weights",
    "labels_of",
    "own_classes",
    "velocity_loss",
    "with_generated",
]

MeanOver = Literal["particles", "jets"]
"""Whether every particle counts alike, or every jet."""

Weights = Literal["balanced"] | tuple[float, ...] | None
"""Of classes: as rare as they are in the batch, one number a class, or none."""


@runtime_checkable
class Denoiser(Protocol):
    """A model that classifies clean jets and tells how noisy ones move: `OmniLearn` and `OmniLearned`."""

    @property
    def prior(self) -> Prior:
        """Noise that generation starts from."""
        ...

    @property
    def features_generated(self) -> int:
        """How many of the inputs, the first ones, are diffused."""
        ...

    def classify(self, batch: ParticleBatch) -> Tensor:
        """Logits ``(B, classes)`` of clean jets."""
        ...

    def denoise(self, batch: ParticleBatch, time: Tensor, label: Tensor | None = None) -> Denoised:
        """Velocity and logits of noisy jets at these times ``(B,)``."""
        ...


def as_denoiser(model: object, objective: str) -> Denoiser:
    """The model, which must be a `Denoiser`.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not isinstance(model, Denoiser):
        msg = f"{objective} trains a model that classifies and denoises, like OmniLearn, found {type(model).__name__}"
        raise TypeError(msg)
    return model


def labels_of(batch: ParticleBatch, objective: str) -> Tensor:
    """Classes of the jets ``(B,)``, which must be there.

    Raises
    ------
    InvalidJetsError
        If they are not.
    """
    if batch.label is None:
        msg = f"{objective} with classes needs labelled jets, found a batch without labels: give some, or classes=False"
        raise InvalidJetsError(msg)
    return batch.label


def with_generated(batch: ParticleBatch, x: Tensor) -> ParticleBatch:
    """The batch with its first inputs replaced by these ``(B, N, F)``."""
    return replace(batch, x=torch.cat([x, batch.x[..., x.shape[-1] :]], -1))


def velocity_loss(predicted: Tensor, target: Tensor, mask: Tensor, *, mean_over: MeanOver) -> Tensor:
    """Squared error of velocities ``(B, N, F)`` at real particles, those with a True in `mask` ``(B, N)``.

    Parameters
    ----------
    predicted, target : Tensor, shape (B, N, F)
    mask : Tensor of bool, shape (B, N)
    mean_over : {"particles", "jets"}
        "particles": the mean over features and all particles, as in OmniLearn. "jets": the sum over features, its mean
        over the particles of a jet, and the mean over jets that have any, as in OmniLearned.
    """
    squared = (predicted.float() - target).square().sum(-1) * mask  # (B, N)
    if mean_over == "particles":
        return squared.sum() / (target.shape[-1] * mask.sum()).clamp(min=1)
    count = mask.sum(1)
    return (squared.sum(1) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


def own_classes(logits: Tensor, label: Tensor, events: int | None) -> Tensor:
    """Logits ``(B, classes)`` in which a jet competes with jets and an event with events.

    Parameters
    ----------
    logits : Tensor, shape (B, classes)
    label : Tensor of int64, shape (B,)
    events : int, optional
        Number of the first class of events; those before are of jets. Without it all classes compete.
    """
    if events is None:
        return logits.float()
    of_events = torch.arange(logits.shape[1], device=logits.device) >= events
    return logits.float().masked_fill(of_events != (label >= events)[:, None], -torch.inf)


def class_loss(logits: Tensor, label: Tensor, weight: Tensor | None = None, *, events: int | None = None) -> Tensor:
    """Cross-entropy of classes, each jet with its weight ``(B,)``.

    With `events`, as for `own_classes`, it is the mean over jets plus the mean over events.
    """
    losses = F.cross_entropy(own_classes(logits, label, events), label, reduction="none")
    if weight is not None:
        losses = losses * weight
    if events is None:
        return losses.mean()
    groups = (losses[label < events], losses[label >= events])
    return torch.stack([group.sum() / max(len(group), 1) for group in groups]).sum()


def class_weights(label: Tensor, classes: int, weights: Weights) -> Tensor | None:
    """Weight of each jet ``(B,)``, with a mean of 1 if they are balanced; None if all count alike.

    Raises
    ------
    InvalidJetsError
        If there is not one weight a class.
    """
    if weights is None:
        return None
    if weights == "balanced":
        each = 1 / torch.bincount(label, minlength=classes)[label]
        return each / each.mean()
    if len(weights) != classes:
        msg = f"there are {len(weights)} class weights, the model has {classes} classes: give one for each"
        raise InvalidJetsError(msg)
    return torch.tensor(weights, device=label.device)[label]
