"""``jetlab simulate``: jets of chosen classes from Pythia 8, a detector response and FastJet, into a file."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from jetlab.cli._options import Classes, Count, FileLayout, Layout, Out, Seed, class_names
from jetlab.cli._summary import show_jets
from jetlab.cli._terminal import announce, next_command, progress, wrote

__all__ = ["Detector", "simulate"]


class Detector(StrEnum):
    """Detector response."""

    jetclass = "jetclass"
    cms = "cms"
    none = "none"


def simulate(
    *,
    out: Out,
    classes: Classes = "all",
    n: Count = 1000,
    seed: Seed = 0,
    layout: Layout = FileLayout.jetclass,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", min=1, help="Default: one for each core.", show_default=False)
    ] = None,
    mpi: Annotated[bool, typer.Option("--mpi/--no-mpi", help="Underlying event; four times faster without.")] = True,
    detector: Annotated[Detector, typer.Option(help="Response of the detector; none keeps generated particles.")] = (
        Detector.jetclass
    ),
) -> None:
    """Simulate jets with Pythia 8, a CMS-like detector and anti-kT R = 0.8, 500 < pT < 1000 GeV.

    Interrupted, it keeps the parts that are finished; the same command takes them up again.
    """
    from jetlab.data import load_jets
    from jetlab.data.simulate import simulate_to_file

    names = class_names(classes)
    announce(f"Simulating {n:,} jets of {', '.join(names)} (seed {seed})")
    with progress("Simulating") as report:
        simulate_to_file(
            out,
            names,
            n,
            seed=seed,
            layout=layout.value,
            processes=processes,
            mpi=mpi,
            detector=None if detector is Detector.none else detector.value,
            progress=report,
        )
    show_jets(load_jets(out))
    wrote(out)
    next_command(f"jetlab generate --classes {','.join(names)} --n {n} --out generated.parquet")
