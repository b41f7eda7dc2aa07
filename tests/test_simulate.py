"""Simulation: detector formulas, truth matching, clustering, reproducible and resumable runs."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial

import awkward as ak
import numpy as np
import pytest

from jetlab.data.simulate import RECIPES, parts, run, simulate, simulate_to_file
from jetlab.data.simulate.calorimeter import ECAL, HCAL, Calorimeter
from jetlab.data.simulate.candidates import (
    CHARGED_HADRON,
    ELECTRON,
    MUON,
    NEUTRAL_HADRON,
    PHOTON,
    Candidates,
    StableParticles,
    stable_particles,
    visible_candidates,
)
from jetlab.data.simulate.chunk import Chunk, simulate_chunk
from jetlab.data.simulate.cluster import clean_constituents, find_jets, substructure
from jetlab.data.simulate.detector import Detector, energy_flow
from jetlab.data.simulate.propagation import Solenoid, propagate
from jetlab.data.simulate.pythia import Events, generate_events, start_pythia
from jetlab.data.simulate.recipes import JetSelection
from jetlab.data.simulate.resolution import impact_parameter_resolution
from jetlab.data.simulate.tracking import log_normal, momentum_resolution, track_efficiency
from jetlab.data.simulate.truth import QCD_CODE, TRUTH_CODES, match_jets
from jetlab.data.simulate.workers import run_tasks
from jetlab.errors import FileError, JetLabError, MissingExtraError
from jetlab.jets import Jets
from jetlab.vocabulary import CLASSES

PION, KLONG, MUON_MINUS = 211, 130, 13
SOLENOID = Solenoid()


def particles(n=1, *, pid=PION, charge=1, pt=10.0, eta=0.3, phi=0.0, mass=0.13957, x=0.0, y=0.0, z=0.0):
    columns = {"pt": pt, "eta": eta, "phi": phi, "mass": mass, "x": x, "y": y, "z": z}
    flat = {name: np.array(np.broadcast_to(value, n), dtype=float) for name, value in columns.items()}
    whole = {"event": 0, "pid": pid, "charge": charge}
    flat |= {name: np.array(np.broadcast_to(value, n), dtype=np.int64) for name, value in whole.items()}
    return StableParticles(**flat)


def candidates(pt, eta, phi, event=0):
    n = len(pt)
    flat = {"pt": pt, "eta": eta, "phi": phi} | dict.fromkeys(("mass", "d0", "d0err", "dz", "dzerr"), np.zeros(n))
    whole = {"event": event, "charge": 0, "ptype": PHOTON}
    flat = {name: np.asarray(value, dtype=float) for name, value in flat.items()}
    return Candidates(**flat, **{k: np.array(np.broadcast_to(v, n), dtype=np.int64) for k, v in whole.items()})


def same(a: Jets, b: Jets) -> bool:
    columns = all(np.array_equal(a.flat(f), b.flat(f)) for f in a.fields)
    info = all(np.array_equal(a.info[c], b.info[c]) for c in a.info)
    return a.fields == b.fields and np.array_equal(a.offsets, b.offsets) and columns and info


# ---- propagation ----------------------------------------------------------------------------------------------------


def test_neutral_particle_from_the_origin_keeps_its_direction():
    flight = propagate(particles(3, pid=22, charge=0, eta=[-1.0, 0.0, 2.0], phi=[0.5, -2.0, 3.0]), SOLENOID)
    np.testing.assert_allclose(flight.eta, [-1.0, 0.0, 2.0], atol=1e-12)
    np.testing.assert_allclose(flight.phi, [0.5, -2.0, 3.0], atol=1e-12)
    assert not flight.d0.any()
    assert not flight.dz.any()


def test_charged_particle_turns_by_the_chord_of_its_circle():
    pt, phi = 2.0, 0.4
    flight = propagate(particles(2, charge=[1, -1], pt=pt, eta=0.0, phi=phi), SOLENOID)
    radius = pt / (0.299792458 * 3.8) * 1e3
    bend = np.arcsin(1290.0 / (2 * radius))
    np.testing.assert_allclose(flight.phi, [phi - bend, phi + bend], atol=1e-12)


def test_impact_parameters_of_a_displaced_track():
    # moving along y from a point on the x axis: the beam is passed at that very point
    flight = propagate(particles(2, charge=[1, -1], x=0.7, z=3.0, phi=np.pi / 2), SOLENOID)
    np.testing.assert_allclose(flight.d0, 0.7, atol=1e-9)
    np.testing.assert_allclose(flight.dz, 3.0, atol=1e-9)
    np.testing.assert_allclose(flight.phi_track, np.pi / 2, atol=1e-12)


def test_a_track_extrapolates_back_to_where_it_came_from():
    """Moving the vertex along the helix changes neither its impact parameters nor where it leaves."""
    pt, eta, phi, d0, dz = 1.5, 0.8, 0.3, 2.0, -4.0
    start = particles(pt=pt, eta=eta, phi=phi, x=d0 * np.sin(phi), y=-d0 * np.cos(phi), z=dz)
    radius = pt / (0.299792458 * 3.8) * 1e3
    path = 150.0
    xc, yc = start.x + radius * np.sin(phi), start.y - radius * np.cos(phi)
    later = phi - path / radius
    moved = replace(
        start,
        phi=np.array([later]),
        x=xc - radius * np.sin(later),
        y=yc + radius * np.cos(later),
        z=start.z + path * np.sinh(eta),
    )
    for flight in (propagate(start, SOLENOID), propagate(moved, SOLENOID)):
        np.testing.assert_allclose([*flight.d0, *flight.dz, *flight.phi_track], [d0, dz, phi], atol=1e-9)
    np.testing.assert_allclose(propagate(moved, SOLENOID).eta, propagate(start, SOLENOID).eta, atol=1e-9)
    np.testing.assert_allclose(propagate(moved, SOLENOID).phi, propagate(start, SOLENOID).phi, atol=1e-9)


def test_end_points_agree_with_small_steps():
    rng = np.random.default_rng(1)
    n = 200
    flock = particles(
        n,
        charge=rng.choice([-1, 1], n),
        pt=rng.uniform(0.2, 5, n),
        eta=rng.choice([-1, 1], n) * rng.uniform(0.8, 2.5, n),
        phi=rng.uniform(-np.pi, np.pi, n),
        x=rng.normal(0, 100, n),
        y=rng.normal(0, 100, n),
        z=rng.normal(0, 300, n),
    )
    flight = propagate(flock, SOLENOID)
    eta, phi = walk(flock, step=0.2)
    np.testing.assert_allclose(flight.eta, eta, atol=2e-3)
    np.testing.assert_allclose(np.sin(flight.phi - phi), 0, atol=2e-3)


def walk(flock, *, step):
    """Direction of the end points, found by walking along the particles in small steps of the transverse path [mm]."""
    x, y, z, phi = flock.x.copy(), flock.y.copy(), flock.z.copy(), flock.phi.copy()
    turn = flock.charge * 0.299792458e-3 * 3.8 / flock.pt * step
    inside = np.ones(len(flock), dtype=bool)
    while inside.any():
        middle = phi - turn / 2
        x += np.where(inside, step * np.cos(middle), 0)
        y += np.where(inside, step * np.sin(middle), 0)
        z += np.where(inside, step * np.sinh(flock.eta), 0)
        phi -= turn
        inside &= (np.hypot(x, y) < SOLENOID.radius) & (np.abs(z) < SOLENOID.half_length)
    return np.arcsinh(z / np.hypot(x, y)), np.arctan2(y, x)


def test_soft_particles_spiral_to_the_endcap():
    flight = propagate(particles(pt=0.3, eta=1.0), SOLENOID)
    radius = 0.3 / (0.299792458 * 3.8) * 1e3
    distance = 2 * radius * abs(np.sin(3000 / np.sinh(1.0) / radius / 2))
    assert flight.eta[0] == pytest.approx(np.arcsinh(3000 / distance))


# ---- tracker --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ptype", "pt", "eta", "expected"),
    [
        (CHARGED_HADRON, 0.5, 0.0, 0.70),
        (CHARGED_HADRON, 5.0, -2.0, 0.85),
        (CHARGED_HADRON, 0.1, 0.0, 0.0),
        (CHARGED_HADRON, 5.0, 2.6, 0.0),
        (ELECTRON, 1.0, 1.5, 0.73),
        (ELECTRON, 200.0, 2.0, 0.90),
        (MUON, 50.0, 0.0, 0.99),
        (MUON, 2000.0, 0.0, 0.99 * np.exp(-0.5)),
    ],
)
def test_track_efficiency(ptype, pt, eta, expected):
    assert track_efficiency(np.array([ptype]), np.array([pt]), np.array([eta]))[0] == pytest.approx(expected)


def test_momentum_resolution_adds_its_terms_in_quadrature_and_stops_at_one():
    kinds = np.array([CHARGED_HADRON, ELECTRON, MUON, CHARGED_HADRON])
    found = momentum_resolution(kinds, np.array([100.0, 10.0, 1000.0, 1e4]), np.array([0.2, 1.0, -2.0, 0.0]))
    np.testing.assert_allclose(found, [np.hypot(0.06, 0.13), np.hypot(0.05, 0.017), np.hypot(0.025, 0.35), 1.0])


def test_impact_parameter_resolution_falls_with_pt_and_rises_with_eta():
    pt = np.array([0.1, 0.5, 1.0, 10.0, 1000.0])
    d0err, dzerr = impact_parameter_resolution(pt, np.zeros(5))
    np.testing.assert_allclose(d0err, [0, 0.1434, 0.0753, 0.0191, 0.011])
    np.testing.assert_allclose(dzerr, [0, 0.1936, 0.1113, 0.0382, 0.0318])
    forward = impact_parameter_resolution(pt[1:], np.full(4, -2.0))
    assert (forward[0] > d0err[1:]).all()
    assert (forward[1] > dzerr[1:]).all()


def test_log_normal_has_the_mean_and_width_asked_for():
    rng = np.random.default_rng(0)
    drawn = log_normal(np.full(200_000, 5.0), np.full(200_000, 2.0), rng)
    assert drawn.mean() == pytest.approx(5.0, rel=0.01)
    assert drawn.std() == pytest.approx(2.0, rel=0.02)
    assert (drawn > 0).all()
    assert log_normal(np.zeros(3), np.ones(3), rng).tolist() == [0, 0, 0]


# ---- calorimeter and energy flow ------------------------------------------------------------------------------------


def exact(calorimeter: Calorimeter) -> Calorimeter:
    return replace(calorimeter, resolution=lambda energy, eta: np.full_like(energy + eta, 1e-6))


PERFECT = Detector(calorimeters=(exact(ECAL), exact(HCAL)))


@pytest.mark.parametrize(("calorimeter", "pid"), [(ECAL, 22), (HCAL, KLONG)])
def test_rings_are_complete_and_symmetric(calorimeter, pid):
    edges = np.array(calorimeter.eta_edges)
    assert len(calorimeter.n_phi) == len(edges) - 1
    assert (np.diff(edges) > 0).all()
    np.testing.assert_allclose(edges, -edges[::-1])
    assert calorimeter.n_phi == calorimeter.n_phi[::-1]
    assert calorimeter.fraction(np.array([pid, -pid, MUON_MINUS, 12])).tolist() == [1, 1, 0, 0]


def test_a_tower_adds_what_falls_into_it():
    rng = np.random.default_rng(0)
    event, eta, phi = np.array([0, 0, 0, 1]), np.array([0.001, 0.002, 0.3, 0.001]), np.full(4, 0.001)
    towers = exact(ECAL).measure(event, eta, phi, np.array([3.0, 4.0, 5.0, 6.0]), rng)
    assert towers.event.tolist() == [0, 0, 1]
    np.testing.assert_allclose(towers.energy, [7.0, 5.0, 6.0], rtol=1e-5)
    assert towers.of_particle[0] == towers.of_particle[1]
    assert (np.abs(towers.eta[towers.of_particle] - eta) < 0.0174).all()
    assert (np.abs(towers.phi[towers.of_particle] - phi) < np.pi / 180).all()


def test_towers_below_threshold_are_silent():
    towers = ECAL.measure(
        np.zeros(500, int), np.linspace(-1.4, 1.4, 500), np.zeros(500), np.full(500, 0.3), np.random.default_rng(0)
    )
    heard = towers.energy[towers.energy > 0]
    assert (heard >= 0.5).all()
    assert len(heard) < 0.5 * len(towers.energy)


def test_calorimeter_resolution_of_a_hard_photon():
    rng = np.random.default_rng(0)
    n = 4000
    towers = ECAL.measure(np.arange(n), np.full(n, 0.001), np.zeros(n), np.full(n, 100.0), rng)
    expected = np.sqrt((0.008 * 100) ** 2 + 0.11**2 * 100 + 0.4**2)
    assert towers.energy.mean() == pytest.approx(100, abs=4 * expected / np.sqrt(n))
    assert towers.energy.std() == pytest.approx(expected, rel=0.05)


def test_photon_and_neutral_hadron_become_what_they_are():
    flock = particles(2, pid=[22, KLONG], charge=0, pt=[20.0, 30.0], phi=[0.5, -2.0], mass=[0.0, 0.498])
    found = energy_flow(flock, PERFECT, np.random.default_rng(0))
    assert found.ptype.tolist() == [PHOTON, NEUTRAL_HADRON]
    np.testing.assert_allclose(found.energy, flock.energy, rtol=1e-5)
    assert not found.mass.any()
    assert not found.d0err.any()


def test_a_neutral_hadron_behind_a_pion_is_found_by_the_excess():
    found = []
    for seed in range(20):
        flock = particles(2, pid=[KLONG, PION], charge=[0, 1], pt=[50.0, 200.0], eta=0.04, phi=0.02)
        found.append(energy_flow(flock, PERFECT, np.random.default_rng(seed)))
    pairs = [f for f in found if sorted(f.ptype) == [CHARGED_HADRON, NEUTRAL_HADRON]]
    assert pairs
    for pair in pairs:
        assert pair.energy.sum() == pytest.approx(particles(2, pt=[50.0, 200.0], eta=0.04).energy.sum(), rel=1e-3)


def test_a_track_without_excess_takes_the_calorimeter_energy():
    """With an exact calorimeter, the combination is the calorimeter's energy, whatever the track says."""
    flock = particles(400, pt=30.0, eta=0.2, phi=0.0)
    flock = replace(flock, event=np.arange(400))
    for trust in (True, False):
        detector = replace(PERFECT, trust_tracks=trust)
        found = energy_flow(flock, detector, np.random.default_rng(3))
        alone = np.bincount(found.event, minlength=400) == 1
        tracks = alone[found.event] & (found.ptype == CHARGED_HADRON)
        assert tracks.sum() > 100
        np.testing.assert_allclose(found.energy[tracks], flock.energy[0], rtol=2e-3)


