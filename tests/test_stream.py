"""Streams: every jet once, shared without overlap, the same for a seed, resumable, and parts of files of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from jetlab.data import load_jets, stream_jets, write_jets
from jetlab.data.formats import open_jets
from jetlab.errors import FileError, InvalidJetsError, JetLabError
from jetlab.jets import Jets, concatenate
from tests.toys import toy_jets

SIZES = (70, 1, 45, 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files whose jets are numbered in the column ``number``."""
    folder, start = tmp_path_factory.mktemp("jets"), 0
    for k, n in enumerate(SIZES):
        jets = toy_jets(n, seed=k).with_info(number=np.arange(start, start + n))
        write_jets(jets, folder / f"{k}.{'root' if k == 2 else 'parquet'}")
        start += n
    return folder


def numbers(stream: object) -> list[list[int]]:
    return [jets.info["number"].tolist() for jets in stream]  # type: ignore[attr-defined]


def flat(batches: list[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("buffer", [7, 50, 1000])
def test_every_jet_comes_once(folder: Path, shuffle: bool, buffer: int) -> None:
    stream = stream_jets(folder, batch_size=16, buffer=buffer, shuffle=shuffle)
    batches = numbers(stream)
    assert sorted(flat(batches)) == list(range(sum(SIZES)))
    assert len(stream) == sum(SIZES)
    assert max(map(len, batches)) <= 16
    assert (flat(batches) == sorted(flat(batches))) is not shuffle


def test_same_seed_and_epoch_same_batches(folder: Path) -> None:
    first = numbers(stream_jets(folder, batch_size=16, buffer=50, seed=3, epoch=1))
    assert numbers(stream_jets(folder, batch_size=16, buffer=50, seed=3, epoch=1)) == first
    assert numbers(stream_jets(folder, batch_size=16, buffer=50, seed=3, epoch=2)) != first
    assert numbers(stream_jets(folder, batch_size=16, buffer=50, seed=4, epoch=1)) != first


def test_ranks_share_without_overlap_or_loss(folder: Path) -> None:
    shares = [flat(numbers(stream_jets(folder, batch_size=9, buffer=10, rank=r, ranks=3, seed=5))) for r in range(3)]
    assert sorted(flat(shares)) == list(range(sum(SIZES)))
    assert all(shares)


class Streamed(IterableDataset):
    """What a training would hand to a DataLoader."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __iter__(self):
        for jets in stream_jets(self.folder, batch_size=8, buffer=10, rank=1, ranks=2, seed=5):
            yield torch.from_numpy(jets.info["number"])


def test_workers_of_a_loader_share_a_rank(folder: Path) -> None:
    loaded = [n for batch in DataLoader(Streamed(folder), batch_size=None, num_workers=2) for n in batch.tolist()]
    whole = flat(numbers(stream_jets(folder, batch_size=8, buffer=10, rank=1, ranks=2, seed=5)))
    other = flat(numbers(stream_jets(folder, batch_size=8, buffer=10, rank=0, ranks=2, seed=5)))
    assert len(loaded) == len(set(loaded))
    assert sorted(loaded) == sorted(whole)
    assert not set(loaded) & set(other)


def test_goes_on_where_it_stopped(folder: Path) -> None:
    whole = numbers(stream_jets(folder, batch_size=16, buffer=50, seed=3))
    for taken in range(len(whole)):
        stream = stream_jets(folder, batch_size=16, buffer=50, seed=3)
        batches = iter(stream)
        start = [next(batches).info["number"].tolist() for _ in range(taken)]
        position = json.loads(json.dumps(stream.position))
        rest = numbers(stream_jets(folder, batch_size=16, buffer=50, seed=3, position=position))
        assert start + rest == whole


def test_selections(folder: Path) -> None:
    everything = load_jets(folder)
    name = everything.classes[int(everything.label[0])]
    heavy = (everything.mass >= 80) & (everything.mass < 120)
    expected = everything.info["number"][heavy & (everything.label == everything.label[0])]
    found = flat(numbers(stream_jets(folder, batch_size=16, classes=name, where={"mass": (80, 120)})))
    assert sorted(found) == sorted(expected.tolist())
    assert len(found)
    same = load_jets(folder, classes=name, where=lambda jets: (jets.mass >= 80) & (jets.mass < 120))
    assert sorted(same.info["number"].tolist()) == sorted(found)


def test_where_takes_observables_and_columns() -> None:
    jets = toy_jets(40).with_info(number=np.arange(40))
    wide = load_jets(jets, where={"number": (10, None), "girth": (None, 0.1)})
    assert (wide.info["number"] >= 10).all()
    assert 0 < len(wide) < 30


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"colour": (0, 1)}, "cannot select by 'colour'; there are pt, eta"),
        ({"pt": 500}, "expected a pair"),
        (lambda jets: jets.pt, "expected True or False for each of 40 jets"),
    ],
)
def test_bad_conditions(where: object, message: str) -> None:
    with pytest.raises(InvalidJetsError, match=message):
        load_jets(toy_jets(40), where=where)  # type: ignore[arg-type]


def test_bad_arguments(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(JetLabError, match="rank is 2 of 2, expected 0 to 1"):
        stream_jets(folder, rank=2, ranks=2)
    with pytest.raises(JetLabError, match="batch_size is 0"):
        stream_jets(folder, batch_size=0)
    with pytest.raises(FileError, match="holds no file of jets"):
        stream_jets(tmp_path)


def test_a_damaged_file_is_named(folder: Path, tmp_path: Path) -> None:
    data = (folder / "0.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(FileError, match=r"cut\.parquet"):
        list(stream_jets(tmp_path))


@pytest.mark.parametrize("suffix", ["parquet", "root", "npz", "h5", "offsets.npz"])
def test_parts_of_files(tmp_path: Path, suffix: str) -> None:
    jets = toy_jets(30).with_info(number=np.arange(30))
    path = tmp_path / f"jets.{suffix}"
    columns = {name: jets.flat(name) for name in ("pt", "eta", "phi", "mass")}
    if suffix in ("parquet", "root"):
        write_jets(jets, path)
    elif suffix == "offsets.npz":
        np.savez(path, offsets=jets.offsets, number=np.arange(30), label=jets.label, **columns)
    else:
        slots = int(jets.multiplicity.max())
        mask = np.arange(slots) < jets.multiplicity[:, None]
        padded = {name: np.zeros((30, slots)) for name in columns}
        for name, values in columns.items():
            padded[name][mask] = values
        padded |= {"number": np.arange(30), "label": jets.label}
        if suffix == "npz":
            np.savez(path, **padded)
        else:
            import h5py

            with h5py.File(path, "w") as file:
                for name, values in padded.items():
                    file[name] = values
    with open_jets(path) as file:
        whole = file.read()
        parts = [file.read(start, min(start + 7, 30)) for start in range(0, 30, 7)]
        assert len(file) == 30
        assert len(file.read(4, 4)) == 0
    joined: Jets = concatenate(parts)
    np.testing.assert_array_equal(joined.offsets, whole.offsets)
    np.testing.assert_array_equal(joined.info["number"], np.arange(30))
    np.testing.assert_array_equal(joined.label, whole.label)
    for name in whole.fields:
        np.testing.assert_array_equal(joined.flat(name), whole.flat(name))
