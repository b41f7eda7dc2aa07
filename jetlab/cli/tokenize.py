"""``jetlab tokenize``: jets to codes, into a file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from jetlab.cli._options import class_names
from jetlab.cli._terminal import announce, facts, next_command, wrote

__all__ = ["tokenize"]


def tokenize(
    data: Annotated[list[str], typer.Argument(help="Jets: files, folders, or 'sample'.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, .parquet.", show_default=False)],
    tokenizer: Annotated[
        str,
        typer.Option("--tokenizer", "-t", help="Name or folder of a trained tokenizer or of a model that has one."),
    ] = "omnijet-tiny",
    classes: Annotated[str | None, typer.Option("--classes", "-c", help="Take these only.", show_default="all")] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="Take this many jets.", show_default="all")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets at once.")] = 512,
    seed: Annotated[int, typer.Option("--seed", "-s", min=0, help="Which jets, if not all are taken.")] = 0,
) -> None:
    """Turn jets into codes, one a constituent: a list of whole numbers a jet, with its class."""
    from jetlab import __version__
    from jetlab.data import load_jets
    from jetlab.evaluate.codebook import codebook_usage
    from jetlab.tasks.alpha import tokenizer_of
    from jetlab.zoo.tokens import check_tokens_target, write_tokens

    check_tokens_target(out)
    found = tokenizer_of(tokenizer)
    jets = load_jets(data if len(data) > 1 else data[0], n=n, classes=classes and class_names(classes), seed=seed)
    announce(f"Tokenizing {len(jets):,} jets with {tokenizer} ({found.codebook_size:,} codes)")
    tokens = found.encode(jets, batch_size=batch_size)
    provenance = {
        "command": shlex.join(["jetlab", *sys.argv[1:]]),
        "model": tokenizer,
        "versions": {"jetlab": __version__},
    }
    write_tokens(tokens, out, tokenizer=found, provenance=provenance)
    usage = codebook_usage(tokens).loc["all"]
    facts(
        {
            "Codes": f"{usage['tokens']:,.0f}, {usage['tokens'] / len(tokens):.1f} a jet",
            "Used": f"{usage['used']:,.0f} of {found.codebook_size:,}",
            "Perplexity": f"{usage['perplexity']:,.0f}",
        }
    )
    wrote(out)
    next_command(f"jetlab train alpha {data[0]} --tokenizer {tokenizer} --out alpha")
