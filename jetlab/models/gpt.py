"""Causal transformer over tokens, read top to bottom. Jets are sequences of falling pT, so the position is the rank."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jetlab.models.blocks import Cache, TransformerBlock

__all__ = ["GPT", "GPTConfig"]


@dataclass(frozen=True)
class GPTConfig:
    """Sizes of a `GPT`."""

    inputs: int
    outputs: int
    width: int = 192
    depth: int = 5
    heads: int = 4
    max_length: int = 130

    @staticmethod
    def preset(name: str, *, inputs: int, outputs: int) -> GPTConfig:
        """``tiny``: 5 blocks of width 192; ``small``: 8 blocks of width 256."""
        sizes = {"tiny": (192, 5, 4), "small": (256, 8, 8)}
        if name not in sizes:
            msg = f"unknown preset {name!r}; expected one of {', '.join(sizes)}"
            raise ValueError(msg)
        width, depth, heads = sizes[name]
        return GPTConfig(inputs, outputs, width, depth, heads)


class GPT(nn.Module):
    """Pre-norm causal transformer with rank embedding and an untied head.

    Parameters
    ----------
    config : GPTConfig
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.inputs, config.width)
        self.rank = nn.Embedding(config.max_length, config.width)
        self.blocks = nn.ModuleList(TransformerBlock(config.width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.outputs)
        self.apply(_initialise)
        for name, weight in self.blocks.named_parameters():  # residual branches start small, as in GPT-2
            if name.endswith(("attention.out.weight", "mlp.2.weight")):
                nn.init.normal_(weight, std=0.02 / (2 * config.depth) ** 0.5)

    def forward(self, ids: Tensor, *, context: Tensor | None = None, caches: list[Cache] | None = None) -> Tensor:
        """Hidden states after the last norm; `head` turns them into logits.

        Parameters
        ----------
        ids : Tensor of int64, shape (B, T)
        context : Tensor, shape (B, T, D), optional
            Added to the token embeddings: what is known besides the tokens.
        caches : list of Cache, optional
            One a block from `caches`; `ids` then holds only the next id of each row, T = 1.

        Returns
        -------
        Tensor, shape (B, T, D)
        """
        start = caches[0].length if caches else 0
        ranks = torch.arange(start, start + ids.shape[1], device=ids.device)
        x = self.embed(ids) + self.rank(ranks)  # (B, T, D)
        if context is not None:
            x = x + context
        for i, block in enumerate(self.blocks):
            x = block(x, causal=True, cache=caches[i] if caches else None)
        return self.norm(x)

    def caches(self, rows: int) -> list[Cache]:
        """Empty caches for generating this many sequences."""
        c = self.config
        return [Cache(rows, c.heads, c.max_length, c.width // c.heads, self.head.weight) for _ in self.blocks]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
