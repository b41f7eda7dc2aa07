"""``jetlab study generation``: how good a generator is, class by class, by every measure beside its floor."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jetlab.cli._card import machine
from jetlab.cli._options import Seed
from jetlab.cli._terminal import announce, next_command, progress, table, wrote

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["generation", "said_of"]

GENERATED = "generated.parquet"


def generation(
    name: Annotated[str, typer.Argument(help="Name or folder of a model that generates jets of classes.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the jets, the table and the figure.")],
    true: Annotated[
        str, typer.Option(help="True jets that it has not seen: a file, a folder, or 'sample'.")
    ] = "sample",
    split: Annotated[str, typer.Option(help="Part of them: train, valid, test, or all.")] = "all",
    n: Annotated[int, typer.Option("--n", "-n", min=2, help="Jets of each class, true and generated.")] = 1000,
    seeds: Annotated[int, typer.Option(min=0, help="Trainings of each classifier test; 0 for none.")] = 3,
    temperature: Annotated[float, typer.Option(min=0.0)] = 1.0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="From noise to jets, for models of flows.", show_default="16")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Measure generated jets of each class against true ones, and those rebuilt from tokens if the model has any.

    Wasserstein-1 distances of eight observables, Frechet and kernel physics distances, and a classifier test, each with
    its uncertainty and with what two samples of true jets of the same sizes give.
    """
    from jetlab.data import load_jets, write_jets
    from jetlab.evaluate import rebuild
    from jetlab.jets import concatenate
    from jetlab.plots import generation_quality
    from jetlab.samplers import generate
    from jetlab.tasks.generation import generation_table
    from jetlab.zoo import from_pretrained

    began = time.perf_counter()
    model: Any = from_pretrained(name)
    jets = load_jets(true, split=None if split == "all" else split)
    classes = [c for c in model.classes if c in jets.class_counts()]
    held = concatenate([jets[c][:n] for c in classes])
    announce(f"Measuring {name} against {len(held):,} true jets (seed {seed})")
    with progress("Generating") as report:
        ours = generate(
            model,
            n * len(classes),
            classes=classes,
            seed=seed,
            temperature=temperature,
            steps=steps,
            batch_size=500,
            progress=report,
        )
    out.mkdir(parents=True, exist_ok=True)
    write_jets(ours, out / GENERATED)
    tokenizer = getattr(model, "tokenizer", None)
    rebuilt = None if tokenizer is None else rebuild(tokenizer, held).jets
    with progress("Measuring", unit="parts") as report:
        found = generation_table(ours, held, rebuilt, seeds=range(seeds), seed=seed, progress=report)
    found.to_csv(out / "table.csv", index=False)
    said = said_of(name, n, seconds=time.perf_counter() - began, seed=seed, data=dict(jets.meta))
    (out / "provenance.json").write_text(json.dumps(said, indent=1, default=str) + "\n", encoding="utf-8")
    for ending in ("png", "pdf"):
        generation_quality(found).savefig(out / f"generation.{ending}")
    _show(found)
    wrote(out)
    next_command(f"jetlab compare {true} {out / GENERATED} --out report.html")


def said_of(name: str, n: int, *, seconds: float | None, seed: int, data: dict[str, Any]) -> dict[str, Any]:
    """What a study of a generator says about how it was made."""
    from importlib.metadata import version

    from jetlab import __version__

    return {
        "command": shlex.join(["jetlab", *sys.argv[1:]]),
        "model": name,
        "jets_per_class": n,
        "seed": seed,
        "data": data,
        "minutes": None if seconds is None else round(seconds / 60, 1),
        "machine": machine(),
        "versions": {"jetlab": __version__, "torch": version("torch")},
    }


def _show(found: pd.DataFrame) -> None:
    """Median over the classes and the worst class of each measure, in units of the spread of the floor."""
    from jetlab.evaluate import with_uncertainty

    rows = []
    for (against, measure), part in found.groupby(["against", "measure"], sort=False):
        worst = part.loc[part["z"].idxmax()] if part["z"].notna().any() else part.iloc[0]
        rows.append(
            (
                against,
                measure,
                f"{part['z'].median():.1f}",
                f"{worst['z']:.1f} ({worst['class']})",
                with_uncertainty(worst["value"], worst["error"]),
                with_uncertainty(worst["floor"], worst["floor_sd"]),
            )
        )
    table("z: above the floor, in its spreads", ("Against", "Measure", "Median z", "Worst z", "Value", "Floor"), rows)
