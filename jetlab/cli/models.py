"""``jetlab models``: which trained models there are, and what is known about each."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jetlab.cli._options import Seed
from jetlab.cli._terminal import announce, facts, fail, markdown, next_command, note, progress, table, wrote
from jetlab.errors import JetLabError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["app"]

app = typer.Typer(
    help="List the trained models, show the card of one, measure how good it is, or verify an official checkpoint.",
    no_args_is_help=True,
)


USES = {
    "generation": "jetlab generate --model {name} --n 1000 --out generated.parquet",
    "pretraining": "jetlab train tagger train.parquet --model {name} --out my-tagger",
    "tagging": "jetlab train tagger train.parquet --model {name} --out my-tagger",
    "tokenization": "jetlab tokenize train.parquet --tokenizer {name} --out tokens.parquet",
}
"""What to do next with a model made for a task."""


@app.command("list")
def list_models() -> None:
    """List the models that can be loaded by name."""
    from jetlab.zoo import list_models as models

    found = models()
    rows = [
        (str(name), str(model["architecture"]), f"{model['parameters'] / 1e6:.2f} M", f"{model['size_mb']:.1f} MB")
        for name, model in found.iterrows()
    ]
    table("Models", ("Name", "Architecture", "Parameters", "Weights"), rows)
    next_command(f"jetlab models show {rows[0][0]}" if rows else "jetlab train --help")


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="Name or folder.")]) -> None:
    """Show the model card: what it does, how it was trained, how good it is and where it is not."""
    from jetlab.zoo import describe, model_card

    model = describe(name)
    markdown(model_card(name))
    facts({"Folder": model["path"], "Task": model["task"], "Classes": ", ".join(model["classes"])})
    next_command(USES.get(model["task"], USES["generation"]).format(name=name))


@app.command("measure")
def measure(
    name: Annotated[str, typer.Argument(help="Name or folder of a model that generates jets or classifies them.")],
    *,
    true: Annotated[
        str, typer.Option(help="True jets that it has not seen: a file, a folder, or 'sample'.")
    ] = "sample",
    split: Annotated[str, typer.Option(help="Part of them: train, valid, test, or all.")] = "test",
    n: Annotated[
        int | None, typer.Option("--n", "-n", min=1, help="Jets to generate.", show_default="as many as true ones")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0)] = 1.0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps from noise, for models that start there.", show_default="16")
    ] = None,
    seed: Seed = 0,
    write: Annotated[bool, typer.Option("--write", help="Put the result into the model card.")] = False,
) -> None:
    """Measure a model class by class: how far its jets are from true ones, and how well it names the class of jets."""
    from jetlab.data import load_jets
    from jetlab.models.jetflow import JetFlow
    from jetlab.models.tagger import Tagger
    from jetlab.tasks.quality import generator_quality
    from jetlab.tasks.recognition import recognition
    from jetlab.zoo import from_pretrained, write_section

    jets = load_jets(true, split=None if split == "all" else split)
    announce(f"Measuring {name} against {len(jets):,} true jets (seed {seed})")
    model = from_pretrained(name)
    command = shlex.join(["jetlab", *sys.argv[1:]]).removesuffix(" --write")
    sections = {}
    if not isinstance(model, Tagger):
        with progress("Generating") as report:
            quality = generator_quality(
                model, jets, n=n, seed=seed, temperature=temperature, steps=steps, progress=report
            )
        sections["Quality"] = quality.report(command)
    if isinstance(model, Tagger | JetFlow):
        with progress("Classifying") as report:
            sections["Recognition"] = recognition(model, jets, progress=report).report(command)
    for title, text in sections.items():
        markdown(text)
        if write:
            wrote(write_section(name, title, text))
    next_command(f"jetlab models show {name}")


@app.command("verify")
def verify(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders with a checkpoint, io.npz (what the original computes) and meta.json (what it is)."
        ),
    ],
) -> None:
    """Load official checkpoints and compare what they compute with what the original computed.

    Ends with status 1 if anything differs by more than its tolerance, or if there was nothing to compare.
    """
    from jetlab.zoo.verify import verify as verified

    failed = []
    for folder in folders:
        announce(f"Verifying {folder}")
        try:
            passed = _show_verified(verified(folder))
        except JetLabError as error:
            fail(str(error))
            passed = False
        failed += [] if passed else [str(folder)]
    if failed:
        fail(f"{len(failed)} of {len(folders)} folders do not pass: {', '.join(failed)}")
        raise typer.Exit(1)
    announce(f"{'All folders pass' if len(folders) > 1 else 'The folder passes'}: {len(folders)}")


def _show_verified(found: pd.DataFrame) -> bool:
    """Show the comparison of a folder; whether it passes."""
    done = found[found["status"].isin(["pass", "fail"])]
    numbers = ("difference", "relative", "tolerance")
    rows = [
        (str(name), row["shape"], *(f"{row[number]:.1e}" for number in numbers), row["status"])
        for name, row in done.iterrows()
    ]
    table("Stored arrays", ("Array", "Shape", "Largest difference", "Relative", "Tolerance", "Verdict"), rows)
    left = found[found["status"].isin(["not compared", "input"])]
    for (status, why), part in left.groupby(["status", "note"], sort=False):
        note(f"{'Input' if status == 'input' else 'Not compared'}, {why}: {', '.join(map(str, part.index))}")
    bad = [f"{name} ({row['note'] or 'differs'})" for name, row in done.iterrows() if row["status"] == "fail"]
    if bad:
        fail(f"these arrays are not reproduced: {', '.join(bad)}")
    if done.empty:
        fail("there is nothing to compare: no stored array is one that jetlab computes")
    return not bad and not done.empty
