"""Events of several jets and pairs of jets; LHC Olympics and OmniFold files, written here as they are published."""

from __future__ import annotations

from pathlib import Path

import fastjet
import h5py
import numpy as np
import pytest

import jetlab
from jetlab.data import load_events, load_jets, load_pairs, recognise, stream_jets
from jetlab.data.catalog import DATASETS
from jetlab.data.clustering import JetFinder, events_of
from jetlab.data.formats import lhco, pdg
from jetlab.data.masterkey import KEY_CLASSES
from jetlab.errors import FileError, InvalidJetsError, JetLabError, UnitsError
from jetlab.jets import Events, Jets, Pairs, concatenate, invariant_mass
from tests.files import omnifold_pairs, particles_of
from tests.toys import toy_jets

COUNTS = [2, 0, 3, 1, 2]


def toy_events(*, seed: int = 0) -> Events:
    """Five events with 2, 0, 3, 1 and 2 jets."""
    jets = toy_jets(sum(COUNTS), seed=seed)
    offsets = np.concatenate([[0], np.cumsum(COUNTS)])
    return Events(jets, offsets, label=[0, 1, 1, 0, 1], info={"weight": np.arange(5.0)}, meta={"source": "toys"})


# ---- Events ----------------------------------------------------------------------------------------------------------


def test_jets_of_an_event_are_sorted_by_falling_pt() -> None:
    events, jets = toy_events(), toy_jets(sum(COUNTS))
    assert len(events) == 5
    np.testing.assert_array_equal(events.n_jets, COUNTS)
    for i, event in enumerate(events):
        assert (np.diff(event.jets.pt) <= 0).all()
        first, last = events.offsets[i : i + 2]
        np.testing.assert_allclose(np.sort(event.jets.pt), np.sort(jets.pt[first:last]))


def test_leading_and_kth_jets() -> None:
    events = toy_events()
    two = events.leading(2)
    np.testing.assert_array_equal(two.n_jets, [2, 0, 2, 1, 2])
    np.testing.assert_allclose(two.dijet_mass, events.dijet_mass)
    second = events.kth(2)
    having = events[events.n_jets >= 2]
    np.testing.assert_allclose(second.pt, [event.jets.pt[1] for event in having])
    np.testing.assert_array_equal(second.info["event"], [0, 2, 4])
    np.testing.assert_array_equal(second.info["weight"], having.info["weight"])
    np.testing.assert_array_equal(second.label, having.label)
    assert second.classes == ("background", "signal")
    assert len(events.kth(4)) == 0
    for wrong in (events.kth, events.leading):
        with pytest.raises(InvalidJetsError, match="counted from 1"):
            wrong(0)


def test_dijet_mass_is_that_of_the_two_hardest_jets() -> None:
    events = toy_events()
    np.testing.assert_array_equal(np.isnan(events.dijet_mass), np.array(COUNTS) < 2)
    three = events[2].jets
    energy, *p = (three.p4[0] + three.p4[1]).tolist()
    assert events.dijet_mass[2] == pytest.approx(np.sqrt(energy**2 - np.square(p).sum()))


def test_invariant_mass_of_any_shape() -> None:
    p4 = [[[5.0, 3.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0 + 1e-12]]]
    np.testing.assert_allclose(invariant_mass(p4), [[4.0, 0.0]])


def test_selection_keeps_jets_with_their_events() -> None:
    events = toy_events()
    for where in (slice(1, 4), np.array([True, False, True, False, True]), np.array([4, 0, 4]), -1):
        index = np.atleast_1d(np.arange(5)[where])
        part = events[where]
        np.testing.assert_array_equal(part.n_jets, np.array(COUNTS)[index])
        np.testing.assert_array_equal(part.label, events.label[index])
        np.testing.assert_array_equal(part.info["weight"], index)
        for k, i in enumerate(index):
            np.testing.assert_array_equal(part[k].jets.flat("pt"), events[i].jets.flat("pt"))
    np.testing.assert_array_equal(events["signal"].info["weight"], [1, 2, 4])
    assert events.class_counts() == {"background": 2, "signal": 3}
    with pytest.raises(KeyError, match="classes are background, signal"):
        events["top"]


def test_flattened_jets_know_their_event() -> None:
    jets = toy_events().flattened()
    np.testing.assert_array_equal(jets.info["event"], np.repeat(np.arange(5), COUNTS))
    np.testing.assert_array_equal(jets.label, np.repeat([0, 1, 1, 0, 1], COUNTS))
    numbered = toy_events().with_info(event=np.arange(100, 105))
    np.testing.assert_array_equal(numbered[2:].flattened().info["event"], [102, 102, 102, 103, 104, 104])
    unlabelled = Events(toy_jets(4), [0, 4]).flattened()
    assert unlabelled.classes == toy_jets(4).classes, "the jets keep their own labels"


