"""`fit`: the one loop that trains every model on every objective, on one device."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jetlab.errors import TrainingError
from jetlab.train import engine
from jetlab.train.order import steps_per_epoch
from jetlab.train.schedules import Schedule, ScheduleName
from jetlab.train.training import Dataset, Habits, Objective, Training
from jetlab.train.watch import interrupt_stops, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from torch import nn

    from jetlab.train.engine import Precision
    from jetlab.train.optimizers import OptimizerName
    from jetlab.train.run import Run

__all__ = ["fit"]


def fit(
    model: nn.Module,
    objective: Objective,
    train: Dataset,
    valid: Dataset | None = None,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int = 256,
    optimizer: OptimizerName = "adamw",
    lr: float = 1e-3,
    lr_factors: Mapping[str, float] | None = None,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.95),
    schedule: ScheduleName = "cosine",
    warmup: int | None = None,
    clip: float | None = 1.0,
    precision: Precision = "fp32",
    device: str | torch.device = "auto",
    ema: float | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = True,
    valid_every: int | None = None,
    checkpoint_every: int | None = None,
    bucket: bool = True,
    progress: bool | Callable[[int, int], None] = True,
    title: str = "training",
    stop: Callable[[], bool] | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    watch: Callable[[nn.Module], Mapping[str, float]] | None = None,
    on_start: Callable[[Run], None] | None = None,
) -> Run:
    """Train a model in place.

    With `out`, the training may be killed at any moment: the same call continues it to bitwise the same numbers (on
    one machine and device, if the objective draws its random numbers from the generator it is given or from torch's
    global one, which is restored afterwards).

    Parameters
    ----------
    model : torch.nn.Module
        Moved to `device`; left in evaluation mode.
    objective : callable
        ``objective(model, batch, generator) -> (loss, terms)``, see `jetlab.train.Objective`.
    train, valid : Dataset
        Rows to learn from, and rows to watch the loss on.
    steps, epochs : int
        Length of the training: exactly one of the two. With the schedules "constant" and "wsd" a later call may ask
        for more, as long as the learning rates of the steps already taken stay the same.
    batch_size : int
        Rows in a batch.
    optimizer : {"adamw", "muon", "lion"}
        "muon" needs fewer steps for transformers; "lion" is what OmniLearn and OmniLearned are trained with, betas 0.95
        and 0.98. See `jetlab.train.optimizers.make_optimizers`.
    lr : float
        Highest learning rate.
    lr_factors : mapping of str to float, optional
        What the learning rate of a part of the model is multiplied by, such as ``{"backbone": 0.1}`` for fine-tuning,
        or ``dict.fromkeys(model.new_layers, 5)`` as published for OmniLearned.
    weight_decay : float
        Decay of matrices; embeddings, gains and biases do not decay.
    betas : tuple of float
        AdamW's memory for gradients and their squares; Lion's for the step and for the momentum.
    schedule : {"cosine", "constant", "wsd"}
        Course of the learning rate, see `jetlab.train.schedules.Schedule`.
    warmup : int, optional
        Steps of linear rise; by default 100, or a tenth of the steps where that is less.
    clip : float or None
        Largest gradient norm; longer gradients are shortened to it.
    precision : {"fp32", "bf16"}
        "bf16" runs the forward pass under autocast where the chip supports it, and warns where it does not.
    device : str or torch.device
        "auto" takes a CUDA GPU if there is one, else the CPU.
    ema : float, optional
        Decay of an exponential moving average of the weights, such as 0.999. Validation uses the average, and the
        model holds it in the end.
    seed : int
        Of the order of rows and of all random numbers.
    out : str or Path, optional
        Folder for checkpoints (``last.pt``) and ``history.csv``; without it nothing is written.
    resume : bool
        Continue from the checkpoint in `out`, if there is one; False starts afresh and replaces it.
    valid_every : int, optional
        Steps between validations; by default a twentieth of the training. The end is always validated.
    checkpoint_every : int, optional
        Steps between checkpoints; by default about every five minutes. The end is always saved.
    bucket : bool
        Batch rows of similar length together.
    progress : bool or callable
        True shows a bar; a callable is given (steps done, steps in total).
    title : str
        What the bar is called.
    stop : callable, optional
        Asked after every step; training stops when it returns True. Ctrl-C does the same.
    on_step : callable, optional
        Given (step, terms) after every step, counted from 1.
    watch : callable, optional
        Given the model, in evaluation mode and with averaged weights if there are any, at every validation (or as often
        without one); the numbers it returns are in the history under its names. See `jetlab.tasks.watching`.
    on_start : callable, optional
        Given the `Run` before the first step. With `fit` in a thread of its own, another thread can so look at the
        history while it grows, and call `Run.stop`.

    Returns
    -------
    Run
        History, best validation and the model; partial, but usable, if the training was stopped.

    Raises
    ------
    TrainingError
        If the arguments make no sense, or the loss or its gradient stops being finite.
    CheckpointError
        If `out` cannot be written, or holds a checkpoint that is damaged or of another training.
    """
    _check_counts(batch_size=batch_size, valid_every=valid_every, checkpoint_every=checkpoint_every)
    _check_sizes(weight_decay=weight_decay, clip=clip)
    _check_rows("train", train)
    if valid is not None:
        _check_rows("valid", valid)
    total = _total_steps(steps, epochs, per_epoch=steps_per_epoch(len(train), batch_size))
    place = engine.choose_device(device)
    training = Training(
        model.to(place),
        objective,
        train,
        valid,
        device=place,
        rates=Schedule(schedule, lr, total, warmup),
        settings={
            "batch_size": batch_size,
            "betas": list(betas),
            "bucket": bucket,
            "clip": clip,
            "device": place.type,
            "ema": ema,
            "lr_factors": None if lr_factors is None else dict(lr_factors),
            "objective": _name(objective),
            "optimizer": optimizer,
            "precision": precision,
            "seed": seed,
            "train": _fingerprint(train),
            "valid": None if valid is None else _fingerprint(valid),
            "weight_decay": weight_decay,
        },
        out=None if out is None else Path(out),
    )
    with engine.own_random_numbers(place, seed):
        training.start(resume=resume)
        if on_start is not None:
            on_start(training.run)
        with (
            interrupt_stops(training.run),
            shown(progress, title=title, done=training.run.steps, total=total) as show,
        ):
            training.go_on(Habits(show, stop, on_step, watch, valid_every or max(1, total // 20), checkpoint_every))
    return training.run


def _check_sizes(*, weight_decay: float, clip: float | None) -> None:
    if not weight_decay >= 0:
        msg = f"weight_decay is {weight_decay}, expected 0 or more"
        raise TrainingError(msg)
    if clip is not None and not clip > 0:
        msg = f"clip is {clip}, expected a positive gradient norm, or None for no clipping"
        raise TrainingError(msg)


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            msg = f"{name} is {value}, expected at least 1"
            raise TrainingError(msg)


def _check_rows(name: str, data: Dataset) -> None:
    if len(data) == 0:
        msg = f"the {name} data has no rows: was every jet cut away?"
        raise TrainingError(msg)
    if np.shape(data.lengths) != (len(data),):
        msg = f"the {name} data has {len(data)} rows, but lengths of shape {np.shape(data.lengths)}"
        raise TrainingError(msg)


def _total_steps(steps: int | None, epochs: int | None, *, per_epoch: int) -> int:
    if (steps is None) == (epochs is None):
        msg = f"give either steps or epochs; found steps={steps}, epochs={epochs}"
        raise TrainingError(msg)
    _check_counts(steps=steps, epochs=epochs)
    return steps if steps is not None else (epochs or 0) * per_epoch


def _name(objective: Objective) -> str:
    if hasattr(objective, "__dataclass_fields__"):  # its options change the numbers
        return repr(objective)
    return getattr(objective, "__qualname__", type(objective).__qualname__)


def _fingerprint(data: Dataset) -> str:
    lengths = np.ascontiguousarray(data.lengths, dtype=np.int64)
    drawn = f", {data.drawn}" if hasattr(data, "drawn") else ""
    return f"{len(data)} rows of {lengths.sum()} items (checksum {zlib.crc32(lengths.tobytes()):08x}){drawn}"
