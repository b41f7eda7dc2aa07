"""The checkpoints of OmniLearned (arXiv:2510.24066): ``best_model_*.pt`` of PET2 of any size, and of the jet generator.

Sizes and options follow from the tensors. Two do not, and have the published values unless settings say otherwise:
``neighbours`` (10) and ``coordinates`` (2). The number of ``heads`` follows from the pair bias or, without one, from
the published widths; ``task`` is needed for a model that estimates several numbers, which looks like a classifier. The
files do not name ``classes``, nor which particle each code stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.importers.checkpoint import Checkpoint, fitted
from jetlab.zoo.importers.omnijet.sizes import count, integer, matrix_shape

if TYPE_CHECKING:
    from torch import nn

    from jetlab.features import Recipe
    from jetlab.models.mlpgen import MLPGen
    from jetlab.models.omnilearned import OmniLearned, OmniLearnedConfig
    from jetlab.models.pet2 import PET2Config

__all__ = ["SETTINGS", "load", "matches", "their_name"]

SETTINGS = ("heads", "neighbours", "coordinates", "task", "classes")
"""What can be told about a file besides what its tensors say."""

_BODY = {
    "tokens": "token",
    "norm_in": "embed.norm",
    "embed": "embed.mlp",
    "local.mlp": "local_physics.mlp",
    "local.blocks": "local_physics.in_blocks",
    "pairs": "interaction",
    "codes": "pid_embed.0",
    "extra": "add_embed.0",
    "waves": "MPFourier",
    "time": "time_embed",
    "condition": "cond_embed.0",
    "blocks": "in_blocks",
    "norm": "norm",
}
_OF_JETS = {"blocks": "in_blocks", "mlp": "fc", "out": "out"}
_OF_PARTICLES = {"label": "pid_embed.0", "of_label": "pid_embed.1", "blocks": "in_blocks", "mlp": "fc.0", "out": "out"}
_JETS = {
    "embed": "embed",
    "condition": "cond",
    "waves": "MPFourier",
    "time": "time_embed",
    "blocks": "in_blocks",
    "out": "out",
}
_MODEL_PARTS = {
    "averaged.body": ("ema_body", _BODY),
    "averaged.generator": ("ema_generator", _OF_PARTICLES),
    "body": ("body", _BODY),
    "classifier": ("classifier_head", _OF_JETS),
    "generator": ("generator_head", _OF_PARTICLES),
}
_JET_PARTS = {"averaged": ("ema_model", _JETS), "": ("model", _JETS)}
"""Our parts of the models, and theirs with the words within."""

_LAYERS = {
    ".first.": ".fc1.",
    ".last.": ".fc2.",
    ".attention.qkv.weight": ".attn.in_proj_weight",
    ".attention.out.": ".attn.out_proj.",
    ".frequencies": ".freqs",
}

_HEADS = {128: 8, 512: 16, 1024: 32}
"""Of the published widths."""


def matches(names: Iterable[str]) -> bool:
    """Whether these are the names of the tensors of such a model."""
    return any(name.startswith(("body.local_physics.", "model.MPFourier.")) for name in names)


def load(checkpoint: Checkpoint) -> nn.Module:
    """Build the model that these tensors belong to; a generator keeps its running averages beside the weights.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape, or a setting is needed.
    """
    if any(name.startswith("model.") for name in checkpoint.state):
        return _load_jets(checkpoint)
    return _load_model(checkpoint)


def _load_model(checkpoint: Checkpoint) -> OmniLearned:
    import torch

    from jetlab.models.omnilearned import OmniLearned

    config = _config(checkpoint)
    with torch.random.fork_rng(devices=[]):
        model = OmniLearned(config)
    names = {name: their_name(name) for name in model.state_dict()}
    _fill(model, checkpoint, names, unused=[name for name in checkpoint.state if name.startswith("ema_")])
    return model


def _load_jets(checkpoint: Checkpoint) -> MLPGen:
    import torch

    from jetlab.models.mlpgen import PUBLISHED_JET_PRIOR, MLPGen, MLPGenConfig
    from jetlab.models.prior import Prior

    features, width = matrix_shape(checkpoint, "model.out.weight")
    hidden = matrix_shape(checkpoint, "model.embed.fc1.weight")[0]
    prior = PUBLISHED_JET_PRIOR if features == PUBLISHED_JET_PRIOR.features else Prior.standard(features)
    config = MLPGenConfig(
        width,
        count(checkpoint.state, r"model\.in_blocks\.(\d+)\."),
        _ratio(checkpoint, hidden, width),
        matrix_shape(checkpoint, "model.cond.fc1.weight")[1],
        prior,
        any(name.startswith("ema_model.") for name in checkpoint.state),
    )
    with torch.random.fork_rng(devices=[]):
        model = MLPGen(config)
    _fill(model, checkpoint, {name: _their_name(name, _JET_PARTS) for name in model.state_dict()})
    return model


def _fill(model: nn.Module, checkpoint: Checkpoint, names: Mapping[str, str], *, unused: Iterable[str] = ()) -> None:
    own = model.state_dict()
    expected = {theirs: own[name][None] if name.endswith("tokens") else own[name] for name, theirs in names.items()}
    found = fitted(checkpoint, expected, kind=type(model).__name__, unused=unused)
    model.load_state_dict({name: found[theirs].reshape(own[name].shape) for name, theirs in names.items()})


def their_name(name: str) -> str:
    """Their name of a tensor of an `OmniLearned`."""
    return _their_name(name, _MODEL_PARTS)


def _their_name(name: str, parts: Mapping[str, tuple[str, Mapping[str, str]]]) -> str:
    part = next(part for part in parts if name.startswith(f"{part}." if part else ""))
    theirs, words = parts[part]
    rest = name.removeprefix(f"{part}.")
    ours = next(word for word in words if f"{rest}.".startswith(f"{word}."))
    rest = words[ours] + rest.removeprefix(ours)
    for layer, word in _LAYERS.items():
        rest = rest.replace(layer, word)
    return f"{theirs}.{rest}"


def _config(checkpoint: Checkpoint) -> OmniLearnedConfig:
    from jetlab.models.omnilearned import PUBLISHED_PRIOR, OmniLearnedConfig
    from jetlab.models.prior import Prior

    body, state = _body(checkpoint), checkpoint.state
    of_jets = "classifier_head.out.weight" in state
    of_particles = "generator_head.out.weight" in state
    if not (of_jets or of_particles) or (body.timed and not of_particles):
        needed = "generator_head" if body.timed else "classifier_head or generator_head"
        msg = f"the weights in {checkpoint.path} lack {needed}. Are they a part of a checkpoint?"
        raise CheckpointError(msg)
    outputs = matrix_shape(checkpoint, "classifier_head.out.weight")[0] if of_jets else 0
    labels = "generator_head.pid_embed.0.weight"
    classes = outputs or (matrix_shape(checkpoint, labels)[0] if labels in state else 0)
    generates = body.timed
    kinds = {(True, True): "ftag", (False, True): "segmentation", (True, False): "classifier"}
    found = ("pretrain" if of_jets else "generator") if generates else kinds[of_jets, of_particles]
    task = _task(checkpoint, "regression" if found == "classifier" and outputs == 1 else found)
    head = "classifier_head" if of_jets else "generator_head"
    particle = matrix_shape(checkpoint, "generator_head.out.weight")[0] if of_particles else 0
    return OmniLearnedConfig(
        body,
        task,
        _classes(checkpoint, classes, "number" if task == "regression" else "class"),
        0 if generates else particle,
        count(state, rf"{head}\.in_blocks\.(\d+)\."),
        Prior.standard(body.features) if body.features != PUBLISHED_PRIOR.features else PUBLISHED_PRIOR,
        generates and any(name.startswith("ema_generator.") for name in state),
    )


def _task(checkpoint: Checkpoint, found: str) -> Any:
    """What the heads are for; only a classifier can be said to be for regression."""
    said = checkpoint.settings.get("task", found)
    if said != found and {said, found} != {"classifier", "regression"}:
        msg = f"{checkpoint.path} has the heads of a model for {found}; settings say {said!r}"
        raise CheckpointError(msg)
    return said


def _classes(checkpoint: Checkpoint, number: int, word: str) -> tuple[str, ...]:
    said = checkpoint.settings.get("classes")
    if said is None:
        return tuple(f"{word} {i}" for i in range(number))
    if isinstance(said, str) or len(said) != number:
        msg = f"{checkpoint.path} has {number} classes, the settings name {said!r}; expected so many names"
        raise CheckpointError(msg)
    return tuple(map(str, said))


def _body(checkpoint: Checkpoint) -> PET2Config:
    from jetlab.models.pet2 import PET2Config

    state = checkpoint.state

    def columns(name: str) -> int:
        return matrix_shape(checkpoint, name)[1] if name in state else 0

    width = matrix_shape(checkpoint, "body.embed.mlp.fc2.weight")[0]
    hidden, features = matrix_shape(checkpoint, "body.embed.mlp.fc1.weight")
    types = matrix_shape(checkpoint, "body.pid_embed.0.weight")[0] if "body.pid_embed.0.weight" in state else 0
    extra = columns("body.add_embed.0.fc1.weight")
    settings = {"neighbours": 10, "coordinates": 2, **checkpoint.settings}
    return PET2Config(
        width=width,
        depth=count(state, r"body\.in_blocks\.(\d+)\."),
        heads=_heads(checkpoint, width),
        tokens=_tokens(checkpoint),
        expansion=_ratio(checkpoint, hidden, width),
        local_depth=count(state, r"body\.local_physics\.in_blocks\.(\d+)\."),
        neighbours=integer(checkpoint, settings, "neighbours"),
        coordinates=integer(checkpoint, settings, "coordinates"),
        pair_bias="body.interaction.mlp.fc1.weight" in state,
        local_pairs=columns("body.local_physics.mlp.fc1.weight") > features,
        types=types,
        extra=extra,
        conditions=columns("body.cond_embed.0.fc1.weight"),
        timed="body.MPFourier.freqs" in state,
        recipe=_recipe(features, types, extra),
    )


def _recipe(features: int, types: int, extra: int) -> Recipe:
    """Published inputs, or inputs of the same number under names that are no quantity of jets."""
    from jetlab.features import PET2_RECIPES, Feature, Recipe

    full = PET2_RECIPES["full"].features
    first = [*full[:4], *(Feature(f"feature {i}") for i in range(4, features))][:features]
    code = [full[4] if types == 9 else Feature(f"particle code of {types}")] if types else []
    last = list(full[5:]) if extra == len(full[5:]) else [Feature(f"further input {i}") for i in range(extra)]
    made = (*first, *code, *last)
    known = next((recipe for recipe in PET2_RECIPES.values() if recipe.features == made), None)
    return known or Recipe("omnilearned", made)


def _tokens(checkpoint: Checkpoint) -> int:
    token = checkpoint.state.get("body.token")
    if token is None or token.ndim != 3:
        shape = "is missing" if token is None else f"has shape {tuple(token.shape)}"
        msg = f"body.token in {checkpoint.path} {shape}, expected (1, tokens, width)"
        raise CheckpointError(msg)
    return token.shape[1]


def _heads(checkpoint: Checkpoint, width: int) -> int:
    said = integer(checkpoint, checkpoint.settings, "heads") if "heads" in checkpoint.settings else None
    bias = "body.interaction.mlp.fc2.weight"
    found = matrix_shape(checkpoint, bias)[0] if bias in checkpoint.state else None
    if said and found and said != found:
        msg = f"settings say that {checkpoint.path} has {said} heads; its pair bias is for {found}"
        raise CheckpointError(msg)
    heads = found or said or _HEADS.get(width)
    if heads is None or width % heads:
        msg = (
            f"{checkpoint.path} does not tell how many heads its attention of width {width} has"
            + (f"; {heads} do not divide it" if heads else "")
            + '. Say it: from_pretrained(path, settings={"heads": ...})'
        )
        raise CheckpointError(msg)
    return heads


def _ratio(checkpoint: Checkpoint, hidden: int, width: int) -> int:
    if hidden % width:
        msg = f"the hidden layers in {checkpoint.path} are {hidden} wide, expected a multiple of {width}"
        raise CheckpointError(msg)
    return hidden // width
