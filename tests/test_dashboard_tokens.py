"""The view of tokens without a browser: its state, its numbers, what it draws and what it says."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from jetlab import style
from jetlab.dashboard import CompareDashboard
from jetlab.dashboard.helptext import help_html
from jetlab.dashboard.session import CompareSession
from jetlab.dashboard.settings import Settings
from jetlab.dashboard.tokens import studycard, words
from jetlab.dashboard.tokens.codefigures import CloseUp, PlaneFigure, PtFigure
from jetlab.dashboard.tokens.figures import SpreadFigure, UsageFigure
from jetlab.dashboard.tokens.measures import Cloud, Tokenized, cloud_of, summarise, tokenize
from jetlab.dashboard.tokens.session import DRAWN_CODES, TokenSession
from jetlab.dashboard.tokens.shared import JETS, SharedTokens
from jetlab.dashboard.tokens.spread import Spread, round_up
from jetlab.dashboard.tokens.studycard import StudyCard, StudyFigure, markdown, study_rows
from jetlab.errors import JetLabError
from jetlab.evaluate.codebook import codebook_usage
from jetlab.evaluate.resolution import QUANTITIES
from jetlab.evaluate.tokens import rebuild, resolution
from jetlab.vocabulary import CLASSES, class_named
from jetlab.zoo import studies
from tests.browser.toy_library import ToyLibrary, toy_tokenizer
from tests.toys import toy_jets

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # Bokeh 3.9 with pandas 3.1

QUERY = {"view": "tokens", "jet_classes": "QCD,Hbb,Tbl", "observables": "mass"}


def wait_for(condition: Callable[[], object], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def settled(session: TokenSession) -> bool:
    return session.result is not None and not session.computing and not session.looking


@pytest.fixture(scope="module")
def tokenizer():
    return toy_tokenizer()


@pytest.fixture(scope="module")
def tokenized(tokenizer) -> Tokenized:
    return tokenize(lambda _: tokenizer, "toy", toy_jets(60))


@pytest.fixture(scope="module")
def summary(tokenized):
    return summarise(tokenized, list(QUANTITIES))


@pytest.fixture
def session():
    compare = CompareSession(ToyLibrary(), post=lambda function: function())
    session = TokenSession(compare, post=lambda function: function())
    compare.open(QUERY)
    yield session
    session.close()
    compare.close()


@pytest.fixture
def dashboard():
    dashboard = CompareDashboard(query=QUERY, shared=ToyLibrary())
    wait_for(lambda: settled(dashboard.token_session) and dashboard.token_session.cloud)
    for worker in (dashboard.token_session._jets, dashboard.token_session._clouds):
        worker._pool.submit(int).result()  # what was delivered last has been shown
    yield dashboard
    dashboard.close()


# ---- numbers --------------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_library(tokenizer, tokenized, summary):
    rebuilt = rebuild(tokenizer, toy_jets(60))
    table = resolution(rebuilt, bootstrap=2).set_index(["quantity", "class"])
    for key, row in summary.rows.items():
        assert row["iqr"] == pytest.approx(table.loc[key, "iqr"], rel=1e-4, abs=1e-5, nan_ok=True), key
        assert row["n"] == table.loc[key, "n"], key
    expected = codebook_usage(rebuilt.tokens).loc["all"]
    assert summary.usage == pytest.approx(expected.to_dict())


def test_joined_parts_are_the_whole(tokenizer, tokenized):
    jets = toy_jets(60)
    parts = [tokenize(lambda _: tokenizer, "toy", jets[i : i + 20]) for i in (0, 20, 40)]
    joined = Tokenized.join(parts)
    assert len(joined) == 60
    np.testing.assert_array_equal(joined.codes, tokenized.codes)
    for quantity in ("mass", "constituent_ptrel"):
        np.testing.assert_allclose(joined.residuals(quantity).values, tokenized.residuals(quantity).values, rtol=1e-4)
    assert joined.kept == pytest.approx(tokenized.kept)


def test_residuals_of_a_class_are_those_of_its_jets(tokenized):
    of = tokenized.residuals("constituent_pt", of="Hbb")
    own = np.repeat(tokenized.label == CLASSES.index("Hbb"), tokenized.counts)
    assert len(of.values) == own.sum()
    assert of.jets == (tokenized.label == CLASSES.index("Hbb")).sum()


def test_places_are_means_of_what_codes_decode_to(tokenized):
    places = tokenized.places
    assert places.count.sum() == len(tokenized.codes)
    assert (np.diff(places.count) <= 0).all(), "most frequent first"
    code = int(places.code[-1])
    rebuilt = tokenized.pairs["constituent_deta"][1][tokenized.codes == code]
    assert places.deta[-1] == pytest.approx(rebuilt.mean(), rel=1e-4)
    assert places.nearest(places.deta[2], places.dphi[2], among=5) == places.code[2]


def test_parts_are_spread_evenly_and_made_once(monkeypatch):
    library = ToyLibrary()
    asked = []
    call = library.caller.call
    monkeypatch.setattr(library.caller, "call", lambda f, *a, **o: asked.append(f) or call(f, *a, **o))
    for _ in range(2):
        *_, (parts, complete) = library.tokens.parts("toy", ["QCD", "Tbl"], split="all")
    assert complete
    joined = Tokenized.join(parts)
    assert joined.names == ["QCD", "Tbl"]
    assert len(joined) == 60
    assert asked == [tokenize, tokenize]
    *_, (test, _) = library.tokens.parts("toy", ["QCD"], split="test")
    assert len(test[0]) == 10
    assert JETS >= 1000


def test_no_more_jets_than_needed_are_tokenized():
    class Many(ToyLibrary):
        def jets_of(self, name: str, *, split: str):
            return toy_jets(2500)

    seen = []
    library = Many()
    library.caller.call = lambda *asked: seen.append(len(asked[-1]))  # type: ignore[method-assign]
    list(SharedTokens(library, load=None).parts("toy", ["QCD", "Hbb", "Tbl"], split="all"))  # type: ignore[arg-type]
    assert JETS <= sum(seen) < JETS + 3
    assert max(seen) <= 100


def test_cloud_has_one_row_a_context(tokenizer):
    cloud = cloud_of(lambda _: tokenizer, "toy", toy_jets(40), 3, contexts=50)
    assert len(cloud.table) == 50
    low, high = cloud.range("pt")
    assert low <= cloud.middle("pt") <= high
    assert cloud.spread("deta") > 0, "a conditional tokenizer decodes a code differently in other jets"


# ---- state ----------------------------------------------------------------------------------------------------------


def test_nothing_is_computed_before_the_view_is_opened():
    class Watched(ToyLibrary):
        @property
        def tokens(self):  # type: ignore[override]
            msg = "asked for tokens"
            raise AssertionError(msg)

    dashboard = CompareDashboard(query={"observables": "mass"}, shared=Watched())
    dashboard.page()
    assert dashboard.tokens is None
    assert not dashboard.token_session.computing
    dashboard.session.settings.code = 3
    dashboard.session.settings.jet_classes = ["QCD"]
    assert dashboard.token_session.result is None
    assert all(not place.objects for place in dashboard._places.values())
    dashboard.close()


def test_the_other_view_rests_while_tokens_are_shown(session):
    compare = session._compare
    assert compare.result is None
    assert not compare.computing
    wait_for(lambda: settled(session))
    compare.settings.view = "jets"
    wait_for(lambda: compare.result is not None)


def test_opening_chooses_tokenizer_and_code(session):
    wait_for(lambda: settled(session) and session.cloud is not None)
    assert session.settings.tokenizer == "toy"
    assert session.settings.code == session.result.tokenized.places.code[0]
    assert session.cloud.code == session.settings.code
    assert session.notices == []


def test_classes_and_split_are_followed(session):
    wait_for(lambda: settled(session))
    session.settings.jet_classes = ["QCD"]
    wait_for(lambda: session.result.tokenized.names == ["QCD"] and settled(session))
    assert len(session.result.tokenized) == 30
    session.settings.split = "test"
    wait_for(lambda: len(session.result.tokenized) == 10)


def test_tapping_chooses_the_nearest_code_and_random_any(session):
    wait_for(lambda: settled(session))
    places = session.result.tokenized.places
    session.look_near(places.deta[1] + 1e-6, places.dphi[1])
    assert session.settings.code == places.code[1]
    wait_for(lambda: session.cloud is not None and session.cloud.code == places.code[1])
    session.look_anywhere()
    assert session.settings.code in places.code


def test_code_outside_the_codebook_is_explained(session):
    wait_for(lambda: settled(session))
    session.settings.code = 10_000
    wait_for(lambda: session.cloud_trouble)
    assert "0 to 15" in session.cloud_trouble
    assert session.cloud is None
    session.look_anywhere()
    wait_for(lambda: session.cloud is not None)
    assert session.cloud_trouble == ""


def test_no_class_has_a_way_out(session):
    wait_for(lambda: settled(session))
    session.settings.jet_classes = []
    (notice,) = session.notices
    assert "class" in notice.title
    assert session.result is None
    session.act(notice)
    assert session.settings.jet_classes == list(CLASSES)
    wait_for(lambda: settled(session))


def test_no_jets_in_the_split_has_a_way_out(monkeypatch):
    library = ToyLibrary()
    everything = library.jets_of
    monkeypatch.setattr(
        library, "jets_of", lambda n, *, split: everything(n, split="all")[: 0 if split == "test" else 30]
    )
    compare = CompareSession(library, post=lambda function: function())
    session = TokenSession(compare, post=lambda function: function())
    compare.open(QUERY | {"split": "test"})
    wait_for(lambda: session.notices)
    assert "no" in session.notices[0].title
    session.act(session.notices[0])
    assert session.settings.split == "all"
    wait_for(lambda: settled(session))
    session.close()


def test_broken_tokenizer_is_explained():
    compare = CompareSession(ToyLibrary(models=("broken",)), post=lambda function: function())
    session = TokenSession(compare, post=lambda function: function())
    compare.open(QUERY)
    wait_for(lambda: session.notices)
    (notice,) = session.notices
    assert "the weights are damaged" in notice.text
    assert notice.action == "retry"
    assert not session.computing
    session.close()


def test_without_a_tokenizer_the_view_says_so():
    compare = CompareSession(ToyLibrary(models=()), post=lambda function: function())
    session = TokenSession(compare, post=lambda function: function())
    compare.open(QUERY)
    assert [n.title for n in session.notices] == ["No tokenizer"]
    session.close()


def test_choices_are_in_the_address():
    settings = Settings(view="tokens", tokenizer="toy", quantity="d2", code=7)
    query = settings.to_query()
    assert all(part in query for part in ("view=tokens", "tokenizer=toy", "quantity=d2", "code=7"))
    assert "code=" not in Settings().to_query()


@pytest.mark.parametrize(("name", "text"), [("view", "plots"), ("quantity", "charm"), ("code", "-1"), ("code", "x")])
def test_nonsense_in_the_address_is_named(name, text):
    settings = Settings()
    (problem,) = settings.read_query({name: text})
    assert name in problem


# ---- what is drawn --------------------------------------------------------------------------------------------------


def test_spread_holds_all_values(tokenized, summary):
    for quantity in QUANTITIES:
        spread = Spread.of(tokenized, quantity, summary)
        assert spread.share.sum() + spread.below + spread.above == pytest.approx(1)
        assert spread.below + spread.above < 0.3
        assert spread.rows[0].symbol == "q/g"
        assert all(-spread.reach < row.low <= row.middle <= row.high < spread.reach for row in spread.rows)
        assert "±" in spread.rows[0].iqr


def test_spread_without_measures_yet(tokenized):
    partial = summarise(tokenized, ["mass", "constituent_ptrel"])
    assert Spread.of(tokenized, "d2", partial).rows[0].iqr == "…"


@pytest.mark.parametrize(
    ("value", "expected"), [(0.77, 0.8), (9.1, 10), (30, 30), (0, 1), (float("nan"), 1), (99, 100)]
)
def test_round_up(value, expected):
    assert round_up(value) == pytest.approx(expected)


def test_figures_grow_with_the_classes_and_follow_the_theme(tokenized, summary):
    figure = SpreadFigure()
    figure.set_theme("dark")
    figure.show(Spread.of(tokenized, "mass", summary))
    both = figure._main.height + figure._below.height
    tall = figure._below.height
    one = Tokenized.join([tokenized])
    chosen = one.label == 0
    few = Tokenized(
        one.codes[np.repeat(chosen, one.counts)], one.counts[chosen], one.label[chosen],
        {
            q: tuple(v[chosen if QUANTITIES[q].level == "jet" else np.repeat(chosen, one.counts)] for v in pair)
            for q, pair in one.pairs.items()
        },
        16, one.constituents,
    )  # fmt: skip
    figure.show(Spread.of(few, "mass", summary))
    assert figure._below.height < tall
    assert figure._main.height + figure._below.height == both == figure.layout.height, "nothing jumps"
    assert figure._dots.glyph.line_color == style.THEMES["dark"].text


def test_usage_is_sorted_and_beside_equal_use(tokenized):
    figure = UsageFigure()
    figure.show(tokenized)
    used = figure._used.data
    assert (np.diff(used["y"]) <= 0).all()
    assert figure._equal.data["y"][0] == pytest.approx(len(tokenized.codes) / 16)


def test_large_codebooks_stay_drawable():
    rng = np.random.default_rng(0)
    size, m = 65_536, 200_000
    values = {n: (rng.normal(0, 0.2, m).astype(np.float32),) * 2 for n in ("constituent_deta", "constituent_dphi")}
    values["constituent_pt"] = (rng.exponential(10, m).astype(np.float32),) * 2
    many = Tokenized(rng.integers(0, size, m), np.full(2000, 100), np.zeros(2000, np.int64), values, size, m)
    plane, usage = PlaneFigure(on_tap=lambda *_: None), UsageFigure()
    plane.show(many.places, most=DRAWN_CODES)
    usage.show(many)
    assert len(plane._codes.data["code"]) == DRAWN_CODES
    assert len(usage._used.data["x"]) <= 400


def test_cloud_figures(tokenizer):
    cloud = cloud_of(lambda _: tokenizer, "toy", toy_jets(40), 3, contexts=50)
    plane, near, pt = (
        PlaneFigure(on_tap=lambda *_: None),
        CloseUp(width=200, height=180),
        PtFigure(width=200, height=180),
    )
    for figure in (plane, near, pt):
        figure.set_theme("dark")
    for draw in (plane.show_cloud, near.show, pt.show):
        draw(cloud)
    assert len(plane._cloud.data["deta"]) == 50
    assert near._x.start < cloud.middle("deta") < near._x.end
    assert max(pt._step.data["y"]) > 0
    for draw in (plane.show_cloud, near.show, pt.show):
        draw(None)
    assert len(plane._cloud.data["deta"]) == len(pt._step.data["x"]) == 0


def test_cloud_of_a_tokenizer_that_knows_no_context_is_a_point():
    same = Cloud(0, pd.DataFrame({"pt": np.full(30, 2.0), "deta": np.zeros(30), "dphi": np.full(30, 0.1)}))
    near, pt = CloseUp(width=200, height=180), PtFigure(width=200, height=180)
    near.show(same)
    pt.show(same)
    assert near._x.end > near._x.start
    assert max(pt._step.data["y"]) == 30


# ---- the page -------------------------------------------------------------------------------------------------------


def test_cards_show_the_result(dashboard):
    view, session = dashboard.tokens, dashboard.token_session
    assert "Tokens blur the jet mass by" in view.answer._words.object
    assert view.answer._facts.object.count("±") >= 4
    assert "median" in view.spread._numbers.object
    assert f"Code {session.settings.code}" in view.codes._caption.object
    assert "Half of the" in view.usage._foot.object
    assert "toy" in dashboard.token_status.panel.object
    assert not dashboard.rail._only_jets.visible


def test_widgets_and_choices_agree(dashboard):
    view, settings = dashboard.tokens, dashboard.session.settings
    view.spread.choice.value = "tau21"
    assert settings.quantity == "tau21"
    settings.quantity = "d2"
    assert view.spread.choice.value == "d2"
    assert view.spread.figure._below.xaxis.axis_label == QUANTITIES["d2"].title
    view.codes.number.value = 5
    assert settings.code == 5
    wait_for(lambda: "Code 5" in view.codes._caption.object)
    settings.theme = "dark"
    dashboard._switch.value = "jets"
    assert settings.view == dashboard._bridge.view == "jets"
    assert dashboard.rail._only_jets.visible
    assert "view=jets" in dashboard._bridge.query


# ---- words ----------------------------------------------------------------------------------------------------------


def test_answer_names_the_class_that_loses_most(tokenized, summary):
    text = words.answer(tokenized, summary)
    worst = max(tokenized.names, key=lambda name: summary.rows["mass", name]["iqr"])
    assert f"worst: {class_named(worst).symbol}" in text
    assert len(words.facts(tokenized, summary)) == len(words.FACTS)


def test_caption_of_an_unused_code(tokenized):
    unused = np.setdiff1d(np.arange(16), tokenized.places.code)
    code = int(unused[0]) if unused.size else 0
    table = pd.DataFrame({"pt": [1.0, 2.0], "deta": [-0.001, 0.0], "dphi": [0.1, -0.2]})
    text = words.caption(Cloud(code, table), tokenized)
    assert ("not used" in text) == bool(unused.size)
    assert "−0.00" not in text


def test_help_explains_the_measures_of_tokens():
    text = help_html()
    for word in ("Perplexity", "Codebook used", "IQR", "arXiv:2403.05618"):
        assert word in text


# ---- the study ------------------------------------------------------------------------------------------------------

TABLE = pd.DataFrame(
    {
        "tokenizer": ["original", "normformer-512", "normformer-2048", "binned-2048"],
        "kind": ["original", "normformer", "normformer", "binned"],
        "codes": [np.nan, 512, 2048, 2048],
        "mass_iqr": [np.nan, 9.1, 6.4, 14.2],
        "mass_iqr_err": [np.nan, 0.2, 0.1, 0.3],
        "utilisation": [np.nan, 1.0, 0.98, 0.7],
        "perplexity": [np.nan, 401.2, 1640.0, 700.0],
        "accuracy": [0.71, 0.62, 0.66, 0.55],
        "accuracy_err": [0.003, 0.004, 0.004, 0.004],
    }
)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    folder = tmp_path / "tokens"
    folder.mkdir()
    TABLE.to_csv(folder / "table.csv", index=False)
    monkeypatch.setattr(studies, "STUDIES", tmp_path)
    return tmp_path


def test_study_is_read_by_name(installed):
    assert studies.studies() == ("tokens",)
    pd.testing.assert_frame_equal(studies.study("tokens"), TABLE)


@pytest.mark.parametrize("name", ["transfer", "../tokens", ""])
def test_unknown_study_names_the_way_out(installed, name):
    with pytest.raises(JetLabError, match="jetlab study"):
        studies.study(name)


def test_study_card_shows_table_and_lines(installed):
    card = StudyCard(Settings())
    assert list(card.table.value["mass_iqr_text"])[1:3] == ["9.10 ± 0.20", "6.40 ± 0.10"]
    assert card.table.value["codes_text"].iloc[0] == "–"
    assert card.table.value["accuracy_text"].iloc[3] == "55.00 ± 0.40"
    assert {item.label.value for item in card.figure._legend.items} == {"normformer", "binned"}
    assert "m bias [GeV]" not in card.table.titles.values(), "columns that the study lacks are left out"


def test_study_as_markdown():
    lines = markdown(study_rows(TABLE)).splitlines()
    assert lines[0].startswith("| Tokenizer | Codes | m IQR [GeV] |")
    assert lines[3].startswith("| normformer | 512 | 9.10 ± 0.20 |")
    assert len(lines) == 2 + len(TABLE)


def test_study_that_is_not_installed_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "STUDIES", tmp_path)
    card = StudyCard(Settings())
    assert card.table is None
    assert "jetlab study tokens" in card.panel.objects[-1].object


def test_study_without_a_needed_column_is_explained(monkeypatch):
    monkeypatch.setattr(studycard, "study", lambda _: TABLE.drop(columns="mass_iqr"))
    assert "mass_iqr" in StudyCard(Settings()).panel.objects[-1].object


def test_lines_of_the_study_are_sorted_by_size():
    figure = StudyFigure(TABLE.iloc[::-1])
    figure.set_theme("dark")
    line = next(item for item in figure._legend.items if item.label.value == "normformer").renderers[0]
    assert list(line.data_source.data["codes"]) == [512, 2048]
