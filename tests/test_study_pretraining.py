"""The study of pretraining: equal processor time, the same tasks for all, resumed where it was stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from jetlab.cli import main
from jetlab.data import write_jets
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.plots import pretraining_figure
from jetlab.tasks import pretraining
from jetlab.tasks.pretraining import PretrainingEffort, pretraining_study
from jetlab.tasks.pretraining_generation import GenerationEffort
from jetlab.tasks.pretraining_table import PretrainingStudy, pretraining_table
from jetlab.tasks.transfer import Budget

from .test_transfer import two_classes

TRAIN, TEST, PAIR = two_classes(40), two_classes(24, seed=5), ("QCD", "Tbqq")
GENERATION = GenerationEffort(steps=2, prompt_steps=2, jets=10, path=1, observables=("mass",), bootstrap=5)
SMALL = PretrainingEffort(
    seconds=0.3, batch_size=16, sizes=(20,), budget=Budget(min_steps=4, max_steps=4, batch_size=8),
    generation=GENERATION, seeds=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[PretrainingStudy, Path]:
    """A study of three ways to pretrain, with its folder."""
    folder = tmp_path_factory.mktemp("study")
    return run(folder, methods=("none", "jepa", "classes")), folder


def run(folder: Path, **changes: object) -> PretrainingStudy:
    options = {"out": folder, "classes": PAIR, "effort": SMALL, "progress": False, **changes}
    return pretraining_study(TRAIN, TEST, **options)


def test_every_way_has_its_numbers(finished: tuple[PretrainingStudy, Path]) -> None:
    study, folder = finished
    assert study.complete
    facts = study.pretraining.set_index("method")
    costs = json.loads((folder / "costs.json").read_text(encoding="utf-8"))
    assert set(costs) == {"jepa", "classes"}
    for method, cost in costs.items():
        assert facts.loc[method, "steps"] == max(1, round(0.3 / cost))
        assert facts.loc[method, "cpu_seconds"] > 0
    assert facts.loc["none", ["steps", "cpu_seconds", "labels"]].tolist() == [0, 0, 0]
    assert facts.loc["jepa", "labels"] == 0
    assert facts.loc["classes", "labels"] == len(TRAIN)
    assert study.tagging[["method", "labels", "seed"]].to_numpy().tolist() == [
        ["classes", 20, 0], ["jepa", 20, 0], ["none", 20, 0]
    ]  # fmt: skip
    assert study.tagging["accuracy"].between(0, 1).all()
    assert set(study.generation["method"]) == {"none", "jepa", "classes"}
    assert set(study.generation["class"]) == set(PAIR)
    assert (study.generation["n_generated"] == 10).all()
    assert (study.generation["floor"] > 0).all()


def test_the_encoder_that_is_handed_on_is_the_averaged_one_and_learns(
    finished: tuple[PretrainingStudy, Path],
) -> None:
    _, folder = finished
    study = pretraining._Study(
        TRAIN, TEST, folder, classes=PAIR, pretrain_classes=tuple(TRAIN.class_counts()), effort=SMALL, progress=False,
        say=print, stop=None,
    )  # fmt: skip
    assert study.plan(("jepa",))
    encoder, untrained = study.encoder("jepa", 0), study.encoder("none", 0)
    assert all(p.requires_grad for p in encoder.parameters())
    state = torch.load(folder / "jepa-0" / "training" / "last.pt", weights_only=True)["model"]
    torch.testing.assert_close(encoder.blocks[0].qkv.weight, state["parts.jepa.target.blocks.0.qkv.weight"])
    assert not torch.allclose(encoder.blocks[0].qkv.weight, untrained.blocks[0].qkv.weight)


def test_nothing_is_done_twice(finished: tuple[PretrainingStudy, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    study, folder = finished
    monkeypatch.setattr(pretraining, "fit", None)
    said: list[str] = []
    again = run(folder, methods=("none", "jepa", "classes"), announce=said.append)
    assert not said
    for name in ("pretraining", "tagging", "generation"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(study, name))


def test_a_study_goes_on_where_it_was_stopped(finished: tuple[PretrainingStudy, Path], tmp_path: Path) -> None:
    """Stopped in every stage in turn, with the costs of the whole study, it comes to the same numbers."""
    study, folder = finished
    (tmp_path / "costs.json").write_bytes((folder / "costs.json").read_bytes())
    for steps in (1, 3, 5, 7, 9):
        asked = iter([False] * steps + [True] * 1000)
        part = run(tmp_path, methods=("classes",), stop=lambda asked=asked: next(asked))
        assert len(part.generation) == 0 or part.complete
        if part.complete:
            break
    rest = run(tmp_path, methods=("classes",))
    assert rest.complete
    for name in ("tagging", "generation"):
        expected = getattr(study, name)
        expected = expected[expected["method"] == "classes"].reset_index(drop=True)
        columns = [c for c in expected.columns if "seconds" not in c]
        pd.testing.assert_frame_equal(getattr(rest, name)[columns], expected[columns])


def test_without_pretraining_the_encoder_is_untrained_and_seeds_differ(tmp_path: Path) -> None:
    study = pretraining._Study(
        TRAIN, TEST, tmp_path, classes=PAIR, pretrain_classes=PAIR, effort=SMALL, progress=False, say=print, stop=None
    )  # fmt: skip
    one, same, other = (study.encoder("none", seed) for seed in (0, 0, 1))
    weights = [encoder.blocks[0].qkv.weight for encoder in (one, same, other)]
    torch.testing.assert_close(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2])


def test_pretraining_can_keep_to_other_classes(tmp_path: Path) -> None:
    study = pretraining._Study(
        TRAIN, TEST, tmp_path, classes=PAIR, pretrain_classes=("Hbb",), effort=SMALL, progress=False, say=print,
        stop=None,
    )  # fmt: skip
    assert set(study.learn.class_counts()) == {"Hbb"}
    assert set(study.generation.train.class_counts()) == set(PAIR)
    assert len(study.particles) == len(study.learn) < len(TRAIN)


def test_other_settings_are_refused(finished: tuple[PretrainingStudy, Path], tmp_path: Path) -> None:
    _, folder = finished
    with pytest.raises(JetLabError, match="holds points of another study: effort was"):
        run(folder, effort=replace(SMALL, lr=1e-4))
    with pytest.raises(JetLabError, match="unknown methods guess; expected some of none, jepa, masked"):
        run(tmp_path, methods=("guess",))
    bare = type(TRAIN).from_flat(TRAIN.offsets, {f: TRAIN.flat(f) for f in TRAIN.fields})
    with pytest.raises(InvalidJetsError, match="labelled with the same classes"):
        pretraining_study(bare, bare, out=tmp_path)
    with pytest.raises(InvalidJetsError, match="asked for QCD, Zqq; there are QCD"):
        run(tmp_path, classes=("QCD", "Zqq"))
    with pytest.raises(InvalidJetsError, match="there are no jets of Zqq; there are QCD"):
        run(tmp_path, pretrain_classes=("Zqq",))
    with pytest.raises(
        InvalidJetsError, match=r"cannot learn from 3, 500 labelled jets of 2 classes, .* ask for 4 to "
    ):
        run(tmp_path, effort=replace(SMALL, sizes=(3, 20, 500)))
    with pytest.raises(JetLabError, match=r"found 0 s, 3 seeds and sizes \(100, 1000\)"):
        PretrainingEffort(seconds=0)
    with pytest.raises(JetLabError, match="expected at least 2 jets"):
        GenerationEffort(jets=1)


def toy_study() -> PretrainingStudy:
    """Three seeds of two ways, with numbers that are easy to check."""
    facts, tagged, generated = [], [], []
    for seed in range(3):
        for k, method in enumerate(("none", "jepa")):
            facts.append({"method": method, "seed": seed, "steps": 10 * k, "cpu_seconds": 5.0 * k, "labels": 0})
            value = 0.5 + 0.1 * k + 0.01 * seed
            tagged.append({"method": method, "labels": 100, "seed": seed, "accuracy": value, "auc": value})
            generated += [
                {"method": method, "seed": seed, "class": c, "measure": "w1 mass", "value": (4 - k) * v, "floor": 2.0}
                for c, v in (("QCD", 1.0), ("Tbqq", 2.0), ("Hbb", 9.0))
            ]
    return PretrainingStudy(pd.DataFrame(facts), pd.DataFrame(tagged), pd.DataFrame(generated), complete=True)


def test_the_table_has_medians_and_ranges() -> None:
    none, jepa = pretraining_table(toy_study()).to_dict("records")
    assert (none["name"], none["seeds"], none["steps"]) == ("no pretraining", 3, 0)
    assert (jepa["name"], jepa["seeds"], jepa["cpu_seconds"]) == ("JEPA", 3, 5.0)
    values = [jepa[f"accuracy_100{end}"] for end in ("_low", "", "_high")]
    np.testing.assert_allclose(values, [0.6, 0.61, 0.62])
    assert none["distance"] == 4.0  # of 2, 4 and 18
    assert jepa["distance"] == 3.0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_has_a_row_a_way_and_a_panel_a_task(theme: str) -> None:
    figure = pretraining_figure(pretraining_table(toy_study()), theme=theme)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "Accuracy\nfrom 100 labels", "Distance of generated jets\n/ that of true samples"
    ]  # fmt: skip
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["no pretraining", "JEPA"]
    assert [line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 1] == [0.51, 0.61]
    assert figure.texts[0].get_text() == "median and range of 3 seeds, 5 s of processor time each"
    with pytest.raises(JetLabError, match="nothing to draw"):
        pretraining_figure(pd.DataFrame())


def test_the_command_writes_table_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_jets(TRAIN, tmp_path / "jets.parquet", layout="compact")
    words = ["study", "pretraining", file, "--out", tmp_path / "out", "--methods", "none,masked", "--classes"]
    words += ["QCD,Tbqq", "--seconds", 0.2, "--batch-size", 16, "--sizes", 20, "--max-steps", 2, "--seeds", 1]
    words += ["--generation-steps", 0, "--held-out", 0.3]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert not ended.value.code
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"table.csv", "tagging.csv", "provenance.json", "pretraining.png", "pretraining.pdf"} <= names
    assert "masked particles" in capsys.readouterr().out
    assert list(pd.read_csv(tmp_path / "out" / "table.csv")["method"]) == ["none", "masked"]
