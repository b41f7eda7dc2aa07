"""Baskets of ROOT files: the same numbers as uproot's, any range of rows, and damage is named."""

from __future__ import annotations

import io
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from jetlab.data import read_jets, write_jets
from jetlab.data.formats.baskets import is_plain, read_plain, rows_in_a_basket
from jetlab.data.formats.table import Jagged, guarded
from jetlab.errors import FileError
from tests.toys import toy_jets

SHARED = Path(__file__).parents[2] / "shared/data"
SAMPLE = SHARED / "sophon_jetclass2/JetClassII_example.root"
COMPRESSIONS = {
    "zlib": uproot.ZLIB(4),
    "lz4": uproot.LZ4(4),
    "zstd": uproot.ZSTD(3),
    "xz": uproot.LZMA(3),
    "none": None,
}


@pytest.fixture(params=COMPRESSIONS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three baskets with numbers and lists of every type, some lists empty."""
    rng = np.random.default_rng(3)
    path = tmp_path / "numbers.root"
    with uproot.recreate(path, compression=COMPRESSIONS[request.param]) as out:
        types = {"f4": "float32", "i8": "int64", "flag": "bool", "lists": "var * {a: float32, b: int16, c: bool}"}
        out.mktree("tree", types)
        for n in (40, 1, 300):
            counts = rng.integers(0, 9, n)
            m = counts.sum()
            lists = {"a": rng.normal(size=m).astype(np.float32), "b": rng.integers(-9, 9, m).astype(np.int16)}
            lists["c"] = rng.random(m) < 0.5
            record = ak.zip({name: ak.unflatten(values, counts) for name, values in lists.items()})
            numbers = {"f4": rng.normal(size=n).astype(np.float32), "i8": rng.integers(0, 2**40, n)}
            out["tree"].extend(numbers | {"flag": rng.random(n) < 0.5, "lists": record})
    return path


def assert_as_uproot(path: Path, *, branches: int) -> None:
    with uproot.open(path) as opened, path.open("rb") as stored:
        tree = next(opened[name] for name, kind in opened.classnames().items() if kind == "TTree")
        n = tree.num_entries
        plain = [branch for branch in tree.branches if is_plain(branch)]
        assert len(plain) >= branches
        for branch in plain:
            for first, last in ((0, n), (n // 3, n // 2), (n - 1, n), (n // 2, n // 2)):
                found, expected = (
                    read_plain(stored, branch, first, last),
                    branch.array(entry_start=first, entry_stop=last),
                )
                assert (expected.ndim == 2) is isinstance(found, Jagged)
                if isinstance(found, Jagged):
                    assert np.diff(found.offsets).tolist() == ak.num(expected).tolist()
                    assert found.offsets[0] == 0
                    found, expected = found.values, ak.flatten(expected)
                assert found.dtype == ak.to_numpy(expected).dtype
                np.testing.assert_array_equal(found, ak.to_numpy(expected))


def test_same_numbers_as_uproot(file: Path) -> None:
    assert_as_uproot(file, branches=7)
    with uproot.open(file) as opened:
        assert rows_in_a_basket(opened["tree"]["f4"]) == 300


@pytest.mark.skipif(not SAMPLE.exists(), reason="needs the sample files of public formats")
def test_same_numbers_in_a_public_file() -> None:
    """Vectors of floats have a header in front of every list."""
    assert_as_uproot(SAMPLE, branches=50)


def test_damage_is_an_error_or_changes_nothing(tmp_path: Path) -> None:
    """ROOT's own compression carries a checksum; only unused parts of the headers can change unseen."""
    path = write_jets(toy_jets(50), tmp_path / "jets.root")
    good, rng, refused = path.read_bytes(), np.random.default_rng(1), 0
    with uproot.open(path) as opened:
        branch = opened["tree"]["part_px"]
        expected = read_plain(io.BytesIO(good), branch, 0, 50)
        start, size = int(branch.member("fBasketSeek")[0]), int(branch.member("fBasketBytes")[0])
        for place in rng.integers(start, start + size, 300):
            bad = bytearray(good)
            bad[place] ^= 1 << int(rng.integers(8))
            try:
                with guarded("jets.root", "read"):
                    found = read_plain(io.BytesIO(bad), branch, 0, 50)
            except FileError:
                refused += 1
            else:
                np.testing.assert_array_equal(found.offsets, expected.offsets)
                np.testing.assert_array_equal(found.values, expected.values)
        with pytest.raises(FileError, match="branch part_px cannot be read: a basket is damaged or cut off"):
            read_plain(io.BytesIO(good[: start + size // 2]), branch, 0, 50)
    assert refused > 200


def test_a_damaged_file_of_jets_is_refused(tmp_path: Path) -> None:
    path = write_jets(toy_jets(50), tmp_path / "jets.root")
    good = path.read_bytes()
    with uproot.open(path) as opened:
        branch = opened["tree"]["part_px"]
        middle = int(branch.member("fBasketSeek")[0]) + int(branch.member("fBasketBytes")[0]) // 2
    path.write_bytes(good[:middle] + bytes([good[middle] ^ 0x55]) + good[middle + 1 :])
    with pytest.raises(FileError, match=r"jets\.root cannot be read"):
        read_jets(path)
