"""The ``config.yaml`` beside an OmniJet-alpha checkpoint: features, constants and cuts as one of our recipes.

The weights alone do not tell how jets become inputs; the settings of the training do. The functions that they name are
looked up in a list and never evaluated.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from jetlab.errors import CheckpointError
from jetlab.features import JETCLASS_COLUMNS, OMNIJET_RECIPE, Feature, Recipe
from jetlab.zoo.folder import joined
from jetlab.zoo.importers.checkpoint import Checkpoint, plain

__all__ = ["CONFIG_NAME", "model_settings", "published_recipe"]

CONFIG_NAME = "config.yaml"

MAX_BYTES = 200_000

_FIELDS = {name: ours for name, ours in JETCLASS_COLUMNS.items() if name not in ("part_px", "part_py", "part_deta")} | {
    "part_pt": "pt",
    "part_etarel": "deta",
    "part_phirel": "dphi",
    "part_ptrel": "ptrel",
    "part_erel": "energyrel",
    "part_deltaR": "distance",
    "part_mass": "mass",
}
"""Their names of quantities and ours."""

_Function = Literal["identity", "log", "exp", "tanh", "signed_log"]

_FUNCTIONS: dict[str | None, tuple[_Function, str | None]] = {
    None: ("identity", None),
    "np.log": ("log", "np.exp"),
    "np.exp": ("exp", "np.log"),
    "np.tanh": ("tanh", "np.arctanh"),
    "signed_log": ("signed_log", "signed_exp"),
}
"""Their name of a function, ours, and theirs of its inverse."""

_ENTRIES = ("multiply_by", "subtract_by", "func", "inv_func", "larger_than", "smaller_than")


def model_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Settings of the model: from the checkpoint itself, or from the ``config.yaml`` beside a file of weights alone.

    Parameters
    ----------
    checkpoint : Checkpoint

    Returns
    -------
    dict
        ``model_kwargs`` and, where given, ``model_type`` and ``class_head_type``.

    Raises
    ------
    CheckpointError
        If neither has them, or they contradict each other.
    """
    inside = plain(checkpoint.beside.get("hyper_parameters"))
    config = _config(checkpoint.path)
    outside = config.get("model") if config is not None else None
    found = {"config.yaml": outside, "the checkpoint": inside}
    known = {where: entries for where, entries in found.items() if isinstance(entries, dict)}
    known = {where: entries for where, entries in known.items() if isinstance(entries.get("model_kwargs"), dict)}
    if not known:
        msg = (
            f"{checkpoint.path} does not say how its model is built (hyper_parameters), and there is no {CONFIG_NAME} "
            f"beside it that does. Put the {CONFIG_NAME} of its training into {checkpoint.path.parent}"
        )
        raise CheckpointError(msg)
    settings = [
        {name: entries[name] for name in ("model_type", "class_head_type", "model_kwargs") if name in entries}
        for entries in known.values()
    ]
    if len(settings) == 2:
        _check_agree(checkpoint.path, settings[0], settings[1], what="model")
    return settings[-1]


def published_recipe(checkpoint: Checkpoint) -> Recipe:
    """How jets become inputs of a tokenizer, from the ``config.yaml`` beside it.

    Parameters
    ----------
    checkpoint : Checkpoint

    Raises
    ------
    CheckpointError
        If the file is absent or damaged, names features, functions or operations that are not known, or contradicts
        what the checkpoint itself has noted.
    """
    path = checkpoint.path.with_name(CONFIG_NAME)
    config = _config(checkpoint.path)
    if config is None:
        msg = (
            f"{path} is missing. The weights do not tell how jets become inputs: put the {CONFIG_NAME} that was "
            f"published with {checkpoint.path.name} beside it, under this name. It must have "
            "data.dataset_kwargs_common.feature_dict and pad_length"
        )
        raise CheckpointError(msg)
    outside = _data_settings(config.get("data"))
    inside = _data_settings(plain(checkpoint.beside.get("datamodule_hyper_parameters")))
    features, length = outside.get("feature_dict"), outside.get("pad_length")
    if not isinstance(features, dict) or not features:
        msg = f"{path} has no data.dataset_kwargs_common.feature_dict, which tells how jets become inputs"
        raise CheckpointError(msg)
    if type(length) is not int or length < 1:
        msg = f"{path} has pad_length {length!r}, expected a whole number of at least 1"
        raise CheckpointError(msg)
    if isinstance(inside.get("feature_dict"), dict):
        _check_agree(checkpoint.path, _with_all(outside), _with_all(inside), what="data")
    return _recipe(tuple(_feature(name, entries, path) for name, entries in features.items()), length)