def test_labels_of_all_events() -> None:
    events = toy_events().with_label(1)
    assert events.class_counts() == {"signal": 5}
    other = events.with_label([0, 1, 2, 1, 0], classes=("a", "b", "c"))
    assert other.class_counts() == {"a": 2, "b": 2, "c": 1}


def test_events_are_joined() -> None:
    first, second = toy_events(), toy_events(seed=1)[1:]
    joined = concatenate([first, second.with_info(extra=np.zeros(4))])
    assert isinstance(joined, Events)
    np.testing.assert_array_equal(joined.n_jets, COUNTS + COUNTS[1:])
    np.testing.assert_allclose(joined.dijet_mass, np.concatenate([first.dijet_mass, second.dijet_mass]))
    assert set(joined.info) == {"weight"}
    assert joined.label is not None
    assert concatenate([first, Events(toy_jets(2), [0, 2])]).label is None
    with pytest.raises(InvalidJetsError, match="different class lists"):
        concatenate([first, second.with_label(0, classes=("a", "b"))])


def test_only_one_kind_is_joined() -> None:
    with pytest.raises(InvalidJetsError, match="Events and Jets to concatenate"):
        concatenate([toy_events(), toy_jets(2)])
    with pytest.raises(InvalidJetsError, match="nothing to concatenate"):
        concatenate([])


def test_events_cannot_be_changed() -> None:
    events = toy_events()
    for array in (events.offsets, events.label):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    events.info["weight"] = None
    assert events.info["weight"] is not None
    given = np.array([0, 2])
    Events(toy_jets(2), given)
    given[0] = 5  # the caller's own array stays as it was


@pytest.mark.parametrize(
    ("offsets", "options", "message"),
    [
        ([0, 2, 5], {}, "end at 5, but there are 4 jets"),
        ([1, 4], {}, "start at 0"),
        ([0, 3, 2, 4], {}, "never fall"),
        ([0.0, 4.0], {}, "whole numbers"),
        ([0, 2, 4], {"label": [0]}, "each of the 2 events"),
        ([0, 2, 4], {"label": [0, 2]}, "label of event 1 is 2, expected 0 to 1"),
        ([0, 2, 4], {"info": {"weight": [1.0, 2.0, 3.0]}}, "weight has shape"),
    ],
)
def test_inconsistent_events_are_refused(offsets: list, options: dict, message: str) -> None:
    with pytest.raises(InvalidJetsError, match=message):
        Events(toy_jets(4), offsets, **options)


def test_events_say_what_they_are() -> None:
    text = repr(toy_events())
    assert "5 events, 8 jets (1.6 per event)" in text
    assert "dijet mass median" in text
    assert "background 2, signal 3" in text
    assert repr(toy_events()[:0]) == "<Events: none>"
    assert "dijet" not in repr(toy_events().leading(1))


# ---- Pairs -----------------------------------------------------------------------------------------------------------


def test_pairs_stay_together() -> None:
    pairs = Pairs(toy_jets(6), toy_jets(6, seed=1), info={"z_pt": np.arange(6.0)}, meta={"source": "toys"})
    part = pairs[np.array([4, 1])]
    np.testing.assert_allclose(part.generated.pt, pairs.generated.pt[[4, 1]])
    np.testing.assert_allclose(part.detected.pt, pairs.detected.pt[[4, 1]])
    np.testing.assert_array_equal(part.info["z_pt"], [4, 1])
    joined = concatenate([part, pairs[:2].with_info(other=[1, 2])])
    assert isinstance(joined, Pairs)
    np.testing.assert_array_equal(joined.info["z_pt"], [4, 1, 0, 1])
    assert set(joined.info) == {"z_pt"}
    assert "6 jets at generator and detector level, toys" in repr(pairs)
    assert repr(pairs[:0]) == "<Pairs: none>"
    assert len(list(pairs)) == 6


def test_unequal_pairs_are_refused() -> None:
    with pytest.raises(InvalidJetsError, match="6 jets at generator level and 5 at detector level"):
        Pairs(toy_jets(6), toy_jets(5))
    with pytest.raises(InvalidJetsError, match="each of the 5 pairs"):
        Pairs(toy_jets(5), toy_jets(5), info={"z_pt": [1.0]})