def test_soft_charged_hadrons_survive_only_where_tracks_are_trusted():
    flock = replace(particles(2000, pt=1.5, phi=np.linspace(-3, 3, 2000)), event=np.arange(2000))
    kept = {}
    for trust in (True, False):
        found = energy_flow(flock, Detector(trust_tracks=trust), np.random.default_rng(0))
        kept[trust] = int(((found.ptype == CHARGED_HADRON) & (found.pt > 0)).sum())
    assert kept[True] > 0.9 * 0.95 * 2000
    assert kept[False] < 0.3 * kept[True]


def test_muons_pass_and_neutrinos_are_not_seen():
    flock = replace(particles(1000, pid=MUON_MINUS, charge=-1, pt=40.0, mass=0.10566), event=np.arange(1000))
    found = energy_flow(flock, Detector(), np.random.default_rng(0))
    assert set(found.ptype) == {MUON}
    assert len(found) == pytest.approx(990, abs=15)
    assert found.pt.mean() == pytest.approx(40, rel=0.005)
    pull = found.d0 / found.d0err
    assert pull.std() == pytest.approx(1, abs=0.1)


def test_particles_made_outside_leave_nothing():
    assert len(energy_flow(particles(x=1300.0), Detector(), np.random.default_rng(0))) == 0


