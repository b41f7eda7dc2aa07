"""The transfer study on the command line and as a figure, and the training of a tagger."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from jetlab import plots
from jetlab.cli import main
from jetlab.data import write_jets
from jetlab.errors import JetLabError
from jetlab.tasks import classify
from jetlab.tasks.transfer import summarise
from jetlab.zoo import from_pretrained, model_card, save_pretrained

from .test_sequences import toy_alpha
from .test_transfer import two_classes


def toy_points(*, seeds: int = 3) -> pd.DataFrame:
    """Points that rise with the labels, of two modes."""
    rows = []
    for k, mode in enumerate(("scratch", "fine-tuned")):
        for labels in (100, 1000):
            for seed in range(seeds):
                value = 0.7 + 0.05 * k + 0.0001 * labels + 0.01 * seed
                row = {"mode": mode, "labels": labels, "seed": seed, "steps": 100, "cpu_seconds": 2.0}
                for name in ("accuracy", "auc"):
                    row |= {name: value, f"{name}_err": 0.005}
                for name in ("rejection_50", "rejection_30"):
                    row |= {name: 100 * value, f"{name}_err": 10.0}
                rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_has_a_line_and_a_band_for_each_mode(theme: str) -> None:
    figure = plots.transfer_curves(summarise(toy_points()), theme=theme)
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == ["Accuracy", "AUC"]
    first = figure.axes[0]
    assert first.get_xscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["from scratch", "pretrained, fine-tuned"]
    assert "min-max of 3 seeds" in figure.legends[0].get_title().get_text()
    band = first.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.71, 0.82))


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(JetLabError, match="cannot draw mass of 4 points; expected points and some of accuracy"):
        plots.transfer_curves(summarise(toy_points()), measures=("mass",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy jets to learn from and to test on, and a pretrained toy model."""
    folder = tmp_path_factory.mktemp("transfer")
    save_pretrained(toy_alpha(), folder / "pretrained")
    write_jets(two_classes(40), folder / "train.parquet", layout="compact")
    write_jets(two_classes(20, seed=7), folder / "test.parquet", layout="compact")
    return folder


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_the_study_writes_points_table_and_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study", "transfer", folder / "train.parquet", "--model", folder / "pretrained", "--out", folder / "study"]
    words += ["--sizes", "20,all", "--seeds", "1", "--modes", "scratch,frozen", "--max-steps", "4"]
    assert run(*words, "--test", folder / "test.parquet") == 0
    out = capsys.readouterr().out
    for word in ("scratch", "frozen", "Accuracy", "AUC above that from scratch", "80"):
        assert word in out
    names = {path.name for path in (folder / "study").iterdir()}
    assert names == {"points.csv", "provenance.json", "settings.json", "summary.csv", "transfer.png", "transfer.pdf"}
    assert sorted(pd.read_csv(folder / "study" / "points.csv")["labels"]) == [20, 20, 80, 80]
    assert run(*words) == 2
    assert run(*words, "--test", folder / "test.parquet", "--sizes", "many") == 2
    assert run(*words, "--test", folder / "test.parquet", "--modes", "warm") == 2


def test_a_tagger_is_trained_measured_and_saved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "tagger", folder / "train.parquet", "--model", folder / "pretrained", "--out", folder / "tagger"]
    assert run(*words, "--steps", "6", "--test", folder / "test.parquet") == 0
    assert "Wrote" in capsys.readouterr().out
    tagger = from_pretrained(folder / "tagger" / "model")
    assert tagger.classes == ("QCD", "Tbqq")
    assert list(classify(tagger, two_classes(3), progress=False).columns) == ["QCD", "Tbqq"]
    card = model_card(folder / "tagger" / "model")
    for word in ("t→bqq′", "fine-tuned from", "40 test jets", "| accuracy | AUC |"):
        assert word in card
