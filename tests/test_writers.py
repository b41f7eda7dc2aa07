"""Writers of JetNet and OmniLearned files: what is read back, what other tools find, and files that fail half-way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from jetlab.data import read_jets, recognise, stream_jets, write_jets
from jetlab.data.formats import writing
from jetlab.data.formats.omnilearn import PARTICLE_CODES
from jetlab.errors import FileError
from jetlab.jets import Jets
from jetlab.vocabulary import CLASSES
from tests.files import full_jets
from tests.toys import toy_jets

FIELDS = ("charge", "ptype", "d0", "d0err", "dz", "dzerr")


def without_mass(jets: Jets) -> np.ndarray:
    """Jet four-momenta of massless constituents with the same momenta."""
    p4 = jets.flat_p4.copy()
    p4[:, 0] = np.linalg.norm(p4[:, 1:], axis=1)
    return np.add.reduceat(p4, jets.offsets[:-1])


# ---- JetNet ---------------------------------------------------------------------------------------------------------


def test_jetnet_round_trip(tmp_path: Path) -> None:
    jets = full_jets(40)
    found = read_jets(write_jets(jets, tmp_path / "jets.h5", layout="jetnet"))
    assert found.meta["layout"] == "JetNet"
    np.testing.assert_array_equal(found.offsets, jets.offsets)
    for name, atol in (("pt", 0), ("eta", 1e-6), ("phi", 1e-6)):
        np.testing.assert_allclose(found.flat(name), jets.flat(name), rtol=3e-7, atol=atol)
    np.testing.assert_allclose(found.p4, without_mass(jets), rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(found.info["jet_mass"], jets.mass, rtol=1e-6)
    np.testing.assert_array_equal(found.label, jets.label)
    assert found.classes == CLASSES
    np.testing.assert_array_equal(found.info["split"], jets.info["split"])
    assert found.meta["seed"] == 0
    lost = "the file keeps no masses of constituents, charge, ptype, d0, d0err, dz, dzerr"
    assert any(note.startswith(lost) for note in found.meta["notes"])


def test_jetnet_tools_find_what_they_expect(tmp_path: Path) -> None:
    jets = full_jets(40)
    with h5py.File(write_jets(jets, tmp_path / "t.hdf5", layout="jetnet")) as file:
        particles, whole = file["particle_features"][:], file["jet_features"][:]
        provenance = json.loads(file.attrs["jetlab"])
    assert particles.shape == (40, 30, 4)
    assert particles.dtype == np.float32
    np.testing.assert_array_equal(particles[..., 3].sum(1), jets.multiplicity)
    np.testing.assert_array_equal(whole[:, 3], jets.multiplicity)
    np.testing.assert_allclose(whole[:, :3], np.stack([jets.pt, jets.eta, jets.mass], 1), rtol=1e-5, atol=1e-6)
    assert (particles[particles[..., 3] == 0] == 0).all()
    assert (np.diff(particles[..., 2], axis=1) <= 0).all()  # falling pT
    np.testing.assert_allclose((particles[..., 2] * np.cos(particles[..., 1])).sum(1), 1, atol=1e-5)
    assert provenance["layout"] == "jetnet"
    assert provenance["meta"]["source"] == "toys"


def test_jetnet_keeps_at_most_150_constituents(tmp_path: Path) -> None:
    jets = toy_jets(6, low=140, high=170)
    cut = int((jets.multiplicity > 150).sum())
    assert cut
    found = read_jets(write_jets(jets, tmp_path / "jets.h5", layout="jetnet"))
    assert found.multiplicity.max() == 150
    np.testing.assert_allclose(found.pt, jets.leading(150).pt, rtol=1e-6)
    assert any(f"{cut} jets were cut to their 150 hardest" in note for note in found.meta["notes"])


def test_jetnet_without_labels(tmp_path: Path) -> None:
    jets = toy_jets(8)
    bare = Jets.from_flat(jets.offsets, {name: jets.flat(name) for name in jets.fields})
    found = read_jets(write_jets(bare, tmp_path / "jets.h5", layout="jetnet"))
    assert found.label is None
    assert "the file carries no labels" in found.meta["notes"]


# ---- OmniLearned ----------------------------------------------------------------------------------------------------


def test_omnilearned_round_trip(tmp_path: Path) -> None:
    jets = full_jets(40)
    found = read_jets(write_jets(jets, tmp_path / "train.h5", layout="omnilearned"))
    assert found.meta["layout"] == "OmniLearned"
    np.testing.assert_array_equal(found.offsets, jets.offsets)
    for name in ("pt", "eta", "phi"):
        np.testing.assert_allclose(found.flat(name), jets.flat(name), rtol=1e-6, atol=1e-6)
    types = jets.flat("ptype")
    np.testing.assert_array_equal(found.flat("ptype"), types)
    np.testing.assert_array_equal(found.flat("charge"), jets.flat("charge"))
    for name in ("d0", "dz"):
        np.testing.assert_allclose(found.flat(name), jets.flat(name), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(found.flat("d0err"), jets.flat("d0err"))
    np.testing.assert_array_equal(found.label, jets.label)
    assert found.classes == CLASSES
    np.testing.assert_array_equal(found.info["split"], jets.info["split"])
    np.testing.assert_allclose(found.pt, jets.pt, rtol=1e-6)
    np.testing.assert_allclose(found.mass, jets.mass, rtol=1e-3)
    heavy = jets.flat("mass") > 0.003 * jets.flat("energy")
    assert heavy.any()
    np.testing.assert_allclose(found.flat("mass")[heavy], jets.flat("mass")[heavy], rtol=0.2)
    assert any("masses of constituents below 0.2 %" in note for note in found.meta["notes"])


def test_omnilearned_tools_find_what_they_expect(tmp_path: Path) -> None:
    jets = full_jets(40)
    with h5py.File(write_jets(jets, tmp_path / "train.h5", layout="omnilearned")) as file:
        data, pid, conditions = file["data"][:], file["pid"][:], file["global"][:]
        assert "jet" not in file
    assert data.shape == (40, jets.multiplicity.max(), 9)
    valid = data[..., 2] != 0
    np.testing.assert_array_equal(valid.sum(1), jets.multiplicity)
    np.testing.assert_allclose(data[valid][:, 0], jets.flat("deta"))
    np.testing.assert_allclose(data[valid][:, 1], jets.flat("dphi"))
    np.testing.assert_allclose(data[valid][:, 2], np.log(jets.flat("pt")), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data[valid][:, 3], np.log(jets.flat("energy")), rtol=1e-5, atol=1e-6)
    assert set(np.unique(data[valid][:, 4])) == set(range(len(PARTICLE_CODES)))
    assert (data[valid][:, 4] == 0).sum() == (jets.flat("ptype") == -1).sum()  # only the unknown has no embedding
    np.testing.assert_allclose(data[valid][:, 5], np.tanh(jets.flat("d0")), rtol=1e-5)
    np.testing.assert_array_equal(pid, jets.label)
    np.testing.assert_allclose(conditions[:, 0], np.log(jets.pt), rtol=1e-6)
    assert [int(100 * c) for c in conditions[:, -1]] == jets.multiplicity.tolist()


def test_hundredths_survive_the_conversion_of_omnilearned(tmp_path: Path) -> None:
    """OmniLearned takes int(100 * x), in single or double precision."""
    from jetlab.data.formats.omnilearn import _hundredths

    counts = np.arange(1, 2000)
    stored = _hundredths(counts)
    np.testing.assert_array_equal((stored * np.float32(100)).astype(int), counts)
    np.testing.assert_array_equal((stored.astype(float) * 100).astype(int), counts)


def test_a_particle_of_exactly_1_gev_is_no_padding(tmp_path: Path) -> None:
    columns = {"pt": [600.0, 1.0, np.nextafter(np.float32(1), np.float32(0)), 0.5]}
    columns |= {"eta": np.zeros(4), "phi": np.zeros(4), "mass": np.zeros(4)}
    jets = Jets.from_flat([0, 4], columns, label=[0])
    path = write_jets(jets, tmp_path / "train.h5", layout="omnilearned")
    with h5py.File(path) as file:
        assert (file["data"][0, :, 2] != 0).all()
    found = read_jets(path)
    assert found.multiplicity.tolist() == [4]
    np.testing.assert_allclose(found.flat("pt"), jets.flat("pt"), rtol=2e-7)


def test_omnilearned_of_plain_jets(tmp_path: Path) -> None:
    jets = toy_jets(8)
    bare = Jets.from_flat(jets.offsets, {name: jets.flat(name) for name in jets.fields})
    path = write_jets(bare, tmp_path / "train.h5", layout="omnilearned")
    with h5py.File(path) as file:
        assert file["data"].shape[2] == 4
        assert (file["pid"][:] == 0).all()
    found = read_jets(path)
    assert found.label is None
    assert found.fields == bare.fields
    np.testing.assert_allclose(found.p4, bare.p4, rtol=1e-5, atol=1e-3)


# ---- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["jetnet", "omnilearned"])
def test_blocks_join_without_seams(tmp_path: Path, monkeypatch, layout: str) -> None:
    jets = full_jets(40)
    whole = read_jets(write_jets(jets, tmp_path / "whole.h5", layout=layout))
    monkeypatch.setattr(writing, "_JETS_IN_A_BLOCK", 7)
    path = write_jets(jets, tmp_path / "blocks.h5", layout=layout)
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert recognise(path).n_jets == 40
    streamed = list(stream_jets(path, batch_size=9, shuffle=False))
    np.testing.assert_array_equal(np.concatenate([b.pt for b in streamed]), whole.pt)
    assert streamed[0].classes == CLASSES


@pytest.mark.parametrize(
    ("layout", "name"), [("jetnet", "a.parquet"), ("omnilearned", "a.root"), ("jetclass", "a.h5"), (None, "a.h5")]
)
def test_suffixes_of_other_layouts_are_refused(tmp_path: Path, layout: str | None, name: str) -> None:
    with pytest.raises(
        FileError, match=r"expected .parquet or .root with layout jetclass.*.h5 or .hdf5 with layout jet"
    ):
        write_jets(toy_jets(3), tmp_path / name, layout=layout)
    assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, signal, sys
from jetlab.data import write_jets
from jetlab.errors import FileError
from tests.files import full_jets
from tests.toys import toy_jets
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
jets = toy_jets(300)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_jets(jets, sys.argv[1], layout=sys.argv[2])
except FileError as error:
    print(error)
"""


