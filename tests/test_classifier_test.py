"""Classifier tests: of classes after tokenization, and of two samples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.jets import Jets
from jetlab.tasks.classifier_test import NETWORKS, Classifier, classifier_test
from jetlab.tasks.generation import COLUMNS, generation_table
from jetlab.tasks.two_sample import two_sample_test

from .toys import toy_jets

QUICK = Classifier(steps=30, batch_size=32)


def marked_jets(n: int, seed: int) -> Jets:
    """Two classes: the jets of the second hold only their three hardest constituents."""
    jets = toy_jets(n, seed=seed, low=8)
    short = jets.leading(3)
    return Jets.from_flat(
        np.concatenate([jets.offsets[: n // 2], jets.offsets[n // 2] + 3 * np.arange(n - n // 2 + 1)]),
        {f: np.concatenate([jets[: n // 2].flat(f), short[n // 2 :].flat(f)]) for f in ("pt", "eta", "phi", "mass")},
        label=np.repeat([0, 1], [n // 2, n - n // 2]),
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_classifiers_learn_what_is_easy(network: str) -> None:
    train, test = marked_jets(200, 0), marked_jets(100, 1)
    found = classifier_test(
        {"original": train}, {"original": test}, classifiers=[Classifier(network, steps=40, batch_size=32)], seeds=[0]
    )
    assert found.runs["accuracy"][0] > 0.9
    assert found.complete
    assert list(found.classes["class"]) == ["QCD", "Hbb"]
    assert found.runs.loc[0, ["train_jets", "test_jets", "steps"]].tolist() == [200, 100, 40]


def test_what_is_lost_is_compared_seed_by_seed() -> None:
    train, test = marked_jets(120, 0), marked_jets(100, 1)
    kinds = {"original": (train, test), "short": (train.leading(3), test.leading(3))}
    found = classifier_test(
        {k: v[0] for k, v in kinds.items()}, {k: v[1] for k, v in kinds.items()}, classifiers=[QUICK], seeds=(0, 1)
    )
    table = found.table().set_index("kind")
    accuracy = found.runs.set_index(["kind", "seed"])["accuracy"]
    lost = accuracy["original"] - accuracy["short"]
    assert table.loc["short", "lost"] == pytest.approx(lost.mean())
    assert table.loc["short", "lost_sd"] == pytest.approx(lost.std())
    assert table.loc["original", "lost"] == 0
    assert (table["seeds"] == 2).all()
    rejections = found.rejections()
    assert set(rejections["kind"]) == {"original", "short"}
    assert rejections[rejections["class"] == "Hbb"]["rejection_sd"].notna().all()


def test_results_are_kept_and_made_anew_for_other_jets(tmp_path: Path) -> None:
    train, test = marked_jets(60, 0), marked_jets(40, 1)
    asked: list[str] = []

    def jets() -> Jets:
        asked.append("train")
        return train

    options = {"classifiers": [QUICK], "seeds": [0], "out": tmp_path}
    first = classifier_test({"a": jets}, {"a": test}, about={"steps of it": 1}, **options)
    again = classifier_test({"a": jets}, {"a": test}, about={"steps of it": 1}, **options)
    assert first.runs.equals(again.runs)
    assert asked == ["train"]
    classifier_test({"a": jets}, {"a": test}, about={"steps of it": 2}, **options)
    assert asked == ["train", "train"]
    assert json.loads((tmp_path / "a-deepsets-0.json").read_text())["asked"]["steps of it"] == 2


def test_a_stopped_test_says_so() -> None:
    jets = marked_jets(60, 0)
    found = classifier_test({"a": jets}, {"a": jets}, classifiers=[QUICK], seeds=[0], stop=lambda: True)
    assert not found.complete
    assert not len(found.runs)


def test_what_cannot_be_classified_is_refused() -> None:
    jets = marked_jets(40, 0)
    with pytest.raises(JetLabError, match="unknown network 'gnn'"):
        Classifier("gnn")
    with pytest.raises(InvalidJetsError, match="no test jets of the kinds a"):
        classifier_test({"a": jets}, {})
    bare = Jets.from_checked(jets.offsets, {f: jets.flat(f) for f in jets.fields})
    with pytest.raises(InvalidJetsError, match="no labels"):
        QUICK.train(bare)


# ---- two samples ----------------------------------------------------------------------------------------------------


def test_samples_that_differ_are_told_apart_and_equal_ones_are_not() -> None:
    jets = toy_jets(400, low=8)
    same = two_sample_test(jets[:200], jets[200:], classifier=QUICK, seeds=[0])
    other = two_sample_test(jets[:200], jets[200:].leading(4), classifier=QUICK, seeds=[0])
    assert same["value"] == pytest.approx(0.5, abs=5 * same["floor_sd"])
    assert same["floor"] == pytest.approx(0.5, abs=6 * same["floor_sd"])
    assert other["value"] > 0.9
    assert other["z"] > 8
    assert (other["n_true"], other["n_generated"], other["n_floor"]) == (200, 200, 100)
    assert same["floor_sd"] == pytest.approx(np.sqrt(201 / (12 * 100 * 100)))
    with pytest.raises(InvalidJetsError, match="found 10 true and 200 generated"):
        two_sample_test(jets[:10], jets[200:])


# ---- the table of a generator ---------------------------------------------------------------------------------------


def test_generation_table_has_every_measure_for_every_class_against_both_references() -> None:
    jets = toy_jets(4000, seed=3, low=4, high=8)
    two = jets[(jets.label == 0) | (jets.label == 1)]
    true, generated = two[:400], two[400:].leading(3)
    seen: list[tuple[int, int]] = []
    table = generation_table(
        generated, true, true, observables=("mass", "constituent_pt"), bootstrap=10, floors=2,
        classifier=Classifier(steps=10, batch_size=32), seeds=[0], progress=lambda *done: seen.append(done),
    )  # fmt: skip
    assert tuple(table.columns) == COLUMNS
    measures = ["w1 mass", "w1 constituent_pt", "fpd", "kpd", "classifier auc"]
    for against in ("true", "reconstructed"):
        for name in ("QCD", "Hbb"):
            rows = table[(table["against"] == against) & (table["class"] == name)]
            assert sorted(rows["measure"]) == sorted(measures)
            assert (rows["n_generated"] == 200).all()
    assert table[["value", "error", "floor", "floor_sd", "z"]].notna().all(axis=None)
    assert (table[table["measure"] == "w1 mass"]["z"] > 3).all()
    assert seen[-1] == (6, 6)


def test_generation_table_needs_labels() -> None:
    jets = toy_jets(20)
    bare = Jets.from_checked(jets.offsets, {f: jets.flat(f) for f in jets.fields})
    with pytest.raises(InvalidJetsError, match="the generated jets need labels"):
        generation_table(bare, jets)


def test_after_a_training_that_was_stopped_no_other_begins(tmp_path: Path) -> None:
    jets, answers = marked_jets(60, 0), iter([False, False, True])
    found = classifier_test(
        {"a": jets}, {"a": jets}, classifiers=[QUICK], seeds=[0, 1, 2], out=tmp_path, stop=lambda: next(answers)
    )
    assert not found.complete
    assert not list(tmp_path.iterdir())
