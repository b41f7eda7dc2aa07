"""``jetlab generate``: jets from a trained model, into a file."""

from __future__ import annotations

from typing import Annotated

import typer

from jetlab.cli._options import Classes, Count, Out, Seed, class_names
from jetlab.cli._summary import show_jets
from jetlab.cli._terminal import announce, next_command, progress, wrote

__all__ = ["generate"]


def generate(
    *,
    out: Out,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name (see jetlab models list) or folder.")
    ] = "omnijet-tiny",
    classes: Classes = "all",
    n: Count = 1000,
    seed: Seed = 0,
    temperature: Annotated[float, typer.Option(min=0.0, help="Below 1: closer to the most probable jets.")] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Draw from the k likeliest tokens only.", show_default="all")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets generated side by side.")] = 100,
) -> None:
    """Generate jets with a trained model."""
    from jetlab.data import write_jets
    from jetlab.samplers import generate as generate_jets
    from jetlab.zoo import from_pretrained

    names = class_names(classes)
    announce(f"Generating {n:,} jets of {', '.join(names)} with {model} (seed {seed})")
    loaded = from_pretrained(model)
    with progress("Generating") as report:
        jets = generate_jets(
            loaded,
            n,
            classes=names,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            batch_size=batch_size,
            progress=report,
        )
    write_jets(jets, out)
    show_jets(jets)
    wrote(out)
    next_command(f"jetlab compare sample {out} --out report.html")
