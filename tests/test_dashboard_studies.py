"""The view of studies without a browser."""

from __future__ import annotations

import pandas as pd
import pytest

from jetlab.dashboard import CompareDashboard
from jetlab.dashboard import studies as view
from jetlab.dashboard.settings import Settings
from jetlab.dashboard.studies import FIGURES, StudiesView, draw, notes, shown_table, titles
from jetlab.zoo.studies import provenance, studies, study

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # Bokeh 3.9 with pandas 3.1


@pytest.mark.parametrize("name", studies())
def test_every_study_that_comes_along_is_drawn_and_told(name: str) -> None:
    settings = Settings(view="studies", study=name)
    shown = StudiesView(settings)
    assert shown.choice.value == name
    assert ("<svg" in shown.figure.object) == (name.partition("-")[0] in FIGURES)
    assert "notice" not in shown.figure.object
    assert len(shown.table.value) == len(study(name))
    assert "jetlab study" in shown._notes.object
    assert shown._csv().decode().count("\n") == len(study(name)) + 1
    assert shown._copy.text.count("\n") == len(study(name)) + 2


def test_choice_theme_and_address_agree() -> None:
    settings = Settings()
    shown = StudiesView(settings)
    assert shown.name == studies()[0]
    shown.choice.value = "transfer"
    assert settings.study == "transfer"
    assert "study=transfer" in settings.to_query()
    light = shown.figure.object
    settings.theme = "dark"
    assert shown.figure.object != light
    settings.study = "charm"
    assert shown.name == studies()[0]


def test_the_page_fills_the_view_when_it_is_opened() -> None:
    dashboard = CompareDashboard(query={"view": "jets"})
    assert dashboard.studies is None
    dashboard._switch.value = "studies"
    assert dashboard.session.settings.view == "studies"
    assert dashboard.studies is not None
    assert all(dashboard._places[name].objects for name in view.PLACES)
    dashboard.close()


def test_without_studies_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "studies", tuple)
    shown = StudiesView(Settings())
    assert "no studies" in shown.figure.object
    assert shown._csv() == b""


def test_a_table_that_cannot_be_drawn_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "study", lambda _: pd.DataFrame())
    assert "notice error" in StudiesView(Settings()).figure.object


def test_words_and_numbers() -> None:
    assert titles()["transfer"] == "Labels saved"
    said = notes({"command": "jetlab study x --out <y>", "machine": "2 cores", "data": {"seed": 1, "settings": {}}})
    assert "&lt;y&gt;" in said
    assert "<dd>seed 1</dd>" in said
    assert shown_table(pd.DataFrame({"a": [0.123456], "b": ["x"]}))["a"].tolist() == [0.1235]
    assert "<svg" not in draw("charm", pd.DataFrame(), theme="light")
    assert "commands" in provenance("transfer")
