"""Minitrees of H1: files laid out as published, made here from known jets."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from jetlab.data import load_jets, read_jets
from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets
from tests.toys import toy_jets

EVENTS = np.array([0, 2, 2, 3, 6])
"""Offsets of the jets of four events; the second has none."""


def minitree(jets: Jets, events: np.ndarray = EVENTS, *, wrong: int = 0) -> dict[str, ak.Array]:
    """Columns of one tree: the particles of an event in random order, with the number of their jet."""
    rng = np.random.default_rng(0)
    counts = [int(jets.multiplicity[a:b].sum()) for a, b in pairwise(events)]
    jet = np.repeat(np.arange(len(jets)), jets.multiplicity)
    first = np.repeat(events[:-1], np.diff(events))
    order = np.concatenate([s + rng.permutation(c) for s, c in zip(np.cumsum([0, *counts]), counts, strict=False)])
    flat = {name: jets.flat(name) for name in ("pt", "eta", "phi")} | {"e": jets.flat("energy")}
    flat |= {"charge": np.resize([1.0, -1.0, 0.0], len(jet)), "idx": jet - first[jet] + wrong}
    columns = {f"jet_part_{name}": ak.unflatten(values[order.astype(int)], counts) for name, values in flat.items()}
    whole = {"pt": jets.pt, "eta": jets.eta, "phi": jets.phi, "e": jets.energy, "mass": jets.mass}
    columns |= {f"jet_{name}": ak.unflatten(values, np.diff(events)) for name, values in whole.items()}
    return columns | {name: np.linspace(1, 2, 4) * 100 for name in ("Q2", "y", "ptmiss", "Empz")}


def written(path: Path, **trees: dict[str, ak.Array]) -> Path:
    with uproot.recreate(path) as file:
        for generator, columns in trees.items():
            file.mktree(f"{generator}/minitree", {name: ak.Array(c).type.content for name, c in columns.items()})
            file[f"{generator}/minitree"].extend(columns)
    return path


def test_the_directory_names_the_generator(tmp_path: Path) -> None:
    true = toy_jets(6)
    found = read_jets(written(tmp_path / "a.root", Rapgap=minitree(true)))
    assert found.meta["layout"] == "H1"
    assert found.classes == ("Django", "Rapgap")
    assert found.label.tolist() == [1] * 6
    np.testing.assert_array_equal(found.offsets, true.offsets)
    np.testing.assert_allclose(found.flat("pt"), true.flat("pt"))
    np.testing.assert_allclose(found.p4, true.p4, rtol=1e-6, atol=1e-3)
    assert found.info["event"].tolist() == [0, 0, 2, 3, 3, 3]
    assert found.info["jet_rank"].tolist() == [0, 1, 0, 0, 1, 2]
    np.testing.assert_allclose(found.info["Q2"], np.array([100, 100, 500 / 3, 200, 200, 200]))
    assert set(found.flat("charge")) == {-1, 0, 1}


def test_a_file_may_hold_both_generators(tmp_path: Path) -> None:
    true = toy_jets(12)
    path = written(tmp_path / "b.root", Django=minitree(true[:6]), Rapgap=minitree(true[6:]))
    found = load_jets(path)
    assert found.label.tolist() == [0] * 6 + [1] * 6
    np.testing.assert_allclose(found.pt, true.pt, rtol=1e-6)
    assert len(load_jets(path, classes="Rapgap", where={"Q2": (150, None), "jet_rank": (0, 1)})) == 2


def test_trees_elsewhere_have_no_labels(tmp_path: Path) -> None:
    found = read_jets(written(tmp_path / "c.root", Data=minitree(toy_jets(6))))
    assert found.label is None


def test_particles_of_no_jet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidJetsError, match="event 0 has a link to number 2 of 2"):
        read_jets(written(tmp_path / "d.root", Django=minitree(toy_jets(6), wrong=1)))
