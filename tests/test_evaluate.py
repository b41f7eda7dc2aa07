from __future__ import annotations

import json
import re
import time
from html import unescape

import numpy as np
import pytest
from scipy import stats

from jetlab.errors import FileError, InvalidJetsError, JetLabError
from jetlab.evaluate import (
    Observed,
    Sample,
    average_image,
    bin_edges,
    compare,
    compare_by_class,
    distance_table,
    floor,
    histogram,
    ks,
    measure,
    nearest_jet,
    observe,
    ratio,
    shape,
    wasserstein,
    with_uncertainty,
)
from jetlab.evaluate.samples import Grid, resample
from jetlab.jets import Jets
from jetlab.observables import OBSERVABLES

CHEAP = ("mass", "multiplicity", "constituent_pt")


def toy_jets(n: int, seed: int, *, classes: tuple[int, ...] = (0,), shift: float = 0.0) -> Jets:
    """Jets of about 20 constituents around an axis, labelled in turn; shift moves their angles outwards."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(20, n) + 1
    m = int(counts.sum())
    columns = {
        "pt": rng.exponential(25.0, m) + 0.5,
        "eta": rng.normal(0.3, 0.15 + shift, m),
        "phi": rng.normal(1.0, 0.15 + shift, m),
        "mass": np.zeros(m),
        "ptype": rng.integers(0, 5, m),
    }
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Jets.from_flat(offsets, columns, label=np.resize(classes, n), meta={"source": f"toy <{seed}>"})


def toy_samples(rng: np.random.Generator, n: int, jets_differ: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Constituent values that differ from jet to jet, and their offsets."""
    counts = rng.poisson(15, n) + 1
    values = rng.normal(size=counts.sum()) + np.repeat(rng.normal(0, jets_differ, n), counts)
    return values, np.concatenate([[0], np.cumsum(counts)])


# ---- distances of numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 7), (50, 83), (1200, 300)])
@pytest.mark.parametrize("kind", ["normal", "integers", "heavy tail"])
def test_wasserstein_and_ks_agree_with_scipy(n: int, m: int, kind: str) -> None:
    rng = np.random.default_rng(n + m)
    draw = {
        "normal": lambda size: rng.normal(size=size),
        "integers": lambda size: rng.poisson(4, size),
        "heavy tail": lambda size: rng.pareto(1.5, size),
    }[kind]
    a, b = draw(n), draw(m)
    assert wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-12, abs=1e-15)
    expected = stats.ks_2samp(a, b)
    assert ks(a, b)[0] == pytest.approx(expected.statistic, abs=1e-12)
    assert ks(a, b)[1] == pytest.approx(expected.pvalue, rel=0.05, abs=1e-12)


def test_weighted_wasserstein_agrees_with_scipy_and_with_repeated_values() -> None:
    rng = np.random.default_rng(1)
    a, b, wa, wb = rng.normal(size=40), rng.normal(1, 2, 60), rng.random(40), rng.random(60)
    expected = stats.wasserstein_distance(a, b, wa, wb)
    assert wasserstein(a, b, a_weights=wa, b_weights=wb) == pytest.approx(expected, rel=1e-12)
    times = rng.integers(0, 4, 40)
    assert wasserstein(a, b, a_weights=times) == pytest.approx(wasserstein(np.repeat(a, times), b), rel=1e-12)


def test_wasserstein_is_a_metric() -> None:
    rng = np.random.default_rng(2)
    a, b, c = rng.normal(size=100), rng.gamma(2, size=130), rng.normal(1, 3, 70)
    assert wasserstein(a, a) == 0
    assert wasserstein(a, rng.permutation(a)) == 0
    assert wasserstein(a, b) == pytest.approx(wasserstein(b, a), rel=1e-12)
    assert wasserstein(a, a + 0.7) == pytest.approx(0.7, rel=1e-12)
    assert wasserstein(3 * a, 3 * b) == pytest.approx(3 * wasserstein(a, b), rel=1e-12)
    assert wasserstein(a, c) <= wasserstein(a, b) + wasserstein(b, c)


