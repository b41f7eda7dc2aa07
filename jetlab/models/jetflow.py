"""Jets from noise: a small model draws what a jet is like as a whole, a denoiser moves its constituents into place.

First come class, pT, mass and the number of constituents; then so many points of noise follow the velocity that an
OmniLearned (arXiv:2510.24066), an OmniLearn (arXiv:2404.16091) or a JEPA encoder (arXiv:2502.03933) with a head for
velocities gives them, told what was drawn. The same network classifies jets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import JetLabError
from jetlab.features import JET_KINEMATICS, JetRecipe, Recipe
from jetlab.jets import Jets
from jetlab.models.encoding import Denoised, Encoding
from jetlab.models.jepa_flow import JepaFlow, JepaFlowConfig
from jetlab.models.omnilearn import OmniLearn, OmniLearnConfig
from jetlab.models.omnilearned import OmniLearned, OmniLearnedConfig
from jetlab.models.pet import PETConfig
from jetlab.models.prior import Prior
from jetlab.models.prompts import PromptConfig, PromptModel
from jetlab.models.tokens import Prompt

__all__ = ["NETWORKS", "JetFlow", "JetFlowConfig"]

Network = OmniLearned | OmniLearn | JepaFlow
NetworkConfig = OmniLearnedConfig | OmniLearnConfig | JepaFlowConfig

NETWORKS: dict[str, tuple[type[NetworkConfig], type[Network]]] = {
    "omnilearned": (OmniLearnedConfig, OmniLearned),
    "omnilearn": (OmniLearnConfig, OmniLearn),
    "jepa": (JepaFlowConfig, JepaFlow),
}
"""Configuration and class of each network that can move constituents."""


@dataclass(frozen=True)
class JetFlowConfig:
    """Configuration of a `JetFlow`.

    Parameters
    ----------
    particles : OmniLearnedConfig, OmniLearnConfig or JepaFlowConfig
        Of the network that moves constituents; the first and the last are for the task "pretrain" or "generator".
    prompts : PromptConfig
    conditions : JetRecipe
        What the network is told about the jet; of pT, mass and multiplicity, which the prompts have.
    process : {"flow", "diffusion"}
        What the network has learned: straight ways from jets to noise (`jetlab.objectives.FlowMatching`), or diffusion
        (`jetlab.objectives.Diffusion`).

    Raises
    ------
    ValueError
        If the network takes another number of conditions.
    """

    particles: NetworkConfig
    prompts: PromptConfig
    conditions: JetRecipe = JET_KINEMATICS
    process: Literal["flow", "diffusion"] = "flow"

    def __post_init__(self) -> None:
        if self.process not in ("flow", "diffusion"):
            msg = f"process is {self.process!r}, expected 'flow' or 'diffusion'"
            raise ValueError(msg)
        if self.told != self.conditions.width:
            msg = (
                f"the network is told {self.told} numbers about a jet, the recipe {self.conditions.name} has "
                f"{self.conditions.width}; give the network as many"
            )
            raise ValueError(msg)

    @property
    def network(self) -> str:
        """Name of the network in `NETWORKS`."""
        return next(name for name, (config, _) in NETWORKS.items() if type(self.particles) is config)

    @property
    def told(self) -> int:
        """How many numbers about a jet the network is told."""
        found = self.particles
        return found.body.conditions if isinstance(found, OmniLearnedConfig) else found.told

    @staticmethod
    def preset(name: str, *, classes: tuple[str, ...], network: str = "omnilearned") -> JetFlowConfig:
        """Model of a preset of its network, told the kinematics of jets.

        Parameters
        ----------
        name : str
            Of `PET2Config.preset`, `PETConfig.preset` or `JetEncoderConfig.preset`.
        classes : tuple of str
        network : {"omnilearned", "omnilearn", "jepa"}
            With flow matching, with diffusion, and with flow matching.
        """
        if network not in NETWORKS:
            msg = f"unknown network {network!r}; expected one of {', '.join(NETWORKS)}"
            raise ValueError(msg)
        particles: NetworkConfig
        if network == "omnilearn":
            particles = OmniLearnConfig(PETConfig.preset(name), classes, JET_KINEMATICS)
        elif network == "jepa":
            particles = JepaFlowConfig.preset(name, classes=classes, conditions=JET_KINEMATICS.width)
        else:
            particles = OmniLearnedConfig.preset(name, classes=classes, conditions=JET_KINEMATICS.width)
        prompts = PromptConfig(classes=len(classes), max_multiplicity=particles.recipe.max_particles)
        return JetFlowConfig(particles, prompts, process="diffusion" if network == "omnilearn" else "flow")

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self) | {"particles": {"network": self.network, "config": self.particles.to_dict()}}

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> JetFlowConfig:
        """Rebuild from `to_dict`."""
        return JetFlowConfig(
            NETWORKS[entries["particles"]["network"]][0].from_dict(entries["particles"]["config"]),
            PromptConfig(**entries["prompts"]),
            JetRecipe.from_dict(entries["conditions"]),
            entries["process"],
        )


class JetFlow(nn.Module):
    """Generates and classifies jets.

    Parameters
    ----------
    config : JetFlowConfig
    """

    lowest: Tensor
    highest: Tensor

    def __init__(self, config: JetFlowConfig) -> None:
        super().__init__()
        self.config = config
        _, network = NETWORKS[config.network]
        self.particles: Network = network(config.particles)  # type: ignore[arg-type]
        self.prompts = PromptModel(config.prompts)
        everything = torch.full((self.prior.features,), torch.inf)
        self.register_buffer("lowest", -everything)
        self.register_buffer("highest", everything)

    @torch.no_grad()
    def learn_range(self, particles: ParticleSet) -> None:
        """Take the range of the inputs of these jets as that of generated ones."""
        x = torch.from_numpy(particles.features.x[:, : self.features_generated])
        self.lowest.copy_(x.amin(0))
        self.highest.copy_(x.amax(0))

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

    def encode(self, batch: ParticleBatch, time: Tensor | None = None) -> Encoding:
        """What the body makes of jets, noisy ones at a time ``(B,)``."""
        return self.particles.encode(batch, time)

    def classify(self, batch: ParticleBatch) -> Tensor:
        """Logits ``(B, classes)`` of clean jets."""
        return self.particles.classify(batch)

    def denoise(
        self, batch: ParticleBatch, time: Tensor, label: Tensor | None = None, *, guidance: float = 0.0
    ) -> Denoised:
        """Velocity ``(B, N, F)`` and logits of noisy jets at times ``(B,)``; `guidance` as for `OmniLearn.denoise`.

        Raises
        ------
        JetLabError
            If the network has not learned to be guided.
        """
        if isinstance(self.particles, OmniLearn):
            return self.particles.denoise(batch, time, label, guidance=guidance)
        if guidance:
            msg = f"guidance is {guidance}, but only an OmniLearn learns jets of any class too, to be guided away from"
            raise JetLabError(msg)
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
        """Jets of the constituents that noise has become, those out of the range of the training moved to its edge."""
        x, offsets = batch.packed()
        x = x.clamp(self.lowest, self.highest)
        label = None if batch.label is None else batch.label.cpu().numpy()
        told = {} if batch.cond is None else self.config.conditions.inverse(batch.cond.cpu().numpy())
        return self.recipe.inverse(
            x.double().cpu().numpy(), np.asarray(offsets.cpu()), jet_pt=told.get("pt"), label=label,
            classes=self.classes, meta=meta,
        )  # fmt: skip

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> JetFlow:
        """Untrained model of the architecture in `config_dict`."""
        return JetFlow(JetFlowConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
