"""``jetlab data``: what is in a file of jets, and the same jets in another format."""

from __future__ import annotations

from typing import Annotated

import typer

from jetlab.cli._options import Out, Seed, class_names
from jetlab.cli._summary import show_jets
from jetlab.cli._terminal import announce, facts, next_command, wrote
from jetlab.cli.simulate import Layout

__all__ = ["app"]

app = typer.Typer(help="Look into files of jets, or convert them.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(help="A file, a folder, or 'sample'.")]


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
    layout: Annotated[
        Layout, typer.Option(help="jetclass: the columns of JetClass; compact: a third of the size, .parquet only")
    ] = Layout.jetclass,
    classes: Annotated[str | None, typer.Option("--classes", "-c", help="Keep these only.", show_default="all")] = None,
    n: Annotated[
        int | None, typer.Option("--n", "-n", min=1, help="Keep this many in total.", show_default="all")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Write jets of any known format as .parquet or .root, with their provenance."""
    from jetlab.data import load_jets, write_jets

    announce(f"Converting {source} to {out}")
    jets = load_jets(source, n=n, classes=None if classes is None else class_names(classes), seed=seed)
    write_jets(jets, out, layout=layout.value)
    show_jets(jets)
    wrote(out)