# ---- truth ----------------------------------------------------------------------------------------------------------


def record(*rows):
    """One event from rows (pid, status, mother, first daughter, last daughter, eta, phi), all with pT 100 GeV."""
    rows = ((90, -11, 0, 0, 0, 0, 0), *rows)
    pid, status, mother, first, last = (np.array([r[k] for r in rows]) for k in range(5))
    eta, phi = (np.array([float(r[k]) for r in rows]) for k in (5, 6))
    zeros = np.zeros(len(rows))
    px, py, pz = 100 * np.cos(phi), 100 * np.sin(phi), 100 * np.sinh(eta)
    return Events(np.array([0, len(rows)]), pid, status, mother, first, last, px, py, pz, zeros, zeros, zeros, zeros)


def resonance(pid, *children, copies=1):
    """An event with one resonance, radiating `copies` times, that decays to (pid, eta, phi) children."""
    beams = [
        (2212, -12, 0, 0, 0, 5, 0),
        (2212, -12, 0, 0, 0, -5, 0),
        (2, -21, 0, 5, 5, 5, 0),
        (-2, -21, 0, 5, 5, -5, 0),
    ]
    chain = [(pid, -22 if k == 0 else -44, 3 if k == 0 else 4 + k, 6 + k, 6 + k, 0, 0) for k in range(copies)]
    chain.append((pid, -62, 4 + copies, 6 + copies, 7 + copies, 0, 0))
    return record(*beams, *chain, *[(p, 23, 5 + copies, 0, 0, eta, phi) for p, eta, phi in children])


