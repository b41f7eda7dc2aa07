"""Writers and readers of every layout: round trips, exact columns, precision and size, recognition by content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from jetlab.data import read_jets, recognise, write_jets
from jetlab.data.formats import jets_of
from jetlab.data.formats.compact import ANGLE_STEP, BITS, rounded
from jetlab.data.formats.jetclass2 import JETCLASS2_CLASSES
from jetlab.data.formats.momenta import mass_from_energy
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import OPTIONAL_PARTICLE_FIELDS, Jets, concatenate
from jetlab.observables import OBSERVABLES
from jetlab.vocabulary import CLASSES

SHARED = Path(__file__).parents[2] / "shared/data"
PROTO = SHARED / "pythia_proto"
needs_samples = pytest.mark.skipif(not PROTO.exists(), reason="needs the sample files of public formats")

MASSES = np.array([0.13957, 0.49761, 0.0, 0.000511, 0.10566])
PUBLISHED = """
part_px part_py part_pz part_energy part_deta part_dphi part_d0val part_d0err part_dzval part_dzerr part_charge
part_isChargedHadron part_isNeutralHadron part_isPhoton part_isElectron part_isMuon
label_QCD label_Hbb label_Hcc label_Hgg label_H4q label_Hqql label_Zqq label_Wqq label_Tbqq label_Tbl
jet_pt jet_eta jet_phi jet_energy jet_nparticles jet_sdmass jet_tau1 jet_tau2 jet_tau3 jet_tau4
aux_genpart_eta aux_genpart_phi aux_genpart_pid aux_genpart_pt aux_truth_match
"""
JETCLASS_COLUMNS = PUBLISHED.split()


def some_jets(n: int = 40, *, seed: int = 5) -> Jets:
    """Jets of all classes with all fields; the second is empty, the third has one constituent."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(5, 60, n)
    counts[1:3] = 0, 1
    m = counts.sum()
    axes = rng.uniform(-2, 2, n), rng.uniform(-np.pi, np.pi, n)
    kind = rng.integers(0, 5, m)
    tracked = np.isin(kind, (0, 3, 4))
    columns = {
        "pt": (1 + rng.pareto(1.0, m)).clip(max=300) * 3,
        "eta": np.repeat(axes[0], counts) + rng.normal(0, 0.2, m),
        "phi": np.repeat(axes[1], counts) + rng.normal(0, 0.2, m),
        "mass": MASSES[kind],
        "charge": np.where(tracked, rng.choice([-1, 1], m), 0),
        "ptype": kind,
        **{name: np.where(tracked, rng.normal(0, 0.3, m), 0) for name in ("d0", "dz")},
        **{name: np.where(tracked, rng.choice([0.01, 0.05, 0.2], m), 0) for name in ("d0err", "dzerr")},
    }
    info = {"split": rng.integers(0, 3, n).astype(np.int8), "weight": rng.uniform(0, 1, n)}
    meta = {"source": "toy", "seed": np.int64(5), "settings": {"lines": ("a", "b")}}
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Jets.from_flat(offsets, columns, label=np.arange(n) % 10, info=info, meta=meta)


def padded(jets: Jets, field: str, length: int = 64) -> np.ndarray:
    jagged = ak.unflatten(jets.flat(field), jets.multiplicity)
    return ak.to_numpy(ak.fill_none(ak.pad_none(jagged, length, clip=True), 0)).astype(np.float32)


def jagged(jets: Jets, field: str) -> ak.Array:
    return ak.unflatten(jets.flat(field), jets.multiplicity)


def assert_same_momenta(found: Jets, expected: Jets, *, rtol: float = 1e-6, atol: float = 1e-6) -> None:
    assert found.multiplicity.tolist() == expected.multiplicity.tolist()
    np.testing.assert_allclose(found.flat("pt"), expected.flat("pt"), rtol=rtol)
    np.testing.assert_allclose(found.flat("deta"), expected.flat("deta"), atol=atol)
    np.testing.assert_allclose(found.flat("dphi"), expected.flat("dphi"), atol=atol)


