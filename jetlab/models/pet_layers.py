"""What the Point-Edge Transformer is made of: norms over whole jets, attention, blocks and local neighbourhoods.

Two functions are offered by the same layers. With ``seen=None`` every slot counts, padding too, as in the published
model; with ``seen`` equal to the mask, only real particles do, and nothing depends on the number of slots.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jetlab.kernels.attention import attend
from jetlab.kernels.neighbours import gather_rows, neighbours
from jetlab.models.blocks import mlp

__all__ = [
    "JetAttention",
    "JetNorm",
    "LocalEmbedding",
    "PETBlock",
    "TimeEmbedding",
    "dropped",
    "layer_scale",
    "scaled",
]

FAR = 999.0
"""Added to the coordinates of padded slots, so that real particles find them last."""

EPSILON = 1e-3
"""Of the norms: the default of Keras, as published."""


class JetNorm(nn.Module):
    """Norm over all particles and all channels of a jet together, with gain and bias for each channel.

    Parameters
    ----------
    width : int
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """Shape ``(B, N, D)`` in and out; only slots with a True in `seen` ``(B, N)`` make the statistics."""
        if seen is None:
            variance, mean = torch.var_mean(x, (1, 2), correction=0, keepdim=True)  # (B, 1, 1)
        else:
            kept = seen[..., None]
            count = (kept.sum(1, keepdim=True) * x.shape[2]).clamp(min=1)
            mean = (x * kept).sum((1, 2), keepdim=True) / count
            variance = ((x - mean) * kept).square().sum((1, 2), keepdim=True) / count
        scale = (variance + EPSILON).rsqrt() * self.weight
        return torch.addcmul(self.bias, x - mean, scale)


class JetAttention(nn.Module):
    """Multi-head attention of some tokens of a jet to all of them, with talking heads if wanted.

    Parameters
    ----------
    width, heads : int
    talking : bool
        Mix the heads before and after the softmax (arXiv:2003.02436).
    """

    def __init__(self, width: int, heads: int, *, talking: bool = False) -> None:
        super().__init__()
        if width % heads:
            msg = f"width {width} cannot be split into {heads} heads; choose a multiple of {heads}"
            raise ValueError(msg)
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.before = nn.Linear(heads, heads) if talking else None
        self.after = nn.Linear(heads, heads) if talking else None

    def forward(self, x: Tensor, seen: Tensor | None = None, *, asking: Tensor | None = None) -> Tensor:
        """Attend within each jet.

        Parameters
        ----------
        x : Tensor, shape (B, N, D)
            Tokens that are attended.
        seen : Tensor of bool, shape (B, N), optional
            True for tokens that may be attended; all if not given.
        asking : Tensor, shape (B, T, D), optional
            Tokens that attend; those of `x` if not given.
        """
        asked = x if asking is None else asking
        q, k, v = (self._split(layer(y)) for layer, y in ((self.query, asked), (self.key, x), (self.value, x)))
        y = attend(q, k, v, mask=seen) if self.before is None else self._talk(q, k, v, seen)  # (B, H, T, d)
        return self.out(y.transpose(1, 2).flatten(2))

    def _talk(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        assert self.before is not None
        assert self.after is not None
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)  # (B, H, T, N)
        scores = self.before(scores.movedim(1, -1)).movedim(-1, 1)
        if seen is not None:
            empty = ~seen.any(-1, keepdim=True)
            scores = scores.masked_fill(~(seen | empty)[:, None, None], -math.inf)
        weights = self.after(scores.softmax(-1).movedim(1, -1)).movedim(-1, 1)
        if seen is not None:
            weights = weights * seen[:, None, None]  # the mixing has a bias
        return weights @ v

    def _split(self, x: Tensor) -> Tensor:
        """``(B, N, D)`` to ``(B, H, N, d)``."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class PETBlock(nn.Module):
    """Attention and feed-forward with residuals, each normed before and scaled after (CaiT, arXiv:2103.17239).

    Parameters
    ----------
    width, heads : int
    scale : float, optional
        What the scales of the two residuals start from; none if not given.
    talking : bool
        Talking heads.
    dropout : float
        In the feed-forward layer.
    drop_path : float
        Share of jets whose residuals are left out in training (stochastic depth, arXiv:1603.09382).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        scale: float | None = 1e-5,
        talking: bool = False,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_path, self.dropout = drop_path, nn.Dropout(dropout)
        self.norm1, self.attention = JetNorm(width), JetAttention(width, heads, talking=talking)
        self.norm2, self.mlp = JetNorm(width), mlp(width, 2 * width, width)
        self.scale1, self.scale2 = (layer_scale(width, scale) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor, seen: Tensor | None = None, *, context: Tensor | None = None) -> Tensor:
        """Shape ``(B, N, D)`` in and out; what is attended is `context` plus `x`, where there is one.

        With scales, updates reach only real particles, those with a True in `mask` ``(B, N)``.
        """
        read = self.norm1(x if context is None else x + context, seen)
        x = x + self._update(self.attention(read, seen), self.scale1, mask)
        return x + self._update(self._feed(self.norm2(x, seen)), self.scale2, mask)

    def _feed(self, x: Tensor) -> Tensor:
        first, activation, last = self.mlp
        return last(self.dropout(activation(first(x))))

    def _update(self, x: Tensor, scale: Tensor | None, mask: Tensor) -> Tensor:
        return dropped(scaled(x, scale, mask), self.drop_path, training=self.training)


