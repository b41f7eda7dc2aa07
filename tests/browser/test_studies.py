"""The view of studies as a visitor sees it, in a real headless Chromium."""

from __future__ import annotations

from urllib.parse import parse_qs, urlparse

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture
def quiet(page):
    """What the browser's console complains about."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    yield page
    assert said == []


def test_opening_the_view_and_choosing_a_study(quiet, context, toy_server):
    page = quiet
    page.goto(f"{toy_server.url('toy_compare')}?observables=mass&jet_classes=QCD,Hbb")
    page.locator("#jl-plot canvas").first.wait_for(state="attached")
    assert page.locator("#jl-study-figure svg").count() == 0, "nothing is drawn before the view is opened"
    assert not page.locator("#jl-studies").is_visible()
    page.locator(".jl-view").get_by_text("Studies").click()
    page.locator("#jl-study-figure svg").wait_for()
    assert not page.locator("#jl-plot").is_visible()
    page.locator(".jl-study-choice").get_by_text("Labels saved", exact=True).click()
    page.wait_for_url("**study=transfer**")
    page.locator("#jl-study-figure h3", has_text="Labels saved").wait_for()
    page.locator("#jl-study-numbers .tabulator-row").first.wait_for()
    page.locator("#jl-study-notes pre", has_text="jetlab study transfer").wait_for()
    assert parse_qs(urlparse(page.url).query)["view"] == ["studies"]
    figure = page.locator("#jl-study-figure svg").bounding_box()
    assert figure["width"] <= page.locator("#jl-study-figure").bounding_box()["width"]
    assert context.outside == []
