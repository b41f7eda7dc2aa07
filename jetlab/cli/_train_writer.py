"""``jetlab train writer``: a JEPA encoder that writes jets, constituent by constituent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jetlab.cli._card import save_curves, training_section
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
    pretrained_encoder,
    show,
)

if TYPE_CHECKING:
    from jetlab.models.token_writer import TokenWriter

__all__ = ["writer", "writer_card"]


def writer(
    data: Data,
    *,
    out: ModelFolder,
    classes: Only = None,
    n: AtMost = None,
    preset: Annotated[str, typer.Option(help="Sizes of the encoder: tiny, small or medium.")] = "tiny",
    start: Annotated[
        str | None, typer.Option(help="Pretrained model whose encoder this one begins with: a name or folder.")
    ] = None,
    prompt_steps: Annotated[int, typer.Option(min=1, help="Steps of the model of whole jets.")] = 2000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the encoder and its head.")] = 10_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 128,
    lr: Annotated[float, typer.Option(min=0.0, help="Highest learning rate.")] = 1e-3,
    precision: Precision = Numbers.fp32,
    device: Device = "auto",
    held_out: HeldOut = None,
    seed: Seed = 0,
) -> None:
    """Train a JEPA encoder to say which constituent comes next, told class and kinematics of the jet.

    Ctrl-C ends it after the present step; the same command goes on from there to the same numbers.
    """
    from jetlab.tasks.token_writer import train_token_writer
    from jetlab.zoo import save_pretrained

    train, valid = load(data, n=n, classes=classes, held_out=held_out, seed=seed)
    announce(f"Training a token writer on {len(train):,} jets, watched on {len(valid):,} (seed {seed})")
    training = train_token_writer(
        train,
        valid,
        preset=preset,
        start=pretrained_encoder(start),
        prompt_steps=prompt_steps,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        precision=precision.value,
        device=device,
        seed=seed,
        out=out,
    )
    if training is None or not training.writer.finished:
        interrupted(out)
    runs = {"prompts": training.prompts, "encoder": training.writer}
    show(runs)
    provenance = {
        "description": "JEPA encoder that writes jets of a class asked for, constituent by constituent.",
        "task": "generation",
        "classes": list(train.class_counts()),
        **origin(runs, train, valid, seed=seed),
    }
    card = writer_card("model", training.model, provenance)
    folder = save_pretrained(training.model, out / "model", card=card, provenance=provenance, precision="fp16")
    save_curves(folder, runs)
    wrote(folder)
    next_command(f"jetlab generate --model {folder} --out generated.parquet")


def writer_card(name: str, model: TokenWriter, provenance: Mapping[str, Any]) -> str:
    """Write the card of a `TokenWriter` in Markdown; ``jetlab models measure --write`` adds its quality.

    Parameters
    ----------
    name : str
        Title of the card.
    model : TokenWriter
        The trained model.
    provenance : mapping
        Entries as in the ``config.json`` of the model.
    """
    encoder, grid = model.config.encoder, model.config.grid
    head = sum(p.numel() for p in model.head.parameters())
    return f"""# {name}

A JEPA encoder ([arXiv:2502.03933](https://arxiv.org/abs/2502.03933)) that writes jets of the classes
{", ".join(model.classes)}.

```python
import jetlab

jets = jetlab.generate("{name}", 1000, classes=["Tbqq"], seed=1)
```

## What it is

- **Prompts**: multiplicity, mass and pT of a jet of a class, drawn one after the other from binned distributions.
- **Tokens**: cells of a grid of {" x ".join(map(str, grid.bins))} bins in Δη, Δφ and log pT.
- **Encoder**: {encoder.depth} blocks of width {encoder.width} with {encoder.heads} heads, each constituent seeing the
  harder ones, told pT, mass and multiplicity; then {model.config.head_depth} blocks that are told the class too
  ({head:,} parameters with the last layer).

Jets come out around the axis η = φ = 0, of massless constituents without charge or type, at most
{model.max_constituents}. Weights are kept in half precision.

{training_section(model, provenance)}"""
