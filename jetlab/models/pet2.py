"""PET2, the point-edge transformer of OmniLearned (arXiv:2510.24066), read top to bottom.

Each particle is embedded by itself and by its nearest neighbours; then all particles attend to each other and to a few
learned tokens, with a bias from what each pair of particles is physically. Dynamic tanh takes the place of norms, so
inputs need no normalisation. The outputs are those of the published code, but only real particles, neighbours and pairs
are computed, jets of similar length together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError
from jetlab.features import PET2_RECIPES, Recipe
from jetlab.models.dyt import Block, DynamicTanh, FeedForward
from jetlab.models.encoding import Encoding
from jetlab.models.lengths import LengthParts
from jetlab.models.pet2_local import LocalEmbedding, PairBias

__all__ = ["PET2", "PET2Config", "TokenSet", "hidden_keys", "place_waves"]

PARTICLE_CODES = 9
"""Codes of the recipes with particle codes; code 0, which is not known, is embedded as nothing."""


@dataclass(frozen=True)
class PET2Config:
    """Sizes and options of a `PET2`; `preset` gives named ones.

    Parameters
    ----------
    width, depth, heads : int
    tokens : int
        Learned tokens, of which the jet is the mean.
    expansion : int
        Width of the feed-forward layers over `width`.
    local_depth : int
        Attention blocks among the neighbours of a particle.
    neighbours, coordinates : int
        Neighbours of a particle, and how many first inputs tell which are near.
    pair_bias : bool
        Attention has a bias for each pair of particles.
    local_pairs : bool
        Mass, distance and kT with each neighbour are inputs of the local embedding.
    types : int
        Number of particle codes, which are the input after the features; 0 for none.
    extra : int
        Further inputs at the end.
    waves : int
        Wavelengths of the sines and cosines of the direction that are inputs too; 0 for none, as published. With few
        parameters and steps a network sees the prongs of a jet only with them (arXiv:2006.10739).
    conditions : int
        Numbers about the jet that the network is told; 0 for none.
    timed : bool
        Is told the time of noisy jets.
    feature_drop : float
        Share of jets whose types, and whose further inputs, are hidden in training.
    recipe : Recipe
        Inputs: deta, dphi, log pT, log E and further features, then the code, then the further inputs.
    """

    width: int = 128
    depth: int = 8
    heads: int = 8
    tokens: int = 4
    expansion: int = 2
    local_depth: int = 2
    neighbours: int = 10
    coordinates: int = 2
    pair_bias: bool = True
    local_pairs: bool = True
    types: int = 0
    extra: int = 0
    waves: int = 0
    conditions: int = 0
    timed: bool = False
    feature_drop: float = 0.0
    recipe: Recipe = PET2_RECIPES["kin"]

    def __post_init__(self) -> None:
        if self.features < 3:
            msg = (
                f"recipe {self.recipe.name} has {self.recipe.width} inputs, of which {self.features} are left besides "
                "codes and further inputs; expected at least deta, dphi and log pT"
            )
            raise ValueError(msg)

    @property
    def features(self) -> int:
        """Inputs of a particle besides its code and the further ones."""
        return self.recipe.width - bool(self.types) - self.extra

    @staticmethod
    def preset(
        name: str,
        *,
        inputs: Literal["kin", "types", "full"] = "kin",
        conditions: int = 0,
        timed: bool = False,
        feature_drop: float = 0.0,
    ) -> PET2Config:
        """Named sizes: ``small``, ``medium``, ``large`` as published, and ``tiny`` for two cores.

        Parameters
        ----------
        name : str
        inputs : {"kin", "types", "full"}
            Key of `jetlab.features.PET2_RECIPES`.
        conditions, timed, feature_drop
            As for `PET2Config`.
        """
        presets = {
            "tiny": PET2Config(width=64, depth=3, heads=4, local_depth=1, neighbours=4, waves=6),
            "small": PET2Config(),
            "medium": PET2Config(width=512, depth=12, heads=16),
            "large": PET2Config(width=1024, depth=28, heads=32, local_depth=4),
        }
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        recipe = PET2_RECIPES[inputs]
        types = PARTICLE_CODES if inputs != "kin" else 0
        extra = recipe.width - PET2_RECIPES["types"].width if inputs == "full" else 0
        return replace(
            presets[name], types=types, extra=extra, conditions=conditions, timed=timed, feature_drop=feature_drop,
            recipe=recipe,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> PET2Config:
        """Rebuild from `to_dict`."""
        return PET2Config(**{**entries, "recipe": Recipe.from_dict(entries["recipe"])})


class TokenSet(NamedTuple):
    """Learned tokens, then those of time and conditions, then particles, ``(B, S + N, D)``, and which are real."""

    x: Tensor
    mask: Tensor


class PET2(nn.Module):
    """Backbone of OmniLearned; the jet is the mean of the learned tokens.

    Parameters
    ----------
    config : PET2Config
    """

    def __init__(self, config: PET2Config) -> None:
        super().__init__()
        self.config = c = config
        hidden = c.expansion * c.width
        self.norm_in, self.embed = DynamicTanh(c.features), FeedForward(c.features, hidden, c.width)
        self.local = LocalEmbedding(
            c.features, c.width, heads=c.heads, depth=c.local_depth, hidden=hidden, neighbours=c.neighbours,
            coordinates=c.coordinates, pairs=c.local_pairs,
        )  # fmt: skip
        if c.pair_bias:
            self.pairs = PairBias(c.width, c.heads)
        if c.types:
            self.codes = nn.Embedding(c.types, c.width, padding_idx=0)
        if c.extra:
            self.extra = FeedForward(c.extra, hidden, c.width, bias=False)
        if c.waves:
            self.places = FeedForward(4 * c.waves, hidden, c.width, bias=False)
        if c.timed:
            self.waves = Waves(c.width)
            self.time = FeedForward(c.width, hidden, c.width, bias=False)
        if c.conditions:
            self.condition = FeedForward(c.conditions, c.width, c.width)
        self.tokens = nn.Parameter(nn.init.trunc_normal_(torch.empty(c.tokens, c.width), std=0.02))
        self.blocks = nn.ModuleList(Block(c.width, c.heads, expansion=c.expansion) for _ in range(c.depth))
        self.norm = DynamicTanh(c.width)

    def encode(self, batch: ParticleBatch, time: Tensor | None = None, cond: Tensor | None = None) -> Encoding:
        """Encode the particles of the recipe's inputs ``(B, N, F)``, and the jets.

        Parameters
        ----------
        batch : ParticleBatch
        time : Tensor, shape (B,), optional
            Of noisy jets, 0 for clean ones and 1 for noise; without, all are clean.
        cond : Tensor, shape (B, C), optional
            Numbers about the jets; without, those of the batch.

        Raises
        ------
        InvalidJetsError
            If numbers are missing that the network is to be told, or a time is given to one that is told none.
        """
        if cond is not None:
            batch = replace(batch, cond=cond)
        first = self.config.tokens
        parts = LengthParts(batch)
        jets, particles = [], []
        for part, rows in parts:
            x, _ = self.tokenize(part, None if time is None else time[rows])
            jets.append(x[:, :first])
            particles.append(x[:, -part.mask.shape[1] :])
        tokens = parts.jets(jets)
        return Encoding(parts.slots(particles), tokens.mean(1), batch.mask, tokens)

    def tokenize(self, batch: ParticleBatch, time: Tensor | None = None) -> TokenSet:
        """Do the same for jets of similar length at once, and keep all tokens, for heads that read them."""
        h = self.particles(batch)  # (B, N, D)
        before, known = self._tokens(batch, time)  # (B, S, D), (B, S)
        x, mask = torch.cat([before, h], 1), torch.cat([known, batch.mask], 1)
        bias = self._bias(batch, mask)
        for block in self.blocks:
            x = block(x, bias=bias)
        return TokenSet(self.norm(x) * mask[..., None], mask)

    def particles(self, batch: ParticleBatch) -> Tensor:
        """Particles as the blocks get them, shape ``(B, N, D)``, zero where padded."""
        c, mask = self.config, batch.mask
        kinematic, code, further = batch.x.split([c.features, bool(c.types), c.extra], -1)
        real = kinematic[mask]  # (m, F)
        h = self.embed(real, norm=self.norm_in) + self.local(kinematic, mask)
        if c.waves:
            h = h + self.places(place_waves(real[:, :2], c.waves))
        if c.types:
            h = h + self._seen(mask) * self.codes(self._numbers(code[mask]))
        if c.extra:
            h = h + self._seen(mask) * self.extra(further[mask])
        return h.new_zeros(*mask.shape, c.width).index_put((mask,), h)

    def _numbers(self, code: Tensor) -> Tensor:
        """Whole numbers ``(m,)`` from the column ``(m, 1)``."""
        found = code[:, 0].round().long()
        if len(found) and not 0 <= int(found.min()) <= int(found.max()) < self.config.types:
            msg = (
                f"particle codes are {int(found.min())} to {int(found.max())}, the network knows 0 to "
                f"{self.config.types - 1}; is the input after the features the code?"
            )
            raise InvalidJetsError(msg)
        return found

    def _seen(self, mask: Tensor) -> Tensor | float:
        """Zero for particles of jets that hide an input in training, one for others, shape ``(m, 1)``."""
        if not self.training or not self.config.feature_drop:
            return 1.0
        seen = torch.rand(len(mask), device=mask.device) >= self.config.feature_drop
        return seen[:, None].expand_as(mask)[mask][:, None].float()

    def _tokens(self, batch: ParticleBatch, time: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens before the particles and which are real: clean jets have no token of time."""
        c, rows = self.config, len(batch.mask)
        tokens = [self.tokens.expand(rows, -1, -1)]
        known = [batch.mask.new_ones(rows, c.tokens)]
        if time is not None:
            if not c.timed:
                msg = "this network was made for clean jets; it cannot be told a time. Take a config with timed=True"
                raise InvalidJetsError(msg)
            tokens.append(self.time(self.waves(time))[:, None])
            known.append(time[:, None] != 0)
        if c.conditions:
            tokens.append(self.condition(self._conditions(batch))[:, None])
            known.append(batch.mask.new_ones(rows, 1))
        return torch.cat(tokens, 1), torch.cat(known, 1)

    def _conditions(self, batch: ParticleBatch) -> Tensor:
        found = None if batch.cond is None else batch.cond.shape[-1]
        if batch.cond is None or found != self.config.conditions:
            msg = (
                f"this network is told {self.config.conditions} numbers about each jet, the batch has "
                f"{found or 'none'}; give them as cond, shape (B, C)"
            )
            raise InvalidJetsError(msg)
        return batch.cond

    def _bias(self, batch: ParticleBatch, mask: Tensor) -> Tensor:
        """What is added to the scores, shape ``(B, H or 1, S + N or 1, S + N)``; minus infinity where padded."""
        hidden = hidden_keys(mask)
        if not self.config.pair_bias:
            return hidden
        before = mask.shape[1] - batch.mask.shape[1]
        bias = self.pairs(batch.x, batch.mask).permute(0, 3, 1, 2)
        return nn.functional.pad(bias, (before, 0, before, 0)) + hidden


def hidden_keys(mask: Tensor) -> Tensor:
    """Bias that hides what is not real from attention, ``(B, T)`` to ``(B, 1, 1, T)``."""
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -math.inf)[:, None, None]


def place_waves(places: Tensor, count: int) -> Tensor:
    """Sines and cosines of two coordinates, ``(m, 2)`` to ``(m, 4 count)``; the longest wave is 3.2, each next half."""
    rates = 2 * math.pi / 3.2 * 2.0 ** torch.arange(count, device=places.device)
    angles = (places[..., None] * rates).flatten(1)  # (m, 2 count)
    return torch.cat([angles.sin(), angles.cos()], 1)


class Waves(nn.Module):
    """Random waves of the time, multiplied by the time: what is clean is told nothing.

    Parameters
    ----------
    width : int
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(width))
        self.register_buffer("phases", 2 * math.pi * torch.rand(width))

    def forward(self, time: Tensor) -> Tensor:
        """Shape ``(B,)`` to ``(B, D)``."""
        angle = time[:, None] * self.get_buffer("frequencies") + self.get_buffer("phases")
        return time[:, None] * angle.cos() * math.sqrt(2)
