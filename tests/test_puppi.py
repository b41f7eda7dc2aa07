"""PUPPI weights and collections of jets, as options of reading."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from jetlab.data import load_jets, read_jets, stream_jets
from jetlab.data.formats import Choice, open_jets
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import Jets
from tests.toys import toy_jets

COFFEA = Path(__file__).parents[2] / "shared" / "data" / "coffea"
here = pytest.mark.skipif(not COFFEA.exists(), reason="the sample files are not here")


@here
def test_pfnano_constituents_scaled_by_their_weights() -> None:
    """The range was measured on this file when it was collected."""
    plain, scaled = (load_jets(COFFEA / "pfnano.root", puppi=puppi) for puppi in (False, True))
    ratio = scaled.pt / scaled.info["jet_pt"]
    assert ratio.min() == pytest.approx(0.867, abs=1e-3)
    assert ratio.max() == pytest.approx(0.938, abs=1e-3)
    assert (scaled.flat("pt").sum() < plain.flat("pt").sum()) & (len(scaled) == len(plain))
    assert any("scaled by their PUPPI weights" in note for note in scaled.meta["notes"])


@here
def test_other_jets_of_pfnano() -> None:
    jets = load_jets(COFFEA / "pfnano.root", collection="Jet")
    assert len(jets) > 24
    assert "jets are those of Jet" in jets.meta["notes"]
    ratio = (jets.pt / jets.info["jet_pt"])[jets.multiplicity > 0]
    assert 0.8 < np.median(ratio) < 1.1
    with pytest.raises(FileError, match=r"no jets 'Jets'.*found .*FatJet"):
        load_jets(COFFEA / "pfnano.root", collection="Jets")


@here
def test_parts_of_an_event_file_are_read_alone() -> None:
    whole = read_jets(COFFEA / "pfnano.root", puppi=True)
    with open_jets(COFFEA / "pfnano.root", choice=Choice(puppi=True)) as file:
        for start, stop in ((0, 5), (4, 17), (23, 24)):
            part = file.read(start, stop)
            np.testing.assert_array_equal(part.flat("pt"), whole[start:stop].flat("pt"))
            np.testing.assert_array_equal(part.info["event"], whole.info["event"][start:stop])


@here
def test_nanoaod_without_weights_is_refused() -> None:
    with pytest.raises(FileError, match="no PUPPI weights: there is no column PFCand_puppiWeight"):
        load_jets(COFFEA / "nano_tt_v15.root", puppi=True)


def aspen(path: Path, jets: Jets, weight: np.ndarray) -> Path:
    array = np.zeros((len(jets), 150, 11))
    energy, px, py, pz = jets.flat_p4.T
    zero = np.zeros(len(px))
    columns = [px, py, pz, energy, zero, zero, zero, zero, zero, np.full(len(px), 22), weight]
    for i, (start, stop) in enumerate(zip(jets.offsets[:-1], jets.offsets[1:], strict=True)):
        array[i, : stop - start] = np.stack(columns, 1)[start:stop]
    with h5py.File(path, "w") as file:
        file["PFCands"], file["jet_kinematics"] = array, np.stack([jets.pt, jets.eta, jets.phi, jets.mass], 1)
    return path


def test_aspen_constituents_of_weight_0_are_left_out(tmp_path: Path) -> None:
    jets = toy_jets(12)
    weight = np.resize([1.0, 0.5, 0.0, 0.25], len(jets.flat("pt")))
    path = aspen(tmp_path / "aspen.h5", jets, weight)
    found = load_jets(path, puppi=True)
    expected = np.add.reduceat(jets.flat_p4 * weight[:, None], jets.offsets[:-1])
    np.testing.assert_allclose(found.p4, expected, rtol=1e-5, atol=1e-4)
    assert found.multiplicity.sum() == (weight > 0).sum()
    np.testing.assert_allclose(load_jets(path).p4, jets.p4, rtol=1e-5, atol=1e-3)
    streamed = next(iter(stream_jets(path, puppi=True, shuffle=False)))
    np.testing.assert_array_equal(streamed.pt, found.pt)


def test_weights_must_be_shares(tmp_path: Path) -> None:
    jets = toy_jets(12)
    path = aspen(tmp_path / "aspen.h5", jets, np.full(len(jets.flat("pt")), -999.0))
    with pytest.raises(InvalidJetsError, match=r"weight is -999.0, expected 0 to 1"):
        load_jets(path, puppi=True)


def test_choices_that_a_layout_does_not_leave(tmp_path: Path) -> None:
    jets = toy_jets(12)
    path = tmp_path / "flat.npz"
    np.savez(path, offsets=jets.offsets, **{name: jets.flat(name) for name in ("pt", "eta", "phi")})
    with pytest.raises(FileError, match="columns layout carries no PUPPI weights"):
        read_jets(path, puppi=True)
    with pytest.raises(FileError, match="columns layout has a single set of jets; collection= is for NanoAOD, Delphes"):
        read_jets(path, collection="FatJet")
    with pytest.raises(FileError, match="puppi cannot be chosen for jets in memory"):
        load_jets(jets, puppi=True)
