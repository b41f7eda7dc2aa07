"""Settings of a simulation: what they tell Pythia, windows and matching of other jets, and small runs of each."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from jetlab.data import load_jets
from jetlab.data.formats.quarkgluon import QUARK_GLUON
from jetlab.data.formats.toptagging import TOP_TAGGING
from jetlab.data.simulate import SETTINGS, parts, plan, simulate, simulate_to_file
from jetlab.data.simulate.candidates import CHARGED_HADRON, ELECTRON, stable_particles
from jetlab.data.simulate.chunk import Chunk, select_jets
from jetlab.data.simulate.cluster import FoundJets, find_jets
from jetlab.data.simulate.matching import MATCHINGS, deep_inelastic
from jetlab.data.simulate.pythia import Events, generate_events, start_pythia
from jetlab.data.simulate.selection import Beams, JetSelection
from jetlab.data.simulate.truth import TRUTH_CODES, hard_partons, scattered_leptons
from jetlab.errors import JetLabError
from jetlab.vocabulary import CLASSES
from tests.test_simulate import same
from tests.test_simulate_jets import candidates, cascade

# ---- what is told to Pythia -----------------------------------------------------------------------------------------


def test_beams_of_equal_protons_are_an_energy_and_others_are_two_beams():
    assert Beams().pythia() == ("Beams:eCM = 13000",)
    hera = SETTINGS["dis"].beams
    assert hera.sqrt_s == pytest.approx(318.7, abs=0.1)
    assert hera.pythia() == (
        "Beams:frameType = 2", "Beams:idA = 2212", "Beams:eA = 920", "Beams:idB = 11", "Beams:eB = 27.6",
        "PDF:lepton = off",
    )  # fmt: skip
    assert not Beams(energies=(4000.0, 7000.0)).lepton
    assert "Beams:frameType = 2" in Beams(energies=(4000.0, 7000.0)).pythia()


def test_jetclass_tells_pythia_what_it_always_told():
    assert SETTINGS["jetclass"].pythia("Tbl", mpi=False) == (
        "Beams:eCM = 13000", "Tune:pp = 14", "PDF:pSet = 13", "PhaseSpace:pTHatMin = 450", "PhaseSpace:pTHatMax = 1200",
        "Check:abortIfVeto = on", "Check:event = off", "Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off",
        "24:onIfAny = 11 13", "PartonLevel:MPI = off",
    )  # fmt: skip
    odd = SETTINGS["jetclass"].pythia("Hqql", chunk=1)
    assert "24:onNegIfAny = 1 2 3 4 5" in odd
    assert "PartonLevel:MPI = off" not in odd


def test_settings_without_an_underlying_event_have_none():
    for name, has in {"quark-gluon": True, "top-tagging": False, "dis": False}.items():
        for kind in SETTINGS[name].classes:
            assert ("PartonLevel:MPI = off" in SETTINGS[name].pythia(kind)) is not has


def test_classes_have_the_names_and_the_order_of_the_public_sets():
    assert SETTINGS["quark-gluon"].classes == QUARK_GLUON
    assert SETTINGS["top-tagging"].classes == TOP_TAGGING
    assert SETTINGS["jetclass-full"].classes == CLASSES


def test_the_command_line_offers_all_settings_and_detectors():
    from jetlab.cli.simulate import Detector, Kind
    from jetlab.data.simulate.detector import DETECTORS

    assert [kind.value for kind in Kind] == list(SETTINGS)
    assert {detector.value for detector in Detector} == {"auto", *DETECTORS, "none"}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_travel_to_other_processes(name):
    assert pickle.loads(pickle.dumps(SETTINGS[name])) == SETTINGS[name]


def test_selections_read_as_in_a_paper():
    assert str(JetSelection()) == "500 < pT < 1000 GeV and |eta| < 2"
    assert str(SETTINGS["quark-gluon"].jets) == "500 < pT < 550 GeV and |y| < 1.7"
    assert str(SETTINGS["dis"].jets) == "pT > 10 GeV and -1.5 < eta < 2.75"


# ---- windows --------------------------------------------------------------------------------------------------------


def test_only_the_leading_jet_of_the_acceptance_counts():
    pt = np.array([700.0, 520.0, 510.0, 530.0, 520.0])
    eta, phi = np.array([0.0, 0.5, 3.0, 0.0, 0.0]), np.array([0.0, 2.5, 0.0, 0.0, 3.0])
    flock = candidates(pt, eta, phi, event=np.array([0, 0, 1, 1, 1]))
    window = JetSelection(pt_max=550.0)
    every = find_jets(flock, 2, window)
    assert np.sort(pt[[c[0] for c in every.constituents]]).tolist() == [520, 520, 530]
    leading = find_jets(flock, 2, replace(window, leading=True))
    assert leading.event.tolist() == [1], "the leading jet of the first event is too hard"
    assert pt[leading.constituents[0][0]] == 530


def test_windows_may_be_lopsided_and_of_rapidity():
    flock = candidates(np.full(3, 20.0), np.array([-1.7, 2.7, 0.0]), np.array([0.0, 1.5, 3.0]))
    kept = find_jets(flock, 1, SETTINGS["dis"].jets)
    assert sorted(kept.eta) == pytest.approx([0.0, 2.7])
    pair = candidates(np.full(2, 260.0), np.array([1.5, 2.0]), np.zeros(2))  # a massive jet: y = 1.74, eta = 1.78
    inside = JetSelection(radius=0.8, pt_min=400.0, eta_min=-1.76, eta_max=1.76)
    assert len(find_jets(pair, 1, inside)) == 0
    assert len(find_jets(pair, 1, replace(inside, rapidity=True))) == 1


def test_kt_and_anti_kt_share_soft_particles_differently():
    """A soft particle between a soft and a hard one: kT joins it with the near soft one, anti-kT with the hard one."""
    flock = candidates(np.array([100.0, 20.0, 15.0]), np.array([0.0, 1.3, 0.8]), np.zeros(3))
    sizes = {}
    for algorithm in ("anti-kT", "kT"):
        selection = JetSelection(algorithm=algorithm, radius=1.0, pt_min=10.0, pt_max=None)
        sizes[algorithm] = sorted(sorted(c) for c in find_jets(flock, 1, selection).constituents.to_list())
    assert sizes == {"anti-kT": [[0, 2], [1]], "kT": [[0], [1, 2]]}


# ---- matching -------------------------------------------------------------------------------------------------------


def match(events: Events, name: str, eta: float = 0.0, phi: float = 0.0):
    import awkward as ak

    jets = FoundJets(np.array([0]), np.array([eta]), np.array([phi]), ak.Array([[0]]))
    return MATCHINGS[SETTINGS[name].matching](events, jets, SETTINGS[name])


@pytest.mark.parametrize(
    ("pid", "code"), [(21, "gluon"), (1, "quark"), (-3, "quark"), (4, "heavy quark"), (-5, "heavy quark")]
)
def test_jets_are_labelled_by_the_parton_within_them(pid, code):
    """The parton goes to eta 0.1 after the recoil of radiation from the beams, and only then radiates itself."""
    events = cascade(
        (23, -22, 3, 0, 0, 0, 3.0),
        (pid, -23, 3, 7, 7, 0.9, 0.0),
        (pid, -44, 6, 8, 9, 0.1, 0.0),
        (pid, 51, 7, 0, 0, 0.6, 0.0),
        (21, 51, 7, 0, 0, -0.6, 0.0),
    )
    assert hard_partons(events).tolist() == [7]
    found = match(events, "quark-gluon")
    assert (found.code[0], found.resonance[0]) == (TRUTH_CODES[code], 7)
    outside = match(events, "quark-gluon", eta=0.6)
    assert (outside.code[0], outside.resonance[0]) == (0, -1)


@pytest.mark.parametrize(("top", "expected"), [(0.7, TRUTH_CODES["Tbcq"]), (0.9, 0)])
def test_the_top_quark_itself_must_lie_in_the_jet(top, expected):
    events = cascade(
        (6, -22, 3, 6, 7, top, 0),
        (24, -22, 5, 8, 9, 0, 0),
        (5, 23, 5, 0, 0, 0.5, 0.0),
        (4, 23, 6, 0, 0, 0.1, 0.1),
        (-3, 23, 6, 0, 0, -0.2, 0.3),
    )
    assert match(events, "top-tagging").code[0] == expected
    assert match(events, "jetclass").code[0] == TRUTH_CODES["Tbcq"]


def scattering(angle: float, energy: float) -> Events:
    """A proton of 920 GeV and an electron of 27.6 GeV that leaves at this angle from the proton's direction."""
    rows = np.array([(90, -11, 0), (2212, -12, 0), (11, -12, 0), (2, -21, 1), (11, -21, 2), (2, -23, 3), (11, 23, 3)])
    pz = np.array([0, np.sqrt(920**2 - 0.938**2), -27.6, 0, 0, 10, energy * np.cos(angle)])
    px = np.array([0, 0, 0, 0, 0, -20, energy * np.sin(angle)])
    mass = np.array([0, 0.938, 0, 0, 0, 0, 0])
    zeros, none = np.zeros(7), np.zeros(7, dtype=np.int32)
    pid, status, mother = rows.T
    return Events(np.array([0, 7]), pid, status, mother, none, none, px, zeros, pz, mass, zeros, zeros, zeros)


