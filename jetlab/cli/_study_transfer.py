"""``jetlab study transfer``: what pretraining is worth to a tagger, against the number of labelled jets."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jetlab.cli._options import class_names
from jetlab.cli._terminal import announce, next_command, progress, table, wrote
from jetlab.cli._training import Data, Device, Numbers, Precision, keep_provenance

if TYPE_CHECKING:
    import pandas as pd

    from jetlab.jets import Jets
    from jetlab.tasks.finetune import Mode

__all__ = ["asked_modes", "transfer"]

HIDDEN = (128,)
"""Hidden layers of the plain head; the published heads have none."""


def transfer(
    data: Data,
    *,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name or folder of a model that was pretrained without labels.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the points, the table and the figure.")],
    classes: Annotated[str, typer.Option("--classes", "-c", help="Classes to tell apart.")] = "QCD,Tbqq",
    sizes: Annotated[
        str, typer.Option(help="Labelled jets in all, joined by commas; 'all' for as many as there are.")
    ] = "100,300,1000,3000,10000,all",
    modes: Annotated[str, typer.Option(help="Ways to learn, joined by commas.")] = "scratch,frozen,fine-tuned",
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions, each with labelled jets of its own.")] = 3,
    test: Annotated[
        str | None,
        typer.Option(help="Jets that the model has not seen: a file, a folder, or 'sample'.", show_default="as marked"),
    ] = None,
    test_n: Annotated[
        int | None, typer.Option(min=2, help="Measure with so many of them, drawn at random.", show_default="all")
    ] = None,
    head: Annotated[str, typer.Option(help="mlp, summation or class-attention.")] = "mlp",
    max_steps: Annotated[int, typer.Option(min=1, help="Most steps of one training.")] = 400,
    watched: Annotated[
        int | None,
        typer.Option(min=2, help="Most labelled jets that say when to end.", show_default="a fifth of the labels"),
    ] = None,
    tune: Annotated[
        int, typer.Option(min=2, help="Up to this number of labels, learning rates are chosen among three.")
    ] = 1000,
    precision: Precision = Numbers.fp32,
    device: Device = "auto",
) -> None:
    """Train taggers from scratch, on the frozen model and fine-tuned, against the number of labelled jets.

    Ctrl-C ends it; finished points are kept, and the same command goes on with the others.
    """
    import numpy as np

    from jetlab.data import load_jets
    from jetlab.plots import transfer_curves
    from jetlab.tasks.transfer import Budget, summarise, transfer_curve, transfer_gain
    from jetlab.zoo import from_pretrained

    names = class_names(classes)
    jets = load_jets(data if len(data) > 1 else data[0], classes=names)
    learn, held_out = _parts(jets, None if test is None else load_jets(test, classes=names))
    if test_n is not None and test_n < len(held_out):
        held_out = held_out[np.sort(np.random.default_rng(0).permutation(len(held_out))[:test_n])]
    numbers, asked = _sizes(sizes, learn, names), asked_modes(modes)
    announce(f"Transfer of {model} to {', '.join(names)}: up to {max(numbers):,} labels, {len(held_out):,} test jets")
    with progress("Training taggers", unit="points") as report:
        points = transfer_curve(
            from_pretrained(model),
            learn,
            held_out,
            classes=names,
            sizes=numbers,
            modes=asked,
            seeds=seeds,
            head=head,
            hidden=HIDDEN if head == "mlp" else (),
            budget=Budget(max_steps=max_steps, watched=watched),
            tune=tune,
            precision=precision.value,
            device=device,
            out=out,
            progress=report,
        )
    if points.empty:
        announce("Stopped before the first point")
        raise typer.Exit(130)
    keep_provenance(out, learn, held_out)
    summary = summarise(points)
    _show(summary)
    _show_gain(transfer_gain(points))
    summary.to_csv(out / "summary.csv", index=False)
    for ending in ("png", "pdf"):
        transfer_curves(summary).savefig(out / f"transfer.{ending}")
    wrote(out)
    missing = len(numbers) * seeds * len(asked) - len(points)
    if missing > 0:
        announce(f"Stopped with {missing} points to go")
        next_command(shlex.join(["jetlab", *sys.argv[1:]]))
        raise typer.Exit(130)
    next_command("jetlab train tagger --help")


def _parts(jets: Jets, test: Jets | None) -> tuple[Jets, Jets]:
    """Jets to learn from, and jets to test on: those given, or as marked in the file."""
    if test is not None:
        return jets, test
    if "split" not in jets.info:
        msg = "these jets are not marked for testing; name jets that the model has not seen: --test FILE"
        raise typer.BadParameter(msg)
    marked = jets.info["split"] == 2
    return jets[~marked], jets[marked]


def _sizes(text: str, jets: Jets, classes: tuple[str, ...]) -> tuple[int, ...]:
    counts = jets.class_counts()
    every = len(classes) * min(counts[name] for name in classes)
    try:
        return tuple(every if word.strip() == "all" else int(word) for word in text.split(","))
    except ValueError:
        msg = f"expected numbers of jets joined by commas, or 'all'; found {text!r}"
        raise typer.BadParameter(msg, param_hint="--sizes") from None


def asked_modes(text: str) -> tuple[Mode, ...]:
    """Ways to learn that were asked for, in their usual order."""
    from jetlab.tasks.finetune import MODES

    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in MODES]:
        msg = f"unknown {', '.join(unknown)}; expected some of {', '.join(MODES)}"
        raise typer.BadParameter(msg, param_hint="--modes")
    return tuple(mode for mode in MODES if mode in words)


def _show(summary: pd.DataFrame) -> None:
    from jetlab.evaluate import with_uncertainty

    def cell(row: pd.Series, name: str) -> str:
        return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"

    rows = [
        (
            row["mode"],
            f"{row['labels']:,}",
            cell(row, "accuracy"),
            cell(row, "auc"),
            with_uncertainty(row["rejection_50"], row["rejection_50_err"]),
            f"{row['cpu_seconds']:.0f} s",
        )
        for _, row in summary.iterrows()
    ]
    title = f"Median and band ({summary['band'].iloc[0]}) of {summary['seeds'].max()} seeds"
    table(title, ("Mode", "Labels", "Accuracy", "AUC", "1/ε_B at 50 %", "CPU time"), rows)


def _show_gain(gain: pd.DataFrame) -> None:
    rows = [
        (
            row["mode"],
            f"{row['labels']:,}",
            f"{row['gain']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]",
            f"{row['better']:.0%}",
        )
        for _, row in gain.iterrows()
    ]
    if rows:
        table("AUC above that from scratch, on the same labels", ("Mode", "Labels", "Mean and range", "Seeds"), rows)
