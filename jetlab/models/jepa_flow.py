"""A JEPA encoder that generates: with a head for velocities and a head for classes it does what OmniLearned does.

The published HEP-JEPA (arXiv:2502.03933) does not generate. Here the same encoder reads clean jets for the classifier,
and noisy ones, told time and kinematics of the jet, for the velocity that carries noise to jets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import Recipe
from jetlab.models.denoiser import DenoisingModel
from jetlab.models.encoding import Denoised, Encoding
from jetlab.models.heads import ClassifierHead
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.jepa_heads import ConstituentHead
from jetlab.models.omnilearned import PUBLISHED_PRIOR
from jetlab.models.prior import Prior
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FlowTask", "JepaFlow", "JepaFlowConfig"]

FlowTask = Literal["classifier", "generator", "pretrain"]
"""Which heads there are: one for classes, one for velocities, or both, as for an `OmniLearned`."""


@dataclass(frozen=True)
class JepaFlowConfig:
    """Configuration of a `JepaFlow`; `preset` gives named ones.

    Parameters
    ----------
    encoder : JetEncoderConfig
        Of particles, not of groups; its ``told`` numbers are what noisy jets are told about themselves.
    task : {"classifier", "generator", "pretrain"}
    classes : tuple of str
        The head for velocities is told the class of the jet if there are several.
    head_depth : int
        Blocks of the head for velocities.
    prior : Prior
        Noise that generation starts from, in the first inputs.

    Raises
    ------
    ValueError
        If the parts do not fit together.
    """

    encoder: JetEncoderConfig = field(default_factory=JetEncoderConfig)
    task: FlowTask = "pretrain"
    classes: tuple[str, ...] = CLASSES
    head_depth: int = 2
    prior: Prior = PUBLISHED_PRIOR

    def __post_init__(self) -> None:
        if self.task not in get_args(FlowTask):
            msg = f"task is {self.task!r}, expected one of {', '.join(get_args(FlowTask))}"
            raise ValueError(msg)
        if self.classifies and not self.classes:
            msg = f"a model for {self.task} needs the names of its classes"
            raise ValueError(msg)
        if self.generates and self.encoder.tokens != "particles":
            msg = f"velocities are of particles, but the encoder reads {self.encoder.tokens}; take tokens='particles'"
            raise ValueError(msg)
        if self.generates and self.prior.features != self.encoder.recipe.width:
            msg = (
                f"the prior has {self.prior.features} features, the particles {self.encoder.recipe.width}; give a "
                "prior for all of them"
            )
            raise ValueError(msg)

    @property
    def classifies(self) -> bool:
        """Whether there is a head for classes."""
        return self.task != "generator"

    @property
    def generates(self) -> bool:
        """Whether there is a head for velocities."""
        return self.task != "classifier"

    @property
    def told(self) -> int:
        """How many numbers about a jet the encoder is told with noisy jets."""
        return self.encoder.told

    @property
    def width(self) -> int:
        """Of the encoder."""
        return self.encoder.width

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.encoder.recipe

    @staticmethod
    def preset(
        name: str, *, task: FlowTask = "pretrain", classes: tuple[str, ...] = CLASSES, conditions: int = 0
    ) -> JepaFlowConfig:
        """Model for a task on a preset of `JetEncoderConfig`, told so many numbers about each jet."""
        return JepaFlowConfig(JetEncoderConfig.preset(name, told=conditions), task, tuple(classes))

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self) | {"encoder": self.encoder.to_dict(), "prior": self.prior.to_dict()}

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> JepaFlowConfig:
        """Rebuild from `to_dict`."""
        return JepaFlowConfig(
            JetEncoderConfig.from_dict(entries["encoder"]),
            entries["task"],
            tuple(entries["classes"]),
            entries["head_depth"],
            Prior.from_dict(entries["prior"]),
        )


class JepaFlow(DenoisingModel):
    """Classifies jets and tells how noisy ones move towards clean ones, on a `JetEncoder`.

    Parameters
    ----------
    config : JepaFlowConfig
    """

    def __init__(self, config: JepaFlowConfig) -> None:
        super().__init__()
        self.config = c = config
        self.averaged = None
        self.encoder = JetEncoder(c.encoder)
        self.classifier: ClassifierHead | None = None
        self.generator: ConstituentHead | None = None
        if c.classifies:
            self.classifier = ClassifierHead(c.width, len(c.classes), hidden=(2 * c.width,), dropout=0.0)
        if c.generates:
            self.generator = ConstituentHead(
                c.width, c.encoder.heads, depth=c.head_depth, out=c.prior.features,
                classes=len(c.classes) if len(c.classes) > 1 else 0,
            )  # fmt: skip

    def without_averages(self) -> Self:
        """Give back the model as it is: it keeps no running averages."""
        return self

    def encode(self, batch: ParticleBatch, time: Tensor | None = None) -> Encoding:
        """What the encoder makes of clean jets, or of noisy ones at a time ``(B,)``.

        Only with noisy jets it is told the conditions of the batch, so that taggers on it need none.

        Raises
        ------
        InvalidJetsError
            If noisy jets are to be told numbers that the batch does not have.
        """
        if time is None:
            return self.encoder.encode(replace(batch, cond=None))
        if self.config.told and batch.cond is None:
            msg = (
                f"this model is told {self.config.told} numbers about each noisy jet, the batch has none; prepare the "
                "jets with ParticleSet(jets, recipe, conditions=...)"
            )
            raise InvalidJetsError(msg)
        return self.encoder.encode(batch if self.config.told else replace(batch, cond=None), time)

    def classify(self, batch: ParticleBatch) -> Tensor:
        """Logits ``(B, classes)`` of clean jets.

        Raises
        ------
        JetLabError
            If the model does not classify jets.
        """
        if self.classifier is None:
            msg = f"this JepaFlow is for {self.config.task}; it has no head for classes. Make one for 'classifier'"
            raise JetLabError(msg)
        return self.classifier(self.encode(batch))

    def denoise(self, batch: ParticleBatch, time: Tensor, label: Tensor | None = None) -> Denoised:
        """Velocity and logits of noisy jets, in one pass through the encoder.

        Parameters
        ----------
        batch : ParticleBatch
            Noisy jets.
        time : Tensor, shape (B,)
            From 0, clean, to 1, noise.
        label : Tensor of int64, shape (B,), optional
            Classes; needed if there are several. Only the head for velocities sees them.

        Raises
        ------
        JetLabError
            If the model does not generate.
        InvalidJetsError
            If it is not told what it needs.
        """
        if self.generator is None:
            msg = f"this JepaFlow is for {self.config.task}; it has no head for velocities. Make one for 'pretrain'"
            raise JetLabError(msg)
        if label is None and self.generator.label is not None:
            msg = f"this JepaFlow is told the class of each jet, one of {len(self.classes)}; give label"
            raise InvalidJetsError(msg)
        encoding = self.encode(batch, time)
        logits = None if self.classifier is None else self.classifier(encoding)
        return Denoised(self.generator(encoding.particles, batch.mask, label), logits)

    def forward(self, batch: ParticleBatch) -> Tensor:
        """Logits ``(B, classes)`` of clean jets."""
        return self.classify(batch)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> JepaFlow:
        """Untrained model of the architecture in `config_dict`."""
        return JepaFlow(JepaFlowConfig.from_dict(config))
