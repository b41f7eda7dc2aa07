"""What network calls buy: paths from the same noise, measured alike, kept and drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jetlab.cli import main
from jetlab.data import write_jets
from jetlab.errors import JetLabError
from jetlab.jets import concatenate
from jetlab.plots import quality_by_calls
from jetlab.tasks.sampling import paths_for, sampling_study
from jetlab.zoo import save_pretrained

from .toys import toy_jetflow, toy_jets

OBSERVABLES = ("mass", "constituent_pt")


def held():
    jets = toy_jets(200, seed=3)
    return concatenate([jets[c][:10] for c in ("QCD", "Tbqq")])


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return sampling_study(
        toy_jetflow(), held(), paths_for("flow", [2, 4]), observables=OBSERVABLES, bootstrap=3, floors=0
    )


def test_paths_have_the_calls_asked_for() -> None:
    paths = paths_for("flow", [1, 4, 7])
    assert {(p.method, p.steps, p.calls) for p in paths} == {
        ("midpoint", 2, 4), ("heun", 2, 4), ("euler", 1, 1), ("euler", 4, 4), ("euler", 7, 7),
    }  # fmt: skip
    assert {p.method for p in paths_for("diffusion", [8])} == {"heun", "ddim", "ancestral"}
    assert {p.method for p in paths_for("flow", [8], methods=["euler"])} == {"euler"}
    with pytest.raises(JetLabError, match="no method ddim"):
        paths_for("flow", [8], methods=["ddim"])


def test_every_path_is_measured_for_every_class(table: pd.DataFrame) -> None:
    assert len(table) == 6 * len(OBSERVABLES) * 2
    assert set(table["calls"]) == {2, 4}
    assert (table["cpu_seconds"] > 0).all()
    assert np.isfinite(table["value"]).all()
    means = table.groupby("method")["cpu_seconds"].mean()
    assert means.notna().all()


def test_the_same_noise_on_all_paths(table: pd.DataFrame) -> None:
    """Multiplicities are drawn before the path, so that nothing but the constituents differs."""
    jets = held()
    found = sampling_study(
        toy_jetflow(), jets, paths_for("flow", [2]), observables=("multiplicity",), bootstrap=3, floors=0
    )
    assert found.groupby("class")["value"].nunique().max() == 1


def test_finished_paths_are_kept(tmp_path: Path) -> None:
    said: list[str] = []
    options = {"observables": OBSERVABLES, "bootstrap": 3, "floors": 0, "out": tmp_path, "announce": said.append}
    first = sampling_study(toy_jetflow(), held(), paths_for("flow", [2])[:1], **options)
    both = sampling_study(toy_jetflow(), held(), paths_for("flow", [2])[:2], **options)
    assert said == ["midpoint, 1 steps: 2 network calls", "heun, 1 steps: 2 network calls"]
    np.testing.assert_allclose(both["value"][: len(first)], first["value"])
    with pytest.raises(JetLabError, match="results of other jets or settings"):
        sampling_study(toy_jetflow(), held(), paths_for("flow", [2])[:1], **(options | {"bootstrap": 4}))
    with pytest.raises(JetLabError, match="no paths to compare"):
        sampling_study(toy_jetflow(), held(), [])


def test_a_stopped_study_returns_what_is_there() -> None:
    asked = iter([False] * 3 + [True] * 100)
    found = sampling_study(
        toy_jetflow(), held(), paths_for("flow", [2]), observables=OBSERVABLES, bootstrap=3, floors=0,
        stop=lambda: next(asked),
    )  # fmt: skip
    assert set(found["method"]) == {"midpoint"}


def test_the_figure_has_a_panel_a_measure(table: pd.DataFrame) -> None:
    figure = quality_by_calls(table)
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert len(titles) == 2
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["midpoint", "heun", "euler"]
    with pytest.raises(JetLabError, match="no measure w1 charm; it has w1 mass"):
        quality_by_calls(table, measures=["w1 charm"])


def test_the_command_writes_table_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_pretrained(toy_jetflow(), tmp_path / "model")
    file = write_jets(toy_jets(40), tmp_path / "true.parquet")
    words = ["study", "calls", model, "--true", file, "--n", 3, "--calls", "1,2", "--classes", "QCD,Hbb"]
    words += ["--methods", "midpoint,euler"]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in (*words, "--out", tmp_path / "out")])
    assert not ended.value.code
    found = pd.read_csv(tmp_path / "out" / "table.csv")
    assert set(found["class"]) == {"QCD", "Hbb"}
    assert set(found["method"]) == {"midpoint", "euler"}
    assert (tmp_path / "out" / "calls.png").stat().st_size > 10_000
    assert "Wasserstein distance over its floor" in capsys.readouterr().out
