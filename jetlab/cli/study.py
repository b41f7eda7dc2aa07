"""``jetlab study``: measurements that take many trainings, with seeds and bands."""

from __future__ import annotations

import typer

from jetlab.cli._study_calls import calls
from jetlab.cli._study_generation import generation
from jetlab.cli._study_generators import generators
from jetlab.cli._study_jetnet import jetnet
from jetlab.cli._study_pretraining import pretraining
from jetlab.cli._study_steps import steps
from jetlab.cli._study_tokens import tokens
from jetlab.cli._study_transfer import transfer

__all__ = ["app"]

app = typer.Typer(help="Measure with many trainings, with seeds and bands.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the name of the study a word of its own."""


app.command("calls")(calls)
app.command("generation")(generation)
app.command("generators")(generators)
app.command("jetnet")(jetnet)
app.command("pretraining")(pretraining)
app.command("steps")(steps)
app.command("tokens")(tokens)
app.command("transfer")(transfer)
