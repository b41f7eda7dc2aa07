"""Observables against FastJet, vector, brute force and closed forms."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
import warnings
from pathlib import Path

import awkward as ak
import fastjet
import numpy as np
import pytest
import vector

from jetlab.errors import JetLabError
from jetlab.jets import Jets
from jetlab.observables import JET_OBSERVABLES, OBSERVABLES, compute, named, shapes, substructure
from jetlab.observables.observable import Observable

PROTO = Path(__file__).parents[2] / "shared/data/pythia_proto"
RADIUS = 0.8


def toy_jets(n: int = 60, *, seed: int = 1, smallest: int = 1, shift: float = 0.0, scale: float = 1.0) -> Jets:
    """Jets with a hard core and soft surroundings, of `smallest` to 40 massive constituents, at any azimuth."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(smallest, 41, n)
    m = counts.sum()
    axis = np.repeat(rng.uniform(-2, 2, n), counts), np.repeat(rng.uniform(-np.pi, np.pi, n), counts)
    columns = {
        "pt": scale * (1 + rng.pareto(1.2, m)).clip(max=500) * 5,
        "eta": axis[0] + rng.normal(0, 0.25, m),
        "phi": axis[1] + rng.normal(0, 0.25, m) + shift,
        "mass": scale * rng.choice([0.0, 0.13957, 0.49368], m),
    }
    return Jets.from_flat(np.concatenate([[0], np.cumsum(counts)]), columns)


def jets_of(*constituents: list[tuple[float, float, float, float]]) -> Jets:
    """Jets given as lists of (pt, eta, phi, mass)."""
    counts = [len(c) for c in constituents]
    flat = np.array([p for c in constituents for p in c]).reshape(-1, 4)
    columns = {name: flat[:, k] for k, name in enumerate(("pt", "eta", "phi", "mass"))}
    return Jets.from_flat(np.concatenate([[0], np.cumsum(counts)]).astype(int), columns)


def pseudojets(jet: Jets) -> list[fastjet.PseudoJet]:
    return [fastjet.PseudoJet(*(float(x) for x in (px, py, pz, e))) for e, px, py, pz in jet.flat_p4]


# ---- sums of momenta -------------------------------------------------------------------------------------------------


