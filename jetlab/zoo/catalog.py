"""What is known of models without loading their weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.card import with_section
from jetlab.zoo.folder import CARD, WEIGHTS, Config, tensor_shapes
from jetlab.zoo.registry import bundled_models, find_model

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["describe", "list_models", "model_card", "write_section"]

COLUMNS = ("architecture", "parameters", "size_mb", "task", "classes", "description")


def list_models() -> pd.DataFrame:
    """List the bundled models.

    Returns
    -------
    pandas.DataFrame
        One row a model, its name as the index: architecture, number of parameters, size of the weights in MB, task,
        classes (comma-separated) and description. No weights are loaded.
    """
    import pandas as pd

    models = {name: describe(path) for name, path in bundled_models().items()}
    rows = [{column: facts[column] for column in COLUMNS} for facts in models.values()]
    frame = pd.DataFrame(rows, index=pd.Index(list(models), name="name"), columns=list(COLUMNS))
    return frame.assign(classes=[", ".join(classes) for classes in frame["classes"]])


def describe(name_or_path: str | Path) -> dict[str, Any]:
    """Give all that a model folder says about itself, without loading its weights.

    Parameters
    ----------
    name_or_path : str or Path
        As for `from_pretrained`.

    Returns
    -------
    dict
        ``name``, ``path``, ``architecture``, ``parameters`` (numbers in the weights file), ``size_mb``, ``task``,
        ``classes`` (list), ``description``, ``config`` and ``provenance``.

    Raises
    ------
    CheckpointError
        If there is no such model, or its files are damaged.
    """
    folder = find_model(name_or_path)
    config = Config.read(folder)
    provenance = config.provenance
    return {
        "name": folder.name,
        "path": folder,
        "architecture": config.architecture,
        "parameters": sum(math.prod(shape) for shape in tensor_shapes(folder).values()),
        "size_mb": round((folder / WEIGHTS).stat().st_size / 1e6, 2),
        "task": str(provenance.get("task", "")),
        "classes": _names(provenance.get("classes")) or _names(config.config.get("classes")),
        "description": str(provenance.get("description", "")),
        "config": config.config,
        "provenance": provenance,
    }


def _names(entry: object) -> list[str]:
    return [str(name) for name in entry] if isinstance(entry, list) else []


def model_card(name_or_path: str | Path) -> str:
    """Read the card of a model, in Markdown; empty if it has none.

    Parameters
    ----------
    name_or_path : str or Path
        As for `from_pretrained`.
    """
    path = find_model(name_or_path) / CARD
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def write_section(name_or_path: str | Path, title: str, text: str) -> Path:
    """Put a section into the card of a model, in place of an earlier one of the same title, and return the card's path.

    Parameters
    ----------
    name_or_path : str or Path
        As for `from_pretrained`.
    title, text : str
        As for `jetlab.zoo.card.with_section`.

    Raises
    ------
    CheckpointError
        If there is no such model or its card cannot be written.
    """
    path = find_model(name_or_path) / CARD
    try:
        path.write_text(with_section(model_card(name_or_path), title, text), encoding="utf-8")
    except OSError as error:
        msg = f"the model card {path} cannot be written ({error})"
        raise CheckpointError(msg) from error
    return path
