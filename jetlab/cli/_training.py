"""What all trainings share: options, which jets they learn from, and what is said at their end."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from jetlab.cli._card import machine
from jetlab.cli._options import class_names
from jetlab.cli._terminal import announce, next_command, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from jetlab.jets import Jets
    from jetlab.train import Run

__all__ = [
    "AtMost",
    "Data",
    "Device",
    "HeldOut",
    "ModelFolder",
    "Numbers",
    "Only",
    "Precision",
    "interrupted",
    "keep_provenance",
    "keep_study",
    "load",
    "origin",
    "pretrained_encoder",
    "show",
    "split",
    "stopped_early",
]

HELD_OUT = 20
"""Without a column ``split``, every so many-th jet is kept for validation."""


class Numbers(StrEnum):
    """Numbers that the network computes in."""

    fp32 = "fp32"
    bf16 = "bf16"


Data = Annotated[list[str], typer.Argument(help="Jets to learn from: files, folders, or 'sample'.")]
ModelFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder for the model and its checkpoints.")]
Only = Annotated[str | None, typer.Option("--classes", "-c", help="Learn these only.", show_default="all")]
AtMost = Annotated[int | None, typer.Option("--n", "-n", min=2, help="Use this many jets.", show_default="all")]
Precision = Annotated[Numbers, typer.Option(help="bf16 is faster where the chip has it.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
HeldOut = Annotated[
    float | None,
    typer.Option(
        min=0.001, max=0.5, help="Watch this share of the jets and learn from all others.", show_default="as marked"
    ),
]


def load(
    data: list[str], *, n: int | None, classes: str | None, held_out: float | None, seed: int
) -> tuple[Jets, Jets]:
    """Jets to learn from and to watch, of the files, classes and number that were asked for."""
    from jetlab.data import load_jets

    jets = load_jets(data if len(data) > 1 else data[0], n=n, classes=classes and class_names(classes), seed=seed)
    return split(jets, held_out)


def split(jets: Jets, held_out: float | None) -> tuple[Jets, Jets]:
    """Jets to learn from and to watch; as marked in the file (without those for testing), or every so many-th."""
    import numpy as np

    if held_out is None and "split" in jets.info:
        return jets[jets.info["split"] == 0], jets[jets.info["split"] == 1]
    period = HELD_OUT if held_out is None else round(1 / held_out)
    watched = np.arange(len(jets)) % period == period - 1
    return jets[~watched], jets[watched]


def keep_provenance(out: Path, train: Jets, test: Jets) -> None:
    """Write how a study was made into ``provenance.json``: command, jets, machine, versions."""
    from importlib.metadata import version

    from jetlab import __version__

    said = {
        "command": shlex.join(["jetlab", *sys.argv[1:]]),
        "jets": {"train": len(train), "test": len(test)},
        "data": dict(train.meta),
        "machine": machine(),
        "versions": {"jetlab": __version__, "torch": version("torch")},
    }
    (out / "provenance.json").write_text(json.dumps(said, indent=1, default=str) + "\n", encoding="utf-8")


def keep_study(
    out: Path, name: str, tables: Mapping[str, pd.DataFrame], figure: Figure, *, train: Jets, test: Jets
) -> None:
    """Write the tables of a study, its figure under its `name`, and how it was made."""
    for which, frame in tables.items():
        frame.to_csv(out / f"{which}.csv", index=False)
    keep_provenance(out, train, test)
    for ending in ("png", "pdf"):
        figure.savefig(out / f"{name}.{ending}")


def stopped_early() -> NoReturn:
    """Say how to go on with a study, and end."""
    announce("Stopped before the end")
    next_command(shlex.join(["jetlab", *sys.argv[1:]]))
    raise typer.Exit(130)


def pretrained_encoder(name: str | None) -> Any:
    """The encoder that a pretrained model brings along, by the name or folder of the model; None without one."""
    from jetlab.tasks.finetune import backbone_of
    from jetlab.zoo import from_pretrained

    return None if name is None else backbone_of(from_pretrained(name))


def interrupted(out: Path) -> NoReturn:
    """Say how to go on, and end."""
    announce(f"Stopped; checkpoints are in {out}")
    next_command(shlex.join(["jetlab", *sys.argv[1:]]))
    raise typer.Exit(130)


def show(runs: Mapping[str, Run]) -> None:
    """Print a table of the stages of a training."""
    rows = [
        (stage, f"{run.steps:,}", f"{run.seconds / 60:.1f} min", f"{run.best['loss']:.4g}" if run.best else "-")
        for stage, run in runs.items()
    ]
    table("Training", ("Stage", "Steps", "Time", "Best validation loss"), rows)


def origin(runs: Mapping[str, Run], train: Jets, valid: Jets, *, seed: int) -> dict[str, Any]:
    """What a model folder says about how it came about."""
    from importlib.metadata import version

    from jetlab import __version__

    return {
        "command": shlex.join(["jetlab", *sys.argv[1:]]),
        "seed": seed,
        "jets": {"train": len(train), "valid": len(valid)},
        "data": dict(train.meta),
        "steps": {stage: run.steps for stage, run in runs.items()},
        "minutes": {stage: round(run.seconds / 60, 1) for stage, run in runs.items()},
        "valid_loss": {stage: run.best["loss"] if run.best else None for stage, run in runs.items()},
        "machine": machine(),
        "versions": {"jetlab": __version__, "torch": version("torch")},
    }
