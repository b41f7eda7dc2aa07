"""What pretraining saves in steps and in processor time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jetlab.cli import main
from jetlab.data import write_jets
from jetlab.errors import JetLabError
from jetlab.plots import learning_curves as draw
from jetlab.tasks.finetune import Learning
from jetlab.tasks.learning_curves import learning_curves, steps_saved
from jetlab.zoo import save_pretrained

from .test_sequences import toy_alpha
from .test_transfer import PAIR, TEST, TRAIN

QUICK = Learning(20, batch_size=16, lr=1e-2, patience=None)


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    modes = ("scratch", "frozen", "fine-tuned")
    return learning_curves(toy_alpha(), TRAIN, TEST, classes=PAIR, modes=modes, learning=QUICK, seeds=2, progress=False)


def test_every_training_has_as_many_steps(curves: pd.DataFrame) -> None:
    assert set(curves.groupby(["mode", "seed"])["step"].max()) == {20}
    assert len(curves.groupby(["mode", "seed"])) == 6
    ends = curves.groupby(["mode", "seed"]).last()
    starts = curves.groupby(["mode", "seed"]).first()
    assert (ends["loss"] < starts["loss"]).mean() > 0.8
    assert (ends["cpu_seconds"] > starts["cpu_seconds"]).all()
    assert curves["accuracy"].between(0, 1).all()


def test_steps_are_saved_where_a_loss_is_reached_earlier() -> None:
    def curve(mode: str, losses: list[float], seconds: float) -> pd.DataFrame:
        step = np.arange(1, len(losses) + 1) * 10
        about = {"mode": mode, "seed": 0, "step": step, "cpu_seconds": seconds * step, "loss": losses}
        return pd.DataFrame(about | {"accuracy": 0.5})

    both = pd.concat([curve("scratch", [0.9, 0.6, 0.5, 0.55], 1.0), curve("fine-tuned", [0.7, 0.4, 0.3, 0.3], 2.0)])
    (row,) = steps_saved(both).to_dict("records")
    assert (row["target"], row["step"], row["of_step"]) == (0.5, 20, 30)
    assert row["steps"] == pytest.approx(2 / 3)
    assert row["compute"] == pytest.approx(4 / 3)
    never = pd.concat([curve("scratch", [0.9, 0.2], 1.0), curve("frozen", [0.7, 0.4], 2.0)])
    (row,) = steps_saved(never).to_dict("records")
    assert np.isnan(row["step"])
    assert np.isnan(row["compute"])


def test_finished_trainings_are_kept(tmp_path: Path) -> None:
    said: list[str] = []
    options = {"classes": PAIR, "learning": QUICK, "progress": False, "out": tmp_path, "announce": said.append}
    learning_curves(toy_alpha(), TRAIN, TEST, seeds=1, **options)
    both = learning_curves(toy_alpha(), TRAIN, TEST, seeds=2, **options)
    assert said == ["scratch, seed 0", "fine-tuned, seed 0", "scratch, seed 1", "fine-tuned, seed 1"]
    assert len(both.groupby(["mode", "seed"])) == 4
    with pytest.raises(JetLabError, match="holds a training of other settings"):
        learning_curves(toy_alpha(), TRAIN, TEST, seeds=1, **(options | {"hidden": (8,)}))


def test_unequal_trainings_are_refused() -> None:
    with pytest.raises(JetLabError, match="expected patience None, found 6"):
        learning_curves(toy_alpha(), TRAIN, TEST, classes=PAIR, learning=Learning(20))
    with pytest.raises(JetLabError, match="unknown modes guessed"):
        learning_curves(toy_alpha(), TRAIN, TEST, classes=PAIR, modes=("guessed",), learning=QUICK)


def test_the_figure_shows_steps_and_compute(curves: pd.DataFrame) -> None:
    figure = draw(curves)
    assert [axes.get_xlabel() for axes in figure.axes] == ["Step", "Processor time [s]"]
    assert len(figure.axes[0].lines) == 3
    with pytest.raises(JetLabError, match="nothing to draw"):
        draw(curves.iloc[:0])


def test_the_command_writes_curves_table_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, file = save_pretrained(toy_alpha(), tmp_path / "model"), write_jets(TRAIN, tmp_path / "jets.parquet")
    words = ["study", "steps", file, "--model", model, "--steps", 20, "--batch-size", 16, "--seeds", 1]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in (*words, "--held-out", 0.3, "--out", tmp_path / "out")])
    assert not ended.value.code
    assert {"curves.csv", "provenance.json", "saved.csv", "steps.png", "steps.pdf"} <= {
        p.name for p in (tmp_path / "out").iterdir()
    }
    assert "Needed for the best from scratch" in capsys.readouterr().out
