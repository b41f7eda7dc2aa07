"""The measures of JetNet, and energy mover's distances."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from jetlab.cli import main
from jetlab.errors import InvalidJetsError
from jetlab.evaluate.distances import wasserstein
from jetlab.evaluate.emd import _bound, _checked, _problem, coverage_and_matching, emd, emds
from jetlab.evaluate.frechet import frechet_distance, frechet_distance_to
from jetlab.evaluate.jetnet import FOUR_EDGES, JetNetPlan, _draws, jetnet_table
from jetlab.evaluate.relative import relative_energyflow, relative_mass, relative_particles
from jetlab.jets import Jets
from jetlab.observables.energyflow import CONNECTED_GRAPHS, energy_flow_polynomials

from .toys import toy_jets


def random_jets(n: int, particles: int = 6, *, seed: int = 0, wide: float = 0.1) -> np.ndarray:
    """Padded jets with etarel, phirel, ptrel, of which the pT add up to 0.9 to 1."""
    rng = np.random.default_rng(seed)
    pt = rng.exponential(size=(n, particles)) ** 2 * (np.arange(particles) < rng.integers(1, particles + 1, n)[:, None])
    pt *= rng.uniform(0.9, 1, (n, 1)) / pt.sum(axis=1, keepdims=True)
    return np.concatenate([rng.normal(0, wide, (n, particles, 2)) * (pt > 0)[..., None], pt[..., None]], axis=2)


# ---- energy mover's distance ----------------------------------------------------------------------------------------


def test_one_particle_moves_and_what_is_missing_is_made() -> None:
    assert emd([[0.3, 0.4, 2.0]], [[0.0, 0.0, 2.0]]) == pytest.approx(2 * 0.5)
    assert emd([[0.3, 0.4, 2.0]], [[0.0, 0.0, 2.0]], radius=0.5) == pytest.approx(2 * 0.5 / 0.5)
    assert emd([[0.3, 0.4, 2.0]], [[0.0, 0.0, 1.5]]) == pytest.approx(1.5 * 0.5 + 0.5)
    assert emd([[0.3, 0.4, 0.0]], [[0.0, 0.0, 1.5]]) == pytest.approx(1.5)
    assert emd(np.zeros((2, 3)), np.zeros((4, 3))) == 0


def test_two_particles_take_the_cheaper_of_both_ways() -> None:
    a = [[0.0, 0.0, 1.0], [0.0, 0.3, 1.0]]
    assert emd(a, [[0.1, 0.3, 1.0], [0.1, 0.0, 1.0]]) == pytest.approx(0.2)
    assert emd(a, [[0.0, 0.1, 2.0]]) == pytest.approx(0.1 + 0.2)


def test_on_a_line_it_is_the_wasserstein_distance() -> None:
    a, b = random_jets(2, 20)
    a[:, 1] = b[:, 1] = 0
    b[:, 2] *= a[:, 2].sum() / b[:, 2].sum()
    expected = wasserstein(a[:, 0], b[:, 0], a_weights=a[:, 2], b_weights=b[:, 2]) * a[:, 2].sum()
    assert emd(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(2, 3), (5, 5), (9, 4)])
def test_it_solves_the_linear_program(n: int, m: int) -> None:
    x, y = random_jets(12, n, seed=1), random_jets(12, m, seed=2)
    problem = _problem(_checked(x), _checked(y), 1.0)
    found = emds(x, y)
    for k in range(12):
        cost = problem.cost[k]
        rows = [np.kron(np.eye(n + 1), np.ones(m + 1)), np.kron(np.ones(n + 1), np.eye(m + 1))]
        equal = np.concatenate([problem.supply[k], problem.demand[k]])
        best = linprog(cost.ravel(), A_eq=np.concatenate(rows), b_eq=equal, method="highs").fun
        assert found[k] == pytest.approx(best, abs=1e-9)
    assert (_bound(problem) <= found).all()


def test_it_is_a_distance() -> None:
    x, y, z = (random_jets(20, 8, seed=seed) for seed in range(3))
    np.testing.assert_allclose(emds(x, y), emds(y, x), atol=1e-12)
    np.testing.assert_allclose(emds(x, x[:, ::-1]), 0, atol=1e-12)
    assert (emds(x, z) <= emds(x, y) + emds(y, z) + 1e-12).all()
    np.testing.assert_allclose(emds(100 * x * [0.01, 0.01, 1], 100 * y * [0.01, 0.01, 1]), 100 * emds(x, y), rtol=1e-9)


@pytest.mark.parametrize("few", [0, 2000])
def test_coverage_and_matching_are_those_of_all_distances(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("jetlab.evaluate.emd._FEW", few)
    x, y = random_jets(30, seed=1).reshape(2, 15, 6, 3), random_jets(24, seed=2).reshape(2, 12, 6, 3)
    covered, matching = coverage_and_matching(x, y)
    for k in range(2):
        every = np.array([emds(np.repeat(jet[None], 12, axis=0), y[k]) for jet in x[k]])  # (15, 12)
        assert covered[k] == len(set(every.argmin(axis=0))) / 15
        assert matching[k] == pytest.approx(every.min(axis=1).mean())
    moved = y + np.array([0.5, 0, 0])
    assert (coverage_and_matching(x, moved)[1] > matching + 0.1).all()
    covered, matching = coverage_and_matching(x, x)
    np.testing.assert_array_equal(covered, 1)
    np.testing.assert_allclose(matching, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda x: -x, "pT = -"),
        (lambda x: x * np.nan, "NaN or infinite"),
        (lambda x: x[..., :2], r"shape \(6, 2\)"),
        (lambda x: x[:3], "5 and 3 jets"),
    ],
)
def test_distances_of_wrong_jets_are_refused(spoil: Callable[[np.ndarray], np.ndarray], says: str) -> None:
    x = random_jets(5)
    with pytest.raises(InvalidJetsError, match=says):
        emds(x, spoil(x))


def test_samples_of_other_shapes_are_refused() -> None:
    with pytest.raises(InvalidJetsError, match=r"shapes \(5, 6, 3\) and"):
        coverage_and_matching(random_jets(5), random_jets(5))


# ---- coordinates of JetNet ------------------------------------------------------------------------------------------


def test_particles_are_relative_to_the_whole_jet() -> None:
    jets = toy_jets(30)
    x = relative_particles(jets, particles=5)
    assert x.shape == (30, 5, 3)
    for jet, rows in zip(jets, x, strict=True):
        count = min(5, int(jet.multiplicity[0]))
        np.testing.assert_allclose(rows[:count, 2], jet.flat("pt")[:count] / jet.pt[0], rtol=1e-6)
        np.testing.assert_allclose(rows[:count, 0], jet.flat("eta")[:count] - jet.eta[0], atol=1e-6)
        assert not rows[count:].any()
    whole = relative_particles(jets, particles=30)
    np.testing.assert_allclose(relative_mass(whole), jets.mass / jets.pt, rtol=1e-4)
    np.testing.assert_allclose(relative_energyflow(whole), energy_flow_polynomials(jets), rtol=1e-5, atol=1e-12)


def test_arrays_are_sorted_masked_and_cut() -> None:
    values = np.array([[[0.1, 0.2, 0.3, 1], [0.5, 0.6, 0.7, 1], [0.9, 0.9, 0.9, 0], [0.4, 0.4, 0.0, 1]]])
    np.testing.assert_array_equal(relative_particles(values, particles=3)[0, :, 2], [0.7, 0.3, 0])
    np.testing.assert_array_equal(relative_particles(values, particles=1)[0], [[0.5, 0.6, 0.7]])
    assert not relative_particles(values, particles=6)[0, 2:].any()
    with pytest.raises(InvalidJetsError, match=r"1 particles with negative ptrel, down to -0\.3"):
        relative_particles(values - [[[0, 0, 0.6, 0], *[[0] * 4] * 3]])
    with pytest.raises(InvalidJetsError, match=r"shape \(1, 4, 2\)"):
        relative_particles(values[..., :2])


# ---- the table ------------------------------------------------------------------------------------------------------

SMALL = JetNetPlan(matched=10, matched_batches=3, floors=5)


def labelled(n: int, *, seed: int) -> Jets:
    jets = toy_jets(10 * n, seed=seed, high=8)
    return jets[np.isin(jets.label, (0, 1))]


class Sums:
    """Stands for the network of FPND."""

    def describe(self, jets: np.ndarray) -> np.ndarray:
        return np.stack([jets[..., 2].max(axis=1), (jets[..., 2] > 0).sum(axis=1) / 10], axis=1)

    def reference(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        return (np.array([0.5, 0.5]), np.eye(2)) if name == "g" else None


def test_damaged_jets_stand_out_in_every_measure_and_good_ones_do_not() -> None:
    true, generated = labelled(150, seed=1), labelled(120, seed=2)
    good = jetnet_table(true, generated, network=Sums(), plan=SMALL)
    assert list(good["class"].unique()) == ["QCD", "Hbb"]
    measures = [
        *("w1_m", "w1_p", "w1_p_etarel", "w1_p_phirel", "w1_p_ptrel", "w1_efp", "fpd", "kpd"),
        *("fpnd", "coverage", "matching"),
    ]
    assert sorted(good.loc[good["class"] == "QCD", "measure"]) == sorted(measures)
    assert good["z"].median() < 2
    assert (good["n_true"] == 150).all()
    assert (good["n_generated"] == 120).all()
    assert set(good.loc[good["measure"] == "w1_m", "jets"]) == {24}
    bad = jetnet_table(true["QCD"], generated["QCD"].leading(2), network=Sums(), plan=SMALL).set_index("measure")["z"]
    assert (bad.drop(["coverage", "matching"]) > 2).all()
    assert bad["w1_p"] > 10


def test_rows_are_what_they_say() -> None:
    true, generated = random_jets(200, seed=1), random_jets(160, seed=2, wide=0.15)
    table = jetnet_table(true, generated, particles=6, plan=SMALL, seed=3).set_index("measure")
    assert set(table["class"]) == {"all"}
    again = jetnet_table(true, generated, particles=6, plan=SMALL, seed=3).set_index("measure")
    assert again.equals(table)
    draws = _draws(np.random.default_rng(3), (200, 160), (50_000, 5), SMALL)
    mass = (
        relative_mass(relative_particles(true, particles=6)),
        relative_mass(relative_particles(generated, particles=6)),
    )
    values = [wasserstein(mass[0][a], mass[1][b]) for a, b in draws.values]
    assert table.at["w1_m", "value"] == pytest.approx(np.mean(values))
    assert table.at["w1_m", "error"] == pytest.approx(np.std(values, ddof=1))
    null = [wasserstein(mass[0][a], mass[0][b]) for ((a, b),) in draws.floors]
    assert table.at["w1_m", "floor"] == pytest.approx(np.mean(null))
    assert table.at["w1_m", "floor_sd"] == pytest.approx(np.std(null, ddof=1))
    parts = table.loc[["w1_p_etarel", "w1_p_phirel", "w1_p_ptrel"], "value"]
    assert table.at["w1_p", "value"] == pytest.approx(parts.mean())
    assert "batches of 32 jets in place of the usual 50,000" in table.at["w1_m", "note"]


def test_batches_without_replacement_share_no_jet() -> None:
    draws = _draws(np.random.default_rng(0), (100, 80), (50_000, 4), SMALL)
    for k in range(2):
        rows = np.concatenate([pair[k] for pair in draws.values])
        assert len(rows) == len(set(rows)) == 80
    assert all(not set(a) & set(b) and len(a) == len(b) == 20 for ((a, b),) in draws.floors)


def test_published_batches_are_drawn_with_replacement() -> None:
    plan = JetNetPlan.published()
    assert (plan.jets, plan.batches, plan.matched, plan.matched_batches) == (50_000, 5, 100, 10)
    draws = _draws(np.random.default_rng(0), (100, 80), (500, 4), plan)
    assert [(len(a), len(b), max(b) < 80) for a, b in draws.values] == [(500, 500, True)] * 4
    assert [len(pairs) for pairs in draws.floors] == [4] * plan.floors
    assert len(set(draws.floors[0][0][0])) < 75  # of jets that were themselves drawn with replacement


def test_the_five_polynomials_have_four_vertices_and_four_edges() -> None:
    chosen = [
        name
        for name, graph in CONNECTED_GRAPHS.items()
        if len(graph) == 4 and len({vertex for edge in graph for vertex in edge}) == 4
    ]
    assert set(FOUR_EDGES) == set(chosen)


def test_fpnd_to_published_statistics() -> None:
    jets = toy_jets(1000, high=8)
    gluons = Jets.from_flat(
        jets.offsets, {f: jets.flat(f) for f in jets.fields}, label=np.zeros(1000), classes=("gluon",)
    )
    table = jetnet_table(gluons[:500], gluons[500:], network=Sums(), plan=SMALL).set_index("measure")
    described = Sums().describe(relative_particles(gluons[500:]))
    expected = frechet_distance_to(*Sums().reference("g"), described)
    assert table.at["fpnd_published", "value"] == pytest.approx(expected)
    assert table.at["fpnd_published", "jets"] == 500
    same = frechet_distance_to(described.mean(0), np.cov(described, rowvar=False), described[:300])
    assert same == pytest.approx(frechet_distance(described[:300], described))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InvalidJetsError, match="found 40 jets of a class, expected at least 100"):
        jetnet_table(random_jets(40), random_jets(200), plan=SMALL)
    jets = labelled(20, seed=1)
    with pytest.raises(InvalidJetsError, match=r"true jets of \['QCD', 'Hbb'\] and generated ones of \['QCD'\]"):
        jetnet_table(jets, jets["QCD"], plan=SMALL)
    with pytest.raises(InvalidJetsError, match="at least 2 jets, batches and floors"):
        JetNetPlan(floors=1)


# ---- on the command line --------------------------------------------------------------------------------------------


def test_the_study_measures_both_sizes_of_a_class(tmp_path, capsys) -> None:
    out = tmp_path / "jetnet"
    words = ["study", "jetnet", "omnijet-tiny", "--n", 100, "--classes", "Wqq", "--matched", 3, "--floors", 2]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words), "--out", str(out)])
    assert not ended.value.code
    found = pd.read_csv(out / "table.csv")
    assert set(found["particles"]) == {30, 150}
    assert set(found["class"]) == {"Wqq"}
    assert found["value"].notna().sum() >= 16
    assert json.loads((out / "provenance.json").read_text())["jets_per_class"] == 100
    assert "Wqq, 150 particles" in capsys.readouterr().out


def test_the_study_knows_the_sizes_of_jetnet(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["study", "jetnet", "omnijet-tiny", "--particles", "40", "--n", "100", "--out", str(tmp_path)])
    assert ended.value.code
    assert "30 and of 150" in capsys.readouterr().err