def code(events, *, eta=0.0, phi=0.0):
    return int(match_jets(events, np.array([0]), np.array([eta]), np.array([phi]), radius=0.8).code[0])


@pytest.mark.parametrize(
    ("pid", "children", "name"),
    [
        (24, (4, -3), "Wcq"),
        (-24, (1, -2), "Wqq"),
        (23, (5, -5), "Zbb"),
        (23, (4, -4), "Zcc"),
        (23, (1, -1), "Zqq"),
        (25, (5, -5), "Hbb"),
        (25, (4, -4), "Hcc"),
        (25, (21, 21), "Hgg"),
        (25, (3, -3), "Hqq"),
    ],
)
def test_codes_of_two_body_decays(pid, children, name):
    legs = [(children[0], 0.3, 0.2), (children[1], -0.4, -0.1)]
    assert code(resonance(pid, *legs, copies=3)) == TRUTH_CODES[name]
    assert code(resonance(pid, legs[0], (children[1], -0.9, 0.0))) == 0, "one leg lies outside"
    assert code(resonance(pid, *legs), eta=1.5) == 0, "the jet lies elsewhere"


def cascade(*rows):
    """An event from the hard process on; row numbers of the first given row count from 5."""
    beams = [
        (2212, -12, 0, 0, 0, 5, 0),
        (2212, -12, 0, 0, 0, -5, 0),
        (2, -21, 0, 5, 5, 5, 0),
        (-2, -21, 0, 5, 5, -5, 0),
    ]
    return record(*beams, *rows)


