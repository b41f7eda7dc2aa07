"""Masked particle modelling on a JEPA encoder: what some particles of a jet are, guessed from the others.

The encoder sees only the particles that are shown, as in the second form of the method (arXiv:2409.12589). A small
decoder puts a learned vector in the place of each hidden one; all it knows of it is its rank in pT. It guesses inputs
(regression) or cells of a grid (tokens, arXiv:2401.13537).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.features import Recipe
from jetlab.jets import Jets
from jetlab.models.blocks import TransformerBlock
from jetlab.models.constituent_grid import GRID, check_grid, codes_of
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.tokenizers import BinnedConfig, BinnedTokenizer

__all__ = ["Guess", "MaskedModel", "MaskedModelConfig"]


class Guess(NamedTuple):
    """What hidden particles are guessed to be, and what they are, jet by jet.

    Normalised inputs ``(m, F)`` and logits of cells ``(m, codes)``; the true inputs ``(m, F)`` and cells ``(m,)``.
    """

    inputs: Tensor
    logits: Tensor
    true_inputs: Tensor
    true_codes: Tensor


@dataclass(frozen=True)
class MaskedModelConfig:
    """Configuration of a `MaskedModel`.

    Parameters
    ----------
    encoder : JetEncoderConfig
        Of particles.
    depth : int
        Blocks of the decoder.
    grid : BinnedConfig
        Cells of constituents, see `jetlab.models.constituent_grid`.

    Raises
    ------
    ValueError
        If the encoder does not read particles, or the grid not its inputs.
    """

    encoder: JetEncoderConfig = field(default_factory=JetEncoderConfig)
    depth: int = 2
    grid: BinnedConfig = GRID

    def __post_init__(self) -> None:
        if self.encoder.tokens != "particles":
            msg = f"particles are masked, but the encoder reads {self.encoder.tokens}; take tokens='particles'"
            raise ValueError(msg)
        check_grid(self.grid, self.encoder.recipe)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self) | {"encoder": self.encoder.to_dict(), "grid": self.grid.to_dict()}

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> MaskedModelConfig:
        """Rebuild from `to_dict`."""
        return MaskedModelConfig(
            JetEncoderConfig.from_dict(entries["encoder"]), entries["depth"], BinnedConfig.from_dict(entries["grid"])
        )


class MaskedModel(nn.Module):
    """Guesses hidden particles.

    Parameters
    ----------
    config : MaskedModelConfig
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, config: MaskedModelConfig) -> None:
        super().__init__()
        self.config, c = config, config.encoder
        self.encoder = JetEncoder(c)
        self.tokenizer = BinnedTokenizer(config.grid)
        self.token = nn.Parameter(0.02 * torch.randn(c.width))
        self.ranks = nn.Embedding(c.recipe.max_particles, c.width)
        nn.init.normal_(self.ranks.weight, std=0.02)
        self.blocks = nn.ModuleList(TransformerBlock(c.width, c.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(c.width)
        self.of_inputs = nn.Linear(c.width, c.recipe.width)
        self.of_codes = nn.Linear(c.width, config.grid.codebook_size)
        self.register_buffer("mean", torch.zeros(c.recipe.width))
        self.register_buffer("spread", torch.ones(c.recipe.width))

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.config.encoder.recipe

    def prepare(self, jets: Jets) -> ParticleSet:
        """Jets as the encoder reads them."""
        return ParticleSet(jets, self.recipe)

    @torch.no_grad()
    def learn_scale(self, particles: ParticleSet) -> None:
        """Take mean and spread of the inputs, and the grid, from these jets."""
        x = torch.from_numpy(particles.features.x)
        self.mean.copy_(x.mean(0))
        self.spread.copy_(x.std(0).clamp(min=1e-6))
        self.tokenizer.place(particles)

    def forward(self, batch: ParticleBatch, hidden: Tensor) -> Guess:
        """Guess hidden particles.

        Parameters
        ----------
        batch : ParticleBatch
            Of its conditions, which know the hidden particles, nothing is told.
        hidden : Tensor of bool, shape (B, N)
            True for some of the real particles, not for all of a jet.
        """
        shown = self.encoder.encode(replace(batch, cond=None), visible=batch.mask & ~hidden).particles
        h = torch.where(hidden[..., None], self.token.to(shown.dtype), shown) + self.ranks.weight[: hidden.shape[1]]
        for block in self.blocks:
            h = block(h, mask=batch.mask)
        h = self.norm(h[hidden])
        true = (batch.x[hidden] - self.mean) / self.spread
        return Guess(self.of_inputs(h), self.of_codes(h), true, codes_of(self.tokenizer, batch)[hidden])

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> MaskedModel:
        """Untrained model of the architecture in `config_dict`."""
        return MaskedModel(MaskedModelConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
