"""``jetlab train alpha``: a generator of the codes of a trained tokenizer."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from jetlab.cli._card import save_curves
from jetlab.cli._options import Seed
from jetlab.cli._terminal import announce, next_command, wrote
from jetlab.cli._training import (
    AtMost,
    Data,
    Device,
    HeldOut,
    ModelFolder,
    Numbers,
    Only,
    Precision,
    interrupted,
    load,
    origin,
    show,
)

__all__ = ["alpha"]


class Preset(StrEnum):
    """Sizes of the transformer."""

    published = "published"
    mini = "mini"
    tiny = "tiny"
    small = "small"
    modern = "modern"
    modern_tiny = "modern-tiny"


class Objective(StrEnum):
    """What is learned."""

    next = "next"
    joint = "joint"
    masked = "masked"


def alpha(
    data: Data,
    *,
    tokenizer: Annotated[
        str,
        typer.Option("--tokenizer", "-t", help="Name or folder of a trained tokenizer or of a model that has one."),
    ],
    out: ModelFolder,
    classes: Only = None,
    n: AtMost = None,
    preset: Annotated[Preset, typer.Option(help="Sizes; modern ones read continuous inputs.")] = Preset.tiny,
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Learn to be asked for classes, or learn their mixture.")
    ] = True,
    objective: Annotated[
        Objective,
        typer.Option(help="Next token, hidden constituents, or both (joint); the last two with modern presets."),
    ] = Objective.next,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the training.")] = 10_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 128,
    lr: Annotated[float, typer.Option(min=0.0, help="Highest learning rate.")] = 1e-3,
    precision: Precision = Numbers.fp32,
    device: Device = "auto",
    held_out: HeldOut = None,
    seed: Seed = 0,
) -> None:
    """Train the generator of an OmniJet-alpha on the codes of a trained tokenizer.

    Ctrl-C ends it after the present step; the same command goes on from there to the same numbers.
    """
    from jetlab.tasks.alpha import train_alpha
    from jetlab.zoo import save_pretrained

    train, valid = load(data, n=n, classes=classes, held_out=held_out, seed=seed)
    announce(f"Training OmniJet-alpha ({preset.value}) on {len(train):,} jets, watched on {len(valid):,} (seed {seed})")
    model, run = train_alpha(
        train,
        valid,
        tokenizer=tokenizer,
        preset=preset.value,
        labels=labels,
        objective=objective.value,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        precision=precision.value,
        device=device,
        seed=seed,
        out=out / "generator",
        progress=True,
    )
    if not run.finished:
        interrupted(out)
    show({"generator": run})
    asked = ", of a class asked for" if labels else ""
    provenance = {
        "description": f"OmniJet-alpha ({preset.value}): generates jets token by token{asked}.",
        "task": "generation",
        "classes": list(train.class_counts()),
        "tokenizer": tokenizer,
        "objective": objective.value,
        **origin({"generator": run}, train, valid, seed=seed),
    }
    folder = save_pretrained(model, out / "model", provenance=provenance)
    save_curves(folder, {"generator": run})
    wrote(folder)
    next_command(f"jetlab generate --model {folder} --out generated.parquet")