def _recipe(features: tuple[Feature, ...], length: int) -> Recipe:
    """The published recipe if it is that one; cuts that are one square around the axis become `max_distance`."""
    place = [f for f in features if f.field in ("deta", "dphi")]
    limits = {limit for f in place for limit in (f.below, -f.above if f.above is not None else None)}
    far = limits.pop() if len(limits) == 1 and len(place) == 2 else None
    if far is not None:
        features = tuple(replace(f, above=None, below=None) if f in place else f for f in features)
    recipe = Recipe("omnijet-custom", features, max_particles=length, max_distance=far)
    published = replace(OMNIJET_RECIPE, max_particles=length)
    return published if replace(recipe, name=published.name) == published else recipe


def _feature(name: str, entries: Any, path: Path) -> Feature:
    entries = {} if entries is None else entries
    where = f"{name} in {path}"
    if name not in _FIELDS:
        msg = f"{where} is not a feature that jetlab knows; it knows {', '.join(_FIELDS)}"
        raise CheckpointError(msg)
    if not isinstance(entries, dict):
        msg = f"{where} is a {type(entries).__name__}, expected entries such as {', '.join(_ENTRIES)}"
        raise CheckpointError(msg)
    strange = [str(entry) for entry, value in entries.items() if entry not in _ENTRIES and value is not None]
    if strange:
        msg = f"{where} asks for {', '.join(strange)}, which jetlab does not know; it knows {', '.join(_ENTRIES)}"
        raise CheckpointError(msg)
    function, inverse = entries.get("func"), entries.get("inv_func")
    if not isinstance(function, str | None) or function not in _FUNCTIONS:
        known = ", ".join(str(f) for f in _FUNCTIONS if f)
        msg = f"{where} has the function {function!r}, which jetlab does not know; it knows {known}"
        raise CheckpointError(msg)
    ours, expected = _FUNCTIONS[function]
    if inverse not in (None, expected):
        msg = f"{where} has inv_func {inverse!r}, but the inverse of {function} is {expected}"
        raise CheckpointError(msg)
    multiply = _number(entries, "multiply_by", where)
    if multiply == 0:
        msg = f"{where} has multiply_by 0, which no inverse can undo"
        raise CheckpointError(msg)
    return Feature(
        _FIELDS[name],
        subtract=_number(entries, "subtract_by", where) or 0.0,
        multiply=1.0 if multiply is None else multiply,
        function=ours,
        above=_number(entries, "larger_than", where),
        below=_number(entries, "smaller_than", where),
    )


def _number(entries: dict[Any, Any], name: str, where: str) -> float | None:
    value = entries.get(name)
    if isinstance(value, str):  # 1e-3 is a text to readers of YAML, as in {multiply_by: 1e-3}
        with contextlib.suppress(ValueError):
            value = float(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        msg = f"{where} has {name} {value!r}, expected a number"
        raise CheckpointError(msg)
    return float(value)


def _data_settings(data: Any) -> dict[str, Any]:
    common = data.get("dataset_kwargs_common") if isinstance(data, dict) else None
    wanted = ("feature_dict", "pad_length")
    return {name: common[name] for name in wanted if name in common} if isinstance(common, dict) else {}


def _with_all(data: dict[str, Any]) -> dict[str, Any]:
    """The same settings with every entry of every feature, absent ones as None."""
    features = {
        name: dict.fromkeys(_ENTRIES) | entries if isinstance(entries, dict) else dict.fromkeys(_ENTRIES)
        for name, entries in data["feature_dict"].items()
    }
    return data | {"feature_dict": features}


def _check_agree(path: Path, outside: dict[str, Any], inside: dict[str, Any], *, what: str) -> None:
    """Compare the entries that both have; texts such as ``${data.data_dir}`` stand for something else."""
    theirs, ours = _leaves(outside, what), _leaves(inside, what)
    faults = {
        name: f"{theirs[name]!r}, in the checkpoint {ours[name]!r}"
        for name in theirs.keys() & ours.keys()
        if theirs[name] != ours[name] and "${" not in str(theirs[name])
    }
    if faults:
        msg = (
            f"{path.with_name(CONFIG_NAME)} belongs to another training than {path.name}: "
            f"{joined(dict(sorted(faults.items())))}. Put the {CONFIG_NAME} of the same training beside it"
        )
        raise CheckpointError(msg)


def _leaves(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {leaf: v for key, entry in value.items() for leaf, v in _leaves(entry, f"{name}.{key}").items()}
    return {name: value}


def _config(path: Path) -> dict[str, Any] | None:
    """The settings beside a checkpoint, as plain containers; None if there are none."""
    import yaml

    file = path.with_name(CONFIG_NAME)
    if not file.is_file():
        return None
    try:
        if file.stat().st_size > MAX_BYTES:
            msg = f"it has {file.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}"
            raise CheckpointError(msg)
        content = plain(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        msg = f"{file} cannot be read as settings ({' '.join(str(error).split())[:200]})"
        raise CheckpointError(msg) from error
    if not isinstance(content, dict):
        msg = f"{file} holds a {type(content).__name__}, expected settings by name"
        raise CheckpointError(msg)
    return content
