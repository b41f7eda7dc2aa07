"""What pretraining saves in steps: validation loss against steps and processor time, pretrained and from scratch.

Both learn the same classes from the same jets, in the same order, with the same schedule, so that they can be compared
at equal steps and at equal compute.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.errors import JetLabError
from jetlab.tasks.finetune import FROZEN, MODES, Learning, Mode, backbone_of, fit_tagger, tagger_for
from jetlab.tasks.labelled import Rows, encoded, labels_among

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from jetlab.jets import Jets

__all__ = ["learning_curves", "steps_saved"]

THOUSAND = Learning(1000, patience=None)
"""A thousand updates, to their end."""

COLUMNS = ("mode", "seed", "step", "cpu_seconds", "loss", "accuracy")


def learning_curves(
    model: nn.Module,
    train: Jets,
    valid: Jets,
    *,
    classes: Sequence[str],
    modes: Sequence[Mode] = ("scratch", "fine-tuned"),
    learning: Learning = THOUSAND,
    head: str = "mlp",
    hidden: tuple[int, ...] = (128,),
    seeds: int = 3,
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    announce: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Train taggers and keep how their validation loss falls.

    Parameters
    ----------
    model : torch.nn.Module
        What was pretrained, as for `jetlab.tasks.finetune.backbone_of`.
    train, valid : Jets
        Labelled jets; those of other classes are left out.
    classes : sequence of str
    modes : sequence of {"scratch", "linear", "frozen", "fine-tuned"}
    learning : Learning
        The same for all modes, and without an early end.
    head, hidden
        As in `jetlab.models.tagger.TaggerConfig`.
    seeds : int
        Repetitions, each with other weights and another order of the jets.
    out : str or Path, optional
        Folder where each training is kept; the same call goes on with those that lack.
    progress, stop
        As for `jetlab.fit`, for each training.
    announce : callable, optional
        Given a sentence before each training.

    Returns
    -------
    pandas.DataFrame
        Columns ``mode``, ``seed``, ``step``, ``cpu_seconds`` up to there, validation ``loss`` and ``accuracy``.

    Raises
    ------
    JetLabError
        If an early end is asked for, a mode is unknown, or kept trainings are of other settings.
    """
    import pandas as pd

    if learning.patience is not None:
        msg = f"trainings of equal length are compared; expected patience None, found {learning.patience}"
        raise JetLabError(msg)
    if unknown := [mode for mode in modes if mode not in MODES]:
        msg = f"unknown modes {', '.join(unknown)}; expected some of {', '.join(MODES)}"
        raise JetLabError(msg)
    backbone = backbone_of(model)
    reader = tagger_for(backbone, classes)
    parts = [_rows(reader, jets, classes) for jets in (train, valid)]
    asked: dict[str, Any] = {"learning": asdict(learning), "head": head, "hidden": list(hidden)}
    asked |= {"classes": list(classes), "jets": [len(part) for part in parts]}
    frames = []
    for seed in range(seeds):
        for mode in modes:
            place = None if out is None else Path(out) / f"{mode}-{seed}"
            found = _kept(place, asked)
            if found is None:
                if announce is not None:
                    announce(f"{mode}, seed {seed}")
                tagger = tagger_for(backbone, classes, mode=mode, head=head, hidden=hidden, seed=seed)
                rows = [_encoded(tagger, part) for part in parts] if mode in FROZEN else parts
                outcome = fit_tagger(
                    tagger, rows[0], rows[1], learning, seed=seed, out=None if place is None else place / "training",
                    progress=progress, title=mode, stop=stop,
                )  # fmt: skip
                if not outcome.complete:
                    break
                found = _curve(outcome.run.history, outcome.seconds)
                _keep(place, asked, found)
            frames.append(found.assign(mode=mode, seed=seed)[list(COLUMNS)])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def steps_saved(curves: pd.DataFrame, *, against: Mode = "scratch") -> pd.DataFrame:
    """When each training reaches the lowest loss of its counterpart, in steps and in processor time.

    Parameters
    ----------
    curves : pandas.DataFrame
        From `learning_curves`.
    against : {"scratch", "linear", "frozen", "fine-tuned"}
        The mode whose lowest loss is to be reached, seed by seed.

    Returns
    -------
    pandas.DataFrame
        One row a mode and seed: ``target`` (that loss), ``step`` and ``cpu_seconds`` at which it is reached (NaN if it
        never is), ``of_step`` and ``of_cpu_seconds`` at which the counterpart reached it, the shares ``steps`` and
        ``compute`` that were needed, ``loss`` and ``accuracy`` at the end.
    """
    import pandas as pd

    rows = []
    for (mode, seed), curve in curves.groupby(["mode", "seed"], sort=False):
        other = curves[(curves["mode"] == against) & (curves["seed"] == seed)]
        if mode == against or other.empty:
            continue
        best = other.loc[other["loss"].idxmin()]
        reached = curve[curve["loss"] <= best["loss"]]
        first = reached.iloc[0] if len(reached) else None
        last = curve.iloc[-1]
        row = {"mode": mode, "seed": seed, "target": best["loss"]}
        for name in ("step", "cpu_seconds"):
            row |= {name: np.nan if first is None else first[name], f"of_{name}": best[name]}
        row |= {"steps": row["step"] / best["step"], "compute": row["cpu_seconds"] / best["cpu_seconds"]}
        rows.append(row | {"loss": last["loss"], "accuracy": last["accuracy"]})
    return pd.DataFrame(rows)


def _rows(reader: Any, jets: Jets, classes: Sequence[str]) -> Rows:
    """The jets of these classes with their places among them."""
    label = labels_among(jets, classes)
    index = np.flatnonzero(label >= 0)
    return Rows(reader.prepare(jets[index]), np.arange(len(index)), label[index])


def _encoded(tagger: Any, rows: Rows) -> Rows:
    return Rows(encoded(tagger, rows.data), rows.index, rows.label)


def _curve(history: pd.DataFrame, seconds: float) -> pd.DataFrame:
    """Validation loss and accuracy, with processor time in proportion to the steps."""
    measured = history[history["valid_loss"].notna()]
    found = measured[["step", "valid_loss", "valid_accuracy"]].set_axis(["step", "loss", "accuracy"], axis=1)
    return found.assign(cpu_seconds=seconds * found["step"] / history["step"].max()).reset_index(drop=True)


def _kept(place: Path | None, asked: dict[str, Any]) -> pd.DataFrame | None:
    import pandas as pd

    if place is None or not (place / "curve.csv").is_file():
        return None
    about = json.loads((place / "asked.json").read_text(encoding="utf-8"))
    if about != json.loads(json.dumps(asked)):
        msg = f"{place} holds a training of other settings ({about}); expected {asked}. Take another folder"
        raise JetLabError(msg)
    return pd.read_csv(place / "curve.csv")


def _keep(place: Path | None, asked: dict[str, Any], found: pd.DataFrame) -> None:
    if place is None:
        return
    place.mkdir(parents=True, exist_ok=True)
    (place / "asked.json").write_text(json.dumps(asked) + "\n", encoding="utf-8")
    found.to_csv(place / "curve.csv", index=False)