def test_values_that_are_not_finite_are_left_out() -> None:
    a, b = np.array([1.0, np.nan, 2.0, np.inf]), np.array([1.0, 2.0])
    assert wasserstein(a, b) == 0
    assert ks(a, b)[0] == 0
    assert np.isnan(wasserstein([np.nan], b))
    assert np.isnan(wasserstein([], b))
    assert np.isnan(ks([], b)).all()


@pytest.mark.parametrize(
    ("weights", "message"), [([1.0], "1 weights"), ([1.0, -1.0], "negative"), ([1, np.nan], "NaN")]
)
def test_bad_weights_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(JetLabError, match=message):
        wasserstein([1.0, 2.0], [1.0], a_weights=weights)


# ---- resampling -----------------------------------------------------------------------------------------------------


def test_resampling_draws_the_right_number_with_the_right_spread() -> None:
    drawn = resample(np.random.default_rng(0), 50, 80, 4000)
    assert drawn.shape == (50, 4000)
    assert (drawn.sum(axis=0) == 80).all()
    assert drawn.mean() == pytest.approx(80 / 50)
    assert drawn.var(axis=1).mean() == pytest.approx(80 / 50 * (1 - 1 / 50), rel=0.02)


@pytest.mark.parametrize("n", [300, 12_000])
def test_grid_gives_the_distance_of_the_resampled_values(n: int) -> None:
    rng = np.random.default_rng(3)
    a, b = Sample.of(rng.standard_t(2, n)), Sample.of(rng.standard_t(2, n) + 0.05)
    weights = resample(rng, n, n, 5), resample(rng, n, n, 5)
    w1, gap = Grid.of(a, b).distances(*weights)
    for k in range(5):
        x, y = (np.repeat(s.values, w[:, k].astype(int)) for s, w in zip((a, b), weights, strict=True))
        assert w1[k] == pytest.approx(stats.wasserstein_distance(x, y), rel=2e-3 if n > 4000 else 1e-6)
        assert gap[k] == pytest.approx(stats.ks_2samp(x, y).statistic, abs=1e-3 if n > 4000 else 1e-6)


def test_bootstrap_uncertainty_agrees_with_brute_force() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.gamma(3, size=400), rng.gamma(3.3, size=250)
    brute = [stats.wasserstein_distance(rng.choice(a, a.size), rng.choice(b, b.size)) for _ in range(600)]
    found = measure({"x": (Sample.of(a), Sample.of(b))}, bootstrap=600)["x"]
    assert found.w1 == pytest.approx(stats.wasserstein_distance(a, b))
    assert found.w1_err == pytest.approx(np.std(brute), rel=0.1)


