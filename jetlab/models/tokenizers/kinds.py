"""The kinds of tokenizers by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from jetlab.features import OMNIJET_RECIPE, Recipe
from jetlab.models.tokenizers.base import Tokenizer
from jetlab.models.tokenizers.binned import BinnedConfig, BinnedTokenizer
from jetlab.models.tokenizers.vqvae import VQVAE, VQVAEConfig

__all__ = ["KINDS", "TOKENIZERS", "Kind", "make_tokenizer", "tokenizer_config"]

Kind = Literal["normformer", "mlp", "fsq", "binned"]

KINDS: tuple[Kind, ...] = get_args(Kind)
"""Conditional VQ-VAE, unconditional VQ-VAE, finite scalar quantization (conditional), grid."""

TOKENIZERS: dict[str, type[VQVAE | BinnedTokenizer]] = {"vqvae": VQVAE, "binned": BinnedTokenizer}
"""Classes by the names that model folders give them; each has ``from_config(config)`` and ``config_dict()``."""

_ENDING = {"normformer": "", "mlp": "-mlp", "fsq": "-fsq"}


def tokenizer_config(
    kind: Kind, *, codes: int | None = None, preset: str = "tiny", recipe: Recipe = OMNIJET_RECIPE
) -> VQVAEConfig | BinnedConfig:
    """Configuration of a tokenizer by kind, size and number of codes.

    Parameters
    ----------
    kind : {"normformer", "mlp", "fsq", "binned"}
        One of `KINDS`.
    codes : int, optional
        Number of codes, by default that of the preset. "fsq" and "binned" come as near to it as their grids can.
    preset : str
        ``tiny`` or ``published``.
    recipe : Recipe
        Inputs.

    Raises
    ------
    ValueError
        If there is no such kind or preset, or it cannot work with this recipe or number of codes.
    """
    if kind not in KINDS:
        msg = f"unknown kind of tokenizer {kind!r}; expected one of {', '.join(KINDS)}"
        raise ValueError(msg)
    config: VQVAEConfig | BinnedConfig
    if kind == "binned":
        config = BinnedConfig.preset(preset)
        each = round(config.codebook_size ** (1 / len(config.bins)))
        config = replace(config, recipe=recipe, bins=(each,) * recipe.width)
    else:
        config = replace(VQVAEConfig.preset(preset + _ENDING[kind]), recipe=recipe)
    return config if codes is None else config.with_codes(codes)


def make_tokenizer(config: VQVAEConfig | BinnedConfig) -> Tokenizer:
    """Untrained tokenizer of a configuration."""
    return BinnedTokenizer(config) if isinstance(config, BinnedConfig) else VQVAE(config)
