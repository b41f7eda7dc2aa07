"""What pretraining is best for: one encoder pretrained in several ways, then tagging from few labels, and generation.

Every way has the same processor time. Its number of steps is that time over the processor time of a step, so that
learning rates fall to their end and a training that was interrupted goes on to the same numbers. A step is measured
before the first training, all ways in turn, three times, of which the shortest counts: what else the machine does then
matters little. What each training really took is told beside the results. Only the encoder is taken over: every head is
new in the tasks, and in all of them every way has equally many steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import JET_KINEMATICS
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.pretrainer import Pretrainer
from jetlab.tasks.clock import StepClock
from jetlab.tasks.finetune import backbone_of
from jetlab.tasks.labelled import labels_among
from jetlab.tasks.points import Points, write_text
from jetlab.tasks.pretraining_generation import GenerationEffort, GenerationTask, of_classes
from jetlab.tasks.pretraining_methods import METHODS, NONE, learner, needs_labels
from jetlab.tasks.pretraining_table import PretrainingStudy
from jetlab.tasks.transfer import MEASURES, Budget, transfer_curve
from jetlab.train import Run, fit

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.train.optimizers import OptimizerName

__all__ = ["PretrainingEffort", "pretraining_study"]

ROUNDS, WARM_UP, MEASURED = 3, 2, 6
"""How often the processor time of a step is measured, and over how many steps, after how many others."""


@dataclass(frozen=True)
class PretrainingEffort:
    """How much is spent on a study of pretraining.

    Parameters
    ----------
    seconds : float
        Processor time of each pretraining [s].
    preset : str
        Sizes of the encoder, see `JetEncoderConfig.preset`.
    batch_size : int
        Jets in a step of pretraining, and of learning to generate.
    optimizer : {"adamw", "muon", "lion"}
        Of pretraining, as for `jetlab.fit`.
    lr : float
        Highest learning rate of both; in pretraining it falls to zero.
    sizes : tuple of int
        Labelled jets of the tagging.
    budget : Budget
        Of the tagging.
    generation : GenerationEffort
    seeds : int
        Repetitions, each with weights, order and labelled jets of its own.
    """

    seconds: float = 600.0
    preset: str = "tiny"
    batch_size: int = 128
    optimizer: OptimizerName = "muon"
    lr: float = 1e-3
    sizes: tuple[int, ...] = (100, 1000)
    budget: Budget = field(default_factory=Budget)
    generation: GenerationEffort = field(default_factory=GenerationEffort)
    seeds: int = 3

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.seeds >= 1 and self.sizes):
            msg = (
                f"found {self.seconds} s, {self.seeds} seeds and sizes {self.sizes}; expected some time, and at least "
                "one seed and one size"
            )
            raise JetLabError(msg)

    @property
    def encoder(self) -> JetEncoderConfig:
        """Configuration of the encoder; it can be told the kinematics of jets."""
        return JetEncoderConfig.preset(self.preset, told=JET_KINEMATICS.width)


def pretraining_study(
    train: Jets,
    test: Jets,
    *,
    out: str | Path,
    methods: Sequence[str] = tuple(METHODS),
    classes: Sequence[str] | None = None,
    pretrain_classes: Sequence[str] | None = None,
    effort: PretrainingEffort | None = None,
    progress: bool | Callable[[int, int], None] = True,
    announce: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> PretrainingStudy:
    """Pretrain in several ways at equal processor time, and measure what comes of each in two tasks.

    Parameters
    ----------
    train : Jets
        Labelled jets: all to pretrain on and to learn to generate, some to learn tagging from.
    test : Jets
        Labelled jets of the same class list that are only measured with.
    out : str or Path
        Folder that keeps costs, checkpoints and results; the same call goes on with what lacks.
    methods : sequence of str
        Of `METHODS`.
    classes : sequence of str, optional
        Classes to tell apart and to generate; all that the jets are of, if not given.
    pretrain_classes : sequence of str, optional
        Classes to pretrain on; all, if not given. Without those to tell apart, classification as pretraining cannot
        have learned the task itself.
    effort : PretrainingEffort, optional
    progress
        As for `jetlab.fit`, for each training.
    announce : callable, optional
        Given a sentence before each part.
    stop : callable, optional
        Asked after every step; the results so far are returned when it returns True.

    Raises
    ------
    JetLabError
        If a method is unknown, or `out` holds another study.
    InvalidJetsError
        If jets have no labels, class lists differ, or there are too few jets of a class.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        msg = f"unknown methods {', '.join(unknown)}; expected some of {', '.join(METHODS)}"
        raise JetLabError(msg)
    if train.label is None or test.label is None or train.classes != test.classes:
        msg = "a study of pretraining needs jets to learn from and to test on that are labelled with the same classes"
        raise InvalidJetsError(msg)
    effort = effort or PretrainingEffort()
    names = tuple(train.class_counts()) if classes is None else tuple(classes)
    _check_labels(train, test, names, effort)
    pretrained_on = tuple(train.class_counts()) if pretrain_classes is None else tuple(pretrain_classes)
    study = _Study(
        train, test, Path(out), classes=names, pretrain_classes=pretrained_on, effort=effort, progress=progress,
        say=announce or _quiet, stop=stop,
    )  # fmt: skip
    todo = [(method, seed) for seed in range(effort.seeds) for method in methods]
    complete = study.plan(methods) and all(study.measure(method, seed) for method, seed in todo)
    return study.results(todo, complete=complete)


