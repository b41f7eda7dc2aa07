"""Lion, the optimizer of OmniLearn and OmniLearned: it steps by the sign of a momentum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Lion"]


class Lion(torch.optim.Optimizer):
    """Sign of a mean of gradients, each parameter moving by exactly the learning rate (arXiv:2302.06675) [1]_.

    It keeps one number a parameter, half of what AdamW keeps. Its steps are longer: take a learning rate some 3 to 10
    times lower than AdamW's, and a weight decay that is as much higher.

    Parameters
    ----------
    params : iterable
        Parameters or groups of them.
    lr : float
    betas : tuple of float
        How much of the momentum goes into a step, and how much of it is kept for the next one.
    weight_decay : float
        Decoupled: parameters shrink by ``lr * weight_decay`` each step.

    References
    ----------
    .. [1] Chen et al., "Symbolic discovery of optimization algorithms", arXiv:2302.06675.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.95, 0.98),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; `closure`, if given, computes the loss again, which is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                self._move(moved, [self._momentum(p) for p in moved], group)
        return loss

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state["momentum"]

    @staticmethod
    def _move(parameters: list[Tensor], momenta: list[Tensor], group: dict[str, Any]) -> None:
        """All parameters of a group at once."""
        now, later = group["betas"]
        gradients = [p.grad for p in parameters if p.grad is not None]
        steps = torch._foreach_lerp(gradients, momenta, now)
        torch._foreach_sign_(steps)
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, steps, alpha=-group["lr"])
        torch._foreach_lerp_(momenta, gradients, 1 - later)
