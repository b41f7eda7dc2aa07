"""``jetlab study calls``: how good jets of a flow or diffusion model are for so many network calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jetlab.cli._options import Seed
from jetlab.cli._study_generation import said_of
from jetlab.cli._terminal import announce, next_command, table, wrote
from jetlab.errors import JetLabError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["calls"]


def calls(
    name: Annotated[str, typer.Argument(help="Name or folder of a model that generates jets from noise.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the table and the figure.")],
    true: Annotated[
        str, typer.Option(help="True jets that it has not seen: a file, a folder, or 'sample'.")
    ] = "sample",
    split: Annotated[str, typer.Option(help="Part of them: train, valid, test, or all.")] = "all",
    n: Annotated[int, typer.Option("--n", "-n", min=2, help="Jets of each class, true and generated.")] = 100,
    numbers: Annotated[str, typer.Option("--calls", help="Network calls, joined by commas.")] = "4,8,16,32,64,254",
    methods: Annotated[str, typer.Option(help="Ways to take a step, joined by commas.", show_default="all")] = "",
    classes: Annotated[str, typer.Option(help="Class names joined by commas.", show_default="all it knows")] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="Jets at once.")] = 64,
    seed: Seed = 0,
) -> None:
    """Generate the same jets with more and fewer network calls, by every method, and measure each against true jets.

    Ctrl-C ends it; what is finished is kept, and the same command goes on with the rest.
    """
    from jetlab.data import load_jets
    from jetlab.jets import concatenate
    from jetlab.models.jetflow import JetFlow
    from jetlab.plots import quality_by_calls
    from jetlab.tasks.sampling import paths_for, sampling_study
    from jetlab.zoo import from_pretrained

    model: Any = from_pretrained(name)
    if not isinstance(model, JetFlow):
        msg = f"{name} writes one token after the other; network calls are a choice for models of flows and diffusion"
        raise JetLabError(msg)
    jets = load_jets(true, split=None if split == "all" else split)
    asked = [word for word in classes.split(",") if word] or list(model.classes)
    held = concatenate([jets[c][:n] for c in asked if c in jets.class_counts()])
    ways = [word.strip() for word in methods.split(",") if word.strip()] or None
    paths = paths_for(model.config.process, [int(word) for word in numbers.split(",")], methods=ways)
    announce(f"{len(paths)} ways to generate {len(held):,} jets with {name} (seed {seed})")
    found = sampling_study(
        model, held, paths, seed=seed, batch_size=batch_size, out=out / "paths", progress=True, announce=announce
    )
    found.to_csv(out / "table.csv", index=False)
    about = said_of(name, n, seconds=None, seed=seed, data=dict(jets.meta))
    (out / "provenance.json").write_text(json.dumps(about, indent=1, default=str) + "\n", encoding="utf-8")
    for ending in ("png", "pdf"):
        quality_by_calls(found).savefig(out / f"calls.{ending}")
    _show(found)
    wrote(out)
    next_command(f"jetlab generate --model {name} --steps {paths[0].steps} --out generated.parquet")


def _show(found: pd.DataFrame) -> None:
    """Mean distance over floor of each path, and its processor time."""
    measures = [m for m in dict.fromkeys(found["measure"]) if m.startswith("w1 ")]
    rows = []
    for (method, calls), part in found.groupby(["method", "calls"], sort=False):
        ratio = (part["value"] / part["floor"]).groupby(part["measure"]).mean()
        shown = (f"{ratio[m]:.2f}" for m in measures)
        rows.append((str(method), f"{calls}", f"{part['cpu_seconds'].iloc[0]:.3f}", *shown))
    heads = ("Method", "Calls", "CPU-s a jet", *(m.removeprefix("w1 ") for m in measures))
    table("Wasserstein distance over its floor, mean of the classes", heads, rows)