@pytest.mark.parametrize(
    ("products", "name"),
    [((4, -3), "Tbcq"), ((2, -1), "Tbqq"), ((-11, 12), "Tben"), ((14, -13), "Tbmn"), ((-15, 16), None)],
)
def test_codes_of_top_decays(products, name):
    events = cascade(
        (6, -22, 3, 6, 7, 0, 0),
        (24, -22, 5, 8, 8, 0, 0),
        (5, 23, 5, 0, 0, 0.5, 0.0),
        (24, -52, 6, 9, 10, 0, 0),
        (products[0], 23, 8, 0, 0, 0.1, 0.1),
        (products[1], 23, 8, 0, 0, -0.2, 0.3),
    )
    expected = QCD_CODE if name is None else TRUTH_CODES[name]
    assert code(events) == expected


@pytest.mark.parametrize(
    ("products", "name"),
    [((2, -1, 3, -4), "Hww4q"), ((2, -1, 11, -12), "Hww2q1l"), ((-13, 14, 3, -4), "Hww2q1l")],
)
def test_codes_of_higgs_to_two_w(products, name):
    places = [(0.1, 0.1), (-0.2, 0.3), (0.3, 0.0), (0.0, -0.4)]
    events = cascade(
        (25, -22, 3, 6, 7, 0, 0),
        (24, -22, 5, 8, 9, 0, 0),
        (-24, -22, 5, 10, 11, 0, 0),
        *[(p, 23, 6, 0, 0, *place) for p, place in zip(products, places, strict=True)],
    )
    assert code(events) == TRUTH_CODES[name]


def test_without_a_visible_resonance_every_jet_is_qcd():
    assert code(resonance(23, (12, 0.1, 0.0), (-12, -0.1, 0.0)), eta=1.0) == QCD_CODE


def test_recipes_cover_all_codes_once():
    codes = [c for recipe in RECIPES.values() for c in recipe.codes]
    assert tuple(RECIPES) == CLASSES
    assert len(set(codes)) == len(codes)
    assert set(codes) == set(TRUTH_CODES.values()) - {TRUTH_CODES["Hqq"]}


# ---- clustering -----------------------------------------------------------------------------------------------------


def test_two_prong_jet_has_the_mass_of_its_prongs():
    pt, eta, phi = np.array([400.0, 300.0, 700.0]), np.array([0.2, -0.1, 0.0]), np.array([0.1, -0.2, 3.0])
    prongs = candidates(pt, eta, phi)
    selection = JetSelection()
    jets = find_jets(prongs, 2, selection)
    assert jets.event.tolist() == [0, 0]
    two = jets[np.array([len(c) == 2 for c in jets.constituents])]
    columns = substructure(prongs, two, selection)
    mass = np.sqrt(2 * pt[0] * pt[1] * (np.cosh(eta[0] - eta[1]) - np.cos(phi[0] - phi[1])))
    assert columns["jet_sdmass"][0] == pytest.approx(mass, rel=1e-6)
    assert columns["jet_tau1"][0] > 0.1
    assert columns["jet_tau2"][0] == pytest.approx(0, abs=1e-6)


