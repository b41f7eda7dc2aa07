"""The early end of events without hope: what it decides, and that it loses almost no jets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jetlab.data.simulate.recipes import RECIPES, JetSelection
from jetlab.data.simulate.veto import Seed, may_give_jet

WINDOW = JetSelection()


@pytest.mark.parametrize(
    ("seeds", "others", "expected"),
    [
        ([Seed(480, 0, 0)], [], True),
        ([Seed(440, 0, 0)], [], False),
        ([Seed(440, 0, 0)], [Seed(30, 0.3, 0.3)], True),
        ([Seed(440, 0, 0)], [Seed(30, 0.7, 0.7)], False),
        ([Seed(440, 0, math.pi - 0.1)], [Seed(30, 0, 0.1 - math.pi)], True),
        ([Seed(700, 2.1, 0)], [], True),
        ([Seed(700, -2.3, 0)], [], False),
        ([Seed(300, 0, 0), Seed(600, 1, 3)], [], True),
        ([], [Seed(900, 0, 0)], False),
    ],
)
def test_what_may_give_a_jet(seeds, others, expected):
    assert may_give_jet(seeds, others, WINDOW) is expected


def test_a_seed_among_the_others_counts_once():
    parton = Seed(400, 0.5, 1.0)
    assert not may_give_jet([parton], [parton], WINDOW)


@pytest.mark.parametrize(("name", "most_kept"), [("QCD", 0.95), ("Tbl", 0.65), ("Hqql", 0.55), ("Tbqq", 0.95)])
def test_hardly_any_selected_jet_is_lost(name, most_kept):
    pytest.importorskip("pythia8mc")
    from jetlab.data.simulate.chunk import select_jets
    from jetlab.data.simulate.pythia import generate_events, start_pythia
    from tests.benchmarks.simulation import recording_veto

    recipe = RECIPES[name]
    veto = recording_veto(recipe.jets)
    events = generate_events(start_pythia(recipe.settings(mpi=False), seed=3, hook=veto), 300)
    kept = np.array(veto.kept)
    assert len(kept) == len(events) == 300
    assert 0.2 < kept.mean() < most_kept
    _, jets, _ = select_jets(events, recipe, "jetclass", np.random.default_rng(3))
    assert len(jets) > 40
    assert (~kept[jets.event]).sum() <= 1
