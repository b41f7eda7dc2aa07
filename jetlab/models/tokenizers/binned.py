"""The plain tokenizer: a grid in the space of the inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.features import OMNIJET_RECIPE, Recipe
from jetlab.models.tokenizers.base import Reconstruction, Tokenizer

__all__ = ["BinnedConfig", "BinnedTokenizer"]


@dataclass(frozen=True)
class BinnedConfig:
    """Grid of a `BinnedTokenizer`; `preset` gives named ones.

    Parameters
    ----------
    bins : tuple of int
        Number of bins of each input of the recipe.
    spacing : {"equal", "quantile"}
        Bins of equal width, or bins that hold equally many constituents of the jets that the grid is placed on.
    recipe : Recipe
        Inputs.
    """

    bins: tuple[int, ...] = (21, 21, 21)
    spacing: Literal["equal", "quantile"] = "equal"
    recipe: Recipe = OMNIJET_RECIPE

    def __post_init__(self) -> None:
        if len(self.bins) != self.recipe.width or min(self.bins, default=0) < 1:
            msg = f"bins are {self.bins}, expected {self.recipe.width} positive numbers, one an input of the recipe"
            raise ValueError(msg)
        if self.spacing not in ("equal", "quantile"):
            msg = f"spacing is {self.spacing!r}, expected 'equal' or 'quantile'"
            raise ValueError(msg)

    @property
    def codebook_size(self) -> int:
        """Number of cells."""
        return math.prod(self.bins)

    def with_codes(self, codes: int) -> BinnedConfig:
        """Return the same with equally many bins an input, as near to this number of cells as that comes."""
        each = max(round(codes ** (1 / self.recipe.width)), 1)
        return replace(self, bins=(each,) * self.recipe.width)

    @staticmethod
    def preset(name: str) -> BinnedConfig:
        """``published``: 21 bins an input, 9261 cells; ``tiny``: 13 bins an input, 2197 cells. Both of equal width."""
        presets = {"published": BinnedConfig(), "tiny": BinnedConfig(bins=(13, 13, 13))}
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        return presets[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> BinnedConfig:
        """Rebuild from `to_dict`."""
        recipe = Recipe.from_dict(entries["recipe"])
        return BinnedConfig(tuple(entries["bins"]), entries["spacing"], recipe)


class BinnedTokenizer(Tokenizer):
    """Each constituent becomes the cell of a grid that it lies in, and the cell its middle.

    Before `place`, the grid spans -4 to 4 in every input.

    Parameters
    ----------
    config : BinnedConfig
    """

    def __init__(self, config: BinnedConfig) -> None:
        super().__init__()
        self.config = config
        strides = [math.prod(config.bins[i + 1 :]) for i in range(len(config.bins))]
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        for i, bins in enumerate(config.bins):
            edges = torch.linspace(-4.0, 4.0, bins + 1)
            self.register_buffer(f"edges{i}", edges[1:-1].contiguous())
            self.register_buffer(f"middles{i}", (edges[1:] + edges[:-1]) / 2)

    @property
    def recipe(self) -> Recipe:
        """Inputs that the tokenizer reads."""
        return self.config.recipe

    @property
    def codebook_size(self) -> int:
        """Number of cells."""
        return self.config.codebook_size

    def place(self, particles: ParticleSet) -> None:
        """Place the grid on the constituents of some jets.

        Bins of equal width span all but one constituent in a thousand on either side; those beyond fall into the
        outermost bins. The middle of a quantile bin is the mean of what fell into it.

        Parameters
        ----------
        particles : ParticleSet
            Prepared by the recipe of the tokenizer.
        """
        for i, bins in enumerate(self.config.bins):
            values = particles.features.x[:, i].astype(np.float64)
            if self.config.spacing == "equal":
                low, high = np.quantile(values, [0.001, 0.999])
                edges = np.linspace(low, high, bins + 1)
                middles = (edges[1:] + edges[:-1]) / 2
            else:
                edges = np.quantile(values, np.linspace(0, 1, bins + 1))
                found = np.searchsorted(edges[1:-1], values, side="left")
                counts = np.bincount(found, minlength=bins)
                sums = np.bincount(found, weights=values, minlength=bins)
                middles = np.where(counts > 0, sums / np.maximum(counts, 1), (edges[1:] + edges[:-1]) / 2)
            self.get_buffer(f"edges{i}").copy_(torch.from_numpy(edges[1:-1]))
            self.get_buffer(f"middles{i}").copy_(torch.from_numpy(middles))

    def forward(self, batch: ParticleBatch, generator: torch.Generator | None = None) -> Reconstruction:  # noqa: ARG002
        """Codes and middles of a batch; there is nothing to learn by gradient."""
        codes = torch.zeros(batch.mask.shape, dtype=torch.int64, device=batch.x.device)
        codes[batch.mask] = found = self.codes(batch)
        return Reconstruction(self.inputs(codes, batch.mask), found, batch.x.new_zeros(()))

    def codes(self, batch: ParticleBatch) -> Tensor:
        """Codes of the real particles of a batch, jet by jet, shape ``(m,)``."""
        columns = batch.x[batch.mask].T
        bins = [torch.bucketize(c.contiguous(), self.get_buffer(f"edges{i}")) for i, c in enumerate(columns)]
        return (torch.stack(bins, -1) * self.get_buffer("strides")).sum(-1)

    def inputs(self, codes: Tensor, mask: Tensor) -> Tensor:
        """Inputs that padded codes ``(B, N)`` stand for, shape ``(B, N, F)``, zero where padded."""
        strides = self.get_buffer("strides")
        columns = [
            self.get_buffer(f"middles{i}")[codes // strides[i] % bins] for i, bins in enumerate(self.config.bins)
        ]
        return torch.stack(columns, -1) * mask[..., None]

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> BinnedTokenizer:
        """Tokenizer of the configuration in `config_dict`, its grid not placed yet."""
        return BinnedTokenizer(BinnedConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
