"""Constituents from noise: all of a jet at once, along the velocity that a model gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from jetlab.batches import ParticleBatch
from jetlab.errors import JetLabError
from jetlab.models.jetflow import JetFlow
from jetlab.samplers.flow import CALLS, integrate

__all__ = ["Method", "Path", "move_particles"]

Method = Literal["midpoint", "heun", "euler"]


@dataclass(frozen=True)
class Path:
    """How noise becomes jets.

    Parameters
    ----------
    steps : int
        From noise to jets, of equal length.
    method : {"midpoint", "heun", "euler"}
        As for `jetlab.samplers.flow.integrate`.

    Raises
    ------
    JetLabError
        If there are no steps or no such method.
    """

    steps: int = 16
    method: Method = "midpoint"

    def __post_init__(self) -> None:
        if self.steps < 1:
            msg = f"steps is {self.steps}, expected at least 1"
            raise JetLabError(msg)
        if self.method not in CALLS:
            msg = f"unknown method {self.method!r}; expected one of {', '.join(CALLS)}"
            raise JetLabError(msg)

    @property
    def calls(self) -> int:
        """Network calls for a batch of jets."""
        return self.steps * CALLS[self.method]


class _StoppedError(Exception):
    pass


@torch.inference_mode()
def move_particles(
    model: JetFlow, noise: ParticleBatch, path: Path, *, stop: Callable[[], bool] | None = None
) -> ParticleBatch | None:
    """Move noise to where a model wants the constituents of jets.

    Parameters
    ----------
    model : JetFlow
    noise : ParticleBatch
        From `JetFlow.begin`.
    path : Path
    stop : callable, optional
        Asked before every network call.

    Returns
    -------
    ParticleBatch or None
        None if stopped.
    """

    def velocity(x: Tensor, time: Tensor) -> Tensor:
        if stop is not None and stop():
            raise _StoppedError
        return model.denoise(replace(noise, x=x), time.expand(len(x)), noise.label).velocity

    times = torch.linspace(1, 0, path.steps + 1, device=noise.x.device)
    try:
        return replace(noise, x=integrate(velocity, noise.x, times, method=path.method))
    except _StoppedError:
        return None