# ---- clustering ------------------------------------------------------------------------------------------------------


def example_event() -> np.ndarray:
    """FastJet's example event: E, px, py, pz of 354 particles."""
    folder = next((p / "shared" for p in Path(__file__).parents if (p / "shared" / "data").is_dir()), None)
    path = None if folder is None else folder / "data" / "misc" / "single-event.dat"
    if path is None or not path.exists():
        pytest.skip("the example event is not here")
    return np.loadtxt(path)


def test_the_example_event_gives_the_jets_of_fastjet() -> None:
    e, px, py, pz = example_event().T
    particles = [fastjet.PseudoJet(*map(float, row)) for row in zip(px, py, pz, e, strict=True)]
    sequence = fastjet.ClusterSequence(particles, fastjet.JetDefinition(fastjet.antikt_algorithm, 0.6))
    expected = fastjet.sorted_by_pt(sequence.inclusive_jets(5.0))
    assert len(expected) > 3
    pt = np.hypot(px, py)
    columns = {"pt": pt, "eta": np.arcsinh(pz / pt), "phi": np.arctan2(py, px)}
    columns["mass"] = np.sqrt(np.maximum(e**2 - pt**2 - pz**2, 0))
    jets = events_of(np.array([0, len(e)]), columns, JetFinder(radius=0.6, n_jets=None, pt_min=5.0)).jets
    np.testing.assert_allclose(jets.pt, [jet.perp() for jet in expected], rtol=1e-5)
    np.testing.assert_allclose(jets.eta, [jet.eta() for jet in expected], rtol=1e-5)
    np.testing.assert_allclose(jets.energy, [jet.E() for jet in expected], rtol=1e-5)
    assert jets.multiplicity.tolist() == [len(jet.constituents()) for jet in expected]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"radius": 0.0}, "radius is 0"), ({"n_jets": 0}, "n_jets is 0"), ({"pt_min": -1.0}, "pt_min is -1")],
)
def test_senseless_jet_finding_is_refused(options: dict, message: str) -> None:
    with pytest.raises(JetLabError, match=message):
        JetFinder(**options)


# ---- LHC Olympics ----------------------------------------------------------------------------------------------------

N = 60


def dijet_rows(n: int = N, *, seed: int = 0) -> np.ndarray:
    """Rows of 2100 numbers: two back-to-back sprays of massless particles, not sorted; event 3 is a single spray."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, 700, 3))
    for i in range(n):
        k = int(rng.integers(20, 60))
        side = np.zeros(k, int) if i == 3 else rng.integers(0, 2, k)
        rows[i, :k, 0] = rng.exponential(40, k) + 0.5
        rows[i, :k, 1] = rng.normal(0, 0.8, 2)[side] + rng.normal(0, 0.1, k)
        phi = rng.uniform(-np.pi, np.pi) + np.pi * side + rng.normal(0, 0.1, k)
        rows[i, :k, 2] = np.angle(np.exp(1j * phi))
    return rows.reshape(n, 2100)


def labels(n: int = N) -> np.ndarray:
    return (np.arange(n) % 7 == 0).astype(float)


def write_fixed(path: Path, values: np.ndarray) -> Path:
    """As pandas writes a frame of one type in its "fixed" format."""
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        group["axis0"] = group["block0_items"] = np.arange(values.shape[1])
        group["axis1"] = np.arange(len(values))
        group.create_dataset("block0_values", data=values, chunks=(min(7, len(values)), values.shape[1]))
    return path


def write_table(path: Path, values: np.ndarray) -> Path:
    """As pandas writes it in its "table" format, with the index that PyTables keeps beside it."""
    rows = np.zeros(len(values), dtype=[("index", "i8"), ("values_block_0", "f8", (values.shape[1],))])
    rows["index"], rows["values_block_0"] = np.arange(len(values)), values
    with h5py.File(path, "w") as file:
        file["df/table"] = rows
        file["df/_i_table/index/sorted"] = np.zeros((0, 16))
    return path


def write_two_types(path: Path, values: np.ndarray) -> Path:
    """With the labels as whole numbers, which pandas puts into a block of their own."""
    with h5py.File(path, "w") as file:
        file["df/block0_values"], file["df/block1_values"] = values[:, :2100], values[:, 2100:].astype(int)
    return path


@pytest.fixture(scope="module")
def research(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = np.concatenate([dijet_rows(), labels()[:, None]], axis=1)
    return write_fixed(tmp_path_factory.mktemp("lhco") / "events_anomalydetection_v2.h5", values)


@pytest.fixture(scope="module")
def black_box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fixed(tmp_path_factory.mktemp("lhco") / "events_LHCO2020_BlackBox1.h5", dijet_rows())


def alone(row: np.ndarray, *, radius: float = 1.0, pt_min: float = 20.0) -> list:
    """Jets of one event from FastJet's own interface, hardest first."""
    pt, eta, phi = row.reshape(700, 3)[row.reshape(700, 3)[:, 0] > 0].T
    momenta = zip(pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta), strict=True)
    particles = [fastjet.PseudoJet(*map(float, p)) for p in momenta]
    sequence = fastjet.ClusterSequence(particles, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
    return [(j.perp(), j.m(), len(j.constituents())) for j in fastjet.sorted_by_pt(sequence.inclusive_jets(pt_min))]


def same_events(found: Events, expected: Events) -> None:
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.jets.offsets, expected.jets.offsets)
    for name in expected.jets.fields:
        np.testing.assert_array_equal(found.jets.flat(name), expected.jets.flat(name))
    np.testing.assert_array_equal(found.info["event"], expected.info["event"])
    np.testing.assert_array_equal(found.label, expected.label)


