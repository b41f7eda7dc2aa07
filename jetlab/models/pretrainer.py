"""Several models that stand on one JEPA encoder and learn together, each with a head of its own.

What is learned by predicting encodings (`Jepa`), guessing hidden particles (`MaskedModel`), writing the next token
(`TokenWriter`), naming classes or moving noise (`JepaFlow`) then meets in the same weights.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import JET_KINEMATICS, JetRecipe, Recipe
from jetlab.masking import MaskedBatch, MaskedSet
from jetlab.models.jepa import Jepa
from jetlab.models.jepa_encoder import JetEncoder
from jetlab.models.jepa_flow import JepaFlow
from jetlab.models.masked import MaskedModel
from jetlab.models.token_writer import TokenWriter

if TYPE_CHECKING:
    from jetlab.features.augment import Augmentations
    from jetlab.jets import Jets

__all__ = ["Part", "Pretrainer"]

Part = Jepa | MaskedModel | TokenWriter | JepaFlow
"""Models that stand on a `JetEncoder`."""


class Pretrainer(nn.Module):
    """Models that share their encoder: all take that of the first one, in place.

    Parameters
    ----------
    parts : mapping of str to Part
    conditions : JetRecipe
        What those parts are told about a jet that are told anything.

    Raises
    ------
    JetLabError
        If there are no parts, or their encoders are of different configurations.
    """

    def __init__(self, parts: Mapping[str, Part], *, conditions: JetRecipe = JET_KINEMATICS) -> None:
        super().__init__()
        configs = {name: part.config.encoder for name, part in parts.items()}
        if len(set(configs.values())) != 1:
            msg = (
                f"the parts {', '.join(parts) or '(none)'} have encoders of different configurations, or there are "
                "none; give parts that are made with the same JetEncoderConfig"
            )
            raise JetLabError(msg)
        self.conditions = conditions
        self.shared = _encoder(next(iter(parts.values())))
        for part in parts.values():
            _stand_on(part, self.shared)
        self.parts = nn.ModuleDict(dict(parts))

    @property
    def encoder(self) -> JetEncoder:
        """The encoder to go on with: the averaged one, if there is a `Jepa`, else the one that learns."""
        return next((part.target for part in self.parts.values() if isinstance(part, Jepa)), self.shared)

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.shared.config.recipe

    def prepare(self, jets: Jets, *, seed: int = 0, augment: Augmentations | None = None) -> ParticleSet | MaskedSet:
        """Jets as all parts read them, from which batches of any rows are cut, with masks if there is a `Jepa`.

        Parameters
        ----------
        jets : Jets
        seed, augment
            As for `Jepa.prepare`; without effect if there is none.
        """
        encoder = self.shared.config
        return self.masked(
            ParticleSet(jets, encoder.recipe, conditions=self.conditions, subjets=encoder.subjets),
            seed=seed, augment=augment,
        )  # fmt: skip

    def masked(
        self, particles: ParticleSet, *, seed: int = 0, augment: Augmentations | None = None
    ) -> ParticleSet | MaskedSet:
        """Jets that are prepared already, with masks if there is a `Jepa`; options as for `prepare`."""
        for part in self.parts.values():
            if isinstance(part, Jepa):
                return MaskedSet(particles, part.config.masking, places=self.shared.places, seed=seed, augment=augment)
        return particles

    def learn_scale(self, particles: ParticleSet) -> None:
        """Let parts that guess particles take the scale and the grid of their inputs from these jets."""
        for part in self.parts.values():
            if isinstance(part, MaskedModel | TokenWriter):
                part.learn_scale(particles)

    def batch_for(self, name: str, batch: ParticleBatch | MaskedBatch) -> ParticleBatch | MaskedBatch:
        """What a part learns from: jets with masks for a `Jepa`, which is told nothing about them; else jets.

        Raises
        ------
        InvalidJetsError
            If a `Jepa` is given a batch without masks.
        """
        if not isinstance(self.parts[name], Jepa):
            return batch.batch if isinstance(batch, MaskedBatch) else batch
        if not isinstance(batch, MaskedBatch):
            msg = "a Jepa learns from batches with masks, found one without; make them with Pretrainer.prepare(jets)"
            raise InvalidJetsError(msg)
        return replace(batch, batch=replace(batch.batch, cond=None))


def _encoder(part: Part) -> JetEncoder:
    return part.context if isinstance(part, Jepa) else part.encoder


def _stand_on(part: Part, encoder: JetEncoder) -> None:
    if isinstance(part, Jepa):
        part.context = encoder
        part.target = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
    else:
        part.encoder = encoder