def test_only_jets_in_the_window_are_kept():
    flock = candidates(
        np.array([499.0, 501.0, 999.0, 1001.0, 600.0]), np.array([0.0, 0, 0, 0, 2.1]), np.arange(-2.0, 3.0)
    )
    kept = find_jets(flock, 1, JetSelection())
    assert sorted(ak.flatten(kept.constituents).to_list()) == [1, 2]


def test_constituents_are_cleaned_and_sorted():
    flock = candidates(np.array([10.0, 500.0, 0.0, 50.0]), np.array([0.1, 0.0, 0.1, 0.2]), np.full(4, 0.1))
    jets = find_jets(flock, 1, JetSelection())
    offsets, constituents = clean_constituents(flock, jets)
    assert offsets.tolist() == [0, 3]
    assert constituents.pt.tolist() == [500.0, 50.0, 10.0]


# ---- planning, workers, parts ---------------------------------------------------------------------------------------


def test_chunks_share_the_jets_and_take_turns():
    chunks = run.plan_chunks(["QCD", "Hbb", "Tbl"], 3 * 700 + 2, seed=4, mpi=True, detector=None)
    assert [(c.name, c.number, c.n) for c in chunks] == [
        ("QCD", 0, 500), ("Hbb", 0, 500), ("Tbl", 0, 500), ("QCD", 1, 201), ("Hbb", 1, 201), ("Tbl", 1, 200),
    ]  # fmt: skip


def test_seeds_of_chunks_differ():
    chunks = [Chunk(name, k, 500, seed, True, None) for name in ("QCD", "Hbb") for k in range(3) for seed in (0, 1)]
    assert len({c.random_seeds()[0] for c in chunks}) == len(chunks)


def double(task):
    if task == "fail":
        msg = "no such task"
        raise JetLabError(msg)
    if task == "die":
        os._exit(3)
    return 2 * task


@pytest.mark.parametrize("processes", [1, 2])
def test_tasks_give_their_results_and_errors(processes):
    assert sorted(run_tasks(double, [3, 1, 2], processes=processes)) == [(0, 6), (1, 2), (2, 4)]
    with pytest.raises(JetLabError, match="no such task"):
        list(run_tasks(double, [1, "fail", 2], processes=processes))


def test_a_lost_process_is_reported():
    with pytest.raises(JetLabError, match=r"without an answer \(exit code 3\).*__main__"):
        list(run_tasks(double, ["die", "die"], processes=2))


@pytest.fixture
def one_jet():
    fields = {"pt": [500.0, 20.0], "eta": [0.1, 0.2], "phi": [0.0, 0.1], "mass": [0.1, 0.0], "charge": [1, 0]}
    return Jets(ak.zip({k: ak.Array([v]) for k, v in fields.items()}), label=[3], info={"jet_sdmass": [40.0]})


def test_parts_come_back_without_loss(tmp_path, one_jet):
    parts.write_part(tmp_path / "a.parquet", one_jet)
    back = parts.read_part(tmp_path / "a.parquet")
    assert same(back, one_jet)
    assert back.label.tolist() == [3]
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_damaged_parts_are_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(FileError, match=r"a\.parquet"):
        parts.read_part(tmp_path / "a.parquet")


def test_parts_of_another_simulation_are_refused(tmp_path):
    parts.open_parts(tmp_path, {"seed": 1, "n": 10})
    parts.open_parts(tmp_path, {"seed": 1, "n": 10})
    with pytest.raises(JetLabError, match=r"seed: 1 there, 2 asked.*remove the folder"):
        parts.open_parts(tmp_path, {"seed": 2, "n": 10})


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": "Hzz"}, "unknown jet class 'Hzz'; expected one of QCD, Hbb"),
        ({"classes": []}, "one or more different jet classes"),
        ({"classes": ["QCD", "QCD"]}, "one or more different jet classes"),
        ({"n": 0}, "n = 0 jets cannot be shared"),
        ({"n": 1}, "n = 1 jets cannot be shared by 2 classes"),
        ({"seed": -1}, "seed = -1"),
        ({"detector": "atlas"}, "unknown detector 'atlas'; expected one of jetclass, cms"),
        ({"processes": 0}, "processes = 0"),
    ],
)
def test_arguments_that_cannot_be_used(changed, message):
    pytest.importorskip("pythia8mc")
    arguments = {"classes": ["QCD", "Tbl"], "n": 10, "seed": 1, "progress": False} | changed
    with pytest.raises(JetLabError, match=message):
        simulate(arguments.pop("classes"), arguments.pop("n"), **arguments)


