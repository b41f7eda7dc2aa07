"""Integration of flows: orders of the methods, directions, calls."""

from __future__ import annotations

import math

import pytest
import torch

from jetlab.samplers.flow import CALLS, integrate


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2)])
def test_errors_fall_with_the_order_of_the_method(method: str, order: int) -> None:
    """The velocity x cos t has the solution exp(sin t)."""
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    errors = []
    for steps in (20, 40):
        times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        end = integrate(lambda x, t: x * t.cos(), start, times, method=method)  # type: ignore[arg-type]
        errors.append(float((end - start * math.exp(math.sin(1))).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


@pytest.mark.parametrize("method", CALLS)
def test_straight_flows_need_one_step_and_calls_are_counted(method: str) -> None:
    start, velocity = torch.randn(3, 4), torch.randn(3, 4)
    times: list[float] = []

    def told(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        times.append(float(time))
        return velocity

    end = integrate(told, start, torch.tensor([1.0, 0.0]), method=method)  # type: ignore[arg-type]
    torch.testing.assert_close(end, start - velocity)
    assert len(times) == CALLS[method]
    assert times == {"euler": [1.0], "midpoint": [1.0, 0.5], "heun": [1.0, 0.0]}[method]


def test_there_and_back_again() -> None:
    start = torch.randn(5, dtype=torch.float64)
    there = integrate(lambda x, t: (x + t).sin(), start, torch.linspace(0, 1, 200, dtype=torch.float64))
    back = integrate(lambda x, t: (x + t).sin(), there, torch.linspace(1, 0, 200, dtype=torch.float64))
    torch.testing.assert_close(back, start, rtol=1e-4, atol=1e-4)


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown method 'rk9'; expected one of euler, midpoint, heun"):
        integrate(lambda x, t: x * t, torch.ones(1), torch.ones(2), method="rk9")  # type: ignore[arg-type]
