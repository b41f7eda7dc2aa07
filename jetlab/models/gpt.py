"""Transformer over jets, read top to bottom: of codes or of continuous inputs, causal or not.

One class is the backbone as published with OmniJet-alpha (arXiv:2403.05618: norms after the sums, no positions) and
the modern forms of it. Jets are sequences of falling pT, so a position is a rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError
from jetlab.models.blocks import Cache, Rotation, TransformerBlock
from jetlab.models.encoding import Encoding
from jetlab.models.tokens import SequenceBatch, Vocabulary

__all__ = ["GPT", "GPTConfig"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


@dataclass(frozen=True)
class GPTConfig:
    """Sizes and options of a `GPT`; `preset` gives named ones.

    Parameters
    ----------
    inputs, outputs : int
        Number of ids that can be read and predicted, see `jetlab.models.tokens.Vocabulary`. One more output than its
        ``outputs`` is padding, as in the official checkpoints; it is never drawn.
    width, depth, heads : int
    max_length : int
        Longest sequence, start and stop included: two more than the constituents of the longest jet.
    norm : {"pre", "post"}
        Layer norms before attention and feed-forward and at the end, or after each residual sum.
    positions : {"none", "rank", "rope"}
        Nothing but the causal mask, a learned vector a rank, or rotary positions.
    activation : {"gelu", "relu", "silu"}
        Of the feed-forward layers.
    bias : bool
        Of queries, keys and values.
    registers : int
        Learned vectors before every sequence that keep what belongs to no constituent (arXiv:2309.16588).
    features : int
        Number of continuous inputs of a constituent that are read in place of its code; 0 reads codes.
    masked : bool
        Has what masked-particle training needs: a vector in place of hidden constituents and a head for their codes.
    """

    inputs: int
    outputs: int
    width: int = 192
    depth: int = 5
    heads: int = 4
    max_length: int = 130
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["none", "rank", "rope"] = "rank"
    activation: Literal["gelu", "relu", "silu"] = "gelu"
    bias: bool = True
    registers: int = 0
    features: int = 0
    masked: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("norm", ("pre", "post")),
            ("positions", ("none", "rank", "rope")),
            ("activation", ACTIVATIONS),
        ):
            if getattr(self, name) not in known:
                msg = f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}"
                raise ValueError(msg)
        if self.masked and self.positions == "none":
            msg = "hidden constituents without positions are all the same; take positions 'rank' or 'rope'"
            raise ValueError(msg)

    @property
    def vocabulary(self) -> Vocabulary:
        """Ids that it reads."""
        return Vocabulary(self.inputs - Vocabulary.SPECIAL)

    @property
    def max_constituents(self) -> int:
        """Constituents of the longest jet."""
        return self.max_length - 2

    @staticmethod
    def preset(name: str, *, inputs: int, outputs: int, features: int = 3) -> GPTConfig:
        """Named sizes.

        ``published``: as in OmniJet-alpha, 3 blocks of width 256, norms after the sums, ReLU, no positions. ``mini``: 4
        blocks of width 128; ``tiny``: 5 of width 192; ``small``: 8 of width 256, all with a vector a rank. ``modern``:
        8 blocks of width 128 with rotary positions and 8 registers that read `features` continuous inputs, for joint
        training with hidden constituents, as in the follow-up work (arXiv:2512.04149); ``modern-tiny``: 4 blocks of
        width 96.
        """
        if name == "published":
            return GPTConfig(inputs, outputs, 256, 3, 8, norm="post", positions="none", activation="relu", bias=False)
        plain = {"mini": (128, 4, 4), "tiny": (192, 5, 4), "small": (256, 8, 8)}
        if name in plain:
            return GPTConfig(inputs, outputs, *plain[name])
        if name in ("modern", "modern-tiny"):
            width, depth, heads, registers = {"modern": (128, 8, 8, 8), "modern-tiny": (96, 4, 4, 4)}[name]
            return GPTConfig(
                inputs, outputs, width, depth, heads, positions="rope", registers=registers, features=features,
                masked=True,
            )  # fmt: skip
        msg = f"unknown preset {name!r}; expected one of published, mini, tiny, small, modern, modern-tiny"
        raise ValueError(msg)


class GPT(nn.Module):
    """Transformer with an untied head.

    Parameters
    ----------
    config : GPTConfig
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = c = config
        read = Vocabulary.SPECIAL if c.features else c.inputs
        self.embed = nn.Embedding(read, c.width)
        if c.features:
            self.read = nn.Linear(c.features, c.width)
        if c.positions == "rank":
            self.rank = nn.Embedding(c.max_length, c.width)
        if c.registers:
            self.registers = nn.Parameter(0.02 * torch.randn(c.registers, c.width))
        if c.masked:
            self.hidden = nn.Parameter(0.02 * torch.randn(c.width))
            self.masked_head = nn.Linear(c.width, c.vocabulary.codes)
        self.blocks = nn.ModuleList(
            TransformerBlock(c.width, c.heads, norm=c.norm, activation=ACTIVATIONS[c.activation], bias=c.bias)
            for _ in range(c.depth)
        )
        self.norm = nn.LayerNorm(c.width) if c.norm == "pre" else nn.Identity()
        self.head = nn.Linear(c.width, c.outputs)
        self.apply(_initialise)
        for name, weight in self.blocks.named_parameters():  # residual branches start small, as in GPT-2
            if name.endswith(("attention.out.weight", "mlp.2.weight")):
                nn.init.normal_(weight, std=0.02 / (2 * c.depth) ** 0.5)

    def forward(
        self,
        ids: Tensor,
        *,
        x: Tensor | None = None,
        context: Tensor | None = None,
        hidden: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = True,
        caches: list[Cache] | None = None,
    ) -> Tensor:
        """States after the last norm; `head` turns them into logits of the next id.

        Parameters
        ----------
        ids : Tensor of int64, shape (B, T)
        x : Tensor, shape (B, T, features), optional
            Continuous inputs, read where `ids` are codes; needed if the configuration has features.
        context : Tensor, broadcastable to (B, T, D), optional
            Added to the embeddings: what is known besides the tokens.
        hidden : Tensor of bool, shape (B, T), optional
            Constituents that are not shown.
        mask : Tensor of bool, shape (B, T), optional
            True for what may be attended. Causal passes over sequences that are padded at their end need none.
        causal : bool
            Each sees itself and what comes before it, instead of all.
        caches : list of Cache, optional
            One a block from `caches`; `ids` then holds only the next id of each row, T = 1.

        Returns
        -------
        Tensor, shape (B, T, D)
        """
        c = self.config
        start = caches[0].length if caches else 0
        h = self._embedded(ids, x, hidden)  # (B, T, D)
        if c.positions == "rank":
            first = start - c.registers if start else 0
            h = h + self.rank(torch.arange(first, first + ids.shape[1], device=ids.device))
        if context is not None:
            h = h + context
        if c.registers and not start:
            h = torch.cat([self.registers.expand(len(h), -1, -1), h], 1)
            mask = None if mask is None else nn.functional.pad(mask, (c.registers, 0), value=True)
        rotation = None
        if c.positions == "rope":
            rotation = Rotation.of(torch.arange(start, start + h.shape[1], device=h.device), c.width // c.heads)
        for i, block in enumerate(self.blocks):
            h = block(h, mask=mask, causal=causal, cache=caches[i] if caches else None, rotation=rotation)
        return self.norm(h[:, -ids.shape[1] :])

    def encode(self, batch: ParticleBatch | SequenceBatch, *, causal: bool = True) -> Encoding:
        """What the backbone makes of jets, for heads of any task.

        Parameters
        ----------
        batch : ParticleBatch or SequenceBatch
            Continuous inputs if the configuration has features, else ids with start and stop.
        causal : bool
            As in next-token training, which the published classifiers keep; otherwise each sees all.

        Returns
        -------
        Encoding
            Of the constituents, or of all ids of a `SequenceBatch`, start and stop included. The jet is their mean.

        Raises
        ------
        TypeError
            If the batch is of the other kind.
        InvalidJetsError
            If sequences do not begin with start, as bare codes do not.
        """
        wanted = ParticleBatch if self.config.features else SequenceBatch
        if not isinstance(batch, wanted):
            msg = f"this GPT reads a {wanted.__name__}, found a {type(batch).__name__}"
            raise TypeError(msg)
        if isinstance(batch, SequenceBatch):
            _check_start(batch, self.config.vocabulary)
            h = self(batch.ids, mask=batch.mask, causal=causal)
        else:
            ids = torch.zeros_like(batch.mask, dtype=torch.int64)  # any code: the inputs are read in its place
            ids = nn.functional.pad(ids, (1, 0), value=self.config.vocabulary.start)
            x, mask = nn.functional.pad(batch.x, (0, 0, 1, 0)), nn.functional.pad(batch.mask, (1, 0), value=True)
            h = self(ids, x=x, mask=mask, causal=causal)[:, 1:]
        h = h * batch.mask[..., None]
        return Encoding(h, h.sum(1) / batch.mask.sum(1, keepdim=True).clamp(min=1), batch.mask)

    def caches(self, rows: int) -> list[Cache]:
        """Empty caches for generating this many sequences."""
        c = self.config
        length = c.registers + c.max_length
        return [Cache(rows, c.heads, length, c.width // c.heads, self.head.weight) for _ in self.blocks]

    def _embedded(self, ids: Tensor, x: Tensor | None, hidden: Tensor | None) -> Tensor:
        if self.config.features:
            if x is None:
                msg = f"this GPT reads {self.config.features} continuous inputs of each constituent, found none"
                raise TypeError(msg)
            codes = self.config.vocabulary.codes
            special = self.embed((ids - codes).clamp(min=0))
            h = torch.where((ids < codes)[..., None], self.read(x), special)
        else:
            h = self.embed(ids)
        return h if hidden is None else torch.where(hidden[..., None], self.hidden.to(h.dtype), h)


def _check_start(batch: SequenceBatch, vocabulary: Vocabulary) -> None:
    first = batch.ids[:, 0]
    if (first != vocabulary.start).any():
        msg = (
            f"{int((first != vocabulary.start).sum())} of {len(first)} sequences do not begin with the start id "
            f"{vocabulary.start}. Bare codes, or ids of another numbering, are no sequences: make them from codes with "
            "SequenceSet(TokenSequences(...))"
        )
        raise InvalidJetsError(msg)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