# ---- JetClass --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["parquet", "root"])
def test_jetclass_round_trip(tmp_path: Path, suffix: str) -> None:
    jets = some_jets()
    found = read_jets(write_jets(jets, tmp_path / f"jets.{suffix}"))
    assert_same_momenta(found, jets)
    np.testing.assert_allclose(found.mass, jets.mass, atol=0.01)
    np.testing.assert_allclose(found.energy, jets.energy, rtol=1e-6)
    np.testing.assert_allclose(found.eta, jets.eta, atol=1e-6)
    for field in ("charge", "ptype"):
        np.testing.assert_array_equal(found.flat(field), jets.flat(field))
    for field in ("d0", "d0err", "dz", "dzerr"):
        np.testing.assert_array_equal(found.flat(field), jets.flat(field))
    assert found.label.tolist() == jets.label.tolist()
    assert found.classes == CLASSES
    assert found.info["split"].dtype == np.int8
    np.testing.assert_array_equal(found.info["split"], jets.info["split"])
    np.testing.assert_array_equal(found.info["weight"], jets.info["weight"])
    assert found.meta["settings"] == {"lines": ["a", "b"]}
    assert (found.meta["source"], found.meta["seed"], found.meta["layout"]) == ("toy", 5, "JetClass")


@pytest.mark.parametrize("suffix", ["parquet", "root"])
def test_jetclass_columns_are_those_of_the_published_files(tmp_path: Path, suffix: str) -> None:
    jets = some_jets()
    path = write_jets(jets, tmp_path / f"jets.{suffix}")
    if suffix == "parquet":
        columns = {name: np.asarray(ak.flatten(c, axis=None)) for name, c in _fields(ak.from_parquet(path)).items()}
    else:
        with uproot.open(path) as file:
            assert file.classnames(cycle=False)["tree"] == "TTree"
            tree = _fields(file["tree"].arrays())
            assert tree.pop("npart").tolist() == jets.multiplicity.tolist()
            columns = {name: np.asarray(ak.flatten(c, axis=None)) for name, c in tree.items()}
    assert list(columns)[:41] == JETCLASS_COLUMNS
    kinds = {name: values.dtype.name for name, values in columns.items()}
    assert [kinds[f"label_{c}"] for c in CLASSES] == ["float32"] + ["bool"] * 5 + ["int32"] * 4
    assert {kinds[f"part_is{what}"] for what in ("Photon", "Electron", "Muon", "ChargedHadron")} == {"int32"}
    assert {kinds[name] for name in JETCLASS_COLUMNS if name.startswith(("jet_", "aux_"))} == {"float32"}
    side = np.repeat(np.where(jets.eta > 0, 1, -1), jets.multiplicity)
    np.testing.assert_allclose(columns["part_deta"], jets.flat("deta") * side, atol=1e-7)
    np.testing.assert_allclose(columns["jet_nparticles"], jets.multiplicity)
    np.testing.assert_allclose(columns["jet_sdmass"], OBSERVABLES["sdmass"].compute(jets), rtol=1e-6)
    tau21 = np.divide(columns["jet_tau2"], columns["jet_tau1"], where=columns["jet_tau1"] > 0, out=np.zeros(40, "f4"))
    np.testing.assert_allclose(tau21, np.nan_to_num(OBSERVABLES["tau21"].compute(jets)), rtol=1e-5)


def _fields(array: ak.Array) -> dict[str, ak.Array]:
    return {name: array[name] for name in array.fields}


def test_absent_fields_stay_absent(tmp_path: Path) -> None:
    jets = some_jets()
    columns = {name: jets.flat(name) for name in ("pt", "eta", "phi", "mass")}
    plain = Jets.from_flat(jets.offsets, columns)
    for name in ("a.parquet", "a.root"):
        found = read_jets(write_jets(plain, tmp_path / name))
        assert found.fields == ("pt", "eta", "phi", "mass")
        assert found.label is None


