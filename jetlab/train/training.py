"""The state of a training between two steps, the step itself, and what a checkpoint keeps of it.

Everything a step depends on is either a pure function of its number (learning rate, order of the rows) or part of the
checkpoint (weights, optimizer, averages, random generators), so that a training killed at any moment continues to the
same numbers.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jetlab.errors import CheckpointError, TrainingError
from jetlab.train import engine
from jetlab.train.checkpoints import Checkpoints
from jetlab.train.engine import AveragedWeights
from jetlab.train.optimizers import make_optimizers
from jetlab.train.order import epoch_batches, steps_per_epoch, validation_batches
from jetlab.train.run import Means, Run
from jetlab.train.schedules import Schedule

if TYPE_CHECKING:
    from pathlib import Path

    from jetlab.train.watch import Show

__all__ = ["Batch", "Dataset", "Habits", "Objective", "Training"]

Index = npt.NDArray[np.int64]

CHECKPOINT_SECONDS = 300.0
"""Time between checkpoints where no number of steps is given."""


class Batch(Protocol):
    """What an objective is given: rows as tensors that can be moved to a device."""

    def to(self, device: torch.device) -> Self:
        """Return the batch on another device."""
        ...


class Dataset(Protocol):
    """Rows that can be gathered into batches."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> npt.NDArray[Any]:
        """Items (constituents, tokens) of each row, shape ``(n,)``."""
        ...

    def batch(self, index: Index) -> Batch:
        """Gather the rows numbered `index`."""
        ...


Terms = Mapping[str, Tensor]

Objective = Callable[[Any, Any, torch.Generator], tuple[Tensor, Terms]]
"""Maps (model, batch, generator) to a scalar loss and named detached scalars; the term ``weight``, if there is one, is
the number of items that loss and terms are means over."""


@dataclass(frozen=True)
class Habits:
    """The options of `jetlab.fit` that do not change the numbers: who watches, and when to validate and save."""

    show: Show
    stop: Callable[[], bool] | None
    on_step: Callable[[int, dict[str, float]], None] | None
    watch: Callable[[nn.Module], Mapping[str, float]] | None
    valid_every: int
    checkpoint_every: int | None

    def checkpoint_due(self, step: int, seconds: float) -> bool:
        """Whether to save after `step`, `seconds` after the last time."""
        return seconds > CHECKPOINT_SECONDS if self.checkpoint_every is None else step % self.checkpoint_every == 0


