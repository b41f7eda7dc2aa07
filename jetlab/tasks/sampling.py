"""How many network calls a jet is worth: the same noise and the same questions, followed in more and fewer steps."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from jetlab.errors import JetLabError
from jetlab.samplers.jets import generate
from jetlab.samplers.particles import METHODS, Path
from jetlab.tasks.generation import generation_table

if TYPE_CHECKING:
    import pandas as pd

    from jetlab.jets import Jets
    from jetlab.models.jetflow import JetFlow

__all__ = ["SAMPLING_OBSERVABLES", "paths_for", "sampling_study"]

SAMPLING_OBSERVABLES = ("mass", "tau21", "tau32", "constituent_pt", "constituent_deta")


def paths_for(process: str, calls: Sequence[int], *, methods: Sequence[str] | None = None) -> list[Path]:
    """Every method of a process with as many steps as it has network calls for.

    Parameters
    ----------
    process : {"flow", "diffusion"}
    calls : sequence of int
        Network calls for a batch of jets; odd numbers leave out methods with two calls a step.
    methods : sequence of str, optional
        These only.

    Raises
    ------
    JetLabError
        If the process has no such method.
    """
    known, found = METHODS[process], []
    if unknown := [method for method in methods or () if method not in known]:
        msg = f"a model of {process} has no method {', '.join(unknown)}; expected some of {', '.join(known)}"
        raise JetLabError(msg)
    for method in [m for m in known if methods is None or m in methods]:
        each = Path(1, method).calls
        found += [Path(n // each, method) for n in calls if n % each == 0 and n >= each]
    return found


def sampling_study(
    model: JetFlow,
    true: Jets,
    paths: Sequence[Path],
    *,
    observables: Sequence[str] = SAMPLING_OBSERVABLES,
    bootstrap: int = 50,
    floors: int = 5,
    seed: int = 0,
    batch_size: int = 64,
    out: str | File | None = None,
    progress: bool | Callable[[int, int], None] = False,
    announce: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Generate as many jets of each class as there are true ones, along several paths, and measure each.

    All paths start from the same noise, prompts included, so that what differs between them is the path.

    Parameters
    ----------
    model : JetFlow
    true : Jets
        Labelled jets, unknown to the model, in equal numbers a class.
    paths : sequence of Path
        Such as `paths_for`.
    observables, bootstrap, floors
        As for `jetlab.tasks.generation.generation_table`.
    seed : int
        Of noise, prompts and resamplings.
    batch_size : int
        Jets at once.
    out : str or Path, optional
        Folder where each path is kept as soon as it is measured; the same call goes on with those that lack.
    progress
        As for `jetlab.generate`.
    announce : callable, optional
        Given a sentence before each path.
    stop : callable, optional
        Asked before every network call; the rows of the finished paths are returned.

    Returns
    -------
    pandas.DataFrame
        Columns ``method``, ``steps``, ``calls``, ``cpu_seconds`` (for each jet, on this machine), and those of
        `generation_table`, against true jets.

    Raises
    ------
    JetLabError
        If there are no paths, or kept results are of other jets or another seed.
    """
    import pandas as pd

    if not paths:
        msg = "there are no paths to compare; paths_for gives those of a process"
        raise JetLabError(msg)
    classes = list(true.class_counts())
    asked = {"jets": len(true), "classes": classes, "observables": list(observables), "seed": seed}
    asked |= {"bootstrap": bootstrap, "floors": floors}
    parts = []
    for path in [path.for_process(model.config.process) for path in paths]:
        name = f"{path.method}-{path.steps}"
        found = _kept(out, name, asked)
        if found is None:
            if announce is not None:
                announce(f"{path.method}, {path.steps} steps: {path.calls} network calls")
            found = _measured(
                model, true, path, observables=observables, bootstrap=bootstrap, floors=floors, seed=seed,
                batch_size=batch_size, progress=progress, stop=stop,
            )  # fmt: skip
            if found is None:
                break
            _keep(out, name, asked, found)
        about = {"method": path.method, "steps": path.steps, "calls": path.calls}
        parts.append(found.assign(**about)[[*about, *(c for c in found.columns if c not in about)]])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _measured(
    model: JetFlow,
    true: Jets,
    path: Path,
    *,
    observables: Sequence[str],
    bootstrap: int,
    floors: int,
    seed: int,
    batch_size: int,
    progress: bool | Callable[[int, int], None],
    stop: Callable[[], bool] | None,
) -> pd.DataFrame | None:
    """Distances of the jets along one path, with the processor time of each; None if stopped."""
    began = time.process_time()
    try:
        jets = generate(
            model, len(true), classes=list(true.class_counts()), seed=seed, steps=path.steps, method=path.method,
            batch_size=batch_size, progress=progress, stop=stop,
        )  # fmt: skip
    except JetLabError:
        if stop is not None and stop():
            return None
        raise
    if len(jets) < len(true):
        return None
    seconds = (time.process_time() - began) / len(jets)
    found = generation_table(
        jets, true, observables=observables, bootstrap=bootstrap, floors=floors, seeds=(), seed=seed
    )
    found.insert(0, "cpu_seconds", seconds)
    return found


def _kept(out: str | File | None, name: str, asked: dict[str, Any]) -> pd.DataFrame | None:
    import pandas as pd

    if out is None or not (File(out) / f"{name}.csv").is_file():
        return None
    about = json.loads((File(out) / f"{name}.json").read_text(encoding="utf-8"))
    if about != asked:
        msg = f"{out} holds results of other jets or settings ({about}); expected {asked}. Take another folder"
        raise JetLabError(msg)
    return pd.read_csv(File(out) / f"{name}.csv", keep_default_na=True)


def _keep(out: str | File | None, name: str, asked: dict[str, Any], found: pd.DataFrame) -> None:
    if out is None:
        return
    File(out).mkdir(parents=True, exist_ok=True)
    (File(out) / f"{name}.json").write_text(json.dumps(asked) + "\n", encoding="utf-8")
    found.to_csv(File(out) / f"{name}.csv", index=False)
