"""The checkpoints of OmniJet-alpha (arXiv:2403.05618): tokenizers, generators and classifiers.

Their ids become ours by changing the order of rows (`jetlab.zoo.importers.omnijet.ids`), so inside nothing is shifted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jetlab.errors import CheckpointError
from jetlab.zoo.importers.checkpoint import Checkpoint
from jetlab.zoo.importers.omnijet.backbone import load_generator, load_tagger
from jetlab.zoo.importers.omnijet.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from torch import nn

__all__ = ["load", "matches"]


def matches(names: Iterable[str]) -> bool:
    """Whether these are the names of the tensors of such a tokenizer, generator or classifier."""
    return any(name.startswith(("model.vqlayer.", "module.GPT_blocks.")) for name in names)


def load(checkpoint: Checkpoint) -> nn.Module:
    """Build the tokenizer, generator or tagger that these tensors belong to.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape, or settings are missing or contradict each other.
    """
    if any(name.startswith("model.vqlayer.") for name in checkpoint.state):
        return load_tokenizer(checkpoint)
    if any(name.startswith("head.fc1.") for name in checkpoint.state):
        return load_generator(checkpoint)
    if not any(name.startswith("head.") for name in checkpoint.state):
        msg = (
            f"the weights in {checkpoint.path} are a transformer without outputs: tensors head.* are missing (head.fc1 "
            "of a generator, or the head of a classifier). Is it a part of a checkpoint?"
        )
        raise CheckpointError(msg)
    return load_tagger(checkpoint)
