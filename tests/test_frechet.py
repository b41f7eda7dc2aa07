"""Frechet and kernel physics distances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from jetlab.errors import InvalidJetsError
from jetlab.evaluate.frechet import Batches, fpd, frechet_distance, kpd, physics_distances

from .toys import toy_jets


def normal(n: int, *, shift: float = 0.0, wide: float = 1.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(3, 3))
    return (wide * rng.normal(size=(n, 3)) @ mixing + shift).astype(float)


def test_frechet_distance_is_that_of_the_formula() -> None:
    a, b = normal(500), normal(400, shift=0.3, wide=1.5, seed=1)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(0) - b.mean(0)
    expected = gap @ gap + np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_fpd_extrapolates_to_infinite_batches() -> None:
    a, b = normal(3000), normal(3000, shift=0.5, seed=1)
    found = fpd(a, b, batches=Batches(500, 1500, repeats=10))
    scale = np.abs(a).max(0)
    assert found.value == pytest.approx(frechet_distance(a / scale, b / scale), abs=5 * found.error + 1e-4)
    assert 0 < found.error < found.value
    assert fpd(a, a, batches=Batches(500, 1500, repeats=10)).value < 0.1 * found.value


def test_kpd_is_the_mean_over_pairs() -> None:
    a, b = normal(200), normal(150, shift=0.5, seed=1)
    plan = Batches(kernel=60, kernel_repeats=3)
    rng, scale, values = np.random.default_rng(42), np.abs(a).max(0), []
    for _ in range(3):
        x, y = a[rng.integers(0, 200, 60)] / scale, b[rng.integers(0, 150, 60)] / scale
        xx, yy, xy = ((p @ q.T / 3 + 1) ** 4 for p, q in ((x, x), (y, y), (x, y)))
        off = [(k.sum() - np.trace(k)) / (60 * 59) for k in (xx, yy)]
        values.append(sum(off) - 2 * xy.mean())
    found = kpd(a, b, batches=plan)
    assert found.value == pytest.approx(np.median(values), rel=1e-9)
    low, high = np.percentile(values, [16.275, 83.725])
    assert found.error == pytest.approx((high - low) / 2, rel=1e-9)


def test_batches_are_scaled_down_and_say_so() -> None:
    assert Batches().for_jets(60_000) == Batches()
    assert list(Batches().sizes[[0, -1]]) == pytest.approx([20_000, 50_000], abs=1)
    plan = Batches().for_jets(1000)
    assert (plan.smallest, plan.largest, plan.kernel) == (400, 1000, 100)
    assert "400 to 1,000 (FPD) and 100 (KPD)" in kpd(normal(1000), normal(1200, seed=1)).note


def test_distances_of_jets_stand_out_from_their_floor_when_jets_are_damaged() -> None:
    jets = toy_jets(800, seed=1)
    same = physics_distances(jets[:400], jets[400:], floors=5)
    assert list(same.index) == ["fpd", "kpd"]
    assert (same["z"].abs() < 6).all()
    damaged = physics_distances(jets[:400], jets[400:].leading(4), floors=5)
    assert (damaged["z"] > 5).all()
    assert (damaged["n_generated"] == 400).all()
    again = physics_distances(jets[:400], jets[400:].leading(4), floors=5)
    assert again.equals(damaged)


def test_samples_that_are_too_small_are_refused() -> None:
    with pytest.raises(InvalidJetsError, match="found 99 true and 400 generated jets"):
        fpd(normal(99), normal(400))
    with pytest.raises(InvalidJetsError, match="same D"):
        kpd(normal(200), normal(200)[:, :2])
