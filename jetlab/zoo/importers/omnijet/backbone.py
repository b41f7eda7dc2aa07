"""Generators and classifiers of OmniJet-alpha: one transformer, with the outputs of ids or with a head for classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.importers.checkpoint import Checkpoint, fitted
from jetlab.zoo.importers.omnijet.config import model_settings
from jetlab.zoo.importers.omnijet.ids import our_outputs, our_rows
from jetlab.zoo.importers.omnijet.sizes import check_settings, count, integer, matrix_shape

if TYPE_CHECKING:
    from torch import Tensor

    from jetlab.models.alpha import OmniJetAlpha
    from jetlab.models.gpt import GPT, GPTConfig
    from jetlab.models.tagger import Tagger

__all__ = ["load_generator", "load_tagger"]

_TABLE = "module.embedding_table.weight"

_GPT_BLOCK = {
    "norm1": "layernorm_1",
    "norm2": "layernorm_2",
    "attention.out": "mha_block.proj",
    "mlp.0": "ff_block.net.0",
    "mlp.2": "ff_block.net.2",
}
"""Parts of our transformer block, and theirs."""


def load_generator(checkpoint: Checkpoint) -> OmniJetAlpha:
    """Load a generator. It comes without its tokenizer: give it with ``use(tokenizer)``.

    Raises
    ------
    CheckpointError
        If tensors or settings are missing, unexpected, or do not fit together.
    """
    import torch

    from jetlab.models.alpha import OmniJetAlpha, OmniJetAlphaConfig

    settings = model_settings(checkpoint)["model_kwargs"]
    config = _gpt_config(checkpoint, settings)
    with torch.random.fork_rng(devices=[]):
        model = OmniJetAlpha(OmniJetAlphaConfig(config))
    expected = _gpt_expected(model.gpt)
    expected |= {f"head.fc1.{kind}": model.gpt.head.get_parameter(kind) for kind in ("weight", "bias")}
    found = fitted(checkpoint, expected, kind="OmniJetAlpha", unused=_masks(config.depth))
    order = torch.from_numpy(our_outputs(config.vocabulary.codes))
    head = {f"head.{kind}": found[f"head.fc1.{kind}"][order] for kind in ("weight", "bias")}
    model.gpt.load_state_dict(_gpt_state(found, config) | head)
    return model


def load_tagger(checkpoint: Checkpoint) -> Tagger:
    """Load a classifier of token sequences; its classes have numbers, since the file does not name them.

    It comes without its tokenizer: give it with ``use(tokenizer)``, and it reads jets.

    Raises
    ------
    CheckpointError
        If tensors or settings are missing, unexpected, or do not fit together.
    """
    import torch

    from jetlab.models.alpha import OmniJetAlphaConfig
    from jetlab.models.sequences import SequenceConfig
    from jetlab.models.tagger import Tagger, TaggerConfig

    settings = model_settings(checkpoint)
    config = _gpt_config(checkpoint, settings["model_kwargs"])
    kind = settings.get("class_head_type", "summation")
    heads = {"summation": _summation_names, "class_attention": _class_attention_names}
    if kind not in heads:
        msg = f"the classifier in {checkpoint.path} has a head of kind {kind!r}; known: {', '.join(heads)}"
        raise CheckpointError(msg)
    attends = kind == "class_attention"
    last = "head.final_mlp.6.weight" if attends else "head.classification_head_linear_class.weight"
    hidden = tuple(matrix_shape(checkpoint, f"head.final_mlp.{i}.weight")[0] for i in (0, 3)) if attends else ()
    length = integer(checkpoint, settings["model_kwargs"], "max_sequence_len")
    classes = tuple(f"class {i}" for i in range(matrix_shape(checkpoint, last)[0]))
    backbone = SequenceConfig(OmniJetAlphaConfig(config), causal=True, max_ids=length)
    with torch.random.fork_rng(devices=[]):
        tagger = Tagger(TaggerConfig(backbone, hidden, 0.1, classes, kind.replace("_", "-")))
    own, names = tagger.head.state_dict(), heads[kind]
    expected = _gpt_expected(tagger.backbone.gpt) | _merged({theirs: own[name] for name, theirs in names().items()})
    found = fitted(checkpoint, expected, kind="Tagger", unused=[*_masks(config.depth), *_dead(attends)])
    tagger.backbone.gpt.load_state_dict(_gpt_state(found, config))
    tagger.head.load_state_dict(_split(found, names(), own))
    return tagger


def _gpt_config(checkpoint: Checkpoint, settings: Mapping[str, Any]) -> GPTConfig:
    from jetlab.models.gpt import GPTConfig
    from jetlab.models.tokens import Vocabulary

    ids, width = matrix_shape(checkpoint, _TABLE)
    depth = count(checkpoint.state, r"module\.GPT_blocks\.(\d+)\.")
    length = integer(checkpoint, settings, "max_sequence_len")
    learned = {"vocab_size": ids, "embedding_dim": width, "n_GPT_blocks": depth}
    check_settings(checkpoint, settings, learned)
    if ids < 3:
        msg = f"{_TABLE} in {checkpoint.path} has {ids} rows, expected start, stop and at least one code"
        raise CheckpointError(msg)
    codes = Vocabulary(ids - 2)
    return GPTConfig(
        codes.inputs,
        codes.outputs + 1,
        width,
        depth,
        integer(checkpoint, settings, "n_heads"),
        max_length=length + 2,
        norm="post",
        positions="none",
        activation="relu",
        bias=False,
    )


def _gpt_expected(gpt: GPT) -> dict[str, Tensor]:
    """Tensors of the shapes that a file for this backbone has, by their names."""
    own, width = gpt.state_dict(), gpt.config.width
    expected = {_TABLE: own["embed.weight"][:-1]}
    for i in range(gpt.config.depth):
        theirs = f"module.GPT_blocks.{i}"
        for name in ("query", "key", "value"):
            expected[f"{theirs}.mha_block.{name}.weight"] = own[f"blocks.{i}.attention.qkv.weight"][:width]
        for ours, words in _GPT_BLOCK.items():
            for kind in ("weight", "bias"):
                expected[f"{theirs}.{words}.{kind}"] = own[f"blocks.{i}.{ours}.{kind}"]
    return expected


def _gpt_state(found: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """State of our backbone from theirs."""
    import torch

    state = {"embed.weight": found[_TABLE][torch.from_numpy(our_rows(config.vocabulary.codes))]}
    for i in range(config.depth):
        theirs = f"module.GPT_blocks.{i}"
        parts = [found[f"{theirs}.mha_block.{name}.weight"] for name in ("query", "key", "value")]
        state[f"blocks.{i}.attention.qkv.weight"] = torch.cat(parts)
        for ours, words in _GPT_BLOCK.items():
            for kind in ("weight", "bias"):
                state[f"blocks.{i}.{ours}.{kind}"] = found[f"{theirs}.{words}.{kind}"]
    return state


def _masks(depth: int) -> list[str]:
    """The causal masks that they save with the weights."""
    return [f"module.GPT_blocks.{i}.mha_block.tril" for i in range(depth)]


def _summation_names() -> dict[str, str]:
    ours = {"embed": "embed", "layers.0": "class"}
    return {
        f"{name}.{kind}": f"head.classification_head_linear_{words}.{kind}"
        for name, words in ours.items()
        for kind in ("weight", "bias")
    }


def _class_attention_names() -> dict[str, str]:
    """Their names; queries, keys and values carry which third of a tensor they are."""
    names = {"token": "head.class_token"}
    for kind in ("weight", "bias"):
        for i in range(3):
            theirs = f"head.class_attention_blocks.{i}"
            names[f"blocks.{i}.norm.{kind}"] = f"{theirs}.norm1.{kind}"
            names[f"blocks.{i}.out.{kind}"] = f"{theirs}.attn.out_proj.{kind}"
            for third, part in enumerate(("query", "key", "value")):
                names[f"blocks.{i}.{part}.{kind}"] = f"{theirs}.attn.in_proj_{kind}#{third}"
        names |= {f"layers.{ours}.{kind}": f"head.final_mlp.{theirs}.{kind}" for ours, theirs in _LAYERS.items()}
    return names


_LAYERS = {"0.0": 0, "1.0": 3, "2": 6}
"""Places of the linear layers at the end of the class-attention head, ours and theirs."""


def _dead(attends: bool) -> list[str]:
    """Tensors of the class-attention head that its forward pass never uses."""
    if not attends:
        return []
    layers = ("norm2", "mlp.0", "mlp.1", "mlp.4")
    parts = ["input_projection", *(f"class_attention_blocks.{i}.{layer}" for i in range(3) for layer in layers)]
    return [f"head.{part}.{kind}" for part in parts for kind in ("weight", "bias")]


def _merged(expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Expected tensors with queries, keys and values as one, and the token with its further dimensions."""
    import torch

    merged: dict[str, Tensor] = {}
    for name, values in expected.items():
        whole = name.partition("#")[0]
        merged[whole] = torch.cat([merged[whole], values]) if whole in merged else values
    return {name: values[None, None] if name.endswith(".class_token") else values for name, values in merged.items()}


def _split(found: Mapping[str, Tensor], names: Mapping[str, str], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of our head from theirs."""
    state = {}
    for name, theirs in names.items():
        whole, _, third = theirs.partition("#")
        values = found[whole].chunk(3)[int(third)] if third else found[whole]
        state[name] = values.reshape(own[name].shape)
    return state
