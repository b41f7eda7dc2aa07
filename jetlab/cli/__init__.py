"""The command line: one verb a file, the same verbs as the Python package.

Each verb imports what it needs when it runs, so that ``jetlab --help`` is fast.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from jetlab.cli import compare, dashboard, data, generate, models, simulate, study, tokenize, train
from jetlab.cli._terminal import fail
from jetlab.errors import JetLabError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Jet foundation models: simulate, train, generate, compare.",
    epilog="Errors are short; add --debug to any command to see where they come from.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

app.command("simulate")(simulate.simulate)
app.add_typer(train.app, name="train")
app.command("tokenize")(tokenize.tokenize)
app.command("generate")(generate.generate)
app.command("compare")(compare.compare)
app.add_typer(study.app, name="study")
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.command("dashboard")(dashboard.dashboard)


def _show_version(asked: bool) -> None:
    if asked:
        from jetlab import __version__

        typer.echo(f"jetlab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Accept the options that belong to every verb; `main` has already acted on --debug."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors are shown in one sentence and end it with status 1.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        app(words, prog_name="jetlab")
    except Exception as error:
        if debug:
            raise
        fail(_sentence(error))
        raise SystemExit(1) from None


def _sentence(error: Exception) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, JetLabError | OSError) or (isinstance(error, KeyError) and " " in text):
        return text
    return f"{type(error).__name__}: {text}\nThis was not expected; add --debug to see where it comes from"
