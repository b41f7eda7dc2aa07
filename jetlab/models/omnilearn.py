"""OmniLearn (arXiv:2404.16091): one body, PET, under a head that classifies jets and one that denoises them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import PET_JET_RECIPE, JetRecipe, Recipe
from jetlab.models.blocks import mlp
from jetlab.models.denoiser import DenoisingModel
from jetlab.models.encoding import Denoised, Encoding
from jetlab.models.pet import PET, PETConfig, in_slots
from jetlab.models.pet_layers import JetAttention, JetNorm, PETBlock, TimeEmbedding, layer_scale, scaled
from jetlab.models.prior import Prior
from jetlab.vocabulary import CLASSES

__all__ = ["Judged", "OmniLearn", "OmniLearnConfig"]


class Judged(NamedTuple):
    """What the classifier head says: logits ``(B, classes)``, and the numbers about the jet, guessed, ``(B, C)``."""

    logits: Tensor
    cond: Tensor | None = None


@dataclass(frozen=True)
class OmniLearnConfig:
    """Configuration of an `OmniLearn`; `preset` gives named ones.

    Parameters
    ----------
    body : PETConfig
    classes : tuple of str
        Names of the jet classes.
    conditions : JetRecipe, optional
        Numbers about the jet that the heads are told, and that the classifier head guesses.
    classifier, generator : bool
        Which heads there are.
    class_depth, generator_depth : int
        Blocks in the heads.
    class_token : bool
        Whether the token that reads the jet for the classifier is learned; in the original it stays zero.
    label_drop : float
        Share of jets whose class the generator is not told, in training, for guidance.
    prior : Prior
        Noise that generation starts from; its features are the first inputs, those that are generated.
    averaged : bool
        Whether running averages of body and generator are kept beside them, as in official checkpoints.
    """

    body: PETConfig = field(default_factory=PETConfig)
    classes: tuple[str, ...] = CLASSES
    conditions: JetRecipe | None = PET_JET_RECIPE
    classifier: bool = True
    generator: bool = True
    class_depth: int = 2
    generator_depth: int = 2
    class_token: bool = True
    label_drop: float = 0.1
    prior: Prior = field(default_factory=lambda: Prior.standard(3))
    averaged: bool = False

    def __post_init__(self) -> None:
        if self.prior.features > self.body.recipe.width:
            msg = f"{self.prior.features} features are to be generated, the body has {self.body.recipe.width} inputs"
            raise ValueError(msg)
        if not (self.classifier or self.generator):
            msg = "an OmniLearn needs a classifier head or a generator head, found neither"
            raise ValueError(msg)

    @property
    def width(self) -> int:
        """Of the body."""
        return self.body.width

    @property
    def told(self) -> int:
        """How many numbers about a jet the heads are told."""
        return 0 if self.conditions is None else self.conditions.width

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.body.recipe

    @staticmethod
    def preset(name: str) -> OmniLearnConfig:
        """``published``: as pretrained on JetClass; ``small``: the same on real particles only; ``tiny``."""
        body = PETConfig.preset(name)
        return OmniLearnConfig(body, class_token=name != "published")

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> OmniLearnConfig:
        """Rebuild from `to_dict`."""
        conditions = entries["conditions"]
        return OmniLearnConfig(
            **{
                **entries,
                "body": PETConfig.from_dict(entries["body"]),
                "classes": tuple(entries["classes"]),
                "conditions": None if conditions is None else JetRecipe.from_dict(conditions),
                "prior": Prior.from_dict(entries["prior"]),
            }
        )


class OmniLearn(DenoisingModel):
    """Classifies jets, and tells how noisy jets move towards clean ones.

    Parameters
    ----------
    config : OmniLearnConfig
    """

    def __init__(self, config: OmniLearnConfig) -> None:
        super().__init__()
        self.config = c = config
        self.body = PET(c.body)
        self.classifier = _ClassifierHead(c) if c.classifier else None
        self.generator = _GeneratorHead(c) if c.generator else None
        self.averaged: OmniLearn | None = None
        if c.averaged:
            self.averaged = OmniLearn(replace(c, classifier=False, averaged=False)).requires_grad_(False)

    @property
    def conditions(self) -> JetRecipe | None:
        """How jets become the numbers that the heads are told."""
        return self.config.conditions

    @property
    def new_layers(self) -> tuple[str, ...]:
        """Parts that learn faster than the rest when the model is fine-tuned as published: names for `lr_factors`."""
        return tuple(name for name in ("classifier", "generator") if getattr(self, name) is not None)

    def encode(self, batch: ParticleBatch, time: Tensor | None = None) -> Encoding:
        """What the body makes of jets, noisy ones at a time ``(B,)``."""
        return self.body.encode(batch, time)

    def classify(self, batch: ParticleBatch) -> Tensor:
        """Logits ``(B, classes)`` of clean jets.

        Raises
        ------
        JetLabError
            If the model has no classifier head, or the batch lacks what the head is told.
        """
        return self.judge(batch).logits

    def judge(self, batch: ParticleBatch) -> Judged:
        """Logits of clean jets, and the numbers about them as the same head guesses them; raises as `classify`."""
        head = self._classifier()
        x, mask = self.body.padded(batch.x, batch.mask)
        return head(self.body.run(x, mask), self.body.seen(mask), self._told(batch))

    def denoise(
        self, batch: ParticleBatch, time: Tensor, label: Tensor | None = None, *, guidance: float = 0.0
    ) -> Denoised:
        """Velocity and logits of noisy jets, in one pass through the body.

        Parameters
        ----------
        batch : ParticleBatch
            Noisy jets; of the inputs ``(B, N, F)`` only the generated ones are read.
        time : Tensor, shape (B,)
            From 0, clean, to 1, noise.
        label : Tensor of int64, shape (B,), optional
            Classes; without them, jets of any class.
        guidance : float
            How much further than to the class the velocity goes away from that of any class; 0 is the class alone.

        Raises
        ------
        JetLabError
            If the model has no generator head, there is guidance without classes, or the batch lacks what the head is
            told.
        """
        if self.generator is None:
            msg = "this OmniLearn has no generator head: it classifies only. Make one with generator=True"
            raise JetLabError(msg)
        if guidance and label is None:
            msg = f"guidance is {guidance}, but there are no classes to be guided to: give label"
            raise JetLabError(msg)
        cond = self._told(batch)
        width = self.config.recipe.width
        noisy = nn.functional.pad(batch.x[..., : self.features_generated], (0, width - self.features_generated))
        x, mask = self.body.padded(noisy, batch.mask)
        particles, seen = self.body.run(x, mask, time), self.body.seen(mask)
        velocity = self.generator(particles, mask, seen, time=time, label=label, cond=cond)
        if guidance:
            anyone = self.generator(particles, mask, seen, time=time, label=None, cond=cond)
            velocity = velocity + guidance * (velocity - anyone)
        velocity = in_slots(velocity[..., : self.features_generated], batch.mask)
        if self.classifier is None:
            return Denoised(velocity)
        return Denoised(velocity, *self.classifier(particles, seen, cond))

    def forward(self, batch: ParticleBatch) -> Tensor:
        """Logits of clean jets, as `classify`."""
        return self.classify(batch)

    def _classifier(self) -> _ClassifierHead:
        if self.classifier is None:
            msg = "this OmniLearn has no classifier head: it generates only. Make one with classifier=True"
            raise JetLabError(msg)
        return self.classifier

    def _told(self, batch: ParticleBatch) -> Tensor | None:
        """Numbers about the jets ``(B, C)``; raises if they are not those that the heads read."""
        wanted, found = self.config.told, batch.cond
        if not wanted:
            return None
        if found is None or found.shape[1:] != (wanted,):
            there = "has none" if found is None else f"has cond of shape {tuple(found.shape)}"
            msg = f"the heads of this OmniLearn are told {wanted} numbers about every jet, the batch {there}"
            raise InvalidJetsError(msg)
        return found

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> OmniLearn:
        """Untrained model of the architecture in `config_dict`."""
        return OmniLearn(OmniLearnConfig.from_dict(config))


class _ClassifierHead(nn.Module):
    """A token reads the particles, which are scaled and shifted by what is known about the jet, several times."""

    def __init__(self, c: OmniLearnConfig) -> None:
        super().__init__()
        self.film = nn.Linear(c.told, 2 * c.width) if c.told else None
        self.token = nn.Parameter(torch.zeros(c.width)) if c.class_token else None
        self.blocks = nn.ModuleList(_ClassBlock(c.body) for _ in range(c.class_depth))
        self.norm = JetNorm(c.width)
        self.logits = nn.Linear(c.width, len(c.classes))
        self.cond = nn.Linear(c.width, c.told) if c.told else None

    def forward(self, x: Tensor, seen: Tensor | None, cond: Tensor | None) -> Judged:
        """From all slots ``(B, N, D)``, those that count ``(B, N)``, and the numbers about the jets ``(B, C)``."""
        if self.film is not None and cond is not None:
            scale, shift = nn.functional.gelu(self.film(cond))[:, None].chunk(2, -1)  # (B, 1, D)
            x = x * (1 + scale) + shift
        token = x.new_zeros(x.shape[2]) if self.token is None else self.token
        token = token.expand(len(x), 1, -1)
        if seen is not None:
            seen = nn.functional.pad(seen, (1, 0), value=True)
        for block in self.blocks:
            token = block(token, x, seen)
        jet = self.norm(token)[:, 0]  # (B, D)
        return Judged(self.logits(jet), None if self.cond is None else self.cond(jet))


class _ClassBlock(nn.Module):
    """A token attends to itself and the particles, then passes a feed-forward layer."""

    def __init__(self, c: PETConfig) -> None:
        super().__init__()
        self.norm1, self.attention, self.normed = JetNorm(c.width), JetAttention(c.width, c.heads), JetNorm(c.width)
        self.norm2, self.mlp = JetNorm(c.width), mlp(c.width, 2 * c.width, c.width)
        self.scale1, self.scale2 = (layer_scale(c.width, c.layer_scale) for _ in range(2))

    def forward(self, token: Tensor, x: Tensor, seen: Tensor | None) -> Tensor:
        """Token ``(B, 1, D)`` in and out, with particles ``(B, N, D)``; `seen` ``(B, 1 + N)`` counts the token too."""
        read = self.norm1(torch.cat([token, x], 1), seen)
        update = self.normed(self.attention(read, seen, asking=read[:, :1]))
        token = token + scaled(update, self.scale1)
        return token + scaled(self.mlp(self.norm2(token)), self.scale2)


class _GeneratorHead(nn.Module):
    """What is asked for, as one token a particle, reads the particles; both together become velocities."""

    def __init__(self, c: OmniLearnConfig) -> None:
        super().__init__()
        self.label_drop = c.label_drop
        self.time = TimeEmbedding(c.width)
        self.cond = nn.Linear(c.told, c.width) if c.told else None
        self.asked = mlp((2 if c.told else 1) * c.width, 2 * c.width, c.width)
        self.label = nn.Embedding(len(c.classes), c.width)
        self.blocks = nn.ModuleList(
            PETBlock(c.width, c.body.heads, scale=c.body.layer_scale) for _ in range(c.generator_depth)
        )
        self.norm = JetNorm(c.width)
        self.out = nn.Linear(c.width, c.recipe.width)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        seen: Tensor | None,
        *,
        time: Tensor,
        label: Tensor | None,
        cond: Tensor | None,
    ) -> Tensor:
        """Velocities of all inputs ``(B, N, F)``, zero where padded, from all slots ``(B, N, D)``."""
        token = self._asked(time, label, cond)[:, None] * mask[..., None]  # (B, N, D)
        for block in self.blocks:
            token = block(token, mask, seen, context=x)
        return self.out(self.norm(token + x, seen)) * mask[..., None]

    def _asked(self, time: Tensor, label: Tensor | None, cond: Tensor | None) -> Tensor:
        gelu = nn.functional.gelu
        parts = [self.time(time)]
        if self.cond is not None and cond is not None:
            parts.append(gelu(self.cond(cond)))
        asked = gelu(self.asked(torch.cat(parts, -1)))  # (B, D)
        if label is None:
            return asked
        hidden = torch.zeros_like(label, dtype=torch.bool)
        if self.training and self.label_drop:
            hidden = torch.rand(len(label), device=label.device) < self.label_drop
        return asked + self.label(label).masked_fill(hidden[:, None], 0.0)