def test_without_pythia_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'jetlab\[simulate\]'"):
        simulate("QCD", 10, seed=1, progress=False)


# ---- generation -----------------------------------------------------------------------------------------------------

N_EACH = 60


@pytest.fixture(scope="module")
def jets():
    pytest.importorskip("pythia8mc")
    return simulate(CLASSES, N_EACH * len(CLASSES), seed=5, processes=1, mpi=False, progress=False)


def test_every_class_has_its_share(jets):
    assert jets.class_counts() == dict.fromkeys(CLASSES, N_EACH)
    assert jets.classes == CLASSES
    for name in CLASSES:
        assert np.bincount(jets[name].info["split"]).tolist() == [0.6 * N_EACH, 0.2 * N_EACH, 0.2 * N_EACH]


def test_jets_lie_in_the_window(jets):
    assert ((jets.pt > 499.9) & (jets.pt < 1000.1)).all()
    assert (np.abs(jets.eta) < 2.001).all()
    assert ((jets.multiplicity >= 1) & (jets.multiplicity < 150)).all()


def test_labels_and_truth_codes_agree(jets):
    for name, recipe in RECIPES.items():
        assert np.isin(jets[name].info["aux_truth_match"], recipe.codes).all()
    flavours = {"Tbl": (15, 16), "Tbqq": (11, 12), "Wqq": (21, 22)}
    for name, codes in flavours.items():
        assert set(jets[name].info["aux_truth_match"]) == set(codes)


@pytest.mark.parametrize(
    ("name", "pole", "pid"),
    [
        ("Wqq", 80.4, 24),
        ("Zqq", 91.2, 23),
        ("Hbb", 125.0, 25),
        ("Hgg", 125.0, 25),
        ("H4q", 125.0, 25),
        ("Tbqq", 172.5, 6),
    ],
)
def test_soft_drop_mass_peaks_at_the_resonance(jets, name, pole, pid):
    mass = jets[name].info["jet_sdmass"]
    assert (np.abs(mass / pole - 1) < 0.2).mean() > 0.45
    assert np.median(mass[mass > 0.6 * pole]) == pytest.approx(pole, rel=0.1)
    assert set(np.abs(jets[name].info["aux_genpart_pid"])) == {pid}


def test_jets_follow_the_resonance_they_are_matched_to(jets):
    matched = jets[jets.info["aux_truth_match"] != QCD_CODE]
    pt = matched.pt / matched.info["aux_genpart_pt"]
    assert 0.85 < np.median(pt) < 1.0
    assert np.median(np.abs(matched.eta - matched.info["aux_genpart_eta"])) < 0.1
    assert not jets["QCD"].info["aux_genpart_pt"].any()


def test_particle_types_charges_and_impact_parameters_are_consistent(jets):
    ptype, charge, mass = jets.flat("ptype"), jets.flat("charge"), jets.flat("mass")
    charged = np.isin(ptype, [CHARGED_HADRON, ELECTRON, MUON])
    np.testing.assert_array_equal(np.abs(charge), charged)
    assert set(np.round(mass[ptype == CHARGED_HADRON].astype(float), 3)) == {0.140, 0.494, 0.938}
    assert not mass[~charged].any()
    for name in ("d0", "d0err", "dz", "dzerr"):
        assert not jets.flat(name)[~charged].any()
    assert (jets.flat("d0err")[charged] > 0).mean() > 0.99


def test_displaced_tracks_are_ordered_by_flavour(jets):
    def displaced(name):
        some = jets[name]
        error = some.flat("d0err")
        return (np.abs(some.flat("d0")) > 3 * np.where(error > 0, error, np.inf)).sum() / len(some)

    assert displaced("Hbb") > 1.5 * displaced("Hcc")
    assert displaced("Hcc") > 1.2 * displaced("QCD")


def test_provenance_is_complete(jets):
    meta = jets.meta
    assert meta["generator"].startswith("pythia8mc 8.")
    assert (meta["seed"], meta["mpi"], meta["detector"], meta["sqrt_s_gev"]) == (5, False, "jetclass", 13000.0)
    assert meta["jet"]["radius"] == 0.8
    assert "PartonLevel:MPI = off" in meta["settings"]["QCD"]
    assert {"fastjet", "jetlab"} <= set(meta)


@pytest.fixture(scope="module")
def events():
    pytest.importorskip("pythia8mc")
    return generate_events(start_pythia(RECIPES["Zqq"].settings(mpi=False), seed=3), 100)


