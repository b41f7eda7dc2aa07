"""From noise to jets against the diffusion of `jetlab.objectives.diffusion`, by three samplers.

``ddim`` is the published one: it follows the path of the flow in the ratio of noise to signal, with the noise found in
the middle of each step (arXiv:2010.02502, 2202.09778). Its first step divides by a signal of 5e-5, so it needs more
than a hundred. ``heun`` follows the same path by the trapezoid rule, in the ratio of signal to noise while noise
prevails, and needs a tenth of the steps. ``ancestral`` takes noise out and puts a little less in (arXiv:2006.11239).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from jetlab.errors import JetLabError
from jetlab.models.prior import Prior
from jetlab.objectives.diffusion import Rates, log_snr, rates

__all__ = ["DiffusionSampler", "Velocity", "sample_diffusion"]

DiffusionSampler = Literal["ddim", "heun", "ancestral"]

Velocity = Callable[[Tensor, Tensor], Tensor]
"""Maps noisy features ``(B, N, F)`` and times ``(B,)`` to velocities ``(B, N, F)``, zero where padded."""


class _Believed:
    """What velocities make of noisy features: the clean ones and the noise in them, counted from the mean."""

    def __init__(self, velocity: Velocity, mask: Tensor, mean: Tensor) -> None:
        self.velocity, self.real, self.mean = velocity, mask[..., None], mean

    def __call__(self, x: Tensor, time: Tensor) -> Rates:
        """Clean features and noise at one time for all, a scalar."""
        signal, noise = rates(time)
        times = time.expand(len(x)).clone()
        v = self.velocity((x + self.mean) * self.real, times) * self.real
        return Rates(signal * x - noise * v, noise * x + signal * v)


_Step = Callable[[_Believed, Tensor, Tensor, Tensor], Tensor]


@torch.no_grad()
def sample_diffusion(
    velocity: Velocity,
    mask: Tensor,
    prior: Prior,
    *,
    steps: int,
    method: DiffusionSampler = "ddim",
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
    stop: Callable[[], bool] | None = None,
) -> Tensor | None:
    """Features of jets, ``(B, N, F)``, zero where padded; None if stopped.

    Parameters
    ----------
    velocity : callable
        ``velocity(x, time)``, such as ``model.denoise`` with its class, conditions and guidance filled in.
    mask : Tensor of bool, shape (B, N)
        True for the particles that are to be made.
    prior : Prior
        Noise to start from.
    steps : int
        Steps from time 1 to 0, all alike. "ddim" and "heun" call the model twice a step ("heun" once in the last one),
        "ancestral" once.
    method : {"ddim", "heun", "ancestral"}
    generator : torch.Generator, optional
        Source of the random numbers.
    start : Tensor, shape (B, N, F), optional
        Noise to start from, in place of drawing some.
    stop : callable, optional
        Asked before every step.

    Raises
    ------
    JetLabError
        If there is no such method, or no step.
    """
    if method not in get_args(DiffusionSampler) or steps < 1:
        msg = f"method is {method!r} with {steps} steps, expected one of {', '.join(get_args(DiffusionSampler))}, 1 up"
        raise JetLabError(msg)
    start = prior.draw(mask, generator) if start is None else start
    mean, std = prior.tensors(start)
    believed = _Believed(velocity, mask, mean)

    def ancestral(believed: _Believed, x: Tensor, now: Tensor, after: Tensor) -> Tensor:
        noise = std * torch.randn(x.shape, device=x.device, generator=generator)
        return _ancestral(believed, x, now, after, noise)

    steppers: dict[str, _Step] = {"ddim": _ddim, "heun": _heun, "ancestral": ancestral}
    take = steppers[method]
    times = torch.linspace(1, 0, steps + 1, device=start.device)
    x = start - mean
    for now, after in pairwise(times):
        if stop is not None and stop():
            return None
        x = take(believed, x, now, after)
    return (x + mean) * mask[..., None]


def _ddim(believed: _Believed, x: Tensor, now: Tensor, after: Tensor) -> Tensor:
    """To the time after, with the noise that is found in the middle of the step; the last ends at clean features."""
    clean, noise = believed(x, now)
    middle = (now + after) / 2
    signal, share = rates(middle)
    _, noise = believed(signal * clean + share * noise, middle)
    signal, share = rates(now)
    clean = (x - share * noise) / signal
    if not after:
        return clean
    signal, share = rates(after)
    return signal * clean + share * noise


def _heun(believed: _Believed, x: Tensor, now: Tensor, after: Tensor) -> Tensor:
    """To the time after, with the mean of the noise before and after the step.

    In units of the signal, features change by the noise for every unit of the ratio of noise to signal. Where that
    ratio is large, features in units of the noise are followed instead, which change by the clean features.
    """
    clean, noise = believed(x, now)
    if not after:
        return clean
    (signal, share), (next_signal, next_share) = rates(now), rates(after)
    there = next_signal * clean + next_share * noise
    next_clean, next_noise = believed(there, after)
    if share > signal:
        ratio = next_share / share
        change = next_signal - ratio * signal
        return ratio * x + change * (clean + next_clean) / 2
    ratio = next_signal / signal
    change = next_share - ratio * share
    return ratio * x + change * (noise + next_noise) / 2


def _ancestral(believed: _Believed, x: Tensor, now: Tensor, after: Tensor, noise: Tensor) -> Tensor:
    """To a draw from what the clean features that are thought of have been at the time after."""
    clean, _ = believed(x, now)
    if not after:
        return clean
    (signal, share), (next_signal, _) = rates(now), rates(after)
    kept = (log_snr(now) - log_snr(after)).exp()  # of the signal-to-noise ratio
    mean = kept * next_signal / signal * x + (1 - kept) * next_signal * clean
    return mean + (1 - kept).sqrt() * share * noise
