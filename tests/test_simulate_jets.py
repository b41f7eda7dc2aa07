"""Truth matching on hand-made event records, and jets from hand-made candidates."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from jetlab.data.simulate.candidates import PHOTON, Candidates
from jetlab.data.simulate.cluster import clean_constituents, find_jets, substructure
from jetlab.data.simulate.pythia import Events
from jetlab.data.simulate.selection import JetSelection
from jetlab.data.simulate.settings import SETTINGS
from jetlab.data.simulate.truth import QCD_CODE, TRUTH_CODES, match_jets
from jetlab.vocabulary import CLASSES


def candidates(pt, eta, phi, event=0):
    n = len(pt)
    flat = {"pt": pt, "eta": eta, "phi": phi} | dict.fromkeys(("mass", "d0", "d0err", "dz", "dzerr"), np.zeros(n))
    whole = {"event": event, "charge": 0, "ptype": PHOTON}
    flat = {name: np.asarray(value, dtype=float) for name, value in flat.items()}
    return Candidates(**flat, **{k: np.array(np.broadcast_to(v, n), dtype=np.int64) for k, v in whole.items()})


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
    jetclass = SETTINGS["jetclass"]
    codes = [c for recipe in jetclass.recipes for c in recipe.codes]
    assert jetclass.classes == SETTINGS["jetclass-full"].classes == CLASSES
    assert len(set(codes)) == len(codes)
    assert set(codes) == {code for code in TRUTH_CODES.values() if code < 60} - {TRUTH_CODES["Hqq"]}


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
