"""HDF5 files with filters that h5py does not have: read with hdf5plugin, else refused with its name."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from jetlab.data import read_jets, recognise
from jetlab.errors import FileError, MissingExtraError
from tests.toys import toy_jets


def with_filter(path: Path, number: int) -> Path:
    """A file that says that its first column is compressed by this filter; h5py need not have it."""
    jets = toy_jets(4)
    with h5py.File(path, "w") as file:
        file["offsets"] = jets.offsets
        for name in ("eta", "phi", "mass"):
            file[name] = jets.flat(name)
        values = jets.flat("pt").astype(np.float32)
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((len(values),))
        plan.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (0, 0, 0, 0, 5, 1, 1))
        space = h5py.h5s.create_simple((len(values),))
        data = h5py.h5d.create(file.id, b"pt", h5py.h5t.IEEE_F32LE, space, plan)
        data.write_direct_chunk((0,), values.tobytes(), 0)
    return path


@pytest.mark.parametrize(("number", "name"), [(32001, "blosc"), (32008, "bitshuffle"), (32015, "zstd")])
def test_without_the_package_the_filter_is_named(tmp_path: Path, monkeypatch, number: int, name: str) -> None:
    if h5py.h5z.filter_avail(number):
        pytest.skip("this h5py has the filter")
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    path = with_filter(tmp_path / "jets.h5", number)
    assert recognise(path).n_jets == 4
    with pytest.raises(
        MissingExtraError, match=rf"jets.h5: /pt is compressed with {name} \(HDF5 filter {number}\)"
    ) as e:
        read_jets(path)
    assert "pip install hdf5plugin" in str(e.value)


def test_unknown_filters_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("hdf5plugin")
    with pytest.raises(FileError, match=r"an unknown filter \(HDF5 filter 511\), which hdf5plugin has not either"):
        read_jets(with_filter(tmp_path / "jets.h5", 511))


@pytest.mark.parametrize("name", ["Blosc", "Blosc2", "Zstd", "Bitshuffle", "LZ4"])
def test_with_the_package_they_are_read(tmp_path: Path, name: str) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    jets = toy_jets(30)
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file["offsets"] = jets.offsets
        for column in jets.fields:
            file.create_dataset(column, data=jets.flat(column), **getattr(hdf5plugin, name)())
    np.testing.assert_array_equal(read_jets(tmp_path / "jets.h5").flat("pt"), jets.flat("pt"))