@pytest.mark.parametrize(("trust_tracks", "lost"), [(True, 0.06), (False, 0.09)])
def test_energy_closure(events, trust_tracks, lost):
    """All but the energy of particles below the thresholds is found again."""
    made = stable_particles(events, abs_eta_max=2.2)
    seen = energy_flow(made, Detector(trust_tracks=trust_tracks), np.random.default_rng(0))
    assert seen.energy.sum() / made.energy.sum() == pytest.approx(1 - lost, abs=0.02)


def test_without_detector_particles_stay_as_they_are(events):
    made = stable_particles(events, abs_eta_max=3.0)
    seen = visible_candidates(made)
    np.testing.assert_array_equal(seen.pt, made.pt)
    assert set(seen.ptype) == {CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON}
    total = np.bincount(made.event, weights=made.charge)
    assert np.abs(total).max() < 30


def test_unknown_settings_are_named():
    pytest.importorskip("pythia8mc")
    with pytest.raises(JetLabError, match="does not know the setting 'Beams:nonsense = 1'"):
        start_pythia(["Beams:nonsense = 1"], seed=1)


def test_numbers_out_of_reach_are_refused(monkeypatch):
    pytest.importorskip("pythia8mc")
    narrow = replace(RECIPES["Zqq"], jets=JetSelection(pt_min=999.0), jets_per_event=50.0)
    monkeypatch.setitem(RECIPES, "Zqq", narrow)
    monkeypatch.setattr("jetlab.data.simulate.chunk._LARGEST_BATCH", 20)
    with pytest.raises(JetLabError, match=r"events of class Zqq gave only .* of 20 jets with 999 < pT < 1000 GeV"):
        simulate_chunk(Chunk("Zqq", 0, 20, 1, False, "jetclass"))


quick = partial(simulate, ["Wqq", "Zqq"], 40, mpi=False, progress=False)


def test_same_seed_same_jets_on_any_number_of_processes():
    pytest.importorskip("pythia8mc")
    one = quick(seed=11, processes=1)
    assert same(one, quick(seed=11, processes=2))
    assert not np.array_equal(one.flat("pt")[:50], quick(seed=12, processes=1).flat("pt")[:50])


def test_nothing_is_printed(capfd):
    pytest.importorskip("pythia8mc")
    quick(seed=1, processes=1)
    assert capfd.readouterr() == ("", "")


def test_an_interrupted_run_continues(tmp_path, monkeypatch):
    pytest.importorskip("pythia8mc")
    monkeypatch.setattr(run, "CHUNK_SIZE", 10)
    options = {"seed": 2, "processes": 1, "mpi": False}
    expected = simulate("Zqq", 40, progress=False, **options)

    def stop_early(done, total):
        assert total == 40
        if done == 20:
            raise KeyboardInterrupt

    path = tmp_path / "jets.parquet"
    with pytest.raises(KeyboardInterrupt):
        simulate_to_file(path, "Zqq", 40, progress=stop_early, **options)
    assert not path.exists()
    assert len(list((tmp_path / "jets.parquet.parts").glob("*.parquet"))) == 2

    with pytest.raises(JetLabError, match="seed: 2 there, 3 asked"):
        simulate_to_file(path, "Zqq", 40, progress=False, **(options | {"seed": 3}))

    seen = []
    simulate_to_file(path, "Zqq", 40, progress=lambda done, _: seen.append(done), keep_parts=True, **options)
    assert seen == [30, 40]
    finished = sorted((tmp_path / "jets.parquet.parts").glob("*.parquet"))
    halves = [parts.read_part(p) for p in finished]
    assert np.array_equal(np.concatenate([h.flat("pt") for h in halves]), expected.flat("pt"))
    with pytest.raises(FileError, match="exists already"):
        simulate_to_file(path, "Zqq", 40, progress=False, **options)
    with pytest.raises(FileError, match=r"cannot write jets\.txt"):
        simulate_to_file(tmp_path / "jets.txt", "Zqq", 40, progress=False, **options)


def test_the_file_holds_the_jets(tmp_path):
    pytest.importorskip("pythia8mc")
    from jetlab.data.formats import read_jets

    path = tmp_path / "jets.parquet"
    simulate_to_file(path, ["Wqq", "Zqq"], 20, seed=7, processes=1, mpi=False, progress=False)
    jets = simulate(["Wqq", "Zqq"], 20, seed=7, processes=1, mpi=False, progress=False)
    back = read_jets(path)
    assert back.class_counts() == {"Zqq": 10, "Wqq": 10}
    np.testing.assert_allclose(back.pt, jets.pt, rtol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["jets.parquet"]
