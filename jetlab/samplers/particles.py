"""Constituents from noise: all of a jet at once, along the velocity that a model gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from jetlab.batches import ParticleBatch
from jetlab.errors import JetLabError
from jetlab.models.jetflow import JetFlow
from jetlab.samplers.diffusion import sample_diffusion
from jetlab.samplers.flow import integrate

__all__ = ["METHODS", "Method", "Path", "move_particles"]

Method = Literal["midpoint", "heun", "euler", "ddim", "ancestral"]

METHODS: dict[str, tuple[Method, ...]] = {
    "flow": ("midpoint", "heun", "euler"),
    "diffusion": ("heun", "ddim", "ancestral"),
}
"""Ways to take a step, for each process that a model can have learned, the usual one first."""

ONE_CALL = ("euler", "ancestral")


@dataclass(frozen=True)
class Path:
    """How noise becomes jets.

    Parameters
    ----------
    steps : int
        From noise to jets, of equal length.
    method : str, optional
        As for `jetlab.samplers.flow.integrate` or `jetlab.samplers.diffusion.sample_diffusion`; by default the first
        of `METHODS` for the process of the model.
    guidance : float
        How much further away from jets of any class than the class itself.

    Raises
    ------
    JetLabError
        If there are no steps.
    """

    steps: int = 16
    method: Method | None = None
    guidance: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            msg = f"steps is {self.steps}, expected at least 1"
            raise JetLabError(msg)

    def for_process(self, process: str) -> Path:
        """The same with a method for models of this process.

        Raises
        ------
        JetLabError
            If the method is not one for them.
        """
        known = METHODS[process]
        if self.method is not None and self.method not in known:
            msg = f"a model of {process} has no method {self.method!r}; expected one of {', '.join(known)}"
            raise JetLabError(msg)
        return replace(self, method=self.method or known[0])

    @property
    def calls(self) -> int:
        """Network calls for a batch of jets."""
        return self.steps * (1 if self.method in ONE_CALL else 2)


class _StoppedError(Exception):
    pass


@torch.inference_mode()
def move_particles(
    model: JetFlow,
    noise: ParticleBatch,
    path: Path,
    *,
    generator: torch.Generator | None = None,
    stop: Callable[[], bool] | None = None,
) -> ParticleBatch | None:
    """Move noise to where a model wants the constituents of jets.

    Parameters
    ----------
    model : JetFlow
    noise : ParticleBatch
        From `JetFlow.begin`.
    path : Path
    generator : torch.Generator, optional
        Of the noise that "ancestral" puts in on the way.
    stop : callable, optional
        Asked before every network call.

    Returns
    -------
    ParticleBatch or None
        None if stopped.

    Raises
    ------
    JetLabError
        If the path is not one for this model.
    """
    path = path.for_process(model.config.process)
    method: Any = path.method

    def velocity(x: Tensor, time: Tensor) -> Tensor:
        if stop is not None and stop():
            raise _StoppedError
        batch = replace(noise, x=x)
        return model.denoise(batch, time.expand(len(x)), noise.label, guidance=path.guidance).velocity

    try:
        if model.config.process == "diffusion":
            x = sample_diffusion(
                velocity, noise.mask, model.prior, steps=path.steps, method=method, generator=generator, start=noise.x
            )
        else:
            times = torch.linspace(1, 0, path.steps + 1, device=noise.x.device)
            x = integrate(velocity, noise.x, times, method=method)
    except _StoppedError:
        return None
    assert x is not None
    return replace(noise, x=x)