@pytest.mark.parametrize(("radius", "n_jets"), [(1.0, 2), (0.4, None)])
def test_clustering_agrees_with_fastjet_alone(research: Path, radius: float, n_jets: int | None) -> None:
    events = load_events(research, radius=radius, n_jets=n_jets, progress=False)
    assert len(events) == N
    for row, event in zip(dijet_rows(), events, strict=True):
        expected = alone(row, radius=radius)[:n_jets]
        np.testing.assert_allclose(event.jets.pt, [jet[0] for jet in expected], rtol=1e-5)
        np.testing.assert_allclose(event.jets.mass, [jet[1] for jet in expected], rtol=1e-4, atol=1e-2)
        np.testing.assert_array_equal(event.jets.multiplicity, [jet[2] for jet in expected])
    np.testing.assert_array_equal(events.label, labels())
    np.testing.assert_array_equal(events.info["event"], np.arange(N))


@pytest.mark.parametrize("write", [write_table, write_two_types])
def test_every_form_of_pandas_gives_the_same_events(tmp_path: Path, research: Path, write) -> None:
    values = np.concatenate([dijet_rows(), labels()[:, None]], axis=1)
    same_events(load_events(write(tmp_path / "x.h5", values), progress=False), load_events(research, progress=False))


def test_events_do_not_depend_on_the_rows_read_at_once(research: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"n": 17, "where": {"dijet_mass": (200, None)}, "seed": 3, "progress": False}
    whole, drawn = load_events(research, progress=False), load_events(research, **options)
    monkeypatch.setattr(lhco, "ROWS", 7)
    same_events(load_events(research, progress=False), whole)
    same_events(load_events(research, **options), drawn)


def test_only_a_few_rows_are_in_memory_at_a_time(research: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lhco, "ROWS", 5)
    held = []
    fetch = lhco._fetch
    monkeypatch.setattr(lhco, "_fetch", lambda table, names, rows: held.append(len(rows)) or fetch(table, names, rows))
    load_events(research, progress=False)
    assert max(held) == 5
    assert sum(held) == N
    held.clear()
    load_jets(research)
    assert max(held) == 5
    held.clear()
    load_events(research, n=8, progress=False)
    assert sum(held) == 8, "only what is drawn is read and clustered"


def test_rows_far_apart_are_read_alone(research: Path) -> None:
    read = []

    class Watched:
        def load(self, names: list[str], rows: tuple[int, int]) -> dict[str, np.ndarray]:
            read.append(rows)
            return {"block0_values": np.arange(*rows)[:, None]}

    held = lhco._fetch(Watched(), ["block0_values"], np.array([2, 4, 5, 40]))
    assert read == [(2, 6), (40, 41)]
    assert held["block0_values"].ravel().tolist() == [2, 4, 5, 40]


def test_draws_are_random_subsets_in_file_order(research: Path) -> None:
    whole = load_events(research, progress=False)
    first, again, other = (load_events(research, n=20, seed=seed, progress=False) for seed in (0, 0, 1))
    same_events(first, again)
    assert (np.diff(first.info["event"]) > 0).all()
    assert first.info["event"].tolist() != other.info["event"].tolist()
    same_events(first, whole[first.info["event"]])
    assert first.meta["seed"] == 0
    with pytest.raises(InvalidJetsError, match=f"{N + 1} events asked for, expected 1 to {N}"):
        load_events(research, n=N + 1, progress=False)


