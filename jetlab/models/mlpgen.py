"""Generator of the jets of OmniLearned (arXiv:2510.24066): kinematics and multiplicity, before any particle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jetlab.models.dyt import FeedForward
from jetlab.models.pet2 import Waves
from jetlab.models.prior import Prior

__all__ = ["PUBLISHED_JET_PRIOR", "MLPGen", "MLPGenConfig"]

PUBLISHED_JET_PRIOR = Prior((6.40028, 5.0057, 0.4544, 0.6861), (0.16999, 0.318289, 0.139043, 0.193016))
"""Noise of the published generators of jets, in the conditions of their files without the second."""


@dataclass(frozen=True)
class MLPGenConfig:
    """Sizes of an `MLPGen`.

    Parameters
    ----------
    width, depth : int
        Of the blocks between.
    expansion : int
        Width of hidden layers over `width`.
    conditions : int
        Numbers that are asked for.
    prior : Prior
        Noise that generation starts from; one feature for each number that is generated.
    averaged : bool
        Running averages are kept beside the weights to generate with, as official checkpoints have them.
    """

    width: int = 256
    depth: int = 3
    expansion: int = 2
    conditions: int = 1
    prior: Prior = PUBLISHED_JET_PRIOR
    averaged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> MLPGenConfig:
        """Rebuild from `to_dict`."""
        return MLPGenConfig(**{**entries, "prior": Prior.from_dict(entries["prior"])})


class MLPGen(nn.Module):
    """Tells how noisy numbers about jets move towards clean ones.

    Parameters
    ----------
    config : MLPGenConfig
    """

    def __init__(self, config: MLPGenConfig) -> None:
        super().__init__()
        self.config = c = config
        hidden, half, features = c.expansion * c.width, c.width // 2, c.prior.features
        self.embed, self.condition = FeedForward(features, hidden, half), FeedForward(c.conditions, hidden, half)
        self.waves, self.time = Waves(c.width), FeedForward(c.width, hidden, half, norm=False)
        self.blocks = nn.ModuleList(FeedForward(c.width, hidden, c.width) for _ in range(c.depth))
        self.out = nn.Linear(c.width, features)
        self.averaged: MLPGen | None = None
        if c.averaged:
            self.averaged = MLPGen(MLPGenConfig(**{**vars(c), "averaged": False})).requires_grad_(False)

    @property
    def prior(self) -> Prior:
        """Noise that generation starts from."""
        return self.config.prior

    @property
    def generating(self) -> MLPGen:
        """The model to generate with: the running averages, where they are kept, else this one."""
        return self if self.averaged is None else self.averaged

    def forward(self, x: Tensor, time: Tensor, cond: Tensor) -> Tensor:
        """Velocity ``(B, F)`` of noisy numbers ``(B, F)`` at times ``(B,)``, given what is asked for, ``(B, C)``."""
        h = torch.cat([self.time(self.waves(time)), self.embed(x) + self.condition(cond)], 1)
        for block in self.blocks:
            h = block(h)
        return self.out(h)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> MLPGen:
        """Untrained model of the architecture in `config_dict`."""
        return MLPGen(MLPGenConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
