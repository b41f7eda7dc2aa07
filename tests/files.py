"""Small valid files of every layout in every container, made from known jets: to be read, changed and damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

from jetlab.data import write_jets
from jetlab.data.formats import omnifold, pdg
from jetlab.jets import Jets
from tests.toys import toy_jets

Columns = dict[str, Any]
"""Arrays by name: NumPy arrays, or awkward arrays where they are jagged."""

N, SLOTS = 12, 25


class Sample(NamedTuple):
    """The columns of a file and how they are stored."""

    layout: str
    columns: Callable[[], Columns]
    store: Callable[[Path, Columns], None]

    def write(self, path: Path, **changes: Any) -> Path:
        """Write the file with some columns changed, or left out where they are None."""
        columns = {name: values for name, values in (_made(self.columns) | changes).items() if values is not None}
        self.store(path, columns)
        return path


@cache
def _made(columns: Callable[[], Columns]) -> Columns:
    return columns()


# ---- jets ------------------------------------------------------------------------------------------------------------


def jets(n: int = N) -> Jets:
    """Labelled toy jets of up to 25 massless constituents."""
    made = toy_jets(n).leading(SLOTS)
    flat = {name: made.flat(name) for name in ("pt", "eta", "phi")}
    return Jets.from_flat(made.offsets, flat | {"mass": np.zeros(len(flat["pt"]))}, label=np.arange(n) % 2)


def padded(jets: Jets, columns: list[np.ndarray], slots: int = SLOTS) -> np.ndarray:
    """Flat columns as an array (n, slots, F) padded with zeros."""
    array = np.zeros((len(jets), slots, len(columns)))
    for i, (start, stop) in enumerate(pairwise(jets.offsets)):
        for k, column in enumerate(columns):
            array[i, : stop - start, k] = column[start:stop]
    return array


def cartesian(jets: Jets) -> list[np.ndarray]:
    """Energies and momenta of the constituents."""
    pt, eta, phi = (jets.flat(name) for name in ("pt", "eta", "phi"))
    return [pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]


def lists(jets: Jets, values: np.ndarray) -> ak.Array:
    """A flat column as one list a jet."""
    return ak.unflatten(values, jets.multiplicity)


# ---- columns of the layouts ------------------------------------------------------------------------------------------


def jetclass() -> Columns:
    """As published, but with fewer columns."""
    true = jets()
    charge = np.resize([1.0, -1.0, 0.0], len(true.flat("pt")))
    flat = dict(zip(("energy", "px", "py", "pz"), cartesian(true), strict=True))
    flat |= {"charge": charge, "isChargedHadron": np.abs(charge), "d0val": 0.01 * charge, "d0err": 0.1 * charge**2}
    made = {f"part_{name}": lists(true, values.astype(np.float32)) for name, values in flat.items()}
    made |= {f"label_{name}": (true.label == k).astype(np.int32) for k, name in enumerate(("QCD", "Hbb"))}
    return made | {"jet_pt": true.pt, "jet_eta": true.eta, "jet_phi": true.phi}


def jetclass2() -> Columns:
    """The momenta, the label and two of the other columns."""
    made = {name: values for name, values in jetclass().items() if not name.startswith("label_")}
    return made | {"jet_label": np.arange(N) * 15, "jet_sdmass": np.linspace(0, 100, N)}


def jagged() -> Columns:
    """Plain jagged columns."""
    true = jets()
    made = {name: lists(true, true.flat(name)) for name in ("pt", "eta", "phi", "mass")}
    return made | {"label": true.label, "jet_pt": true.pt}


def slots() -> Columns:
    """Plain padded columns."""
    true = jets()
    return {name: padded(true, [true.flat(name)])[..., 0] for name in ("pt", "eta", "phi", "mass")} | {
        "label": true.label,
        "jet_pt": true.pt,
    }


def flat() -> Columns:
    """Plain flat columns beside offsets."""
    true = jets()
    return {name: true.flat(name) for name in ("pt", "eta", "phi", "mass")} | {
        "offsets": true.offsets,
        "label": true.label,
        "jet_pt": true.pt,
    }


def jetnet() -> Columns:
    """The two arrays as published."""
    true = jets()
    relative = true.flat("pt") / np.repeat(true.pt, true.multiplicity)
    columns = [true.flat("deta"), true.flat("dphi"), relative, np.ones(len(relative))]
    return {
        "particle_features": padded(true, columns, 30).astype(np.float32),
        "jet_features": np.stack([true.pt, true.eta, true.mass, true.multiplicity], axis=1).astype(np.float32),
    }


def top_tagging() -> Columns:
    """Momenta with the generated top quark, and two whole numbers."""
    true = jets()
    wide = padded(true, cartesian(true), 200).reshape(N, 800)
    truth = np.tile([650.0, 600.0, 0.0, 80.0], (N, 1)) * true.label[:, None]
    return {
        "values_block_0": np.concatenate([wide, truth], axis=1),
        "values_block_1": np.stack([np.ones(N, int), true.label], axis=1),
    }


def top_tagging_fixed() -> Columns:
    """The same by the names of pandas' fixed format."""
    first, second = top_tagging().values()
    return {"block0_values": first, "block1_values": second}


