"""OmniLearned (arXiv:2510.24066): one body, PET2, under a head for jets and a head for each particle.

The head for jets classifies them or estimates numbers about them. The head for particles tells how noisy ones move
towards clean ones, which generates jets, or classifies each particle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import Recipe
from jetlab.models.denoiser import DenoisingModel
from jetlab.models.dyt import Block, FeedForward, TokenBlock
from jetlab.models.encoding import Denoised, Encoding
from jetlab.models.lengths import LengthParts
from jetlab.models.pet2 import PET2, PET2Config, TokenSet, hidden_keys
from jetlab.models.prior import Prior
from jetlab.vocabulary import CLASSES

__all__ = ["PUBLISHED_PRIOR", "ClassTokens", "OmniLearned", "OmniLearnedConfig", "ParticleHead", "Task"]

Task = Literal["classifier", "regression", "generator", "segmentation", "ftag", "pretrain"]
"""What a model is for; ``ftag`` classifies jets and particles, ``pretrain`` classifies and generates."""

PUBLISHED_PRIOR = Prior((0.0, 0.0, 1.11398, 1.43384), (0.270949, 0.27426, 1.30273, 1.33559))
"""Noise of the published generators, in deta, dphi, log pT and log E [GeV]."""

_OF_JETS = ("classifier", "regression", "ftag", "pretrain")
_OF_PARTICLES = ("generator", "segmentation", "ftag", "pretrain")
_GENERATES = ("generator", "pretrain")


@dataclass(frozen=True)
class OmniLearnedConfig:
    """Configuration of an `OmniLearned`; `preset` gives named ones.

    Parameters
    ----------
    body : PET2Config
    task : Task
        Which heads there are.
    classes : tuple of str
        Names of the jet classes, or of the numbers that are estimated. The head for particles is told the class of the
        jet if there are several; not for segmentation.
    particle_classes : int
        Classes of particles, for segmentation and ftag.
    head_depth : int
        Blocks in each head.
    prior : Prior
        Noise that generation starts from, in all features of a particle.
    averaged : bool
        Running averages of body and head for particles are kept beside them to generate with, as official checkpoints
        have them.
    """

    body: PET2Config = field(default_factory=lambda: PET2Config(timed=True))
    task: Task = "pretrain"
    classes: tuple[str, ...] = CLASSES
    particle_classes: int = 0
    head_depth: int = 2
    prior: Prior = PUBLISHED_PRIOR
    averaged: bool = False

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            msg = f"task is {self.task!r}, expected one of {', '.join(get_args(Task))}"
            raise ValueError(msg)
        if self.task in _OF_JETS and not self.classes:
            msg = f"a model for {self.task} needs the names of its classes, or of the numbers that it estimates"
            raise ValueError(msg)
        if self.task in _GENERATES and not self.body.timed:
            msg = f"a model for {self.task} is told the time of noisy jets: take a body with timed=True"
            raise ValueError(msg)
        if self.task in _GENERATES and self.prior.features != self.body.features:
            msg = (
                f"the prior has {self.prior.features} features, the particles {self.body.features}; give a prior for "
                "all of them"
            )
            raise ValueError(msg)
        if self.task in ("segmentation", "ftag") and self.particle_classes < 1:
            msg = f"a model for {self.task} needs the number of particle_classes, found {self.particle_classes}"
            raise ValueError(msg)

    @property
    def width(self) -> int:
        """Of the body."""
        return self.body.width

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.body.recipe

    @property
    def told_class(self) -> bool:
        """Whether the head for particles is told the class of the jet."""
        return self.task in _OF_PARTICLES and self.task != "segmentation" and len(self.classes) > 1

    @staticmethod
    def preset(
        name: str,
        *,
        task: Task = "pretrain",
        classes: tuple[str, ...] = CLASSES,
        particle_classes: int = 0,
        inputs: Literal["kin", "types", "full"] = "kin",
        conditions: int = 0,
    ) -> OmniLearnedConfig:
        """Model for a task on a preset of `PET2Config`; its heads have as many blocks as its local embedding."""
        timed = task in _GENERATES
        body = PET2Config.preset(name, inputs=inputs, conditions=conditions, timed=timed)
        return OmniLearnedConfig(body, task, tuple(classes), particle_classes, body.local_depth)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> OmniLearnedConfig:
        """Rebuild from `to_dict`."""
        return OmniLearnedConfig(
            **{
                **entries,
                "body": PET2Config.from_dict(entries["body"]),
                "classes": tuple(entries["classes"]),
                "prior": Prior.from_dict(entries["prior"]),
            }
        )


class OmniLearned(DenoisingModel):
    """Classifies jets or particles, estimates numbers, tells how noisy jets move towards clean ones.

    Parameters
    ----------
    config : OmniLearnedConfig
    """

    def __init__(self, config: OmniLearnedConfig) -> None:
        super().__init__()
        self.config = c = config
        self.body = PET2(c.body)
        self.classifier = ClassTokens(c.body, c.head_depth, len(c.classes)) if c.task in _OF_JETS else None
        self.generator: ParticleHead | None = None
        if c.task in _OF_PARTICLES:
            out = c.prior.features if c.task in _GENERATES else c.particle_classes
            self.generator = ParticleHead(c.body, c.head_depth, out, classes=len(c.classes) if c.told_class else 0)
        self.averaged: OmniLearned | None = None
        if c.averaged:
            self.averaged = OmniLearned(replace(c, task="generator", averaged=False)).requires_grad_(False)

    @property
    def new_layers(self) -> tuple[str, ...]:
        """Parts that learn faster than the rest when the model is fine-tuned as published."""
        names = ("norm_in", "embed", "local", "pairs", "extra", "condition")
        parts = [f"body.{name}" for name in names if hasattr(self.body, name)]
        parts += [] if self.classifier is None else ["classifier.out"]
        return tuple(parts + ([] if self.generator is None else ["generator"]))

    def encode(self, batch: ParticleBatch, time: Tensor | None = None, cond: Tensor | None = None) -> Encoding:
        """What the body makes of jets, noisy ones at a time ``(B,)``."""
        return self.body.encode(batch, time, cond)

    def classify(self, batch: ParticleBatch) -> Tensor:
        """Logits ``(B, classes)`` of clean jets.

        Raises
        ------
        JetLabError
            If the model does not classify jets.
        """
        if self.config.task == "regression":
            msg = f"this OmniLearned estimates {', '.join(self.classes)}; it has no classes. Call regress"
            raise JetLabError(msg)
        return self._of_jets(batch)

    def regress(self, batch: ParticleBatch) -> Tensor:
        """Numbers ``(B, n)`` about clean jets.

        Raises
        ------
        JetLabError
            If the model is not for regression.
        """
        if self.config.task != "regression":
            msg = f"this OmniLearned is for {self.config.task}; it estimates no numbers. Make one for task 'regression'"
            raise JetLabError(msg)
        return self._of_jets(batch)

    def denoise(self, batch: ParticleBatch, time: Tensor, label: Tensor | None = None) -> Denoised:
        """Velocity and logits of noisy jets, in one pass through the body.

        Parameters
        ----------
        batch : ParticleBatch
            Noisy jets; codes and further inputs of their particles, if any, are clean.
        time : Tensor, shape (B,)
            From 0, clean, to 1, noise.
        label : Tensor of int64, shape (B,), optional
            Classes; needed if there are several.

        Raises
        ------
        JetLabError
            If the model does not generate, or is not told what it needs.
        """
        if self.config.task not in _GENERATES:
            msg = f"this OmniLearned is for {self.config.task}; it has no generator head. Make one for task 'pretrain'"
            raise JetLabError(msg)
        velocity, logits = self._both(batch, time, label)
        return Denoised(velocity, logits)

    def segment(self, batch: ParticleBatch, label: Tensor | None = None) -> Tensor:
        """Logits ``(B, N, particle classes)`` of the particles of clean jets, zero where padded.

        Parameters
        ----------
        batch : ParticleBatch
        label : Tensor of int64, shape (B,), optional
            Classes of the jets, which the published flavour tagger is told.

        Raises
        ------
        JetLabError
            If the model does not classify particles, or is not told what it needs.
        """
        if self.config.task not in ("segmentation", "ftag"):
            msg = f"this OmniLearned is for {self.config.task}; it classifies no particles. Take task 'segmentation'"
            raise JetLabError(msg)
        return self._both(batch, None, label)[0]

    def forward(self, batch: ParticleBatch) -> Tensor:
        """Logits of clean jets, or the numbers that are estimated."""
        return self._of_jets(batch)

    def _of_jets(self, batch: ParticleBatch) -> Tensor:
        if self.classifier is None:
            msg = f"this OmniLearned is for {self.config.task}; it has no classifier head. Make one for 'classifier'"
            raise JetLabError(msg)
        parts = LengthParts(batch)
        return parts.jets([self.classifier(self.body.tokenize(part)) for part, _ in parts])

    def _both(self, batch: ParticleBatch, time: Tensor | None, label: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the head for particles makes of them, and the head for jets, if there is one."""
        if label is None and self.config.told_class:
            msg = f"this OmniLearned is told the class of each jet, one of {len(self.classes)}; give label"
            raise InvalidJetsError(msg)
        assert self.generator is not None
        parts = LengthParts(batch)
        velocities, logits = [], []
        for part, rows in parts:
            tokens = self.body.tokenize(part, None if time is None else time[rows])
            asked = label[rows] if label is not None and self.config.told_class else None
            velocities.append(self.generator(tokens, part.mask, asked))
            logits += [] if self.classifier is None else [self.classifier(tokens)]
        return parts.slots(velocities), parts.jets(logits) if logits else None

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> OmniLearned:
        """Untrained model of the architecture in `config_dict`."""
        return OmniLearned(OmniLearnedConfig.from_dict(config))


