"""OmniJet-alpha (arXiv:2403.05618), conditional on the jet: tokenizer, prompt model and token generator in one.

The generator reads, besides the tokens, what it was asked for (class, pT, mass, number of constituents) and what the
tokens so far add up to: the running sum of the four-momenta that the codes stand for on average. So it knows at every
step how much momentum, mass and how many constituents are still to come, and that the axis must end at zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jetlab.errors import InvalidJetsError
from jetlab.models.blocks import Cache, mlp
from jetlab.models.gpt import GPT, GPTConfig
from jetlab.models.places import CodePlaces, places_of
from jetlab.models.prompts import PromptConfig, PromptModel
from jetlab.models.tokenizers import VQVAE, VQVAEConfig
from jetlab.models.tokens import NO_TARGET, Prompt, TokenBatch, Vocabulary
from jetlab.vocabulary import CLASSES

__all__ = ["CodeVectors", "GenerationState", "OmniJet", "OmniJetConfig", "TokenGenerator", "code_momenta"]

N_PROMPT, N_RUNNING = 3, 13


@dataclass(frozen=True)
class OmniJetConfig:
    """Configuration of an `OmniJet`: its three parts and the names of its classes."""

    tokenizer: VQVAEConfig
    prompts: PromptConfig
    gpt: GPTConfig
    classes: tuple[str, ...] = CLASSES

    @staticmethod
    def preset(name: str, classes: tuple[str, ...] = CLASSES) -> OmniJetConfig:
        """``tiny``: the preset of that name of each part."""
        tokenizer = VQVAEConfig.preset(name)
        vocabulary = Vocabulary(tokenizer.codebook_size)
        gpt = GPTConfig.preset(name, inputs=vocabulary.inputs, outputs=vocabulary.outputs)
        return OmniJetConfig(tokenizer, PromptConfig(classes=len(classes)), gpt, classes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> OmniJetConfig:
        """Rebuild from `to_dict`."""
        return OmniJetConfig(
            VQVAEConfig.from_dict(entries["tokenizer"]),
            PromptConfig(**entries["prompts"]),
            GPTConfig(**entries["gpt"]),
            tuple(entries["classes"]),
        )


class CodeVectors(NamedTuple):
    """Vectors added to the embeddings of ids, (inputs, D), and vectors that ids are predicted by, (outputs, D)."""

    reading: Tensor
    predicting: Tensor


@dataclass
class GenerationState:
    """Jets in the making: what was asked for, what the tokens so far add up to, and what they are remembered by.

    Parameters
    ----------
    prompt : Prompt
    p4 : Tensor, shape (B, 4)
        Sum of (E, px, py, pz) in GeV that the tokens stand for.
    count : int
        Number of tokens.
    caches : list of Cache
    vectors : CodeVectors
    """

    prompt: Prompt
    p4: Tensor
    count: int
    caches: list[Cache]
    vectors: CodeVectors

    def keep(self, rows: Tensor) -> None:
        """Drop all jets but these, given by number in rising order."""
        self.prompt, self.p4 = self.prompt[rows], self.p4[rows]
        for cache in self.caches:
            cache.keep(rows)


class TokenGenerator(nn.Module):
    """GPT over codes that sees its prompt and the running kinematics.

    Parameters
    ----------
    config : GPTConfig
    vocabulary : Vocabulary
    classes : int
        Number of jet classes.
    """

    momenta: Tensor

    def __init__(self, config: GPTConfig, vocabulary: Vocabulary, classes: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.gpt = GPT(config)
        self.label = nn.Embedding(classes, config.width)
        self.context = mlp(N_PROMPT + N_RUNNING, 2 * config.width, config.width)
        self.places = CodePlaces(config.width)
        self.register_buffer("momenta", torch.zeros(vocabulary.inputs, 4))

    def forward(self, batch: TokenBatch) -> Tensor:
        """Logits of the next id at the real positions, shape ``(m, outputs)``, row by row."""
        if batch.prompt is None:
            msg = "this generator is asked for kinematics; make the TokenSet with pt and mass"
            raise InvalidJetsError(msg)
        vectors = self.code_vectors()
        p4 = self.momenta[batch.ids]  # (B, T, 4); zero for the special ids
        count = torch.arange(batch.ids.shape[1], device=batch.ids.device).expand(batch.ids.shape).float()
        running = _running_features(p4.cumsum(1), count, p4, batch.prompt)
        context = self._context(running, batch.prompt) + vectors.reading[batch.ids]
        hidden = self.gpt(batch.ids, context=context)
        return self._logits(hidden[batch.targets != NO_TARGET], vectors)

    def code_vectors(self) -> CodeVectors:
        """What ids are read and predicted by; the special ids, which have no place, by free vectors alone."""
        ids, codes = self.vocabulary, self.vocabulary.codes
        reading, predicting = self.places(places_of(self.momenta[:codes]))
        return CodeVectors(
            nn.functional.pad(reading, (0, 0, 0, ids.inputs - codes)),
            self.gpt.head.weight + nn.functional.pad(predicting, (0, 0, 0, ids.outputs - codes)),
        )

    def begin(self, prompt: Prompt) -> GenerationState:
        """Empty jets, one for each prompt."""
        p4 = torch.zeros(len(prompt), 4, device=self.momenta.device)
        return GenerationState(prompt, p4, 0, self.gpt.caches(len(prompt)), self.code_vectors())

    def step(self, ids: Tensor, state: GenerationState, rows: Tensor | None = None) -> Tensor:
        """Logits of the next id after the newest `ids`, shape ``(B,)``, of all jets or of these `rows`."""
        last = self.momenta[ids]
        state.p4 = state.p4 + last
        count = state.p4.new_full((len(ids), 1), state.count)
        running = _running_features(state.p4[:, None], count, last[:, None], state.prompt)
        state.count += 1
        context = self._context(running, state.prompt) + state.vectors.reading[ids][:, None]
        hidden = self.gpt(ids[:, None], context=context, caches=state.caches)[:, -1]
        return self._logits(hidden if rows is None else hidden[rows], state.vectors)

    def _logits(self, hidden: Tensor, vectors: CodeVectors) -> Tensor:
        return nn.functional.linear(hidden, vectors.predicting, self.gpt.head.bias)

    def _context(self, running: Tensor, prompt: Prompt) -> Tensor:
        asked = torch.stack(
            [
                2 * (torch.log(prompt.pt.clamp(min=1.0)) - 6.4),
                torch.log(prompt.mass.clamp(min=1.0)) - 4.5,
                prompt.multiplicity.float() / 20 - 2,
            ],
            dim=-1,
        )[:, None].expand(-1, running.shape[1], -1)
        return self.context(torch.cat([asked, running], -1)) + self.label(prompt.label)[:, None]


def _running_features(p4: Tensor, count: Tensor, last: Tensor, prompt: Prompt) -> Tensor:
    """Inputs of order one from the momentum so far, the number so far and the last momentum, (B, T, 13)."""
    pt_asked, mass_asked = prompt.pt.clamp(min=1.0)[:, None], prompt.mass.clamp(min=1.0)[:, None]
    energy, px, py, pz = p4.unbind(-1)
    mass = (energy.square() - px.square() - py.square() - pz.square()).clamp(min=1e-6).sqrt()
    left = prompt.multiplicity[:, None] - count
    last_pt = torch.hypot(last[..., 1], last[..., 2])
    last_phi, last_eta = torch.atan2(last[..., 2], last[..., 1]), torch.asinh(last[..., 3] / last_pt.clamp(min=1e-6))
    return torch.stack(
        [
            px / pt_asked,
            torch.log((1 - px / pt_asked).clamp(min=1e-3)) / 2,
            torch.log((px / pt_asked - 1).clamp(min=1e-3)) / 2,
            10 * py / pt_asked,
            10 * pz / pt_asked,
            (mass / mass_asked).clamp(max=4),
            torch.log((1 - mass / mass_asked).clamp(min=1e-3)) / 2,
            torch.log((mass / mass_asked - 1).clamp(min=1e-3)) / 2,
            left / 32,
            torch.log1p(left.clamp(min=0)),
            torch.log(last_pt.clamp(min=0.1)) / 2,
            3 * last_eta,
            3 * last_phi,
        ],
        dim=-1,
    )


class OmniJet(nn.Module):
    """Tokenizer, prompt model and token generator that together generate jets of chosen classes.

    Parameters
    ----------
    config : OmniJetConfig

    Notes
    -----
    Our models keep start, stop and padding ids apart, unlike the official checkpoints; see `jetlab.models.tokens`.
    """

    def __init__(self, config: OmniJetConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = Vocabulary(config.tokenizer.codebook_size)
        self.tokenizer = VQVAE(config.tokenizer)
        self.prompts = PromptModel(config.prompts)
        self.generator = TokenGenerator(config.gpt, self.vocabulary, len(config.classes))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes it can generate."""
        return self.config.classes

    @property
    def max_constituents(self) -> int:
        """Constituents of the longest jet that it can write."""
        return self.config.gpt.max_constituents

    def ask(
        self,
        label: Tensor,
        generator: torch.Generator | None = None,
        *,
        pt: float | None = None,
        mass: float | None = None,
        multiplicity: int | None = None,
    ) -> Prompt:
        """Prompts for jets of these classes, shape ``(B,)``; what is not given is drawn, as `PromptModel.sample`."""
        return self.prompts.sample(label, generator, pt=pt, mass=mass, multiplicity=multiplicity)

    def begin(self, prompt: Prompt) -> GenerationState:
        """Empty jets, one for each prompt."""
        return self.generator.begin(prompt)

    def step(self, ids: Tensor, state: GenerationState, rows: Tensor | None = None) -> Tensor:
        """Logits of the next id, as `TokenGenerator.step`."""
        return self.generator.step(ids, state, rows)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> OmniJet:
        """Untrained model of the architecture in `config_dict`."""
        return OmniJet(OmniJetConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()


def code_momenta(
    x: npt.NDArray[np.float32], codes: npt.NDArray[np.int64], tokenizer: VQVAE, vocabulary: Vocabulary
) -> Tensor:
    """Four-momentum that each code stands for on average, zero for the special ids.

    Parameters
    ----------
    x : ndarray, shape (m, F)
        Inputs that the codes decode to.
    codes : ndarray, shape (m,)
    tokenizer : VQVAE
        Gives the recipe to undo.
    vocabulary : Vocabulary

    Returns
    -------
    Tensor, shape (vocabulary.inputs, 4)
        (E, px, py, pz) in GeV around the jet axis.
    """
    counts = np.maximum(np.bincount(codes, minlength=vocabulary.codes), 1)
    sums = [np.bincount(codes, weights=column, minlength=vocabulary.codes) for column in x.T]
    means = np.stack(sums, axis=1) / counts[:, None]
    fields = {f.field: f.inverse(means[:, i]) for i, f in enumerate(tokenizer.config.recipe.features)}
    pt, eta, phi = fields["pt"], fields["deta"], fields["dphi"]
    p4 = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], 1)
    return torch.from_numpy(np.concatenate([p4, np.zeros((vocabulary.inputs - len(p4), 4))])).float()