def test_bootstrap_resamples_jets_and_not_constituents() -> None:
    rng = np.random.default_rng(5)
    (a, a_offsets), (b, b_offsets) = toy_samples(rng, 150), toy_samples(rng, 150)
    jets_a, jets_b = np.split(a, a_offsets[1:-1]), np.split(b + 0.3, b_offsets[1:-1])

    def draw(jets: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([jets[k] for k in rng.integers(0, len(jets), len(jets))])

    brute = [stats.wasserstein_distance(draw(jets_a), draw(jets_b)) for _ in range(200)]
    pair = Sample.of(a, offsets=a_offsets), Sample.of(b + 0.3, offsets=b_offsets)
    found = measure({"x": pair}, bootstrap=200)["x"]
    independent = measure({"x": (Sample.of(a), Sample.of(b + 0.3))}, bootstrap=200)["x"]
    assert found.w1_err == pytest.approx(np.std(brute), rel=0.2)
    assert found.w1_err > 1.2 * independent.w1_err


@pytest.mark.parametrize(("n", "m"), [(400, 400), (300, 1000)])
def test_floor_agrees_with_really_independent_truth(n: int, m: int) -> None:
    rng = np.random.default_rng(6)
    real = [wasserstein(rng.gamma(3, size=n), rng.gamma(3, size=m)) for _ in range(400)]
    floors = np.array([floor(rng.gamma(3, size=n), n, m, seed=seed) for seed in range(30)])
    assert floors[:, 0].mean() == pytest.approx(np.mean(real), rel=0.15)
    assert floors[:, 1].mean() == pytest.approx(np.std(real), rel=0.15)


def test_constituent_floor_agrees_with_really_independent_truth() -> None:
    rng = np.random.default_rng(7)
    real = [wasserstein(toy_samples(rng, 150)[0], toy_samples(rng, 150)[0]) for _ in range(200)]
    floors = []
    for seed in range(15):
        values, offsets = toy_samples(rng, 150)
        floors.append(floor(values, offsets=offsets, seed=seed)[0])
    assert np.mean(floors) == pytest.approx(np.mean(real), rel=0.15)


def test_truth_against_truth_has_z_around_zero_with_unit_spread() -> None:
    rng = np.random.default_rng(1)
    z = []
    for seed in range(250):
        pair = Sample.of(rng.gamma(3, size=300)), Sample.of(rng.gamma(3, size=300))
        z.append(measure({"x": pair}, seed=seed)["x"].z)
    assert np.mean(z) == pytest.approx(0, abs=0.2)
    assert np.std(z) == pytest.approx(1, abs=0.2)


def test_p_value_of_correlated_constituents_is_uniform_for_truth() -> None:
    rng = np.random.default_rng(9)
    corrected, naive = [], []
    for seed in range(100):
        (a, a_offsets), (b, b_offsets) = toy_samples(rng, 120, 1.0), toy_samples(rng, 120, 1.0)
        pair = Sample.of(a, offsets=a_offsets), Sample.of(b, offsets=b_offsets)
        corrected.append(measure({"x": pair}, bootstrap=50, seed=seed)["x"].ks_p)
        naive.append(ks(a, b)[1])
    assert np.mean(np.array(corrected) < 0.1) == pytest.approx(0.1, abs=0.08)
    assert np.mean(np.array(naive) < 0.1) > 0.3


def test_same_seed_same_numbers_and_progress() -> None:
    rng = np.random.default_rng(10)
    pairs = {"x": (Sample.of(rng.normal(size=60)), Sample.of(rng.normal(size=80)))}
    calls: list[tuple[int, int]] = []
    first = measure(pairs, bootstrap=20, seed=3, progress=lambda done, total: calls.append((done, total)))
    assert first == measure(pairs, bootstrap=20, seed=3)
    assert first != measure(pairs, bootstrap=20, seed=4)
    assert calls[-1] == (20, 20)


def test_bootstrap_must_be_possible() -> None:
    with pytest.raises(JetLabError, match="bootstrap = 1"):
        measure({}, bootstrap=1)
    pairs = {"x": (Sample.of([1.0]), Sample.of([1.0])), "y": (Sample.of([1.0, 2.0]), Sample.of([1.0]))}
    with pytest.raises(JetLabError, match="different numbers"):
        measure(pairs)


@pytest.mark.parametrize(
    ("true", "generated", "note"),
    [
        ([1.0], [1.0, 2.0], "one true jet"),
        ([np.nan] * 3, [1.0, 2.0], "undefined for all true jets"),
        ([1.0, 2.0], [], "no generated jets"),
        ([1.0, 2.0, np.nan], [1.0, 2.0], "only 2 true jets"),
        ([5.0] * 60, [5.0] * 60, "all true values are equal"),
    ],
)
def test_small_or_undefined_samples_give_a_note_and_no_error(true: list, generated: list, note: str) -> None:
    found = measure({"x": (Sample.of(true), Sample.of(generated))}, bootstrap=10)["x"]
    assert note in found.note
    if min(found.n_true, found.n_generated) < 2 or found.floor == 0:
        assert np.isnan(found.z)
    assert np.isnan(floor([1.0, np.nan])).all()


def test_ten_observables_are_fast() -> None:
    rng = np.random.default_rng(11)
    n, samples = 2000, []
    for _ in range(2):
        counts = rng.poisson(45, n)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        jets = {f"jet{k}": Sample.of(rng.gamma(5, size=n)) for k in range(7)}
        parts = {f"part{k}": Sample.of(rng.exponential(size=offsets[-1]), offsets=offsets) for k in range(3)}
        samples.append(jets | parts)
    pairs = {name: (samples[0][name], samples[1][name]) for name in samples[0]}
    start = time.process_time()
    measure(pairs, bootstrap=100)
    assert time.process_time() - start < 4  # 0.7 s where nothing else runs


# ---- histograms -----------------------------------------------------------------------------------------------------


def test_histogram_follows_uhi_and_keeps_the_flow() -> None:
    filled = histogram(
        Sample.of([-1.0, 0.5, 0.6, 1.5, 9.0, np.nan]), [0.0, 1.0, 2.0], name="mass", label="Jet mass [GeV]"
    )
    assert filled.axes[0].name == "mass"
    assert filled.axes[0].label == "Jet mass [GeV]"
    assert filled.kind == "COUNT"
    np.testing.assert_array_equal(filled.values(flow=True), [1, 2, 1, 1])
    np.testing.assert_array_equal(filled.variances(flow=True), [1, 2, 1, 1])
    uneven = histogram(Sample.of([0.5]), [0.0, 1.0, 5.0], name="x", label="x")
    np.testing.assert_array_equal(uneven.axes[0].edges, [0, 1, 5])


@pytest.mark.parametrize("edges", [[0.0], [0.0, 0.0], [1.0, 0.0], [[0.0, 1.0]]])
def test_edges_must_rise(edges: list) -> None:
    with pytest.raises(JetLabError, match="rising"):
        histogram(Sample.of([0.5]), edges, name="x", label="x")


def test_constituent_variance_is_poisson_if_independent_and_larger_if_not() -> None:
    rng = np.random.default_rng(12)
    edges = np.linspace(-3, 3, 13)
    (loose, loose_offsets), (tight, tight_offsets) = toy_samples(rng, 4000, 0.0), toy_samples(rng, 4000, 1.0)
    independent = histogram(Sample.of(loose, offsets=loose_offsets), edges, name="x", label="x")
    np.testing.assert_allclose(independent.variances() / independent.values(), 1, atol=0.15)
    correlated = histogram(Sample.of(tight, offsets=tight_offsets), edges, name="x", label="x")
    assert (correlated.variances() > 1.3 * correlated.values()).all()


def test_fraction_errors_of_constituents_agree_with_repeated_samples() -> None:
    rng = np.random.default_rng(13)
    edges = np.linspace(-2, 2, 9)
    shapes = []
    for _ in range(300):
        values, offsets = toy_samples(rng, 200, 1.0)
        shapes.append(shape(histogram(Sample.of(values, offsets=offsets), edges, name="x", label="x")))
    spread = np.std([s.values for s in shapes], axis=0)
    np.testing.assert_allclose(np.mean([s.errors for s in shapes], axis=0), spread, rtol=0.15)


def test_fraction_errors_of_jets_are_binomial_and_include_the_flow() -> None:
    filled = histogram(Sample.of([0.5] * 30 + [1.5] * 60 + [7.0] * 10), [0.0, 1.0, 2.0], name="x", label="x")
    found = shape(filled, scale="fraction")
    np.testing.assert_allclose(found.values, [0.3, 0.6])
    np.testing.assert_allclose(found.errors, np.sqrt([0.3 * 0.7 / 100, 0.6 * 0.4 / 100]))
    assert found.over == pytest.approx((0.1, np.sqrt(0.1 * 0.9 / 100)))
    assert found.under == (0, 0)
    np.testing.assert_allclose(found.entry, 0.01)


def test_scales() -> None:
    filled = histogram(Sample.of([1.5, 3.0, 3.5, 3.9]), [1.0, 2.0, 4.0], name="x", label="x")
    np.testing.assert_allclose(shape(filled, scale="counts").values, [1, 3])
    np.testing.assert_allclose(shape(filled, scale="counts").errors, np.sqrt([1, 3]))
    np.testing.assert_allclose(shape(filled, scale="density").values, [0.25, 0.375])
    np.testing.assert_allclose(shape(filled, scale="log-density").values, np.array([0.25, 0.75]) / np.log(2))
    with pytest.raises(JetLabError, match="scale = 'area'"):
        shape(filled, scale="area")  # type: ignore[arg-type]
    with pytest.raises(JetLabError, match="positive bin edges"):
        shape(histogram(Sample.of([1.0]), [0.0, 2.0], name="x", label="x"), scale="log-density")


def test_split_ratio_of_samples_of_different_size() -> None:
    edges = [0.0, 1.0, 2.0, 3.0, 4.0]
    true = histogram(Sample.of([0.5] * 50 + [1.5] * 40 + [2.5] * 10), edges, name="x", label="x")
    generated = histogram(Sample.of([0.5] * 300 + [1.5] * 100), edges, name="x", label="x")
    found = ratio(true, generated)
    np.testing.assert_allclose(found.value[:3], [1.5, 0.625, 0])
    assert np.isnan(found.value[3])
    np.testing.assert_allclose(found.band[:2], np.sqrt([0.25 / 100, 0.24 / 100]) / [0.5, 0.4])
    np.testing.assert_allclose(found.error[:2], np.sqrt([0.75 * 0.25 / 400, 0.75 * 0.25 / 400]) / [0.5, 0.4])
    assert found.error[2] == pytest.approx(1 / 400 / 0.1)  # an empty bin: one entry
    assert found.pull[0] == pytest.approx(0.25 / np.hypot(np.sqrt(0.25 / 100), np.sqrt(0.75 * 0.25 / 400)))
    assert np.isnan(found.pull[3])
    np.testing.assert_allclose(found.total_error[0], np.hypot(found.error[0], 1.5 * found.band[0]))
    np.testing.assert_allclose(ratio(true, generated, scale="density").value[:3], found.value[:3])


def test_pulls_of_truth_against_truth_are_standard_normal() -> None:
    rng = np.random.default_rng(14)
    edges = np.linspace(0, 6, 13)
    pulls = [
        ratio(*(histogram(Sample.of(rng.gamma(3, size=n)), edges, name="x", label="x") for n in (800, 2000))).pull
        for _ in range(100)
    ]
    assert np.nanmean(pulls) == pytest.approx(0, abs=0.1)
    assert np.nanstd(pulls) == pytest.approx(1, abs=0.1)


def test_ratio_refuses_different_bins_and_survives_empty_histograms() -> None:
    one = histogram(Sample.of([0.5]), [0.0, 1.0], name="x", label="x")
    other = histogram(Sample.of([0.5]), [0.0, 2.0], name="x", label="x")
    empty = histogram(Sample.of([]), [0.0, 1.0], name="x", label="x")
    with pytest.raises(JetLabError, match="1 bins from 0 to 1 and 1 bins from 0 to 2"):
        ratio(one, other)
    assert np.isnan(ratio(empty, one).value).all()
    assert ratio(one, empty).value[0] == 0


@pytest.mark.parametrize("name", ["mass", "multiplicity", "constituent_pt"])
def test_bin_edges_leave_no_thin_tails(name: str) -> None:
    sample = observe(toy_jets(600, 15), [name]).sample(name)
    edges = bin_edges(OBSERVABLES[name], sample)
    counts, _ = np.histogram(sample.values, edges)
    assert min(counts[0], counts[-1]) >= 5
    assert 10 <= counts.size <= 70
    assert counts.sum() > 0.98 * sample.values.size
    assert (
        bin_edges(OBSERVABLES[name], sample).size
        >= bin_edges(OBSERVABLES[name], observe(toy_jets(60, 15), [name]).sample(name)).size
    )


@pytest.mark.parametrize("values", [[], [3.0], [3.0] * 100])
def test_bin_edges_of_degenerate_samples_rise(values: list[float]) -> None:
    for name in ("mass", "multiplicity", "constituent_pt"):
        assert (np.diff(bin_edges(OBSERVABLES[name], Sample.of(values))) > 0).all()


# ---- observed jets --------------------------------------------------------------------------------------------------


def test_observed_selects_and_joins_like_jets() -> None:
    jets = toy_jets(30, 16, classes=(0, 2))
    whole = observe(jets, CHEAP)
    np.testing.assert_allclose(whole.values["mass"], jets.mass)
    some = np.array([4, 1, 20])
    np.testing.assert_allclose(whole[some].values["constituent_pt"], jets[some].flat("pt"))
    np.testing.assert_allclose(whole[jets.mass > 50].values["mass"], jets.mass[jets.mass > 50])
    joined = Observed.join([whole[:10], whole[10:]])
    assert len(joined) == 30
    np.testing.assert_array_equal(joined.offsets, whole.offsets)
    np.testing.assert_array_equal(joined.values["constituent_pt"], whole.values["constituent_pt"])
    assert len(whole.of_class("Hcc")) == 15
    assert len(whole.of_class("QCD")) == 15
    assert len(whole.of_class("Tbl")) == 0


def test_observed_errors_name_the_culprit() -> None:
    jets = toy_jets(3, 17)
    with pytest.raises(JetLabError, match="unknown observable 'massless'; expected some of mass"):
        observe(jets, ["massless"])
    with pytest.raises(JetLabError, match="no observable given"):
        observe(jets, [])
    with pytest.raises(JetLabError, match="cannot select class 'top'"):
        observe(jets, ["mass"]).of_class("top")
    with pytest.raises(JetLabError, match="cannot join"):
        Observed.join([observe(jets, ["mass"]), observe(jets, ["pt"])])
    with pytest.raises(JetLabError, match="cannot join"):
        Observed.join([])


# ---- compare --------------------------------------------------------------------------------------------------------


def test_compare_gives_table_and_histograms() -> None:
    true, generated = toy_jets(300, 18), toy_jets(200, 19, shift=0.05)
    result = compare(true, generated, observables=CHEAP, seed=1)
    assert list(result.table.index) == list(CHEAP)
    row = result.table.loc["mass"]
    assert row["w1"] == pytest.approx(stats.wasserstein_distance(true.mass, generated.mass))
    assert row["z"] == pytest.approx((row["w1"] - row["floor"]) / row["floor_sd"])
    assert row["multiple"] == pytest.approx(row["w1"] / row["floor"])
    assert row["ks"] == pytest.approx(stats.ks_2samp(true.mass, generated.mass).statistic)
    assert (row["n_true"], row["n_generated"], row["nan_true"], row["unit"], row["note"]) == (300, 200, 0, "GeV", "")
    assert row["z"] > 5
    assert result.table.loc["multiplicity", "z"] < 5
    assert result.worst_first[0] == "mass"
    assert set(result.hists) == set(CHEAP)
    for name, pair in result.hists.items():
        assert pair["true"].axes[0] == pair["generated"].axes[0]
        assert pair["true"].axes[0].label == OBSERVABLES[name].title
    assert result.hists["mass"]["true"].sum(flow=True).value == 300
    assert result.hists["mass"]["generated"].sum(flow=True).value == 200
    assert result.meta["true"] == {"jets": 300, "source": "toy <18>"}


def test_compare_takes_observed_jets_and_repeats_itself() -> None:
    true, generated = toy_jets(80, 20), toy_jets(80, 21)
    direct = compare(true, generated, observables=CHEAP, bootstrap=20)
    again = compare(observe(true, CHEAP), observe(generated, (*CHEAP, "pt")), bootstrap=20)
    assert direct.table.equals(again.table)
    with pytest.raises(JetLabError, match="pt were not computed for both"):
        compare(observe(true, CHEAP), generated, observables=["pt"])


def test_compare_reports_undefined_values() -> None:
    lonely = Jets.from_flat([0, 1, 2, 3], {"pt": [500.0] * 3, "eta": [0.0] * 3, "phi": [0.0] * 3, "mass": [0.0] * 3})
    result = compare(toy_jets(60, 22), lonely, observables=["tau21"], bootstrap=10)
    row = result.table.loc["tau21"]
    assert row["nan_generated"] == 1
    assert np.isnan(row["w1"])
    assert "undefined for all generated jets" in row["note"]
    assert "–" in result.markdown()


def test_compare_of_one_jet_has_a_note() -> None:
    row = compare(toy_jets(60, 23), toy_jets(1, 24), observables=["mass"], bootstrap=10).table.loc["mass"]
    assert np.isfinite(row["w1"])
    assert np.isnan(row["w1_err"])
    assert row["note"] == "one generated jet: no uncertainty"


def test_nothing_to_compare_is_an_error() -> None:
    jets = toy_jets(3, 25)
    with pytest.raises(InvalidJetsError, match="no generated jets"):
        compare(jets, jets[:0])
    with pytest.raises(InvalidJetsError, match="no true and no generated jets"):
        compare(jets[:0], jets[:0])


@pytest.mark.parametrize("by_class", [False, True])
def test_progress_counts_up_to_the_end(by_class: bool) -> None:
    jets = toy_jets(40, 26, classes=(0, 1))
    calls: list[tuple[int, int]] = []
    function = compare_by_class if by_class else compare
    function(jets, jets, observables=CHEAP, bootstrap=10, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] == 80 + 10 * (2 if by_class else 1)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_compare_by_class() -> None:
    true, generated = toy_jets(120, 27, classes=(0, 3, 5)), toy_jets(80, 28, classes=(0, 3))
    table = compare_by_class(true, generated, observables=["mass", "multiplicity"], bootstrap=20)
    assert list(table["class"]) == ["QCD", "QCD", "Hgg", "Hgg", "Hqql", "Hqql"]
    assert list(table["observable"]) == ["mass", "multiplicity"] * 3
    alone = compare(true["Hgg"], generated["Hgg"], observables=["mass"], bootstrap=20)
    assert table.loc[2, "w1"] == pytest.approx(alone.table.loc["mass", "w1"])
    assert table.loc[4, "note"] == "only 40 true jets: uncertainties are rough; no generated jets"
    unlabelled = Jets(true.particles)
    with pytest.raises(JetLabError, match="generated jets carry no labels"):
        compare_by_class(true, unlabelled, observables=["mass"])


# ---- nearest jets and images ----------------------------------------------------------------------------------------


def test_nearest_jet_finds_the_jet_itself() -> None:
    jets = toy_jets(50, 29)
    assert nearest_jet(jets, 7, jets) == 7
    assert nearest_jet(jets, 7, jets[::-1]) == 42
    with pytest.raises(InvalidJetsError, match="no jets were generated"):
        nearest_jet(jets, 0, jets[:0])


def test_average_image_sums_to_one_and_knows_its_axes() -> None:
    image = average_image(toy_jets(100, 30), align=False)
    assert image.sum(flow=True).value == pytest.approx(1)
    assert [axis.name for axis in image.axes] == ["deta", "dphi"]
    with pytest.raises(InvalidJetsError, match="no image of 0 jets"):
        average_image(toy_jets(3, 31)[:0])


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, 4.0])
def test_aligned_images_have_the_hard_prong_up(angle: float) -> None:
    x, y = np.array([0.075, -0.225]) * np.cos(angle), np.array([0.075, -0.225]) * np.sin(angle)
    two = Jets.from_flat([0, 2], {"pt": [300.0, 100.0], "eta": x, "phi": y, "mass": [0.0, 0.0]})
    image = average_image(two, bins=16)
    centres = image.axes[1].centers
    rows = image.values().sum(axis=0)
    assert rows[np.argmin(np.abs(centres - 0.075))] == pytest.approx(0.75, abs=1e-6)
    assert rows[centres < 0].sum() == pytest.approx(0.25, abs=1e-6)
    assert image.values()[7:9].sum() == pytest.approx(1, abs=1e-6)


