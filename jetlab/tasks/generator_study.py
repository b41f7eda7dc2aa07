"""Systems that generate jets, trained for the same processor time on the same jets, and measured alike.

As in a study of pretraining, a stage of a training has the number of steps that its share of the time is enough for; a
step is measured before the first training, all systems in turn, three times, of which the shortest counts. What the
steps of each training really took is told beside the results; getting the jets ready, such as turning them into tokens
once, is in neither.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.jets import Jets, concatenate
from jetlab.samplers import generate
from jetlab.tasks.clock import StepClock
from jetlab.tasks.generation import generation_table
from jetlab.tasks.generators import PROMPTS, SYSTEMS, Sitting, train_system
from jetlab.tasks.points import keep_settings, write_text

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

__all__ = ["GeneratorEffort", "GeneratorStudy", "generator_study", "generator_table"]

ROUNDS, WARM_UP, MEASURED = 3, 2, 6
"""How often the processor time of a step is measured, and over how many steps, after how many others."""

WATCHED, SOME = 128, 2000
"""Jets left out of the training to watch its loss with, and jets that are enough to measure a step."""


@dataclass(frozen=True)
class GeneratorEffort:
    """How much is spent on a study of generators.

    Parameters
    ----------
    seconds : float
        Processor time of each training, all its stages together but the model of whole jets [s].
    batch_size : int
        Jets in a step.
    lr, masked
        As for `jetlab.tasks.generators.Sitting`.
    prompt_steps : int
        Of the model of whole jets.
    jets : int
        Jets of each class that are generated and compared.
    observables : tuple of str
        Of which generated jets are compared with true ones.
    bootstrap : int
        Resamplings for uncertainties and floors.
    seeds : int
        Repetitions, each with weights, order and generated jets of its own.

    Raises
    ------
    JetLabError
        If a number makes no sense.
    """

    seconds: float = 600.0
    batch_size: int = 64
    lr: float = 1e-3
    masked: float = 0.0
    prompt_steps: int = 500
    jets: int = 200
    observables: tuple[str, ...] = ("mass", "tau21", "tau32", "constituent_pt", "constituent_deta")
    bootstrap: int = 50
    seeds: int = 3

    def __post_init__(self) -> None:
        least = min(self.prompt_steps, self.seeds, self.batch_size)
        if not (self.seconds > 0 and least >= 1 and self.jets >= 2 and self.observables):
            msg = f"found {self}; expected some time, at least one step, jet and seed, two jets a class, one observable"
            raise JetLabError(msg)


@dataclass(frozen=True)
class GeneratorStudy:
    """Outcome of `generator_study`.

    Attributes
    ----------
    training : pandas.DataFrame
        One row a system, seed and stage: ``steps``, and ``cpu_seconds`` really taken.
    quality : pandas.DataFrame
        The rows of `jetlab.tasks.generation.generation_table`, with ``system``, ``seed``, and ``cpu_seconds_a_jet`` of
        the generation.
    complete : bool
        Whether all was done; False if stopped.
    """

    training: pd.DataFrame
    quality: pd.DataFrame
    complete: bool


def generator_study(
    train: Jets,
    test: Jets,
    *,
    out: str | Path,
    systems: Sequence[str] = tuple(SYSTEMS),
    effort: GeneratorEffort | None = None,
    progress: bool | Callable[[int, int], None] = True,
    announce: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> GeneratorStudy:
    """Train generators for the same processor time, and measure the jets of each against true ones.

    Parameters
    ----------
    train : Jets
        Labelled jets to learn from.
    test : Jets
        Labelled jets of the same class list that are only measured with.
    out : str or Path
        Folder that keeps costs, checkpoints and results; the same call goes on with what lacks.
    systems : sequence of str
        Of `jetlab.tasks.generators.SYSTEMS`.
    effort : GeneratorEffort, optional
    progress
        As for `jetlab.fit`, for each training.
    announce : callable, optional
        Given a sentence before each part.
    stop : callable, optional
        Asked after every step; the results so far are returned when it returns True.

    Raises
    ------
    JetLabError
        If a system is unknown, or `out` holds another study.
    InvalidJetsError
        If jets have no labels, class lists differ, or there are too few jets.
    """
    effort, folder, say = effort or GeneratorEffort(), Path(out), announce or _quiet
    if unknown := [name for name in systems if name not in SYSTEMS]:
        msg = f"unknown systems {', '.join(unknown)}; expected some of {', '.join(SYSTEMS)}"
        raise JetLabError(msg)
    if train.label is None or test.label is None or train.classes != test.classes or len(train) <= 2 * WATCHED:
        msg = (
            f"a study of generators needs more than {2 * WATCHED} jets to learn from, here {len(train)}, and jets to "
            "test on, labelled with the same classes"
        )
        raise InvalidJetsError(msg)
    keep_settings(folder, _settings(train, test, effort))
    sitting = Sitting(
        train[:-WATCHED], train[-WATCHED:], effort.batch_size, effort.lr, effort.masked, progress=progress, stop=stop
    )
    costs = _costs(systems, sitting, folder, effort, say)
    if costs is None:
        return _results(systems, folder, effort, complete=False)
    for name, seed in [(name, seed) for seed in range(effort.seeds) for name in systems]:
        place = folder / f"{name}-{seed}"
        if (place / "quality.csv").exists():
            continue
        say(f"{SYSTEMS[name].name}, seed {seed}")
        model = _train(name, costs[name], replace(sitting, seed=seed), place, effort)
        if model is None or not _measure(model, test, replace(sitting, seed=seed), place, effort):
            return _results(systems, folder, effort, complete=False)
    return _results(systems, folder, effort, complete=True)


def _quiet(_: str) -> None:
    pass


def _settings(train: Jets, test: Jets, effort: GeneratorEffort) -> dict[str, Any]:
    return {
        "train": f"{len(train)} jets of {train.offsets[-1]} constituents",
        "test": f"{len(test)} jets of {test.offsets[-1]} constituents",
        "effort": {name: value for name, value in asdict(effort).items() if name != "seeds"},
    }


# ---- compute --------------------------------------------------------------------------------------------------------


def _costs(
    systems: Sequence[str], sitting: Sitting, folder: Path, effort: GeneratorEffort, say: Callable[[str], None]
) -> dict[str, dict[str, float]] | None:
    """Processor time of a step of each stage of each system [s], measured unless it was before; None if stopped."""
    place = folder / "costs.json"
    known: dict[str, dict[str, float]] = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    missing = [name for name in systems if name not in known]
    few = replace(sitting, train=sitting.train[:SOME], valid=sitting.valid[:1])
    for name in ROUNDS * missing:
        steps = dict.fromkeys(SYSTEMS[name].stages, WARM_UP + MEASURED)
        clock = StepClock()
        if train_system(name, steps, replace(few, stop=_both(clock, sitting.stop))) is None:
            return None
        found, before = _each(clock, steps, warm_up=WARM_UP), known.get(name, {})
        known[name] = {stage: min(cost, before.get(stage, cost)) for stage, cost in found.items()}
    for name in missing:
        plan = _plan(name, known[name], effort)
        words = (f"{plan[stage]:,} of {stage}" for stage in plan if stage != PROMPTS)
        say(f"{SYSTEMS[name].name}: {', '.join(words)} steps in {effort.seconds:g} s")
    if missing:
        write_text(place, json.dumps(known, indent=1) + "\n")
    return known


def _plan(name: str, costs: dict[str, float], effort: GeneratorEffort) -> dict[str, int]:
    """Steps of each stage."""
    shares = SYSTEMS[name].shares
    return {
        stage: effort.prompt_steps if stage == PROMPTS else max(1, round(shares[stage] * effort.seconds / costs[stage]))
        for stage in SYSTEMS[name].stages
    }


def _both(clock: StepClock, stop: Callable[[], bool] | None) -> Callable[[], bool]:
    """Read the clock whenever a training asks whether to stop, which it does after every step."""

    def asked() -> bool:
        clock()
        return stop is not None and stop()

    return asked


def _each(clock: StepClock, steps: dict[str, int], *, warm_up: int = 1) -> dict[str, float]:
    """Processor time of a step of each stage [s]; of no stage if a part of the steps was taken in another sitting."""
    if len(clock.times) != sum(steps.values()):
        return {}
    found: dict[str, float] = {}
    start = 0
    for stage, number in steps.items():
        each = clock.each(slice(start, start + number), warm_up=warm_up)
        found |= {} if each is None else {stage: each}
        start += number
    return found


# ---- training and measuring -----------------------------------------------------------------------------------------


def _train(
    name: str, costs: dict[str, float], sitting: Sitting, place: Path, effort: GeneratorEffort
) -> nn.Module | None:
    plan, clock = _plan(name, costs, effort), StepClock()
    model = train_system(name, plan, replace(sitting, out=place, stop=_both(clock, sitting.stop)))
    if model is not None and not (place / "training.json").exists():
        each = costs | _each(clock, plan)
        rows = [
            {
                "system": name, "seed": sitting.seed, "stage": stage, "steps": steps,
                "cpu_seconds": round(steps * each[stage], 2),
            }
            for stage, steps in plan.items()
        ]  # fmt: skip
        write_text(place / "training.json", json.dumps(rows, indent=1) + "\n")
    return model


def _measure(model: nn.Module, test: Jets, sitting: Sitting, place: Path, effort: GeneratorEffort) -> bool:
    """Generate and compare, and keep the table; False if stopped."""
    seed, stop = sitting.seed, sitting.stop
    classes = list(test.class_counts())
    true = concatenate([test[name][: effort.jets] for name in classes])
    n = len(classes) * effort.jets
    began = time.process_time()
    try:
        jets = generate(model, n, classes=classes, seed=seed, batch_size=200, progress=False, stop=stop)
    except JetLabError:
        if stop is not None and stop():
            return False
        raise
    spent = (time.process_time() - began) / n
    if len(jets) < n:
        return False
    found = generation_table(
        jets, true, observables=effort.observables, bootstrap=effort.bootstrap, floors=0, seeds=(), seed=seed
    )
    write_text(place / "quality.csv", found.assign(cpu_seconds_a_jet=spent).to_csv(index=False))
    return True


# ---- results --------------------------------------------------------------------------------------------------------


def _results(systems: Sequence[str], folder: Path, effort: GeneratorEffort, *, complete: bool) -> GeneratorStudy:
    import pandas as pd

    training: list[dict[str, Any]] = []
    quality = []
    for name in systems:
        for seed in range(effort.seeds):
            place = folder / f"{name}-{seed}"
            if (place / "quality.csv").exists():
                training += json.loads((place / "training.json").read_text(encoding="utf-8"))
                quality.append(pd.read_csv(place / "quality.csv").assign(system=name, seed=seed))
    return GeneratorStudy(
        pd.DataFrame(training, columns=["system", "seed", "stage", "steps", "cpu_seconds"]),
        pd.concat(quality, ignore_index=True) if quality else pd.DataFrame(),
        complete,
    )


def generator_table(study: GeneratorStudy) -> pd.DataFrame:
    """One row a system: median over the seeds, with the range.

    Parameters
    ----------
    study : GeneratorStudy

    Returns
    -------
    pandas.DataFrame
        Columns ``system``, ``name``, ``seeds``, ``steps`` and ``cpu_seconds`` of the training without the model of
        whole jets, ``cpu_seconds_a_jet`` of the generation; for each observable the median over classes of the
        Wasserstein-1 distance of generated jets, in units of that between two true samples, with ``_low`` and
        ``_high``, its range over the seeds.
    """
    import pandas as pd

    rows = []
    for system in dict.fromkeys(study.training["system"]):
        spent = study.training[(study.training["system"] == system) & (study.training["stage"] != PROMPTS)]
        found = study.quality[study.quality["system"] == system]
        row: dict[str, Any] = {"system": system, "name": SYSTEMS[system].name, "seeds": found["seed"].nunique()}
        row |= {name: spent.groupby("seed")[name].sum().median() for name in ("steps", "cpu_seconds")}
        row["cpu_seconds_a_jet"] = found["cpu_seconds_a_jet"].median()
        multiple = (found["value"] / found["floor"]).groupby([found["measure"], found["seed"]], sort=False).median()
        for measure in dict.fromkeys(found["measure"]):
            values, name = multiple[measure], str(measure).removeprefix("w1 ")
            row |= {name: values.median(), f"{name}_low": values.min(), f"{name}_high": values.max()}
        rows.append(row)
    return pd.DataFrame(rows)