def test_conditions_and_classes(research: Path) -> None:
    whole = load_events(research, progress=False)
    low, high = np.nanquantile(whole.dijet_mass, [0.3, 0.7])
    inside = (whole.dijet_mass >= low) & (whole.dijet_mass < high)
    same_events(load_events(research, where={"dijet_mass": (low, high)}, progress=False), whole[inside])
    same_events(
        load_events(research, where=lambda events: events.n_jets == 2, progress=False), whole[whole.n_jets == 2]
    )
    same_events(load_events(research, classes="signal", progress=False), whole["signal"])
    few = load_events(research, classes=["signal"], n=4, progress=False)
    assert few.class_counts() == {"signal": 4}
    with pytest.raises(InvalidJetsError, match="expected 1 to 9"):
        load_events(research, classes=["signal"], n=10, progress=False)
    with pytest.raises(InvalidJetsError, match="the conditions leave none"):
        load_events(research, where={"dijet_mass": (1e6, None)}, progress=False)
    with pytest.raises(InvalidJetsError, match="cannot select events by 'mjj'; there are dijet_mass, n_jets, event"):
        load_events(research, where={"mjj": (0, 1)}, progress=False)
    with pytest.raises(InvalidJetsError, match="each of 60 events"):
        load_events(research, where=lambda _: [True], progress=False)
    with pytest.raises(InvalidJetsError, match="there are background, signal"):
        load_events(research, classes="top", progress=False)


def test_events_with_few_jets_are_kept_or_dropped(research: Path) -> None:
    kept = load_events(research, progress=False)
    assert kept.n_jets[3] == 1
    assert "1 events with fewer than 2 jets are among them" in kept.meta["notes"]
    dropped = load_events(research, drop_short=True, progress=False)
    assert 3 not in dropped.info["event"]
    assert len(dropped) == N - 1
    assert "1 events with fewer than 2 jets were left out" in dropped.meta["notes"]


def test_events_without_particles_have_no_jets(tmp_path: Path) -> None:
    rows = dijet_rows(4)
    rows[1] = 0
    events = load_events(write_fixed(tmp_path / "x.h5", rows), progress=False)
    np.testing.assert_array_equal(events.n_jets, [2, 0, 2, 1])
    with pytest.raises(InvalidJetsError, match="none of the 3 events has a jet"):
        load_events(write_fixed(tmp_path / "empty.h5", np.zeros((3, 2100))), progress=False)