def top_tagging_named() -> Columns:
    """The same, one column a component, as others convert it."""
    values, numbers = top_tagging().values()
    parts = ("E", "PX", "PY", "PZ")
    made = {f"{c}_{slot}": values[:, 4 * slot + k] for slot in range(SLOTS) for k, c in enumerate(parts)}
    made |= {f"truth{c}": values[:, 800 + k] for k, c in enumerate(parts)}
    return made | {"is_signal_new": numbers[:, 1]}


def quark_gluon() -> Columns:
    """Massless photons, whose rapidities are pseudorapidities."""
    true = jets()
    columns = [true.flat("pt"), true.flat("eta"), true.flat("phi"), np.full(len(true.flat("pt")), 22)]
    return {"X": padded(true, columns), "y": true.label.astype(float)}


def atlas() -> Columns:
    """In MeV, single precision."""
    true = jets()
    columns = {"pt": 1000 * true.flat("pt"), "eta": true.flat("eta"), "phi": true.flat("phi")}
    columns["E"] = 1000 * cartesian(true)[0]
    made: Columns = {f"fjet_clus_{k}": padded(true, [v])[..., 0].astype(np.float32) for k, v in columns.items()}
    made |= {"fjet_pt": 1000 * true.pt, "fjet_m": 1000 * true.mass}
    return made | {"labels": true.label, "weights": np.linspace(0.5, 2, N)}


def aspen() -> Columns:
    """Candidates with impact parameters and codes, all of weight 1."""
    true = jets()
    energy, px, py, pz = cartesian(true)
    m = len(px)
    pid = np.resize([211, -211, 130, 22, 11], m)
    extra = [np.full(m, 0.02), np.full(m, 0.01), np.full(m, -0.1), np.full(m, 0.05), pdg.charges(pid), pid, np.ones(m)]
    return {
        "PFCands": padded(true, [px, py, pz, energy, *extra], 150).astype(np.float32),
        "jet_kinematics": np.stack([true.pt, true.eta, true.phi, true.mass], 1),
        "event_info": np.zeros((N, 3)),
    }


def mod() -> Columns:
    """Photons, in an index that ends at the last candidate."""
    true = jets()
    m = len(true.flat("pt"))
    rows = [true.flat("pt"), true.flat("eta"), true.flat("phi"), np.zeros(m), np.full(m, 22), np.zeros(m)]
    whole = [true.pt, true.eta, true.phi, true.mass, true.eta, np.ones(N), np.ones(N)]
    return {
        "pfcs": np.stack(rows, 1),
        "pfcs_index": true.offsets,
        "jets_f": np.stack(whole, 1),
        "jets_i": np.zeros((N, 7), dtype=int),
    }


def omnilearn() -> Columns:
    """Seven inputs a particle."""
    true = jets()
    counts = true.multiplicity
    pt, eta = true.flat("pt"), true.flat("eta")
    energy, jet_pt, jet_energy = pt * np.cosh(eta), np.repeat(true.pt, counts), np.repeat(true.energy, counts)
    deta, dphi = eta - np.repeat(true.eta, counts), true.flat("dphi")
    columns = [deta, dphi, np.log1p(-pt / jet_pt), np.log(pt), np.log1p(-energy / jet_energy), np.log(energy), deta]
    return {
        "data": padded(true, columns),
        "jet": np.stack([true.pt, true.eta, true.mass, counts], 1),
        "pid": true.label,
    }


