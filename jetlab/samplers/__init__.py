"""Generation: what is asked for, then tokens one by one with a key-value cache, then jets."""

from __future__ import annotations

from jetlab.samplers.choice import Choice
from jetlab.samplers.jets import generate, stream
from jetlab.samplers.tokens import JetModel, TokenModel, sample_tokens

__all__ = ["Choice", "JetModel", "TokenModel", "generate", "sample_tokens", "stream"]
