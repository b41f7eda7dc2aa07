"""``jetlab study steps``: what pretraining saves in steps and in processor time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jetlab.cli._options import class_names
from jetlab.cli._study_transfer import asked_modes
from jetlab.cli._terminal import announce, next_command, table, wrote
from jetlab.cli._training import AtMost, Data, Device, HeldOut, Numbers, Precision, keep_provenance, load, stopped_early

__all__ = ["steps"]


def steps(
    data: Data,
    *,
    model: Annotated[str, typer.Option("--model", "-m", help="Name or folder of a pretrained model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the curves, the table and the figure.")],
    classes: Annotated[str, typer.Option("--classes", "-c", help="Classes to tell apart.")] = "QCD,Tbqq",
    n: AtMost = None,
    modes: Annotated[str, typer.Option(help="Ways to learn, joined by commas.")] = "scratch,fine-tuned",
    updates: Annotated[int, typer.Option("--steps", min=20, help="Updates of each training.")] = 1000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 64,
    lr: Annotated[float, typer.Option(min=1e-9, help="Highest learning rate.")] = 1e-3,
    backbone_lr: Annotated[
        float | None, typer.Option(min=1e-9, help="Of all but the head.", show_default="as the head")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions.")] = 3,
    precision: Precision = Numbers.fp32,
    device: Device = "auto",
    held_out: HeldOut = None,
) -> None:
    """Train taggers from scratch and from a pretrained model alike, and compare at equal steps and equal compute.

    Ctrl-C ends it; finished trainings are kept, and the same command goes on with the others.
    """
    from jetlab.plots import learning_curves as draw
    from jetlab.tasks.finetune import Learning
    from jetlab.tasks.learning_curves import learning_curves, steps_saved
    from jetlab.zoo import from_pretrained

    names, asked = class_names(classes), asked_modes(modes)
    train, valid = load(data, n=n, classes=classes, held_out=held_out, seed=0)
    announce(f"{model} and {', '.join(names)}: {len(train):,} jets to learn from, {len(valid):,} to watch")
    learning = Learning(
        updates, batch_size=batch_size, lr=lr, backbone_lr=backbone_lr, patience=None, precision=precision.value,
        device=device,
    )  # fmt: skip
    curves = learning_curves(
        from_pretrained(model), train, valid, classes=names, modes=asked, learning=learning, seeds=seeds, out=out,
        announce=announce,
    )  # fmt: skip
    if curves.empty:
        announce("Stopped before the first training was finished")
        raise typer.Exit(130)
    keep_provenance(out, train, valid)
    saved = steps_saved(curves)
    curves.to_csv(out / "curves.csv", index=False)
    saved.to_csv(out / "saved.csv", index=False)
    for ending in ("png", "pdf"):
        draw(curves).savefig(out / f"steps.{ending}")
    rows = [
        (row["mode"], f"{row['seed']}", f"{row['target']:.4f}", f"{row['steps']:.0%}", f"{row['compute']:.0%}")
        for _, row in saved.iterrows()
    ]
    table("Needed for the best from scratch", ("Mode", "Seed", "Loss", "Steps", "Compute"), rows)
    wrote(out)
    if len(curves.groupby(["mode", "seed"])) < len(asked) * seeds:
        stopped_early()
    next_command("jetlab study transfer --help")