def test_other_classes_are_written_with_their_names(tmp_path: Path) -> None:
    jets = some_jets()
    two = Jets(jets.particles, label=jets.label % 2, classes=("quark", "gluon"))
    for name, layout in (("a.parquet", "jetclass"), ("a.root", "jetclass"), ("b.parquet", "compact")):
        found = read_jets(write_jets(two, tmp_path / name, layout=layout))
        assert found.classes == ("quark", "gluon")
        assert found.label.tolist() == two.label.tolist()


@needs_samples
def test_simulated_sample_files() -> None:
    raw = ak.from_parquet(PROTO / "TTBar.parquet")
    jets = read_jets(PROTO / "TTBar.parquet")
    np.testing.assert_allclose(jets.pt, raw.jet_pt, rtol=1e-6)
    np.testing.assert_allclose(jets.eta, raw.jet_eta, atol=1e-6)
    np.testing.assert_allclose(jets.energy, raw.jet_energy, rtol=1e-6)
    np.testing.assert_array_equal(jets.multiplicity, raw.jet_nparticles)
    assert jets.class_counts() == {"Tbqq": 800}
    side = np.repeat(np.sign(np.asarray(raw.jet_eta)), jets.multiplicity)
    by_pt = ak.argsort(np.hypot(raw.part_px, raw.part_py), ascending=False, stable=True)
    np.testing.assert_allclose(jets.flat("deta") * side, ak.flatten(raw.part_deta[by_pt]), atol=2e-6)
    np.testing.assert_allclose(jets.flat("dphi"), ak.flatten(raw.part_dphi[by_pt]), atol=2e-6)
    assert ((jets.flat("ptype") == 2) == (ak.to_numpy(ak.flatten(raw.part_isPhoton[by_pt])) == 1)).all()
    photons = jets.flat("mass")[jets.flat("ptype") == 2]
    assert (photons == 0).mean() > 0.999
    assert {"jet_sdmass", "jet_tau1", "aux_truth_match"} <= set(jets.info)


@needs_samples
def test_jetclass2_example() -> None:
    folder = SHARED / "sophon_jetclass2"
    parquet, root = (read_jets(folder / f"JetClassII_example.{s}") for s in ("parquet", "root"))
    raw = ak.from_parquet(folder / "JetClassII_example.parquet")
    np.testing.assert_allclose(parquet.pt, raw.jet_pt, rtol=2e-6)
    assert parquet.label.tolist() == raw.jet_label.tolist()
    assert parquet.class_counts()["QCD_light"] == 11
    assert parquet.meta["layout"] == root.meta["layout"] == "JetClass-II"
    for field in parquet.fields:
        np.testing.assert_array_equal(parquet.flat(field), root.flat(field))
    distance = np.hypot(parquet.flat("deta"), parquet.flat("dphi"))
    assert (distance > 0.9).sum() == 40
    assert set(np.unique(parquet.flat("ptype"))) == {0, 1, 2, 3, 4}


def test_jetclass2_has_188_classes_in_order() -> None:
    assert len(JETCLASS2_CLASSES) == len(set(JETCLASS2_CLASSES)) == 188
    known = {0: "X_bb", 9: "X_gg", 14: "X_tauhtauh", 15: "X_YY_bbbb", 31: "X_YY_bbm", 32: "X_YY_cccc", 48: "X_YY_ssss"}
    known |= {63: "X_YY_qqqq", 77: "X_YY_gggg", 89: "X_YY_ggm", 90: "X_YY_bee", 114: "X_YY_gtauhtauh"}
    known |= {115: "X_YY_qqqb", 126: "X_YY_bcsq", 131: "X_YY_bcev", 160: "X_YY_qqtauhv", 161: "QCD_bbccss"}
    known |= {169: "QCD_bb", 178: "QCD_b", 181: "QCD_cc", 184: "QCD_c", 187: "QCD_light"}
    assert {k: JETCLASS2_CLASSES[k] for k in known} == known