class Training:
    """A model, its optimizer and their data at a certain step.

    Parameters
    ----------
    model, objective, train, valid
        As for `jetlab.fit`; the model is on its device already.
    rates : Schedule
        Learning rate at each step.
    settings : dict
        The arguments of `fit` that change the numbers; a checkpoint of other settings is refused.
    out : Path or None
        Folder of the checkpoints and of ``history.csv``.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        train: Dataset,
        valid: Dataset | None,
        *,
        device: torch.device,
        rates: Schedule,
        settings: dict[str, Any],
        out: Path | None,
    ) -> None:
        self.model, self.objective, self.train, self.valid = model, objective, train, valid
        self.device, self.rates, self.settings = device, rates, settings
        self.optimizer = make_optimizers(
            model,
            settings["optimizer"],
            lr=rates.lr,
            betas=tuple(settings["betas"]),
            weight_decay=settings["weight_decay"],
            lr_factors=settings["lr_factors"],
        )
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.average = None if settings["ema"] is None else AveragedWeights(model, settings["ema"])
        self.autocast = engine.autocast(device, settings["precision"])
        self.generator = torch.Generator(device).manual_seed(settings["seed"])
        self.lengths = np.asarray(train.lengths)
        self.per_epoch = steps_per_epoch(len(train), settings["batch_size"])
        self.run = Run(model, total=rates.steps, log=None if out is None else out / "history.csv")
        self.checkpoints = None if out is None else Checkpoints(out)
        self.means = Means()
        self._saved = -1
        self._order: tuple[int, list[Index]] = (-1, [])
        self._unread: list[tuple[int, Index, dict[str, Tensor]]] = []
        self._unreported: list[tuple[int, int, dict[str, float]]] = []

    # ---- from start to end --------------------------------------------------------------------------------------

    def start(self, *, resume: bool) -> None:
        """Continue from a checkpoint, if there is one and it is wanted."""
        if self.checkpoints is None:
            return
        self.checkpoints.prepare(self._checkpoint_bytes())
        state = self.checkpoints.load() if resume else None
        if state is not None:
            self._refuse_other(state)
            self._load(state)

    def go_on(self, habits: Habits) -> None:
        """Take steps until all are done or a stop is asked for; leave the final weights in the model."""
        run, saved_at = self.run, time.perf_counter()
        began = saved_at - run.seconds
        each = engine.reading_is_free(self.device) or habits.on_step is not None
        run.running = True
        while not run.finished and not run.stopping:
            self._step(read=each)
            run.seconds = time.perf_counter() - began
            self._write_down(habits, each=each)
            if habits.stop is not None and habits.stop():
                run.stop()
            if habits.checkpoint_due(run.steps, time.perf_counter() - saved_at):
                self._save(habits)
                saved_at = time.perf_counter()
        run.seconds = time.perf_counter() - began
        if run.steps != self._saved:
            self._save(habits)
        if self.average is not None:
            self.average.swap()
        self.model.eval()
        run.running = False

    # ---- one step -----------------------------------------------------------------------------------------------

    def _step(self, *, read: bool) -> None:
        step = self.run.steps
        rows = self._rows(step)
        self.model.train()
        loss, terms = self._compute(self.train, rows, self.generator)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings["clip"] or math.inf)
        self._unread.append((step, rows, {"loss": loss.detach(), **terms, "grad_norm": norm}))
        if read:
            self._read()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates(step) * group.get("factor", 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(step)
        self.run.steps = step + 1

    def _rows(self, step: int) -> Index:
        epoch, position = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            s = self.settings
            batches = epoch_batches(self.lengths, s["batch_size"], seed=s["seed"], epoch=epoch, bucket=s["bucket"])
            self._order = (epoch, batches)
        return self._order[1][position]

    def _compute(self, data: Dataset, rows: Index, generator: torch.Generator) -> tuple[Tensor, Terms]:
        batch = data.batch(rows).to(self.device)
        with self.autocast:
            loss, terms = self.objective(self.model, batch, generator)
        if loss.ndim:
            msg = f"the objective returned a loss of shape {tuple(loss.shape)}, expected a scalar"
            raise TrainingError(msg)
        return loss, terms

    # ---- numbers for people -------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Fetch the terms of the last steps from the device and see that they are finite."""
        for step, rows, tensors in self._unread:
            terms = _as_floats(tensors)
            if not (math.isfinite(terms["loss"]) and math.isfinite(terms["grad_norm"])):
                raise TrainingError(self._not_finite(step, terms))
            self._unreported.append((step, int(self.lengths[rows].sum()), terms))
        self._unread.clear()

    def _not_finite(self, step: int, terms: dict[str, float]) -> str:
        if self.checkpoints is None:
            good = "No checkpoint was kept: pass out=... to have some"
        elif self._saved < 0:
            good = f"No checkpoint was written to {self.checkpoints.folder} yet"
        else:
            good = f"The last good checkpoint is {self.checkpoints.last} (step {self._saved})"
        return (
            f"training stopped at step {step + 1}: the loss is {terms['loss']:.4g} and its gradient has norm "
            f"{terms['grad_norm']:.4g}, at learning rate {self.rates(step):.3g}. {good}. "
            "Try a lower lr, a longer warmup or a smaller clip, and look for rows that are empty or not finite"
        )

    def _write_down(self, habits: Habits, *, each: bool) -> None:
        """Show the last steps, validate where it is time to, and add a row to the history."""
        step, end = self.run.steps, self.run.finished
        due = step % habits.valid_every == 0 or end
        validate, watch = due and self.valid is not None, habits.watch if due else None
        row = validate or watch or end or step <= 100 or step % 10 == 0
        if row or each:
            self._report(habits)
        if row:
            found = {f"valid_{name}": value for name, value in self._validate().items()} if validate else {}
            self._record(found | (self._watched(watch) if watch else {}))

    def _report(self, habits: Habits) -> None:
        self._read()
        for step, items, terms in self._unreported:
            weight = terms.pop("weight", 1.0)
            self.means.add(terms, weight)
            habits.show(step + 1, terms["loss"], items)
            if habits.on_step is not None:
                habits.on_step(step + 1, terms)
        self._unreported.clear()

    def _record(self, found: dict[str, float]) -> None:
        run = self.run
        where = {"step": run.steps, "epoch": (run.steps - 1) // self.per_epoch, "seconds": round(run.seconds, 3)}
        rates = {"lr": self.rates(run.steps - 1)}
        run.rows.add(where | rates | self.means.values() | found)
        self.means = Means()

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Weighted means of the terms over all validation rows."""
        assert self.valid is not None
        means = Means()
        generator = torch.Generator(self.device).manual_seed(self.settings["seed"])
        self.model.eval()
        before = engine.random_state(self.device)
        with contextlib.nullcontext() if self.average is None else self.average.in_place():
            for rows in validation_batches(self.valid.lengths, self.settings["batch_size"]):
                loss, terms = self._compute(self.valid, rows, generator)
                values = _as_floats({"loss": loss, **terms})
                weight = values.pop("weight", float(len(rows)))
                means.add(values, weight)
            self._keep_best(means.values())
        engine.set_random_state(self.device, before)
        return means.values()

    @torch.no_grad()
    def _watched(self, watch: Callable[[nn.Module], Mapping[str, float]]) -> dict[str, float]:
        """What a watcher makes of the model, which is left as it was."""
        self.model.eval()
        before = engine.random_state(self.device)
        with contextlib.nullcontext() if self.average is None else self.average.in_place():
            found = dict(watch(self.model))
        engine.set_random_state(self.device, before)
        return found

    def _keep_best(self, terms: dict[str, float]) -> None:
        run = self.run
        if not math.isfinite(terms["loss"]):
            msg = (
                f"the validation loss at step {run.steps} is {terms['loss']}: is a validation row empty or not finite?"
            )
            warnings.warn(msg, UserWarning, stacklevel=2)
        elif run.best is None or terms["loss"] < run.best["loss"]:
            run.best = {"step": run.steps, **terms}
            run.best_weights = _copied(self.model.state_dict())

    # ---- checkpoints --------------------------------------------------------------------------------------------

    def _save(self, habits: Habits) -> None:
        if self.checkpoints is not None:
            self._report(habits)
            self.checkpoints.save(self._state())
            self._saved = self.run.steps

    def _state(self) -> dict[str, Any]:
        run = self.run
        return {
            "step": run.steps,
            "seconds": run.seconds,
            "settings": self.settings,
            "schedule": self.rates.state_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "generator": self.generator.get_state(),
            "random": engine.random_state(self.device),
            "history": run.rows.state_dict(),
            "means": self.means.state_dict(),
            "best": run.best,
            "best_weights": run.best_weights,
        }

    def _load(self, state: dict[str, Any]) -> None:
        run = self.run
        run.steps = self._saved = state["step"]
        run.seconds = state["seconds"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.generator.set_state(state["generator"])
        engine.set_random_state(self.device, state["random"])
        run.rows.load_state_dict(state["history"])
        self.means.load_state_dict(state["means"])
        run.best, run.best_weights = state["best"], state["best_weights"]

    def _refuse_other(self, state: dict[str, Any]) -> None:
        """Raise if the checkpoint is of a training that would have come to other numbers up to its step."""
        differences = self._differences(state)
        if differences:
            assert self.checkpoints is not None
            msg = (
                f"{self.checkpoints.folder} holds step {state['step']} of another training: {'; '.join(differences)}. "
                "Repeat the call as it was to continue, give another folder as out, or start afresh with resume=False"
            )
            raise CheckpointError(msg)

    def _differences(self, state: dict[str, Any]) -> list[str]:
        found, wanted = state["settings"], self.settings
        differing = [name for name in wanted if found.get(name) != wanted[name]]
        differences = [f"{name} was {found.get(name)!r} and is now {wanted[name]!r}" for name in differing]
        old = Schedule(**state["schedule"])
        if any(old(step) != self.rates(step) for step in range(state["step"])):
            differences.append(f"the learning rate was {old} and is now {self.rates}")
        if state["step"] > self.rates.steps:
            differences.append(f"it has {state['step']} steps already, and {self.rates.steps} are asked for")
        shapes = {name: tuple(values.shape) for name, values in state["model"].items()}
        present = {name: tuple(values.shape) for name, values in self.model.state_dict().items()}
        changed = sorted(n for n in shapes.keys() | present.keys() if shapes.get(n) != present.get(n))
        if changed:
            name, more = changed[0], f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            differences.append(f"weights {name} had shape {shapes.get(name)} and have {present.get(name)}{more}")
        return differences

    def _checkpoint_bytes(self) -> int:
        trained = sum(p.numel() * p.element_size() for p in self.parameters)
        everything = sum(v.numel() * v.element_size() for v in self.model.state_dict().values())
        return trained * (2 + (self.average is not None)) + everything * (1 + (self.valid is not None))


def _as_floats(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    values = torch.stack([value.detach().float().reshape(()) for value in tensors.values()])
    return dict(zip(tensors, values.tolist(), strict=True))


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.detach().to("cpu", copy=True) for name, values in state.items()}