class ClassTokens(nn.Module):
    """Head for jets: the learned tokens read all others, then one network sees them together.

    Parameters
    ----------
    body : PET2Config
    depth, out : int
    """

    def __init__(self, body: PET2Config, depth: int, out: int) -> None:
        super().__init__()
        self.count = body.tokens
        width = body.tokens * body.width
        self.blocks = nn.ModuleList(TokenBlock(body.width, body.heads, expansion=body.expansion) for _ in range(depth))
        self.mlp, self.out = FeedForward(width, body.expansion * width, width), nn.Linear(width, out)
        _start(self.out)

    def read(self, tokens: TokenSet) -> Tensor:
        """What the last layer sees, shape ``(B, T * D)``."""
        own, others = tokens.x[:, : self.count], tokens.x[:, self.count :]
        for block in self.blocks:
            own = block(own, others, tokens.mask[:, self.count :])
        return self.mlp(own.flatten(1))

    def forward(self, tokens: TokenSet) -> Tensor:
        """Shape ``(B, out)``."""
        return self.out(self.read(tokens))


class ParticleHead(nn.Module):
    """Head for particles: blocks among all tokens and one for the class of the jet, then each particle by itself.

    Parameters
    ----------
    body : PET2Config
    depth, out : int
    classes : int
        0 for a head that is not told the class.
    """

    def __init__(self, body: PET2Config, depth: int, out: int, *, classes: int) -> None:
        super().__init__()
        width, hidden = body.width, body.expansion * body.width
        if classes:
            self.label, self.of_label = nn.Embedding(classes, width), FeedForward(width, hidden, width, norm=False)
        self.told = bool(classes)
        self.blocks = nn.ModuleList(Block(width, body.heads, expansion=body.expansion) for _ in range(depth))
        self.mlp, self.out = FeedForward(width, hidden, width, norm=False), nn.Linear(width, out)
        _start(self.out)

    def forward(self, tokens: TokenSet, mask: Tensor, label: Tensor | None = None) -> Tensor:
        """Shape ``(B, N, out)`` for particles of this mask ``(B, N)``, zero where padded."""
        x, known = tokens
        if self.told:
            x = torch.cat([self.of_label(self.label(label))[:, None], x], 1)
            known = nn.functional.pad(known, (1, 0), value=True)
        bias = hidden_keys(known)
        for block in self.blocks:
            x = block(x, bias=bias)
        return self.out(self.mlp(x[:, -mask.shape[1] :])) * mask[..., None]


def _start(linear: nn.Linear) -> None:
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