# ---- compact ---------------------------------------------------------------------------------------------------------


def test_compact_round_trip_keeps_the_stated_digits(tmp_path: Path) -> None:
    jets = some_jets(200)
    found = read_jets(write_jets(jets, tmp_path / "jets.parquet", layout="compact"))
    np.testing.assert_allclose(found.flat("pt"), jets.flat("pt"), rtol=2.0 ** -BITS["pt"])
    np.testing.assert_allclose(found.flat("eta"), jets.flat("eta"), atol=0.51 * ANGLE_STEP)
    turn = np.angle(np.exp(1j * (found.flat("phi") - jets.flat("phi").astype(float))))
    np.testing.assert_allclose(turn, 0, atol=0.51 * ANGLE_STEP)
    for field in ("mass", "d0", "d0err", "dz", "dzerr"):
        np.testing.assert_allclose(found.flat(field), jets.flat(field), rtol=2.0 ** -BITS[field])
    for field in ("charge", "ptype"):
        np.testing.assert_array_equal(found.flat(field), jets.flat(field))
    assert found.label.tolist() == jets.label.tolist()
    np.testing.assert_array_equal(found.info["split"], jets.info["split"])
    np.testing.assert_allclose(found.info["weight"], jets.info["weight"], rtol=2.0**-16)
    np.testing.assert_allclose(found.mass, jets.mass, atol=0.02)
    assert found.meta["source"] == "toy"


def test_compact_rounds_only_once(tmp_path: Path) -> None:
    jets = some_jets()
    once = read_jets(write_jets(jets, tmp_path / "a.parquet", layout="compact"))
    twice = read_jets(write_jets(once, tmp_path / "b.parquet", layout="compact"))
    for field in ("pt", "mass", "d0", "eta"):
        np.testing.assert_array_equal(twice.flat(field), once.flat(field))
    away_from_the_seam = np.abs(once.flat("phi")) < 3.0
    np.testing.assert_array_equal(twice.flat("phi")[away_from_the_seam], once.flat("phi")[away_from_the_seam])
    assert (tmp_path / "a.parquet").stat().st_size == pytest.approx((tmp_path / "b.parquet").stat().st_size, rel=0.02)


@pytest.mark.parametrize("bits", [8, 14, 24])
def test_rounding_to_significant_bits(bits: int) -> None:
    values = np.random.default_rng(0).lognormal(0, 4, 5000).astype(np.float32) * np.array([1, -1], "f4").repeat(2500)
    result = rounded(values, bits)
    assert (np.abs(result / values - 1) <= 2.0**-bits).all()
    mantissa = np.frexp(result.astype(np.float64))[0] * 2.0**bits
    np.testing.assert_array_equal(mantissa, np.round(mantissa))
    np.testing.assert_array_equal(rounded(result, bits), result)
    assert rounded(np.float32([0.0, -0.0]), bits).tolist() == [0, 0]
    odd = rounded(np.float32([np.inf, -np.inf, np.nan]), bits)
    assert np.isinf(odd[:2]).all()
    assert np.isnan(odd[2])


@needs_samples
def test_compact_jets_are_small_and_keep_their_mass(tmp_path: Path) -> None:
    jets = concatenate([read_jets(path) for path in sorted(PROTO.glob("*.parquet"))])
    path = write_jets(jets, tmp_path / "jets.parquet", layout="compact")
    assert path.stat().st_size / len(jets) < 520
    found = read_jets(path)
    assert set(found.fields) == {"pt", "eta", "phi", "mass", *OPTIONAL_PARTICLE_FIELDS}
    np.testing.assert_allclose(found.mass, jets.mass, atol=0.01)
    np.testing.assert_allclose(found.pt, jets.pt, rtol=1e-4)
    np.testing.assert_allclose(found.info["jet_tau1"], jets.info["jet_tau1"], rtol=2e-5)


# ---- JetNet ----------------------------------------------------------------------------------------------------------


