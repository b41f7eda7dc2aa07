"""What HEP-JEPA learns: to predict the encoding of hidden tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jetlab.masking import MaskedBatch
from jetlab.models.following import Following
from jetlab.objectives.loss import Loss

__all__ = ["JEPA"]


@dataclass(frozen=True)
class JEPA:
    """Distance between predicted and true encodings of hidden tokens, a mean over these tokens (arXiv:2301.08243).

    In training, the second encoder follows the first before each step, with a momentum that rises linearly. The model
    counts these steps, so that a training that is resumed goes on to the same numbers.

    Parameters
    ----------
    loss : {"smooth_l1", "mse"}
    norm : {"layer", "batch"}
        Of true encodings: each token over its features, as published; or each feature over all hidden tokens, where
        what all tokens have in common does not count, so that encodings stay further apart.
    variance, covariance : float
        Weights of terms that keep the features of the tokens that are shown spread, and independent of each other
        (VICReg, arXiv:2105.04906).
    momentum : (float, float)
        At the first step and from the last on.
    steps : int
        Steps over which the momentum rises.

    Raises
    ------
    ValueError
        If a number makes no sense.
    """

    loss: Literal["smooth_l1", "mse"] = "smooth_l1"
    norm: Literal["layer", "batch"] = "layer"
    variance: float = 0.0
    covariance: float = 0.0
    momentum: tuple[float, float] = (0.992, 1.0)
    steps: int = 10_000

    def __post_init__(self) -> None:
        if self.loss not in ("smooth_l1", "mse") or self.norm not in ("layer", "batch"):
            msg = f"loss is {self.loss!r} and norm {self.norm!r}; expected 'smooth_l1' or 'mse', and 'layer' or 'batch'"
            raise ValueError(msg)
        if not 0 <= self.momentum[0] <= self.momentum[1] <= 1:
            msg = f"momentum is {self.momentum}, expected two rising numbers from 0 to 1"
            raise ValueError(msg)
        if self.steps < 1 or min(self.variance, self.covariance) < 0:
            msg = (
                f"there are {self.steps} steps, and weights {self.variance} and {self.covariance}; expected 1 step or "
                "more, and no negative weight"
            )
            raise ValueError(msg)

    def momentum_at(self, step: int) -> float:
        """Momentum after so many steps."""
        low, high = self.momentum
        return low + (high - low) * min(step / self.steps, 1)

    def __call__(self, model: nn.Module, batch: MaskedBatch, generator: torch.Generator | None = None) -> Loss:  # noqa: ARG002
        """Loss and terms of a batch; ``spread`` is the mean standard deviation of the true encodings' features.

        Raises
        ------
        TypeError
            If the model is neither a `Jepa` nor an `EventJepa`.
        """
        if not isinstance(model, Following):
            msg = f"JEPA trains a Jepa, found {type(model).__name__}"
            raise TypeError(msg)
        if model.training:
            model.follow(self.momentum_at(int(model.updates)))
        predicted, target, context = (values.float() for values in model(batch))
        distance = F.smooth_l1_loss if self.loss == "smooth_l1" else F.mse_loss
        parts = {"prediction": distance(predicted, self._normed(target), reduction="sum") / max(1, target.numel())}
        if self.variance:
            parts["variance"] = self.variance * _too_narrow(context)
        if self.covariance:
            parts["covariance"] = self.covariance * _dependence(context)
        loss = torch.stack(list(parts.values())).sum()
        terms = {"loss": loss.detach(), **{name: part.detach() for name, part in parts.items()}}
        return loss, terms | {"spread": _deviations(target).mean(), "weight": torch.tensor(max(1, len(target)))}

    def _normed(self, target: Tensor) -> Tensor:
        """True encodings ``(m, D)`` as they are predicted."""
        if self.norm == "layer":
            return F.layer_norm(target, target.shape[-1:])
        return (target - target.sum(0) / max(1, len(target))) / _deviations(target)


def _deviations(x: Tensor) -> Tensor:
    """Standard deviation of each feature of ``(n, D)``, shape ``(D,)``; zero if there are no rows."""
    return (x - x.sum(0) / max(1, len(x))).square().sum(0).div(max(1, len(x))).add(1e-8).sqrt()


def _too_narrow(x: Tensor) -> Tensor:
    """How far the features of ``(n, D)`` are from a standard deviation of 1, where they have less."""
    return (1 - _deviations(x)).clamp(min=0).mean()


def _dependence(x: Tensor) -> Tensor:
    """Sum of squared covariances between different features of ``(n, D)``, per feature."""
    centred = x - x.sum(0) / max(1, len(x))
    covariance = centred.T @ centred / max(1, len(x) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / x.shape[1]
