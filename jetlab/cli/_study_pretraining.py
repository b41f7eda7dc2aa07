"""``jetlab study pretraining``: one encoder pretrained in several ways at equal compute, then two tasks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jetlab.cli._options import class_names
from jetlab.cli._terminal import announce, next_command, table, wrote
from jetlab.cli._training import AtMost, Data, HeldOut, Only, keep_study, load, stopped_early

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["pretraining"]


class Optimizer(StrEnum):
    """What turns gradients into steps."""

    adamw = "adamw"
    muon = "muon"
    lion = "lion"


def pretraining(
    data: Data,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for trainings, tables and the figure.")],
    methods: Annotated[str, typer.Option(help="Ways to pretrain, joined by commas.", show_default="all")] = "",
    classes: Only = None,
    pretrain_classes: Annotated[
        str | None, typer.Option(help="Pretrain on these classes only.", show_default="all")
    ] = None,
    n: AtMost = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Processor time of each pretraining [s].")] = 600.0,
    preset: Annotated[str, typer.Option(help="Sizes of the encoder: tiny, small or medium.")] = "tiny",
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step of pretraining and generation.")] = 128,
    optimizer: Annotated[Optimizer, typer.Option(help="Of pretraining.")] = Optimizer.muon,
    lr: Annotated[float, typer.Option(min=1e-9, help="Highest learning rate of both.")] = 1e-3,
    sizes: Annotated[str, typer.Option(help="Labelled jets for tagging, joined by commas.")] = "100,1000",
    max_steps: Annotated[int, typer.Option(min=1, help="Most steps of one tagger.")] = 400,
    generation_steps: Annotated[int, typer.Option(min=0, help="Steps of learning to generate; 0 for none.")] = 300,
    generated: Annotated[int, typer.Option(min=2, help="Jets of each class, generated and true.")] = 200,
    path: Annotated[int, typer.Option(min=1, help="Steps from noise to jets.")] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions.")] = 3,
    held_out: HeldOut = None,
) -> None:
    """Compare JEPA, masked particles, next token, classification, flow matching, mixtures, and no pretraining.

    Each has the same processor time on the CPU; each encoder is then fine-tuned to tag jets from few labels and to
    generate, in equally many steps. Ctrl-C ends it; what is finished is kept, and the same command goes on.
    """
    from jetlab.plots import pretraining_figure
    from jetlab.tasks.pretraining import PretrainingEffort, pretraining_study
    from jetlab.tasks.pretraining_generation import GenerationEffort
    from jetlab.tasks.pretraining_methods import METHODS
    from jetlab.tasks.pretraining_table import pretraining_table
    from jetlab.tasks.transfer import Budget

    asked = tuple(word.strip() for word in methods.split(",") if word.strip()) or tuple(METHODS)
    effort = PretrainingEffort(
        seconds=seconds, preset=preset, batch_size=batch_size, optimizer=optimizer.value, lr=lr, sizes=_numbers(sizes),
        budget=Budget(min_steps=min(Budget.min_steps, max_steps), max_steps=max_steps),
        generation=GenerationEffort(steps=generation_steps, jets=generated, path=path), seeds=seeds,
    )  # fmt: skip
    train, test = load(data, n=n, classes=None, held_out=held_out, seed=0)
    announce(f"{len(asked)} ways to pretrain on {len(train):,} jets, measured with {len(test):,}, {seeds} seeds")
    study = pretraining_study(
        train,
        test,
        out=out,
        methods=asked,
        classes=classes and class_names(classes),
        pretrain_classes=pretrain_classes and class_names(pretrain_classes),
        effort=effort,
        announce=announce,
    )
    if study.tagging.empty:
        announce("Stopped before the first result")
        raise typer.Exit(130)
    found = pretraining_table(study)
    tables = {"table": found, "tagging": study.tagging, "generation": study.generation}
    keep_study(out, "pretraining", tables, pretraining_figure(found), train=train, test=test)
    _show(found)
    wrote(out)
    if not study.complete:
        stopped_early()
    next_command("jetlab train jepa --help")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        msg = f"expected numbers of jets joined by commas, found {text!r}"
        raise typer.BadParameter(msg, param_hint="--sizes") from None


def _show(found: pd.DataFrame) -> None:
    measures = [name.removesuffix("_low") for name in found.columns if name.endswith("_low") and name[:3] != "auc"]

    def cell(row: pd.Series, name: str) -> str:
        return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"

    heads = [name.replace("accuracy_", "Accuracy, ").replace("distance", "Distance / floor") for name in measures]
    rows = [
        (
            row["name"],
            f"{row['steps']:,.0f}",
            f"{row['cpu_seconds']:,.0f} s",
            f"{row['labels']:,.0f}",
            *(cell(row, name) for name in measures),
        )
        for _, row in found.iterrows()
    ]
    title = f"Median and range of {found['seeds'].max()} seeds"
    table(title, ("Pretraining", "Steps", "CPU time", "Labels seen", *heads), rows)
