"""The part of an OmniLearned that says what a jet is, short of naming classes: a backbone for other classes.

A new head on the body alone would have to learn from few labels what the pretrained head for jets knows already. So
body and head are taken over together, all but the last layer, as when OmniLearned is fine-tuned (arXiv:2510.24066).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import JetLabError
from jetlab.features import JetRecipe, Recipe
from jetlab.jets import Jets
from jetlab.models.encoding import Encoding
from jetlab.models.lengths import LengthParts
from jetlab.models.omnilearned import ClassTokens, OmniLearned
from jetlab.models.pet2 import PET2, PET2Config

__all__ = ["JetReader", "JetReaderConfig"]


@dataclass(frozen=True)
class JetReaderConfig:
    """Configuration of a `JetReader`.

    Parameters
    ----------
    body : PET2Config
    depth : int
        Blocks of the head for jets.
    conditions : JetRecipe, optional
        What the body is told about each jet.
    """

    body: PET2Config
    depth: int = 2
    conditions: JetRecipe | None = None

    @property
    def width(self) -> int:
        """Of what is said about a jet: the learned tokens side by side."""
        return self.body.tokens * self.body.width

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.body.recipe

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> JetReaderConfig:
        """Rebuild from `to_dict`."""
        told = entries["conditions"]
        conditions = None if told is None else JetRecipe.from_dict(told)
        return JetReaderConfig(PET2Config.from_dict(entries["body"]), entries["depth"], conditions)


class JetReader(nn.Module):
    """PET2, and the learned tokens after they have read all others; for heads that look at the jet.

    Parameters
    ----------
    config : JetReaderConfig
    """

    def __init__(self, config: JetReaderConfig) -> None:
        super().__init__()
        self.config = config
        self.body = PET2(config.body)
        self.reader = ClassTokens(config.body, config.depth, 1)
        self.reader.out = nn.Identity()  # type: ignore[assignment]

    @classmethod
    def of(cls, model: OmniLearned, *, conditions: JetRecipe | None = None) -> JetReader:
        """Take over, as a copy, what a model has learned about whole jets.

        Parameters
        ----------
        model : OmniLearned
            With a head for jets.
        conditions : JetRecipe, optional
            How jets become what its body is told.

        Raises
        ------
        JetLabError
            If the model has no head for jets, or its body is told something else.
        """
        if model.classifier is None:
            msg = f"this OmniLearned is for {model.config.task}; it has no head for jets to take over. Give its body"
            raise JetLabError(msg)
        told = 0 if conditions is None else conditions.width
        if told != model.body.config.conditions:
            msg = (
                f"the body is told {model.body.config.conditions} numbers about each jet, the conditions have {told}; "
                "give a JetRecipe of as many"
            )
            raise JetLabError(msg)
        made = cls(JetReaderConfig(model.body.config, model.config.head_depth, conditions))
        made.body = copy.deepcopy(model.body)
        made.reader.load_state_dict({n: w for n, w in model.classifier.state_dict().items() if n[:4] != "out."})
        return made

    def prepare(self, jets: Jets) -> ParticleSet:
        """Jets as the body reads them, with what it is told about each."""
        return ParticleSet(jets, self.config.recipe, conditions=self.config.conditions)

    def encode(self, batch: ParticleBatch) -> Encoding:
        """Jets ``(B, T D)`` and particles ``(B, N, D)`` of clean jets."""
        parts = LengthParts(batch)
        jets, particles = [], []
        for part, _ in parts:
            tokens = self.body.tokenize(part)
            jets.append(self.reader.read(tokens))
            particles.append(tokens.x[:, -part.mask.shape[1] :])
        return Encoding(parts.slots(particles), parts.jets(jets), batch.mask)
