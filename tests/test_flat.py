"""Flat files: the same jets, in any part, through the same doors; conversions go on; damage is named, never a crash."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch.utils.data import DataLoader, IterableDataset

from jetlab.batches import stream_batches
from jetlab.data import convert, load_jets, read_jets, recognise, stream_jets, write_jets
from jetlab.data.formats import open_jets
from jetlab.data.formats.flat import save_flat
from jetlab.data.formats.safetensors import PAGE, save_safetensors
from jetlab.errors import FileError, InvalidJetsError, JetLabError
from jetlab.features import JETCLASS_RECIPES, OMNIJET_RECIPE
from jetlab.jets import Jets, concatenate
from tests.toys import toy_jets

SIZES = (130, 1, 75)


def full_jets(n: int, *, seed: int = 0, start: int = 0) -> Jets:
    """Toy jets with all fields, numbered; the second is empty."""
    rng = np.random.default_rng(seed)
    toy = toy_jets(n, seed=seed)
    counts = toy.multiplicity.copy()
    if n > 1:
        counts[1] = 0
    rows = np.repeat(np.arange(n) != 1, toy.multiplicity)
    columns = {name: toy.flat(name)[rows] for name in toy.fields}
    m = len(columns["pt"])
    columns |= {name: rng.normal(0, 0.3, m) for name in ("d0", "dz")}
    columns |= {name: rng.choice([0.01, 0.05], m) for name in ("d0err", "dzerr")}
    columns |= {"charge": rng.integers(-1, 2, m), "ptype": rng.integers(0, 5, m)}
    info = {"number": np.arange(start, start + n), "weight": rng.random(n), "good": rng.random(n) < 0.5}
    offsets = np.concatenate([[0], np.cumsum(counts)])
    meta = {"source": "toy", "seed": np.int64(seed), "pair": (1, 2)}
    return Jets.from_flat(offsets, columns, label=toy.label, info=info, meta=meta)


def assert_same(found: Jets, expected: Jets) -> None:
    assert found.classes == expected.classes
    assert found.fields == expected.fields
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.label, expected.label)
    np.testing.assert_array_equal(found.p4, expected.p4)
    assert set(found.info) == set(expected.info)
    for name, values in expected.info.items():
        np.testing.assert_array_equal(found.info[name], values)
        assert found.info[name].dtype == values.dtype
    for name in expected.fields:
        np.testing.assert_array_equal(found.flat(name), expected.flat(name))
        assert found.flat(name).dtype == expected.flat(name).dtype


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of three kinds."""
    folder, start = tmp_path_factory.mktemp("sources"), 0
    for k, n in enumerate(SIZES):
        jets = full_jets(n, seed=k, start=start)
        write_jets(jets, folder / f"{k}.{'root' if k == 2 else 'parquet'}")
        start += n
    return folder


# ---- one file --------------------------------------------------------------------------------------------------------


def test_round_trip_changes_nothing(tmp_path: Path) -> None:
    jets, path = full_jets(200), tmp_path / "jets.safetensors"
    save_flat(path, jets)
    found = read_jets(path)
    assert_same(found, jets)
    assert found.meta["source"] == "toy"
    assert found.meta["seed"] == 0
    assert found.meta["layout"] == "flat"
    assert found.meta["notes"] == ["1 jets have no constituents"]
    about = recognise(path)
    assert (about.layout, about.container, about.n_jets) == ("flat", "safetensors", 200)


def test_unlabelled_jets_of_own_classes(tmp_path: Path) -> None:
    jets = toy_jets(20)
    plain = Jets(jets.particles, classes=("a", "b"))
    save_flat(tmp_path / "jets", plain)
    found = read_jets(tmp_path / "jets")
    assert found.label is None
    assert found.classes == ("a", "b")
    np.testing.assert_array_equal(found.flat("pt"), plain.flat("pt"))


@pytest.mark.parametrize("step", [1, 7, 64, 200])
def test_any_part_can_be_read(tmp_path: Path, step: int) -> None:
    jets, path = concatenate([full_jets(100, seed=s) for s in range(20)]), tmp_path / "jets.safetensors"
    save_flat(path, jets)
    assert path.stat().st_size > 8 * PAGE
    with open_jets(path) as file:
        parts = [file.read(start, min(start + step, 2000)) for start in range(0, 2000, step)]
        assert len(file.read(5, 5)) == 0
        assert_same(file.read(321, 345), jets[321:345])
    assert_same(concatenate(parts), jets)


