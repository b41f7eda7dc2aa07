"""``jetlab models``: which trained models there are, and what is known about each."""

from __future__ import annotations

from typing import Annotated

import typer

from jetlab.cli._terminal import facts, markdown, next_command, table

__all__ = ["app"]

app = typer.Typer(help="List the trained models, or show the card of one.", no_args_is_help=True)


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
    from jetlab.zoo import describe

    model = describe(name)
    markdown(model["card"])
    facts({"Folder": model["path"], "Task": model["task"], "Classes": ", ".join(model["classes"])})
    next_command(f"jetlab generate --model {name} --n 1000 --out generated.parquet")
