"""What OmniLearn and OmniLearned share: heads that classify and denoise, and running averages to generate with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

from torch import nn

from jetlab.features import Recipe
from jetlab.models.prior import Prior

__all__ = ["DenoisingModel"]


class DenoisingModel(nn.Module):
    """Base of models that classify jets and tell how noisy ones move towards clean ones.

    Attributes
    ----------
    config : frozen dataclass
        With ``classes``, ``recipe``, ``prior`` and ``averaged``.
    averaged : DenoisingModel or None
        Running averages of the weights, where they are kept.
    """

    config: Any
    averaged: Any

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.config.classes

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.config.recipe

    @property
    def prior(self) -> Prior:
        """Noise that generation starts from."""
        return self.config.prior

    @property
    def features_generated(self) -> int:
        """How many of the inputs, the first ones, are diffused."""
        return self.config.prior.features

    @property
    def generating(self) -> Self:
        """The model to generate with: the running averages, where they are kept, else this one."""
        return self if self.averaged is None else self.averaged

    def without_averages(self) -> Self:
        """Forget the running averages, in place: they would stay as they are while the model is trained on."""
        self.config, self.averaged = replace(self.config, averaged=False), None
        return self

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
