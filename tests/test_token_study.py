"""The study of tokenizers: trained, measured and classified once, then kept; its figures and its command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jetlab import plots
from jetlab.cli import main
from jetlab.data import load_jets
from jetlab.errors import JetLabError
from jetlab.jets import Jets
from jetlab.tasks.classifier_test import Classifier
from jetlab.tasks.token_study import TokenStudy, TokenSweep, token_study

SWEEP = TokenSweep(
    kinds=("binned", "mlp"), codes=(64,), steps=4, batch_size=16, classifiers=(Classifier(steps=3, batch_size=16),),
    seeds=(0, 1), classifier_jets=60, bootstrap=5, contexts=10,
)  # fmt: skip


@pytest.fixture(scope="module")
def jets() -> Jets:
    return load_jets("sample", n=240, seed=0).leading(12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def study(jets: Jets, folder: Path) -> TokenStudy:
    return token_study(jets[:120], jets[120:150], jets[150:], out=folder, sweep=SWEEP, progress=False)


def test_one_row_a_tokenizer_with_what_was_measured(study: TokenStudy, folder: Path) -> None:
    assert study.complete
    assert list(study.table.index) == ["original", "binned-64", "mlp-64"]
    assert study.table["codebook_size"].dropna().tolist() == [64, 64]
    row = study.table.loc["binned-64"]
    expected = study.measures["binned-64"].resolution.set_index(["class", "quantity"]).loc[("all", "mass")]
    assert row["mass_iqr"] == expected["iqr"]
    assert row["cloud_pt_iqr"] == pytest.approx(0, abs=1e-6)
    assert 0 < row["utilisation"] <= 1
    assert row["accuracy"] == row["accuracy_deepsets"]
    assert study.table.loc["original", "accuracy_lost"] == 0
    assert study.table["seeds_deepsets"].tolist() == [2, 2, 2]
    written = pd.read_csv(folder / "table.csv", index_col=0)
    np.testing.assert_allclose(written["mass_iqr"], study.table["mass_iqr"])
    assert len(pd.read_parquet(folder / "table.parquet")) == 3
    assert json.loads((folder / "provenance.json").read_text())["jets"]["classifiers"] == 60


def test_the_same_call_measures_nothing_twice(study: TokenStudy, jets: Jets, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json") if path.name != "provenance.json"}
    said: list[str] = []
    again = token_study(
        jets[:120], jets[120:150], jets[150:], out=folder, sweep=SWEEP, progress=False, announce=said.append
    )
    pd.testing.assert_frame_equal(again.table, study.table)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not [text for text in said if text.startswith("Tokenizer")]


def test_a_study_that_is_stopped_keeps_what_it_has(jets: Jets, tmp_path: Path) -> None:
    stopped = token_study(
        jets[:60], jets[60:80], jets[80:120], out=tmp_path, sweep=SWEEP, progress=False, stop=lambda: True
    )
    assert not stopped.complete
    assert list(stopped.table.index) == ["original"]


def test_sweeps_that_cannot_be_are_refused() -> None:
    with pytest.raises(JetLabError, match="found kinds magic and codes"):
        TokenSweep(kinds=("magic",))
    assert TokenSweep(kinds=("mlp",), codes=(64, 512)).classified(1) == ["original", "mlp-512"]


# ---- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_name_what_they_show(study: TokenStudy, theme: str) -> None:
    measured = study.measures["mlp-64"]
    text = plots.as_svg(plots.tokenizer_sweep(study.table, theme=theme))
    for word in ("Size of the codebook", "unconditional VQ-VAE", "grid", "Accuracy on rebuilt jets", "original"):
        assert word in text
    assert "perplexity" in plots.as_svg(plots.codebook_use({"mlp-64": measured.counts["count"]}, theme=theme))
    text = plots.as_svg(plots.token_clouds(measured.cloud, title="mlp-64", theme=theme))
    for word in ("Constituent pT [GeV]", "Δη", "code", "mlp-64"):
        assert word in text
    text = plots.as_svg(plots.token_resolution(measured.values, "tau21", classes=["QCD", "Hbb"], theme=theme))
    for word in ("τ₂₁", "q/g", "H→bb̄", "rebuilt"):
        assert word in text


def test_what_cannot_be_drawn_is_refused(study: TokenStudy) -> None:
    values = study.measures["mlp-64"].values
    with pytest.raises(JetLabError, match="no quantity 'girth'"):
        plots.token_resolution(values, "girth")
    with pytest.raises(JetLabError, match="no jets of Hxx"):
        plots.token_resolution(values, classes=["Hxx"])
    with pytest.raises(JetLabError, match="no codes to draw"):
        plots.codebook_use({"none": np.zeros(4, int)})
    with pytest.raises(JetLabError, match="lacks speed"):
        plots.tokenizer_sweep(study.table, measures=["speed"])


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_writes_tables_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study", "tokens", "sample", "--n", "300", "--test", "100", "--kinds", "binned", "--codes", "27"]
    options = ["--seeds", "1", "--classifier-steps", "2", "--transformer-steps", "0", "--classifier-jets", "40"]
    with pytest.raises(SystemExit) as end:
        main([*words, *options, "--out", str(tmp_path / "study")])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "1 tokenizers on 170 / 30 / 100 jets" in shown
    assert "binned-27" in shown
    for name in (
        "table.csv",
        "sweep.png",
        "codebooks.pdf",
        "rejections.csv",
        "binned-27/clouds.png",
        "binned-27/mass.png",
    ):
        assert (tmp_path / "study" / name).is_file()