# ---- numbers and pages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (4.0512, 0.3123, "4.05 ± 0.31"),
        (413.2, 15.7, "413 ± 16"),
        (12345.0, 678.0, "12345 ± 678"),
        (0.05, 0.0996, "0.05 ± 0.10"),
        (1.0, 0.00996, "1.000 ± 0.010"),
        (4.05e-5, 3.1e-6, "(4.05 ± 0.31)×10⁻⁵"),
        (-1.234, 0.5, "-1.23 ± 0.50"),
        (2.0, 0.0, "2"),
        (2.345, float("nan"), "2.35"),
        (float("nan"), 1.0, "–"),
    ],
)
def test_numbers_have_the_digits_that_their_uncertainty_allows(value: float, error: float, text: str) -> None:
    assert with_uncertainty(value, error) == text


def test_tables_for_papers() -> None:
    result = compare(
        toy_jets(60, 32), toy_jets(60, 33, shift=0.1), observables=["mass", "multiplicity", "tau21"], bootstrap=20
    )
    markdown = distance_table(result.table).splitlines()
    assert markdown[0].startswith("| Observable | W1 | truth vs truth | z |")
    assert len(markdown) == 5
    assert len({line.count("|") for line in markdown}) == 1
    latex = distance_table(result.table, style="latex")
    assert r"\begin{tabular}{lrrrrrr}" in latex
    assert r"$\tau$$_2$$_1$" not in latex
    assert r"$\tau_{21}$" in latex
    assert r"\pm" in latex
    assert "±" not in latex
    assert latex.count("$") % 2 == 0
    with pytest.raises(JetLabError, match="style = 'word'"):
        distance_table(result.table, style="word")  # type: ignore[arg-type]
    by_class = compare_by_class(toy_jets(20, 34), toy_jets(20, 35), observables=["mass"], bootstrap=10)
    assert distance_table(by_class).splitlines()[2].startswith("| QCD | Jet mass [GeV] |")


