"""Trained models by name: what is bundled, how it is loaded, and how a model of one's own is saved.

A model is a folder of three files: ``config.json`` (architecture, its configuration, provenance), ``model.safetensors``
and ``README.md`` (the model card). Nothing in them is ever executed, and nothing that does not fit is skipped.
"""

from __future__ import annotations

from jetlab.zoo.catalog import describe, list_models, model_card, write_section
from jetlab.zoo.pretrained import from_pretrained, save_pretrained
from jetlab.zoo.tokens import read_tokens, write_tokens

__all__ = [
    "describe",
    "from_pretrained",
    "list_models",
    "model_card",
    "read_tokens",
    "save_pretrained",
    "write_section",
    "write_tokens",
]
