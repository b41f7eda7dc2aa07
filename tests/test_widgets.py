"""Widgets, driven without a browser."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import pytest

import jetlab
from jetlab.errors import JetLabError, TrainingError
from jetlab.plots.monitor import training_monitor
from jetlab.widgets import TrainingWidget

from .test_train import TRAIN, VALID, squared, toy

if TYPE_CHECKING:
    from torch import nn


def training(*, steps: int = 60, slowly: float = 0.0, watched: bool = False):
    """A training of a toy as the widget wants it."""

    def wait(_step: int, _terms: dict[str, float]) -> None:
        time.sleep(slowly)

    def look(model: nn.Module) -> dict[str, float]:
        return {"linear_probe": 0.5, "effective_rank": float(model[0].weight.detach().norm())}

    return functools.partial(
        jetlab.fit, toy(), squared, TRAIN, VALID, steps=steps, batch_size=16, valid_every=20, progress=False,
        on_step=wait if slowly else None, watch=look if watched else None,
    )  # fmt: skip


@pytest.mark.parametrize("watched", [False, True])
def test_it_trains_and_shows_how_it_goes(watched: bool) -> None:
    widget = TrainingWidget(training(watched=watched), title="Toy", every=0.05)
    assert widget.says.value == "Ready"
    assert widget.stop_button.disabled
    widget.start_button.click()
    run = widget.wait(60)
    assert run.finished
    assert (widget.bar.value, widget.bar.max) == (60, 60)
    assert widget.says.value.startswith("Finished: step 60 of 60, loss ")
    assert widget.picture.value[:4] == b"\x89PNG"
    assert widget.picture.layout.display == ""
    assert not widget.start_button.disabled


def test_it_stops_when_asked_and_starts_anew() -> None:
    widget = TrainingWidget(training(steps=5000, slowly=0.01), every=0.05)
    with pytest.raises(JetLabError, match="has not begun"):
        widget.wait()
    widget.start()
    with pytest.raises(JetLabError, match="is running"):
        widget.start()
    with pytest.raises(JetLabError, match=r"not ended within 0\.1 s"):
        widget.wait(0.1)
    while widget.run is None or widget.run.steps < 3:
        time.sleep(0.01)
    widget.stop_button.click()
    run = widget.wait(60)
    assert 3 <= run.steps < 5000
    assert widget.says.value.startswith("Stopped: ")
    widget._train = training(steps=5)
    widget.start()
    assert widget.wait(60).finished


def test_what_ends_a_training_is_said_and_raised() -> None:
    def broken(model, batch, generator):
        loss, terms = squared(model, batch, generator)
        return loss * float("nan"), terms

    widget = TrainingWidget(functools.partial(jetlab.fit, toy(), broken, TRAIN, steps=5, progress=False))
    widget.start()
    with pytest.raises(TrainingError, match="the loss is nan"):
        widget.wait(60)
    assert "the loss is nan" in widget.says.value


def test_the_monitor_has_a_panel_for_each_measure() -> None:
    history = training(watched=True)().history
    figure = training_monitor(history)
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == ["Loss", "Linear probe, accuracy", "Effective rank"]
    line = figure.axes[1].get_lines()[0]
    assert line.get_xdata().tolist() == [20, 40, 60]
    with pytest.raises(JetLabError, match="no monitor"):
        training_monitor(history, terms=["charm"])