def test_mass_and_pt_agree_with_vector() -> None:
    jets = toy_jets()
    vector.register_awkward()
    particles = ak.zip({f: ak.values_astype(jets.particles[f], np.float64) for f in ("pt", "eta", "phi", "mass")})
    total = ak.sum(ak.with_name(particles, "Momentum4D"), axis=1)
    np.testing.assert_allclose(OBSERVABLES["mass"].compute(jets), ak.to_numpy(total.mass), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(OBSERVABLES["pt"].compute(jets), ak.to_numpy(total.pt), rtol=1e-10)


def test_mass_of_two_massless_constituents() -> None:
    jets = jets_of([(100, 0.3, 3.0, 0), (50, -0.2, -3.0, 0)])
    eta, phi = jets.flat("eta").astype(float), jets.flat("phi").astype(float)
    expected = np.sqrt(2 * 100 * 50 * (np.cosh(eta[0] - eta[1]) - np.cos(phi[0] - phi[1])))
    assert OBSERVABLES["mass"].compute(jets)[0] == pytest.approx(expected, rel=1e-9)


# ---- shapes ----------------------------------------------------------------------------------------------------------


def test_angularities_agree_with_vector() -> None:
    jets = toy_jets(20)
    for i, jet in enumerate(jets):
        particles = [vector.obj(px=p[1], py=p[2], pz=p[3], E=p[0]) for p in jet.flat_p4]
        axis = vector.obj(px=jet.p4[0, 1], py=jet.p4[0, 2], pz=jet.p4[0, 3], E=jet.p4[0, 0])
        pt = np.array([p.pt for p in particles])
        distance = np.array([p.deltaRapidityPhi(axis) for p in particles])
        for name, beta in (("girth", 1.0), ("lha", 0.5)):
            expected = (pt / pt.sum() * distance**beta).sum()
            assert OBSERVABLES[name].compute(jets)[i] == pytest.approx(expected, rel=1e-5, abs=1e-7)
        assert OBSERVABLES["ptd"].compute(jets)[i] == pytest.approx(np.sqrt((pt**2).sum()) / pt.sum(), rel=1e-5)


def test_girth_of_two_equal_constituents_is_half_their_distance() -> None:
    jets = jets_of([(100, 0.1, 0.0, 0), (100, -0.1, 0.0, 0)])
    assert OBSERVABLES["girth"].compute(jets)[0] == pytest.approx(0.1, rel=1e-6)
    assert OBSERVABLES["lha"].compute(jets)[0] == pytest.approx(np.sqrt(0.1), rel=1e-6)
    assert OBSERVABLES["ptd"].compute(jets)[0] == pytest.approx(np.sqrt(0.5), rel=1e-6)


def test_rapidity_of_large_boosts_and_of_nothing() -> None:
    mass, y = 0.5, np.array([-8.0, 0.0, 8.0])
    p = np.zeros(3)
    np.testing.assert_allclose(shapes.rapidity(p, p, mass * np.sinh(y), mass * np.cosh(y)), y, rtol=1e-3)
    assert shapes.rapidity(p, p, p, p).tolist() == [0, 0, 0]


# ---- clustering ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("axes", "scheme"), [("KT_Axes", fastjet.E_scheme), ("WTA_KT_Axes", fastjet.WTA_pt_scheme)])
def test_subjettiness_agrees_with_a_sum_over_kt_axes(axes: str, scheme: int) -> None:
    jets = toy_jets(40, smallest=4)
    tau = substructure.subjettiness(jets, (1, 2, 3), axes=axes)
    definition = fastjet.JetDefinition(fastjet.kt_algorithm, 1000.0, scheme)
    for i, jet in enumerate(jets):
        particles = pseudojets(jet)
        clusters = fastjet._swig.ClusterSequence(particles, definition)
        for k in (1, 2, 3):
            found = clusters.exclusive_jets(k)
            nearest = [min(p.delta_R(axis) for axis in found) for p in particles]
            pt = [p.pt() for p in particles]
            assert tau[i, k - 1] == pytest.approx(np.dot(pt, nearest) / sum(pt) / RADIUS, rel=1e-5, abs=1e-6)


def test_one_pass_axes_are_a_minimum() -> None:
    jets = toy_jets(40, smallest=4)
    one_pass, start = (substructure.subjettiness(jets, axes=a) for a in ("OnePass_KT_Axes", "KT_Axes"))
    assert (one_pass <= start + 1e-6).all()
    assert (one_pass < 0.99 * start).any()


def test_tau_ratios_agree_with_fastjet_jet_by_jet() -> None:
    jets = toy_jets(40, smallest=4)
    table = compute(jets, ["tau21", "tau32"])
    for i, jet in enumerate(jets):
        event = ak.Array([[{"px": px, "py": py, "pz": pz, "E": e} for e, px, py, pz in jet.flat_p4]])
        sequence = fastjet.ClusterSequence(event, fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS))
        tau = sequence.njettiness(axes_definition="OnePass_KT_Axes", njets=[1, 2, 3], beta=1, R0=RADIUS)[0]
        assert table.tau21[i] == pytest.approx(tau[1] / tau[0], rel=1e-5)
        assert table.tau32[i] == pytest.approx(tau[2] / tau[1], rel=1e-5)


def cambridge_aachen_soft_drop_mass(jet: Jets, zcut: float) -> float:
    """Decluster the Cambridge/Aachen tree by hand."""
    nodes = [(vector.obj(px=px, py=py, pz=pz, E=e), None) for e, px, py, pz in jet.flat_p4]
    while len(nodes) > 1:
        pairs = itertools.combinations(range(len(nodes)), 2)
        i, j = min(pairs, key=lambda ij: nodes[ij[0]][0].deltaRapidityPhi(nodes[ij[1]][0]))
        a, b = nodes[i], nodes[j]
        nodes = [node for k, node in enumerate(nodes) if k not in (i, j)] + [(a[0] + b[0], (a, b))]
    momentum, parents = nodes[0]
    while parents is not None:
        soft, hard = sorted(parents, key=lambda node: node[0].pt)
        if soft[0].pt > zcut * (soft[0].pt + hard[0].pt):
            break
        momentum, parents = hard
    return momentum.mass


