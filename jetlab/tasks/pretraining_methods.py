"""Ways to pretrain one and the same encoder, by name: which models stand on it, and what each learns."""

from __future__ import annotations

from typing import NamedTuple

import torch

from jetlab.errors import JetLabError
from jetlab.masking import Masking
from jetlab.models.jepa import Jepa, JepaConfig
from jetlab.models.jepa_encoder import JetEncoderConfig
from jetlab.models.jepa_flow import JepaFlow, JepaFlowConfig
from jetlab.models.masked import MaskedModel, MaskedModelConfig
from jetlab.models.pretrainer import Part, Pretrainer
from jetlab.models.prompts import PromptConfig
from jetlab.models.token_writer import TokenWriter, TokenWriterConfig
from jetlab.objectives import FlowMatching, MaskedParticles, Mixture, NextParticle
from jetlab.objectives.jepa import JEPA
from jetlab.objectives.mixture import PartObjective

__all__ = ["METHODS", "NONE", "Learner", "learner", "needs_labels"]

NONE = "none"
"""No pretraining."""

METHODS: dict[str, str] = {
    NONE: "no pretraining",
    "jepa": "JEPA",
    "masked": "masked particles",
    "tokens": "next token",
    "classes": "classification",
    "flow": "flow matching",
    "jepa+masked": "JEPA + masked particles",
    "classes+masked": "classification + masked particles",
    "classes+flow": "classification + flow matching",
}
"""Ways to pretrain, and what they are called. Parts of a mixture count alike."""


class Learner(NamedTuple):
    """A model to pretrain and what it learns."""

    model: Pretrainer
    objective: Mixture


def needs_labels(method: str) -> bool:
    """Whether the encoder learns from the classes of the jets."""
    return "classes" in method.split("+")


def learner(method: str, encoder: JetEncoderConfig, *, classes: tuple[str, ...], steps: int, seed: int = 0) -> Learner:
    """An untrained model for one of `METHODS`, and what it learns.

    Next token and flow matching are told pT, mass and multiplicity of the jet but not its class, so that they need no
    labels; in a mixture with classification, flow matching is told the class, as in OmniLearned (arXiv:2510.24066).

    Parameters
    ----------
    method : str
    encoder : JetEncoderConfig
    classes : tuple of str
        Of the jets to learn from.
    steps : int
        Length of the training, over which the second encoder of a JEPA comes to rest.
    seed : int
        Of the weights.

    Raises
    ------
    JetLabError
        If the method is unknown, or the one that trains nothing.
    """
    if method not in METHODS or method == NONE:
        msg = f"cannot pretrain by {method!r}; expected one of {', '.join(name for name in METHODS if name != NONE)}"
        raise JetLabError(msg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if method == "classes+flow":
            flow = JepaFlow(JepaFlowConfig(encoder, "pretrain", classes))
            return Learner(
                Pretrainer({"flow": flow}), Mixture({"flow": (FlowMatching(mean_over="particles", unit="noise"), 1.0)})
            )
        chosen = {name: _part(name, encoder, classes, steps) for name in method.split("+")}
        model = Pretrainer({name: part for name, (part, _) in chosen.items()})
        return Learner(model, Mixture({name: (objective, 1.0) for name, (_, objective) in chosen.items()}))


def _part(name: str, encoder: JetEncoderConfig, classes: tuple[str, ...], steps: int) -> tuple[Part, PartObjective]:
    """A model on an encoder of this configuration, and its objective."""
    if name == "jepa":
        width = encoder.width // 2
        return Jepa(JepaConfig(encoder, Masking(), width, max(1, encoder.depth // 2), encoder.heads)), JEPA(steps=steps)
    if name == "masked":
        return MaskedModel(MaskedModelConfig(encoder)), MaskedParticles()
    if name == "tokens":
        prompts = PromptConfig(classes=1, max_multiplicity=encoder.recipe.max_particles)
        return TokenWriter(TokenWriterConfig(encoder, prompts, classes=())), NextParticle()
    if name == "classes":
        return JepaFlow(JepaFlowConfig(encoder, "classifier", classes)), FlowMatching(generation=False)
    return JepaFlow(JepaFlowConfig(encoder, "generator", ())), FlowMatching(
        classes=False, mean_over="particles", unit="noise"
    )