def write_jetnet(path: Path, jets: Jets, length: int = 64) -> Path:
    mask = np.arange(length) < jets.multiplicity[:, None]
    relative = padded(jets, "pt") / np.maximum(jets.pt, 1e-9)[:, None]
    particles = np.stack([padded(jets, "deta"), padded(jets, "dphi"), relative, mask], axis=-1)
    with h5py.File(path, "w") as file:
        file["particle_features"] = particles.astype(np.float32)
        file["jet_features"] = np.stack([jets.pt, jets.eta, jets.mass, jets.multiplicity], axis=1).astype(np.float32)
    return path


def test_jetnet(tmp_path: Path) -> None:
    jets = some_jets()
    found = read_jets(write_jetnet(tmp_path / "g.hdf5", jets))
    assert_same_momenta(found, jets, rtol=1e-5, atol=2e-2)
    np.testing.assert_allclose(found.flat("eta"), jets.flat("eta"), atol=1e-5)
    assert found.flat("mass").max() == 0
    assert found.label is None
    np.testing.assert_allclose(found.info["jet_mass"], jets.mass, rtol=1e-5)
    assert any("multiplied by the jet pT" in note for note in found.meta["notes"])
    assert recognise(tmp_path / "g.hdf5").n_jets == len(jets)


# ---- named columns ---------------------------------------------------------------------------------------------------


def polar(jets: Jets) -> dict[str, ak.Array]:
    return {name: jagged(jets, name) for name in ("pt", "eta", "phi", "mass")}


def write_parquet_columns(path: Path, jets: Jets) -> None:
    ak.to_parquet(ak.Array({f"part_{k}": v for k, v in polar(jets).items()} | {"label": jets.label}), path)


def write_parquet_records(path: Path, jets: Jets) -> None:
    ak.to_parquet(ak.Array({"particles": ak.zip(polar(jets)), "label": jets.label}), path)


def write_parquet_bare_records(path: Path, jets: Jets) -> None:
    ak.to_parquet(ak.zip(polar(jets)), path)


def write_root_tree(path: Path, jets: Jets) -> None:
    with uproot.recreate(path) as file:
        file.mktree("jets", {"pf": "var * {pt: float64, eta: float64, phi: float64, mass: float64}", "label": "int64"})
        records = ak.zip({name: ak.values_astype(v, np.float64) for name, v in polar(jets).items()})
        file["jets"].extend({"pf": records, "label": jets.label})


def write_root_ntuple(path: Path, jets: Jets) -> None:
    with uproot.recreate(path) as file:
        file.mkrntuple("jets", {f"part_{k}": v for k, v in polar(jets).items()} | {"label": jets.label})


def write_npz_padded(path: Path, jets: Jets) -> None:
    np.savez(path, **{name: padded(jets, name) for name in ("pt", "eta", "phi", "mass")}, label=jets.label)


def write_npz_mask(path: Path, jets: Jets) -> None:
    columns = {name: padded(jets, name) for name in ("pt", "eta", "phi", "mass")}
    mask = np.arange(64) < jets.multiplicity[:, None]
    columns["pt"] = np.where(mask, columns["pt"], 99.0)
    np.savez_compressed(path, **columns, mask=mask, label=jets.label)


def write_npz_flat(path: Path, jets: Jets) -> None:
    np.savez(path, **{n: jets.flat(n) for n in ("pt", "eta", "phi", "mass")}, offsets=jets.offsets, label=jets.label)


def write_npy_structured(path: Path, jets: Jets) -> None:
    array = np.zeros((len(jets), 64), dtype=[(name, "f4") for name in ("pt", "eta", "phi", "mass")])
    for name in array.dtype.names:
        array[name] = padded(jets, name)
    with path.open("wb") as file:
        np.save(file, array)


def write_hdf5_flat(path: Path, jets: Jets) -> None:
    with h5py.File(path, "w") as file:
        for name in ("pt", "eta", "phi", "mass"):
            file.create_dataset(f"particles/part_{name}", data=jets.flat(name), compression="gzip")
        file["particles/offsets"] = jets.offsets
        file["label"] = jets.label.astype(">i4")


