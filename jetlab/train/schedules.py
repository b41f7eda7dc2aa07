"""Learning rates as plain functions of the step."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from jetlab.errors import TrainingError

__all__ = ["Schedule", "ScheduleName"]

ScheduleName = Literal["cosine", "constant", "wsd"]

DECAY_SHARE = 0.2
"""Share of the steps in which "wsd" decays."""


@dataclass(frozen=True)
class Schedule:
    """Learning rate at each step: a linear warm-up, then one of three shapes.

    Parameters
    ----------
    name : {"cosine", "constant", "wsd"}
        "cosine" falls to zero at the end [1]_; "constant" stays; "wsd" (warmup, stable, decay) stays and falls as one
        minus a square root over the last fifth of the steps [2]_.
    lr : float
        Highest learning rate.
    steps : int
        Steps of the whole training.
    warmup : int or None
        Steps of linear rise; None means 100, or a tenth of the steps where that is less.

    References
    ----------
    .. [1] Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", arXiv:1608.03983.
    .. [2] Hägele et al., "Scaling laws and compute-optimal training beyond fixed training durations",
       arXiv:2405.18392.
    """

    name: ScheduleName
    lr: float
    steps: int
    warmup: int | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(ScheduleName):
            msg = f"schedule is {self.name!r}, expected one of {', '.join(map(repr, get_args(ScheduleName)))}"
            raise TrainingError(msg)
        if not (math.isfinite(self.lr) and self.lr > 0):
            msg = f"lr is {self.lr}, expected a positive learning rate such as 1e-3"
            raise TrainingError(msg)
        if self.warmup is not None and not 0 <= self.warmup < self.steps:
            msg = f"warmup is {self.warmup} steps, expected 0 to {self.steps - 1} in a training of {self.steps} steps"
            raise TrainingError(msg)

    @property
    def rise(self) -> int:
        """Steps of warm-up."""
        return min(100, self.steps // 10) if self.warmup is None else self.warmup

    def state_dict(self) -> dict[str, Any]:
        """Return the parameters, for a checkpoint."""
        return asdict(self)

    def __call__(self, step: int) -> float:
        """Learning rate of the update numbered `step`, counted from 0."""
        if step < self.rise:
            return self.lr * (step + 1) / self.rise
        if self.name == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * (step - self.rise) / (self.steps - self.rise)))
        if self.name == "wsd":
            stable = max(self.rise, self.steps - math.ceil(DECAY_SHARE * self.steps))
            return self.lr * (1 - math.sqrt(max(0, step - stable) / max(1, self.steps - stable)))
        return self.lr
