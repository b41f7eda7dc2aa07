"""The view of tokens as a visitor sees it, in a real headless Chromium."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlparse

import pytest

pytestmark = pytest.mark.browser

QUERY = "observables=mass&jet_classes=QCD,Hbb"


def choices(page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def wait_for_numbers(page) -> None:
    page.locator("#jl-answer .verdict", has_text="Tokens blur the jet mass by").wait_for()
    page.locator("#jl-answer .verdict", has_text="still").wait_for(state="detached")
    page.locator("#jl-codes .cloud b").wait_for()


@pytest.fixture
def quiet(page):
    """What the browser's console complains about."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    yield page
    assert said == []


def test_opening_the_view_tapping_a_code_and_changing_the_quantity(quiet, context, toy_server):
    page = quiet
    page.goto(f"{toy_server.url('toy_compare')}?{QUERY}")
    page.locator("#jl-plot canvas").first.wait_for(state="attached")
    assert page.locator("#jl-spread canvas").count() == 0, "nothing is drawn before the view is opened"
    page.locator(".jl-view").get_by_text("Tokens").click()
    wait_for_numbers(page)
    assert not page.locator("#jl-plot").is_visible()
    assert page.locator("#jl-answer .facts b").count() == 5
    assert choices(page)["view"] == "tokens"

    before = page.locator("#jl-codes .cloud b").inner_text()
    plane = page.locator("#jl-codes canvas").first.bounding_box()
    for dx, dy in ((0.35, 0.3), (0.75, 0.6), (0.6, 0.2), (0.45, 0.7)):  # until another dot than the first is nearest
        page.mouse.click(plane["x"] + dx * plane["width"], plane["y"] + dy * plane["height"])
        page.wait_for_timeout(1500)
        if page.locator("#jl-codes .cloud b").inner_text() != before:
            break
    caption = page.locator("#jl-codes .cloud").inner_text()
    assert not caption.startswith(before)
    assert re.match(r"Code \d+ · pT .* GeV", caption)
    assert f"Code {choices(page)['code']}" in caption

    width = page.locator("#jl-spread").bounding_box()["width"]
    drawn = page.locator("#jl-spread").screenshot()
    page.locator(".jl-quantity").get_by_text("τ₂₁", exact=True).click()
    page.wait_for_url("**quantity=tau21**")
    page.locator("#jl-spread .numbers", has_text="median").wait_for()
    page.wait_for_timeout(500)
    assert page.locator("#jl-spread").screenshot() != drawn
    assert page.locator("#jl-spread").bounding_box()["width"] == width

    page.locator(".jl-view").get_by_text("Jets").click()
    page.locator("#jl-plot").wait_for()
    assert not page.locator("#jl-spread").is_visible()
    assert page.locator("#jl-plot canvas").first.bounding_box()["width"] > 200
    assert context.outside == []


def test_link_opens_the_same_code(quiet, toy_server):
    quiet.goto(f"{toy_server.url('toy_compare')}?{QUERY}&view=tokens&quantity=constituent_pt&code=5&theme=dark")
    wait_for_numbers(quiet)
    assert quiet.locator("#jl-codes .cloud b").inner_text() == "Code 5"
    assert quiet.locator(".jl-code input").input_value() == "5"
    quiet.locator(".jl-random-code button").click()
    quiet.wait_for_url(re.compile("code="))
    wait_for_numbers(quiet)


def test_without_a_tokenizer_the_view_says_so(page, toy_server):
    page.goto(f"{toy_server.url('toy_nomodel')}?{QUERY}&view=tokens")
    page.locator("#jl-main .notice", has_text="No tokenizer").first.wait_for()