def test_progress_is_told_in_events(research: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lhco, "ROWS", 25)
    told: list[tuple[int, int]] = []
    load_events(research, progress=lambda done, total: told.append((done, total)))
    assert told == [(25, N), (50, N), (N, N)]
    told.clear()
    load_events(research, n=8, where={"n_jets": (2, None)}, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (8, 8)


def test_several_files_count_their_own_rows(research: Path, black_box: Path, tmp_path: Path) -> None:
    more = write_fixed(tmp_path / "more.h5", np.concatenate([dijet_rows(10, seed=1), np.zeros((10, 1))], axis=1))
    events = load_events([research, more], progress=False)
    np.testing.assert_array_equal(events.info["event"], [*range(N), *range(10)])
    np.testing.assert_array_equal(events.info["file"], [0] * N + [1] * 10)
    assert events.meta["files"] == [research.name, "more.h5"]
    drawn = load_events([research, more], n=40, progress=False)
    same_events(drawn, events[drawn.info["event"] + N * drawn.info["file"]])
    with pytest.raises(InvalidJetsError, match="some of the files carry labels"):
        load_events([research, black_box], progress=False)


# ---- master keys -----------------------------------------------------------------------------------------------------


def write_key(path: Path, values: np.ndarray, form: str = "{:.0f}") -> Path:
    path.write_text("".join(form.format(value) + "\n" for value in values))
    return path


@pytest.mark.parametrize("form", ["{:.0f}", "{:.1f}", "{:.18e}"])
def test_a_master_key_labels_a_black_box(black_box: Path, tmp_path: Path, form: str) -> None:
    assert load_events(black_box, progress=False).label is None
    key = write_key(tmp_path / "box.masterkey", labels(), form)
    events = load_events(black_box, key=key, progress=False)
    np.testing.assert_array_equal(events.label, labels())
    assert events.classes == ("background", "signal")
    drawn = load_events(black_box, key=key, classes="signal", n=5, progress=False)
    assert drawn.class_counts() == {"signal": 5}
    same_events(drawn, events[drawn.info["event"]])


def test_black_box_3_has_two_signals(black_box: Path, tmp_path: Path) -> None:
    key = write_key(tmp_path / "box.masterkey", np.arange(N) % 3)
    events = load_events(black_box, key=key, progress=False)
    assert events.class_counts() == {"background": 20, "signal": 20, "signal 2": 20}
    only = load_events(black_box, key=key, classes="signal 2", progress=False)
    np.testing.assert_array_equal(only.info["event"] % 3, 2)


def test_wrong_keys_are_refused(black_box: Path, research: Path, tmp_path: Path) -> None:
    short = write_key(tmp_path / "short", labels()[:-1])
    with pytest.raises(FileError, match="59 labels, but the black box has 60 events"):
        load_events(black_box, key=short, progress=False)
    odd = write_key(tmp_path / "odd", np.r_[labels()[:-1], 3])
    with pytest.raises(FileError, match="label 60 is '3', expected 0, 1 or 2"):
        load_events(black_box, key=odd, progress=False)
    (tmp_path / "words").write_text("signal\n" * N)
    with pytest.raises(FileError, match="label 1 is 'signal'"):
        load_events(black_box, key=tmp_path / "words", progress=False)
    with pytest.raises(FileError, match="cannot be read as a master key"):
        load_events(black_box, key=black_box, progress=False)
    with pytest.raises(FileError, match="cannot be read as a master key"):
        load_events(black_box, key=tmp_path / "missing", progress=False)
    good = write_key(tmp_path / "good", labels())
    with pytest.raises(InvalidJetsError, match="labels of its own"):
        load_events(research, key=good, progress=False)
    with pytest.raises(InvalidJetsError, match="a master key belongs to one file"):
        load_events([black_box, black_box], key=good, progress=False)
    with pytest.raises(InvalidJetsError, match="carry no labels"):
        load_events(black_box, classes="signal", progress=False)


# ---- damaged and strange files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (5, 0, np.nan, "particle 0 of event 5 has pT = nan"),
        (5, 4, np.inf, "particle 1 of event 5 has eta = inf"),
        (9, 3, -1.0, "particle 1 of event 9 has pT = -1"),
        (9, 2100, 0.5, "label of event 9 is 0.5, expected 0"),
        (2, 2100, np.nan, "label of event 2 is nan, expected 0"),
    ],
)
def test_unphysical_rows_are_named(tmp_path: Path, row: int, column: int, value: float, message: str) -> None:
    values = np.concatenate([dijet_rows(12), labels(12)[:, None]], axis=1)
    values[row, column] = value
    with pytest.raises(JetLabError, match=message):
        load_events(write_fixed(tmp_path / "x.h5", values), progress=False)


def test_momenta_in_mev_are_found(tmp_path: Path) -> None:
    rows = dijet_rows(5).reshape(5, 700, 3)
    rows[..., 0] *= 1e3
    with pytest.raises(UnitsError, match="in MeV"):
        load_events(write_fixed(tmp_path / "x.h5", rows.reshape(5, 2100)), progress=False)


@pytest.mark.parametrize("width", [2099, 2102, 303])
def test_other_numbers_of_columns_are_refused(tmp_path: Path, width: int) -> None:
    path = write_fixed(tmp_path / "x.h5", np.ones((3, width)))
    with pytest.raises(FileError, match=f"block0_values has {width} columns, expected 2100"):
        load_events(path, progress=False)


def test_damaged_files_are_refused(research: Path, tmp_path: Path) -> None:
    data = research.read_bytes()
    for share in (0.3, 0.9):
        (tmp_path / "cut.h5").write_bytes(data[: int(share * len(data))])
        with pytest.raises(FileError, match=r"cut\.h5"):
            load_events(tmp_path / "cut.h5", progress=False)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["df/block0_values"] = h5py.ExternalLink(str(research), "df/block0_values")
    with pytest.raises(FileError, match="links are refused"):
        load_events(tmp_path / "link.h5", progress=False)
    with h5py.File(tmp_path / "vast.h5", "w") as file:
        file.create_dataset("df/block0_values", shape=(10**9, 2101), chunks=(10, 2101), dtype="f8")
    with pytest.raises(FileError, match="GiB in memory"):
        load_events(tmp_path / "vast.h5", progress=False)
    write_fixed(tmp_path / "none.h5", np.zeros((1, 2101)))
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file["df/block0_values"] = np.zeros((0, 2101))
    with pytest.raises(FileError, match="holds no events"):
        load_events(tmp_path / "none.h5", progress=False)