def test_others_can_read_it_and_theirs_is_read(tmp_path: Path) -> None:
    jets, path = full_jets(30), tmp_path / "jets.safetensors"
    save_flat(path, jets)
    arrays = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(arrays["part_pt"], jets.flat("pt"))
    np.testing.assert_array_equal(arrays["offsets"], jets.offsets)
    mine = {name: arrays[name] for name in ("offsets", "part_pt", "part_eta", "part_phi", "part_mass")}
    safetensors.numpy.save_file(mine | {"label": jets.label}, tmp_path / "other.safetensors")
    found = load_jets(tmp_path / "other.safetensors")
    assert found.meta["layout"] == "columns"
    np.testing.assert_array_equal(found.flat("pt"), jets.flat("pt"))
    np.testing.assert_array_equal(found.label, jets.label)


def test_numbers_of_others_are_checked(tmp_path: Path) -> None:
    jets = toy_jets(30)
    columns = {f"part_{name}": jets.flat(name).copy() for name in jets.fields}
    columns["part_eta"][4] = np.nan
    save_safetensors(tmp_path / "jets", columns | {"offsets": jets.offsets}, {})
    with pytest.raises(InvalidJetsError, match="eta = nan"):
        read_jets(tmp_path / "jets")


def test_what_is_no_number_is_named(tmp_path: Path) -> None:
    jets = toy_jets(5).with_info(name=np.array(list("abcde")))
    with pytest.raises(FileError, match="column info_name of type <U1 cannot be written"):
        save_flat(tmp_path / "jets", jets)


# ---- damage ----------------------------------------------------------------------------------------------------------


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path, rng = tmp_path / "jets.safetensors", np.random.default_rng(7)
    save_flat(path, concatenate([full_jets(100, seed=s) for s in range(5)]))
    good = path.read_bytes()
    header = 8 + struct.unpack("<Q", good[:8])[0]
    places = [*range(24), *rng.integers(8, header, 150), *rng.integers(header, len(good), 150), len(good) - 1]
    for place in places:
        if place >= 8 and good[place] == ord(" "):
            continue  # space between entries of the header means nothing
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(7))
        path.write_bytes(bad)
        with pytest.raises(FileError):
            read_jets(path)


def test_cut_files_are_refused_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "jets.safetensors"
    save_flat(path, full_jets(300))
    good = path.read_bytes()
    for length in (0, 4, 9, 30, 200, 1500, len(good) // 3, len(good) // 2, len(good) - PAGE, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(FileError):
            read_jets(path)


def test_a_file_cut_while_it_is_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jets.safetensors"
    save_flat(path, full_jets(300))
    with open_jets(path) as file:
        with path.open("r+b") as other:
            other.truncate(path.stat().st_size // 2)
        with pytest.raises(FileError, match="cannot be read to its end"):
            file.read()


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"a": 3}',
        b'{"offsets": {"dtype": "I64", "shape": [9223372036854775807], "data_offsets": [0, 8]}}',
        b'{"part_pt": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}',
        b'{"part_pt": {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]}}',
        b'{"__metadata__": {"jetlab": "{}"}, "part_pt": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}',
        b'{"' + b'a":{"' * 20_000,
    ],
)
def test_made_up_headers_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "jets.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    with pytest.raises(FileError, match=r"jets\.safetensors"):
        read_jets(path)


def test_offsets_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    """Even where all checksums are right."""
    jets = full_jets(30)
    meta = {"layout": "flat", "classes": list(jets.classes), "columns": list(jets.fields), "meta": {}}
    columns = {f"part_{name}": jets.flat(name) for name in jets.fields} | {"jet_p4": jets.p4}
    for wrong in (jets.offsets[::-1].copy(), jets.offsets * 2**40, jets.offsets - 1, jets.offsets + 3):
        save_safetensors(tmp_path / "jets", columns | {"offsets": wrong}, meta)
        with open_jets(tmp_path / "jets") as file:
            with pytest.raises(FileError):
                file.read()
            with pytest.raises(FileError):
                file.read(3, 9)
    kept = {name: values for name, values in columns.items() if name not in ("jet_p4", "part_mass")}
    save_safetensors(tmp_path / "jets", kept | {"offsets": jets.offsets}, meta)
    with pytest.raises(FileError, match="the arrays jet_p4, part_mass are gone"):
        read_jets(tmp_path / "jets")


