"""A JEPA encoder that writes jets: it reads the constituents so far, in falling pT, and says which cell comes next.

The encoder is causal here: a particle sees itself and the harder ones. Before the first one stands a vector that is
told the kinematics of the jet asked for. A written code is read like any particle: one in the middle of its cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import InvalidJetsError
from jetlab.features import JET_KINEMATICS, JetRecipe, Recipe
from jetlab.jets import Jets
from jetlab.models.constituent_grid import GRID, check_grid, codes_of, inputs_of
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.jepa_heads import ConstituentHead
from jetlab.models.prompts import PromptConfig, PromptModel
from jetlab.models.tokenizers import BinnedConfig, BinnedTokenizer
from jetlab.models.tokens import NO_TARGET, Prompt, Vocabulary
from jetlab.vocabulary import CLASSES

__all__ = ["TokenWriter", "TokenWriterConfig", "WriterState"]


@dataclass(frozen=True)
class TokenWriterConfig:
    """Configuration of a `TokenWriter`; `preset` gives named ones.

    Parameters
    ----------
    encoder : JetEncoderConfig
        Of particles. It is told the conditions too, if its ``told`` is their number, and nothing if it is 0.
    prompts : PromptConfig
    grid : BinnedConfig
        Cells of constituents, see `jetlab.models.constituent_grid`.
    classes : tuple of str
        Classes that can be asked for; none if the model writes the mixture that it was trained on.
    conditions : JetRecipe
        What the model is told about the jet; of pT, mass and multiplicity, which the prompts have.
    head_depth : int
        Blocks between encoder and tokens.

    Raises
    ------
    ValueError
        If the parts do not fit together.
    """

    encoder: JetEncoderConfig = field(default_factory=JetEncoderConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    grid: BinnedConfig = GRID
    classes: tuple[str, ...] = CLASSES
    conditions: JetRecipe = JET_KINEMATICS
    head_depth: int = 2

    def __post_init__(self) -> None:
        if self.encoder.tokens != "particles":
            msg = f"particles are written, but the encoder reads {self.encoder.tokens}; take tokens='particles'"
            raise ValueError(msg)
        if self.encoder.told not in (0, self.conditions.width):
            msg = (
                f"the encoder is told {self.encoder.told} numbers about a jet, the recipe {self.conditions.name} has "
                f"{self.conditions.width}; give the encoder as many, or none"
            )
            raise ValueError(msg)
        if self.prompts.classes != max(1, len(self.classes)):
            msg = f"the prompts are of {self.prompts.classes} classes, expected {max(1, len(self.classes))}"
            raise ValueError(msg)
        check_grid(self.grid, self.encoder.recipe)

    @staticmethod
    def preset(name: str, *, classes: tuple[str, ...] = CLASSES) -> TokenWriterConfig:
        """Writer on a preset of `JetEncoderConfig`, which is told the kinematics of jets."""
        encoder = JetEncoderConfig.preset(name, told=JET_KINEMATICS.width)
        prompts = PromptConfig(classes=max(1, len(classes)), max_multiplicity=encoder.recipe.max_particles)
        return TokenWriterConfig(encoder, prompts, classes=tuple(classes))

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self) | {"encoder": self.encoder.to_dict(), "grid": self.grid.to_dict()}

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> TokenWriterConfig:
        """Rebuild from `to_dict`."""
        return TokenWriterConfig(
            JetEncoderConfig.from_dict(entries["encoder"]),
            PromptConfig(**entries["prompts"]),
            BinnedConfig.from_dict(entries["grid"]),
            tuple(entries["classes"]),
            JetRecipe.from_dict(entries["conditions"]),
            entries["head_depth"],
        )


@dataclass
class WriterState:
    """Sequences in the making: codes so far ``(B, n)``, classes ``(B,)`` and what is told of the jets ``(B, C)``."""

    codes: Tensor
    label: Tensor
    cond: Tensor

    def keep(self, rows: Tensor) -> None:
        """Drop all sequences but these, given by number in rising order."""
        self.codes, self.label, self.cond = self.codes[rows], self.label[rows], self.cond[rows]


class TokenWriter(nn.Module):
    """Writes jets of a class, constituent by constituent.

    Parameters
    ----------
    config : TokenWriterConfig
    """

    def __init__(self, config: TokenWriterConfig) -> None:
        super().__init__()
        self.config = c = config
        self.vocabulary = Vocabulary(c.grid.codebook_size)
        self.encoder = JetEncoder(c.encoder)
        self.prompts = PromptModel(c.prompts)
        self.tokenizer = BinnedTokenizer(c.grid)
        self.start = nn.Linear(c.conditions.width, c.encoder.width)
        self.head = ConstituentHead(
            c.encoder.width, c.encoder.heads, depth=c.head_depth, out=self.vocabulary.outputs, classes=len(c.classes)
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that can be asked for."""
        return self.config.classes

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.config.encoder.recipe

    @property
    def max_constituents(self) -> int:
        """Constituents of the longest jet that it can write."""
        return self.config.prompts.max_multiplicity

    def prepare(self, jets: Jets) -> ParticleSet:
        """Jets as the model reads them, with what it is told about each."""
        return ParticleSet(jets, self.recipe, conditions=self.config.conditions)

    def learn_scale(self, particles: ParticleSet) -> None:
        """Place the grid on the constituents of these jets."""
        self.tokenizer.place(particles)

    # ---- all at once ----------------------------------------------------------------------------------------------

    def forward(self, batch: ParticleBatch) -> Tensor:
        """Logits of the cell of every particle, and of the stop after the last one, from those before it.

        Parameters
        ----------
        batch : ParticleBatch
            Jets with what the model is told about them, labels included if it can be asked for classes.

        Returns
        -------
        Tensor, shape (m, outputs)
            In the places of `targets` that are not `NO_TARGET`, row by row.

        Raises
        ------
        InvalidJetsError
            If the batch has no labels that are needed, or the model is told nothing about its jets.
        """
        if batch.cond is None or (self.classes and batch.label is None):
            missing = "conditions" if batch.cond is None else "labels"
            msg = f"a TokenWriter is told about each jet, but the batch has no {missing}; use its prepare"
            raise InvalidJetsError(msg)
        h, known = self._read(codes_of(self.tokenizer, batch), batch.mask, batch.label, batch.cond)
        return self.head.out(h[known])

    def targets(self, batch: ParticleBatch) -> Tensor:
        """Ids to predict, shape ``(B, N + 1)``: codes, then stop, then `NO_TARGET`."""
        targets = F.pad(codes_of(self.tokenizer, batch), (0, 1), value=NO_TARGET)
        last = batch.mask.sum(1, keepdim=True)
        return targets.scatter(1, last, self.vocabulary.stop)

    def _read(self, codes: Tensor, mask: Tensor, label: Tensor | None, cond: Tensor) -> tuple[Tensor, Tensor]:
        """What the last layer sees before each code and after the last ``(B, N + 1, D)``, and where that is a place."""
        start = self.start(cond)[:, None]
        known = F.pad(mask, (1, 0), value=True)
        if not mask.any():
            h = start.expand(-1, known.shape[1], -1)
        else:
            batch = ParticleBatch(inputs_of(self.tokenizer, codes, mask), mask, recipe=self.recipe.name)
            told = cond if self.config.encoder.told else None
            h = torch.cat([start, self.encoder.encode(batch, None, told, causal=True).particles], 1)
        return self.head.read(h, known, label, causal=True), known

    # ---- step by step ---------------------------------------------------------------------------------------------

    def ask(
        self,
        label: Tensor,
        generator: torch.Generator | None = None,
        *,
        pt: float | None = None,
        mass: float | None = None,
        multiplicity: int | None = None,
    ) -> Prompt:
        """Draw what is to be written, one jet for each class index ``(B,)``; options as for `PromptModel.sample`."""
        return self.prompts.sample(label, generator, pt=pt, mass=mass, multiplicity=multiplicity)

    def begin(self, asked: Prompt) -> WriterState:
        """Empty sequences, one for each jet that is asked for."""
        values = {"pt": asked.pt, "mass": asked.mass, "multiplicity": asked.multiplicity}
        cond = self.config.conditions.of({name: v.cpu().numpy() for name, v in values.items()})
        nothing = torch.empty(len(asked), 0, dtype=torch.int64, device=asked.label.device)
        return WriterState(nothing, asked.label, torch.from_numpy(cond).to(asked.label.device))

    def step(self, ids: Tensor, state: WriterState, rows: Tensor | None = None) -> Tensor:
        """Logits of the next id after the newest `ids`, shape ``(B,)``, of all sequences or of these `rows`.

        Every step reads the whole sequences anew.
        """
        if not (state.codes.shape[1] == 0 and bool((ids == self.vocabulary.start).all())):
            state.codes = torch.cat([state.codes, ids[:, None]], 1)
        mask = torch.ones_like(state.codes, dtype=torch.bool)
        h, _ = self._read(state.codes, mask, state.label, state.cond)
        return self.head.out(h[:, -1] if rows is None else h[rows, -1])

    # ---- configuration --------------------------------------------------------------------------------------------

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> TokenWriter:
        """Untrained model of the architecture in `config_dict`."""
        return TokenWriter(TokenWriterConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
