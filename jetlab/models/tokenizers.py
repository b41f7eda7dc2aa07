"""Tokenizers: jets to codes and back.

`VQVAE` is the conditional tokenizer of OmniJet-alpha (arXiv:2403.05618): NormFormer encoder and decoder see the whole
jet, so that what a code stands for depends on its neighbours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch, ParticleSet, pad_rows
from jetlab.errors import InvalidJetsError
from jetlab.features import OMNIJET_RECIPE, Recipe
from jetlab.jets import Jets
from jetlab.kernels.nearest import nearest
from jetlab.models.blocks import NormformerBlock
from jetlab.models.tokens import TokenSequences

__all__ = ["VQVAE", "Quantized", "Reconstruction", "VQVAEConfig", "VectorQuantizer"]


@dataclass(frozen=True)
class VQVAEConfig:
    """Sizes of a `VQVAE`; `preset` gives named ones."""

    width: int = 128
    depth: int = 4
    heads: int = 8
    codebook_size: int = 8192
    latent_width: int = 4
    recipe: Recipe = OMNIJET_RECIPE

    @staticmethod
    def preset(name: str) -> VQVAEConfig:
        """``published``: 8192 codes, 4 + 4 blocks of width 128; ``tiny``: 2048 codes, 3 + 3 blocks of width 64."""
        presets = {"published": VQVAEConfig(), "tiny": VQVAEConfig(width=64, depth=3, heads=2, codebook_size=2048)}
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        return presets[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: dict[str, Any]) -> VQVAEConfig:
        """Rebuild from `to_dict`."""
        return replace(VQVAEConfig(**{**entries, "recipe": OMNIJET_RECIPE}), recipe=Recipe.from_dict(entries["recipe"]))


class Quantized(NamedTuple):
    """Codebook rows (m, d) with the gradient of the points, their codes (m,) and the commitment loss."""

    points: Tensor
    codes: Tensor
    commitment: Tensor


class Reconstruction(NamedTuple):
    """Outcome of a forward pass: inputs rebuilt (B, N, F), codes of the real particles (m,), commitment loss."""

    x: Tensor
    codes: Tensor
    commitment: Tensor


class VectorQuantizer(nn.Module):
    """Nearest row of a codebook that follows the running mean of the points assigned to it.

    Only points of real particles are ever given to it, so padding touches neither the codebook nor its use.
    For its first steps it lets the points through, until encoder and decoder have found a use for them: a codebook
    placed on the latents of an untrained encoder would be left behind. Then it starts from k-means of one batch; rows
    that nothing is assigned to are moved to random points.

    Parameters
    ----------
    size, width : int
        Rows of the codebook and their width.
    wait : int
        Training steps before quantization begins.
    decay : float
        Memory of the running means in steps, as ``1 - 1 / steps``.
    revive_below : float
        A row used less than this fraction of the average is moved.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor
    steps: Tensor

    def __init__(
        self, size: int, width: int, *, wait: int = 200, decay: float = 0.98, revive_below: float = 0.05
    ) -> None:
        super().__init__()
        self.wait, self.decay, self.revive_below = wait, decay, revive_below
        self.register_buffer("codebook", torch.randn(size, width))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", torch.zeros(size, width))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, points: Tensor, generator: torch.Generator | None = None) -> Quantized:
        """Quantize points of shape ``(m, d)``; learns the codebook in training mode."""
        points = points.float()
        if self.training:
            self.steps += 1
            if self.steps <= self.wait:
                return Quantized(
                    points, torch.zeros(len(points), dtype=torch.int64, device=points.device), points.new_zeros(())
                )
            if self.steps == self.wait + 1:
                self._start(points.detach(), generator)
        codes = nearest(points.detach(), self.codebook)
        rows = self.codebook[codes]
        if self.training:
            self._follow(points.detach(), codes, generator)
        commitment = (points - rows).square().mean()
        return Quantized(points + (rows - points).detach(), codes, commitment)

    @torch.no_grad()
    def _start(self, points: Tensor, generator: torch.Generator | None, *, rounds: int = 10) -> None:
        size = len(self.codebook)
        centres = _spread_out(points, size, generator)
        for _ in range(rounds):
            codes = nearest(points, centres)
            counts = torch.bincount(codes, minlength=size).float()
            sums = torch.zeros_like(centres).index_add_(0, codes, points)
            centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
        self.codebook.copy_(centres)
        self.counts.fill_(len(points) / size)
        self.sums.copy_(centres * self.counts[:, None])

    @torch.no_grad()
    def _follow(self, points: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        self.counts.lerp_(torch.bincount(codes, minlength=len(self.counts)).float(), 1 - self.decay)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, codes, points), 1 - self.decay)
        dead = self.counts < self.revive_below * self.counts.mean()
        if dead.any():
            pick = torch.randint(len(points), (int(dead.sum()),), generator=generator, device=points.device)
            self.counts[dead] = self.counts.mean()
            self.sums[dead] = points[pick] * self.counts.mean()
        self.codebook.copy_(self.sums / self.counts[:, None])


