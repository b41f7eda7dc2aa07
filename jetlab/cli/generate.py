"""``jetlab generate``: jets from a trained model, into a file."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from jetlab.cli._options import Count, Out, Seed, class_names
from jetlab.cli._summary import show_jets
from jetlab.cli._terminal import announce, next_command, progress, wrote

__all__ = ["generate"]


class Method(StrEnum):
    """Ways to take a step from noise to jets: with two network calls, or one (euler, ancestral)."""

    midpoint = "midpoint"
    heun = "heun"
    euler = "euler"
    ddim = "ddim"
    ancestral = "ancestral"


def generate(
    *,
    out: Out,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name (see jetlab models list) or folder.")
    ] = "omnijet-tiny",
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", "-c", help="all, or class names joined by commas: QCD,Hbb,Tbqq", show_default="all it knows"
        ),
    ] = None,
    n: Count = 1000,
    seed: Seed = 0,
    temperature: Annotated[float, typer.Option(min=0.0, help="Below 1: closer to the most probable jets.")] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Draw from the k likeliest tokens only.", show_default="all")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Draw from the likeliest tokens of this probability.", show_default="1"),
    ] = None,
    stop_bias: Annotated[float, typer.Option(help="Above 0: shorter jets, below 0: longer ones.")] = 0.0,
    pt: Annotated[float | None, typer.Option(help="Ask for this pT in GeV.", show_default="as in the class")] = None,
    mass: Annotated[
        float | None, typer.Option(help="Ask for this mass in GeV.", show_default="as in the class")
    ] = None,
    multiplicity: Annotated[
        int | None, typer.Option(help="Ask for so many constituents.", show_default="as in the class")
    ] = None,
    min_constituents: Annotated[int, typer.Option(min=1, help="No jets of fewer constituents.")] = 1,
    max_constituents: Annotated[
        int | None, typer.Option(min=1, help="No jets of more constituents.", show_default="as the model can")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="From noise to jets, for models of flows.", show_default="16")
    ] = None,
    method: Annotated[Method | None, typer.Option(help="How such a step is taken.", show_default="by model")] = None,
    guidance: Annotated[float, typer.Option(help="Further away from jets of any class, for diffusion.")] = 0.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets generated side by side.")] = 100,
) -> None:
    """Generate jets with a trained model."""
    from jetlab.data import write_jets
    from jetlab.samplers import generate as generate_jets
    from jetlab.zoo import from_pretrained

    names = None if classes is None else class_names(classes)
    announce(f"Generating {n:,} jets{'' if names is None else ' of ' + ', '.join(names)} with {model} (seed {seed})")
    loaded = from_pretrained(model)
    with progress("Generating") as report:
        jets = generate_jets(
            loaded,
            n,
            classes=names,
            pt=pt,
            mass=mass,
            multiplicity=multiplicity,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop_bias=stop_bias,
            min_constituents=min_constituents,
            max_constituents=max_constituents,
            steps=steps,
            method=None if method is None else method.value,
            guidance=guidance,
            batch_size=batch_size,
            progress=report,
        )
    write_jets(jets, out)
    show_jets(jets)
    wrote(out)
    next_command(f"jetlab compare sample {out} --out report.html")