def test_soft_drop_mass_agrees_with_declustering_by_hand() -> None:
    jets = toy_jets(6, seed=3).leading(20)
    expected = [cambridge_aachen_soft_drop_mass(jet, 0.1) for jet in jets]
    np.testing.assert_allclose(substructure.soft_drop_mass(jets), expected, rtol=1e-5, atol=1e-5)
    assert (substructure.soft_drop_mass(jets) < jets.mass - 1).any()


def test_d2_agrees_with_sums_over_pairs_and_triples() -> None:
    jets = toy_jets(8, smallest=3)
    for i, jet in enumerate(jets):
        particles = pseudojets(jet)
        z = np.array([p.pt() for p in particles]) / sum(p.pt() for p in particles)
        distance = np.array([[p.delta_R(q) for q in particles] for p in particles])
        e2 = sum(z[a] * z[b] * distance[a, b] for a, b in itertools.combinations(range(len(z)), 2))
        e3 = sum(
            z[a] * z[b] * z[c] * distance[a, b] * distance[a, c] * distance[b, c]
            for a, b, c in itertools.combinations(range(len(z)), 3)
        )
        assert OBSERVABLES["d2"].compute(jets)[i] == pytest.approx(e3 / e2**3, rel=1e-5)


def test_unknown_axes_are_refused_before_fastjet_sees_them() -> None:
    with pytest.raises(JetLabError, match=r"'KT_axes'.*OnePass_KT_Axes"):
        substructure.subjettiness(toy_jets(2), axes="KT_axes")
    with pytest.raises(JetLabError, match="N of 1 or more"):
        substructure.subjettiness(toy_jets(2), (0, 1))


