"""The ParticleNet taggers published with JetClass (arXiv:2202.03772): 17, 13 or 7 inputs, ten classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jetlab.errors import CheckpointError
from jetlab.zoo.importers.checkpoint import Checkpoint, fill

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jetlab.models.tagger import Tagger

__all__ = ["load", "matches"]

_INPUTS = "mod.bn_fts.weight"

_THEIR_WORDS = (
    (r"^backbone\.norm\.", "mod.bn_fts."),
    (r"^backbone\.blocks\.", "mod.edge_convs."),
    (r"\.layers\.(\d+)\.linear\.", r".convs.\1."),
    (r"\.layers\.(\d+)\.norm\.", r".bns.\1."),
    (r"\.shortcut\.linear\.", ".sc."),
    (r"\.shortcut\.norm\.", ".sc_bn."),
    (r"^head\.layers\.", "mod.fc."),
)
"""Our names of tensors, as patterns, and theirs."""


def matches(names: Iterable[str]) -> bool:
    """Whether these are the names of the tensors of such a network."""
    return any(name.startswith("mod.edge_convs.") for name in names)


def load(checkpoint: Checkpoint) -> Tagger:
    """Build the tagger that these tensors belong to.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape; the message lists them.
    """
    from jetlab.features import JETCLASS_RECIPES
    from jetlab.models.particlenet import ParticleNetConfig
    from jetlab.models.tagger import Tagger, TaggerConfig

    state, path = checkpoint.state, checkpoint.path
    inputs = state[_INPUTS].numel() if _INPUTS in state else 0
    names = {recipe.width: name for name, recipe in JETCLASS_RECIPES.items()}
    if inputs not in names:
        found = f"has {inputs} inputs" if inputs else f"lacks {_INPUTS}"
        known = ", ".join(f"{width} ({name})" for width, name in names.items())
        msg = f"the ParticleNet in {path} {found}; the published ones have {known}"
        raise CheckpointError(msg)
    tagger = Tagger(TaggerConfig(ParticleNetConfig.preset(names[inputs])))
    fill(tagger, checkpoint, names={name: _their_name(name) for name in tagger.state_dict()})
    return tagger


def _their_name(name: str) -> str:
    for ours, theirs in _THEIR_WORDS:
        name = re.sub(ours, theirs, name)
    return name