# ---- conversion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jets_per_file", [7, 40, 100_000])
def test_conversion_keeps_jets_and_order(sources: Path, tmp_path: Path, jets_per_file: int) -> None:
    seen: list[tuple[int, int]] = []
    path = convert(sources, tmp_path / "flat", jets_per_file=jets_per_file, progress=lambda *done: seen.append(done))
    expected = load_jets(sources)
    found = load_jets(path)
    assert_same(found, expected)
    assert found.info["number"].tolist() == list(range(sum(SIZES)))
    assert found.meta["source"] == "toy"
    assert seen[-1] == (sum(SIZES), sum(SIZES))
    note = json.loads((path / "conversion.json").read_text())
    assert note["jets"] == sum(SIZES)
    assert [source["name"] for source in note["sources"]] == ["0.parquet", "1.parquet", "2.root"]
    assert not list(tmp_path.glob(".*"))


def test_conversion_selects(sources: Path, tmp_path: Path) -> None:
    path = convert(sources, tmp_path / "flat", classes=["QCD", "Hbb"], where={"pt": (600, None)})
    assert_same(load_jets(path), load_jets(sources, classes=["QCD", "Hbb"], where={"pt": (600, None)}))
    with pytest.raises(FileError, match="none of the 206 jets fulfils the conditions"):
        convert(sources, tmp_path / "none", where={"pt": (1e6, None)})
    assert not (tmp_path / "none").exists()


def test_an_interrupted_conversion_goes_on(sources: Path, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > 120:
            raise StoppedError

    with pytest.raises(FileError, match="StoppedError"):
        convert(sources, tmp_path / "flat", jets_per_file=20, progress=stop)
    assert not (tmp_path / "flat").exists()
    unfinished = tmp_path / ".flat.unfinished"
    first = (unfinished / "00000.safetensors").stat()
    seen: list[int] = []
    path = convert(sources, tmp_path / "flat", jets_per_file=20, progress=lambda done, _: seen.append(done))
    assert seen[0] > 120
    assert (path / "00000.safetensors").stat().st_ino == first.st_ino
    assert_same(load_jets(path), load_jets(sources))


def test_a_conversion_that_is_there(sources: Path, tmp_path: Path) -> None:
    path = convert(sources, tmp_path / "flat")
    before = (path / "00000.safetensors").stat()
    assert convert(sources, tmp_path / "flat") == path
    assert (path / "00000.safetensors").stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(FileError, match="does not hold the same conversion: choose another path"):
        convert(sources, tmp_path / "flat", classes=["QCD"])
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileError, match="choose another path, or remove it"):
        convert(sources, tmp_path / "mine")
    with pytest.raises(JetLabError, match="jets_per_file is 0"):
        convert(sources, tmp_path / "new", jets_per_file=0)


# ---- streams ---------------------------------------------------------------------------------------------------------


def test_streams_of_flat_files(sources: Path, tmp_path: Path) -> None:
    path = convert(sources, tmp_path / "flat", jets_per_file=40)
    shares = [
        [jets.info["number"].tolist() for jets in stream_jets(path, batch_size=9, buffer=20, rank=r, ranks=2, seed=1)]
        for r in range(2)
    ]
    assert sorted(n for share in shares for batch in share for n in batch) == list(range(sum(SIZES)))
    stream = stream_jets(path, batch_size=9, buffer=20, ranks=2, seed=1)
    begun = [next(iter(stream)).info["number"].tolist() for _ in range(1)]
    rest = stream_jets(path, batch_size=9, buffer=20, ranks=2, seed=1, position=stream.position)
    assert begun + [jets.info["number"].tolist() for jets in rest] == shares[0]


def test_batches_of_a_stream_are_those_of_its_jets(sources: Path, tmp_path: Path) -> None:
    path = convert(sources, tmp_path / "flat", jets_per_file=40)
    jets = list(stream_jets(path, batch_size=16, buffer=50, seed=2))
    stream = stream_jets(path, batch_size=16, buffer=50, seed=2)
    batches = list(stream_batches(stream, OMNIJET_RECIPE))
    assert len(batches) == len(jets)
    for batch, expected in zip(batches, jets, strict=True):
        values, offsets = batch.packed()
        assert torch.equal(batch.label, torch.from_numpy(expected.label))
        np.testing.assert_array_equal(values, OMNIJET_RECIPE.transform(expected).x)
        np.testing.assert_array_equal(np.diff(offsets), np.diff(OMNIJET_RECIPE.transform(expected).offsets))
    chosen = stream_jets(path, batch_size=16, classes=["QCD"], where={"pt": (950, None)})
    assert sum(len(b.label) for b in stream_batches(chosen, OMNIJET_RECIPE)) == len(
        load_jets(sources, classes=["QCD"], where={"pt": (950, None)})
    )