def write_hdf5_variable(path: Path, jets: Jets) -> None:
    with h5py.File(path, "w") as file:
        for name in ("pt", "eta", "phi", "mass"):
            column = file.create_dataset(name, len(jets), dtype=h5py.vlen_dtype(np.float32))
            for i, jet in enumerate(jets):
                column[i] = jet.flat(name)
        file["label"] = jets.label


def write_hdf5_compound(path: Path, jets: Jets) -> None:
    array = np.zeros((len(jets), 64), dtype=[(name, "f4") for name in ("pt", "eta", "phi", "mass")])
    for name in array.dtype.names:
        array[name] = padded(jets, name)
    with h5py.File(path, "w") as file:
        file["consts"] = array
        file["label"] = jets.label


WRITERS = [
    *(write_parquet_columns, write_parquet_records, write_parquet_bare_records, write_root_tree, write_root_ntuple),
    *(write_npz_padded, write_npz_mask, write_npz_flat, write_npy_structured),
    *(write_hdf5_flat, write_hdf5_variable, write_hdf5_compound),
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__.removeprefix("write_"))
def test_named_columns_of_any_container(tmp_path: Path, write: Callable[[Path, Jets], None]) -> None:
    jets = some_jets()
    path = tmp_path / ("jets.npz" if "npz" in write.__name__ else "jets")
    write(path, jets)
    seen = recognise(path)
    assert (seen.layout, seen.n_jets) == ("columns", len(jets))
    assert {"pt", "eta", "phi", "mass"} <= set(seen.fields)
    found = read_jets(path)
    assert_same_momenta(found, jets)
    np.testing.assert_array_equal(found.flat("mass"), jets.flat("mass"))
    if write not in (write_parquet_bare_records, write_npy_structured):
        assert found.label.tolist() == jets.label.tolist()
        assert found.classes[3] == "class 3"


def test_cartesian_and_relative_columns() -> None:
    jets = some_jets()
    energy, px, py, pz = (ak.unflatten(v, jets.multiplicity) for v in jets.flat_p4.T)
    cartesian = jets_of({"px": px, "py": py, "pz": pz, "E": energy})
    assert_same_momenta(cartesian, jets)
    np.testing.assert_allclose(cartesian.mass, jets.mass, atol=1e-3)
    relative = {"etarel": jagged(jets, "deta"), "phirel": jagged(jets, "dphi"), "mass": jagged(jets, "mass")}
    relative["ptrel"] = jagged(jets, "pt") / np.maximum(jets.pt, 1e-9)
    axes = {"jet_pt": jets.pt, "jet_eta": jets.eta, "jet_phi": jets.phi}
    found = jets_of(relative | axes)
    assert_same_momenta(found, jets, rtol=1e-5)
    np.testing.assert_allclose(found.mass, jets.mass, atol=1e-3)
    with pytest.raises(InvalidJetsError, match=r"relative to the jet.*no column jet_pt"):
        jets_of(relative)
    centred = jets_of({k: v for k, v in relative.items() if k != "ptrel"} | {"pt": jagged(jets, "pt")})
    assert centred.meta["notes"] == ["no jet eta or phi in the file: jet axes were put at eta = phi = 0"]
    assert np.abs(centred.eta).max() < 0.1


def test_awkward_records_and_plain_arrays_in_memory() -> None:
    jets = some_jets()
    assert_same_momenta(jets_of(ak.zip(polar(jets))), jets)
    assert_same_momenta(jets_of(ak.Array({"particles": ak.zip(polar(jets)), "label": jets.label})), jets)
    assert_same_momenta(jets_of({name: padded(jets, name) for name in ("pt", "eta", "phi", "mass")}), jets)
    massless = jets_of({name: padded(jets, name).tolist() for name in ("pt", "eta", "phi")})
    assert massless.meta["notes"] == ["constituents have neither mass nor energy: taken as massless"]