def test_files_of_jets_hold_no_events(tmp_path: Path) -> None:
    jetlab.write_jets(toy_jets(5), tmp_path / "jets.parquet")
    with pytest.raises(FileError, match=r"no events; jetlab\.load_jets"):
        load_events(tmp_path / "jets.parquet", progress=False)
    with pytest.raises(FileError, match=r"without pairs; jetlab\.load_jets"):
        load_pairs(tmp_path / "jets.parquet")


# ---- jets of events --------------------------------------------------------------------------------------------------


def test_load_jets_gives_the_jets_of_all_events(research: Path) -> None:
    assert str(recognise(research)) == f"{research.name}: 60 events in the LHC Olympics layout (HDF5)"
    events, jets = load_events(research, progress=False), load_jets(research)
    assert len(jets) == len(events.jets)
    np.testing.assert_array_equal(jets.flat("pt"), events.jets.flat("pt"))
    np.testing.assert_array_equal(jets.info["event"], np.repeat(np.arange(N), events.n_jets))
    np.testing.assert_array_equal(jets.label, events.label[jets.info["event"]])
    assert jets.classes == ("background", "signal")
    assert any("two hardest anti-kT jets" in note for note in jets.meta["notes"])
    assert len(load_jets(research, classes="signal", n=10)) == 10


def test_parts_of_a_file_keep_the_numbers_of_their_events(research: Path) -> None:
    batches = list(stream_jets(research, batch_size=16, buffer=20, shuffle=False))
    assert [int(k) for batch in batches for k in batch.info["event"]] == load_jets(research).info["event"].tolist()


