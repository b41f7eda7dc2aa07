"""The dashboard as a visitor sees it, in a real headless Chromium."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pandas as pd
import pytest

from jetlab.data import write_jets
from jetlab.vocabulary import CLASSES
from tests.browser.conftest import ROOT, serving
from tests.toys import toy_jets

pytestmark = pytest.mark.browser

VERDICTS = ':is([data-level="calm"], [data-level="attention"], [data-level="alarm"])'
FEW = "observables=mass,multiplicity,constituent_pt"


def visit(page, server, query: str = FEW, *, app: str = "toy_compare") -> None:
    page.goto(f"{server.url(app)}?{query}")
    page.locator("canvas").first.wait_for(state="attached")
    page.locator(".jl-tiles .tile").first.wait_for()
    wait_until_measured(page)


def wait_until_measured(page) -> None:
    """Wait until no tile is pending, or fail with what the page says has gone wrong."""
    trouble = page.locator(".notice.error")
    page.locator('.strip:not(:has(.tile[data-level="pending"]))').or_(trouble).first.wait_for(state="attached")
    assert trouble.all_inner_texts() == []


def choices(page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def generate(page, n: int) -> None:
    page.locator(".jl-n input").fill(str(n))
    page.locator(".jl-n input").press("Enter")
    page.get_by_role("button", name=f"Generate {n:,} jets").click()


def wait_until_generated(page, n: int) -> None:
    page.get_by_text(re.compile(rf"^{n} jets in ")).wait_for()
    page.locator(".chip.generated", has_text=f"{n} jets").wait_for()
    page.locator(".verdict", has_text="still generating").wait_for(state="detached")
    wait_until_measured(page)


def wait_for_verdicts(page, n: int) -> None:
    from playwright.sync_api import expect

    expect(page.locator(f".tile{VERDICTS}")).to_have_count(n, timeout=60_000)


def plot_title(page) -> str:
    return page.locator("#jl-plot h3").inner_text()


def colours(picture: bytes) -> int:
    """Number of colours in a picture."""
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(picture))
    return len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0))


# ---- first look -----------------------------------------------------------------------------------------------------


def test_page_opens_without_other_hosts(page, context, toy_server):
    visit(page, toy_server)
    assert page.title() == "JetLab compare"
    assert page.locator(".tile").count() == 3
    assert "true" in page.locator(".chip").first.inner_text()
    assert context.outside == []
    assert colours(page.screenshot()) > 50


@pytest.mark.benchmark
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU times of other processes are read from /proc")
def test_shell_and_plot_are_painted_within_four_seconds_on_a_warm_server(page, toy_server):
    visit(page, toy_server)
    start = time.monotonic(), cpu_seconds()
    page.goto(toy_server.url("toy_compare"), wait_until="commit")
    page.locator(".jl-generate").wait_for()
    page.locator("#jl-plot canvas").first.wait_for(state="attached")
    wall, cpu = time.monotonic() - start[0], cpu_seconds() - start[1]
    assert min(wall, cpu) < 4, f"first paint took {wall:.1f} s, {cpu:.1f} s of CPU"


def cpu_seconds() -> float:
    """CPU time of this process and all it has started, server and browser included: on a busy machine the time that
    things take when they are alone."""
    parents, times = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            parents[pid], times[pid] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and ours(parents[pid]))

    return sum(t for pid, t in times.items() if ours(pid))


def test_nothing_jumps_when_numbers_arrive(page, toy_server):
    page.goto(f"{toy_server.url('toy_compare')}?{FEW}")
    page.locator("#jl-plot canvas").first.wait_for(state="attached")
    before = page.locator("#jl-plot").bounding_box()
    visit(page, toy_server)
    generate(page, 40)
    wait_until_generated(page, 40)
    assert page.locator("#jl-plot").bounding_box()["width"] == before["width"]


# ---- choosing -------------------------------------------------------------------------------------------------------


def test_clicking_a_tile_selects_the_plot(page, toy_server):
    visit(page, toy_server)
    assert plot_title(page) == "Jet mass"
    page.locator('.tile[data-name="multiplicity"]').click()
    page.locator("#jl-plot h3", has_text="Constituents").wait_for()
    assert page.locator('.tile[aria-pressed="true"]').get_attribute("data-name") == "multiplicity"
    assert choices(page)["plot"] == "multiplicity"


def test_changing_the_class(page, toy_server):
    visit(page, toy_server, f"{FEW}&jet_classes=QCD")
    page.locator(".chip.true", has_text="q/g · 30 jets").wait_for()
    page.locator(".jl-classes").get_by_text("H→bb̄", exact=True).click()
    page.locator(".chip.true", has_text="q/g + H→bb̄ · 60 jets").wait_for()
    page.get_by_text("Test split").click()
    page.locator(".chip.true", has_text="20 jets").wait_for()
    assert choices(page)["jet_classes"] == "QCD,Hbb"
    assert choices(page)["split"] == "test"


def test_empty_selection_has_a_way_out(page, toy_server):
    visit(page, toy_server, f"{FEW}&jet_classes=QCD")
    page.locator(".jl-classes").get_by_text("q/g", exact=True).click()
    page.locator(".notice", has_text="No jet class is selected").wait_for()
    page.locator(".jl-way-out button").click()
    page.locator(".chip.true", has_text="all ten classes").wait_for()
    assert choices(page)["jet_classes"] == ",".join(CLASSES)


def test_logarithmic_scale_and_dark_theme(page, toy_server):
    visit(page, toy_server)
    light = page.locator("#jl-plot").screenshot()
    page.locator(".jl-log").get_by_text("Log", exact=True).click()
    page.wait_for_url("**log=1**")
    page.locator("#jl-theme").click()
    page.wait_for_url("**theme=dark**")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", paper))) < 60
    assert page.locator("#jl-plot").screenshot() != light


def test_link_opens_the_same_comparison(page, context, toy_server):
    query = f"{FEW}&jet_classes=Hbb,Tbl&plot=constituent_pt&log=1&theme=dark&n=70&seed=5&temperature=0.8&top_k=3"
    visit(page, toy_server, query)
    assert plot_title(page) == "Constituent pT"
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator(".jl-n input").input_value() == "70"
    assert page.locator(".jl-temperature input").input_value() == "0.8"
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".jl-share button").click()
    page.get_by_text("Link copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert {k: v[0] for k, v in parse_qs(urlparse(link).query).items()}.items() >= {
        "jet_classes": "Hbb,Tbl", "plot": "constituent_pt", "log": "1", "seed": "5", "top_k": "3",
    }.items()  # fmt: skip


def test_nonsense_in_the_link_is_named(page, toy_server):
    visit(page, toy_server, f"{FEW}&plot=%3Cscript%3E&n=-4")
    assert "<script>" in page.locator(".notice").first.inner_text()


# ---- generating -----------------------------------------------------------------------------------------------------


def test_generate_shows_progress_partial_results_and_the_verdict(page, toy_server):
    visit(page, toy_server, f"{FEW}&jet_classes=QCD,Tbl")
    page.locator(".notice", has_text="Nothing to compare yet").wait_for()
    generate(page, 200)
    page.get_by_text(re.compile(r"of 200 · \d+ jets/s · .* left")).wait_for()
    page.locator(".verdict", has_text="still generating").wait_for()
    wait_for_verdicts(page, 3)
    wait_until_generated(page, 200)
    assert page.locator(".notice").count() == 0
    assert re.match(r"\d of 3 observables agree", page.locator(".verdict").inner_text())
    z = [float(re.sub(r"[^\d.-]", "", text)) for text in page.locator(".tile .value").all_inner_texts()]
    assert z == sorted(z, reverse=True), "tiles stand worst first"
    assert "±" in page.locator(".jl-distances .tabulator-row").first.inner_text()
    assert colours(page.locator("#jl-plot").screenshot()) > 50


def test_stop_keeps_what_is_finished(page, toy_server):
    visit(page, toy_server)
    generate(page, 2000)
    page.get_by_text(re.compile(r"of 2,000 ·")).wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text(re.compile(r"Stopped after \d+ of 2,000 jets")).wait_for()
    page.get_by_role("button", name="Generate 2,000 jets").wait_for()
    page.locator(f".tile{VERDICTS}").first.wait_for()


def test_visitors_do_not_disturb_each_other(page, chromium, toy_server):
    visit(page, toy_server, f"{FEW}&jet_classes=QCD")
    generate(page, 60)
    other = chromium.new_context().new_page()
    visit(other, toy_server, f"{FEW}&jet_classes=Tbl")
    other.locator('.tile[data-name="multiplicity"]').click()
    other.locator("#jl-theme").click()
    wait_until_generated(page, 60)
    assert plot_title(page) == "Jet mass"
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert other.locator(".chip.generated").count() == 0
    other.context.close()


def test_jets_can_be_leafed_through(page, toy_server):
    visit(page, toy_server)
    caption = page.locator("#jl-jets p.true")
    first = caption.inner_text()
    page.locator(".jl-jet1 button").click()
    caption.filter(has_not_text=first).wait_for()
    page.locator(".jl-jet-1 button").click()
    caption.filter(has_text=first).wait_for()


# ---- uploading ------------------------------------------------------------------------------------------------------


def test_upload_is_recognised_and_compared(page, toy_server, tmp_path):
    path = tmp_path / "mine.parquet"
    write_jets(toy_jets(20_000, seed=3), path)
    assert path.stat().st_size > 4_000_000, "large enough to be sent in parts"
    visit(page, toy_server, f"{FEW}&jet_classes=QCD")
    page.locator(".jl-upload input[type=file]").set_input_files(path)
    page.locator(".chip.generated", has_text="mine.parquet · 2,000 jets").wait_for()
    page.locator(f".tile{VERDICTS}").first.wait_for()
    assert "20,000 jets" in page.locator("#jl-rail li").first.inner_text()
    page.locator(".jl-remove button").click()
    page.locator(".notice", has_text="Nothing to compare yet").wait_for()


@pytest.mark.parametrize("name", ["notes.parquet", "<b>jets<b>.root"])
def test_failed_upload_is_explained_and_harms_nothing(page, toy_server, tmp_path, name):
    path = tmp_path / name
    path.write_text("only my notes\n" * 30)
    visit(page, toy_server)
    page.locator(".jl-upload input[type=file]").set_input_files(path)
    notice = page.locator(".notice.error")
    notice.wait_for()
    assert f"{name} could not be read" in notice.inner_text()
    page.locator(".jl-way-out button").first.click()
    notice.wait_for(state="detached")
    generate(page, 20)
    wait_until_generated(page, 20)


# ---- taking away ----------------------------------------------------------------------------------------------------


def downloaded(page, css: str) -> Path:
    with page.expect_download() as download:
        page.locator(f".{css} a").click()
    return Path(download.value.path())


def test_pictures_and_tables_can_be_taken_away(page, context, toy_server):
    visit(page, toy_server)
    generate(page, 60)
    wait_until_generated(page, 60)
    assert downloaded(page, "jl-png").read_bytes().startswith(b"\x89PNG")
    assert downloaded(page, "jl-pdf").read_bytes().startswith(b"%PDF")
    table = pd.read_csv(downloaded(page, "jl-csv"), index_col="observable")
    assert set(table.index) == {"mass", "multiplicity", "constituent_pt"}
    histograms = pd.read_csv(downloaded(page, "jl-histograms-csv"))
    assert histograms.loc[histograms["observable"] == "mass", "generated"].sum() == 60
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".jl-copy-latex button").click()
    page.get_by_text("Copied ✓").wait_for()
    assert r"\begin{tabular}" in page.evaluate("navigator.clipboard.readText()")


def test_table_sorts_and_selects(page, toy_server):
    visit(page, toy_server)
    generate(page, 60)
    wait_until_generated(page, 60)
    cells = page.locator('.jl-distances .tabulator-cell[tabulator-field="ks"]')
    for backwards in (False, True):
        page.locator('.jl-distances .tabulator-col[tabulator-field="ks"]').click()
        page.locator(f'.tabulator-col[aria-sort="{"descending" if backwards else "ascending"}"]').wait_for()
        numbers = [float(text) for text in cells.all_inner_texts()]
        assert numbers == sorted(numbers, reverse=backwards)
    for title in ("Constituents", "Constituent pT", "Jet mass"):
        chosen = page.locator("#jl-plot h3", has_text=title)
        for _ in range(20):  # a click on a table that is being renewed does nothing
            page.locator(".jl-distances .tabulator-row", has_text=title).click()
            page.wait_for_timeout(2000)
            if chosen.is_visible():
                break
        assert chosen.is_visible()


# ---- without ... ----------------------------------------------------------------------------------------------------


def test_no_model(page, toy_server):
    visit(page, toy_server, app="toy_nomodel")
    page.locator(".notice", has_text="No model").wait_for()
    assert page.locator(".jl-generate button").is_disabled()
    assert page.locator(".tile .true").first.get_attribute("d")


def test_lost_connection_says_so(page):
    with serving(Path(__file__).parent / "toy_nomodel.py") as server:
        visit(page, server, app="toy_nomodel")
        assert not page.locator("#jl-lost").is_visible()
        server.end()
        page.locator("#jl-lost").wait_for()
        assert "Reload" in page.locator("#jl-lost").inner_text()


def test_help_explains_every_measure(page, toy_server):
    visit(page, toy_server)
    page.get_by_role("button", name="Help").click()
    text = page.locator("#jl-help").inner_text()
    assert all(word in text for word in ("Wasserstein-1", "Truth vs truth", "arXiv:1011.2268"))


# ---- the real thing -------------------------------------------------------------------------------------------------


def test_the_bundled_model_generates_jets_that_are_compared(page, context):
    from jetlab import zoo

    if zoo.list_models().empty:
        reason = "no model is bundled"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    page.set_default_timeout(120_000)  # a server that has measured nothing yet
    with serving(ROOT / "dashboards" / "compare.py") as server:
        visit(page, server, "jet_classes=Tbqq", app="compare")
        generate(page, 100)
        wait_until_generated(page, 100)
        wait_for_verdicts(page, 13)
        assert context.outside == []
        assert colours(page.screenshot()) > 50
