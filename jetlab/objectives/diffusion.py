"""What OmniLearn learns (arXiv:2404.16091): classes, and the velocity of a diffusion that keeps the variance.

At time t a jet is ``signal x + noise eps``, with a signal-to-noise ratio that falls as a cosine, and the velocity is
``signal eps - noise x`` (arXiv:2202.00512). The classes of noisy jets are learned too, weighted by the signal's share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import JetLabError
from jetlab.models.omnilearn import Judged, OmniLearn
from jetlab.models.prior import Prior
from jetlab.objectives.denoising import (
    Denoiser,
    as_denoiser,
    class_loss,
    labels_of,
    velocity_loss,
    with_generated,
)
from jetlab.objectives.loss import Loss

__all__ = ["Diffusion", "Rates", "diffused", "log_snr", "rates"]

LARGEST = 20.0
"""Logarithm of the signal-to-noise ratio at time 0; at time 1 it is as much below 0."""


class Rates(NamedTuple):
    """Shares of signal and noise; their squares sum to 1."""

    signal: Tensor
    noise: Tensor

    def over(self, x: Tensor) -> Rates:
        """The same with dimensions added at the end, to multiply `x` with."""
        shape = (-1, *[1] * (x.ndim - 1))
        return Rates(self.signal.reshape(shape), self.noise.reshape(shape))


def log_snr(time: Tensor) -> Tensor:
    """Logarithm of the ratio of squared signal to squared noise, for times from 0 to 1, any shape."""
    first = math.atan(math.exp(-0.5 * LARGEST))
    last = math.atan(math.exp(0.5 * LARGEST))
    return -2 * torch.log(torch.tan((last - first) * time + first))


def rates(time: Tensor) -> Rates:
    """Signal and noise at times from 0 to 1, any shape."""
    ratio = log_snr(time)
    return Rates(ratio.sigmoid().sqrt(), (-ratio).sigmoid().sqrt())


def diffused(x: Tensor, noise: Tensor, time: Tensor, prior: Prior) -> tuple[Tensor, Tensor]:
    """Noisy features and their velocity, both ``(B, N, F)``.

    Signal and noise are counted from the mean of the prior, which is 0 in the published model.

    Parameters
    ----------
    x, noise : Tensor, shape (B, N, F)
    time : Tensor, shape (B,)
    prior : Prior
        What the noise was drawn from.
    """
    mean, _ = prior.tensors(x)
    signal, share = rates(time).over(x)
    x, noise = x - mean, noise - mean
    return mean + signal * x + share * noise, signal * noise - share * x


@dataclass(frozen=True)
class Diffusion:
    """The objective of OmniLearn; its parts can be left out.

    Parameters
    ----------
    classes : bool
        Cross-entropy of clean jets, and the squared error of the numbers about the jet, where the head guesses them.
    generation : bool
        Squared error of the velocity: the mean over features and particles.
    smeared : bool
        The terms of `classes` for the noisy jets, each weighted by its squared signal; needs both others.

    Notes
    -----
    The published objective has all three. In the original the weights of noisy jets meet their losses as all pairs of
    jets of the batch; here each jet has its own.
    """

    classes: bool = True
    generation: bool = True
    smeared: bool = True

    def __post_init__(self) -> None:
        if not (self.classes or self.generation):
            msg = "Diffusion learns neither classes nor generation: ask for one of them"
            raise JetLabError(msg)

    def __call__(self, model: nn.Module, batch: ParticleBatch, generator: torch.Generator | None = None) -> Loss:
        """Loss and terms of a batch; times and noise are drawn from `generator`."""
        denoiser = as_denoiser(model, "Diffusion")
        parts: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        if self.classes:
            judged = denoiser.judge(batch) if isinstance(denoiser, OmniLearn) else Judged(denoiser.classify(batch))
            parts |= _judgement(judged, batch)
            right = judged.logits.argmax(1) == labels_of(batch, "Diffusion")
            terms["accuracy"] = right.float().mean()
        if self.generation:
            parts |= self._generation(denoiser, batch, generator)
        loss = torch.stack(list(parts.values())).sum()
        terms = {"loss": loss.detach(), **{name: part.detach() for name, part in parts.items()}, **terms}
        return loss, terms | {"weight": torch.tensor(len(batch.mask))}

    def _generation(
        self, model: Denoiser, batch: ParticleBatch, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        mask, clean = batch.mask, batch.x[..., : model.features_generated]
        time = torch.rand(len(mask), device=mask.device, generator=generator)
        noisy, velocity = diffused(clean, model.prior.draw(mask, generator), time, model.prior)
        real = mask[..., None]
        out = model.denoise(with_generated(batch, noisy * real), time, batch.label)
        parts = {"velocity": velocity_loss(out.velocity, velocity * real, mask, mean_over="particles")}
        if self.smeared and self.classes and out.logits is not None:
            share = rates(time).signal.square()
            judged = _judgement(Judged(out.logits, out.cond), batch, share)
            parts |= {f"smeared_{name}": part for name, part in judged.items()}
        return parts


def _judgement(judged: Judged, batch: ParticleBatch, weight: Tensor | None = None) -> dict[str, Tensor]:
    """Losses of the classes and of the guessed numbers about the jets, each jet with its weight ``(B,)``."""
    parts = {"class": class_loss(judged.logits, labels_of(batch, "Diffusion"), weight)}
    if judged.cond is not None and batch.cond is not None:
        errors = (judged.cond.float() - batch.cond).square().mean(1)  # (B,)
        parts["cond"] = (errors if weight is None else errors * weight).mean()
    return parts
