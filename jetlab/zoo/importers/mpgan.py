"""The generators of MPGAN (arXiv:2106.11535), ``G_best_epoch.pt``, with the ``args.txt`` of their training beside them.

Sizes follow from the tensors. The class of jets, which sets the scale of the outputs, is in ``args.txt``; without that
file the setting ``jet`` is needed, and the other choices are taken to be the published ones.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.folder import joined
from jetlab.zoo.importers.checkpoint import Checkpoint, fitted
from jetlab.zoo.importers.omnijet.sizes import count, matrix_shape, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from jetlab.models.mpgan import MPGAN, MPGANConfig

__all__ = ["ARGS", "SETTINGS", "load", "matches"]

SETTINGS = ("jet",)
"""What can be told about a file: the class of its jets, ``g``, ``q`` or ``t``."""

ARGS = "args.txt"
"""File beside the weights with the choices of the training, as one dictionary of Python."""

MAX_BYTES = 100_000
"""Of such a file; the published ones have 3,000."""

_PUBLISHED = {
    "model": "mpgan",
    "num_hits": 30,
    "coords": "polarrel",
    "norm": 1,
    "sum": True,
    "fully_connected": True,
    "pos_diffs": False,
    "int_diffs": False,
    "clabels": 0,
    "gtanh": True,
    "lfc": False,
    "batch_norm_gen": False,
    "spectral_norm_gen": False,
    "mask_c": True,
    "mask_learn": False,
    "mask_learn_sep": False,
    "mask_fne_np": False,
    "mask_feat_bin": False,
}
"""Choices that make another function, and what they are in the published generators."""


_TOLD = {"leaky_relu_alpha": 0.2, "sd": 0.2}
"""Numbers of the published generators, for files without ``args.txt``."""


def matches(names: Iterable[str]) -> bool:
    """Whether these are the names of the tensors of such a generator."""
    return any(name.startswith("mp_layers.0.fe.net.") for name in names)


def load(checkpoint: Checkpoint) -> MPGAN:
    """Build the generator that these tensors belong to.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape, the class of jets is not known, or ``args.txt`` is
        damaged or describes another kind of model.
    """
    import torch

    from jetlab.models.mpgan import MPGAN

    args = _args(checkpoint.path.with_name(ARGS))
    _check_choices(checkpoint, args)
    with torch.device("meta"):
        net = MPGAN(_config(checkpoint, args))
    expected = {_their_name(name): values for name, values in net.state_dict().items()}
    found = fitted(checkpoint, expected, kind="generator of MPGAN")
    net.to_empty(device="cpu").load_state_dict({name: found[_their_name(name)] for name in net.state_dict()})
    return net


def _their_name(name: str) -> str:
    for ours, theirs in {"rounds.": "mp_layers.", ".edge.": ".fe.net.", ".node.": ".fn.net."}.items():
        name = name.replace(ours, theirs)
    return name


def _config(checkpoint: Checkpoint, args: dict[str, Any]) -> MPGANConfig:
    from jetlab.models.mpgan import MAXIMA, MPGANConfig

    jet = _jet(checkpoint, args, known=tuple(MAXIMA))
    first, rounds = "mp_layers.0", count(checkpoint.state, r"mp_layers\.(\d+)\.")
    node = _widths(checkpoint, f"{first}.fn.net")
    return MPGANConfig(
        jet=jet,
        scales=MAXIMA[jet],
        noise=matrix_shape(checkpoint, f"{first}.fe.net.0.weight")[1] // 2,
        width=node[-1],
        edge=_widths(checkpoint, f"{first}.fe.net"),
        node=node[:-1],
        rounds=rounds,
        slope=number(checkpoint, _TOLD | args, "leaky_relu_alpha"),
        spread=number(checkpoint, _TOLD | args, "sd"),
    )


def _widths(checkpoint: Checkpoint, net: str) -> tuple[int, ...]:
    """Outputs of each layer of a network, from its weights or its biases."""
    layers = range(count(checkpoint.state, rf"{re.escape(net)}\.(\d+)\."))
    found = []
    for k in layers:
        tensors = [checkpoint.state.get(f"{net}.{k}.{kind}") for kind in ("weight", "bias")]
        sizes = [len(values) for values in tensors if values is not None and values.ndim]
        if not sizes or not sizes[0]:
            msg = f"the weights in {checkpoint.path} lack {net}.{k}.weight and .bias, or these have no numbers"
            raise CheckpointError(msg)
        found.append(sizes[0])
    if not found:
        msg = f"the weights in {checkpoint.path} lack {net}.0.weight; is this the generator of MPGAN?"
        raise CheckpointError(msg)
    return tuple(found)


def _jet(checkpoint: Checkpoint, args: Mapping[str, Any], *, known: tuple[str, ...]) -> str:
    """Class of the jets, from ``args.txt`` or the setting."""
    said = {"args.txt": args.get("jets"), "the setting jet": checkpoint.settings.get("jet")}
    said = {where: name for where, name in said.items() if name is not None}
    if not said:
        msg = (
            f"{checkpoint.path} does not say which class of jets it generates, and there is no {ARGS} beside it that "
            f"does; put the published one there, or give settings={{'jet': ...}} with one of {', '.join(known)}"
        )
        raise CheckpointError(msg)
    names = list(said.values())
    if any(name != names[0] for name in names) or names[0] not in known:
        found = ", ".join(f"{name!r} in {where}" for where, name in said.items())
        msg = f"the class of jets of {checkpoint.path} is {found}; expected one of {', '.join(known)}"
        raise CheckpointError(msg)
    return str(names[0])


def _check_choices(checkpoint: Checkpoint, args: Mapping[str, Any]) -> None:
    """Refuse what makes another function of the same tensors."""
    faults = {
        name: f"{args[name]!r}, expected {value!r}"
        for name, value in _PUBLISHED.items()
        if name in args and args[name] != value
    }
    if faults:
        msg = f"{ARGS} beside {checkpoint.path} describes another model than the published MPGAN: {joined(faults)}"
        raise CheckpointError(msg)


def _args(path: Path) -> dict[str, Any]:
    """Content of ``args.txt``, read as plain values; empty if there is none."""
    if not path.is_file():
        return {}
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            msg = f"{path} has {size:,} bytes, more than the {MAX_BYTES:,} of any such file"
            raise CheckpointError(msg)
        args = ast.literal_eval(path.read_text(encoding="utf-8").strip())
    except CheckpointError:
        raise
    except (OSError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        msg = f"{path} cannot be read as one dictionary of plain values ({str(error)[:160] or type(error).__name__})"
        raise CheckpointError(msg) from error
    if not isinstance(args, dict):
        msg = f"{path} holds a {type(args).__name__}, expected a dictionary of the choices of the training"
        raise CheckpointError(msg)
    return {str(name): value for name, value in args.items()}
