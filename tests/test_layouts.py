"""Readers of the public sets: files laid out as published, made here from known jets, give those jets back."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from jetlab.data import read_jets, recognise
from jetlab.data.formats import pdg
from jetlab.errors import JetLabError
from jetlab.jets import Jets
from tests.files import SAMPLES, SLOTS, N, jets, padded, top_tagging_fixed


def same_momenta(found: Jets, expected: Jets, *, rtol: float = 1e-5) -> None:
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    for name in ("pt", "eta", "phi"):
        np.testing.assert_allclose(found.flat(name), expected.flat(name), rtol=rtol, atol=1e-5)


# ---- Top Tagging Reference ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["top.h5", "top_fixed.h5", "grouped"])
def test_top_tagging_as_pandas_writes_it(tmp_path: Path, name: str) -> None:
    true, path = jets(), tmp_path / "test.h5"
    if name == "grouped":
        with h5py.File(path, "w") as file:
            file["table/block0_values"], file["table/block1_values"] = top_tagging_fixed().values()
    else:
        SAMPLES[name].write(path)
    assert recognise(path).layout == "top tagging"
    found = read_jets(path)
    same_momenta(found, true)
    np.testing.assert_array_equal(found.label, true.label)
    assert found.classes == ("QCD", "top")
    np.testing.assert_allclose(found.info["truth_pt"], 600.0 * true.label)


def test_top_tagging_as_columns(tmp_path: Path) -> None:
    same_momenta(read_jets(SAMPLES["top.parquet"].write(tmp_path / "top")), jets())


# ---- quark/gluon ----------------------------------------------------------------------------------------------------


def test_quark_gluon_rapidities_become_pseudorapidities(tmp_path: Path) -> None:
    true = jets()
    rng = np.random.default_rng(0)
    pid = rng.choice([211, -211, 22, 130, 2112, -2212, 11], len(true.flat("pt")))
    mass = np.array(
        [{211: 0.13957, 22: 0.0, 130: 0.497611, 2112: 0.939565, 2212: 0.938272, 11: 0.000511}[abs(p)] for p in pid]
    )
    pt, eta = true.flat("pt"), true.flat("eta")
    pz = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + pz**2 + mass**2)
    rapidity = 0.5 * np.log((energy + pz) / (energy - pz))
    array = padded(true, [pt, rapidity, true.flat("phi") % (2 * np.pi), pid])
    array = np.stack([row[rng.permutation(SLOTS)] for row in array])  # neither sorted nor dense
    np.savez(tmp_path / "QG_jets.npz", X=array, y=true.label.astype(float))
    found = read_jets(tmp_path / "QG_jets.npz")
    same_momenta(found, true)
    assert found.classes == ("gluon", "quark")
    np.testing.assert_array_equal(found.label, true.label)
    np.testing.assert_allclose(found.flat("mass"), mass, rtol=1e-4)
    np.testing.assert_array_equal(found.flat("charge"), pdg.charges(pid))


def test_quark_gluon_labels_must_be_0_and_1(tmp_path: Path) -> None:
    path = SAMPLES["quark_gluon.npz"].write(tmp_path / "QG_jets.npz", y=np.full(N, 3))
    with pytest.raises(JetLabError, match="expected 0 for gluons and 1 for quarks"):
        read_jets(path)


# ---- ATLAS, Aspen, MOD ----------------------------------------------------------------------------------------------


def test_atlas_mev_become_gev(tmp_path: Path) -> None:
    true = jets()
    found = read_jets(SAMPLES["atlas.h5"].write(tmp_path / "train_nominal.h5"))
    same_momenta(found, true)
    np.testing.assert_allclose(found.info["weight"], np.linspace(0.5, 2, N))
    np.testing.assert_allclose(found.info["jet_pt"], true.pt)
    assert any("MeV became GeV" in note for note in found.meta["notes"])


def test_aspen_candidates(tmp_path: Path) -> None:
    true = jets()
    found = read_jets(SAMPLES["aspen.h5"].write(tmp_path / "aspen.h5"))
    assert found.meta["layout"] == "Aspen"
    same_momenta(found, true)
    pid = np.resize([211, -211, 130, 22, 11], len(true.flat("pt")))
    np.testing.assert_array_equal(found.flat("charge"), pdg.charges(pid))
    np.testing.assert_allclose(found.flat("dz"), -0.1, rtol=1e-6)
    np.testing.assert_allclose(found.info["jet_pt"], true.pt)


@pytest.mark.parametrize("closed", [True, False], ids=["index ends at the last candidate", "index of first candidates"])
def test_mod_jets(tmp_path: Path, closed: bool) -> None:
    true = jets()
    index = true.offsets if closed else true.offsets[:-1]
    found = read_jets(SAMPLES["mod.h5"].write(tmp_path / "CMS.h5", pfcs_index=index))
    assert found.meta["layout"] == "MOD"
    same_momenta(found, true)


# ---- OmniLearn, OmniLearned -----------------------------------------------------------------------------------------


def test_omnilearn(tmp_path: Path) -> None:
    true = jets()
    found = read_jets(SAMPLES["omnilearn.h5"].write(tmp_path / "train.h5"))
    assert found.meta["layout"] == "OmniLearn"
    np.testing.assert_allclose(found.flat("pt"), true.flat("pt"), rtol=1e-6)
    np.testing.assert_allclose(found.flat("eta"), true.flat("eta"), atol=1e-6)
    np.testing.assert_allclose(found.mass, true.mass, rtol=1e-4)  # kept in single precision
    np.testing.assert_array_equal(found.label, true.label)


def test_omnilearned(tmp_path: Path) -> None:
    true = jets()
    found = read_jets(SAMPLES["omnilearned.h5"].write(tmp_path / "train.h5"))
    assert found.meta["layout"] == "OmniLearned"
    np.testing.assert_allclose(found.flat("pt"), true.flat("pt"), rtol=1e-6)
    np.testing.assert_array_equal(found.label, true.label + 2)
    assert found.classes == tuple(f"class {k}" for k in range(4))


# ---- CMS NanoAOD ----------------------------------------------------------------------------------------------------

COFFEA = Path(__file__).parents[2] / "shared" / "data" / "coffea"


@pytest.mark.skipif(not COFFEA.exists(), reason="the sample files are not here")
@pytest.mark.parametrize(
    ("file", "n", "empty", "median", "ratio"),
    [("nano_tt_v15.root", 64, 2, 37, (0.915, 0.02)), ("pfnano.root", 24, 0, 41.5, None)],
)
def test_nanoaod(file: str, n: int, empty: int, median: float, ratio: tuple[float, float] | None) -> None:
    """Numbers measured on these files when they were collected (SOURCES.md of the sample files)."""
    jets = read_jets(COFFEA / file)
    assert len(jets) == n
    assert (jets.multiplicity == 0).sum() == empty
    assert np.median(jets.multiplicity) == median
    filled = jets[jets.multiplicity > 0]
    scale = filled.pt / filled.info["jet_pt"]
    if ratio:
        assert np.median(scale) == pytest.approx(ratio[0], abs=ratio[1])
    assert set(np.unique(jets.flat("ptype"))) <= {0, 1, 2, 3, 4}
    assert len(np.unique(jets.info["event"])) > 1


@pytest.mark.skipif(not COFFEA.exists(), reason="the sample files are not here")
def test_pfnano_impact_parameters_are_in_mm() -> None:
    jets = read_jets(COFFEA / "pfnano.root")
    charged = jets.flat("charge") != 0
    assert (jets.flat("d0")[~charged] == 0).all()
    assert 0.005 < np.median(np.abs(jets.flat("d0")[charged])) < 0.5


# ---- PDG codes ------------------------------------------------------------------------------------------------------


def test_pdg_codes() -> None:
    codes = [211, -211, 22, 130, 11, -11, 13, -13, 2112, -2212, 0, 1, 2, 321]
    assert pdg.charges(codes).tolist() == [1, -1, 0, 0, -1, 1, -1, 1, 0, -1, 0, 0, 0, 1]
    assert pdg.particle_types(codes).tolist() == [0, 0, 2, 1, 3, 3, 4, 4, 1, 0, 1, 1, 1, 0]
    assert pdg.masses([[22, 211], [-211, 5]]).tolist() == [[0.0, 0.13957039], [0.13957039, 0.0]]
