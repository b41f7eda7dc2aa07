"""The early end of events without hope: what it decides, and that it loses almost no jets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jetlab.data.simulate.selection import JetSelection, VetoMargins
from jetlab.data.simulate.settings import SETTINGS
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
    assert may_give_jet(seeds, others, WINDOW, VetoMargins()) is expected


def test_a_seed_among_the_others_counts_once():
    parton = Seed(400, 0.5, 1.0)
    assert not may_give_jet([parton], [parton], WINDOW, VetoMargins())


def test_reach_and_window_are_those_of_the_settings():
    pair = [Seed(440, 0, 0), Seed(30, 0.7, 0.7)]  # 0.99 apart
    assert may_give_jet(pair[:1], pair, WINDOW, VetoMargins(reach=1.25))
    forward = JetSelection(eta_min=-1.5, eta_max=2.75)
    assert may_give_jet([Seed(600, 2.9, 0)], [], forward, VetoMargins())
    assert not may_give_jet([Seed(600, -1.8, 0)], [], forward, VetoMargins())


@pytest.mark.parametrize(
    ("kind", "name", "most_kept", "jets"),
    [
        ("jetclass", "QCD", 0.95, 40),
        ("jetclass", "Tbl", 0.65, 40),
        ("jetclass", "Hqql", 0.55, 40),
        ("jetclass", "Tbqq", 0.95, 40),
        ("quark-gluon", "gluon", 0.55, 5),
        ("top-tagging", "top", 0.8, 15),
    ],
)
def test_hardly_any_selected_jet_is_lost(kind, name, most_kept, jets):
    pytest.importorskip("pythia8mc")
    from jetlab.data.simulate.chunk import select_jets
    from jetlab.data.simulate.pythia import generate_events, start_pythia
    from tests.benchmarks.simulation import recording_veto

    settings = SETTINGS[kind]
    veto = recording_veto(settings)
    events = generate_events(start_pythia(settings.pythia(name, mpi=False), seed=3, hook=veto), 300)
    kept = np.array(veto.kept)
    assert len(kept) == len(events) == 300
    assert 0.2 < kept.mean() < most_kept
    _, found, _ = select_jets(events, settings, name, settings.detector, np.random.default_rng(3))
    assert len(found) > jets
    assert (~kept[found.event]).sum() <= 1
