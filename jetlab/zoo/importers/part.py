"""The Particle Transformers published with JetClass (arXiv:2202.03772): 17, 13 or 7 inputs, ten classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jetlab.errors import CheckpointError
from jetlab.zoo.importers.checkpoint import Checkpoint, fitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch import Tensor

    from jetlab.models.part import PartConfig
    from jetlab.models.tagger import Tagger

__all__ = ["load", "matches", "their_name"]

_INPUTS = "mod.embed.input_bn.weight"

_THEIR_WORDS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^backbone\.norm\.", "mod.embed.input_bn."),
    (r"^backbone\.norm_jet\.", "mod.norm."),
    (r"^backbone\.embed\.(\d+)\.(\d+)", lambda m: f"mod.embed.embed.{3 * int(m[1]) + int(m[2])}"),
    (r"^backbone\.pairs\.norm\.", "mod.pair_embed.embed.0."),
    (r"^backbone\.pairs\.layers\.(\d+)\.(\d+)", lambda m: f"mod.pair_embed.embed.{3 * int(m[1]) + int(m[2]) + 1}"),
    (r"^backbone\.class_blocks\.", "mod.cls_blocks."),
    (r"^backbone\.token$", "mod.cls_token"),
    (r"^backbone\.", "mod."),
    (r"^head\.layers\.", "mod.fc."),
    (r"(blocks\.\d+)\.norm_in\.", r"\1.pre_attn_norm."),
    (r"(blocks\.\d+)\.norm_read\.", r"\1.post_attn_norm."),
    (r"(blocks\.\d+)\.norm_mlp\.", r"\1.pre_fc_norm."),
    (r"(blocks\.\d+)\.norm_hidden\.", r"\1.post_fc_norm."),
    (r"(blocks\.\d+)\.qkv\.", r"\1.attn.in_proj_"),
    (r"(blocks\.\d+)\.out\.", r"\1.attn.out_proj."),
    (r"(blocks\.\d+)\.up\.", r"\1.fc1."),
    (r"(blocks\.\d+)\.down\.", r"\1.fc2."),
    (r"(blocks\.\d+)\.head_scale$", r"\1.c_attn"),
    (r"(blocks\.\d+)\.residual_scale$", r"\1.w_resid"),
)
"""Our names of tensors, as patterns, and theirs."""


def matches(names: Iterable[str]) -> bool:
    """Whether these are the names of the tensors of such a network."""
    return any(name.startswith(("mod.cls_blocks.", "mod.pair_embed.")) for name in names)


def load(checkpoint: Checkpoint) -> Tagger:
    """Build the tagger that these tensors belong to.

    What they do not tell is taken as published with JetClass: GELU after every layer of the pair embedding, pairs of a
    particle with itself included.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape; the message lists them.
    """
    import torch

    from jetlab.models.tagger import Tagger, TaggerConfig

    config = TaggerConfig(_config(checkpoint), _rows(checkpoint.state, r"mod\.fc\.(\d+)\.0\.weight"))
    with torch.device("meta"):  # nothing is allocated before everything fits
        own = Tagger(config).state_dict()
    names = {name: their_name(name, checkpoint.state) for name in own}
    found = fitted(checkpoint, {theirs: own[name] for name, theirs in names.items()}, kind="Particle Transformer")
    tagger = Tagger(config)
    tagger.load_state_dict({name: found[theirs] for name, theirs in names.items()})
    return tagger


def their_name(name: str, state: Iterable[str] = ()) -> str:
    """Name of one of our tensors in a file with tensors of these names; files are older or newer."""
    for ours, theirs in _THEIR_WORDS:
        name = re.sub(ours, theirs, name)
    newer = name.replace(".in_proj_", ".in_proj.")
    return newer if newer in state and name not in state else name


def _config(checkpoint: Checkpoint) -> PartConfig:
    """Sizes from the shapes; those of the published networks where a shape lacks, which `fitted` then reports."""
    from jetlab.features import JETCLASS_RECIPES
    from jetlab.models.part import PartConfig

    state = checkpoint.state
    inputs = state[_INPUTS].numel() if _INPUTS in state else 0
    recipes = {recipe.width: recipe for recipe in JETCLASS_RECIPES.values()}
    if inputs not in recipes:
        found = f"has {inputs} inputs" if inputs else f"lacks {_INPUTS}"
        known = ", ".join(f"{recipe.width} ({name})" for name, recipe in JETCLASS_RECIPES.items())
        msg = f"the Particle Transformer in {checkpoint.path} {found}; the published ones have {known}"
        raise CheckpointError(msg)
    *embedding, width = _rows(state, r"mod\.embed\.embed\.(\d+)\.weight", every=3, first=1) or (128, 512, 128)
    *pairs, _ = _rows(state, r"mod\.pair_embed\.embed\.(\d+)\.weight", every=3, first=1) or (64, 64, 64, 8)
    [heads, *_] = _rows(state, r"mod\.blocks\.(0)\.c_attn") or (8,)
    [hidden, *_] = _rows(state, r"mod\.blocks\.(0)\.fc1\.weight") or (4 * width,)
    try:
        return PartConfig(
            width,
            len(_rows(state, r"mod\.blocks\.(\d+)\.pre_attn_norm\.weight")),
            heads,
            len(_rows(state, r"mod\.cls_blocks\.(\d+)\.pre_attn_norm\.weight")),
            max(hidden // max(width, 1), 1),
            tuple(embedding),
            tuple(pairs),
            recipe=recipes[inputs],
        )
    except ValueError as error:
        msg = f"the shapes of the tensors in {checkpoint.path} contradict each other: {error}"
        raise CheckpointError(msg) from error


def _rows(state: Mapping[str, Tensor], pattern: str, *, every: int = 1, first: int = 0) -> tuple[int, ...]:
    """Rows of the tensors whose whole name fits a pattern with a number in it, by that number.

    Only numbers that are `first` beyond a multiple of `every` count.
    """
    found = {}
    for name, values in state.items():
        match = re.fullmatch(pattern, name)
        if match and int(match[1]) % every == first and values.ndim:
            found[int(match[1])] = len(values)
    return tuple(found[place] for place in sorted(found))
