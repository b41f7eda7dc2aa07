"""Speed of the simulation, and what the early end of hopeless events costs in jets.

``python -m tests.benchmarks.simulation [events]`` simulates this many events (default 2,000) of each class with the
early veto recording its decisions instead of acting, and prints how many events it keeps and how many selected jets it
would lose; then the speed with it, in jets per CPU-second and, because processors differ, beside the events per
CPU-second of plain Pythia dijets (``HardQCD:all``, 500 < pTHat < 1200 GeV, all else default) in the same minutes.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from jetlab.data.simulate.chunk import Chunk, select_jets, simulate_chunk
from jetlab.data.simulate.pythia import generate_events, start_pythia
from jetlab.data.simulate.recipes import RECIPES
from jetlab.data.simulate.veto import early_veto

SEED = 7
BATCH = 250
JETS = 250


def recording_veto(selection: Any) -> Any:
    """The early veto, but events go on and the decisions are kept in ``kept``."""
    base = type(early_veto(selection))

    class Recording(base):  # type: ignore[misc, valid-type]
        def __init__(self, selection: Any) -> None:
            super().__init__(selection)
            self.kept: list[bool] = []

        def doVetoProcessLevel(self, process: Any) -> bool:  # noqa: N802
            self.kept.append(not super().doVetoProcessLevel(process))
            return False

        def doVetoPT(self, position: int, event: Any) -> bool:  # noqa: N802
            if super().doVetoPT(position, event):
                self.kept[-1] = False
            return False

    return Recording(selection)


def measure_veto(name: str, events: int) -> tuple[float, int, int]:
    """Share of the events of a class that are kept, number of selected jets, and how many of these would be lost."""
    recipe = RECIPES[name]
    veto = recording_veto(recipe.jets)
    pythia = start_pythia(recipe.settings(), seed=SEED, hook=veto)
    rng = np.random.default_rng(SEED)
    kept: list[bool] = []
    jets = lost = 0
    for _ in range(0, events, BATCH):
        veto.kept = []
        batch = generate_events(pythia, BATCH)
        assert len(veto.kept) == len(batch)
        _, found, _ = select_jets(batch, recipe, "jetclass", rng)
        jets, lost = jets + len(found), lost + int((~np.array(veto.kept)[found.event]).sum())
        kept += veto.kept
    return float(np.mean(kept)), jets, lost


def plain_speed(events: int = 300) -> float:
    """Events per CPU-second of plain dijets."""
    settings = ("Beams:eCM = 13000.", "HardQCD:all = on", "PhaseSpace:pTHatMin = 500.", "PhaseSpace:pTHatMax = 1200.")
    pythia = start_pythia(settings, seed=SEED)
    start = time.process_time()
    for _ in range(events):
        pythia.next()
    return events / (time.process_time() - start)


def main(events: int) -> None:
    """Measure and print."""
    print(f"early veto, {events:,} events a class, seed {SEED}")
    for name in RECIPES:
        kept, jets, lost = measure_veto(name, events)
        error = max(lost, 1) ** 0.5 / jets
        print(f"{name:5s} keeps {kept:6.1%} of the events, loses {lost / jets:.2%} +- {error:.2%} of {jets:,} jets")
    print(f"\nspeed, {JETS} jets a class, start of Pythia included")
    seconds = 0.0
    for name in RECIPES:
        start = time.process_time()
        simulate_chunk(Chunk(name, 0, JETS, SEED, True, "jetclass"))
        seconds += time.process_time() - start
    speed, plain = JETS * len(RECIPES) / seconds, plain_speed()
    print(f"{speed:.1f} jets per CPU-s; plain dijets {plain:.1f} events per CPU-s; ratio {speed / plain:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
