"""The study of a generator on the command line, and its figure."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from jetlab.cli import main
from jetlab.data import load_jets, write_jets
from jetlab.errors import JetLabError
from jetlab.plots import generation_quality
from jetlab.tasks.generation import COLUMNS, GENERATION_OBSERVABLES
from jetlab.vocabulary import class_named


def table(z: dict[tuple[str, str, str], float]) -> pd.DataFrame:
    """Rows with these z, by reference, class and measure."""
    rows = [{"against": a, "class": c, "measure": m, "z": value} for (a, c, m), value in z.items()]
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def test_each_class_and_measure_has_a_cell_with_its_sign_and_number() -> None:
    z = {("true", "Tbqq", "w1 mass"): 0.24, ("true", "QCD", "w1 mass"): 3.1, ("true", "QCD", "fpd"): 71.6}
    figure = generation_quality(table(z))
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_xticklabels()] == [class_named(c).symbol for c in ("QCD", "Tbqq")]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["W₁ Jet mass", "FPD"]
    assert sorted(t.get_text() for t in axes.texts) == sorted(["! 3.1", "✓ 0.2", "✗ 72", "? –"])


def test_every_reference_has_a_panel() -> None:
    z = {(a, "QCD", "kpd"): 1.0 for a in ("true", "reconstructed")}
    assert [axes.get_title() for axes in generation_quality(table(z)).axes] == [
        "against true jets",
        "against reconstructed jets",
    ]


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(JetLabError, match="nothing to draw"):
        generation_quality(pd.DataFrame(columns=list(COLUMNS)))


def test_the_study_measures_the_classes_that_there_are(tmp_path, capsys) -> None:
    words = ["study", "generation", "omnijet-tiny", "--n", "6", "--seeds", "0"]
    sample = load_jets("sample", classes=["QCD", "Tbqq"], split="test")
    write_jets(sample[np.r_[0:8, -8:0]], tmp_path / "true.parquet")
    with pytest.raises(SystemExit) as ended:
        main([*words, "--true", str(tmp_path / "true.parquet"), "--split", "all", "--out", str(tmp_path / "out")])
    assert not ended.value.code, capsys.readouterr().err
    found = pd.read_csv(tmp_path / "out" / "table.csv")
    assert list(found.columns) == list(COLUMNS)
    assert set(found["class"]) == {"QCD", "Tbqq"}
    assert set(found["measure"]) == {f"w1 {name}" for name in GENERATION_OBSERVABLES}
    assert (found["n_generated"] == 6).all()
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["jets_per_class"] == 6
    assert len(load_jets(tmp_path / "out" / "generated.parquet")) == 12
    assert (tmp_path / "out" / "generation.png").stat().st_size > 1000
