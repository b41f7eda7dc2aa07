"""Probes of embeddings, monitors of collapse, and both during a training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import jetlab
from jetlab.errors import InvalidJetsError
from jetlab.evaluate.collapse import effective_rank, similarity, spread
from jetlab.evaluate.probes import Embedded, linear_probe, neighbour_probe
from jetlab.models.deepsets import DeepSetsConfig
from jetlab.models.tagger import Tagger, TaggerConfig
from jetlab.objectives import classification
from jetlab.tasks.watching import Probes


def clouds(n: int, seed: int, *, apart: float = 4.0) -> Embedded:
    """Three classes around three directions of a space of eight."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 3
    return Embedded(rng.normal(size=(n, 8)) + apart * np.eye(3, 8)[label], label)


@pytest.mark.parametrize("probe", [linear_probe, neighbour_probe])
def test_classes_apart_are_told_apart_and_noise_is_not(probe) -> None:
    share, error = probe(clouds(300, 0), clouds(200, 1))
    assert share > 0.95
    assert 0 < error < 0.03
    share, error = probe(clouds(300, 0, apart=0), clouds(300, 1, apart=0))
    assert abs(share - 1 / 3) < 4 * error


def test_a_linear_probe_finds_what_the_closed_form_says() -> None:
    """Two Gaussians: the best linear rule is right with the probability of half their distance."""
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    label = np.arange(20_000) % 2
    known = Embedded(rng.normal(size=(20_000, 1)) + 2.0 * label[:, None], label)
    asked = Embedded(rng.normal(size=(20_000, 1)) + 2.0 * label[:, None], label)
    share, error = linear_probe(known, asked, penalty=0.0)
    assert abs(share - norm.cdf(1.0)) < 4 * error


def test_neighbours_are_those_of_the_smallest_angle_and_the_nearer_decides_a_tie() -> None:
    angles = np.array([0.0, 0.2, 0.5, 0.6])
    known = Embedded(3 * np.stack([np.cos(angles), np.sin(angles)], 1), np.array([0, 0, 1, 1]))
    asked = Embedded(np.array([[np.cos(0.15), np.sin(0.15)], [np.cos(0.55), np.sin(0.55)]]), np.array([0, 1]))
    assert neighbour_probe(known, asked, neighbours=2)[0] == 1
    assert neighbour_probe(known, asked, neighbours=4)[0] == 1


@pytest.mark.parametrize("probe", [linear_probe, neighbour_probe])
def test_probes_refuse_what_is_no_embedding(probe) -> None:
    good = clouds(30, 0)
    for bad in (Embedded(good.values[:0], good.label[:0]), Embedded(good.values, good.label[:3])):
        with pytest.raises(InvalidJetsError, match=r"expected \(n, D\)"):
            probe(good, bad)
    with pytest.raises(InvalidJetsError, match="8 wide, those asked about 4"):
        probe(good, Embedded(good.values[:, :4], good.label))
    broken = good.values.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InvalidJetsError, match="1 of the asked embeddings"):
        probe(good, Embedded(broken, good.label))
    with pytest.raises(InvalidJetsError, match="99 neighbours"):
        neighbour_probe(good, good, neighbours=99)


def test_collapse_has_its_limits() -> None:
    rng = np.random.default_rng(0)
    free, one = rng.normal(size=(4000, 16)), np.ones((50, 16))
    assert spread(free) == pytest.approx(1, abs=0.02)
    assert effective_rank(free) == pytest.approx(16, abs=0.1)
    assert similarity(free) == pytest.approx(0, abs=0.01)
    assert (spread(one), effective_rank(one), similarity(one)) == (0, 0, pytest.approx(1))
    line = rng.normal(size=(100, 1)) * np.arange(1, 9) + 5
    assert effective_rank(line) == pytest.approx(1, abs=1e-6)
    plane = rng.normal(size=(5000, 2)) @ np.linalg.qr(rng.normal(size=(8, 8)))[0][:2]
    assert effective_rank(plane) == pytest.approx(2, abs=0.01)
    with pytest.raises(InvalidJetsError, match="at least two jets"):
        similarity(one[:1])


def test_a_training_is_watched_and_its_probe_improves() -> None:
    jets = jetlab.load_jets("sample", classes=["QCD", "Tbqq"], n=700)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tagger = Tagger(TaggerConfig(DeepSetsConfig.preset("tiny"), classes=jets.classes))
    run = jetlab.fit(
        tagger, classification, tagger.prepare(jets[:300]), steps=60, batch_size=64, lr=3e-3, valid_every=20,
        watch=Probes(jets[300:500], jets[500:]), progress=False,
    )  # fmt: skip
    found = run.history.dropna(subset=["linear_probe"])
    assert found["step"].tolist() == [20, 40, 60]
    assert found["linear_probe"].iloc[-1] > 0.7
    assert found["neighbour_probe"].between(0.4, 1).all()
    assert (found["effective_rank"] > 1).all()


def test_probes_need_labels_of_the_same_classes() -> None:
    jets = jetlab.load_jets("sample", n=20)
    bare = type(jets).from_flat(jets.offsets, {f: jets.flat(f) for f in jets.fields})
    with pytest.raises(InvalidJetsError, match="labelled jets of the same classes"):
        Probes(jets, bare)
