"""Simulated jets: reproducible and resumable runs, errors, and the physics of all classes."""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import replace
from functools import partial

import awkward as ak
import numpy as np
import pytest

from jetlab.data.simulate import SETTINGS, parts, plan, simulate, simulate_to_file
from jetlab.data.simulate.candidates import CHARGED_HADRON, ELECTRON, MUON
from jetlab.data.simulate.chunk import Chunk, simulate_chunk
from jetlab.data.simulate.plan import Plan
from jetlab.data.simulate.pythia import start_pythia
from jetlab.data.simulate.truth import QCD_CODE
from jetlab.data.simulate.workers import run_tasks
from jetlab.errors import FileError, JetLabError, MissingExtraError
from jetlab.jets import Jets
from jetlab.vocabulary import CLASSES


def same(a: Jets, b: Jets) -> bool:
    columns = all(np.array_equal(a.flat(f), b.flat(f)) for f in a.fields)
    info = all(np.array_equal(a.info[c], b.info[c]) for c in a.info)
    return a.fields == b.fields and np.array_equal(a.offsets, b.offsets) and columns and info


# ---- planning, workers, parts ---------------------------------------------------------------------------------------


def test_chunks_share_the_jets_and_take_turns():
    some = Plan.of(["QCD", "Hbb", "Tbl"], 3 * 700 + 2, settings="jetclass", seed=4, mpi=True, detector=None)
    chunks = some.chunks()
    assert [(c.name, c.number, c.n) for c in chunks] == [
        ("QCD", 0, 500), ("Hbb", 0, 500), ("Tbl", 0, 500), ("QCD", 1, 201), ("Hbb", 1, 201), ("Tbl", 1, 200),
    ]  # fmt: skip


def test_seeds_of_chunks_differ():
    kinds = [SETTINGS["jetclass"], SETTINGS["jetclass-full"]]
    every = itertools.product(("QCD", "Hbb"), range(3), (0, 1), kinds)
    chunks = [Chunk(name, k, 500, seed, True, None, settings) for name, k, seed, settings in every]
    assert len({c.random_seeds()[0] for c in chunks}) == len(chunks) == 24


def test_seeds_of_jetclass_stay_as_they_were():
    """Seeds that were published with a result must go on giving the same jets."""
    assert Chunk("QCD", 0, 500, 0, True, None).random_seeds()[0] == 1_853_066_506
    assert Chunk("Tbl", 2, 500, 7, True, None).random_seeds()[0] == 3_895_311_945


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
        ({"detector": "atlas"}, "unknown detector 'atlas'; expected one of jetclass, cms, coarse, auto"),
        ({"settings": "lep"}, "unknown simulation settings 'lep'; expected one of jetclass, .*, dis"),
        ({"settings": "dis"}, "settings 'dis' have no class 'QCD'; expected one of Pythia, Vincia"),
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
    with pytest.raises(MissingExtraError, match=r"pip install 'pythia8mc>=8\.317,<8\.318'"):
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
    for recipe in SETTINGS["jetclass"].recipes:
        assert np.isin(jets[recipe.name].info["aux_truth_match"], recipe.codes).all()
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


def test_unknown_settings_are_named():
    pytest.importorskip("pythia8mc")
    with pytest.raises(JetLabError, match="does not know the setting 'Beams:nonsense = 1'"):
        start_pythia(["Beams:nonsense = 1"], seed=1)


def test_numbers_out_of_reach_are_refused(monkeypatch):
    pytest.importorskip("pythia8mc")
    jetclass = SETTINGS["jetclass"]
    optimistic = replace(jetclass.recipe("Zqq"), jets_per_event=50.0)
    narrow = replace(jetclass, recipes=(optimistic,), jets=replace(jetclass.jets, pt_min=999.0))
    monkeypatch.setattr("jetlab.data.simulate.chunk._LARGEST_BATCH", 20)
    with pytest.raises(JetLabError, match=r"events of class Zqq gave only .* of 20 jets with 999 < pT < 1000 GeV"):
        simulate_chunk(Chunk("Zqq", 0, 20, 1, False, "jetclass", narrow))


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
    monkeypatch.setattr(plan, "CHUNK_SIZE", 10)
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
