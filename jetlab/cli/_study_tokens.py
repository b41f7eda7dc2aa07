"""``jetlab study tokens``: kinds and sizes of tokenizers, trained and measured alike."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jetlab.cli._card import machine
from jetlab.cli._options import Seed
from jetlab.cli._terminal import announce, next_command, table, wrote
from jetlab.cli._training import AtMost, Data, Numbers, Precision, stopped_early

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.tasks.token_study import TokenStudy, TokenSweep

__all__ = ["tokens"]

VALID, TEST = 4000, 20_000
"""Jets that trainings are watched on, and that are measured with unless another number is asked for."""

FIGURES = ("mass", "tau21", "tau32")


def tokens(
    data: Data,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tokenizers, tables and figures.")],
    kinds: Annotated[str, typer.Option(help="Kinds joined by commas.")] = "normformer,mlp,fsq,binned",
    codes: Annotated[str, typer.Option(help="Sizes of the codebook, joined by commas.")] = "512,2048",
    preset: Annotated[str, typer.Option(help="Sizes of the networks: tiny or published.")] = "tiny",
    steps: Annotated[int, typer.Option(min=1, help="Steps of each tokenizer.")] = 2000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step of a tokenizer.")] = 128,
    test: Annotated[
        int | None,
        typer.Option(
            min=100,
            help="Measure with this many jets, drawn at random, and learn from all others.",
            show_default="as marked in the file, or 20000",
        ),
    ] = None,
    n: AtMost = None,
    seeds: Annotated[int, typer.Option(min=0, help="Trainings of each classifier; 0 for none.")] = 3,
    classifier_steps: Annotated[int, typer.Option(min=1, help="Steps of each DeepSets classifier.")] = 1500,
    transformer_steps: Annotated[int, typer.Option(min=0, help="Steps of each transformer; 0 for none.")] = 1500,
    transformer_on: Annotated[
        str,
        typer.Option(
            help="Tokenizers that the transformer is tried on too, such as mlp-512.",
            show_default="largest of each kind",
        ),
    ] = "",
    classifier_jets: Annotated[int, typer.Option(min=20, help="Jets that classifiers learn from.")] = 40_000,
    precision: Precision = Numbers.fp32,
    seed: Seed = 0,
) -> None:
    """Train tokenizers of several kinds and sizes, and measure what each keeps.

    Ctrl-C ends it; what is finished is kept, and the same command goes on with the rest.
    """
    from jetlab.data import load_jets
    from jetlab.tasks.classifier_test import Classifier
    from jetlab.tasks.token_study import TokenSweep, token_study

    classifiers = [Classifier(steps=classifier_steps)]
    classifiers += [Classifier("transformer", steps=transformer_steps, batch_size=128)] if transformer_steps else []
    sweep = TokenSweep(
        kinds=_words(kinds),
        codes=_numbers(codes),
        preset=preset,
        steps=steps,
        batch_size=batch_size,
        precision=precision.value,
        seed=seed,
        classifiers=tuple(classifiers),
        seeds=tuple(range(seeds)),
        only=_words(transformer_on),
        classifier_jets=classifier_jets,
    )
    parts = _parts(load_jets(data if len(data) > 1 else data[0], n=n, seed=seed), test)
    sizes = " / ".join(f"{len(part):,}" for part in parts)
    announce(f"{len(sweep.names)} tokenizers on {sizes} jets to learn from, to watch and to measure with (seed {seed})")
    study = token_study(*parts, out=out, sweep=sweep, provenance=_provenance(parts[0]), announce=announce)
    _show(study)
    draw(study, out)
    wrote(out)
    if not study.complete:
        stopped_early()
    best = _best(study, sweep)
    next_command(f"jetlab tokenize FILE --tokenizer {out / best / 'tokenizer'} --out tokens.parquet")


def draw(study: TokenStudy, out: Path) -> None:
    """Write the figures of a study: the sweep, use of the codebooks, and for each tokenizer clouds and resolutions."""
    from jetlab import plots

    if not study.measures:
        return
    measures = [name for name in ("mass_iqr", "mass_bias", "accuracy") if name in study.table]
    figures: dict[str, Any] = {
        "sweep": plots.tokenizer_sweep(study.table, measures=measures),
        "codebooks": plots.codebook_use({name: m.counts["count"] for name, m in study.measures.items()}),
    }
    for name, measured in study.measures.items():
        figures[f"{name}/clouds"] = plots.token_clouds(measured.cloud, title=name)
        if "class" in measured.values:
            figures |= {f"{name}/{q}": plots.token_resolution(measured.values, q) for q in FIGURES}
    for name, figure in figures.items():
        for ending in ("png", "pdf") if "/" not in name else ("png",):
            figure.savefig(out / f"{name}.{ending}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        msg = f"expected whole numbers joined by commas, found {text!r}"
        raise typer.BadParameter(msg, param_hint="--codes") from None


def _parts(jets: Jets, test: int | None) -> tuple[Jets, Jets, Jets]:
    """Jets to learn from, to watch and to measure with: as marked in the file, or drawn at random."""
    if test is None and "split" in jets.info and {0, 1, 2} <= set(jets.info["split"].tolist()):
        train, valid, held_out = (_spread(jets[jets.info["split"] == k]) for k in range(3))
        return train, valid[:VALID], held_out[:TEST]
    test, watched = test or TEST, min(VALID, len(jets) // 10)
    if len(jets) <= test + watched:
        msg = f"there are {len(jets):,} jets, too few to measure with {test:,} of them; give more, or a smaller --test"
        raise typer.BadParameter(msg, param_hint="--test")
    mixed = _spread(jets)
    return mixed[: -test - watched], mixed[-test - watched : -test], mixed[-test:]


def _spread(jets: Jets) -> Jets:
    """The jets in a random but fixed order, so that every part holds every class."""
    import numpy as np

    return jets[np.random.default_rng(0).permutation(len(jets))]


def _provenance(train: Jets) -> dict[str, Any]:
    from importlib.metadata import version

    from jetlab import __version__

    return {
        "command": shlex.join(["jetlab", *sys.argv[1:]]),
        "machine": machine(),
        "versions": {"jetlab": __version__, "torch": version("torch")},
        "data": {key: value for key, value in train.meta.items() if isinstance(value, str | int | float | bool)},
    }


def _show(study: TokenStudy) -> None:
    from jetlab.evaluate import with_uncertainty

    def cell(row: dict[str, Any], name: str, factor: float = 1.0) -> str:
        if name not in row or row[name] != row[name]:
            return "–"
        error = sum(
            row.get(f"{name}{e}", 0) ** 2 for e in ("_err", "_sd") if row.get(f"{name}{e}") == row.get(f"{name}{e}")
        )
        return with_uncertainty(factor * row[name], factor * error**0.5)

    rows = [
        (
            str(name),
            cell(row, "mass_bias"),
            cell(row, "mass_iqr"),
            cell(row, "utilisation", 100),
            cell(row, "perplexity"),
            *(cell(row, f"accuracy_{network}", 100) for network in ("deepsets", "transformer")),
        )
        for name, row in study.table.to_dict("index").items()
    ]
    heads = ("Tokenizer", "Mass bias", "Mass IQR", "Used [%]", "Perplexity", "DeepSets [%]", "Transformer [%]")
    table("What tokenizers keep; masses in GeV, accuracies on rebuilt jets", heads, rows)


def _best(study: TokenStudy, sweep: TokenSweep) -> str:
    """The tokenizer whose masses are narrowest."""
    return str(study.table.loc[list(sweep.names), "mass_iqr"].idxmin())