class VQVAE(nn.Module):
    """Conditional VQ-VAE tokenizer with NormFormer encoder and decoder (OmniJet-alpha, arXiv:2403.05618).

    Parameters
    ----------
    config : VQVAEConfig
    """

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        width, inputs = config.width, config.recipe.width
        self.embed = nn.Linear(inputs, width)
        self.encoder = nn.ModuleList(NormformerBlock(width, config.heads) for _ in range(config.depth))
        self.to_latent = nn.Linear(width, config.latent_width)
        self.quantizer = VectorQuantizer(config.codebook_size, config.latent_width)
        self.from_latent = nn.Linear(config.latent_width, width)
        self.decoder = nn.ModuleList(NormformerBlock(width, config.heads) for _ in range(config.depth))
        self.out = nn.Linear(width, inputs)

    def latents(self, x: Tensor, mask: Tensor) -> Tensor:
        """Latent points before quantization, ``(B, N, F)`` to ``(B, N, latent_width)``."""
        h = self.embed(x)
        for block in self.encoder:
            h = block(h, mask)
        return self.to_latent(h)

    def rebuild(self, points: Tensor, mask: Tensor) -> Tensor:
        """Inputs from quantized points, ``(B, N, latent_width)`` to ``(B, N, F)``, zero where padded."""
        h = self.from_latent(points)
        for block in self.decoder:
            h = block(h, mask)
        return self.out(h) * mask[..., None]

    def forward(self, batch: ParticleBatch, generator: torch.Generator | None = None) -> Reconstruction:
        """Encode, quantize the real particles, and decode."""
        mask = batch.mask
        z = self.latents(batch.x, mask)
        quantized = self.quantizer(z[mask], generator)
        points = torch.zeros(z.shape, dtype=quantized.points.dtype, device=z.device)
        points[mask] = quantized.points
        return Reconstruction(self.rebuild(points, mask), quantized.codes, quantized.commitment)

    @torch.no_grad()
    def encode(self, jets: Jets, *, batch_size: int = 512) -> TokenSequences:
        """Turn jets into codes, one a constituent that the recipe keeps.

        Parameters
        ----------
        jets : Jets
        batch_size : int

        Returns
        -------
        TokenSequences
        """
        particles = ParticleSet(jets, self.config.recipe)
        offsets = particles.features.offsets
        codes = np.empty(int(offsets[-1]), dtype=np.int64)
        was_training = self.training
        self.eval()
        for rows in _by_length(particles.lengths, batch_size):
            batch = particles.batch(rows).to(self.embed.weight.device)
            found = nearest(self.latents(batch.x, batch.mask)[batch.mask], self.quantizer.codebook)
            codes[_flat_slots(offsets, rows)] = found.cpu().numpy()
        self.train(was_training)
        return TokenSequences(codes, offsets, self.config.codebook_size, jets.label, jets.classes, jets.meta)

    @torch.no_grad()
    def decode_inputs(self, tokens: TokenSequences, *, batch_size: int = 512) -> npt.NDArray[np.float32]:
        """Model inputs that codes stand for, in the order of the codes, shape ``(m, F)``.

        Parameters
        ----------
        tokens : TokenSequences
        batch_size : int

        Raises
        ------
        InvalidJetsError
            If the codes belong to a codebook of another size.
        """
        if tokens.codebook_size != self.config.codebook_size:
            msg = (
                f"these codes belong to a codebook of {tokens.codebook_size}, "
                f"this tokenizer has {self.config.codebook_size}"
            )
            raise InvalidJetsError(msg)
        x = np.empty((len(tokens.codes), self.config.recipe.width), dtype=np.float32)
        was_training = self.training
        self.eval()
        for rows in _by_length(tokens.multiplicity, batch_size):
            codes, mask = pad_rows(tokens.codes, tokens.offsets, rows)
            points = self.quantizer.codebook[torch.from_numpy(codes).to(self.embed.weight.device)]
            real = torch.from_numpy(mask).to(points.device)
            x[_flat_slots(tokens.offsets, rows)] = self.rebuild(points * real[..., None], real)[real].cpu().numpy()
        self.train(was_training)
        return x

    def decode(self, tokens: TokenSequences, *, batch_size: int = 512) -> Jets:
        """Turn codes back into jets of massless constituents around the axis eta = phi = 0.

        Parameters and errors as for `decode_inputs`.
        """
        x = self.decode_inputs(tokens, batch_size=batch_size)
        return self.config.recipe.inverse(
            x, tokens.offsets, label=tokens.label, classes=tokens.classes, meta=tokens.meta
        )


def _spread_out(points: Tensor, size: int, generator: torch.Generator | None) -> Tensor:
    """Points drawn one after the other with probability by squared distance to those drawn (k-means++)."""
    rows = torch.empty(size, dtype=torch.int64, device=points.device)
    weight = torch.ones(len(points), device=points.device)
    for i in range(size):
        rows[i] = torch.multinomial(weight, 1, generator=generator)[0]
        distance = (points - points[rows[i]]).square().sum(1) + 1e-12
        weight = distance if i == 0 else torch.minimum(weight, distance)
    return points[rows].clone()


def _by_length(lengths: npt.NDArray[np.int64], batch_size: int) -> list[npt.NDArray[np.int64]]:
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def _flat_slots(offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    slots, mask = pad_rows(np.arange(offsets[-1]), offsets, rows)
    return slots[mask]