@pytest.mark.parametrize("layout", ["jetnet", "omnilearned"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "jets.h5"
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", FULL_DISK, str(path), layout]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "jets.h5 cannot be written" in done.stdout
    assert not list(tmp_path.iterdir())


KILLED = """
import sys, time
from jetlab.data import write_jets
from jetlab.data.formats import writing
from tests.files import full_jets
from tests.toys import toy_jets
writing._JETS_IN_A_BLOCK = 10
make = writing._blocks
def slow(*given):
    for block in make(*given):
        yield block
        print("block", flush=True)
        time.sleep(60)
writing._blocks = slow
write_jets(toy_jets(30), sys.argv[1], layout="jetnet")
"""


def test_a_kill_leaves_no_half_file_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "jets.h5"
    write_jets(toy_jets(5), path, layout="jetnet")
    before = path.read_bytes()
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "block\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == before
    assert len(read_jets(path)) == 5


def test_omnilearned_columns_follow_what_the_jets_have(tmp_path: Path) -> None:
    jets = full_jets(40)
    for fields, width in ((("ptype",), 5), (("ptype", "charge"), 5), (("d0", "d0err", "dz", "dzerr"), 8)):
        flat = {name: jets.flat(name) for name in ("pt", "eta", "phi", "mass", *fields)}
        path = write_jets(Jets.from_flat(jets.offsets, flat), tmp_path / "train.h5", layout="omnilearned")
        with h5py.File(path) as file:
            assert file["data"].shape[2] == width
        found = read_jets(path)
        assert set(found.fields) == {"pt", "eta", "phi", "mass", *fields}
        for name in fields:
            np.testing.assert_allclose(found.flat(name), jets.flat(name), rtol=1e-3, atol=1e-6)
