"""``jetlab data``: public data sets, what is in a file of jets, and the same jets in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jetlab.cli._options import FileLayout, Layout, Out, Seed
from jetlab.cli._summary import show_jets
from jetlab.cli._terminal import announce, facts, next_command, progress, table, wrote

__all__ = ["app"]

app = typer.Typer(help="Public data sets; look into files of jets, or convert them.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(help="A file, a folder, or 'sample'.")]


@app.command("list")
def list_datasets() -> None:
    """List the public data sets that are known by name."""
    from jetlab.data import datasets

    known = datasets()
    rows = [
        (str(name), str(row["task"]), _millions(row["jets"]), str(row["classes"] or "none"))
        for name, row in known.iterrows()
    ]
    table("Public data sets", ("Name", "Task", "Million jets", "Classes"), rows)
    next_command("jetlab data fetch top-tagging --files 'val*'")


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a data set, see 'jetlab data list'.")],
    *,
    files: Annotated[
        str | None, typer.Option("--files", help="Only files of this name or pattern, such as '*val*'.")
    ] = None,
) -> None:
    """Download a public data set once, checked, into $JETLAB_DATA or the user's cache folder."""
    from jetlab.data import fetch as fetched
    from jetlab.data.catalog import dataset_named

    announce(f"Fetching {name} from {dataset_named(name).record or 'this package'}")
    paths = fetched(name, files)
    for path in paths:
        wrote(path)
    next_command(f"jetlab data show {paths[0]}")


@app.command("show")
def show(source: Source) -> None:
    """Show what a file holds: classes, numbers of jets, pT, mass, and where they come from."""
    from jetlab.data import load_jets

    jets = load_jets(source)
    announce(f"{source}: {len(jets):,} jets")
    show_jets(jets)
    facts({"Constituent fields": ", ".join(jets.fields), "Jet columns": ", ".join(jets.info) or "none", **jets.meta})
    next_command(f"jetlab data convert {source} --out jets{'.parquet' if source.endswith('.root') else '.root'}")


@app.command("convert")
def convert(
    source: Source,
    *,
    out: Out,
    layout: Layout = FileLayout.jetclass,
    classes: Annotated[str | None, typer.Option("--classes", "-c", help="Keep these only.", show_default="all")] = None,
    n: Annotated[
        int | None, typer.Option("--n", "-n", min=1, help="Keep this many in total.", show_default="all")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="Of a file of whole events, take these jets.", show_default="the usual")
    ] = None,
    puppi: Annotated[bool, typer.Option("--puppi", help="Scale constituents by their PUPPI weights.")] = False,
    seed: Seed = 0,
) -> None:
    """Write jets of any known format as .parquet, .root or .h5, with their provenance."""
    from jetlab.data import load_jets, write_jets

    announce(f"Converting {source} to {out}")
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    jets = load_jets(source, n=n, classes=names, seed=seed, collection=collection, puppi=puppi)
    write_jets(jets, out, layout=layout.value)
    show_jets(jets)
    wrote(out)


@app.command("flatten")
def flatten(
    sources: Annotated[list[str], typer.Argument(help="Files, folders or patterns, or the name of a data set.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.", show_default=False)],
    collection: Annotated[
        str | None, typer.Option(help="Of a file of whole events, take these jets.", show_default="the usual")
    ] = None,
    puppi: Annotated[bool, typer.Option("--puppi", help="Scale constituents by their PUPPI weights.")] = False,
) -> None:
    """Write any number of jets into a folder that is read as fast as the disk gives; interrupted, it goes on."""
    from jetlab.data import convert as converted

    announce(f"Converting {', '.join(sources)} to {out}")
    given = sources[0] if len(sources) == 1 else sources
    with progress("Converting") as report:
        converted(given, out, collection=collection, puppi=puppi, progress=report)
    wrote(out)
    next_command(f"jetlab data show {out}")


def _millions(jets: Any) -> str:
    import pandas as pd

    return "not known" if pd.isna(jets) else f"{jets / 1e6:.4g}"
