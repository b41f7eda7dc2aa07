from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import StepPatch

from jetlab import plots, style
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.evaluate import Comparison, Sample, compare, histogram, ratio, shape
from jetlab.jets import Jets
from jetlab.observables import OBSERVABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("mass", "multiplicity", "constituent_pt")


def toy_jets(n: int, seed: int, *, shift: float = 0.0, types: bool = True) -> Jets:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(20, n) + 1
    m = int(counts.sum())
    columns = {
        "pt": rng.exponential(25.0, m) + 0.5,
        "eta": rng.normal(0, 0.15 + shift, m),
        "phi": rng.normal(0, 0.15 + shift, m),
        "mass": np.zeros(m),
    }
    if types:
        columns["ptype"] = np.resize([0, 1, 2, 3, 4], m)
    return Jets.from_flat(np.concatenate([[0], np.cumsum(counts)]), columns, label=np.zeros(n, dtype=int))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(toy_jets(300, 1), toy_jets(200, 2, shift=0.03), observables=NAMES, bootstrap=20)


def pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=30)
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8)


def saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    return buffer.getvalue()


def words(figure: Figure) -> str:
    return plots.as_svg(figure)


# ---- no global state ------------------------------------------------------------------------------------------------


def test_figures_touch_no_global_state(comparison: Comparison) -> None:
    before = dict(mpl.rcParams)
    figure = comparison.figure("mass")
    saved(figure, "png")
    assert dict(mpl.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_figures_show_themselves_in_notebooks(comparison: Comparison) -> None:
    assert comparison.figure("mass")._repr_png_().startswith(b"\x89PNG")


def test_vector_files_keep_text_and_are_reproducible(comparison: Comparison) -> None:
    figure = comparison.figure("mass")
    assert "Jet mass [GeV]" in saved(figure, "svg").decode()
    pdf = saved(figure, "pdf")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert plots.as_svg(figure, name="a") == plots.as_svg(comparison.figure("mass"), name="a")
    assert plots.as_svg(figure, name="a") != plots.as_svg(figure, name="b")


def test_svg_elements_are_small_and_keep_their_numbers(comparison: Comparison) -> None:
    text = plots.as_svg(comparison.figure("mass"))
    assert text.startswith("<svg")
    assert len(text) < 60_000
    row = comparison.table.loc["mass"]
    assert f"z = {row['z']:.1f}" in text


# ---- overlays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_overlay_draws_every_observable(comparison: Comparison, name: str, log: bool, theme: str) -> None:
    figure = comparison.figure(name, log=log, theme=theme)
    main, below = figure.axes
    assert below.get_xlabel() == OBSERVABLES[name].title
    assert main.get_yscale() == ("log" if log else "linear")
    assert below.get_xscale() == ("log" if name == "constituent_pt" else "linear")
    assert np.unique(pixels(figure)).size > 10
    legend = [text.get_text() for text in main.get_legend().get_texts()]
    assert legend == ["true (300 jets)", "generated (200 jets)"]
    assert "truth vs truth" in words(figure)


def test_overlay_draws_the_numbers_of_evaluate(comparison: Comparison) -> None:
    hists = comparison.hists["mass"]
    main, below = comparison.figure("mass", log=False).axes
    true, generated = (shape(hists[role], scale="density") for role in ("true", "generated"))
    drawn = [p.get_data() for p in main.patches if isinstance(p, StepPatch)]
    assert any(np.array_equal(d.values, true.values) for d in drawn)
    assert any(np.array_equal(d.values, true.values + true.errors) for d in drawn)
    assert any(np.array_equal(d.values, generated.values) for d in drawn)
    found = ratio(hists["true"], hists["generated"])
    bands = [p.get_data() for p in below.patches if isinstance(p, StepPatch)]
    np.testing.assert_allclose(bands[0].values, 1 + np.nan_to_num(found.band))
    np.testing.assert_allclose(bands[0].baseline, 1 - np.nan_to_num(found.band))
    reach = below.get_ylim()[1] - 1
    segments = [s for c in below.collections for s in c.get_segments() if s[0, 0] == s[1, 0]]
    inside = np.abs(found.value - 1) <= reach
    np.testing.assert_allclose(sorted(s[:, 1].mean() for s in segments), np.sort(found.value[inside]), atol=1e-9)


def test_scales_have_their_titles(comparison: Comparison) -> None:
    titles = {"counts": "Jets", "fraction": "Fraction of jets", "density": "Density [1/GeV]"}
    for scale, title in titles.items():
        assert plots.overlay(comparison, "mass", scale=scale).axes[0].get_ylabel() == title  # type: ignore[arg-type]
    assert comparison.figure("multiplicity").axes[0].get_ylabel() == "Density"
    assert comparison.figure("constituent_pt").axes[0].get_ylabel() == "Density per unit of ln(x)"


def test_further_samples_come_next_in_order(comparison: Comparison) -> None:
    hists = comparison.hists["mass"]
    figure = plots.overlay(hists, further={"other model": hists["true"]}, title="W→qq′")
    legend = figure.axes[0].get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["true", "generated", "other model"]
    assert legend.get_lines()[1].get_color() == style.FURTHER[0]
    assert legend.get_lines()[1].get_linestyle() == "--"
    assert figure.axes[1].get_ylabel() == "ratio to true"
    assert "W→qq′" in words(figure)


def test_flow_is_drawn_beyond_the_bins() -> None:
    edges = [0.0, 1.0, 2.0, 3.0]
    inside = {
        role: histogram(Sample.of([0.5, 1.5, 2.5]), edges, name="mass", label="m") for role in ("true", "generated")
    }
    assert plots.overlay(inside).axes[1].get_xlim() == (0, 3)
    beyond = inside | {"generated": histogram(Sample.of([0.5, 9.0, 8.0, 9.0]), edges, name="mass", label="m")}
    main, below = plots.overlay(beyond).axes
    assert below.get_xlim()[0] == 0
    assert below.get_xlim()[1] > 3.1
    assert "overflow" in [t.get_text() for t in main.texts]
    assert "underflow" not in [t.get_text() for t in main.texts]
    assert max(below.get_xticks()) <= 3
    bars = [p.get_data() for p in main.patches if isinstance(p, StepPatch) and p.get_data().edges[0] > 3]
    assert bars[-1].values == pytest.approx([0.75])


@pytest.mark.parametrize("log", [False, True])
def test_empty_histograms_are_drawn_empty(log: bool) -> None:
    edges = [0.0, 1.0, 2.0]
    full, empty = (histogram(Sample.of(v), edges, name="mass", label="Jet mass [GeV]") for v in ([0.5], []))
    for true, generated in ((full, empty), (empty, full), (empty, empty)):
        assert pixels(plots.overlay({"true": true, "generated": generated}, log=log)).size


def test_ratios_outside_the_panel_become_triangles() -> None:
    edges = [0.0, 1.0, 2.0]
    true = histogram(Sample.of([0.5] * 50 + [1.5] * 450), edges, name="mass", label="m")
    generated = histogram(Sample.of([0.5] * 400 + [1.5] * 100), edges, name="mass", label="m")
    below = plots.overlay({"true": true, "generated": generated}).axes[1]
    markers = {line.get_marker(): len(line.get_xdata()) for line in below.lines if line.get_marker() in ("^", "v")}
    assert markers == {"^": 1, "v": 0}


def test_overlays_make_a_grid(comparison: Comparison) -> None:
    figure = plots.overlays(comparison, columns=2)
    assert len(figure.axes) == 2 * len(NAMES)
    assert [a.get_xlabel() for a in figure.axes[1::2]] == [OBSERVABLES[n].title for n in comparison.worst_first]
    assert len(plots.overlays(comparison.hists, ["mass"]).axes) == 2
    assert np.unique(pixels(figure)).size > 10


def test_overlay_errors_name_the_culprit(comparison: Comparison) -> None:
    with pytest.raises(JetLabError, match="no observable 'tau21' to draw; expected one of mass"):
        comparison.figure("tau21")
    with pytest.raises(JetLabError, match="no observable None to draw"):
        plots.overlay(comparison)
    with pytest.raises(JetLabError, match="'true' is the reference; found generated"):
        plots.overlay({"generated": comparison.hists["mass"]["generated"]})
    with pytest.raises(JetLabError, match="no observables to draw"):
        plots.overlays(comparison, [])
    with pytest.raises(JetLabError, match="different binning"):
        plots.overlay({"true": comparison.hists["mass"]["true"], "x": comparison.hists["multiplicity"]["true"]})
    with pytest.raises(ValueError, match="unknown theme"):
        comparison.figure("mass", theme="sepia")


# ---- jets -----------------------------------------------------------------------------------------------------------


def test_jet_display_draws_each_constituent_with_area_proportional_to_pt() -> None:
    jets = toy_jets(5, 3)
    axes = plots.jet_display(jets, 2).axes[0]
    areas = np.sort(np.concatenate([c.get_sizes() for c in axes.collections]))
    pt = np.sort(jets[2].flat("pt"))
    np.testing.assert_allclose(areas / areas[-1], pt / pt[-1], rtol=1e-5)
    assert len(axes.collections) == 5
    assert axes.get_xlabel() == "Δη"
    assert "q/g" in axes.get_title(loc="left")
    assert f"m = {jets.mass[2]:.0f} GeV" in axes.get_title(loc="left")


def test_jet_display_puts_the_nearest_generated_jet_beside_on_the_same_scale() -> None:
    true, generated = toy_jets(9, 4), toy_jets(9, 4, types=False)[::-1]
    figure = plots.jet_display(true, 1, generated=generated)
    left, right = figure.axes
    assert right.get_title(loc="left").startswith("generated")
    assert np.sort(right.collections[0].get_sizes())[-1] == pytest.approx(
        np.sort(np.concatenate([c.get_sizes() for c in left.collections]))[-1], rel=1e-5
    )
    chosen = plots.jet_display(true, 1, generated=generated, generated_index=7).axes[1]
    assert f"{generated.multiplicity[7]} constituents" in chosen.get_title(loc="left")
    assert np.unique(pixels(figure)).size > 10
    assert pixels(plots.jet_display(generated, 0, theme="dark")).size


def test_jet_display_of_no_such_jet() -> None:
    with pytest.raises(InvalidJetsError, match="no true jet 5; there are 5"):
        plots.jet_display(toy_jets(5, 5), 5)
    with pytest.raises(InvalidJetsError, match="no generated jet 9"):
        plots.jet_display(toy_jets(5, 5), 0, generated=toy_jets(5, 5), generated_index=9)


def test_jet_display_of_an_empty_jet() -> None:
    empty = Jets.from_flat([0, 0], {f: [] for f in ("pt", "eta", "phi", "mass")})
    assert pixels(plots.jet_display(empty)).size


@pytest.mark.parametrize("difference", ["percent", "sigma"])
def test_jet_image_shows_both_and_their_difference(difference: str) -> None:
    true, generated = toy_jets(50, 6), toy_jets(40, 7)
    figure = plots.jet_image(true, generated, difference=difference)  # type: ignore[arg-type]
    titles = [a.get_title(loc="left") for a in figure.axes]
    assert titles[:3] == ["true", "generated", "generated − true"]
    away = figure.axes[2].collections[0].get_array()
    limits = figure.axes[2].collections[0].get_clim()
    assert limits[0] == -limits[1]
    assert np.abs(away).max() <= max(limits[1], 100)
    assert len(plots.jet_image(true, align=False).axes) == 2
    assert pixels(figure).size


def test_jet_image_of_a_sample_with_itself_has_no_difference() -> None:
    jets = toy_jets(20, 8)
    assert not plots.jet_image(jets, jets).axes[2].collections[0].get_array().any()


# ---- training -------------------------------------------------------------------------------------------------------


def test_training_curves() -> None:
    steps = np.arange(1, 101)
    history = pd.DataFrame(
        {"step": steps, "loss": 5 / np.sqrt(steps), "lr": 1e-3 * np.cos(steps / 70), "mse": 1.0 / steps}
    )
    history["valid_loss"] = np.where(steps % 20 == 0, history["loss"] + 0.1, np.nan)
    figure = plots.training_curves(history, terms=["mse"])
    loss, mse, rate = figure.axes
    assert [a.get_ylabel() for a in figure.axes] == ["Loss", "mse", "Learning\nrate"]
    assert rate.get_xlabel() == "Step"
    training, validation = loss.lines
    assert len(training.get_xdata()) == 100
    assert list(validation.get_xdata()) == [20, 40, 60, 80, 100]
    assert mse.get_yscale() == "log"
    assert loss.get_yscale() == "linear"
    assert np.unique(pixels(figure)).size > 10


@pytest.mark.parametrize("columns", [{"step": [1]}, {"loss": [1.0]}, {"step": [], "loss": []}])
def test_training_curves_of_nothing(columns: dict) -> None:
    with pytest.raises(JetLabError, match="no training curves"):
        plots.training_curves(pd.DataFrame(columns))


def test_training_curves_of_one_row_or_nan() -> None:
    assert pixels(plots.training_curves(pd.DataFrame({"step": [1], "loss": [2.0]}))).size
    assert pixels(plots.training_curves(pd.DataFrame({"step": [1, 2], "loss": [np.nan, np.nan]}))).size


def test_the_second_jet_of_a_display_has_the_name_that_is_given() -> None:
    jets = toy_jets(4, 0)
    titles = [axes.get_title(loc="left") for axes in plots.jet_display(jets, 1, generated=jets, name="rebuilt").axes]
    assert [title.split()[0] for title in titles] == ["true", "rebuilt"]