def test_kinematics_of_deep_inelastic_scattering():
    """At the angle theta, Q2 = 2 E E' (1 + cos theta) and y = 1 - E' (1 - cos theta) / 2E."""
    angle, energy = 2.0, 30.0
    events = scattering(angle, energy)
    assert scattered_leptons(events).tolist() == [6]
    q2, y = deep_inelastic(events)
    assert q2[0] == pytest.approx(2 * 27.6 * energy * (1 + np.cos(angle)))
    assert y[0] == pytest.approx(1 - energy * (1 - np.cos(angle)) / (2 * 27.6), abs=1e-5)
    found = match(events, "dis")
    assert found.code[0] == TRUTH_CODES["DIS"]
    assert found.columns["Q2"][0] == q2[0]
    assert match(scattering(2.0, 38.0), "dis").code[0] == 0, "y is too small"


# ---- small runs -----------------------------------------------------------------------------------------------------

N = {"jetclass-full": 20, "quark-gluon": 16, "top-tagging": 40, "dis": 200}
ASKED = {"jetclass-full": ("Tbqq", "QCD")}


@pytest.fixture(scope="module", params=N)
def run(request):
    pytest.importorskip("pythia8mc")
    name = request.param
    return name, simulate(
        ASKED.get(name, "all"), N[name], settings=name, seed=3, processes=1, mpi=False, progress=False
    )


