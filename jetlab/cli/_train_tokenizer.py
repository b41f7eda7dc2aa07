"""``jetlab train tokenizer``: a tokenizer alone, of any kind and size."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.models.tokenizers import Tokenizer
    from jetlab.train import Run

__all__ = ["tokenizer", "tokenizer_card"]

MEASURED = ("mass", "pt", "constituent_pt", "constituent_deta", "constituent_dphi")
"""Quantities of the card."""


class Kind(StrEnum):
    """Kinds of tokenizers."""

    normformer = "normformer"
    mlp = "mlp"
    fsq = "fsq"
    binned = "binned"


class Preset(StrEnum):
    """Sizes of the networks."""

    published = "published"
    tiny = "tiny"


TITLES = {
    Kind.normformer: "conditional VQ-VAE: what a code stands for depends on the whole jet",
    Kind.mlp: "unconditional VQ-VAE: each constituent by itself",
    Kind.fsq: "conditional tokenizer with finite scalar quantization",
    Kind.binned: "grid of bins of equal width",
}


def tokenizer(
    data: Data,
    *,
    out: ModelFolder,
    kind: Annotated[
        Kind, typer.Option("--kind", "-k", help="Whole jet (normformer, fsq), constituents alone (mlp), or a grid.")
    ] = Kind.normformer,
    codes: Annotated[
        int | None,
        typer.Option(min=8, help="Size of the codebook; fsq and binned come near to it.", show_default="by preset"),
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Sizes of the networks and how they learn.")] = Preset.tiny,
    classes: Only = None,
    n: AtMost = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the training.")] = 4000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 128,
    lr: Annotated[float, typer.Option(min=0.0, help="Highest learning rate.")] = 2e-3,
    precision: Precision = Numbers.fp32,
    device: Device = "auto",
    held_out: HeldOut = None,
    seed: Seed = 0,
) -> None:
    """Train a tokenizer, which turns jets into codes and back.

    Ctrl-C ends it after the present step; the same command goes on from there to the same numbers.
    """
    from jetlab.models.tokenizers import tokenizer_config
    from jetlab.tasks.tokenizers import train_tokenizer
    from jetlab.zoo import save_pretrained

    train, valid = load(data, n=n, classes=classes, held_out=held_out, seed=seed)
    config = tokenizer_config(kind.value, codes=codes, preset=preset.value)
    announce(
        f"Training a tokenizer ({kind.value}, {preset.value}, {config.codebook_size:,} codes) on {len(train):,} jets, "
        f"watched on {len(valid):,} (seed {seed})"
    )
    model, run = train_tokenizer(
        train,
        valid,
        config=config,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        precision=precision.value,
        device=device,
        seed=seed,
        out=out / "tokenizer",
        progress=True,
    )
    if not run.finished:
        interrupted(out)
    runs = {"tokenizer": run}
    show(runs)
    provenance = {
        "description": f"Tokenizer, {TITLES[kind]}; {config.codebook_size:,} codes.",
        "task": "tokenization",
        "classes": list(train.class_counts()) if train.label is not None else [],
        **origin(runs, train, valid, seed=seed),
    }
    card = tokenizer_card(model, run, valid, provenance)
    folder = save_pretrained(model, out / "model", card=card, provenance=provenance)
    if "loss" in run.history:
        save_curves(folder, runs)
    wrote(folder)
    next_command(f"jetlab tokenize {data[0]} --tokenizer {folder} --out tokens.parquet")


def tokenizer_card(model: Tokenizer, run: Run, valid: Jets, provenance: Mapping[str, Any]) -> str:
    """Write the card of a tokenizer in Markdown: what it is, how it was trained, and what it loses.

    Parameters
    ----------
    model : Tokenizer
        The trained tokenizer.
    run : Run
        Its training.
    valid : Jets
        Jets to measure it on, that it has not learned from.
    provenance : mapping
        Entries as in the ``config.json`` of the model.
    """
    import json

    from jetlab.evaluate import with_uncertainty
    from jetlab.evaluate.codebook import codebook_usage
    from jetlab.evaluate.resolution import QUANTITIES
    from jetlab.evaluate.tokens import rebuild, resolution

    rebuilt = rebuild(model.cpu(), valid)
    usage = codebook_usage(rebuilt.tokens).loc["all"]
    table = resolution(rebuilt, MEASURED, seed=provenance["seed"])
    rows = "\n".join(
        f"| {QUANTITIES[r.quantity].title} | {with_uncertainty(r.bias, r.bias_err)} | "
        f"{with_uncertainty(r.iqr, r.iqr_err)} |"
        for r in table[table["class"] == "all"].itertuples()
    )
    jets, data = provenance["jets"], provenance["data"]
    origin = ", ".join(f"{key} {data[key]}" for key in ("generator", "detector", "seed") if key in data) or "unknown"
    parameters = sum(p.numel() for p in model.parameters())
    curve = "![Loss of the tokenizer](tokenizer.png)\n\n" if "loss" in run.history else ""
    settings = json.dumps(model.config_dict(), indent=2)
    return f"""# model

{provenance["description"]}

```python
import jetlab

tokenizer = jetlab.from_pretrained("path/to/model")
tokens = tokenizer.encode(jets)
rebuilt = tokenizer.decode(tokens)
```

Jets come out around the axis η = φ = 0, of massless constituents; at most {model.recipe.max_particles} are kept.

## What it loses

{jets["valid"]:,} jets that it has not learned from. Of {model.codebook_size:,} codes {usage["used"]:,.0f} are used, as
many as {usage["perplexity"]:,.0f} equally frequent ones (perplexity).

| | median | interquartile range |
|---|---|---|
{rows}

## How it was trained

```console
{provenance["command"]}
```

Seed {provenance["seed"]}; {jets["train"]:,} jets to learn from ({origin}); {parameters:,} parameters, {run.steps:,}
steps, {run.seconds / 60:.1f} minutes on {provenance["machine"]}.

{curve}## Configuration

```json
{settings}
```
"""
