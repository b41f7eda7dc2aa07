"""``jetlab train``: train a model on files of jets; interrupted, the same command goes on."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jetlab.cli._card import machine, omnijet_card, save_curves
from jetlab.cli._options import Seed, class_names
from jetlab.cli._terminal import announce, next_command, table, wrote

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.tasks.omnijet import OmniJetTraining

__all__ = ["app"]

app = typer.Typer(help="Train a model.", no_args_is_help=True)

HELD_OUT = 20
"""Without a column ``split``, every so many-th jet is kept for validation."""


class Precision(StrEnum):
    """Numbers that the network computes in."""

    fp32 = "fp32"
    bf16 = "bf16"


@app.callback()
def _group() -> None:
    """Keep the name of the model a word of its own, also while there is only one."""


@app.command("omnijet")
def omnijet(
    data: Annotated[list[str], typer.Argument(help="Jets to learn from: files, folders, or 'sample'.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model and its checkpoints.")],
    classes: Annotated[
        str | None, typer.Option("--classes", "-c", help="Learn these only.", show_default="all")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", min=2, help="Use this many jets.", show_default="all")] = None,
    preset: Annotated[str, typer.Option(help="Sizes of the networks.")] = "tiny",
    tokenizer_steps: Annotated[int, typer.Option(min=1, help="Steps of the first stage.")] = 4000,
    prompt_steps: Annotated[int, typer.Option(min=1, help="Steps of the second stage.")] = 2000,
    generator_steps: Annotated[int, typer.Option(min=1, help="Steps of the third stage.")] = 10_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 128,
    precision: Annotated[Precision, typer.Option(help="bf16 is faster where the chip has it.")] = Precision.fp32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    held_out: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=0.5, help="Watch this share of the jets and learn from all others.", show_default="as marked"
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Train an OmniJet-alpha: a tokenizer, a model of prompts, and a generator of tokens.

    Ctrl-C ends it after the present step; the same command goes on from there to the same numbers.
    """
    from jetlab.data import load_jets
    from jetlab.tasks.omnijet import train_omnijet
    from jetlab.zoo import save_pretrained

    jets = load_jets(data if len(data) > 1 else data[0], n=n, classes=classes and class_names(classes), seed=seed)
    train, valid = _split(jets, held_out)
    announce(f"Training OmniJet ({preset}) on {len(train):,} jets, watched on {len(valid):,} (seed {seed})")
    training = train_omnijet(
        train,
        valid,
        out=out,
        preset=preset,
        tokenizer_steps=tokenizer_steps,
        prompt_steps=prompt_steps,
        generator_steps=generator_steps,
        batch_size=batch_size,
        precision=precision.value,
        device=device,
        seed=seed,
        progress=True,
    )
    if training is None or not training.generator.finished:
        announce(f"Stopped; checkpoints are in {out}")
        next_command(shlex.join(["jetlab", *sys.argv[1:]]))
        raise typer.Exit(130)
    _show(training)
    provenance = _provenance(training, train, valid, seed=seed)
    card = omnijet_card("model", training.model, provenance)
    model = save_pretrained(training.model, out / "model", card=card, provenance=provenance, precision="fp16")
    save_curves(model, _runs(training))
    wrote(model)
    next_command(f"jetlab models measure {model} --write")


def _split(jets: Jets, held_out: float | None) -> tuple[Jets, Jets]:
    """Jets to learn from and to watch; as marked in the file (without those for testing), or every so many-th."""
    import numpy as np

    if held_out is None and "split" in jets.info:
        return jets[jets.info["split"] == 0], jets[jets.info["split"] == 1]
    period = HELD_OUT if held_out is None else round(1 / held_out)
    watched = np.arange(len(jets)) % period == period - 1
    return jets[~watched], jets[watched]


def _runs(training: OmniJetTraining) -> dict[str, Any]:
    return {"tokenizer": training.tokenizer, "prompts": training.prompts, "generator": training.generator}


def _show(training: OmniJetTraining) -> None:
    rows = [
        (stage, f"{run.steps:,}", f"{run.seconds / 60:.1f} min", f"{run.best['loss']:.4g}" if run.best else "-")
        for stage, run in _runs(training).items()
    ]
    table("Training", ("Stage", "Steps", "Time", "Best validation loss"), rows)


def _provenance(training: OmniJetTraining, train: Jets, valid: Jets, *, seed: int) -> dict[str, Any]:
    """What a model folder says about how it came about."""
    from importlib.metadata import version

    from jetlab import __version__

    return {
        "description": "OmniJet-alpha in small: generates jets of a class asked for.",
        "task": "generation",
        "classes": list(train.class_counts()),
        "command": shlex.join(["jetlab", *sys.argv[1:]]),
        "seed": seed,
        "jets": {"train": len(train), "valid": len(valid)},
        "data": dict(train.meta),
        "steps": {stage: run.steps for stage, run in _runs(training).items()},
        "minutes": {stage: round(run.seconds / 60, 1) for stage, run in _runs(training).items()},
        "valid_loss": {stage: run.best["loss"] if run.best else None for stage, run in _runs(training).items()},
        "machine": machine(),
        "versions": {"jetlab": __version__, "torch": version("torch")},
    }
