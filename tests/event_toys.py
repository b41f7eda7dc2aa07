"""Events for tests: pairs of jets of the sample, put side by side, and toys with any number of jets."""

from __future__ import annotations

import numpy as np

import jetlab
from jetlab.jets import Events, Jets, concatenate

from .toys import toy_jets

COUNTS = (2, 0, 3, 1, 4, 2, 5)


def toy_events(counts: tuple[int, ...] = COUNTS, *, seed: int = 0) -> Events:
    """Events with these numbers of jets, classes in turn; their jets are those of `toy_jets`."""
    return Events(toy_jets(sum(counts), seed=seed), np.cumsum((0, *counts)), label=np.arange(len(counts)) % 2)


def pairs_of_jets(name: str, n: int, *, first: int = 0) -> Events:
    """Pairs of jets of the sample, two of a class each; no physics binds them. Half of them QCD, half of this class."""
    sample = jetlab.load_jets("sample")
    jets = concatenate([sample[kind][first : first + n] for kind in ("QCD", name)])
    return Events(jets, np.arange(0, 2 * n + 1, 2), label=np.repeat([0, 1], n // 2), classes=("background", "signal"))


def turned(jets: Jets, phi: np.ndarray | float, *, eta: np.ndarray | float = 0.0) -> Jets:
    """Jets turned about the beam by these angles, one for each or one for all; and boosted along it, if massless."""
    by, along = (np.repeat(np.broadcast_to(value, len(jets)), jets.multiplicity) for value in (phi, eta))
    columns = {f: jets.flat(f) for f in jets.fields}
    columns |= {"phi": (columns["phi"] + by + np.pi) % (2 * np.pi) - np.pi, "eta": columns["eta"] + along}
    return Jets.from_flat(jets.offsets, columns, label=jets.label, classes=jets.classes)
