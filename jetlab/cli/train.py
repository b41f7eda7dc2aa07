"""``jetlab train``: train a model on files of jets; interrupted, the same command goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jetlab.cli import _train_alpha, _train_jepa, _train_omnilearned, _train_tagger, _train_tokenizer, _train_writer
from jetlab.cli._card import omnijet_card, save_curves
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

if TYPE_CHECKING:
    from jetlab.tasks.omnijet import OmniJetTraining
    from jetlab.train import Run

__all__ = ["app"]

app = typer.Typer(help="Train a model.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the name of the model a word of its own, also while there is only one."""


app.command("alpha")(_train_alpha.alpha)
app.command("jepa")(_train_jepa.jepa)
app.command("omnilearned")(_train_omnilearned.omnilearned)
app.command("tagger")(_train_tagger.tagger)
app.command("tokenizer")(_train_tokenizer.tokenizer)
app.command("writer")(_train_writer.writer)


@app.command("omnijet")
def omnijet(
    data: Data,
    *,
    out: ModelFolder,
    classes: Only = None,
    n: AtMost = None,
    preset: Annotated[str, typer.Option(help="Sizes of the networks.")] = "tiny",
    tokenizer_steps: Annotated[int, typer.Option(min=1, help="Steps of the first stage.")] = 4000,
    prompt_steps: Annotated[int, typer.Option(min=1, help="Steps of the second stage.")] = 2000,
    generator_steps: Annotated[int, typer.Option(min=1, help="Steps of the third stage.")] = 10_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 128,
    precision: Precision = Numbers.fp32,
    device: Device = "auto",
    held_out: HeldOut = None,
    seed: Seed = 0,
) -> None:
    """Train an OmniJet-alpha: a tokenizer, a model of prompts, and a generator of tokens.

    Ctrl-C ends it after the present step; the same command goes on from there to the same numbers.
    """
    from jetlab.tasks.omnijet import train_omnijet
    from jetlab.zoo import save_pretrained

    train, valid = load(data, n=n, classes=classes, held_out=held_out, seed=seed)
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
        interrupted(out)
    show(_runs(training))
    provenance = {
        "description": "OmniJet-alpha in small: generates jets of a class asked for.",
        "task": "generation",
        "classes": list(train.class_counts()),
        **origin(_runs(training), train, valid, seed=seed),
    }
    card = omnijet_card("model", training.model, provenance)
    model = save_pretrained(training.model, out / "model", card=card, provenance=provenance, precision="fp16")
    save_curves(model, _runs(training))
    wrote(model)
    next_command(f"jetlab models measure {model} --write")


def _runs(training: OmniJetTraining) -> dict[str, Run]:
    return {"tokenizer": training.tokenizer, "prompts": training.prompts, "generator": training.generator}
