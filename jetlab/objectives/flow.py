"""What OmniLearned learns (arXiv:2510.24066): classes, and the straight way from jets to noise (flow matching).

At time t a jet is ``(1 - t) x + t eps``, and its velocity is ``eps - x`` (arXiv:2210.02747). The classes of noisy jets
are learned too, weighted by the squared share of the jet in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import JetLabError
from jetlab.models.encoding import Encoding
from jetlab.objectives.denoising import (
    Denoiser,
    MeanOver,
    Weights,
    as_denoiser,
    class_loss,
    class_weights,
    labels_of,
    own_classes,
    velocity_loss,
    with_generated,
)
from jetlab.objectives.loss import Loss

__all__ = ["FlowMatching", "contrastive_losses", "mixed"]

SCALE = 2.74
"""Inverse temperature of the contrastive term."""


def mixed(x: Tensor, noise: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Features ``(B, N, F)`` on the straight way to noise at times ``(B,)``, and their velocity."""
    t = time.reshape(-1, *[1] * (x.ndim - 1))
    return (1 - t) * x + t * noise, noise - x


def contrastive_losses(clean: Tensor, noisy: Tensor) -> Tensor:
    """How badly each clean jet is told from the noisy ones, and the other way round, as in CLIP (arXiv:2103.00020).

    Parameters
    ----------
    clean, noisy : Tensor, shape (B, M)
        What the body makes of the jets, in any form.

    Returns
    -------
    Tensor, shape (B,)
    """
    clean, noisy = (F.normalize(x.float(), dim=-1, eps=1e-3) for x in (clean, noisy))
    alike = SCALE * clean @ noisy.T  # (B, B)
    own = torch.arange(len(alike), device=alike.device)
    return (F.cross_entropy(alike, own, reduction="none") + F.cross_entropy(alike.T, own, reduction="none")) / 2


@dataclass(frozen=True)
class FlowMatching:
    """The objective of OmniLearned; its parts can be left out.

    Parameters
    ----------
    classes : bool
        Cross-entropy of clean jets.
    generation : bool
        Squared error of the velocity.
    perturbed : bool
        Cross-entropy of the noisy jets, each weighted by the square of ``1 - t``; needs both others.
    contrastive : bool
        Clean and noisy form of each jet recognise each other among those of the batch; weighted by the mean of the
        same squares, as published. It takes two more passes through the body.
    weights : "balanced" or tuple of float, optional
        Of classes: "balanced" gives every class of the batch the same weight in all, as published; a tuple has one
        number a class. Without them the outputs are probabilities for the mixture of the training.
    events : int, optional
        Number of the first class of events, which compete among themselves, as jets do; 200 in the published model.
    mean_over : {"jets", "particles"}
        As for `jetlab.objectives.denoising.velocity_loss`; "jets" is published.
    unit : {"input", "noise"}
        What errors of the velocity are measured in: the units of the inputs, as published, or the deviation of the
        noise. In the former, directions, numbers near 0.1, hardly count beside logarithms of momenta.
    """

    classes: bool = True
    generation: bool = True
    perturbed: bool = True
    contrastive: bool = False
    weights: Weights = None
    events: int | None = None
    mean_over: MeanOver = "jets"
    unit: Literal["input", "noise"] = "input"

    def __post_init__(self) -> None:
        if self.unit not in ("input", "noise"):
            msg = f"unit is {self.unit!r}, expected 'input' or 'noise'"
            raise JetLabError(msg)
        if not (self.classes or self.generation):
            msg = "FlowMatching learns neither classes nor generation: ask for one of them"
            raise JetLabError(msg)

    def __call__(self, model: nn.Module, batch: ParticleBatch, generator: torch.Generator | None = None) -> Loss:
        """Loss and terms of a batch; times and noise are drawn from `generator`."""
        denoiser = as_denoiser(model, "FlowMatching")
        parts: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        if self.classes:
            label = labels_of(batch, "FlowMatching")
            logits = own_classes(denoiser.classify(batch), label, self.events)
            parts["class"] = self._class(logits, label)
            terms["accuracy"] = (logits.detach().argmax(1) == label).float().mean()
        if self.generation:
            parts |= self._generation(denoiser, batch, generator)
        loss = torch.stack(list(parts.values())).sum()
        terms = {"loss": loss.detach(), **{name: part.detach() for name, part in parts.items()}, **terms}
        return loss, terms | {"weight": torch.tensor(len(batch.mask))}

    def _class(self, logits: Tensor, label: Tensor, share: Tensor | None = None) -> Tensor:
        weight = class_weights(label, logits.shape[1], self.weights)
        if share is not None:
            weight = share if weight is None else weight * share
        return class_loss(logits, label, weight, events=self.events)

    def _generation(
        self, model: Denoiser, batch: ParticleBatch, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        mask, clean = batch.mask, batch.x[..., : model.features_generated]
        time = torch.rand(len(mask), device=mask.device, generator=generator)
        noisy, velocity = mixed(clean, model.prior.draw(mask, generator), time)
        real, share = mask[..., None], (1 - time).square()
        changed = with_generated(batch, noisy * real)
        out = model.denoise(changed, time, batch.label)
        scale = model.prior.tensors(clean)[1] if self.unit == "noise" else 1.0
        found, wanted = out.velocity / scale, velocity * real / scale
        parts = {"velocity": velocity_loss(found, wanted, mask, mean_over=self.mean_over)}
        if self.perturbed and self.classes and out.logits is not None:
            parts["perturbed_class"] = self._class(out.logits, labels_of(batch, "FlowMatching"), share)
        if self.contrastive:
            parts["contrastive"] = share.mean() * contrastive_losses(*_bodies(model, batch, changed, time)).mean()
        return parts


def _bodies(model: Any, batch: ParticleBatch, changed: ParticleBatch, time: Tensor) -> tuple[Tensor, Tensor]:
    """What the body makes of clean and of noisy jets, tokens and particles, both ``(B, M)``."""
    if not hasattr(model, "encode"):
        msg = f"the contrastive term needs the encodings of the model, but {type(model).__name__} gives none"
        raise JetLabError(msg)
    clean, noisy = model.encode(batch), model.encode(changed, time)
    return _flat(clean), _flat(noisy)


def _flat(encoding: Encoding) -> Tensor:
    particles = encoding.particles.flatten(1)
    return particles if encoding.tokens is None else torch.cat([encoding.tokens.flatten(1), particles], 1)
