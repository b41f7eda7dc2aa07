"""HEP-JEPA one floor up: jets of an event are hidden, and their encodings are predicted from the other jets.

As for the tokens of a jet (arXiv:2502.03933), the network that predicts is told where the hidden jets lie, and nothing
else about them. Rapidity and azimuth are those from the hardest jet that is shown, so that not even the order in pT is
told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from jetlab.masking import Masking
from jetlab.models.event_batches import EventBatch, HiddenBatch, HiddenSet
from jetlab.models.event_encoder import EventEncoder, EventEncoderConfig, from_hardest
from jetlab.models.following import Following, Predicted
from jetlab.models.jepa import Predictor

if TYPE_CHECKING:
    from jetlab.features import Recipe
    from jetlab.jets import Events
    from jetlab.models.encoding import Encoding

__all__ = ["EventJepa", "EventJepaConfig", "EventPredictor"]

SOME_JETS = Masking("random", 1, (0.25, 0.5), "rest")
"""A quarter to a half of the jets are hidden together, at least one; all others are shown."""


@dataclass(frozen=True)
class EventJepaConfig:
    """Configuration of an `EventJepa`.

    Parameters
    ----------
    encoder : EventEncoderConfig
        Of both encoders.
    masking : Masking
        Which jets of an event are hidden.
    width, depth, heads : int
        Of the predictor.

    Raises
    ------
    ValueError
        If the width cannot be split into the heads.
    """

    encoder: EventEncoderConfig = field(default_factory=EventEncoderConfig)
    masking: Masking = SOME_JETS
    width: int = 32
    depth: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            msg = f"predictor width {self.width} cannot be split into {self.heads} heads; choose a multiple of them"
            raise ValueError(msg)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> EventJepaConfig:
        """Rebuild from `to_dict`."""
        encoder, masking = EventEncoderConfig.from_dict(entries["encoder"]), Masking.from_dict(entries["masking"])
        return EventJepaConfig(**{**entries, "encoder": encoder, "masking": masking})


class EventPredictor(Predictor):
    """Predicts jets from others and from where they are, around the beam too; parameters as for `Predictor`."""

    def __init__(self, encoded: int, *, width: int, depth: int, heads: int) -> None:
        super().__init__(encoded, width=width, depth=depth, heads=heads, places=3)

    def where(self, directions: Tensor) -> Tensor:
        """What is known of jets in these directions ``(B, K, 2)``, shape ``(B, K, W)``."""
        y, phi = directions.unbind(-1)
        return self.place(torch.stack([y, phi.cos(), phi.sin()], -1))


class EventJepa(Following[EventEncoder]):
    """Two encoders of events and a predictor; the second encoder is what is kept of the training.

    Parameters
    ----------
    config : EventJepaConfig
    """

    def __init__(self, config: EventJepaConfig) -> None:
        super().__init__(EventEncoder(config.encoder))
        self.config = config
        self.predictor = EventPredictor(
            config.encoder.width, width=config.width, depth=config.depth, heads=config.heads
        )

    @classmethod
    def on(cls, encoder: EventEncoder, *, masking: Masking = SOME_JETS) -> EventJepa:
        """Both encoders start as copies of this one; the predictor is half as wide, and as deep.

        Parameters
        ----------
        encoder : EventEncoder
        masking : Masking
            Which jets of an event are hidden.
        """
        c = encoder.config
        made = cls(EventJepaConfig(c, masking, c.width // 2, c.depth, c.heads))
        for one in (made.context, made.target):
            one.load_state_dict(encoder.state_dict())
        return made

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.config.encoder.recipe

    def prepare(self, events: Events, *, seed: int = 0) -> HiddenSet:
        """Events as the model reads them, from which batches of any rows are cut, in which jets are hidden.

        Parameters
        ----------
        events : Events
        seed : int
            Of what is hidden.
        """
        return HiddenSet(self.context.prepare(events), self.config.masking, seed=seed)

    def encode(self, batch: EventBatch) -> Encoding:
        """What the second encoder makes of whole events."""
        return self.target.encode(batch)

    def forward(self, hidden: HiddenBatch) -> Predicted:
        """Predict the hidden jets of events from those that are shown."""
        context = self.context.encode(hidden.batch, visible=hidden.context)
        directions = from_hardest(hidden.batch.momenta, context.mask)[..., 1:3]
        predicted = self.predictor(context, directions, hidden.targets)
        with torch.no_grad():
            whole = self.target.encode(hidden.batch)
        return Predicted.of(predicted, whole, hidden.targets, context)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> EventJepa:
        """Untrained model of the architecture in `config_dict`."""
        return EventJepa(EventJepaConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
