"""The weights of OmniLearn (arXiv:2404.16091) that Keras 2 writes as ``.weights.h5``.

Keras numbers the layers of each class in the order in which data reaches them, not as they were made, and with two
layouts of groups: one of TensorFlow 2.12 to 2.14, one of 2.15. Dense kernels are stored turned, those of attention with
the heads apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from jetlab.errors import CheckpointError
from jetlab.vocabulary import CLASSES
from jetlab.zoo.importers.checkpoint import Checkpoint, fitted
from jetlab.zoo.importers.omnijet.sizes import integer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from jetlab.models.omnilearn import OmniLearn, OmniLearnConfig

__all__ = ["SETTINGS", "load", "matches"]

SETTINGS = ("neighbours", "slots", "classes")
"""What can be told about a file besides what its tensors say."""

_ROOTS = {
    "2.14": {
        "body": "body/_layer_checkpoint_dependencies/",
        "classifier": "classifier/_layer_checkpoint_dependencies/",
        "generator": "generator/_layer_checkpoint_dependencies/",
        "averaged.body": "ema_body/_layer_checkpoint_dependencies/",
        "averaged.generator": "ema_generator_head/_layer_checkpoint_dependencies/",
    },
    "2.15": {
        "body": "layers/functional/layers/",
        "classifier": "layers/functional_1/layers/",
        "generator": "layers/functional_2/layers/",
        "averaged.body": "layers/functional_5/layers/",
        "averaged.generator": "layers/functional_6/layers/",
    },
}
"""Where the layers of each of our parts stand, in both layouts."""

_BESIDE = ("optimizer/", "body_optimizer/", "_metrics/", "metrics/")
"""Groups of the training, which are no weights."""


class _Piece(NamedTuple):
    """One of our tensors, and the foreign one that it comes from: its name, its shape, and how it is turned."""

    ours: str
    theirs: str
    shape: tuple[int, ...]
    turn: Callable[[Tensor], Tensor]


class _Layers:
    """The foreign layers of one part, each class numbered by itself."""

    def __init__(self, root: str) -> None:
        self.root, self._numbers = root, {}  # type: ignore[var-annotated]

    def next(self, kind: str) -> str:
        """Path of the next layer of this class."""
        number = next(self._numbers.setdefault(kind, count()))
        return f"{self.root}{kind}_{number}/" if number else f"{self.root}{kind}/"


def matches(names: Iterable[str]) -> bool:
    """Whether these are the paths of the weights of such a model."""
    roots = tuple(layout["body"] + "dense/" for layout in _ROOTS.values())
    return any(name.startswith(roots) for name in names)


def load(checkpoint: Checkpoint) -> OmniLearn:
    """Build the model that these tensors belong to, with the running averages that it generates with.

    The file does not say how many ``neighbours`` a particle has, nor to how many ``slots`` jets are padded: the
    published 10 and 150 are taken unless settings say otherwise, as for the names of ``classes`` (those of JetClass, if
    there are ten).

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape; the message lists them.
    """
    import torch

    from jetlab.models.omnilearn import OmniLearn

    layout = next(x for x in _ROOTS.values() if any(name.startswith(x["body"]) for name in checkpoint.state))
    with torch.random.fork_rng(devices=[]):
        model = OmniLearn(_config(checkpoint, layout))
    pieces = list(_pieces(model, layout))
    expected = {piece.theirs: torch.empty(piece.shape, device="meta") for piece in pieces}
    beside = [name for name in checkpoint.state if name.startswith(_BESIDE) or "_tracker/" in name]
    found = fitted(checkpoint, expected, kind="OmniLearn", unused=beside)
    model.load_state_dict({piece.ours: piece.turn(found[piece.theirs]) for piece in pieces})
    return model


def _config(checkpoint: Checkpoint, layout: Mapping[str, str]) -> OmniLearnConfig:
    """Sizes from the shapes of tensors, the rest as published."""
    from jetlab.models.omnilearn import OmniLearnConfig
    from jetlab.models.pet import PETConfig

    settings = {"neighbours": 10, "slots": 150, **checkpoint.settings}
    body, classifier = layout["body"], layout["classifier"]
    width, heads, _ = _shape(checkpoint, f"{body}multi_head_attention/_query_dense/vars/0", 3)
    inputs, _ = _shape(checkpoint, f"{body}dense_2/vars/0", 2)
    labels, _ = _shape(checkpoint, f"{layout['generator']}dense_4/vars/0", 2)
    if inputs != (known := PETConfig().recipe.width):
        msg = f"the OmniLearn in {checkpoint.path} has {inputs} inputs a particle, expected the {known} of JetClass"
        raise CheckpointError(msg)
    scaled = any(name.startswith(f"{body}layer_scale/") for name in checkpoint.state)
    return OmniLearnConfig(
        PETConfig(
            width,
            _blocks(checkpoint, body),
            heads,
            integer(checkpoint, settings, "neighbours"),
            layer_scale=1e-5 if scaled else None,
            normalise_padding=True,
            slots=integer(checkpoint, settings, "slots"),
        ),
        _classes(checkpoint, labels),
        class_depth=_blocks(checkpoint, classifier),
        generator_depth=_blocks(checkpoint, layout["generator"]),
        class_token=False,
        averaged=True,
    )


def _classes(checkpoint: Checkpoint, number: int) -> tuple[str, ...]:
    usual = CLASSES if number == len(CLASSES) else tuple(f"class {i}" for i in range(number))
    said = checkpoint.settings.get("classes", usual)
    if isinstance(said, str) or len(said) != number:
        msg = f"{checkpoint.path} has {number} classes, the settings name {said!r}; expected so many names"
        raise CheckpointError(msg)
    return tuple(map(str, said))


def _shape(checkpoint: Checkpoint, name: str, dimensions: int) -> tuple[int, ...]:
    shape = tuple(checkpoint.state[name].shape) if name in checkpoint.state else None
    if shape is None or len(shape) != dimensions or 0 in shape:
        found = "lacks" if shape is None else f"has {shape} as"
        msg = f"the OmniLearn in {checkpoint.path} {found} {name}, expected a tensor of {dimensions} dimensions"
        raise CheckpointError(msg)
    return shape


def _blocks(checkpoint: Checkpoint, root: str) -> int:
    """How many attention layers a part has."""
    kind = f"{root}multi_head_attention"
    return len({name[len(kind) :].split("/")[0] for name in checkpoint.state if name.startswith(kind)})


# ---- the layers of each part, in the order of their numbers ---------------------------------------------------------


def _pieces(model: OmniLearn, layout: Mapping[str, str]) -> Iterator[_Piece]:
    """Every tensor of the model."""
    parts = {"body": _body, "classifier": _classifier, "generator": _generator}
    for place, root in layout.items():
        read = parts[place.removeprefix("averaged.")]
        yield from read(model.get_submodule(place), f"{place}.", _Layers(root))


def _body(body: nn.Module, place: str, layers: _Layers) -> Iterator[_Piece]:
    dense = ["local.0.first", "local.0.last", "embed.0", "embed.2", "time.layers.0", "time.layers.2", "film"]
    yield from _denses(body, place, layers, [*dense, "local.1.first", "local.1.last"])
    yield from _transformer_blocks(body, place, layers)


def _classifier(head: nn.Module, place: str, layers: _Layers) -> Iterator[_Piece]:
    yield from _denses(head, place, layers, ["film"])
    blocks = head.get_submodule("blocks")
    for name, _ in blocks.named_children():
        yield from _block(blocks.get_submodule(name), f"{place}blocks.{name}.", layers, norms=("norm1", "normed"))
    yield from _denses(head, place, layers, ["logits", "cond"])
    yield from _norm(head, f"{place}norm", layers)


def _generator(head: nn.Module, place: str, layers: _Layers) -> Iterator[_Piece]:
    yield from _denses(head, place, layers, ["time.layers.0", "time.layers.2", "cond", "asked.0"])
    label = head.get_parameter("label.weight")
    yield _Piece(f"{place}label.weight", f"{layers.next('dense')}vars/0", tuple(label.shape), _as_it_is)
    yield from _denses(head, place, layers, ["asked.2"])
    yield from _transformer_blocks(head, place, layers)
    yield from _denses(head, place, layers, ["out"])
    yield from _norm(head, f"{place}norm", layers)


def _transformer_blocks(part: nn.Module, place: str, layers: _Layers) -> Iterator[_Piece]:
    blocks = part.get_submodule("blocks")
    for name, block in blocks.named_children():
        yield from _block(block, f"{place}blocks.{name}.", layers, norms=("norm1",))


def _block(block: nn.Module, place: str, layers: _Layers, *, norms: tuple[str, ...]) -> Iterator[_Piece]:
    for norm in norms:
        yield from _norm(block, place + norm, layers)
    yield from _attention(block.get_submodule("attention"), f"{place}attention.", layers)
    yield from _scale(block, f"{place}scale1", layers)
    yield from _norm(block, f"{place}norm2", layers)
    yield from _denses(block, place, layers, ["mlp.0", "mlp.2"])
    yield from _scale(block, f"{place}scale2", layers)


# ---- one layer ------------------------------------------------------------------------------------------------------


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _denses(part: nn.Module, place: str, layers: _Layers, names: Iterable[str]) -> Iterator[_Piece]:
    for name in names:
        theirs = f"{layers.next('dense')}vars/"
        rows, columns = part.get_parameter(f"{name}.weight").shape
        yield _Piece(f"{place}{name}.weight", f"{theirs}0", (columns, rows), lambda x: x.T)
        if part.get_submodule(name).bias is not None:
            yield _Piece(f"{place}{name}.bias", f"{theirs}1", (rows,), _as_it_is)


def _norm(part: nn.Module, place: str, layers: _Layers) -> Iterator[_Piece]:
    theirs, width = f"{layers.next('group_normalization')}vars/", len(part.get_parameter(_last(place, "weight")))
    yield _Piece(f"{place}.weight", f"{theirs}0", (width,), _as_it_is)
    yield _Piece(f"{place}.bias", f"{theirs}1", (width,), _as_it_is)


def _scale(block: nn.Module, place: str, layers: _Layers) -> Iterator[_Piece]:
    scale = getattr(block, place.rsplit(".", 1)[-1])
    if scale is not None:
        yield _Piece(place, f"{layers.next('layer_scale')}vars/0", tuple(scale.shape), _as_it_is)


def _attention(attention: nn.Module, place: str, layers: _Layers) -> Iterator[_Piece]:
    theirs = layers.next("multi_head_attention")
    width = len(attention.get_parameter("out.bias"))
    split = (int(attention.heads), width // int(attention.heads))  # type: ignore[arg-type]
    for name in ("query", "key", "value"):
        yield _Piece(
            f"{place}{name}.weight", f"{theirs}_{name}_dense/vars/0", (width, *split), lambda x: x.flatten(1).T
        )
        yield _Piece(f"{place}{name}.bias", f"{theirs}_{name}_dense/vars/1", split, lambda x: x.flatten())
    yield _Piece(f"{place}out.weight", f"{theirs}_output_dense/vars/0", (*split, width), lambda x: x.flatten(0, 1).T)
    yield _Piece(f"{place}out.bias", f"{theirs}_output_dense/vars/1", (width,), _as_it_is)


def _last(place: str, kind: str) -> str:
    return f"{place.rsplit('.', 1)[-1]}.{kind}"
