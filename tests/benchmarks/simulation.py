"""Speed of the simulation, and what the early end of hopeless events costs in jets.

``python -m tests.benchmarks.simulation [events] [--settings NAME] [--jets N]`` simulates this many events (default
2,000) of each class of the settings (default ``jetclass``) with the early veto recording its decisions instead of
acting, and prints how many events it keeps and how many selected jets it would lose; then the speed with it, in jets
per CPU-second, of each class and of all, and, because processors differ, beside the events per CPU-second of plain
Pythia dijets (``HardQCD:all``, 500 < pTHat < 1200 GeV, all else default) in the same minutes. The start of Pythia is
part of it. With 0 events, or for settings without a veto, only the speed.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from jetlab.data.simulate.chunk import Chunk, select_jets, simulate_chunk
from jetlab.data.simulate.pythia import generate_events, start_pythia
from jetlab.data.simulate.settings import SETTINGS, Settings
from jetlab.data.simulate.veto import early_veto

SEED = 7
BATCH = 250


def recording_veto(settings: Settings) -> Any:
    """The early veto, but events go on and the decisions are kept in ``kept``."""
    assert settings.veto is not None
    base = type(early_veto(settings.jets, settings.veto))

    class Recording(base):  # type: ignore[misc, valid-type]
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings.jets, settings.veto)
            self.kept: list[bool] = []

        def doVetoProcessLevel(self, process: Any) -> bool:  # noqa: N802
            self.kept.append(not super().doVetoProcessLevel(process))
            return False

        def doVetoPT(self, position: int, event: Any) -> bool:  # noqa: N802
            if super().doVetoPT(position, event):
                self.kept[-1] = False
            return False

    return Recording(settings)


def measure_veto(settings: Settings, name: str, events: int) -> tuple[float, int, int]:
    """Share of the events of a class that are kept, number of selected jets, and how many of these would be lost."""
    veto = recording_veto(settings)
    pythia = start_pythia(settings.pythia(name), seed=SEED, hook=veto)
    rng = np.random.default_rng(SEED)
    kept: list[bool] = []
    jets = lost = 0
    for _ in range(0, events, BATCH):
        veto.kept = []
        batch = generate_events(pythia, BATCH)
        assert len(veto.kept) == len(batch)
        _, found, _ = select_jets(batch, settings, name, settings.detector, rng)
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


def main(settings: Settings, *, events: int, jets: int) -> None:
    """Measure and print."""
    if events and settings.veto:
        print(f"early veto, {settings.name}, {events:,} events a class, seed {SEED}")
        for name in settings.classes:
            kept, found, lost = measure_veto(settings, name, events)
            error = max(lost, 1) ** 0.5 / found
            print(
                f"{name:6s} keeps {kept:6.1%} of the events, loses {lost / found:.2%} +- {error:.2%} of {found:,} jets"
            )
    print(f"\nspeed, {settings.name}, {jets} jets a class, start of Pythia included")
    seconds = 0.0
    for name in settings.classes:
        start = time.process_time()
        simulate_chunk(Chunk(name, 0, jets, SEED, settings.mpi, settings.detector, settings))
        taken = time.process_time() - start
        print(f"{name:6s} {jets / taken:6.1f} jets per CPU-s")
        seconds += taken
    speed, plain = jets * len(settings.classes) / seconds, plain_speed()
    print(f"all    {speed:6.1f} jets per CPU-s; plain dijets {plain:.1f} events per CPU-s; ratio {speed / plain:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=int, nargs="?", default=2_000)
    parser.add_argument("--settings", choices=SETTINGS, default="jetclass")
    parser.add_argument("--jets", type=int, default=250)
    given = parser.parse_args()
    main(SETTINGS[given.settings], events=given.events, jets=given.jets)