def omnilearned() -> Columns:
    """Four inputs a particle, labels 2 and 3."""
    true = jets()
    pt = true.flat("pt")
    columns = [true.flat("deta"), true.flat("dphi"), np.log(pt), np.log(pt * np.cosh(true.flat("deta")))]
    return {"data": padded(true, columns), "pid": true.label + 2}


def lhc_olympics() -> Columns:
    """Events of two back-to-back jets, with labels in the last column."""
    first, rng = toy_jets(N, seed=3), np.random.default_rng(0)
    particles = np.zeros((N, 700, 3))
    for i, one in enumerate(first):
        k = len(one.flat("pt"))
        both = np.stack([one.flat(name) for name in ("pt", "eta", "phi")], 1)
        particles[i, : 2 * k] = rng.permutation(np.concatenate([both, both * [1, -1, 1] + [0, 0, np.pi]]))
    rows = np.concatenate([particles.reshape(N, 2100), (np.arange(N) % 3 == 0)[:, None]], axis=1)
    return {"df/block0_values": rows, "df/axis1": np.arange(N)}


def lhc_olympics_jets() -> Columns:
    """Two jets an event with their particles relative to them."""
    true = jets(2 * N)
    pt, counts = true.flat("pt"), true.multiplicity
    log_pt, log_energy = np.log(pt), np.log(cartesian(true)[0])
    columns = [true.flat("deta"), true.flat("dphi"), 0 * pt, log_pt, 0 * pt, log_energy, 0 * pt]
    whole = np.stack([true.pt, true.eta, true.phi, true.mass, counts], 1)
    return {
        "data": padded(true, columns).reshape(N, 2, SLOTS, 7).astype(np.float32),
        "jet": whole.reshape(N, 2, 5).astype(np.float32),
        "pid": np.linspace(2500, 4000, N),
    }


def particles_of(n: int, *, seed: int) -> tuple[Jets, np.ndarray]:
    """Jets of known particles, and the PDG code of each."""
    rng = np.random.default_rng(seed)
    made = toy_jets(n, seed=seed)
    pid = rng.choice(omnifold.PARTICLE_CODES, len(made.flat("pt")))
    columns = {name: made.flat(name) for name in ("pt", "eta", "phi")} | {"mass": pdg.masses(pid)}
    return Jets.from_flat(made.offsets, columns), pid


def omnifold_level(jets: Jets, pid: np.ndarray, *, slots: int = 30) -> Columns:
    """One level of an OmniFold file."""
    pt, eta, phi, mass = (jets.flat(name).astype(np.float64) for name in ("pt", "eta", "phi", "mass"))
    counts = jets.multiplicity
    y = np.arcsinh(np.sinh(eta) / np.sqrt(1 + (mass / pt) ** 2))
    jet_y = np.arctanh(jets.p4[:, 3] / jets.energy)
    code = np.array([omnifold.PARTICLE_CODES.index(k) / 10 for k in pid])
    dphi = np.angle(np.exp(1j * (phi - np.repeat(jets.phi, counts))))
    particles = padded(jets, [pt / 100, y - np.repeat(jet_y, counts), dphi, code], slots)
    columns: Columns = {name: np.arange(len(jets)) + k for k, name in enumerate(omnifold.OBSERVABLES)}
    whole = np.stack([jets.pt, jet_y, jets.phi, jets.mass], 1)
    return columns | {"jets": whole, "particles": particles.astype(np.float32)}


def omnifold_pairs(n: int = N, *, seed: int = 0) -> Columns:
    """Both levels of an OmniFold file."""
    made = {f"gen_{k}": v for k, v in omnifold_level(*particles_of(n, seed=seed)).items()}
    made |= {f"sim_{k}": v for k, v in omnifold_level(*particles_of(n, seed=seed + 100), slots=25).items()}
    return made | {"gen_Zs": np.stack([np.full(n, 250.0), np.linspace(-1, 1, n), np.zeros(n)], 1)}


