"""`load_jets` from every source, and what happens with bad input: always one clear error that names the file."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import pickle
import random
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from jetlab.data import SPLITS, datasets, load_jets, read_jets, recognise, write_jets
from jetlab.data.catalog import DATASETS, DataSet
from jetlab.errors import FileError, InvalidJetsError, JetLabError, UnitsError
from jetlab.jets import Jets
from tests.fuzz import damaged

SAMPLE = resources.files("jetlab.data").joinpath("sample/jets.parquet")
needs_sample = pytest.mark.skipif(not SAMPLE.is_file(), reason="needs the bundled sample")


def some_jets(n: int = 60, *, seed: int = 5) -> Jets:
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 20, n)
    m = counts.sum()
    columns = {
        "pt": rng.uniform(5, 100, m),
        "eta": rng.normal(0, 0.2, m),
        "phi": rng.normal(0, 0.2, m),
        "mass": np.zeros(m),
        "charge": rng.integers(-1, 2, m),
    }
    info = {"split": (np.arange(n) % 3).astype(np.int8), "row": np.arange(n)}
    label = np.arange(n) % 4
    return Jets.from_flat(np.concatenate([[0], np.cumsum(counts)]), columns, label=label, info=info)


def columns_of(jets: Jets, length: int = 24) -> dict[str, np.ndarray]:
    """Padded columns by name."""
    jagged = {name: ak.unflatten(jets.flat(name), jets.multiplicity) for name in ("pt", "eta", "phi", "mass")}
    return {name: ak.to_numpy(ak.fill_none(ak.pad_none(v, length, clip=True), 0)) for name, v in jagged.items()}


# ---- sources ---------------------------------------------------------------------------------------------------------


def test_files_folders_patterns_and_lists_agree(tmp_path: Path) -> None:
    jets = some_jets()
    write_jets(jets[:30], tmp_path / "a.parquet")
    write_jets(jets[30:], tmp_path / "b.root")
    (tmp_path / "notes.txt").write_text("not jets")
    sources = [tmp_path, str(tmp_path / "*.*"), [tmp_path / "a.parquet", str(tmp_path / "b.root")]]
    sources[1] = str(tmp_path / "[ab].*")
    for source in sources:
        found = load_jets(source)
        assert found.info["row"].tolist() == list(range(60))
        assert found.meta["files"] == ["a.parquet", "b.root"]
        assert found.meta["layout"] == "JetClass"
    assert load_jets(str(tmp_path / "a.parquet")).meta["source"] == "a.parquet"


def test_arrays_and_jets_are_sources_too() -> None:
    jets = some_jets()
    assert load_jets(jets) is jets
    assert len(load_jets(columns_of(jets), n=5)) == 5
    np.testing.assert_allclose(load_jets(jets.particles).pt, jets.pt)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.parquet", r"no file nowhere\.parquet.*data set: sample"),
        ("nowhere/*.root", r"no file nowhere/\*\.root"),
        (17, "cannot load jets from int"),
        ([], "list is empty"),
    ],
)
def test_sources_that_are_not_there(source: object, message: str) -> None:
    with pytest.raises(FileError, match=message):
        load_jets(source)


def test_a_folder_without_jets(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FileError, match=r"holds no file of jets; found notes\.txt"):
        load_jets(tmp_path)


# ---- the catalogue ---------------------------------------------------------------------------------------------------


def test_the_catalogue_is_a_table() -> None:
    table = datasets()
    assert table.loc["sample", "jets"] == 20_000
    assert set(table.index) == set(DATASETS)


def test_a_missing_sample_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = DataSet("gone", "", "", 1, "", "", bundled="sample/gone.parquet")
    monkeypatch.setitem(DATASETS, "gone", gone)
    with pytest.raises(FileError, match=r"'gone', jetlab/data/sample/gone\.parquet, is missing.*install JetLab again"):
        load_jets("gone")


def test_the_sample_of_the_coarser_detector() -> None:
    jets, same = load_jets("sample-coarse"), load_jets("sample", n=4000, seed=0)
    assert len(resources.files("jetlab.data").joinpath("sample/coarse.parquet").read_bytes()) < 3e6
    assert set(jets.class_counts().values()) == {400}
    assert np.bincount(jets.info["split"]).tolist() == [2400, 800, 800]
    assert jets.meta["detector"] != same.meta["detector"]
    assert jets.multiplicity.mean() < 0.97 * same.multiplicity.mean()


@needs_sample
def test_the_bundled_sample() -> None:
    assert len(SAMPLE.read_bytes()) < 15e6
    start = time.process_time()
    jets = load_jets("sample")
    assert time.process_time() - start < 3
    assert len(jets) == 20_000
    assert set(jets.class_counts().values()) == {2000}
    shares = np.bincount(jets.info["split"], minlength=3) / len(jets)
    assert (shares > 0.1).all()
    assert ((jets.pt > 495) & (jets.pt < 1005)).all()
    assert set(jets.fields) >= {"charge", "ptype", "d0", "d0err", "dz", "dzerr"}
    assert jets.meta["seed"] is not None


# ---- parts of the jets -----------------------------------------------------------------------------------------------


def test_n_is_the_total_shared_by_the_classes() -> None:
    jets = some_jets()
    assert load_jets(jets, n=10).class_counts() == {"QCD": 3, "Hbb": 3, "Hcc": 2, "Hgg": 2}
    assert load_jets(jets, n=6, classes=["Hcc", "QCD"]).class_counts() == {"QCD": 3, "Hcc": 3}
    assert load_jets(jets, classes="Hbb").class_counts() == {"Hbb": 15}
    unlabelled = Jets(jets.particles)
    assert len(load_jets(unlabelled, n=7)) == 7


def test_the_draw_is_seeded_and_keeps_the_order() -> None:
    jets = some_jets()
    rows = [load_jets(jets, n=20, seed=seed).info["row"] for seed in (0, 0, 1)]
    assert rows[0].tolist() == rows[1].tolist() != rows[2].tolist()
    assert (np.diff(rows[0]) > 0).all()


def test_splits() -> None:
    jets = some_jets()
    parts = [load_jets(jets, split=name) for name in SPLITS]
    assert sorted(np.concatenate([p.info["row"] for p in parts]).tolist()) == list(range(60))
    assert (parts[1].info["split"] == 1).all()
    with pytest.raises(InvalidJetsError, match=r"unknown split 'val'; expected one of train, valid, test"):
        load_jets(jets, split="val")
    with pytest.raises(InvalidJetsError, match="no column 'split'"):
        load_jets(Jets(jets.particles), split="train")


def test_a_class_with_few_jets_gives_all_it_has() -> None:
    jets = some_jets()[np.r_[0:8, 9:60:2]]
    assert jets.class_counts() == {"QCD": 2, "Hbb": 15, "Hcc": 2, "Hgg": 15}
    some = load_jets(jets, n=15)
    assert some.class_counts() == {"QCD": 2, "Hbb": 6, "Hcc": 2, "Hgg": 5}
    assert some.meta["notes"] == ["fewer jets than an equal share of some classes: QCD 2, Hcc 2"]
    assert load_jets(jets, n=34).class_counts() == jets.class_counts()


def test_more_than_there_is() -> None:
    jets = some_jets()
    with pytest.raises(InvalidJetsError, match=r"100 jets asked for, expected 1 to 60.*\(QCD 15, Hbb 15"):
        load_jets(jets, n=100)
    with pytest.raises(InvalidJetsError, match="0 jets asked for"):
        load_jets(jets, n=0)
    with pytest.raises(InvalidJetsError, match=r"classes Higgs: there are QCD 15, Hbb 15"):
        load_jets(jets, classes="Higgs")
    with pytest.raises(InvalidJetsError, match="there are no labels"):
        load_jets(Jets(jets.particles), classes="QCD")
    with pytest.raises(InvalidJetsError, match="3 jets asked for, expected 1 to 0"):
        load_jets(jets[:0], n=3)


# ---- files that are no files of jets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"pt,eta,phi\n1,2,3\n", r"text file that starts with 'pt,eta,phi'"),
        (b"", "is empty"),
        (gzip.compress(b"hello", mtime=0), "gzip archive"),
        (pickle.dumps({"pt": 1}), "pickle, which is never loaded"),
        (bytes(range(120, 256)), "no known format"),
        (b"PAR1", "cannot be"),
        (b"root" + b"\0" * 200, "holds no tree"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 200, "cannot be"),
        (b"PK\x03\x04" + b"\0" * 200, "cannot be"),
        (b"\x93NUMPY\x01\x00", "cannot be"),
    ],
)
@pytest.mark.parametrize("use", [read_jets, recognise])
def test_other_content_in_a_file_named_parquet(tmp_path: Path, content: bytes, message: str, use: Callable) -> None:
    path = tmp_path / "jets.parquet"
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"jets\.parquet.*{message}"):
        use(path)


def test_unknown_columns_are_listed_with_what_was_expected(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"jet_pt": [1.0], "part_pt": [[1.0]], "names": ["x"]}), path)
    for use in (read_jets, recognise):
        with pytest.raises(FileError, match=r"a\.parquet: no jets recognised.*jet_pt, part_pt, names.*px, py, pz"):
            use(path)


def test_a_root_file_without_a_tree(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file["words"] = "hello"
    with pytest.raises(FileError, match=r"a\.root: it holds no tree; found words"):
        read_jets(tmp_path / "a.root")


def test_an_unnamed_array_is_no_jets(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 30, 4)))
    with pytest.raises(FileError, match=r"a\.npy: no jets recognised: NumPy array with the columns array"):
        read_jets(tmp_path / "a.npy")


def test_files_without_jets(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{name: v[:0] for name, v in columns_of(some_jets()).items()})
    with pytest.raises(FileError, match=r"a\.npz.*holds no jets"):
        read_jets(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{name: 0 * v for name, v in columns_of(some_jets()).items()})
    with pytest.raises(InvalidJetsError, match=r"b\.npz.*none of the 60 jets has a constituent"):
        read_jets(tmp_path / "b.npz")


# ---- files of bad jets -----------------------------------------------------------------------------------------------


def save(path: Path, **columns: object) -> Path:
    np.savez(path, **columns)
    return path


def test_bad_numbers_are_named_with_the_file(tmp_path: Path) -> None:
    good = columns_of(some_jets())
    for name, value in (("pt", np.nan), ("eta", np.inf), ("mass", -1.0)):
        bad = good | {name: good[name].copy()}
        bad[name][7, 1] = value
        with pytest.raises(InvalidJetsError, match=rf"a\.npz: constituent 1 of jet 7 has {name} = "):
            read_jets(save(tmp_path / "a.npz", **bad))


def test_wrong_units_are_named_with_the_file(tmp_path: Path) -> None:
    good = columns_of(some_jets())
    with pytest.raises(UnitsError, match=r"a\.npz.*relative to the jet"):
        read_jets(save(tmp_path / "a.npz", **(good | {"pt": good["pt"] / 1000})))
    with pytest.raises(UnitsError, match=r"a\.npz.*MeV"):
        read_jets(save(tmp_path / "a.npz", **(good | {"pt": good["pt"] * 1000})))


def test_contradictory_columns_are_named(tmp_path: Path) -> None:
    good = columns_of(some_jets())
    with pytest.raises(InvalidJetsError, match=r"differ in shape.*\(60, 24\).*\(60, 23\)"):
        read_jets(save(tmp_path / "a.npz", **(good | {"mass": good["mass"][:, 1:]})))
    with pytest.raises(InvalidJetsError, match=r"label of jet 3 is -1"):
        read_jets(save(tmp_path / "a.npz", **good, label=np.where(np.arange(60) == 3, -1, 0)))
    with pytest.raises(InvalidJetsError, match=r"jet 0 has label columns \{'QCD': 1.0, 'Hbb': 1.0\}"):
        read_jets(save(tmp_path / "a.npz", **good, label_QCD=np.ones(60), label_Hbb=np.ones(60)))
    jagged = {name: ak.unflatten(some_jets().flat(name), some_jets().multiplicity) for name in good}
    shorter = ak.Array(jagged | {"phi": jagged["phi"][:, 1:]})
    ak.to_parquet(shorter, tmp_path / "a.parquet")
    with pytest.raises(InvalidJetsError, match=r"a\.parquet.*pt and phi differ in the numbers of constituents"):
        read_jets(tmp_path / "a.parquet")


def test_several_types_of_one_constituent(tmp_path: Path) -> None:
    path = write_jets(some_jets(), tmp_path / "a.parquet")
    table = pq.read_table(path)
    muons = pa.ListArray.from_arrays(
        table["part_px"].combine_chunks().offsets, pa.array(np.ones(some_jets().offsets[-1]))
    )
    table = table.set_column(table.column_names.index("part_isMuon"), "part_isMuon", muons)
    table = table.set_column(table.column_names.index("part_isPhoton"), "part_isPhoton", muons)
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(InvalidJetsError, match=r"several types at once: isPhoton, isMuon"):
        read_jets(path)


def test_missing_values_are_named(tmp_path: Path) -> None:
    table = pa.table({name: [[1.0, None], [2.0]] for name in ("pt", "eta", "phi")})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InvalidJetsError, match=r"a\.parquet: column pt has 1 missing values"):
        read_jets(tmp_path / "a.parquet")


@pytest.mark.parametrize("layout", ["jetclass", "compact"])
def test_a_lost_column_is_noticed(tmp_path: Path, layout: str) -> None:
    path = write_jets(some_jets(), tmp_path / "a.parquet", layout=layout)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns("part_charge"), path)
    with pytest.raises(FileError, match=r"a\.parquet: the columns of charge are gone"):
        read_jets(path)
    pq.write_table(table.drop_columns(["part_px" if layout == "jetclass" else "part_pt"]), path)
    with pytest.raises(FileError, match="no jets recognised"):
        read_jets(path)


# ---- hostile files ---------------------------------------------------------------------------------------------------


def hdf5(path: Path, change: Callable[[h5py.File], None]) -> Path:
    columns = columns_of(some_jets())
    with h5py.File(path, "w") as file:
        for name in ("pt", "eta"):
            file[name] = columns[name]
        change(file)
    return path


@pytest.mark.parametrize("kind", ["external", "soft"])
def test_links_are_refused(tmp_path: Path, kind: str) -> None:
    hdf5(tmp_path / "secret.h5", lambda file: file.update(phi=np.zeros((60, 24))))
    link = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/phi") if kind == "external" else h5py.SoftLink("/eta")
    path = hdf5(tmp_path / "a.h5", lambda file: file.__setitem__("phi", link))
    for use in (read_jets, recognise):
        with pytest.raises(FileError, match=r"a\.h5: phi is a link"):
            use(path)


def test_values_kept_in_other_files_are_refused(tmp_path: Path) -> None:
    hdf5(tmp_path / "secret.h5", lambda file: file.update(phi=np.zeros((60, 24))))
    source = h5py.VirtualSource(str(tmp_path / "secret.h5"), "phi", shape=(60, 24))
    layout = h5py.VirtualLayout(shape=(60, 24), dtype="f8")
    layout[:] = source
    path = hdf5(tmp_path / "a.h5", lambda file: file.create_virtual_dataset("phi", layout))
    with pytest.raises(FileError, match="keeps its values in another file"):
        read_jets(path)
    raw = [(str(tmp_path / "secret.bin"), 0, 60 * 24 * 8)]
    np.zeros(60 * 24).tofile(tmp_path / "secret.bin")
    path = hdf5(tmp_path / "b.h5", lambda file: file.create_dataset("phi", (60, 24), "f8", external=raw))
    with pytest.raises(FileError, match="keeps its values in another file"):
        read_jets(path)


def test_groups_that_hold_themselves_end(tmp_path: Path) -> None:
    def knot(file: h5py.File) -> None:
        file.create_group("a")["b"] = file["/"]

    with pytest.raises(FileError, match="nested too deep"):
        read_jets(hdf5(tmp_path / "a.h5", knot))


def test_gigantic_shapes_are_refused_at_once(tmp_path: Path) -> None:
    def giant(file: h5py.File) -> None:
        file.create_dataset("phi", (60, 10**10), "f8", chunks=(1, 1000))

    with pytest.raises(FileError, match=r"a\.h5: its columns would take [\d.]+ GiB in memory"):
        read_jets(hdf5(tmp_path / "a.h5", giant))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": [("pt", "<f8")], "fortran_order": False, "shape": (10**6, 10**9)}
    )
    (tmp_path / "a.npy").write_bytes(header.getvalue() + b"\0" * 64)
    with pytest.raises(FileError, match=r"a\.npy: the array should hold \d+ bytes.*cut off"):
        read_jets(tmp_path / "a.npy")


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jetlab.data.formats.table._ALWAYS_FINE", 2**20)
    zeros = {name: np.zeros((10_000, 150)) for name in ("pt", "eta", "phi")}
    np.savez_compressed(tmp_path / "bomb.npz", **zeros)
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        for name, values in zeros.items():
            file.create_dataset(name, data=values, compression="gzip")
    offsets = pa.array(np.arange(0, 1_500_001, 150, dtype=np.int32))
    rows = pa.ListArray.from_arrays(offsets, pa.array(np.zeros(1_500_000)))
    pq.write_table(pa.table(dict.fromkeys(zeros, rows)), tmp_path / "bomb.parquet")
    for path in tmp_path.iterdir():
        assert path.stat().st_size < 2**17
        with pytest.raises(FileError, match=r"bomb\..*: its columns would take .* GiB in memory"):
            read_jets(path)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    good = columns_of(some_jets())
    np.savez(tmp_path / "a.npz", **good, extra=np.array([{"a": 1}, None], dtype=object))
    with pytest.raises(FileError, match=r"a\.npz: extra\.npy holds pickled objects, which are never loaded"):
        read_jets(tmp_path / "a.npz")


def test_metadata_that_is_no_json(tmp_path: Path) -> None:
    path = write_jets(some_jets(), tmp_path / "a.parquet")
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"jetlab": b"{broken"}), path)
    with pytest.raises(FileError, match=r"a\.parquet cannot be read"):
        read_jets(path)
    wrong = json.dumps({"fields": 3, "classes": 4, "meta": [1]}).encode()
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"jetlab": wrong}), path)
    with pytest.raises(JetLabError, match=r"a\.parquet"):
        read_jets(path)


# ---- damaged files ---------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> None:
    write_jets(some_jets(12), path.with_suffix(".parquet")).rename(path)


def _compact(path: Path) -> None:
    write_jets(some_jets(12), path.with_suffix(".parquet"), layout="compact").rename(path)


def _root(path: Path) -> None:
    jets = some_jets(12)
    with uproot.recreate(path) as file:
        file.mktree("tree", {"part": "var * {pt: float32, eta: float32, phi: float32}", "label": "int32"})
        records = ak.zip({name: ak.unflatten(jets.flat(name), jets.multiplicity) for name in ("pt", "eta", "phi")})
        file["tree"].extend({"part": records, "label": jets.label.astype(np.int32)})


def _npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **columns_of(some_jets(12)))


def _npy(path: Path) -> None:
    columns = columns_of(some_jets(12))
    array = np.zeros((12, 24), dtype=[(name, "f4") for name in columns])
    for name, values in columns.items():
        array[name] = values
    with path.open("wb") as file:
        np.save(file, array)


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns_of(some_jets(12)).items():
            file.create_dataset(name, data=values, compression="gzip", fletcher32=True)


def _jetnet(path: Path) -> None:
    jets = some_jets(12)
    columns = columns_of(jets)
    mask = columns["pt"] > 0
    particles = [columns["eta"], columns["phi"], columns["pt"] / jets.pt[:, None], mask]
    with h5py.File(path, "w") as file:
        file["particle_features"] = np.stack(particles, axis=-1).astype("f4")
        file["jet_features"] = np.stack([jets.pt, 0 * jets.pt, jets.mass, mask.sum(axis=1)], axis=1)


@pytest.mark.filterwarnings("ignore")  # readers warn about damaged headers in many ways
@pytest.mark.parametrize("make", [_parquet, _compact, _root, _npz, _npy, _hdf5, _jetnet], ids=lambda m: m.__name__[1:])
def test_damaged_files_give_one_kind_of_error(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "jets"
    make(path)
    good = path.read_bytes()
    expected = read_jets(path)
    refused = 0
    for _, bad in damaged(good, 40, seed=1):
        path.write_bytes(bad)
        try:
            jets = read_jets(path)
        except JetLabError as error:
            assert str(path) in str(error)  # noqa: PT017 either outcome is right
            refused += 1
        else:
            assert len(jets) <= len(expected)
            assert np.isfinite(jets.mass).all()
    assert refused >= 16
    path.write_bytes(good)
    np.testing.assert_array_equal(read_jets(path).p4, expected.p4)


def test_a_damaged_footer_does_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "jets.parquet"
    write_jets(some_jets(12), path, layout="compact")
    good = path.read_bytes()
    rng = random.Random(2)
    for _ in range(150):
        bad = bytearray(good)
        bad[rng.randrange(len(bad) - 6000, len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        for use in (recognise, read_jets):
            with contextlib.suppress(JetLabError):
                use(path)


def test_cut_files_are_refused_at_every_length(tmp_path: Path) -> None:
    for make in (_parquet, _root, _npz, _hdf5):
        path = tmp_path / "jets"
        make(path)
        good = path.read_bytes()
        for share in (0.05, 0.3, 0.6, 0.9, 0.99):
            path.write_bytes(good[: int(share * len(good))])
            with pytest.raises(FileError, match=r"jets.* cannot be|of no known format"):
                read_jets(path)
