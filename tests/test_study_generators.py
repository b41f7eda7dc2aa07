"""The study of generators: equal processor time for all, measured alike, resumed where it was stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from jetlab.cli import main
from jetlab.data import write_jets
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.plots import generators_figure
from jetlab.tasks import generator_study as module
from jetlab.tasks.clock import StepClock
from jetlab.tasks.generator_study import GeneratorEffort, GeneratorStudy, generator_study, generator_table
from jetlab.tasks.generators import PROMPTS, SYSTEMS, Sitting, train_system

from .test_transfer import two_classes

TRAIN, TEST = two_classes(140), two_classes(24, seed=5)
SMALL = GeneratorEffort(
    seconds=0.4, batch_size=16, prompt_steps=2, jets=6, observables=("mass", "tau21"), bootstrap=5, seeds=1
)
ASKED = ("pet2", "jepa-flow")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[GeneratorStudy, Path]:
    """A study of two systems, with its folder."""
    folder = tmp_path_factory.mktemp("study")
    return run(folder), folder


def run(folder: Path, **changes: object) -> GeneratorStudy:
    options = {"out": folder, "systems": ASKED, "effort": SMALL, "progress": False, **changes}
    return generator_study(TRAIN, TEST, **options)


def test_every_stage_has_its_share_of_the_time(finished: tuple[GeneratorStudy, Path]) -> None:
    study, folder = finished
    costs = json.loads((folder / "costs.json").read_text(encoding="utf-8"))
    assert study.complete
    taken = study.training.set_index(["system", "stage"])
    assert list(taken.index) == [(name, stage) for name in ASKED for stage in SYSTEMS[name].stages]
    for (name, stage), row in taken.iterrows():
        share = SYSTEMS[name].shares.get(stage)
        assert row["steps"] == (2 if stage == PROMPTS else max(1, round(share * 0.4 / costs[name][stage])))
        assert row["cpu_seconds"] > 0
    assert set(study.quality["class"]) == set(TEST.class_counts())
    assert (study.quality["n_generated"] == 6).all()
    assert (study.quality["cpu_seconds_a_jet"] > 0).all()


def test_shares_are_of_the_whole_time() -> None:
    for system in SYSTEMS.values():
        assert sum(system.shares.values()) == 1
        assert set(system.stages) == {PROMPTS, *system.shares}


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_every_system_asks_after_each_step_in_the_order_of_its_stages(name: str) -> None:
    steps = {stage: k for k, stage in enumerate(SYSTEMS[name].stages, 2)}
    clock = StepClock()
    sitting = Sitting(TRAIN[:64], TRAIN[-16:], 16, progress=False, stop=module._both(clock, None))
    model = train_system(name, steps, sitting)
    assert model is not None
    assert len(clock.times) == sum(steps.values())
    found = module._each(clock, steps)
    assert set(found) == set(steps)
    assert min(found.values()) > 0


def test_steps_of_another_sitting_are_not_counted() -> None:
    clock = StepClock()
    for _ in range(4):
        clock()
    assert module._each(clock, {"jepa": 3, PROMPTS: 3}) == {}
    assert clock.each(slice(0, 1)) is None


def test_nothing_is_done_twice(finished: tuple[GeneratorStudy, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    study, folder = finished
    monkeypatch.setattr(module, "train_system", None)
    said: list[str] = []
    again = run(folder, announce=said.append)
    assert not said
    pd.testing.assert_frame_equal(again.quality, study.quality)
    pd.testing.assert_frame_equal(again.training, study.training)


def test_a_study_goes_on_where_it_was_stopped(finished: tuple[GeneratorStudy, Path], tmp_path: Path) -> None:
    study, folder = finished
    (tmp_path / "costs.json").write_bytes((folder / "costs.json").read_bytes())
    for steps in (1, 3, 4):
        asked = iter([False] * steps + [True] * 1000)
        assert not run(tmp_path, systems=("jepa-flow",), stop=lambda asked=asked: next(asked)).complete
    rest = run(tmp_path, systems=("jepa-flow",))
    assert rest.complete
    expected = study.quality[study.quality["system"] == "jepa-flow"].reset_index(drop=True)
    columns = [c for c in expected.columns if "seconds" not in c]
    pd.testing.assert_frame_equal(rest.quality[columns], expected[columns])


def test_more_seeds_can_be_asked_for_but_no_other_settings(
    finished: tuple[GeneratorStudy, Path], tmp_path: Path
) -> None:
    _, folder = finished
    asked = iter([True])
    assert len(run(folder, effort=replace(SMALL, seeds=2), stop=lambda: next(asked)).training)
    with pytest.raises(JetLabError, match="holds points of another study: effort was"):
        run(folder, effort=replace(SMALL, lr=1e-4))
    with pytest.raises(JetLabError, match="unknown systems gan; expected some of gpt, pet2"):
        run(tmp_path, systems=("gan",))
    with pytest.raises(JetLabError, match="unknown system 'gan'"):
        train_system("gan", {}, Sitting(TRAIN, TEST))
    with pytest.raises(InvalidJetsError, match="more than 256 jets to learn from, here 52"):
        generator_study(TEST, TEST, out=tmp_path)
    with pytest.raises(JetLabError, match="expected some time"):
        GeneratorEffort(seconds=0)


def toy_study() -> GeneratorStudy:
    """Two seeds of two systems, with numbers that are easy to check."""
    training, quality = [], []
    for seed in range(2):
        for k, system in enumerate(("gpt", "pet2")):
            training += [
                {"system": system, "seed": seed, "stage": s, "steps": 10, "cpu_seconds": 4.0 + k}
                for s in SYSTEMS[system].stages
            ]
            quality += [
                {
                    "system": system, "seed": seed, "class": c, "measure": m, "value": (k + 1) * v + seed, "floor": 0.5,
                    "cpu_seconds_a_jet": 0.1,
                }
                for c, v in (("QCD", 1.0), ("Tbqq", 2.0), ("Hbb", 9.0))
                for m in ("w1 mass", "w1 tau21")
            ]  # fmt: skip
    return GeneratorStudy(pd.DataFrame(training), pd.DataFrame(quality), complete=True)


def test_the_table_has_medians_and_ranges() -> None:
    gpt, pet2 = generator_table(toy_study()).to_dict("records")
    assert (gpt["name"], gpt["seeds"], gpt["steps"], gpt["cpu_seconds"]) == ("OmniJet-α: tokens, GPT", 2, 20, 8.0)
    assert pet2["cpu_seconds"] == 5.0
    assert [gpt[f"mass{end}"] for end in ("_low", "", "_high")] == [4.0, 5.0, 6.0]  # of 2 and 3 over 0.5
    assert [pet2[f"tau21{end}"] for end in ("_low", "", "_high")] == [8.0, 9.0, 10.0]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_has_a_row_a_system_and_a_panel_an_observable(theme: str) -> None:
    figure = generators_figure(generator_table(toy_study()), theme=theme)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "OmniJet-α: tokens, GPT",
        SYSTEMS["pet2"].name,
    ]
    assert [line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 1] == [5.0, 9.0]
    assert len(figure.axes) == 2
    with pytest.raises(JetLabError, match="nothing to draw"):
        generators_figure(pd.DataFrame())


def test_the_command_writes_table_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_jets(TRAIN, tmp_path / "jets.parquet", layout="compact")
    words = ["study", "generators", file, "--out", tmp_path / "out", "--systems", "flow", "--seconds", 0.2]
    words += ["--batch-size", 16, "--prompt-steps", 2, "--generated", 4, "--seeds", 1, "--held-out", 0.05]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code in (0, None)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "table.csv", "training.csv", "quality.csv", "provenance.json", "generators.png", "generators.pdf"
    }  # fmt: skip
    assert SYSTEMS["flow"].name in capsys.readouterr().out
