"""Heads: what a backbone's encoding is turned into, one class a task."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from jetlab.kernels.attention import attend
from jetlab.models.encoding import Encoding

__all__ = ["HEADS", "ClassAttentionHead", "ClassifierHead", "SummationHead"]


class ClassifierHead(nn.Module):
    """Class logits from the encoding of the jet.

    Parameters
    ----------
    width : int
        Of the encoding.
    classes : int
    hidden : tuple of int
        Widths of the layers between, each with ReLU and dropout.
    dropout : float
    """

    def __init__(self, width: int, classes: int, *, hidden: tuple[int, ...] = (256,), dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = _layers(width, classes, hidden, dropout)

    def forward(self, encoding: Encoding) -> Tensor:
        """Logits, shape ``(B, classes)``."""
        return self.layers(encoding.jet)


class SummationHead(nn.Module):
    """Class logits from the sum over particles of what one layer with ReLU makes of each.

    The head of the classifiers published with OmniJet-alpha (arXiv:2403.05618). The sum knows how many particles there
    are, which a mean forgets.

    Parameters
    ----------
    width : int
        Of the encoding.
    classes : int
    hidden : tuple of int
        Widths of layers between the sum and the logits, each with ReLU and dropout; none in the published head.
    dropout : float
    """

    def __init__(self, width: int, classes: int, *, hidden: tuple[int, ...] = (), dropout: float = 0.1) -> None:
        super().__init__()
        self.embed = nn.Linear(width, width)
        self.layers = _layers(width, classes, hidden, dropout)

    def summed(self, encoding: Encoding) -> Tensor:
        """Sum over the particles, shape ``(B, D)``."""
        return (self.embed(encoding.particles).relu() * encoding.mask[..., None]).sum(1)

    def forward(self, encoding: Encoding) -> Tensor:
        """Logits, shape ``(B, classes)``."""
        return self.layers(self.summed(encoding))


class ClassAttentionHead(nn.Module):
    """Class logits from a learned token that attends to the particles and to itself, several times.

    As in the other head of OmniJet-alpha (arXiv:2403.05618): what the attention gives replaces the token, without a
    residual sum.

    Parameters
    ----------
    width : int
        Of the encoding.
    classes : int
    hidden : tuple of int
        Widths of the layers between the last token and the logits, each with SiLU and dropout.
    dropout : float
    heads, depth : int
        Attention heads, and how many times the token attends.
    """

    def __init__(
        self,
        width: int,
        classes: int,
        *,
        hidden: tuple[int, ...] = (256, 256),
        dropout: float = 0.1,
        heads: int = 2,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(width))
        self.blocks = nn.ModuleList(_TokenAttention(width, heads) for _ in range(depth))
        self.layers = _layers(width, classes, hidden, dropout, activation=nn.SiLU)

    def tokens(self, encoding: Encoding) -> Tensor:
        """Token after each block, shape ``(B, depth, D)``."""
        token = self.token.expand(len(encoding.mask), 1, -1)
        mask = nn.functional.pad(encoding.mask, (1, 0), value=True)
        found = []
        for block in self.blocks:
            token = block(token, torch.cat([token, encoding.particles], 1), mask)
            found.append(token)
        return torch.cat(found, 1)

    def forward(self, encoding: Encoding) -> Tensor:
        """Logits, shape ``(B, classes)``."""
        return self.layers(self.tokens(encoding)[:, -1])


class _TokenAttention(nn.Module):
    """What a token reads from a set that contains it: the set is normed, the token that asks is not."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            msg = f"width {width} cannot be split into {heads} heads; choose a multiple of {heads}"
            raise ValueError(msg)
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, token: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """Shape ``(B, 1, D)`` from a token of that shape and a set ``(B, N, D)`` with its mask ``(B, N)``."""
        x = self.norm(x)
        q, k, v = (self._split(layer(y)) for layer, y in ((self.query, token), (self.key, x), (self.value, x)))
        return self.out(attend(q, k, v, mask=mask).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """``(B, N, D)`` to ``(B, H, N, d)``."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _layers(
    width: int, classes: int, hidden: tuple[int, ...], dropout: float, *, activation: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    steps = pairwise((width, *hidden))
    between = [nn.Sequential(nn.Linear(a, b), activation(), nn.Dropout(dropout)) for a, b in steps]
    return nn.Sequential(*between, nn.Linear((width, *hidden)[-1], classes))


HEADS = {"mlp": ClassifierHead, "summation": SummationHead, "class-attention": ClassAttentionHead}
"""Heads of taggers by name; all are made with (width, classes, hidden=..., dropout=...)."""