def clustered_arrays(events: Events, slots: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """The two hardest jets of events as OmniLearn stores them."""
    data, jet = np.zeros((len(events), 2, slots, 7)), np.zeros((len(events), 2, 5))
    for i, event in enumerate(events):
        for j, one in enumerate(event.leading(2).jets):
            pt, deta, dphi, energy = (one.flat(name) for name in ("pt", "deta", "dphi", "energy"))
            data[i, j, : len(pt), :6] = np.stack(
                [
                    deta,
                    dphi,
                    np.log(1 - pt / one.pt * 0.999),
                    np.log(pt),
                    np.log(1 - energy / one.energy * 0.999),
                    np.log(energy),
                ],
                1,
            )
            jet[i, j] = one.pt[0], one.eta[0], one.phi[0], one.mass[0], len(pt)
    return data.astype(np.float32), jet.astype(np.float32)


def test_jets_clustered_by_others(research: Path, tmp_path: Path) -> None:
    true = load_events(research, progress=False)
    data, jet = clustered_arrays(true)
    path = tmp_path / "processed_data_background_rel.h5"
    with h5py.File(path, "w") as file:
        file["data"], file["jet"] = data, jet
    found = load_events(path, progress=False)
    assert recognise(path).layout == "LHC Olympics jets"
    np.testing.assert_array_equal(found.offsets, true.offsets)
    np.testing.assert_allclose(found.jets.p4, true.jets.p4, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found.dijet_mass, true.dijet_mass, rtol=1e-4)
    assert found.label is None
    assert found.with_label(0).class_counts() == {"background": N}
    np.testing.assert_array_equal(load_events(path, n_jets=1, progress=False).n_jets, 1)
    assert len(load_jets(path)) == len(true.jets)
    with pytest.raises(FileError, match="hold jets of R = 1"):
        load_events(path, radius=0.8, progress=False)
    with h5py.File(path, "a") as file:
        file["label"], file["pid"] = labels(), true.dijet_mass
    drawn = load_events(path, classes="signal", n=3, progress=False)
    assert drawn.class_counts() == {"signal": 3}
    np.testing.assert_allclose(drawn.dijet_mass, drawn.info["mjj"], rtol=1e-4)
    same_events(drawn, load_events(path, progress=False)[drawn.info["event"]])


# ---- OmniFold --------------------------------------------------------------------------------------------------------


def write_omnifold(path: Path, n: int = 11, *, seed: int = 0, **changes: np.ndarray) -> tuple[Path, Jets, Jets]:
    np.savez(path, **(omnifold_pairs(n, seed=seed) | changes))
    return path, particles_of(n, seed=seed)[0], particles_of(n, seed=seed + 100)[0]


def test_omnifold_round_trip(tmp_path: Path) -> None:
    path, generated, detected = write_omnifold(tmp_path / "Pythia21_Zjet_pTZ-200GeV_0.npz")
    assert str(recognise(path)).startswith("Pythia21_Zjet_pTZ-200GeV_0.npz: 11 pairs in the OmniFold layout")
    pairs = load_pairs(path)
    for found, true in ((pairs.generated, generated), (pairs.detected, detected)):
        np.testing.assert_array_equal(found.offsets, true.offsets)
        np.testing.assert_allclose(found.flat("mass"), true.flat("mass"))
        for name in ("pt", "eta", "phi"):
            np.testing.assert_allclose(found.flat(name), true.flat(name), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.p4, true.p4, rtol=1e-5, atol=1e-2)
        np.testing.assert_allclose(found.info["jet_mass"], true.mass)
        np.testing.assert_array_equal(found.info["tau2s"], np.arange(11) + 4)
    np.testing.assert_array_equal(pairs.detected.flat("charge"), pdg.charges(particles_of(11, seed=100)[1]))
    np.testing.assert_array_equal(pairs.info["z_pt"], 250.0)
    assert pairs.meta["files"] == [path.name]


def test_load_jets_of_omnifold_gives_the_detector_level(tmp_path: Path) -> None:
    path, _, detected = write_omnifold(tmp_path / "x.npz")
    jets = load_jets(path)
    np.testing.assert_allclose(jets.pt, detected.pt, rtol=1e-5)
    assert any("at detector level; load_pairs" in note for note in jets.meta["notes"])
    with jetlab.data.formats.open_jets(path) as file:
        np.testing.assert_allclose(file.read(3, 7).pt, detected.pt[3:7], rtol=1e-5)


def test_splits_of_pairs_do_not_overlap_and_lose_nothing(tmp_path: Path) -> None:
    files = [write_omnifold(tmp_path / f"{k}.npz", n, seed=k)[0] for k, n in enumerate((11, 9))]
    whole = load_pairs(files)
    parts = [load_pairs(files, split=split) for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [13, 4, 3]
    found = np.sort(np.concatenate([part.detected.pt for part in parts]))
    np.testing.assert_allclose(found, np.sort(whole.detected.pt))
    alone = load_pairs(files[1], split="test")
    assert np.isin(alone.detected.pt, parts[2].detected.pt).all(), "a row has its mark whatever is loaded with it"
    drawn = load_pairs(files, n=5, seed=1)
    assert len(drawn) == 5
    assert np.isin(drawn.generated.pt, whole.generated.pt).all()
    with pytest.raises(InvalidJetsError, match="unknown split 'dev'"):
        load_pairs(files, split="dev")
    with pytest.raises(InvalidJetsError, match="21 pairs asked for, expected 1 to 20"):
        load_pairs(files, n=21)


def test_wrong_omnifold_files_are_refused(tmp_path: Path) -> None:
    particles = omnifold_pairs(11)["gen_particles"]
    path, *_ = write_omnifold(tmp_path / "type.npz", gen_particles=particles + np.array([0, 0, 0, 0.05]))
    with pytest.raises(InvalidJetsError, match=r"expected tenths from 0 to 1\.3"):
        load_pairs(path)
    path, *_ = write_omnifold(tmp_path / "units.npz", gen_particles=particles * [100, 1, 1, 1])
    with pytest.raises(UnitsError, match="100 times that of the jet"):
        load_pairs(path)
    path, *_ = write_omnifold(tmp_path / "short.npz", gen_particles=particles[:-1])
    with pytest.raises(FileError, match="gen_particles 10"):
        load_pairs(path)
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-300])
    with pytest.raises(FileError, match=r"cut\.npz"):
        load_pairs(tmp_path / "cut.npz")
    broken = particles.copy()
    broken[2, 0, 1] = np.nan
    path, *_ = write_omnifold(tmp_path / "nan.npz", gen_particles=broken)
    with pytest.raises(InvalidJetsError, match="of jet 2 has eta = nan"):
        load_pairs(path)


# ---- catalogue -------------------------------------------------------------------------------------------------------


def test_the_catalogue_knows_events_and_pairs() -> None:
    boxes, pairs = DATASETS["lhco-blackboxes"], DATASETS["omnifold"]
    assert sorted(file for file in boxes.files if file.endswith(".masterkey")) == [
        "events_LHCO2020_BlackBox1.masterkey",
        "events_LHCO2020_BlackBox3.masterkey",
    ]
    assert boxes.classes == KEY_CLASSES
    assert len(set(pairs.files.values())) == len(pairs.files) == 68
    assert all(checksum.startswith("md5:") for checksum in pairs.files.values())