def test_jets_of_all_settings_lie_in_their_windows(run):
    name, jets = run
    window = SETTINGS[name].jets
    position = np.arctanh(jets.p4[:, 3] / jets.p4[:, 0]) if window.rapidity else jets.eta
    assert (jets.pt > window.pt_min - 0.1).all()
    assert (jets.pt < (window.pt_max or np.inf) + 0.1).all()
    assert (position > window.eta_min - 1e-3).all()
    assert (position < window.eta_max + 1e-3).all()


def test_all_settings_label_their_classes(run):
    name, jets = run
    settings = SETTINGS[name]
    assert jets.classes == settings.classes
    asked = ASKED.get(name, settings.classes)
    assert {kind: n for kind, n in jets.class_counts().items() if n} == dict.fromkeys(asked, N[name] // len(asked))
    for kind in asked:
        assert np.isin(jets[kind].info["aux_truth_match"], settings.recipe(kind).codes).all()


def test_all_settings_say_where_their_jets_come_from(run):
    name, jets = run
    settings, meta = SETTINGS[name], jets.meta
    assert (meta["simulation"], meta["detector"], meta["mpi"]) == (name, settings.detector, False)
    assert meta["sqrt_s_gev"] == pytest.approx(settings.beams.sqrt_s)
    assert (meta["jet"]["algorithm"], meta["jet"]["radius"]) == (settings.jets.algorithm, settings.jets.radius)
    assert set(meta["settings"]) == set(ASKED.get(name, settings.classes))
    assert meta.get("inelasticity") == settings.inelasticity


@pytest.mark.parametrize(
    ("suffix", "layout"), [(".parquet", "jetclass"), (".parquet", "compact"), (".root", "jetclass")]
)
def test_files_keep_the_names_of_classes(run, tmp_path, suffix, layout):
    from jetlab.data.formats import write_jets

    name, jets = run
    back = load_jets(write_jets(jets, tmp_path / f"jets{suffix}", layout=layout))
    assert back.classes == jets.classes
    np.testing.assert_array_equal(back.label, jets.label)
    np.testing.assert_allclose(back.pt, jets.pt, rtol=1e-3)
    for column in jets.info:
        np.testing.assert_allclose(back.info[column], jets.info[column], rtol=1e-3)
    assert back.meta["simulation"] == name


def test_each_kind_of_jet_looks_as_it_should(run):
    name, jets = run
    kinds = {kind: jets[kind] for kind in jets.classes}
    if name == "top-tagging":
        assert np.median(kinds["top"].mass) == pytest.approx(172, rel=0.1)
        assert np.median(kinds["QCD"].mass) < 120
    elif name == "quark-gluon":
        assert kinds["gluon"].multiplicity.mean() > kinds["quark"].multiplicity.mean()
        assert np.isin(np.abs(kinds["quark"].info["aux_genpart_pid"]), (1, 2, 3)).all()
        assert (kinds["gluon"].info["aux_genpart_pid"] == 21).all()
    elif name == "dis":
        assert (jets.info["Q2"] > 150).all()
        assert ((jets.info["y"] > 0.08) & (jets.info["y"] < 0.7)).all()
        assert 8 < jets.multiplicity.mean() < 16  # 11.7 in the simulation of H1 that OmniLearn used
        assert 15 < jets.pt.mean() < 24  # and 19.2 GeV


def test_the_scattered_electron_is_in_no_jet():
    pytest.importorskip("pythia8mc")
    settings = SETTINGS["dis"]
    events = generate_events(start_pythia(settings.pythia("Vincia"), seed=4), 100)
    leptons = scattered_leptons(events)
    assert len(leptons) == len(events)
    assert (events.status[leptons] > 0).all()
    with_it = stable_particles(events, abs_eta_max=4.0)
    without = stable_particles(events, abs_eta_max=4.0, without=leptons)
    assert len(with_it) - len(without) == pytest.approx(len(events), abs=3)
    found, jets, matches = select_jets(events, settings, "Vincia", None, np.random.default_rng(0))
    assert len(jets) == len(matches.columns["y"]) > 20
    assert not (found.pt[found.ptype == ELECTRON] > 10).any()


def test_another_detector_sees_the_same_jets_worse():
    pytest.importorskip("pythia8mc")
    settings = SETTINGS["jetclass-full"]
    events = generate_events(start_pythia(settings.pythia("Zqq", mpi=False), seed=4), 150)
    seen = {}
    for detector in ("jetclass", settings.detector):
        found, jets, _ = select_jets(events, settings, "Zqq", detector, np.random.default_rng(0))
        assert len(jets) > 50
        charged = found.ptype == CHARGED_HADRON
        seen[detector] = (np.mean([len(c) for c in jets.constituents]), charged.sum())
    assert seen["coarse"][0] < 0.9 * seen["jetclass"][0], "fewer constituents"
    assert seen["coarse"][1] < 0.95 * seen["jetclass"][1], "fewer tracks"


def test_other_settings_give_the_same_jets_on_any_number_of_processes_and_print_nothing(capfd):
    pytest.importorskip("pythia8mc")
    assert same(*(simulate("all", 60, settings="dis", seed=9, processes=k, progress=False) for k in (1, 2)))
    assert capfd.readouterr() == ("", "")


def test_an_interrupted_run_of_other_settings_continues(tmp_path, monkeypatch):
    pytest.importorskip("pythia8mc")
    monkeypatch.setattr(plan, "CHUNK_SIZE", 20)
    path = tmp_path / "dis.parquet"

    def stop_early(done, total):
        if done == 20:
            raise KeyboardInterrupt

    options = {"settings": "dis", "seed": 2, "processes": 1}
    with pytest.raises(KeyboardInterrupt):
        simulate_to_file(path, "all", 40, progress=stop_early, **options)
    finished = sorted((tmp_path / "dis.parquet.parts").glob("*.parquet"))
    assert [parts.read_part(part).classes for part in finished] == [SETTINGS["dis"].classes]
    with pytest.raises(JetLabError, match=r"simulation: \"dis\" there, \"jetclass\" asked"):
        simulate_to_file(path, "QCD", 40, seed=2, processes=1, progress=False)
    simulate_to_file(path, "all", 40, progress=False, **options)
    jets = load_jets(path)
    assert jets.class_counts() == {"Pythia": 20, "Vincia": 20}
    expected = simulate("all", 40, progress=False, **options)
    np.testing.assert_allclose(jets.pt, expected.pt, rtol=1e-4)


def test_own_settings_can_be_given():
    pytest.importorskip("pythia8mc")
    wide = replace(SETTINGS["dis"], name="dis-5", jets=replace(SETTINGS["dis"].jets, pt_min=5.0))
    jets = simulate("Pythia", 60, settings=wide, seed=1, processes=1, progress=False)
    assert jets.pt.min() < 10
    assert jets.meta["simulation"] == "dis-5"
    assert Chunk("Pythia", 0, 1, 1, False, None, wide).random_seeds() != Chunk("Pythia", 0, 1, 1, False, None)


def test_the_command_line_simulates_other_settings(tmp_path, capsys):
    pytest.importorskip("pythia8mc")
    from jetlab.cli import main

    path = tmp_path / "dis.parquet"
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--settings", "dis", "--n", "20", "--seed", "1", "-p", "1", "--out", str(path)])
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "Simulating 20 jets of Pythia, Vincia (seed 1)" in out
    assert f"Next: jetlab data show {path}" in out
    assert load_jets(path).class_counts() == {"Pythia": 10, "Vincia": 10}
