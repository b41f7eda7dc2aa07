"""A training that one can watch and stop in a notebook, while the kernel stays free for other cells."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from jetlab.errors import JetLabError
from jetlab.plots import training_curves
from jetlab.plots.monitor import MONITORS, training_monitor

if TYPE_CHECKING:
    from jetlab.train import Run

__all__ = ["TrainingWidget"]


class TrainingWidget(widgets.VBox):
    """Start, watch and stop a training.

    Parameters
    ----------
    train : callable
        Takes ``on_start`` as `jetlab.fit` does and hands it on, such as ``functools.partial(jetlab.fit, model,
        objective, data, steps=1000, watch=probes, progress=False)``.
    title : str
        What is trained.
    every : float
        Seconds between two looks at the history.

    Attributes
    ----------
    run : Run or None
        The training, once it has begun.
    result : object
        What `train` returned, None before its end.
    error : Exception or None
        What ended it early.
    """

    def __init__(self, train: Callable[..., Any], *, title: str = "Training", every: float = 2.0) -> None:
        self._train, self._every = train, every
        self.run: Run | None = None
        self.result: Any = None
        self.error: Exception | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.start_button = widgets.Button(description="Start", icon="play", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", icon="stop", disabled=True)
        self.bar = widgets.IntProgress(0, 0, 1, layout=widgets.Layout(width="240px"))
        self.says = widgets.HTML("Ready")
        self.picture = widgets.Image(format="png", layout=widgets.Layout(display="none", max_width="100%"))
        self.start_button.on_click(lambda _: self.start())
        self.stop_button.on_click(lambda _: self.stop())
        line = widgets.HBox([widgets.HTML(f"<b>{title}</b>"), self.start_button, self.stop_button, self.bar, self.says])
        line.layout.align_items = "center"
        super().__init__([line, self.picture])

    def start(self) -> None:
        """Begin, or begin anew after an end.

        Raises
        ------
        JetLabError
            If it is running already.
        """
        if self._thread is not None and self._thread.is_alive():
            msg = "the training is running; stop it first, or wait for its end"
            raise JetLabError(msg)
        self.run = self.result = self.error = None
        self._ended.clear()
        self.start_button.disabled, self.stop_button.disabled = True, False
        self.says.value = "Preparing"
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        self._thread.start()
        threading.Thread(target=self._look, name="training view", daemon=True).start()

    def stop(self) -> None:
        """Ask the training to end after the present step."""
        if self.run is not None:
            self.run.stop()
            self.says.value = "Stopping after this step"

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the end and return what the training gave.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        JetLabError
            If it has not begun, or not ended in time.
        Exception
            What ended the training, if it failed.
        """
        if self._thread is None:
            msg = "the training has not begun; press Start, or call start()"
            raise JetLabError(msg)
        if not self._ended.wait(timeout):
            msg = f"the training has not ended within {timeout:g} s; wait longer, or call stop()"
            raise JetLabError(msg)
        if self.error is not None:
            raise self.error
        return self.result

    def refresh(self) -> None:
        """Show the present state."""
        run = self.run
        if run is None:
            return
        self.bar.max, self.bar.value = run.total, run.steps
        history = run.history
        if len(history) and "loss" in history:
            watched = any(name in history for name in MONITORS)
            figure = training_monitor(history) if watched else training_curves(history)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=80)
            self.picture.value, self.picture.layout.display = buffer.getvalue(), ""
            loss = f", loss {history['loss'].iloc[-1]:.4g}"
            self.says.value = f"step {run.steps:,} of {run.total:,}{loss}"

    def _begun(self, run: Run) -> None:
        self.run = run

    def _work(self) -> None:
        try:
            self.result = self._train(on_start=self._begun)
        except Exception as error:  # noqa: BLE001  a thread has nobody above it; wait() raises it
            self.error = error
        finally:
            self._show_end()
            self._ended.set()

    def _show_end(self) -> None:
        self.refresh()
        self.start_button.disabled, self.stop_button.disabled = False, True
        if self.error is not None:
            self.says.value = f"Ended: {self.error}"
        elif self.run is not None:
            self.says.value = f"{'Finished' if self.run.finished else 'Stopped'}: {self.says.value}"

    def _look(self) -> None:
        while not self._ended.wait(self._every):
            self.refresh()