class LocalEmbedding(nn.Module):
    """Mean over a particle's nearest neighbours of what a small network makes of each pair.

    The network sees ``(x_j - x_i, x_i)``; its first layer is computed once a particle, not once a pair.

    Parameters
    ----------
    width_in, width : int
    k : int
        Neighbours.
    """

    def __init__(self, width_in: int, width: int, k: int) -> None:
        super().__init__()
        self.k, self.first, self.last = k, nn.Linear(2 * width_in, 2 * width), nn.Linear(2 * width, width)

    def forward(self, points: Tensor, x: Tensor, mask: Tensor, seen: Tensor | None = None) -> Tensor:
        """Features ``(B, N, D)`` from coordinates ``(B, N, C)`` and features ``(B, N, F)``."""
        if seen is None:
            return self._of_slots(points + FAR * ~mask[..., None], x)
        rows = (mask.flatten().cumsum(0).view(mask.shape) - 1).masked_fill(~mask, int(mask.sum()))  # (B, N)
        real = x[mask]
        near = neighbours(points[mask], rows, k=self.k)  # (m, k)
        own, other = self._sides(real)
        messages = self._messages(own[:, None] + gather_rows(other, near))  # (m, k, D)
        exists = (near < len(real))[..., None]
        mean = (messages * exists).sum(1) / exists.sum(1).clamp(min=1)
        return gather_rows(mean, rows)

    def _of_slots(self, points: Tensor, x: Tensor) -> Tensor:
        """All slots, padding too, in the words of the original: the first of k + 1 is dropped, whoever it is."""
        with torch.no_grad():
            squares = points.square().sum(-1, keepdim=True)
            distance = squares - 2 * points @ points.transpose(1, 2) + squares.transpose(1, 2)  # (B, N, N)
            near = distance.topk(self.k + 1, largest=False).indices[..., 1:]  # (B, N, k)
        own, other = self._sides(x)
        first = torch.arange(len(x), device=x.device)[:, None, None] * x.shape[1]
        return self._messages(own[:, :, None] + other.flatten(0, 1)[near + first]).mean(2)

    def _sides(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the first layer makes of x_i and of x_j, both ``(..., 2 D)``."""
        of_difference, of_own = self.first.weight.chunk(2, 1)
        other = nn.functional.linear(x, of_difference)
        return nn.functional.linear(x, of_own - of_difference, self.first.bias), other

    def _messages(self, x: Tensor) -> Tensor:
        gelu = nn.functional.gelu
        return gelu(self.last(gelu(x)))


class TimeEmbedding(nn.Module):
    """Sines and cosines of the time, multiplied by the time, through two layers without bias: zero at time zero.

    Parameters
    ----------
    width : int
    waves : int
        Frequencies, from 1000 falling by a factor of 10,000 in all.
    """

    def __init__(self, width: int, waves: int = 32) -> None:
        super().__init__()
        self.waves = waves
        self.layers = nn.Sequential(
            nn.Linear(2 * waves, 2 * width, bias=False), nn.SiLU(), nn.Linear(2 * width, width, bias=False), nn.SiLU()
        )

    def forward(self, time: Tensor) -> Tensor:
        """Shape ``(B,)`` to ``(B, D)``."""
        number = torch.arange(self.waves, dtype=torch.float32, device=time.device)
        step = torch.tensor(1e4, device=time.device).log() / (self.waves - 1)
        angle = time[:, None] * (-step * number).exp() * 1000.0  # (B, W)
        return self.layers(torch.cat([angle.sin(), angle.cos()], -1) * time[:, None])


def layer_scale(width: int, start: float | None) -> nn.Parameter | None:
    """Learned scale of each channel ``(D,)``, which begins at `start`; None for none."""
    return None if start is None else nn.Parameter(torch.full((width,), start))


def scaled(x: Tensor, scale: Tensor | None, mask: Tensor | None = None) -> Tensor:
    """Values ``(B, N, D)`` times a scale of `layer_scale`, if there is one, and then only where `mask` is True."""
    if scale is None:
        return x
    return x * scale if mask is None else x * scale * mask[..., None]


def dropped(x: Tensor, share: float, *, training: bool) -> Tensor:
    """Zero the rows of a share of the jets, ``(B, ...)``, in training; the others grow, so that the mean stays."""
    if not training or not share:
        return x
    kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= share
    return x * kept / (1 - share)