def test_one_hot_labels_of_a_subset_and_of_others() -> None:
    jets = some_jets()
    tops = {"label_QCD": np.arange(40) % 2 == 0, "label_Tbqq": np.arange(40) % 2}
    found = jets_of(polar(jets) | tops)
    assert found.classes == CLASSES
    assert found.class_counts() == {"QCD": 20, "Tbqq": 20}
    found = jets_of(polar(jets) | {"label_light": np.arange(40) % 2 == 0, "label_heavy": np.arange(40) % 2})
    assert found.class_counts() == {"light": 20, "heavy": 20}


# ---- energies --------------------------------------------------------------------------------------------------------


def test_masses_survive_single_precision_energies() -> None:
    momentum = np.array([0.5, 5.0, 50.0, 500.0, 5000.0])
    for mass in (0.0, 0.13957, 0.93827):
        energy = np.sqrt(momentum**2 + mass**2).astype(np.float32).astype(np.float64)
        below = np.nextafter(np.float32(momentum), np.float32(0)).astype(np.float64)
        for e in (energy, np.minimum(energy, below) if mass == 0 else energy):
            found = mass_from_energy(e, momentum, np.zeros(5), np.array([0, 5]))
            assert (found >= 0).all()
            np.testing.assert_allclose(np.hypot(momentum, found), np.hypot(momentum, mass), rtol=3e-7)
            assert mass > 0 or not found.any()


def test_energy_far_below_momentum_is_an_error() -> None:
    with pytest.raises(InvalidJetsError, match=r"constituent 1 of jet 1 has energy 90 below its momentum 100"):
        mass_from_energy(np.array([10.0, 20, 90]), np.array([10.0, 20, 100]), np.zeros(3), np.array([0, 1, 3]))


# ---- recognition and writing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layout", "container", "seen"),
    [
        ("a.parquet", "jetclass", "Parquet", "JetClass"),
        ("a.root", "jetclass", "ROOT, tree 'tree'", "JetClass"),
        ("a.parquet", "compact", "Parquet", "compact"),
    ],
)
def test_recognition_ignores_the_name(tmp_path: Path, name: str, layout: str, container: str, seen: str) -> None:
    jets = some_jets()
    path = write_jets(jets, tmp_path / name, layout=layout).rename(tmp_path / "holiday.jpg")
    found = recognise(path)
    assert (found.container, found.layout, found.n_jets) == (container, seen, len(jets))
    assert {"charge", "d0err"} <= set(found.fields)
    assert str(found) == f"holiday.jpg: 40 jets in the {seen} layout ({container})"
    assert_same_momenta(read_jets(path), jets, rtol=1e-4, atol=2 * ANGLE_STEP)


def test_notes_tell_what_is_odd(tmp_path: Path) -> None:
    m = 150
    columns = {"pt": np.full(m, 5.0), "eta": np.linspace(-0.5, 0.5, m), "phi": np.zeros(m), "mass": np.zeros(m)}
    jets = Jets.from_flat([0, 0, m], columns)
    notes = read_jets(write_jets(jets, tmp_path / "a.parquet")).meta["notes"]
    assert "1 jets have no constituents" in notes
    assert "1 jets have more than 128 constituents, up to 150" in notes


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jets.parquet"
    write_jets(some_jets(), path)
    before = path.read_bytes()

    def broken(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", broken)
    with pytest.raises(FileError, match=r"jets\.parquet cannot be written.*No space left"):
        write_jets(some_jets(seed=6), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["jets.parquet"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    for name, layout in (("a.txt", None), ("a.root", "compact"), ("a.parquet", "csv")):
        with pytest.raises(FileError, match=r"expected \.parquet"):
            write_jets(some_jets(), tmp_path / name, layout=layout)
    with pytest.raises(FileError, match="no jets to write"):
        write_jets(some_jets()[:0], tmp_path / "a.parquet")
    with pytest.raises(FileError, match=r"folder .* does not exist"):
        write_jets(some_jets(), tmp_path / "nowhere" / "a.parquet")
