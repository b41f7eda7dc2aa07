"""``jetlab simulate``: jets of chosen classes from Pythia 8, a detector response and FastJet, into a file."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jetlab.cli._options import Classes, Count, FileLayout, Layout, Out, Seed
from jetlab.cli._summary import show_jets
from jetlab.cli._terminal import announce, next_command, progress, wrote

if TYPE_CHECKING:
    from jetlab.data.simulate import Settings

__all__ = ["Detector", "Kind", "simulate"]


class Kind(StrEnum):
    """Settings of a simulation."""

    jetclass = "jetclass"
    jetclass_full = "jetclass-full"
    quark_gluon = "quark-gluon"
    top_tagging = "top-tagging"
    dis = "dis"


class Detector(StrEnum):
    """Detector response."""

    auto = "auto"
    jetclass = "jetclass"
    cms = "cms"
    coarse = "coarse"
    none = "none"


def simulate(
    *,
    out: Out,
    classes: Classes = "all",
    n: Count = 1000,
    settings: Annotated[
        Kind, typer.Option(help="Collisions, jets and detector; they also say which classes there are.")
    ] = (Kind.jetclass),
    seed: Seed = 0,
    layout: Layout = FileLayout.jetclass,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", min=1, help="Default: one for each core.", show_default=False)
    ] = None,
    mpi: Annotated[
        bool,
        typer.Option(
            "--mpi/--no-mpi", help="Underlying event, where the settings have one; four times faster without."
        ),
    ] = True,
    detector: Annotated[
        Detector, typer.Option(help="Its response: auto is that of the settings, none keeps generated particles.")
    ] = Detector.auto,
) -> None:
    """Simulate jets with Pythia 8, a detector response and FastJet.

    jetclass: the ten classes of JetClass, CMS-like detector, R = 0.8, 500 to 1000 GeV. jetclass-full: the same with
    a coarser detector. quark-gluon: gluon and quark, R = 0.4, 500 to 550 GeV. top-tagging: QCD and top, 550 to 650 GeV.
    dis: electron-proton scattering by two showers, Pythia and Vincia. The last three have no detector.

    Interrupted, it keeps the parts that are finished; the same command takes them up again.
    """
    from jetlab.data import load_jets
    from jetlab.data.simulate import SETTINGS, simulate_to_file

    names = _class_names(classes, SETTINGS[settings])
    announce(f"Simulating {n:,} jets of {', '.join(names)} (seed {seed})")
    with progress("Simulating") as report:
        simulate_to_file(
            out,
            names,
            n,
            settings=settings.value,
            seed=seed,
            layout=layout.value,
            processes=processes,
            mpi=mpi,
            detector=None if detector is Detector.none else detector.value,
            progress=report,
        )
    show_jets(load_jets(out))
    wrote(out)
    generate = f"jetlab generate --classes {','.join(names)} --n {n} --out generated.parquet"
    next_command(generate if settings is Kind.jetclass else f"jetlab data show {out}")


def _class_names(text: str, settings: Settings) -> tuple[str, ...]:
    """Class names of the settings in a comma-separated list, or all of them."""
    from jetlab.data.simulate.plan import class_names
    from jetlab.errors import JetLabError

    asked = [name.strip() for name in text.split(",") if name.strip()]
    try:
        return settings.classes if [name.lower() for name in asked] == ["all"] else class_names(asked, settings)
    except JetLabError as error:
        raise typer.BadParameter(str(error), param_hint="--classes") from None
