"""``jetlab study generators``: systems that generate jets, trained at equal compute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jetlab.cli._terminal import announce, next_command, table, wrote
from jetlab.cli._training import AtMost, Data, HeldOut, Only, keep_study, load, stopped_early

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["generators"]


def generators(
    data: Data,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for trainings, tables and the figure.")],
    systems: Annotated[
        str, typer.Option(help="Of gpt, pet2, jepa-flow, jepa-tokens, flow, tokens.", show_default="all")
    ] = "",
    classes: Only = None,
    n: AtMost = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Processor time of each training [s].")] = 600.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 64,
    lr: Annotated[float, typer.Option(min=1e-9, help="Highest learning rate, but of GPT.")] = 1e-3,
    masked: Annotated[
        float, typer.Option(min=0.0, help="Weight of guessing hidden particles beside JEPA; 0 for pure JEPA.")
    ] = 0.0,
    prompt_steps: Annotated[int, typer.Option(min=1, help="Steps of the model of whole jets, beside the time.")] = 500,
    generated: Annotated[int, typer.Option(min=2, help="Jets of each class, generated and true.")] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions.")] = 3,
    held_out: HeldOut = None,
) -> None:
    """Compare OmniJet-alpha, OmniLearned and JEPA's encoder with either head as generators, at equal processor time.

    Ctrl-C ends it; what is finished is kept, and the same command goes on.
    """
    from jetlab.plots import generators_figure
    from jetlab.tasks.generator_study import GeneratorEffort, generator_study, generator_table
    from jetlab.tasks.generators import SYSTEMS

    asked = tuple(word.strip() for word in systems.split(",") if word.strip()) or tuple(SYSTEMS)
    effort = GeneratorEffort(
        seconds=seconds, batch_size=batch_size, lr=lr, masked=masked, prompt_steps=prompt_steps, jets=generated,
        seeds=seeds,
    )  # fmt: skip
    train, test = load(data, n=n, classes=classes, held_out=held_out, seed=0)
    announce(f"{len(asked)} systems learn from {len(train):,} jets, measured with {len(test):,}, {seeds} seeds")
    study = generator_study(train, test, out=out, systems=asked, effort=effort, announce=announce)
    if study.training.empty:
        announce("Stopped before the first result")
        raise typer.Exit(130)
    found = generator_table(study)
    tables = {"table": found, "training": study.training, "quality": study.quality}
    keep_study(out, "generators", tables, generators_figure(found), train=train, test=test)
    _show(found)
    wrote(out)
    if not study.complete:
        stopped_early()
    next_command("jetlab train omnilearned --help")


def _show(found: pd.DataFrame) -> None:
    names = [name.removesuffix("_low") for name in found.columns if name.endswith("_low")]
    rows = [
        (
            str(row["name"]),
            f"{row['cpu_seconds']:,.0f}",
            *(f"{row[name]:.1f} [{row[f'{name}_low']:.1f}, {row[f'{name}_high']:.1f}]" for name in names),
        )
        for _, row in found.iterrows()
    ]
    table("Distance over its floor, median of the classes", ("System", "CPU-s", *names), rows)
