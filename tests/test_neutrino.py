"""Neutrino events as `Jets` of their own domain: their files, their units, and what survives on the way."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jetlab.data import load_jets, read_jets, recognise, stream_jets, write_jets
from jetlab.data.formats.minerva import GLOBALS, TRUTHS
from jetlab.errors import FileError, InvalidJetsError, UnitsError
from jetlab.jets import Jets, concatenate
from jetlab.vocabulary import INTERACTIONS, TOKEN_TYPES
from tests.toys import toy_jets

N = 40
EXTRA = ("dedx", "pos_x", "pos_y", "pos_z", "time")


def tokens(n: int = N, *, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Toy events: a muon of some GeV along the beam, and deposits of some 100 MeV. GeV, mm, ns; no physics."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 15, n)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    m = int(offsets[-1])
    kind = rng.integers(1, len(TOKEN_TYPES), m)
    kind[offsets[:-1]] = 0
    momentum = np.where(kind == 0, rng.uniform(1, 8, m), rng.exponential(0.15, m))
    eta = rng.uniform(0.5, 4, m)
    pt = momentum / np.cosh(eta)
    energy = np.sqrt(momentum**2 + np.where(kind == 0, 0.10566, 0.0) ** 2)
    flat = {"pt": pt, "eta": eta, "phi": rng.uniform(-3, 3, m), "energy": energy, "class": kind.astype(float)}
    flat |= {"dedx": rng.uniform(0, 5, m), "x": rng.normal(0, 500, m), "y": rng.normal(0, 500, m)}
    return offsets, flat | {"z": rng.uniform(4500, 9000, m), "time": rng.uniform(0, 15_000, m)}


def named(flat: dict[str, np.ndarray], *, mev: bool = True) -> dict[str, np.ndarray]:
    """Columns as documented, momenta in MeV or GeV."""
    energies = ("pt", "energy") if mev else ()
    return {
        f"token_{name}{'_mev' if name in energies else ''}": 1000 * v if name in energies else v
        for name, v in flat.items()
    }


def of_events(n: int = N) -> dict[str, np.ndarray]:
    return {
        "event_class": np.arange(n) % 5,
        "available_energy_mev": np.linspace(100, 4000, n),
        "n_michel": np.arange(n) % 3,
    }


def write_flat_npz(path: Path, offsets: np.ndarray, columns: dict[str, np.ndarray]) -> None:
    np.savez(path.with_suffix(".npz"), offsets=offsets, **columns, **of_events())
    path.with_suffix(".npz").rename(path)


def write_padded_hdf5(path: Path, offsets: np.ndarray, columns: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            array = np.zeros((N, 15))
            for i, (start, stop) in enumerate(pairwise(offsets)):
                array[i, : stop - start] = values[start:stop]
            file[name] = array
        for name, values in of_events().items():
            file[name] = values


def write_jagged_parquet(path: Path, offsets: np.ndarray, columns: dict[str, np.ndarray]) -> None:
    counts = np.diff(offsets)
    made = {name: ak.to_arrow(ak.unflatten(values, counts)) for name, values in columns.items()}
    made = {name: pa.array(column.to_pylist()) for name, column in made.items()}
    pq.write_table(pa.table(made | {name: pa.array(values) for name, values in of_events().items()}), path)


@pytest.fixture
def events(tmp_path: Path) -> Jets:
    offsets, flat = tokens()
    write_flat_npz(tmp_path / "events", offsets, named(flat))
    return read_jets(tmp_path / "events")


@pytest.mark.parametrize("write", [write_flat_npz, write_padded_hdf5, write_jagged_parquet])
@pytest.mark.parametrize("mev", [True, False])
def test_events_in_any_container(tmp_path: Path, write, mev: bool) -> None:
    offsets, flat = tokens()
    write(tmp_path / "events", offsets, named(flat, mev=mev))
    assert recognise(tmp_path / "events").n_jets == N
    found = read_jets(tmp_path / "events")
    assert found.meta["layout"] == "neutrino"
    assert found.domain == found.meta["domain"] == "neutrino"
    order = np.lexsort((-flat["pt"].astype(np.float32), np.repeat(np.arange(N), np.diff(offsets))))
    np.testing.assert_array_equal(found.offsets, offsets)
    for field, name in (("pt", "pt"), ("eta", "eta"), ("ptype", "class"), ("pos_z", "z"), ("time", "time")):
        np.testing.assert_allclose(found.flat(field), flat[name][order], rtol=1e-6, err_msg=field)
    np.testing.assert_allclose(found.flat("energy"), flat["energy"][order], rtol=1e-5)
    assert found.flat("mass")[found.flat("ptype") == 0] == pytest.approx(0.10566, rel=0.02)
    assert found.classes == INTERACTIONS
    np.testing.assert_array_equal(found.label, np.arange(N) % 5)
    np.testing.assert_allclose(found.info["available_energy"], np.linspace(0.1, 4, N))
    assert "available_energy_mev" not in found.info
    assert any("MeV became GeV" in note for note in found.meta["notes"])


def test_the_particles_carry_the_further_fields(events: Jets) -> None:
    assert set(EXTRA) <= set(events.particles.fields)
    assert set(EXTRA) <= set(events.fields)
    muon = events.particles[events.particles.ptype == 0]
    expected = events.flat("energy")[events.flat("ptype") == 0]
    np.testing.assert_allclose(ak.to_numpy(ak.flatten(muon.energy)), expected, rtol=1e-6)
    assert "40 neutrino events" in repr(events)
    assert "tokens" in repr(events)


def test_slicing_and_joining_keep_fields_and_domain(events: Jets) -> None:
    parts = [events[:7], events[events.energy > 3], events.of_class("NC"), events.leading(3)]
    joined = concatenate(parts)
    assert joined.domain == "neutrino"
    assert joined.meta["domain"] == "neutrino"
    for name in EXTRA:
        np.testing.assert_array_equal(joined.flat(name), np.concatenate([p.flat(name) for p in parts]))


def test_parquet_round_trip(tmp_path: Path, events: Jets) -> None:
    found = read_jets(write_jets(events, tmp_path / "events.parquet"))
    assert found.domain == "neutrino"
    assert found.classes == events.classes
    np.testing.assert_array_equal(found.label, events.label)
    for name in (*EXTRA, "ptype"):
        np.testing.assert_array_equal(found.flat(name), events.flat(name))
    np.testing.assert_allclose(found.flat("pt"), events.flat("pt"), rtol=1e-4)
    np.testing.assert_allclose(found.flat("energy"), events.flat("energy"), rtol=2e-4)
    streamed = next(iter(stream_jets(tmp_path / "events.parquet", shuffle=False)))
    assert streamed.domain == "neutrino"
    np.testing.assert_array_equal(streamed.flat("time"), found.flat("time"))


def test_layouts_of_jets_do_not_take_them(tmp_path: Path, events: Jets) -> None:
    for layout, name in (("jetclass", "a.parquet"), ("jetnet", "a.h5"), ("omnilearned", "a.h5")):
        with pytest.raises(FileError, match="of the domain 'neutrino': write them as 'compact'"):
            write_jets(events, tmp_path / name, layout=layout)


def test_selection_by_energy_and_class(events: Jets) -> None:
    chosen = load_jets(events, classes=["NC"], where={"energy": (2, None)})
    assert (chosen.energy >= 2).all()
    assert chosen.class_counts().keys() == {"NC"}


# ---- units ----------------------------------------------------------------------------------------------------------


def test_mev_that_say_to_be_gev_are_refused(tmp_path: Path) -> None:
    offsets, flat = tokens()
    flat |= {name: 1000 * flat[name] for name in ("pt", "energy")}
    write_flat_npz(tmp_path / "events", offsets, named(flat, mev=False))
    with pytest.raises(UnitsError, match=r"median neutrino event energy is \d.*in MeV"):
        read_jets(tmp_path / "events")


def test_soft_events_are_no_jets(events: Jets) -> None:
    """What is right for neutrino events is refused for jets: the domain decides, not a switch."""
    flat = {name: events.flat(name) for name in ("pt", "eta", "phi", "mass")}
    with pytest.raises(UnitsError, match="median jet pT"):
        Jets.from_flat(events.offsets, flat)
    assert len(Jets.from_flat(events.offsets, flat, domain="neutrino")) == N


def test_tokens_may_be_at_rest_but_not_backwards_in_energy() -> None:
    columns = {"pt": [0.0, 1.0], "eta": [0.0, 1.0], "phi": [0.0, 0.0], "mass": [0.2, 0.0]}
    assert Jets.from_flat([0, 2], columns, domain="neutrino").energy[0] > 0.2
    with pytest.raises(InvalidJetsError, match=r"constituent 0 of jet 0 has pt = 0\.0"):
        Jets.from_flat([0, 2], columns)
    with pytest.raises(InvalidJetsError, match=r"token 0 of neutrino event 0 has pt = -1\.0"):
        Jets.from_flat([0, 2], columns | {"pt": [-1.0, 1.0]}, domain="neutrino")


def test_token_classes_are_eight() -> None:
    columns = {"pt": [1.0], "eta": [0.0], "phi": [0.0], "mass": [0.0], "ptype": [7]}
    assert Jets.from_flat([0, 1], columns, domain="neutrino").flat("ptype").tolist() == [7]
    for code, domain in ((7, "jets"), (8, "neutrino")):
        with pytest.raises(InvalidJetsError, match=f"ptype = {code}"):
            Jets.from_flat([0, 1], columns | {"ptype": [code]}, domain=domain, check=True)


def test_domains_do_not_mix(events: Jets) -> None:
    jets = toy_jets(5)
    jets.classes = events.classes
    with pytest.raises(InvalidJetsError, match="different domains: jets, neutrino"):
        concatenate([jets, events])
    with pytest.raises(InvalidJetsError, match="unknown domain 'beam'; expected one of jets, neutrino"):
        Jets.from_flat(events.offsets, {name: events.flat(name) for name in events.fields}, domain="beam")


# ---- the processed MINERvA set --------------------------------------------------------------------------------------


def test_minerva_arrays(tmp_path: Path) -> None:
    offsets, flat = tokens()
    pt, energy = 1000 * flat["pt"], 1000 * flat["energy"]
    length = [flat[name] / 10_000 for name in ("x", "y", "z", "time")]
    logs = [np.log(pt + 1e-6), np.log(energy + 1e-6), flat["class"], np.log(np.abs(flat["dedx"]) + 0.1)]
    data = np.stack([flat["eta"], flat["phi"], *logs, *length], axis=1).astype(np.float32)
    truth = np.zeros((N, 15))
    truth[:, TRUTHS.index("true_available_energy")] = np.linspace(100, 3000, N)
    path = tmp_path / "0.npz"
    np.savez(path, data=data, offsets=offsets, global_features=np.ones((N, 16)), truth_labels=truth)
    found = read_jets(path)
    assert found.meta["layout"] == "MINERvA"
    assert found.domain == "neutrino"
    order = np.lexsort((-flat["pt"].astype(np.float32), np.repeat(np.arange(N), np.diff(offsets))))
    np.testing.assert_allclose(np.sort(found.flat("pt")), np.sort(flat["pt"]), rtol=1e-5)
    np.testing.assert_allclose(found.energy, np.add.reduceat(flat["energy"], offsets[:-1]), rtol=1e-4)
    np.testing.assert_allclose(found.flat("pos_z").sum(), flat["z"][order].sum(), rtol=1e-5)
    np.testing.assert_allclose(found.flat("dedx").sum(), flat["dedx"].sum(), rtol=1e-4)
    np.testing.assert_allclose(found.info["true_available_energy"], np.linspace(0.1, 3, N))
    assert set(GLOBALS) | set(TRUTHS) <= set(found.info)
    assert any("logarithms were undone" in note for note in found.meta["notes"])
    np.testing.assert_array_equal(next(iter(stream_jets(path, shuffle=False))).flat("time"), found.flat("time"))
