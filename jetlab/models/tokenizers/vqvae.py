"""Tokenizers with encoder and decoder networks around a quantizer.

The conditional one of OmniJet-alpha (arXiv:2403.05618) has NormFormers that see the whole jet, so that what a code
stands for depends on its neighbours. The unconditional one looks at each constituent by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.features import OMNIJET_RECIPE, Recipe
from jetlab.models.blocks import NormformerBlock, mlp
from jetlab.models.tokenizers.base import Reconstruction, Tokenizer, Weighting
from jetlab.models.tokenizers.quantizers import FiniteScalarQuantizer, Learning, VectorQuantizer, fsq_levels

__all__ = ["VQVAE", "Network", "VQVAEConfig"]

Network = Literal["normformer", "transformer", "mlp"]


@dataclass(frozen=True)
class VQVAEConfig:
    """Sizes and learning of a `VQVAE`; `preset` gives named ones.

    Parameters
    ----------
    width, depth, heads : int
        Of encoder and decoder each: width, number of blocks (of hidden layers for "mlp") and attention heads.
    codebook_size : int
        Number of codes.
    latent_width : int
        Width of the points that are quantized.
    recipe : Recipe
        Inputs.
    network : {"normformer", "transformer", "mlp"}
        "normformer" sees the whole jet, "mlp" one constituent. "transformer" is the older class of the published code,
        which computes the same as "normformer".
    expansion : int
        Width of the feed-forward layers over `width`.
    quantizer : {"vq", "fsq"}
        Vector quantization with a learned codebook, or finite scalar quantization.
    levels : tuple of int
        Levels in each latent direction for "fsq"; their product is `codebook_size`, their number `latent_width`.
    learning : {"means", "gradient"}
        How the codebook is learned, see `VectorQuantizer`; "gradient" is the published way.
    affine, beta, sync_nu : float
        See `VectorQuantizer`.
    wait : int
        Training steps before quantization begins, see `VectorQuantizer`.
    alpha : float
        Weight of the quantizer's loss.
    weighting : {"momentum", "equal"}
        Whether particles count by the root of their momentum share in the reconstruction, or all alike. With "mlp",
        momentum weights stop the angles from being learned for hundreds of steps.
    """

    width: int = 128
    depth: int = 4
    heads: int = 8
    codebook_size: int = 8192
    latent_width: int = 4
    recipe: Recipe = OMNIJET_RECIPE
    network: Network = "normformer"
    expansion: int = 2
    quantizer: Literal["vq", "fsq"] = "vq"
    levels: tuple[int, ...] = ()
    learning: Learning = "means"
    affine: float = 0.0
    beta: float = 0.9
    sync_nu: float = 0.0
    wait: int = 200
    alpha: float = 0.25
    weighting: Weighting = "momentum"

    def __post_init__(self) -> None:
        _one_of("network", self.network, get_args(Network))
        _one_of("quantizer", self.quantizer, ("vq", "fsq"))
        _one_of("learning", self.learning, get_args(Learning))
        _one_of("weighting", self.weighting, get_args(Weighting))
        if self.quantizer == "fsq" and (math.prod(self.levels), len(self.levels)) != (
            self.codebook_size,
            self.latent_width,
        ):
            msg = (
                f"levels {self.levels} make {math.prod(self.levels)} codes of width {len(self.levels)}, "
                f"expected {self.codebook_size} of width {self.latent_width}; with_codes chooses fitting levels"
            )
            raise ValueError(msg)
        if self.quantizer == "vq" and self.levels:
            msg = f"levels are {self.levels}, but only the quantizer 'fsq' has levels"
            raise ValueError(msg)
        if self.weighting == "momentum" and not any(f.function == "log" for f in self._pt_inputs()):
            msg = f"recipe {self.recipe.name} has no input log pT to weight by; choose weighting='equal'"
            raise ValueError(msg)

    def _pt_inputs(self) -> list[Any]:
        return [f for f in self.recipe.features if f.field == "pt"]

    def with_codes(self, codes: int) -> VQVAEConfig:
        """Return the same with this number of codes, or, for "fsq", with levels that come nearest to it."""
        if self.quantizer == "vq":
            return replace(self, codebook_size=codes)
        levels = fsq_levels(codes, self.recipe.width)
        return replace(self, codebook_size=math.prod(levels), latent_width=len(levels), levels=levels)

    @staticmethod
    def preset(name: str) -> VQVAEConfig:
        """Give the configuration of a name.

        ``published``: 4 + 4 NormFormer blocks of width 128, 8192 codes, learned as in arXiv:2403.05618;
        ``published-mlp``: its unconditional counterpart; ``published-fsq``: the same networks with finite scalar
        quantization. ``tiny``: 3 + 3 blocks of width 64, 2048 codes, running means; ``tiny-mlp`` and ``tiny-fsq``: the
        same for the other kinds. ``large-codebook``: 65,536 codes of width 12, as used for calorimeter showers.
        """
        published = VQVAEConfig(
            expansion=1, learning="gradient", affine=2.0, beta=0.9, sync_nu=1.0, alpha=10.0, weighting="equal"
        )
        tiny = VQVAEConfig(width=64, depth=3, heads=2, codebook_size=2048)
        presets = {
            "published": published,
            "published-mlp": replace(published, network="mlp", depth=3),
            "published-fsq": _fsq(published),
            "tiny": tiny,
            "tiny-mlp": replace(tiny, network="mlp"),
            "tiny-fsq": _fsq(tiny),
            "large-codebook": replace(published, codebook_size=65_536, latent_width=12),
        }
        if name not in presets:
            msg = f"unknown preset {name!r}; expected one of {', '.join(presets)}"
            raise ValueError(msg)
        return presets[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> VQVAEConfig:
        """Rebuild from `to_dict`; what an older configuration does not name is as it was then."""
        converted = {"recipe": Recipe.from_dict(entries["recipe"]), "levels": tuple(entries.get("levels", ()))}
        return VQVAEConfig(**{**entries, **converted})


def _fsq(config: VQVAEConfig) -> VQVAEConfig:
    levels = fsq_levels(config.codebook_size, config.recipe.width)
    config = replace(config, learning="means", affine=0.0, sync_nu=0.0)
    return replace(config, quantizer="fsq", levels=levels, codebook_size=math.prod(levels), latent_width=len(levels))


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        msg = f"{name} is {value!r}, expected one of {', '.join(map(repr, known))}"
        raise ValueError(msg)


class VQVAE(Tokenizer):
    """Encoder, quantizer, decoder: the tokenizer of OmniJet-alpha (arXiv:2403.05618) and its relatives.

    Parameters
    ----------
    config : VQVAEConfig

    Notes
    -----
    Unlike in the published code, padding is never quantized and enters no loss, and there is no dropout.
    """

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.alpha, self.weighting = config.alpha, config.weighting
        width, inputs, latent = config.width, config.recipe.width, config.latent_width
        self.encoder: nn.Module
        self.decoder: nn.Module
        if config.network == "mlp":
            hidden = [width] * config.depth
            self.encoder = mlp(inputs, *hidden, latent, activation=nn.ReLU)
            self.quantizer = _quantizer(config)
            self.decoder = mlp(latent, *hidden, inputs, activation=nn.ReLU)
            return
        self.embed = nn.Linear(inputs, width)
        self.encoder = _blocks(config)
        self.to_latent = nn.Linear(width, latent)
        self.quantizer = _quantizer(config)
        self.from_latent = nn.Linear(latent, width)
        self.decoder = _blocks(config)
        self.out = nn.Linear(width, inputs)

    @property
    def recipe(self) -> Recipe:
        """Inputs that the tokenizer reads."""
        return self.config.recipe

    @property
    def codebook_size(self) -> int:
        """Number of different codes."""
        return self.config.codebook_size

    def latents(self, x: Tensor, mask: Tensor) -> Tensor:
        """Latent points before quantization, ``(B, N, F)`` to ``(B, N, latent_width)``."""
        if self.config.network == "mlp":
            return self.encoder(x)
        h = self.embed(x)
        for block in self.encoder.children():
            h = block(h, mask)
        return self.to_latent(h)

    def rebuild(self, points: Tensor, mask: Tensor) -> Tensor:
        """Inputs from quantized points, ``(B, N, latent_width)`` to ``(B, N, F)``, zero where padded."""
        if self.config.network == "mlp":
            return self.decoder(points) * mask[..., None]
        h = self.from_latent(points)
        for block in self.decoder.children():
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

    def codes(self, batch: ParticleBatch) -> Tensor:
        """Codes of the real particles of a batch, jet by jet, shape ``(m,)``."""
        return self.quantizer.codes(self.latents(batch.x, batch.mask)[batch.mask])

    def inputs(self, codes: Tensor, mask: Tensor) -> Tensor:
        """Inputs that padded codes ``(B, N)`` stand for, shape ``(B, N, F)``, zero where padded."""
        return self.rebuild(self.quantizer.points(codes) * mask[..., None], mask)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> VQVAE:
        """Untrained tokenizer of the configuration in `config_dict`."""
        return VQVAE(VQVAEConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()


def _blocks(config: VQVAEConfig) -> nn.ModuleList:
    return nn.ModuleList(
        NormformerBlock(config.width, config.heads, expansion=config.expansion) for _ in range(config.depth)
    )


def _quantizer(config: VQVAEConfig) -> VectorQuantizer | FiniteScalarQuantizer:
    if config.quantizer == "fsq":
        return FiniteScalarQuantizer(config.levels, wait=config.wait)
    return VectorQuantizer(
        config.codebook_size,
        config.latent_width,
        learning=config.learning,
        affine=config.affine,
        beta=config.beta,
        sync_nu=config.sync_nu,
        wait=config.wait,
    )
