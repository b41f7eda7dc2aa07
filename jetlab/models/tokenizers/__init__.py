"""Tokenizers: jets to codes and back, all under the contract of `Tokenizer`."""

from __future__ import annotations

from jetlab.models.tokenizers.base import Reconstruction, Tokenizer
from jetlab.models.tokenizers.binned import BinnedConfig, BinnedTokenizer
from jetlab.models.tokenizers.kinds import KINDS, TOKENIZERS, make_tokenizer, tokenizer_config
from jetlab.models.tokenizers.quantizers import FiniteScalarQuantizer, Quantized, VectorQuantizer, fsq_levels
from jetlab.models.tokenizers.vqvae import VQVAE, VQVAEConfig

__all__ = [
    "KINDS",
    "TOKENIZERS",
    "VQVAE",
    "BinnedConfig",
    "BinnedTokenizer",
    "FiniteScalarQuantizer",
    "Quantized",
    "Reconstruction",
    "Tokenizer",
    "VQVAEConfig",
    "VectorQuantizer",
    "fsq_levels",
    "make_tokenizer",
    "tokenizer_config",
]