def test_repr_is_a_table() -> None:
    result = compare(toy_jets(60, 36), toy_jets(50, 37), observables=["mass"], bootstrap=10)
    assert repr(result).startswith("<Comparison: 60 true, 50 generated jets>\n| Observable |")
    assert "<td>Jet mass [GeV]</td>" in result._repr_html_()


def test_report_is_one_small_page_that_needs_no_other_file(tmp_path) -> None:
    result = compare(toy_jets(200, 38), toy_jets(150, 39, shift=0.02), observables=CHEAP, bootstrap=20)
    page, csv = result.report(tmp_path / "new" / "report", title="W & Z <jets>")
    text = page.read_text(encoding="utf-8")
    assert page.name == "report.html"
    assert csv.read_text().startswith("observable,w1,w1_err,floor")
    assert page.stat().st_size < 200_000
    assert text.count("<svg") == 3
    assert "W &amp; Z &lt;jets&gt;" in text
    assert "toy <38>" not in text
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text.replace("xlink:href", "href"))
    assert json.loads(unescape(text.split("<pre>")[1].split("</pre>")[0]))["seed"] == 0
    row = result.table.loc["mass"]
    assert text.count(with_uncertainty(row["w1"], row["w1_err"])) >= 2  # in the table and in the figure
    with pytest.raises(FileError, match="cannot write the report"):
        result.report(page / "below" / "a" / "file.html")


def test_ks_of_far_samples_warns_of_nothing() -> None:
    rng = np.random.default_rng(0)
    statistic, p = ks(rng.normal(0, 1, 200), rng.normal(30, 1, 200))
    assert statistic == 1
    assert 0 <= p < 1e-20
