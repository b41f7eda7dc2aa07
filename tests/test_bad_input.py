"""Bad columns in files of every layout: missing, of another type, with NaN, in mixed units, or without any jets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pytest

from jetlab.data import load_jets, read_jets, recognise
from jetlab.data.formats import LAYOUTS
from jetlab.errors import FileError, InvalidJetsError, JetLabError, UnitsError
from jetlab.jets import Jets
from tests.files import SAMPLES, N, Sample

every_layout = pytest.mark.parametrize("name", {s.layout: name for name, s in reversed(SAMPLES.items())}.values())
every_form = pytest.mark.parametrize("name", {s.columns: name for name, s in reversed(SAMPLES.items())}.values())
every_file = pytest.mark.parametrize("name", SAMPLES)

DESCRIPTIONS = {layout.name: layout.description for layout in LAYOUTS}
OPTIONAL = {
    "JetClass": ("part_charge", "part_isChargedHadron", "part_d0val", "part_d0err", "part_energy", "label_", "jet_"),
    "JetClass-II": ("part_charge", "part_isChargedHadron", "part_d0val", "part_d0err", "part_energy", "jet_"),
    "top tagging": ("E_", "PX_", "PY_", "PZ_", "truth"),
    "ATLAS top tagging": ("labels", "weights", "fjet_m", "fjet_pt"),
    "Aspen": ("event_info",),
    "NanoAOD": ("PFCand_d0", "PFCand_dz", "PFCand_puppiWeight"),
    "H1": ("jet_mass", "Q2", "y"),
    "neutrino": ("token_dedx", "token_time", "token_x", "token_y", "token_z", "event_class", "n_michel"),
    "MOD": ("jets_i",),
    "LHC Olympics": ("df/axis1",),
    "LHC Olympics jets": ("pid",),
    "OmniFold": (*(f"{level}_{k}" for level in ("gen", "sim") for k in ("m", "l", "w", "a", "t", "sd", "z")), "gen_Zs"),
    "OmniLearn": ("pid", "jet"),
    "columns": ("mass", "label", "jet_pt"),
}
"""Starts of the names of columns without which a file can still be read."""


def is_float(values: Any) -> bool:
    kind = ak.to_numpy(ak.flatten(values, axis=None)).dtype.kind if isinstance(values, ak.Array) else values.dtype.kind
    return kind == "f"


def scaled(values: Any, factor: float, part: Any = slice(None)) -> Any:
    """A column with some rows multiplied."""
    if isinstance(values, ak.Array):
        rows = np.ones(len(values))
        rows[part] = factor
        return values * rows
    made = values.astype(np.float64)
    made[part] *= factor
    return made


def outcome(path: Path) -> Jets | JetLabError:
    """The jets, or our error, which names the file; anything else fails the test."""
    try:
        jets = load_jets(path)
    except JetLabError as error:
        assert str(path) in str(error)  # noqa: PT017 either outcome is right
        return error
    assert np.isfinite(jets.p4).all()
    assert all(np.isfinite(jets.flat(name)).all() for name in jets.fields)
    return jets


# ---- columns that are not there --------------------------------------------------------------------------------------


@every_layout
def test_missing_columns_are_named_or_the_layouts_listed(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    columns = sample.columns()
    may_go = OPTIONAL.get(sample.layout, ())
    for column in columns if len(columns) < 50 else [*list(columns)[:4], *list(columns)[-1:]]:
        found = outcome(sample.write(tmp_path / "file", **{column: None}))
        if isinstance(found, Jets):
            assert column.startswith(may_go), f"{column} was not missed"
            continue
        message, bare = str(found), column.rsplit("/", 1)[-1]
        listed = "no jets recognised" in message and DESCRIPTIONS[sample.layout] in message
        assert bare in message or listed or column.startswith("label_"), message


@every_file
def test_files_of_no_jets_are_refused(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    first = {column: values[:1] if column == "offsets" else values[:0] for column, values in sample.columns().items()}
    try:
        sample.store(tmp_path / "file", first)
    except (ValueError, IndexError, TypeError, KeyError, AssertionError):
        pytest.skip("such files cannot be written")
    for use in (read_jets, recognise):
        with pytest.raises(FileError, match="file"):
            use(tmp_path / "file")


# ---- numbers that are none -------------------------------------------------------------------------------------------


@every_form
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_number_that_is_none_gets_through(tmp_path: Path, name: str, value: float) -> None:
    """An error, or the same jets where the column does not touch them; never fewer."""
    sample = SAMPLES[name]
    good = outcome(sample.write(tmp_path / "good"))
    assert isinstance(good, Jets)
    columns = sample.columns()
    floats = [column for column, values in columns.items() if is_float(values)]
    for column in floats if len(floats) < 20 else floats[:5]:
        for place in places(columns[column]):
            found = outcome(sample.write(tmp_path / "file", **{column: changed(columns[column], place, value)}))
            if isinstance(found, Jets):
                np.testing.assert_array_equal(found.offsets, good.offsets, err_msg=f"{column} {place}")
                np.testing.assert_array_equal(found.p4, good.p4, err_msg=f"{column} {place}")


def places(values: Any) -> list[tuple[int, ...]]:
    """The first entry of row 2, in each of up to 13 components."""
    if isinstance(values, ak.Array):
        return [(2, 0)]
    if values.ndim == 1:
        return [(2,)]
    width = min(values.shape[-1], 13)
    if values.ndim == 2:
        return [(2, k) for k in range(width if values.shape[1] < 50 else 4)]
    return [(2, *(0,) * (values.ndim - 2), k) for k in range(width)]


def changed(values: Any, place: tuple[int, ...], value: float) -> Any:
    """A column with one value changed."""
    if isinstance(values, ak.Array):
        counts = ak.num(values)
        flat = ak.to_numpy(ak.flatten(values)).copy()
        flat[int(ak.sum(counts[: place[0]])) + place[1]] = value
        return ak.unflatten(flat, counts)
    made = np.array(values)
    made[place] = value
    return made


@every_layout
def test_columns_of_other_types_are_refused(tmp_path: Path, name: str) -> None:
    """Words where numbers should stand: the column does not count as one."""
    sample = SAMPLES[name]
    columns = sample.columns()
    for column, values in columns.items() if len(columns) < 50 else list(columns.items())[:2]:
        words = ak.Array([["a"]] * len(values)) if isinstance(values, ak.Array) else np.full(values.shape, b"a")
        try:
            sample.write(tmp_path / "file", **{column: words})
        except (TypeError, ValueError, NotImplementedError):
            continue  # the container holds no words
        found = outcome(tmp_path / "file")
        may_go = OPTIONAL.get(sample.layout, ())
        assert isinstance(found, JetLabError) or column.startswith(may_go), f"{column} was not missed"


LABELS = {
    "jetclass2.parquet": ("jet_label", 188),
    "quark_gluon.npz": ("y", 2.0),
    "atlas.h5": ("labels", 2),
    "neutrino.npz": ("event_class", 5),
    "top.parquet": ("is_signal_new", 2),
    "columns.parquet": ("label", -1),
    "omnilearn.h5": ("pid", -1),
    "omnilearned.h5": ("pid", 0.5),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_out_of_range_are_refused(tmp_path: Path, name: str) -> None:
    column, value = LABELS[name]
    labels = SAMPLES[name].columns()[column].astype(np.asarray(value).dtype)
    labels[3] = value
    with pytest.raises(InvalidJetsError, match=r"label|y holds"):
        read_jets(SAMPLES[name].write(tmp_path / "file", **{column: labels}))


# ---- units -----------------------------------------------------------------------------------------------------------

MOMENTA = {
    "jetclass.parquet": ("part_px", "part_py", "part_pz", "part_energy"),
    "jetclass.root": ("part_px", "part_py", "part_pz", "part_energy"),
    "jetclass2.root": ("part_px", "part_py", "part_pz", "part_energy"),
    "columns.h5": ("pt",),
    "flat.h5": ("pt",),
    "h1.root": ("jet_part_pt", "jet_part_e"),
    "nanoaod.root": ("PFCand_pt",),
    "atlas.h5": ("fjet_clus_pt", "fjet_clus_E"),
}
"""Momenta of constituents, in files that state the pT of the jets, too."""
STATED = {"h1.root": "jet_pt", "nanoaod.root": "FatJet_pt", "atlas.h5": "fjet_pt"}


@pytest.mark.parametrize("name", MOMENTA)
@pytest.mark.parametrize("factor", [1000, 1e-3])
def test_jets_in_another_unit_than_their_constituents(tmp_path: Path, name: str, factor: float) -> None:
    columns = SAMPLES[name].columns()
    stated = STATED.get(name, "jet_pt")
    with pytest.raises(UnitsError, match=r"add up to a pT of .*GeV and jets in|add up to a pT of .*MeV and jets in"):
        read_jets(SAMPLES[name].write(tmp_path / "file", **{stated: scaled(columns[stated], factor)}))


@pytest.mark.parametrize("name", MOMENTA)
@pytest.mark.parametrize("stated", [True, False], ids=["the file says so", "as the file says it"])
def test_some_of_the_jets_in_mev(tmp_path: Path, name: str, stated: bool) -> None:
    """Found by what the file states of these jets; and where it states them in MeV too, by the other jets."""
    columns = SAMPLES[name].columns()
    wrong = {column: scaled(columns[column], 1000, slice(2, 4)) for column in MOMENTA[name]}
    if not stated:
        column = STATED.get(name, "jet_pt")
        wrong[column] = scaled(columns[column], 1000, slice(2, 4))
    with pytest.raises(UnitsError, match="in MeV"):
        read_jets(SAMPLES[name].write(tmp_path / "file", **wrong))


@pytest.mark.parametrize(
    ("name", "column", "factor"),
    [
        ("jetclass.root", "part_energy", 1000),
        ("jetclass.root", "part_energy", 1e-3),
        ("atlas.h5", "fjet_clus_E", 1e-3),
        ("neutrino.npz", "token_energy", 1000),
        ("neutrino.npz", "token_energy", 1e-3),
        ("h1.root", "jet_part_e", 1000),
    ],
)
def test_energies_in_another_unit_than_momenta(tmp_path: Path, name: str, column: str, factor: float) -> None:
    values = scaled(SAMPLES[name].columns()[column], factor)
    with pytest.raises(UnitsError, match="times the momenta of the constituents"):
        read_jets(SAMPLES[name].write(tmp_path / "file", **{column: values}))


def test_masses_in_mev(tmp_path: Path) -> None:
    pions = SAMPLES["columns.h5"].columns()["pt"] * 0 + 139.57
    with pytest.raises(UnitsError, match="median mass of a constituent is 139"):
        read_jets(SAMPLES["columns.h5"].write(tmp_path / "file", mass=pions))


def test_soft_jets_in_mev_among_others_are_found_by_the_gap(tmp_path: Path) -> None:
    """Jets of 20 GeV in MeV are within what a collider could make: the gap to the others tells."""
    sample = Sample("columns", SAMPLES["flat.h5"].columns, SAMPLES["flat.h5"].store)
    counts = np.diff(sample.columns()["offsets"])
    own = np.repeat(sample.columns()["jet_pt"], counts)
    size = np.repeat(np.where(np.arange(N) % 3 == 0, 20_000.0, 20.0), counts)
    pt = sample.columns()["pt"] / own * size
    with pytest.raises(UnitsError, match="are 4 of the 12 jets in MeV"):
        read_jets(sample.write(tmp_path / "file", pt=pt, jet_pt=None))


def test_a_steep_spectrum_is_no_mixture(tmp_path: Path) -> None:
    sample = SAMPLES["flat.h5"]
    counts = np.diff(sample.columns()["offsets"])
    own = np.repeat(sample.columns()["jet_pt"], counts)
    pt = sample.columns()["pt"] / own * np.repeat(np.geomspace(20, 6500, N), counts)
    assert len(read_jets(sample.write(tmp_path / "file", pt=pt, jet_pt=None))) == N


@pytest.mark.parametrize("read", [load_jets])
def test_arrays_in_memory_are_checked_alike(read: Callable[[Any], Jets]) -> None:
    columns = SAMPLES["columns.npz"].columns()
    assert len(read(columns)) == N
    with pytest.raises(UnitsError, match="in MeV"):
        read(columns | {"pt": scaled(columns["pt"], 1000, slice(0, 2))})


# ---- what the library of HDF5 does not survive -----------------------------------------------------------------------


def place_of(path: Path, name: str) -> int:
    """Where the entries of a data set stand."""
    with h5py.File(path) as file:
        return int(file[name].id.get_offset())


@pytest.mark.parametrize(
    ("offset", "change", "message"),
    [
        (0, b"\xff\xff\xff\x7f", "a list of 2147483647 values is not in the file"),
        (4, b"\xff" * 7 + b"\x7f", "beyond the end of the file"),
        (4, bytes([8]) + bytes(7), "a list points to what is no heap"),
        (12, b"\xff\xff\0\0", "a list of .* values is not in the file"),
    ],
    ids=["length", "heap far away", "no heap", "no such list"],
)
def test_lists_that_point_to_nothing_are_refused(tmp_path: Path, offset: int, change: bytes, message: str) -> None:
    path = SAMPLES["lists.h5"].write(tmp_path / "lists.h5")
    place, content = place_of(path, "eta") + offset, bytearray(path.read_bytes())
    content[place : place + len(change)] = change
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"lists.h5: /eta cannot be read, it is damaged: .*{message}"):
        read_jets(path)


def test_heaps_without_an_end_are_refused(tmp_path: Path) -> None:
    """Zeros in a heap: the library would go on with a step of zero for ever."""
    path = SAMPLES["lists.h5"].write(tmp_path / "lists.h5")
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 64] = bytes(48)
    path.write_bytes(content)
    with pytest.raises(FileError, match="a heap of lists is damaged"):
        read_jets(path)


@pytest.mark.parametrize("options", [{"chunks": (5,)}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": 1}])
def test_lists_in_chunks_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    columns = SAMPLES["lists.h5"].columns()
    with h5py.File(tmp_path / "chunks.h5", "w") as file:
        for name, values in columns.items():
            rows = [np.asarray(row) for row in values]
            lists = isinstance(values, ak.Array)
            data = file.create_dataset(name, (N,), h5py.vlen_dtype("f4") if lists else values.dtype, **options)
            for k, row in enumerate(rows):
                data[k] = row
    found = read_jets(tmp_path / "chunks.h5")
    expected = read_jets(SAMPLES["lists.h5"].write(tmp_path / "lists.h5"))
    np.testing.assert_array_equal(found.p4, expected.p4)


def test_lists_whose_compression_hides_their_places_are_refused(tmp_path: Path) -> None:
    path = SAMPLES["lists.h5"].write(tmp_path / "lists.h5", eta=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("eta", (N,), h5py.vlen_dtype("f4"), compression="lzf")
    with pytest.raises(FileError, match="/eta holds compressed lists; store flat columns"):
        read_jets(path)


def test_bytes_that_were_added_are_noticed_and_line_ends_forgiven(tmp_path: Path) -> None:
    path = SAMPLES["flat.h5"].write(tmp_path / "flat.h5")
    good = path.read_bytes()
    path.write_bytes(good + b"\n" * 6)
    assert len(read_jets(path)) == N
    for bad in (good[:-2000] + b"12345678" + good[-2000:], good + b"more"):
        path.write_bytes(bad)
        with pytest.raises(FileError, match="bytes, but says that it has"):
            read_jets(path)


def test_an_array_with_more_bytes_than_its_shape_needs(tmp_path: Path) -> None:
    path = SAMPLES["columns.npy"].write(tmp_path / "a.npy")
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(FileError, match="it is cut off, or something was added"):
        read_jets(path)
