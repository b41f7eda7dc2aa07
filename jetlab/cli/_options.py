"""Options that several verbs share, and how they are read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Classes", "Count", "FileLayout", "Layout", "Out", "Seed", "class_names"]

Classes = Annotated[str, typer.Option("--classes", "-c", help="all, or class names joined by commas: QCD,Hbb,Tbqq")]
Count = Annotated[int, typer.Option("--n", "-n", min=1, help="Jets in total, shared equally among the classes.")]
Seed = Annotated[int, typer.Option("--seed", "-s", min=0, help="The same seed gives the same result.")]


_SUFFIXES = (".parquet", ".root", ".h5", ".hdf5")


class FileLayout(StrEnum):
    """Columns or arrays of a written file."""

    jetclass = "jetclass"
    compact = "compact"
    jetnet = "jetnet"
    omnilearned = "omnilearned"


def _writable(path: Path) -> Path:
    """Refuse a file that could not be written before hours are spent on what goes into it."""
    if path.suffix not in _SUFFIXES:
        msg = f"{path} cannot be written: its name must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}"
        raise typer.BadParameter(msg)
    if not path.absolute().parent.is_dir():
        msg = f"{path} cannot be written: there is no folder {path.parent}"
        raise typer.BadParameter(msg)
    return path


Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="File to write: .parquet or .root; .h5 for jetnet and omnilearned", show_default=False,
        callback=_writable,
    ),
]  # fmt: skip

Layout = Annotated[
    FileLayout,
    typer.Option(
        help="jetclass: the columns of JetClass; compact: a third of the size, .parquet only; "
        "jetnet, omnilearned: the arrays of these tools, .h5 only"
    ),
]


def class_names(text: str) -> tuple[str, ...]:
    """Class names in a comma-separated list, or all ten of JetClass for ``all``.

    Raises
    ------
    typer.BadParameter
        If a name is neither one of JetClass nor one of those that other settings simulate; the message lists the names.
    """
    from jetlab.data.simulate import SETTINGS
    from jetlab.vocabulary import CLASSES, class_named

    if text.strip().lower() == "all":
        return CLASSES
    others = {name for settings in SETTINGS.values() for name in settings.classes}
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        return tuple(name if name in others else class_named(name).name for name in names)
    except KeyError as error:
        raise typer.BadParameter(error.args[0], param_hint="--classes") from None