class Streamed(IterableDataset):
    """What a training would hand to a DataLoader."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __iter__(self):
        for jets in stream_jets(self.folder, batch_size=8, buffer=20, rank=1, ranks=2, seed=5):
            yield torch.from_numpy(jets.info["number"])


def test_workers_of_a_loader_share_flat_files(sources: Path, tmp_path: Path) -> None:
    path = convert(sources, tmp_path / "flat", jets_per_file=40)
    loaded = [n for batch in DataLoader(Streamed(path), batch_size=None, num_workers=2) for n in batch.tolist()]
    whole = [n for batch in Streamed(path) for n in batch.tolist()]
    assert len(loaded) == len(set(loaded))
    assert sorted(loaded) == sorted(whole)


def test_batches_of_a_jetclass_file_come_from_its_columns(tmp_path: Path) -> None:
    """The inputs of the raw columns, in the order of the stream, and the same as those of jets but for rounding."""
    recipe, path = JETCLASS_RECIPES["full"], tmp_path / "jets.root"
    jets = full_jets(120)
    write_jets(jets, path)
    for shuffle in (True, False):
        raw = list(stream_batches(stream_jets(path, batch_size=32, shuffle=shuffle), recipe))
        order = [part.info["number"] for part in stream_jets(path, batch_size=32, shuffle=shuffle)]
        for fast, numbers in zip(raw, order, strict=True):
            assert torch.equal(fast.label, torch.from_numpy(jets.label[numbers]))
            assert fast.mask.sum(1).tolist() == jets.multiplicity[numbers].tolist()
            expected = recipe.transform(jets[numbers]).x
            np.testing.assert_allclose(fast.packed()[0], expected, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("part_energy", 0.1, "has energy 0.1 below its momentum"),
        ("part_d0val", np.nan, "d0 = nan"),
        ("part_charge", 300, "charge of the constituents is 300"),
        ("part_isMuon", 1, "has several types at once"),
        ("jet_pt", 600_000, "constituents in GeV and jets in MeV"),
        ("label_Hbb", 1, "expected a single 1"),
    ],
)
def test_columns_are_checked_on_the_fast_way_too(tmp_path: Path, column: str, value: float, message: str) -> None:
    from jetlab.data.formats.jetclass import jetclass_columns
    from jetlab.data.formats.root import save_root
    from jetlab.data.formats.table import Jagged

    jets = full_jets(40)
    columns = jetclass_columns(jets[np.asarray(jets.multiplicity) > 0])
    held = columns[column]
    values = (held.values if isinstance(held, Jagged) else held).copy()
    values[0 if column.startswith("part") else slice(None)] = value
    columns[column] = Jagged(held.offsets, values) if isinstance(held, Jagged) else values
    if column == "part_isMuon":
        columns["part_isPhoton"].values[0] = 1
    save_root(tmp_path / "jets.root", columns, {})
    with pytest.raises(InvalidJetsError, match=message), np.errstate(invalid="ignore", over="ignore"):
        list(stream_batches(stream_jets(tmp_path / "jets.root"), JETCLASS_RECIPES["full"]))


# ---- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.benchmark
@pytest.mark.parametrize("kind", ["root", "flat"])
def test_memory_does_not_grow_with_the_number_of_jets(tmp_path: Path, kind: str) -> None:
    """Ten thousand to a million; ``python -m tests.benchmarks.loading --memory`` goes further."""
    from tests.benchmarks.loading import peak_memory

    path = write_jets(full_jets(10_000), tmp_path / "jets.root")
    if kind == "flat":
        path = convert(path, tmp_path / "flat") / "00000.safetensors"
    peaks = []
    for n in (10_000, 100_000, 1_000_000):
        streamed, peak = peak_memory([str(path)], n, buffer=5_000)
        assert streamed == n
        peaks.append(peak)
    assert max(peaks) < 1.1 * min(peaks)
