"""``jetlab compare``: how far generated jets are from true ones, in a table and a page to keep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jetlab.cli._options import Seed, class_names
from jetlab.cli._terminal import announce, next_command, progress, table, wrote

if TYPE_CHECKING:
    import pandas as pd

    from jetlab.jets import Jets

__all__ = ["compare"]

COLUMNS = ("Observable", "W1", "true vs true", "z", "KS", "p")


def compare(
    true: Annotated[str, typer.Argument(help="True jets: a file, a folder, or 'sample'.")],
    generated: Annotated[str, typer.Argument(help="Generated jets: a file or a folder.")],
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write a page with all figures: .html")] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", "-c", help="Compare these only.", show_default="those generated")
    ] = None,
    observables: Annotated[
        str | None, typer.Option(help="Names joined by commas: mass,tau21.", show_default="all")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", "-n", min=2, help="Take this many jets of each.", show_default="all")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=10, help="Resamples for the uncertainties.")] = 100,
    seed: Seed = 0,
) -> None:
    """Compare generated with true jets: Wasserstein-1 and KS beside what two samples of truth would give."""
    from jetlab.data import load_jets
    from jetlab.evaluate import compare as compare_jets

    wanted = None if classes is None else class_names(classes)
    ours = load_jets(generated, n=n, classes=wanted, seed=seed)
    truth = _alike(load_jets(true, n=n, classes=wanted or _classes_of(ours), seed=seed), ours)
    of = f" of {', '.join(truth.class_counts())}" if truth.label is not None else ""
    announce(f"Comparing {len(ours):,} generated jets with {len(truth):,} true jets{of} (seed {seed})")
    with progress("Comparing", unit="steps") as report:
        result = compare_jets(
            truth,
            ours,
            observables=None if observables is None else [name.strip() for name in observables.split(",")],
            seed=seed,
            bootstrap=bootstrap,
            progress=report,
        )
    _show(result.table)
    if out is None:
        next_command(f"jetlab compare {true} {generated} --out report.html")
        return
    for path in result.report(out):
        wrote(path)
    next_command("jetlab dashboard")


def _classes_of(jets: Jets) -> tuple[str, ...] | None:
    return tuple(jets.class_counts()) or None


def _alike(truth: Jets, generated: Jets) -> Jets:
    """As many true jets as there are in the class fractions of the generated: other mixtures have other masses."""
    from jetlab.jets import concatenate

    ours, theirs = generated.class_counts(), truth.class_counts()
    shared = [name for name in ours if theirs.get(name)]
    if not shared:
        return truth
    scale = min(theirs[name] / ours[name] for name in shared)
    return concatenate([truth.of_class(name)[: round(scale * ours[name])] for name in shared])


def _show(distances: pd.DataFrame) -> None:
    from jetlab.evaluate.tables import with_uncertainty
    from jetlab.observables import OBSERVABLES
    from jetlab.style import verdict

    worst_first = distances.sort_values("z", ascending=False, na_position="first")
    rows = [
        (
            OBSERVABLES[name].title,
            with_uncertainty(row["w1"], row["w1_err"]),
            with_uncertainty(row["floor"], row["floor_sd"]),
            f"{row['z']:+.1f} {verdict(row['z']).sign}",
            f"{row['ks']:.3f}",
            f"{row['ks_p']:.2g}",
        )
        for name, row in worst_first.iterrows()
    ]
    table("Distances, worst first. z: ✓ within 2, ! within 5, ✗ beyond", COLUMNS, rows)
