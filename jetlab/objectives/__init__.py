"""What is learned: each objective maps (model, batch) to a loss and named terms. Padding never enters a loss."""

from __future__ import annotations

from jetlab.objectives.diffusion import Diffusion
from jetlab.objectives.flow import FlowMatching
from jetlab.objectives.jepa import JEPA
from jetlab.objectives.loss import Loss
from jetlab.objectives.masked import MaskedParticles
from jetlab.objectives.mixture import Mixture
from jetlab.objectives.next_particle import NextParticle
from jetlab.objectives.reconstruction import reconstruction
from jetlab.objectives.supervised import classification, regression
from jetlab.objectives.tokens import masked_particles, next_token, next_token_and_masked, prompt_likelihood

__all__ = [
    "JEPA",
    "Diffusion",
    "FlowMatching",
    "Loss",
    "MaskedParticles",
    "Mixture",
    "NextParticle",
    "classification",
    "masked_particles",
    "next_token",
    "next_token_and_masked",
    "prompt_likelihood",
    "reconstruction",
    "regression",
]