def test_fastjet_prints_no_banner() -> None:
    code = (
        "import numpy as np; from jetlab.jets import Jets; from jetlab.observables import compute;"
        "compute(Jets.from_flat([0, 3], dict(pt=np.array([300., 200, 100]), eta=np.array([0, .1, .2]),"
        "phi=np.array([0, .2, .1]), mass=np.zeros(3))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == run.stderr == ""


# ---- few constituents ------------------------------------------------------------------------------------------------

NONE = float("nan")
FEW = {
    "mass": (0, 0.13957, None),
    "pt": (0, 300, None),
    "multiplicity": (0, 1, 2),
    "girth": (NONE, 0, None),
    "lha": (NONE, 0, None),
    "ptd": (NONE, 1, np.hypot(2, 1) / 3),
    "tau21": (NONE, NONE, 0),
    "tau32": (NONE, NONE, NONE),
    "sdmass": (0, 0.13957, None),
    "d2": (NONE, NONE, 0),
}


@pytest.mark.parametrize("name", JET_OBSERVABLES)
def test_jets_of_no_one_and_two_constituents(name: str) -> None:
    one = (300, 0.5, 1.0, 0.13957)
    two = [(200, 0.5, 1.0, 0.0), (100, 0.7, 1.2, 0.0)]
    values = OBSERVABLES[name].compute(jets_of([], [one], two, []))
    assert values.dtype == np.float64
    assert not np.isinf(values).any()
    for value, expected in zip(values, FEW[name], strict=False):
        if expected is not None:
            assert value == pytest.approx(expected, rel=1e-5, abs=2e-5, nan_ok=True)
    assert values[3] == pytest.approx(values[0], nan_ok=True)
    assert np.isfinite(values[2]) or name == "tau32"


@pytest.mark.parametrize("name", JET_OBSERVABLES)
def test_constituents_in_one_direction_are_undefined_not_infinite(name: str) -> None:
    same = [(50, 0.5, 1.0, 0.0)] * 5
    value = OBSERVABLES[name].compute(jets_of(same))[0]
    assert np.isnan(value) == (name in ("tau21", "tau32", "d2"))


def test_no_jets_give_an_empty_table() -> None:
    table = compute(toy_jets(3)[:0])
    assert list(table.columns) == list(JET_OBSERVABLES)
    assert len(table) == 0


# ---- symmetries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.7, np.pi - 0.01, 3.0])
def test_rotation_about_the_beam_changes_nothing(angle: float) -> None:
    before, after = compute(toy_jets(30)), compute(toy_jets(30, shift=angle))
    np.testing.assert_allclose(after, before, rtol=2e-3, atol=1e-4)
    exact = ["pt", "multiplicity", "girth", "lha", "ptd"]
    np.testing.assert_allclose(after[exact], before[exact], rtol=1e-5, atol=1e-6)


def test_shapes_do_not_depend_on_the_scale() -> None:
    before, after = compute(toy_jets(30)), compute(toy_jets(30, scale=8.0))
    np.testing.assert_allclose(
        after[["mass", "pt", "sdmass"]] / 8, before[["mass", "pt", "sdmass"]], rtol=1e-5, atol=1e-5
    )
    same = ["multiplicity", "girth", "lha", "ptd", "tau21", "tau32", "d2"]
    np.testing.assert_allclose(after[same], before[same], rtol=1e-5, atol=1e-6)


# ---- the table -------------------------------------------------------------------------------------------------------


def test_compute_gives_one_row_a_jet_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    jets = toy_jets(25)
    whole = compute(jets)
    monkeypatch.setattr("jetlab.observables._BATCH", 10)
    monkeypatch.setattr("jetlab.observables.substructure._BATCH", 7)
    calls: list[tuple[int, int]] = []
    np.testing.assert_array_equal(compute(jets, progress=lambda done, total: calls.append((done, total))), whole)
    assert calls == [(10, 25), (20, 25), (25, 25)]


def test_compute_shows_a_bar_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm outside a notebook
        compute(toy_jets(5), ["mass"], progress=True)
    assert "5/5" in capsys.readouterr().err


def test_names_are_checked() -> None:
    with pytest.raises(KeyError, match=r"unknown observable 'tau43'.*tau32"):
        compute(toy_jets(2), ["mass", "tau43"])
    with pytest.raises(KeyError, match="one value a constituent"):
        compute(toy_jets(2), ["constituent_pt"])
    assert named("mass").title == "Jet mass [GeV]"
    assert named("tau32").title == "τ₃₂"


def test_constituent_observables_have_one_value_a_constituent() -> None:
    jets = toy_jets(10)
    for name in ("constituent_pt", "constituent_deta", "constituent_dphi"):
        assert OBSERVABLES[name].compute(jets).shape == (jets.multiplicity.sum(),)
    spread = OBSERVABLES["constituent_dphi"].compute(jets)
    assert np.abs(spread).max() < 2
    expected = jets.flat("phi").astype(float) - np.repeat(jets.phi, jets.multiplicity)
    np.testing.assert_allclose(np.sin(spread), np.sin(expected), atol=1e-6)


@pytest.mark.parametrize("observable", OBSERVABLES.values(), ids=list(OBSERVABLES))
def test_every_observable_explains_itself(observable: Observable) -> None:
    assert observable.definition.endswith(".")
    assert observable.level in ("jet", "constituent")
    assert "[" not in observable.label


# ---- bins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBSERVABLES)
def test_edges_hold_all_values_and_resolve_the_bulk(name: str) -> None:
    values = OBSERVABLES[name].compute(toy_jets(400))
    edges = OBSERVABLES[name].edges(values)
    finite = values[np.isfinite(values)]
    assert (np.diff(edges) > 0).all()
    assert edges[0] <= finite.min()
    assert edges[-1] > finite.max()
    assert 12 <= len(edges) <= 90
    share = np.histogram(finite, edges)[0] / len(finite)
    assert share[1:].max() < 0.4
    if OBSERVABLES[name].integer:
        np.testing.assert_allclose(edges % 1, 0.5)


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [5.0], [3.0, 3.0, 3.0], [0.0], [1e-3, 1e6]])
@pytest.mark.parametrize("name", ["mass", "multiplicity", "constituent_pt", "constituent_deta"])
def test_edges_of_odd_samples_rise(name: str, values: list[float]) -> None:
    edges = OBSERVABLES[name].edges(values)
    assert len(edges) >= 2
    assert (np.diff(edges) > 0).all()


# ---- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.benchmark
@pytest.mark.skipif(not PROTO.exists(), reason="needs the simulated sample files")
def test_twenty_thousand_jets_take_less_than_a_minute() -> None:
    from jetlab.data import load_jets

    jets = load_jets(PROTO, n=1000)
    start = time.process_time()
    compute(jets)
    assert (time.process_time() - start) * 20_000 / len(jets) < 60
