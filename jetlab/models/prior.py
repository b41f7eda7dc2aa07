"""The noise that generation starts from: independent normal numbers, with a mean and a spread for each feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Prior"]


@dataclass(frozen=True)
class Prior:
    """Mean and standard deviation of the noise in each diffused feature, in the units of the inputs.

    Parameters
    ----------
    mean, std : tuple of float
        One number a feature; the deviations are positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(width > 0 for width in self.std):
            msg = f"a prior needs one mean and one positive deviation a feature, found mean {self.mean}, std {self.std}"
            raise ValueError(msg)

    @staticmethod
    def standard(features: int) -> Prior:
        """Normal numbers of mean 0 and deviation 1, for inputs that are normalised."""
        return Prior((0.0,) * features, (1.0,) * features)

    @property
    def features(self) -> int:
        """How many features are diffused."""
        return len(self.mean)

    def draw(self, mask: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise for jets with this mask ``(B, N)``, shape ``(B, N, F)``, zero where padded."""
        drawn = torch.randn(*mask.shape, self.features, device=mask.device, generator=generator)
        mean, std = self.tensors(drawn)
        return (mean + std * drawn) * mask[..., None]

    def tensors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation, both ``(F,)``, on the device and in the type of a tensor."""
        return like.new_tensor(self.mean), like.new_tensor(self.std)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> Prior:
        """Rebuild from `to_dict`."""
        return Prior(tuple(entries["mean"]), tuple(entries["std"]))