def nanoaod() -> Columns:
    """Events of two jets, each candidate linked to its jet."""
    true = jets()
    counts = true.multiplicity
    of_event = counts.reshape(-1, 2).sum(axis=1)
    m, inner = len(true.flat("pt")), np.arange(N) % 2
    flat = {name: true.flat(name) for name in ("pt", "eta", "phi", "mass")}
    flat |= {"pdgId": np.resize([211, -211, 22, 130], m), "d0": np.full(m, 1e-3), "d0Err": np.full(m, 1e-3)}
    flat |= {"dz": np.full(m, 1e-3), "dzErr": np.full(m, 1e-3), "puppiWeight": np.ones(m)}
    made: Columns = {f"PFCand_{name}": ak.unflatten(values, of_event) for name, values in flat.items()}
    made["FatJetPFCand_jetIdx"] = ak.unflatten(np.repeat(inner, counts), of_event)
    made["FatJetPFCand_pfCandIdx"] = ak.local_index(made["PFCand_pt"])
    return made | {"FatJet_pt": ak.unflatten(true.pt, [2] * (N // 2))}


def minitree() -> Columns:
    """Events of two jets of H1, the particles of each event together."""
    true = jets()
    counts, inner = true.multiplicity, np.arange(N) % 2
    of_event = counts.reshape(-1, 2).sum(axis=1)
    flat = {name: true.flat(name) for name in ("pt", "eta", "phi")} | {"e": cartesian(true)[0]}
    flat |= {"charge": np.resize([1.0, -1.0, 0.0], len(flat["pt"])), "idx": np.repeat(inner, counts)}
    made: Columns = {f"jet_part_{name}": ak.unflatten(values, of_event) for name, values in flat.items()}
    made |= {"jet_pt": ak.unflatten(true.pt, [2] * (N // 2)), "jet_mass": ak.unflatten(true.mass, [2] * (N // 2))}
    return made | {"Q2": np.linspace(150, 400, N // 2), "y": np.linspace(0.1, 0.6, N // 2)}


def tokens() -> tuple[np.ndarray, Columns]:
    """Offsets and columns of neutrino events: a muon and deposits. GeV, mm, ns; no physics."""
    rng = np.random.default_rng(0)
    counts = rng.integers(2, 9, N)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    m = int(offsets[-1])
    kind = rng.integers(1, 8, m)
    kind[offsets[:-1]] = 0
    momentum, eta = np.where(kind == 0, rng.uniform(1, 8, m), rng.exponential(0.15, m)), rng.uniform(0.5, 4, m)
    energy = np.sqrt(momentum**2 + np.where(kind == 0, 0.10566, 0.0) ** 2)
    made: Columns = {"pt": momentum / np.cosh(eta), "eta": eta, "phi": rng.uniform(-3, 3, m), "energy": energy}
    made |= {"class": kind.astype(float), "dedx": rng.uniform(0, 5, m), "time": rng.uniform(0, 15_000, m)}
    return offsets, made | {name: rng.normal(0, 500, m) for name in "xyz"}


def neutrino() -> Columns:
    """Flat columns beside offsets, in GeV."""
    offsets, held = tokens()
    made: Columns = {f"token_{name}": values for name, values in held.items()}
    return made | {"offsets": offsets, "event_class": np.arange(N) % 5, "n_michel": np.arange(N) % 3}


def neutrino_lists() -> Columns:
    """Jagged columns, momenta in MeV."""
    offsets, held = tokens()
    made = {f"token_{name}": ak.unflatten(values, np.diff(offsets)) for name, values in held.items()}
    made |= {f"token_{name}_mev": 1000 * made.pop(f"token_{name}") for name in ("pt", "energy")}
    return made | {"event_class": np.arange(N) % 5}


def neutrino_slots() -> Columns:
    """Padded columns, in GeV."""
    made = {k: ak.fill_none(ak.pad_none(v, 9, clip=True), 0) for k, v in neutrino_lists().items() if k != "event_class"}
    made = {name.removesuffix("_mev"): ak.to_numpy(v) / (1000 if "_mev" in name else 1) for name, v in made.items()}
    return made | {"event_class": np.arange(N) % 5}


def minerva() -> Columns:
    """Logarithms of MeV, and true values."""
    offsets, held = tokens()
    logs = [np.log(1000 * held["pt"] + 1e-6), np.log(1000 * held["energy"] + 1e-6), held["class"]]
    logs.append(np.log(held["dedx"] + 0.1))
    far = [held[name] / 10_000 for name in ("x", "y", "z", "time")]
    data = np.stack([held["eta"], held["phi"], *logs, *far], axis=1).astype(np.float32)
    return {
        "data": data,
        "offsets": offsets,
        "global_features": np.ones((N, 16)),
        "truth_labels": np.linspace(100, 3000, 15 * N).reshape(N, 15),
    }


# ---- containers ------------------------------------------------------------------------------------------------------


def store_npz(path: Path, columns: Mapping[str, Any], *, compressed: bool = False) -> None:
    with path.open("wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, **columns)


def store_npy(path: Path, columns: Mapping[str, Any]) -> None:
    array = np.zeros(N, dtype=[(name, v.dtype, v.shape[1:]) for name, v in columns.items()])
    for name, values in columns.items():
        array[name] = values
    with path.open("wb") as file:
        np.save(file, array)


def store_hdf5(path: Path, columns: Mapping[str, Any], **options: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            if isinstance(values, ak.Array):
                rows = np.empty(len(values), dtype=object)
                rows[:] = [np.asarray(row) for row in values]
                file.create_dataset(name, data=rows, dtype=h5py.vlen_dtype(rows[0].dtype))
            else:
                file.create_dataset(name, data=values, **options)


def store_pandas(path: Path, columns: Mapping[str, Any]) -> None:
    """One compound data set, as pandas and PyTables write tables."""
    rows = np.zeros(N, dtype=[(name, values.dtype, values.shape[1:]) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    with h5py.File(path, "w") as file:
        file["table/table"] = rows


def store_parquet(path: Path, columns: Mapping[str, Any], *, groups: int = 5, **options: Any) -> None:
    """In several row groups."""
    made = {
        name: ak.to_arrow(v, extensionarray=False, list_to32=True) if isinstance(v, ak.Array) else pa.array(v)
        for name, v in columns.items()
    }
    made = {name: pa.array(v.to_pylist()) if isinstance(columns[name], ak.Array) else v for name, v in made.items()}
    pq.write_table(pa.table(made), path, row_group_size=groups, **options)


def store_root(path: Path, columns: Mapping[str, Any], *, tree: str = "tree", blocks: int = 1) -> None:
    """As a TTree; several blocks give several baskets."""
    columns = {name: ak.Array(values) for name, values in columns.items()}
    n = len(next(iter(columns.values())))
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: values.type.content for name, values in columns.items()})
        for rows in np.array_split(np.arange(n), blocks):
            file[tree].extend({name: values[rows[0] : rows[-1] + 1] for name, values in columns.items()})


def store_rntuple(path: Path, columns: Mapping[str, Any]) -> None:
    with uproot.recreate(path) as file:
        file.mkrntuple("tree", ak.zip({k: ak.Array(v) for k, v in columns.items()}, depth_limit=1))


def store_safetensors(path: Path, columns: Mapping[str, Any]) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(values) for name, values in columns.items()}, path)


SAMPLES = {
    "jetclass.parquet": Sample("JetClass", jetclass, store_parquet),
    "jetclass.root": Sample("JetClass", jetclass, partial(store_root, blocks=3)),
    "jetclass2.parquet": Sample("JetClass-II", jetclass2, store_parquet),
    "jetclass2.root": Sample("JetClass-II", jetclass2, store_root),
    "jetnet.h5": Sample("JetNet", jetnet, store_hdf5),
    "top.h5": Sample("top tagging", top_tagging, store_pandas),
    "top_fixed.h5": Sample("top tagging", top_tagging_fixed, partial(store_hdf5, chunks=True, compression="gzip")),
    "top.parquet": Sample("top tagging", top_tagging_named, store_parquet),
    "quark_gluon.npz": Sample("quark/gluon", quark_gluon, partial(store_npz, compressed=True)),
    "atlas.h5": Sample("ATLAS top tagging", atlas, partial(store_hdf5, compression="gzip")),
    "aspen.h5": Sample("Aspen", aspen, partial(store_hdf5, compression="gzip")),
    "nanoaod.root": Sample("NanoAOD", nanoaod, partial(store_root, tree="Events")),
    "h1.root": Sample("H1", minitree, partial(store_root, tree="Rapgap/minitree")),
    "neutrino.npz": Sample("neutrino", neutrino, store_npz),
    "neutrino.parquet": Sample("neutrino", neutrino_lists, store_parquet),
    "neutrino.h5": Sample("neutrino", neutrino_slots, store_hdf5),
    "minerva.npz": Sample("MINERvA", minerva, store_npz),
    "mod.h5": Sample("MOD", mod, store_hdf5),
    "lhco.h5": Sample("LHC Olympics", lhc_olympics, store_hdf5),
    "lhco_jets.h5": Sample("LHC Olympics jets", lhc_olympics_jets, store_hdf5),
    "omnifold.npz": Sample("OmniFold", omnifold_pairs, store_npz),
    "omnilearn.h5": Sample("OmniLearn", omnilearn, store_hdf5),
    "omnilearned.h5": Sample("OmniLearned", omnilearned, partial(store_hdf5, compression="gzip", shuffle=True)),
    "columns.parquet": Sample("columns", jagged, partial(store_parquet, compression="zstd")),
    "columns.root": Sample("columns", jagged, store_root),
    "columns.rntuple": Sample("columns", jagged, store_rntuple),
    "columns.h5": Sample("columns", slots, partial(store_hdf5, compression="gzip", fletcher32=True)),
    "lists.h5": Sample("columns", jagged, store_hdf5),
    "flat.h5": Sample("columns", flat, store_hdf5),
    "columns.npz": Sample("columns", slots, store_npz),
    "columns.npy": Sample("columns", slots, store_npy),
    "columns.safetensors": Sample("columns", flat, store_safetensors),
}
"""Files of the layouts of others, by a name of their own."""


def full_jets(n: int = N) -> Jets:
    """Toy jets with types, charges and impact parameters, a column of their own and provenance."""
    made = toy_jets(n, high=25)
    rng = np.random.default_rng(1)
    m = len(made.flat("pt"))
    ptype = rng.integers(-1, 5, m)
    charged = np.isin(ptype, (0, 3, 4))
    columns = {name: made.flat(name) for name in ("pt", "eta", "phi")}
    columns |= {"mass": np.where(charged, 0.13957, 0.0), "ptype": ptype, "charge": charged * rng.choice([-1, 1], m)}
    columns |= {"d0": rng.normal(0, 0.5, m), "dz": rng.normal(0, 0.5, m)}
    columns |= {"d0err": rng.uniform(0.01, 0.1, m), "dzerr": rng.uniform(0.01, 0.1, m)}
    info = {"split": np.arange(n) % 3}
    return Jets.from_flat(made.offsets, columns, label=made.label, info=info, meta={"source": "toys", "seed": 0})


def write_own(path: Path, *, layout: str, suffix: str) -> Path:
    """A file that JetLab writes, whatever its name."""
    return write_jets(full_jets(), path.with_suffix(suffix), layout=layout).rename(path)


OWN = {
    "own_jetclass.parquet": partial(write_own, layout="jetclass", suffix=".parquet"),
    "own_jetclass.root": partial(write_own, layout="jetclass", suffix=".root"),
    "own_compact.parquet": partial(write_own, layout="compact", suffix=".parquet"),
    "own_jetnet.h5": partial(write_own, layout="jetnet", suffix=".h5"),
    "own_omnilearned.h5": partial(write_own, layout="omnilearned", suffix=".h5"),
}
"""Files that JetLab writes."""

FILES: dict[str, Callable[[Path], Path]] = {name: sample.write for name, sample in SAMPLES.items()} | OWN
"""All of them: each writes itself to a path."""
