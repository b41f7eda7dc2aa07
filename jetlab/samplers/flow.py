"""Integration of flows: a velocity carries noise along a grid of times to what a model generates."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from torch import Tensor

__all__ = ["CALLS", "integrate"]

Velocity = Callable[[Tensor, Tensor], Tensor]
"""Gives the velocity of a state at a time, a tensor without dimensions."""

CALLS = {"euler": 1, "midpoint": 2, "heun": 2}
"""Calls of the velocity a step."""


def integrate(
    velocity: Velocity,
    start: Tensor,
    times: Tensor,
    *,
    method: Literal["midpoint", "heun", "euler"] = "midpoint",
) -> Tensor:
    """Follow a velocity from the first time to the last.

    Parameters
    ----------
    velocity : callable
        Takes the state and the time, a tensor without dimensions.
    start : Tensor, any shape
        State at the first time.
    times : Tensor, shape (T,)
        Rising or falling; published OmniLearned generates with 128 from 1 to 0 by ``midpoint``.
    method : {"midpoint", "heun", "euler"}
        The first two are of second order and call the velocity twice a step, the last once.

    Returns
    -------
    Tensor
        State at the last time, of the shape of `start`.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    if method not in CALLS:
        msg = f"unknown method {method!r}; expected one of {', '.join(CALLS)}"
        raise ValueError(msg)
    state = start
    for now, then in pairwise(times):
        step = then - now
        slope = velocity(state, now)
        if method == "midpoint":
            slope = velocity(state + 0.5 * step * slope, now + 0.5 * step)
        elif method == "heun":
            slope = 0.5 * (slope + velocity(state + step * slope, then))
        state = state + step * slope
    return state