def _check_labels(train: Jets, test: Jets, classes: Sequence[str], effort: PretrainingEffort) -> None:
    """See before the first training that there are jets of every class, and as many as the largest tagging needs."""
    for jets in (train, test):
        labels_among(jets, classes)
    fewest = min(train.class_counts()[name] for name in classes)
    if wrong := [size for size in effort.sizes if not 2 * len(classes) <= size <= fewest * len(classes)]:
        msg = (
            f"cannot learn from {', '.join(map(str, wrong))} labelled jets of {len(classes)} classes, of which there "
            f"are {fewest} or more each; ask for {2 * len(classes)} to {fewest * len(classes)}"
        )
        raise InvalidJetsError(msg)


def _quiet(_: str) -> None:
    pass


class _Study:
    """The jets of a study, prepared once, and one way to pretrain after the other."""

    def __init__(
        self,
        train: Jets,
        test: Jets,
        folder: Path,
        *,
        classes: tuple[str, ...],
        pretrain_classes: tuple[str, ...],
        effort: PretrainingEffort,
        progress: bool | Callable[[int, int], None],
        say: Callable[[str], None],
        stop: Callable[[], bool] | None,
    ) -> None:
        self.train, self.test, self.folder, self.classes, self.effort = train, test, folder, classes, effort
        self.progress, self.say, self.stop = progress, say, stop
        self.learn = of_classes(train, pretrain_classes)
        self.particles = ParticleSet(self.learn, effort.encoder.recipe, conditions=JET_KINEMATICS)
        settings = {
            "classes": list(classes),
            "pretrain_classes": list(pretrain_classes),
            "train": f"{len(train)} jets of {train.offsets[-1]} constituents",
            "test": f"{len(test)} jets of {test.offsets[-1]} constituents",
            "effort": asdict(effort),
            "encoder": effort.encoder.to_dict(),
        }
        self.points = Points(folder, settings)
        self.costs: dict[str, float] = {}
        self.generation = GenerationTask(
            train, test, folder, classes=classes, effort=effort.generation, batch_size=effort.batch_size, lr=effort.lr,
            progress=progress, stop=stop,
        )  # fmt: skip

    # ---- pretraining ----------------------------------------------------------------------------------------------

    def plan(self, methods: Sequence[str]) -> bool:
        """Measure the processor time of a step of each way that was not measured before [s]; False if stopped."""
        place = self.folder / "costs.json"
        self.costs = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
        missing = [method for method in methods if method != NONE and method not in self.costs]
        found: dict[str, list[float]] = {method: [] for method in missing}
        for method in ROUNDS * missing:
            cost = self._cost(method)
            if cost is None:
                return False
            found[method].append(cost)
        self.costs |= {method: min(costs) for method, costs in found.items()}
        for method in missing:
            self.say(f"A step of {METHODS[method]} takes {self.costs[method]:.3g} s: {self.steps(method):,} steps")
        if missing:
            write_text(place, json.dumps(self.costs, indent=1) + "\n")
        return True

    def steps(self, method: str) -> int:
        """Steps that the processor time is enough for."""
        return max(1, round(self.effort.seconds / self.costs[method]))

    def _cost(self, method: str) -> float | None:
        clock = StepClock()
        _, run = self._fit(method, WARM_UP + MEASURED, seed=0, out=None, on_step=clock)
        return clock.each(warm_up=WARM_UP) if run.finished else None

    def _fit(
        self, method: str, steps: int, *, seed: int, out: Path | None, on_step: Callable[..., None] | None = None
    ) -> tuple[Pretrainer, Run]:
        effort = self.effort
        model, objective = learner(method, effort.encoder, classes=self.train.classes, steps=steps, seed=seed)
        model.learn_scale(self.particles)
        run = fit(
            model, objective, model.masked(self.particles, seed=seed), steps=steps, batch_size=effort.batch_size,
            optimizer=effort.optimizer, lr=effort.lr, device="cpu", seed=seed, out=out, progress=self.progress,
            title=METHODS[method], stop=self.stop, on_step=on_step,
        )  # fmt: skip
        return model, run

    def encoder(self, method: str, seed: int) -> JetEncoder | None:
        """The encoder after its pretraining; None if stopped."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = JetEncoder(self.effort.encoder)
        place = self.folder / f"{method}-{seed}"
        known = place / "pretraining.json"
        facts = {"method": method, "seed": seed, "steps": 0, "cpu_seconds": 0.0, "labels": 0}
        if method != NONE:
            steps, clock = self.steps(method), StepClock()
            model, run = self._fit(method, steps, seed=seed, out=place / "training", on_step=clock)
            if not run.finished:
                return None
            encoder = cast("JetEncoder", backbone_of(model))
            facts |= {"steps": steps, "cpu_seconds": round(steps * (clock.each() or self.costs[method]), 2)}
            facts |= {"labels": len(self.learn) if needs_labels(method) else 0}
        if not known.exists():
            write_text(known, json.dumps(facts, indent=1) + "\n")
        return encoder

    # ---- tasks ----------------------------------------------------------------------------------------------------

    def measure(self, method: str, seed: int) -> bool:
        """Pretrain in one way, and measure what comes of it, as far as that is not done; False if stopped."""
        effort, place = self.effort, self.folder / f"{method}-{seed}"
        tagged = all(self.points.find(method, size, seed) is not None for size in effort.sizes)
        generated = (place / "generation.csv").exists() or not effort.generation.steps
        if tagged and generated:
            return True
        self.say(f"{METHODS[method]}, seed {seed}")
        encoder = self.encoder(method, seed)
        if encoder is None:
            return False
        if not tagged and not self._tag(method, seed, encoder):
            return False
        return generated or self.generation.measure(encoder, place, seed=seed)

    def _tag(self, method: str, seed: int, encoder: JetEncoder) -> bool:
        found = transfer_curve(
            encoder, self.train, self.test, classes=self.classes, sizes=self.effort.sizes,
            modes=("scratch" if method == NONE else "fine-tuned",), seeds=(seed,), budget=self.effort.budget,
            device="cpu", out=self.folder / f"{method}-{seed}" / "tagging", progress=False, stop=self.stop,
        )  # fmt: skip
        for row in found.to_dict("records"):
            if self.points.find(method, row["labels"], seed) is None:
                self.points.add(row | {"mode": method})
        return len(found) == len(self.effort.sizes)

    # ---- results --------------------------------------------------------------------------------------------------

    def results(self, todo: Sequence[tuple[str, int]], *, complete: bool) -> PretrainingStudy:
        """Everything that is finished, in the order of `METHODS`."""
        import pandas as pd

        facts, generated = [], []
        for method, seed in sorted(todo, key=lambda point: (list(METHODS).index(point[0]), point[1])):
            place = self.folder / f"{method}-{seed}"
            if (place / "pretraining.json").exists():
                facts.append(json.loads((place / "pretraining.json").read_text(encoding="utf-8")))
            if (place / "generation.csv").exists():
                generated.append(pd.read_csv(place / "generation.csv").assign(method=method, seed=seed))
        tagging = self.points.frame().rename(columns={"mode": "method"})
        columns = ["method", "labels", "seed", *MEASURES]
        return PretrainingStudy(
            pd.DataFrame(facts, columns=["method", "seed", "steps", "cpu_seconds", "labels"]),
            tagging if len(tagging) else pd.DataFrame(columns=columns),
            pd.concat(generated, ignore_index=True) if generated else pd.DataFrame(),
            complete,
        )
