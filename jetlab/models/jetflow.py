"""Jets from noise: a small model draws what a jet is like as a whole, a denoiser moves its constituents into place.

First come class, pT, mass and the number of constituents; then so many points of noise follow the velocity that an
OmniLearned (arXiv:2510.24066) or an OmniLearn (arXiv:2404.16091) gives them, told what was drawn. The same network
classifies jets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.features import JET_KINEMATICS, JetRecipe, Recipe
from jetlab.jets import Jets
from jetlab.models.encoding import Denoised, Encoding
from jetlab.models.omnilearned import OmniLearned, OmniLearnedConfig
from jetlab.models.prior import Prior
from jetlab.models.prompts import PromptConfig, PromptModel
from jetlab.models.tokens import Prompt

__all__ = ["JetFlow", "JetFlowConfig"]


@dataclass(frozen=True)
class JetFlowConfig:
    """Configuration of a `JetFlow`.

    Parameters
    ----------
    particles : OmniLearnedConfig
        Of the network that moves constituents, for the task "pretrain" or "generator".
    prompts : PromptConfig
    conditions : JetRecipe
        What the network is told about the jet; of pT, mass and multiplicity, which the prompts have.

    Raises
    ------
    ValueError
        If the network takes another number of conditions.
    """

    particles: OmniLearnedConfig
    prompts: PromptConfig
    conditions: JetRecipe = JET_KINEMATICS

    def __post_init__(self) -> None:
        if self.particles.body.conditions != self.conditions.width:
            msg = (
                f"the network takes {self.particles.body.conditions} conditions, the recipe {self.conditions.name} has "
                f"{self.conditions.width}; give the network as many"
            )
            raise ValueError(msg)

    @staticmethod
    def preset(name: str, *, classes: tuple[str, ...]) -> JetFlowConfig:
        """``tiny``, ``small``, ``medium`` or ``large``: the OmniLearned of that preset, told the kinematics of jets."""
        particles = OmniLearnedConfig.preset(name, classes=classes, conditions=JET_KINEMATICS.width)
        longest = particles.recipe.max_particles
        return JetFlowConfig(particles, PromptConfig(classes=len(classes), max_multiplicity=longest))

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> JetFlowConfig:
        """Rebuild from `to_dict`."""
        return JetFlowConfig(
            OmniLearnedConfig.from_dict(entries["particles"]),
            PromptConfig(**entries["prompts"]),
            JetRecipe.from_dict(entries["conditions"]),
        )


class JetFlow(nn.Module):
    """Generates and classifies jets.

    Parameters
    ----------
    config : JetFlowConfig
    """

    def __init__(self, config: JetFlowConfig) -> None:
        super().__init__()
        self.config = config
        self.particles = OmniLearned(config.particles)
        self.prompts = PromptModel(config.prompts)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.config.particles.classes

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.config.particles.recipe

    @property
    def prior(self) -> Prior:
        """Noise that generation starts from."""
        return self.config.particles.prior

    @property
    def features_generated(self) -> int:
        """How many of the inputs, the first ones, are generated."""
        return self.prior.features

    @property
    def max_constituents(self) -> int:
        """Constituents of the longest jet that can be generated."""
        return self.config.prompts.max_multiplicity

    def prepare(self, jets: Jets) -> ParticleSet:
        """Jets as the network reads them, with what it is told about each, from which batches of any rows are cut."""
        return ParticleSet(jets, self.recipe, conditions=self.config.conditions)

    def encode(self, batch: ParticleBatch, time: Tensor | None = None, cond: Tensor | None = None) -> Encoding:
        """What the body makes of jets, noisy ones at a time ``(B,)``."""
        return self.particles.encode(batch, time, cond)

    def classify(self, batch: ParticleBatch) -> Tensor:
        """Logits ``(B, classes)`` of clean jets."""
        return self.particles.classify(batch)

    def denoise(self, batch: ParticleBatch, time: Tensor, label: Tensor | None = None) -> Denoised:
        """Velocity ``(B, N, F)`` and logits of noisy jets at times ``(B,)``."""
        return self.particles.denoise(batch, time, label)

    def forward(self, batch: ParticleBatch) -> Tensor:
        """Logits ``(B, classes)`` of clean jets."""
        return self.classify(batch)

    def ask(
        self,
        label: Tensor,
        generator: torch.Generator | None = None,
        *,
        pt: float | None = None,
        mass: float | None = None,
        multiplicity: int | None = None,
    ) -> Prompt:
        """Draw what is to be generated, one jet for each class index ``(B,)``; options as for `PromptModel.sample`."""
        return self.prompts.sample(label, generator, pt=pt, mass=mass, multiplicity=multiplicity)

    def begin(self, asked: Prompt, generator: torch.Generator | None = None) -> ParticleBatch:
        """Noise in place of the constituents of these jets, ``(B, N, F)``, with what the network is told."""
        values = {"pt": asked.pt, "mass": asked.mass, "multiplicity": asked.multiplicity}
        cond = torch.from_numpy(self.config.conditions.of({name: v.cpu().numpy() for name, v in values.items()}))
        longest = int(asked.multiplicity.max())
        mask = torch.arange(longest, device=asked.label.device) < asked.multiplicity[:, None]
        noise = self.prior.draw(mask, generator)
        return ParticleBatch(noise, mask, asked.label, self.recipe.name, cond.to(noise.device))

    def finish(self, batch: ParticleBatch, meta: Mapping[str, Any]) -> Jets:
        """Jets of the constituents that noise has become."""
        x, offsets = batch.packed()
        label = None if batch.label is None else batch.label.cpu().numpy()
        return self.recipe.inverse(
            x.double().cpu().numpy(), np.asarray(offsets.cpu()), label=label, classes=self.classes, meta=meta
        )

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> JetFlow:
        """Untrained model of the architecture in `config_dict`."""
        return JetFlow(JetFlowConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
