"""Train an encoder of events without labels: it learns to predict how hidden jets of an event are encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from jetlab.models.event_encoder import EventEncoder, EventEncoderConfig
from jetlab.models.event_jepa import SOME_JETS, EventJepa
from jetlab.objectives import JEPA
from jetlab.tasks.events import event_encoder_of
from jetlab.train import Run, fit

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from jetlab.jets import Events
    from jetlab.masking import Masking
    from jetlab.train.engine import Precision
    from jetlab.train.optimizers import OptimizerName

__all__ = ["EventJepaTraining", "train_event_jepa"]


@dataclass(frozen=True)
class EventJepaTraining:
    """Outcome of `train_event_jepa`: the model and its run."""

    model: EventJepa
    run: Run


def train_event_jepa(
    train: Events,
    valid: Events,
    *,
    start: nn.Module | None = None,
    preset: str = "tiny",
    n_jets: int = 4,
    config: EventEncoderConfig | None = None,
    masking: Masking = SOME_JETS,
    objective: JEPA | None = None,
    steps: int = 10_000,
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    optimizer: OptimizerName = "muon",
    precision: Precision = "fp32",
    device: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    on_start: Callable[[Run], None] | None = None,
    watch: Callable[[nn.Module], Mapping[str, float]] | None = None,
) -> EventJepaTraining:
    """Train an `EventJepa` on events; labels, if there are any, are not looked at.

    Parameters
    ----------
    train, valid : Events
    start : torch.nn.Module, optional
        A model that was pretrained on jets, or on events, as for `jetlab.tasks.events.event_encoder_of`; its encoder is
        where both encoders begin. By default they begin with random weights.
    preset, n_jets
        As for `jetlab.models.event_encoder.EventEncoderConfig.preset`.
    config : EventEncoderConfig, optional
        In place of the preset; without effect if there is a start.
    masking : Masking
        Which jets of an event are hidden.
    objective : JEPA, optional
        By default, smooth L1 distances, with a momentum that reaches 1 at the last step.
    steps, batch_size : int
        Length of the training in steps of so many events.
    lr, weight_decay, optimizer, precision, device
        As for `jetlab.tasks.jepa.train_jepa`.
    seed : int
        Of weights, order and masks.
    out : str or Path, optional
        Folder for checkpoints; the same call continues a training that was interrupted.
    progress, stop, on_step, on_start, watch
        As for `jetlab.fit`.

    Returns
    -------
    EventJepaTraining
        Its run is not finished if the training was stopped.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if start is None:
            encoder = EventEncoder(config or EventEncoderConfig.preset(preset, n_jets=n_jets))
        else:
            encoder = event_encoder_of(start, preset=preset, n_jets=n_jets, seed=seed)
        model = EventJepa.on(encoder, masking=masking)
    run = fit(
        model,
        objective or JEPA(steps=steps),
        model.prepare(train, seed=seed),
        model.prepare(valid, seed=seed),
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        optimizer=optimizer,
        precision=precision,
        device=device,
        seed=seed,
        out=out,
        progress=progress,
        title="event jepa",
        stop=stop,
        on_step=on_step,
        on_start=on_start,
        watch=watch,
    )
    return EventJepaTraining(model, run)
