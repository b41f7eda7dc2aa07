"""What is learned: each objective maps (model, batch) to a loss and named terms. Padding never enters a loss."""

from __future__ import annotations

from jetlab.objectives.loss import Loss
from jetlab.objectives.reconstruction import reconstruction
from jetlab.objectives.supervised import classification
from jetlab.objectives.tokens import masked_particles, next_token, next_token_and_masked, prompt_likelihood

__all__ = [
    "Loss",
    "classification",
    "masked_particles",
    "next_token",
    "next_token_and_masked",
    "prompt_likelihood",
    "reconstruction",
]
