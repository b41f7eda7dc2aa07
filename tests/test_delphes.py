"""Delphes trees: jets with the candidates they refer to, compared with sums made here object by object."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from jetlab.data import load_jets, read_jets, recognise, stream_jets
from jetlab.data.formats import open_jets
from jetlab.data.formats.references import identity
from jetlab.errors import FileError
from jetlab.jets import Jets

DATA = Path(__file__).parents[2] / "shared" / "data"
PUPPI = DATA / "sophon_jetclass2" / "events_delphes_example.root"
HIGGS = DATA / "sophon_jetclass2" / "events_delphes_higgs2p_example.root"
EFLOW = DATA / "coffea" / "delphes.root"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the sample files are not here")

COLLECTIONS = [
    (PUPPI, None, "JetPUPPIAK8", 22),
    (PUPPI, "JetPUPPIAK15", "JetPUPPIAK15", 21),
    (HIGGS, None, "JetPUPPIAK8", 21),
    (EFLOW, None, "ParticleFlowJet08", 158),
    (EFLOW, "CaloJet08", "CaloJet08", 147),
    (EFLOW, "TrackJet08", "TrackJet08", 76),
]
TRACKS = ("ParticleFlowCandidate", "EFlowTrack", "Track")
TOWERS = ("EFlowPhoton", "EFlowNeutralHadron", "Tower")


@cache
def tree_of(path: Path) -> Any:
    return uproot.open(path)["Delphes"]


@cache
def jets_in(path: Path, collection: str | None = None) -> Jets:
    return read_jets(path, collection=collection)


def sums_of_referred_objects(path: Path, collection: str) -> tuple[np.ndarray, int]:
    """Four-momenta (E, px, py, pz) of jets from the objects that their references name, event by event."""
    tree = tree_of(path)
    branches = [name for name in (*TRACKS, *TOWERS) if f"{name}_size" in tree]

    def column(branch: str, name: str) -> list:
        return tree[f"{branch}/{branch}.{name}"].array().tolist()

    columns = {
        name: {c: column(name, c) for c in ("fUniqueID", "PT" if name in TRACKS else "ET", "Eta", "Phi")}
        | ({c: column(name, c) for c in ("Mass", "CtgTheta", "Charge", "P")} if name in TRACKS else {})
        for name in branches
    }
    links = column(collection, "Constituents")
    sums, empty = [], 0
    for event, jets in enumerate(links):
        momenta = {}
        for name in reversed(branches):
            of = {key: values[event] for key, values in columns[name].items()}
            for k, number in enumerate(of["fUniqueID"]):
                pt, eta = of["PT" if name in TRACKS else "ET"][k], of["Eta"][k]
                if pt == 0:
                    momenta[number % 2**24] = None
                    continue
                if name in TRACKS and of["Charge"][k]:
                    eta = np.arcsinh(of["CtgTheta"][k])
                    assert pt * np.cosh(eta) == pytest.approx(of["P"][k], rel=1e-4)
                mass = max(of["Mass"][k], 0) if name in TRACKS else 0
                pz = pt * np.sinh(eta)
                energy = np.sqrt(pt**2 + pz**2 + mass**2)
                momenta[number % 2**24] = np.array([energy, pt * np.cos(of["Phi"][k]), pt * np.sin(of["Phi"][k]), pz])
        for jet in jets:
            found = [momenta[number % 2**24] for number in jet["refs"]]
            empty += sum(p is None for p in found)
            sums.append(np.sum([np.zeros(4), *(p for p in found if p is not None)], axis=0))
    return np.array(sums), empty


@pytest.mark.parametrize(("path", "asked", "taken", "n"), COLLECTIONS)
def test_jets_are_the_sums_of_the_objects_they_refer_to(path: Path, asked: str | None, taken: str, n: int) -> None:
    jets = jets_in(path, asked)
    assert len(jets) == n
    assert jets.meta["layout"] == "Delphes"
    assert f"jets are those of {taken}" in jets.meta["notes"]
    sums, empty = sums_of_referred_objects(path, taken)
    np.testing.assert_allclose(jets.p4, sums, rtol=1e-5, atol=1e-3)
    assert any(f"{empty} constituents without momentum" in note for note in jets.meta["notes"]) == bool(empty)


@pytest.mark.parametrize(("path", "asked", "taken", "n"), COLLECTIONS)
def test_jets_have_the_momenta_that_delphes_wrote(path: Path, asked: str | None, taken: str, n: int) -> None:
    jets = jets_in(path, asked)
    np.testing.assert_allclose(jets.pt, jets.info["jet_pt"], rtol=1e-6)
    np.testing.assert_allclose(jets.eta, jets.info["jet_eta"], atol=1e-6)
    assert (np.abs(jets.phi - jets.info["jet_phi"]) < 1e-5).all()
    assert (jets.mass <= jets.info["jet_mass"] * (1 + 1e-5) + 1e-3).all()  # those without momentum only add


def test_masses_agree_where_no_constituent_lacks_momentum() -> None:
    jets = jets_in(EFLOW, "CaloJet08")
    np.testing.assert_allclose(jets.mass, jets.info["jet_mass"], atol=1e-3)
    jets = jets_in(HIGGS)
    same = np.abs(jets.mass - jets.info["jet_mass"]) < 1e-3
    assert same.sum() >= 10  # all that hold no track of weight 0


def test_units_charges_and_types() -> None:
    jets = jets_in(PUPPI)
    charged = jets.flat("charge") != 0
    assert set(np.unique(jets.flat("charge"))) == {-1, 0, 1}
    assert set(np.unique(jets.flat("ptype")[~charged])) <= {1, 2}
    assert set(np.unique(jets.flat("ptype")[charged])) <= {0, 3, 4}
    masses = [0.0, 0.000511, 0.10566, 0.13957, 0.49368, 0.93827]
    assert np.abs(jets.flat("mass")[:, None] - masses).min(axis=1).max() < 1e-5
    assert (jets.flat("d0")[~charged] == 0).all()
    assert 0.01 < np.median(np.abs(jets.flat("d0")[charged])) < 0.1  # mm
    assert np.median(np.abs(jets.flat("dz")[charged])) < 0.2  # mm, from the hardest vertex
    assert 0.01 < np.median(jets.flat("dzerr")[charged]) < 1


def test_candidates_of_the_calorimeter_are_photons_and_neutral_hadrons() -> None:
    jets = jets_in(EFLOW)
    counts = np.bincount(jets.flat("ptype").astype(int), minlength=3)
    assert counts[1] == 907
    assert counts[2] == 2245
    assert jets.flat("ptype").size == 4955


def test_jets_whose_constituents_are_not_stored_are_refused() -> None:
    with pytest.raises(FileError, match=r"1102 of 1118 constituents of JetAK8 are not in the file.*JetPUPPIAK8"):
        load_jets(PUPPI, collection="JetAK8")


def test_collections_that_are_not_there_are_refused() -> None:
    with pytest.raises(FileError, match=r"no jets 'FatJet'.*found ParticleFlowJet08"):
        load_jets(EFLOW, collection="FatJet")


def test_recognised_and_streamed() -> None:
    found = recognise(EFLOW)
    assert (found.layout, found.n_jets) == ("Delphes", 158)
    batches = list(stream_jets(EFLOW, batch_size=50, collection="CaloJet08", shuffle=False))
    assert sum(map(len, batches)) == 147
    np.testing.assert_array_equal(batches[0].pt, jets_in(EFLOW, "CaloJet08")[: len(batches[0])].pt)


def test_parts_are_read_alone() -> None:
    whole = jets_in(EFLOW)
    with open_jets(EFLOW) as file:
        for start, stop in ((0, 3), (57, 101), (150, 158), (40, 41), (9, 9)):
            part = file.read(start, stop)
            np.testing.assert_array_equal(part.flat("pt"), whole[start:stop].flat("pt"))
            np.testing.assert_array_equal(part.flat("dz"), whole[start:stop].flat("dz"))
            np.testing.assert_array_equal(part.info["event"], whole.info["event"][start:stop])


def test_delphes_has_no_weights() -> None:
    with pytest.raises(FileError, match="Delphes layout carries no PUPPI weights; puppi= is for Aspen, NanoAOD"):
        load_jets(EFLOW, puppi=True)


def test_identities_ignore_the_number_of_the_process() -> None:
    assert identity(np.array([0x01000005, 0x5], dtype=np.uint32)).tolist() == [5, 5]
