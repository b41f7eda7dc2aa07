"""Detector response: flight through the magnet, tracks, calorimeter towers and energy flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jetlab.data.simulate.calorimeter import ECAL, HCAL, Calorimeter
from jetlab.data.simulate.candidates import (
    CHARGED_HADRON,
    ELECTRON,
    MUON,
    NEUTRAL_HADRON,
    PHOTON,
    StableParticles,
    stable_particles,
    visible_candidates,
)
from jetlab.data.simulate.detector import Detector, energy_flow
from jetlab.data.simulate.propagation import Solenoid, propagate
from jetlab.data.simulate.pythia import generate_events, start_pythia
from jetlab.data.simulate.resolution import impact_parameter_resolution
from jetlab.data.simulate.settings import SETTINGS
from jetlab.data.simulate.tracking import log_normal, momentum_resolution, track_efficiency

PION, KLONG, MUON_MINUS = 211, 130, 13
SOLENOID = Solenoid()


def particles(n=1, *, pid=PION, charge=1, pt=10.0, eta=0.3, phi=0.0, mass=0.13957, x=0.0, y=0.0, z=0.0):
    columns = {"pt": pt, "eta": eta, "phi": phi, "mass": mass, "x": x, "y": y, "z": z}
    flat = {name: np.array(np.broadcast_to(value, n), dtype=float) for name, value in columns.items()}
    whole = {"event": 0, "pid": pid, "charge": charge}
    flat |= {name: np.array(np.broadcast_to(value, n), dtype=np.int64) for name, value in whole.items()}
    return StableParticles(**flat)


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


# ---- generated events -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def events():
    pytest.importorskip("pythia8mc")
    return generate_events(start_pythia(SETTINGS["jetclass"].pythia("Zqq", mpi=False), seed=3), 100)


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
