"""`save_pretrained` and `from_pretrained`: models to folders and back."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jetlab.errors import CheckpointError
from jetlab.zoo.card import default_card
from jetlab.zoo.folder import CARD, CONFIG, WEIGHTS, Config, joined, new_folder, tensor_shapes
from jetlab.zoo.registry import architecture_class, architecture_name, bundled_models, find_model
from jetlab.zoo.rows import as_rows, from_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor, nn

__all__ = ["from_pretrained", "save_pretrained"]


def save_pretrained(
    model: nn.Module,
    path: str | Path,
    *,
    card: str | None = None,
    provenance: dict[str, Any] | None = None,
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
) -> Path:
    """Write a model folder: ``config.json``, ``model.safetensors`` and ``README.md``.

    The folder appears complete or not at all; an earlier model at `path` is replaced, other files beside it are kept.

    Parameters
    ----------
    model : torch.nn.Module
        Of a registered architecture.
    path : str or Path
        The folder.
    card : str, optional
        Markdown text of the model card; by default a short one from the provenance.
    provenance : dict, optional
        How the model came about (command, data, seed, time, ...), JSON-safe. The entries ``description``, ``task`` and
        ``classes`` appear in `list_models`.
    precision : {"fp32", "fp16", "int8"}
        "fp16" halves the file: parameters keep 11 significant bits, buffers all of theirs. "int8" halves it again:
        numbers of a matrix are rounded to 1/127 of the largest of their row. All are loaded as float32.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CheckpointError
        If the model is of no registered architecture, a weight is not finite, the provenance is not JSON-safe, or the
        folder cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    config = Config(architecture_name(model), model.config_dict(), provenance or {})  # type: ignore[operator]
    text = config.text()
    weights = _weights(model, precision)
    _check_finite(weights, f"this {config.architecture}")
    with new_folder(path) as folder:
        (folder / CONFIG).write_text(text, encoding="utf-8")
        (folder / WEIGHTS).write_bytes(save(weights))  # save_file would make it readable for its owner only
        _empty_model(Config.read(folder), tensor_shapes(folder), folder)
        parameters = sum(math.prod(shape) for shape in tensor_shapes(folder).values())
        (folder / CARD).write_text(card or default_card(path.name, config, parameters=parameters), encoding="utf-8")
    return path


def from_pretrained(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    settings: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Load a bundled model by name, a model folder by path, or an official checkpoint file.

    Parameters
    ----------
    name_or_path : str or Path
        A name from `list_models`, a folder that `save_pretrained` wrote, or a file as published by others, which is
        recognised by its content: ``ParticleNet_full.pt``, ``_kinpid.pt`` and ``_kin.pt`` of JetClass; ``.ckpt`` files
        of OmniJet-alpha: tokenizers (with their ``config.yaml`` beside them), generators and classifiers;
        ``.weights.h5`` of OmniLearn; ``best_model_*.pt`` of OmniLearned; ``pnet_state_dict.pt`` of JetNet, for FPND;
        ``G_best_epoch.pt`` of MPGAN (with its ``args.txt`` beside it).
    device : str or torch.device
        Where to put the model.
    settings : mapping, optional
        What an official file does not say, such as ``{"heads": 8}``; an importer asks for what it needs.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    CheckpointError
        If there is no such model or device, or the files are damaged or do not fit together; the message lists the
        culprits.
    """
    from jetlab.zoo.importers import import_checkpoint

    is_file = os.path.isfile(name_or_path) and name_or_path not in bundled_models()
    if settings and not is_file:
        msg = f"settings are for official files; {str(name_or_path)[:80]!r} is none. A folder says all about its model"
        raise CheckpointError(msg)
    model = import_checkpoint(name_or_path, settings=settings) if is_file else _from_folder(find_model(name_or_path))
    try:
        return model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        msg = f"{name_or_path} cannot be moved to device {str(device)!r} ({str(error).splitlines()[0]}). Take 'cpu'"
        raise CheckpointError(msg) from error


def _from_folder(folder: Path) -> nn.Module:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = Config.read(folder)
    first_names = _empty_model(config, tensor_shapes(folder), folder)
    try:
        weights = from_rows(load_file(folder / WEIGHTS), str(folder / WEIGHTS))
    except (SafetensorError, OSError) as error:
        msg = f"{folder / WEIGHTS} cannot be read ({error})"
        raise CheckpointError(msg) from error
    _check_finite(weights, str(folder / WEIGHTS))
    with torch.random.fork_rng(devices=[]):
        model = architecture_class(config.architecture).from_config(config.config)
    _check_kinds(weights, model, folder)
    model.load_state_dict({name: weights[first] for name, first in first_names.items()})
    return model


def _weights(model: nn.Module, precision: str) -> dict[str, Tensor]:
    """State of the model on the CPU, each shared tensor once."""
    if precision not in ("fp32", "fp16", "int8"):
        msg = f"precision is {precision!r}, expected 'fp32', 'fp16' or 'int8'"
        raise CheckpointError(msg)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    trained = {name for name, _ in model.named_parameters()} if precision != "fp32" else set()
    own = {name: state[name] for name, first in _first_names(model).items() if name == first}
    weights = as_rows(own, trained) if precision == "int8" else own
    return {name: x.half() if name in trained and x.is_floating_point() else x for name, x in weights.items()}


def _first_names(model: nn.Module) -> dict[str, str]:
    """For each entry of the state, the first name that the same tensor goes by."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(t), name) for name, t in model.state_dict(keep_vars=True).items()}


def _empty_model(config: Config, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> dict[str, str]:
    """Build the model without memory, compare it with the shapes in the file, and return its `_first_names`."""
    import torch

    kind = architecture_class(config.architecture)
    try:
        with torch.device("meta"):
            model = kind.from_config(config.config)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, ArithmeticError) as error:
        msg = f"config in {folder / CONFIG} does not describe an {config.architecture}: {error}"
        raise CheckpointError(msg) from error
    first_names = _first_names(model)
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items() if first_names[name] == name}
    faults = {name: "missing" for name in expected if name not in shapes}
    faults |= {name: "unexpected" for name in shapes if name not in expected}
    faults |= {
        name: f"shape {shapes[name]}, expected {expected[name]}"
        for name in expected
        if name in shapes and shapes[name] != expected[name]
    }
    if faults:
        msg = f"{folder / WEIGHTS} does not fit its {CONFIG}: {joined(faults)}"
        raise CheckpointError(msg)
    return first_names


def _check_finite(weights: Mapping[str, Tensor], where: str) -> None:
    import torch

    faults = {name: "NaN or infinite" for name, values in weights.items() if not torch.isfinite(values).all()}
    if faults:
        msg = f"weights of {where} are not finite: {joined(faults)}"
        raise CheckpointError(msg)


def _check_kinds(weights: Mapping[str, Tensor], model: nn.Module, folder: Path) -> None:
    state = model.state_dict()
    faults = {
        name: f"{values.dtype}, expected {state[name].dtype}"
        for name, values in weights.items()
        if values.dtype != state[name].dtype and not (values.is_floating_point() and state[name].is_floating_point())
    }
    if faults:
        msg = f"{folder / WEIGHTS} holds numbers of the wrong kind: {joined(faults)}"
        raise CheckpointError(msg)
