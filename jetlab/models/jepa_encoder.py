"""The backbone of HEP-JEPA (arXiv:2502.03933), read top to bottom: a transformer over the tokens of a jet.

A token is a particle, a group of near particles, or a subjet. Tokens attend to each other with a bias from what each
pair of them is physically (arXiv:2202.03772), and to a few registers (arXiv:2309.16588), if there are any. The encoder
can be shown some of the tokens only; it can be told a time and numbers about the jet, so that it also denoises; and it
can read particles in order, so that it also predicts the next one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import PET2_RECIPES, Recipe
from jetlab.kernels.attention import attend
from jetlab.models.blocks import mlp
from jetlab.models.encoding import Encoding
from jetlab.models.jepa_pairs import PairBias
from jetlab.models.jepa_tokens import GroupTokens, ParticleTokens, Places
from jetlab.models.slots import at_slots, first_slots, to_slots

__all__ = ["Block", "JetEncoder", "JetEncoderConfig", "TokenKind"]

TokenKind = Literal["particles", "groups", "subjets"]
"""What the encoder attends to."""

SLOTS = 1024
"""Tokens that are encoded together on a CPU."""


@dataclass(frozen=True)
class JetEncoderConfig:
    """Sizes and options of a `JetEncoder`; `preset` gives named ones.

    Parameters
    ----------
    width, depth, heads : int
    expansion : int
        Width of the feed-forward layers over `width`.
    tokens : {"particles", "groups", "subjets"}
        What the encoder attends to.
    groups : int
        Groups or subjets of a jet, at most.
    group_size : int
        Particles of a group, if groups may overlap.
    centres : {"farthest", "hardest"}
        Of groups; as for `jetlab.models.jepa_tokens.GroupTokens`.
    overlap : bool
        A particle may belong to several groups, as published. What is hidden in one token is then seen in another.
    physics_bias : bool
        Attention has a bias for each pair of tokens.
    registers : int
        Learned tokens without a place in the jet.
    told : int
        Numbers about the jet that the encoder can be told.
    recipe : Recipe
        Inputs; deta, dphi and pT must be among them for groups and for the bias.

    Raises
    ------
    ValueError
        If sizes do not fit each other, or the recipe lacks what is needed.
    """

    width: int = 64
    depth: int = 4
    heads: int = 4
    expansion: int = 4
    tokens: TokenKind = "particles"
    groups: int = 16
    group_size: int = 8
    centres: Literal["farthest", "hardest"] = "farthest"
    overlap: bool = False
    physics_bias: bool = True
    registers: int = 0
    told: int = 0
    recipe: Recipe = PET2_RECIPES["kin"]

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads or self.width % 2:
            msg = f"width {self.width} cannot be split into {self.heads} heads; choose an even multiple of the heads"
            raise ValueError(msg)
        if self.tokens not in get_args(TokenKind):
            msg = f"tokens is {self.tokens!r}, expected one of {', '.join(get_args(TokenKind))}"
            raise ValueError(msg)
        if self.centres not in ("farthest", "hardest"):
            msg = f"centres is {self.centres!r}, expected 'farthest' or 'hardest'"
            raise ValueError(msg)
        if min(self.groups, self.group_size) < 1 or min(self.registers, self.told) < 0:
            msg = (
                f"there are {self.groups} groups of {self.group_size}, {self.registers} registers and {self.told} "
                "numbers to be told; expected at least 1 group of 1, and no negative numbers"
            )
            raise ValueError(msg)
        present = {f.field for f in self.recipe.features}
        if not {"pt", "dphi"} <= present or not present & {"deta", "deta_outward"}:
            msg = f"recipe {self.recipe.name} has {', '.join(sorted(present))}; expected deta, dphi and pt among them"
            raise ValueError(msg)

    @property
    def needs_p4(self) -> bool:
        """Whether the batch must carry four-momenta: never, since the inputs tell all that is needed of them."""
        return False

    @property
    def subjets(self) -> int:
        """How many subjets are to be found when jets are prepared; 0 for none."""
        return self.groups if self.tokens == "subjets" else 0

    @staticmethod
    def preset(
        name: str,
        *,
        tokens: TokenKind = "particles",
        physics_bias: bool = True,
        registers: int = 0,
        told: int = 0,
        recipe: Recipe = PET2_RECIPES["kin"],
    ) -> JetEncoderConfig:
        """Named sizes: ``tiny``, ``small``, and ``medium``, which is as large as Point-JEPA (arXiv:2404.16432).

        Parameters
        ----------
        name : str
        tokens, physics_bias, registers, told, recipe
            As for `JetEncoderConfig`.
        """
        presets = {
            "tiny": JetEncoderConfig(),
            "small": JetEncoderConfig(width=128, depth=6, heads=8),
            "medium": JetEncoderConfig(width=384, depth=12, heads=6),
        }
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        return replace(
            presets[name], tokens=tokens, physics_bias=physics_bias, registers=registers, told=told, recipe=recipe
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> JetEncoderConfig:
        """Rebuild from `to_dict`."""
        return JetEncoderConfig(**{**entries, "recipe": Recipe.from_dict(entries["recipe"])})


class Block(nn.Module):
    """Attention and feed-forward layers, normed before; what the encoder is told scales and shifts the norms.

    What is told starts without any effect.

    Parameters
    ----------
    width, heads, expansion : int
    told : bool
        Whether it can be told anything.
    """

    def __init__(self, width: int, heads: int, *, expansion: int = 4, told: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = mlp(width, expansion * width, width)
        self.told = nn.Linear(width, 4 * width) if told else None
        self.start(depth=1)

    @torch.no_grad()
    def start(self, *, depth: int) -> None:
        """Draw first weights for a network of so many blocks."""
        small = 1 / math.sqrt(2 * depth)
        for linear, gain in ((self.qkv, 1.0), (self.out, small), (self.mlp[0], 1.0), (self.mlp[-1], small)):
            assert isinstance(linear, nn.Linear)
            nn.init.xavier_uniform_(linear.weight, gain)
            nn.init.zeros_(linear.bias)
        if self.told is not None:
            nn.init.zeros_(self.told.weight)
            nn.init.zeros_(self.told.bias)

    def forward(self, x: Tensor, bias: Tensor, told: Tensor | None = None) -> Tensor:
        """Tokens ``(B, T, D)`` in and out; bias ``(B, H or 1, T, T)``; what is told ``(B, D)``."""
        first, second = self.norm1(x), None
        if told is not None and self.told is not None:
            scale1, shift1, scale2, shift2 = self.told(told)[:, None].chunk(4, -1)  # each (B, 1, D)
            first, second = first * (1 + scale1) + shift1, (1 + scale2, shift2)
        q, k, v = self.qkv(first).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, H, T, d)
        x = x + self.out(attend(q, k, v, bias=bias).transpose(1, 2).flatten(2))
        normed = self.norm2(x)
        return x + self.mlp(normed if second is None else normed * second[0] + second[1])


class JetEncoder(nn.Module):
    """Backbone over the tokens of jets; the jet is the mean of its tokens.

    Parameters
    ----------
    config : JetEncoderConfig
    """

    def __init__(self, config: JetEncoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.tokens: ParticleTokens | GroupTokens
        if c.tokens == "particles":
            self.tokens = ParticleTokens(c.recipe, c.width)
        else:
            self.tokens = GroupTokens(
                c.recipe, c.width, count=c.groups, size=c.group_size, centres=c.centres, overlap=c.overlap,
                subjets=c.tokens == "subjets",
            )  # fmt: skip
        self.pairs = PairBias(c.heads) if c.physics_bias else None
        self.registers = nn.Embedding(c.registers, c.width) if c.registers else None
        self.time = mlp(c.width, c.width, c.width, activation=nn.SiLU)
        self.condition = mlp(c.told, c.width, c.width, activation=nn.SiLU) if c.told else None
        self.blocks = nn.ModuleList(Block(c.width, c.heads, expansion=c.expansion, told=True) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        self._draw()

    @torch.no_grad()
    def places(self, batch: ParticleBatch) -> Places:
        """Where the tokens of jets are, and which there are: what masks are drawn from."""
        return self.tokens.places(batch)

    def encode(
        self,
        batch: ParticleBatch,
        time: Tensor | None = None,
        cond: Tensor | None = None,
        *,
        causal: bool = False,
        visible: Tensor | None = None,
    ) -> Encoding:
        """Encode the tokens of jets with the recipe's inputs ``(B, N, F)``, and the jets; an empty jet is zero.

        Parameters
        ----------
        batch : ParticleBatch
        time : Tensor, shape (B,), optional
            Of noisy jets, 0 for clean ones and 1 for noise; without, nothing is told about it.
        cond : Tensor, shape (B, C), optional
            Numbers about the jets; without, those of the batch, if the encoder can be told any.
        causal : bool
            A particle sees itself, harder ones and the registers, which see each other only.
        visible : Tensor of bool, shape (B, T), optional
            Only these tokens are encoded; the others have no part in it, and are zero and masked in the result.

        Returns
        -------
        Encoding
            Tokens ``(B, T, D)``, jets ``(B, D)``, which tokens there are ``(B, T)``, and the registers ``(B, R, D)``.

        Raises
        ------
        InvalidJetsError
            If numbers are told that the encoder does not expect.
        JetLabError
            If groups are to be read in order.
        """
        c = self.config
        if causal and c.tokens != "particles":
            msg = f"this encoder reads {c.tokens}, which have no order; take one with tokens='particles' for causal"
            raise JetLabError(msg)
        h, places = self.tokens(batch)  # (B, T, D)
        seen = places.mask if visible is None else places.mask & visible
        told = self._told(batch, time, cond)
        tokens, jets, registers, parts = [], [], [], _parts(seen)
        for rows in parts:
            slots, mask = first_slots(seen[rows])  # both (b, t)
            bias = self._bias(at_slots(places.momenta[rows], slots), mask, causal=causal)
            first, x = self._read(at_slots(h[rows], slots), bias, None if told is None else told[rows])
            x = x * mask[..., None]
            tokens.append(to_slots(x, slots, length=seen.shape[1]))
            jets.append(x.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))
            registers.append(first)
        back = torch.cat(parts).argsort()
        particles, jet, first = (torch.cat(values)[back] for values in (tokens, jets, registers))
        return Encoding(particles, jet, seen, first if c.registers else None)

    def _read(self, x: Tensor, bias: Tensor, told: Tensor | None) -> tuple[Tensor, Tensor]:
        """Registers ``(B, R, D)`` and tokens ``(B, T, D)`` after they have read each other."""
        count = self.config.registers
        if self.registers is not None:
            x = torch.cat([self.registers.weight.expand(len(x), -1, -1), x], 1)  # (B, R + T, D)
        for block in self.blocks:
            x = block(x, bias, told)
        x = self.norm(x)
        return x[:, :count], x[:, count:]

    def _bias(self, momenta: Tensor, mask: Tensor, *, causal: bool) -> Tensor:
        """What is added to the scores, shape ``(B, H or 1, R + T, R + T)``, minus infinity for what is not seen.

        Each token sees itself, also where there is none, so that every score is finite.
        """
        first, length = self.config.registers, self.config.registers + mask.shape[1]
        sees = nn.functional.pad(mask, (first, 0), value=True)[:, None, :].expand(-1, length, -1)
        if causal:
            order = torch.arange(length, device=mask.device)
            sees = sees & ((order <= order[:, None]) | (order < first))
        sees = sees | torch.eye(length, dtype=torch.bool, device=mask.device)
        hidden = torch.zeros(sees.shape, device=mask.device).masked_fill(~sees, -math.inf)[:, None]
        if self.pairs is None:
            return hidden
        return nn.functional.pad(self.pairs(momenta, mask), (first, 0, first, 0)) + hidden

    def _told(self, batch: ParticleBatch, time: Tensor | None, cond: Tensor | None) -> Tensor | None:
        """What scales and shifts the norms, shape ``(B, D)``; None if nothing is told."""
        c = self.config
        if cond is None and c.told:
            cond = batch.cond
        if cond is not None and cond.shape[-1] != c.told:
            msg = f"this encoder can be told {c.told} numbers about each jet, found {cond.shape[-1]}; give so many"
            raise InvalidJetsError(msg)
        told = None if time is None else self.time(_waves(time, c.width))
        if cond is not None and self.condition is not None:
            condition = self.condition(cond)
            told = condition if told is None else told + condition
        return told

    @torch.no_grad()
    def _draw(self) -> None:
        """First weights: no biases and small steps in the blocks, so that different tokens begin as different.

        What all tokens have in common is what an encoder that predicts itself would collapse to.
        """
        for linear in (m for m in self.tokens.modules() if isinstance(m, nn.Linear)):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        for block in self.blocks:
            assert isinstance(block, Block)
            block.start(depth=len(self.blocks))


def _waves(time: Tensor, width: int) -> Tensor:
    """Cosines and sines of times ``(B,)`` from 0 to 1, of slow and of fast waves, shape ``(B, D)``."""
    rates = 2 * math.pi * 2.0 ** torch.linspace(-3, 5, width // 2, device=time.device)
    angles = time[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], -1)


def _parts(seen: Tensor) -> tuple[Tensor, ...]:
    """Rows of jets with similar numbers of tokens, of which a CPU keeps the activations in its cache."""
    counts = seen.sum(1)
    if seen.device.type != "cpu" or not len(seen):
        return (torch.arange(len(seen), device=seen.device),)
    return counts.argsort(stable=True).split(max(1, SLOTS // max(1, int(counts.max()))))
