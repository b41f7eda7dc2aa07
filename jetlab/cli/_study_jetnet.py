"""``jetlab study jetnet``: generated jets by the measures of JetNet."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jetlab.cli._options import Seed, class_names
from jetlab.cli._study_generation import said_of
from jetlab.cli._terminal import announce, next_command, progress, table, wrote
from jetlab.errors import JetLabError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["jetnet"]

SIZES = (30, 150)
"""Hardest particles of the two data sets of JetNet."""


def jetnet(
    name: Annotated[str, typer.Argument(help="Name or folder of a model that generates jets.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the table.")],
    true: Annotated[
        str, typer.Option(help="True jets that it has not seen: a file, a folder, or 'sample'.")
    ] = "sample",
    split: Annotated[str, typer.Option(help="Part of them: train, valid, test, or all.")] = "all",
    n: Annotated[int, typer.Option("--n", "-n", min=100, help="Jets of each class, true and generated.")] = 1000,
    particles: Annotated[str, typer.Option(help="Hardest particles that count: 30, 150, or both.")] = "30,150",
    classes: Annotated[str | None, typer.Option("--classes", "-c", show_default="all it knows")] = None,
    network: Annotated[
        Path | None, typer.Option(help="pnet_state_dict.pt of the jetnet package, for FPND (30 particles).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="From noise to jets, for models of flows.", show_default="16")
    ] = None,
    matched: Annotated[
        int, typer.Option(min=2, help="Jets in each of the ten batches of coverage and matching, which are slow.")
    ] = 100,
    floors: Annotated[int, typer.Option(min=2, help="Comparisons of true with true jets.")] = 20,
    seed: Seed = 0,
) -> None:
    """Measure generated jets as JetNet does, each class by itself, beside what true jets differ by.

    W1-M, W1-P and W1-EFP, FPD and KPD, FPND if its network is given, coverage and matching by energy mover's distance.
    """
    import pandas as pd

    from jetlab.data import load_jets
    from jetlab.evaluate import JetNetPlan, jetnet_table
    from jetlab.jets import concatenate
    from jetlab.samplers import generate
    from jetlab.zoo import from_pretrained

    began, sizes = time.perf_counter(), _sizes(particles)
    model: Any = from_pretrained(name)
    describer: Any = None if network is None else from_pretrained(network)
    jets = load_jets(true, split=None if split == "all" else split)
    asked = class_names(classes) if classes else tuple(c for c in model.classes if c in jets.class_counts())
    held = concatenate([jets[c][:n] for c in asked])
    announce(f"Measuring {name} against {len(held):,} true jets (seed {seed})")
    with progress("Generating") as report:
        ours = generate(model, n * len(asked), classes=asked, seed=seed, steps=steps, progress=report)
    plan, parts = JetNetPlan(matched=matched, floors=floors), []
    for size in sizes:
        with progress(f"Measuring {size} particles", unit="classes") as report:
            network_of = describer if size == SIZES[0] else None
            found = jetnet_table(held, ours, particles=size, network=network_of, plan=plan, seed=seed, progress=report)
        found.insert(0, "particles", size)
        parts.append(found)
    made = pd.concat(parts, ignore_index=True)
    out.mkdir(parents=True, exist_ok=True)
    made.to_csv(out / "table.csv", index=False)
    about = said_of(name, n, seconds=time.perf_counter() - began, seed=seed, data=dict(jets.meta))
    (out / "provenance.json").write_text(json.dumps(about, indent=1, default=str) + "\n", encoding="utf-8")
    _show(made)
    wrote(out)
    next_command(f"jetlab study generation {name} --out generation")


def _sizes(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in map(str, SIZES)]:
        msg = (
            f"JetNet has jets of 30 and of 150 particles, found {', '.join(unknown)}; give --particles 30, 150 or both"
        )
        raise JetLabError(msg)
    return [int(word) for word in words]


def _show(found: pd.DataFrame) -> None:
    """Each measure with its error, and its floor."""
    from jetlab.evaluate import with_uncertainty

    for (size, name), part in found.groupby(["particles", "class"], sort=False):
        rows = [
            (r["measure"], with_uncertainty(r["value"], r["error"]), with_uncertainty(r["floor"], r["floor_sd"]),
             f"{r['z']:.1f}")
            for _, r in part.iterrows()
        ]  # fmt: skip
        table(f"{name}, {size} particles", ("Measure", "Generated", "Truth against truth", "z"), rows)
