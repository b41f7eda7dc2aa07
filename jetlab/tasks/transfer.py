"""Transfer: what pretraining is worth to a tagger, against the number of labelled jets (arXiv:2403.05618).

Every seed has a labelled subset of its own; the subsets of one seed contain each other. A fifth of each subset says
when to end and which learning rate to take, so that no mode ever sees more labels than it is charged for.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.evaluate import separation
from jetlab.tasks.finetune import FROZEN, MODES, Learning, Mode, backbone_of, fit_tagger, probabilities, tagger_for
from jetlab.tasks.labelled import EncodedSet, Rows, encoded, labels_among
from jetlab.tasks.points import Points, Rates
from jetlab.train import Dataset

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from jetlab.jets import Jets
    from jetlab.models.tagger import Tagger
    from jetlab.train.engine import Precision

__all__ = ["CANDIDATES", "Budget", "summarise", "transfer_curve", "transfer_gain"]

CANDIDATES: dict[Mode, tuple[Rates, ...]] = {
    "scratch": ((3e-4, 3e-4), (1e-3, 1e-3), (3e-3, 3e-3)),
    "linear": ((1e-2, 1e-2), (3e-2, 3e-2), (1e-1, 1e-1)),
    "frozen": ((3e-4, 3e-4), (1e-3, 1e-3), (3e-3, 3e-3)),
    "fine-tuned": ((1e-3, 1e-4), (1e-3, 3e-4), (1e-3, 1e-3)),
}
"""Learning rates of head and backbone that are tried in each mode, as many in each."""

VALIDATION_SHARE = 0.2
"""Share of the labelled jets that is not learned from."""

FEW = 5
"""With fewer seeds than this a band runs from the smallest to the largest."""

MEASURES = ("accuracy", "auc", "rejection_50", "rejection_30")


@dataclass(frozen=True)
class Budget:
    """How long a tagger may learn from a number of labelled jets, the same in every mode.

    Parameters
    ----------
    epochs : int
        Passes over the jets to learn from.
    min_steps, max_steps : int
        Fewest and most updates, whatever the epochs say; training ends earlier if the validation loss does not fall.
    batch_size : int
    watched : int, optional
        Most labelled jets that are not learned from but watched; by default a fifth of them, however many there are.
    """

    epochs: int = 15
    min_steps: int = 80
    max_steps: int = 400
    batch_size: int = 64
    watched: int | None = None

    def steps(self, jets: int) -> int:
        """Updates for this many jets to learn from."""
        return int(np.clip(self.epochs * -(-jets // self.batch_size), self.min_steps, self.max_steps))


def transfer_curve(
    model: nn.Module,
    train: Jets,
    test: Jets,
    *,
    classes: Sequence[str],
    sizes: Sequence[int],
    modes: Sequence[Mode] = ("scratch", "frozen", "fine-tuned"),
    seeds: int | Sequence[int] = 3,
    background: str | None = None,
    head: str = "mlp",
    hidden: tuple[int, ...] = (128,),
    budget: Budget = Budget(),
    candidates: Mapping[Mode, Sequence[Rates]] = CANDIDATES,
    tune: int = 1000,
    precision: Precision = "fp32",
    device: str = "auto",
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Measure taggers from a pretrained backbone, and from none, against the number of labelled jets.

    Parameters
    ----------
    model : OmniJetAlpha, Tagger or backbone
        What was pretrained, without the labels of these jets. "scratch" has the same architecture (and tokenizer).
    train : Jets
        Labelled jets to draw from.
    test : Jets
        Labelled jets that neither the training nor the pretraining has seen.
    classes : sequence of str
        At least two; the labelled jets are shared equally among them.
    sizes : sequence of int
        Labelled jets in all, validation included.
    modes : sequence of {"scratch", "linear", "frozen", "fine-tuned"}
    seeds : int or sequence of int
        Repetitions, each with labelled jets, weights and order of its own: so many, or these.
    background : str, optional
        What rejections refer to; by default QCD if it is among the classes, else the first.
    head, hidden
        As in `jetlab.models.tagger.TaggerConfig`, the same in all modes. "summation" without hidden layers is the
        published one; the plain one learns more steadily from few labels.
    budget : Budget
    candidates : mapping of str to sequence of (float, float)
        Learning rates of head and backbone to try. Every seed tries them all on its own labelled jets and keeps the
        tagger of the lowest validation loss.
    tune : int
        Above this number of labelled jets nothing is tried: the rates are those of the lowest mean loss at the largest
        size up to it.
    precision : {"fp32", "bf16"}
    device : str
    out : str or Path, optional
        Folder that keeps finished points (``points.csv``); the same call goes on with the others.
    progress : bool or callable
        True shows a bar; a callable is given (points done, points in total).
    stop : callable, optional
        Asked after every step; when it returns True, the points so far are returned.

    Returns
    -------
    pandas.DataFrame
        One row a mode, number of labels and seed: ``accuracy``, ``auc``, ``rejection_50`` and ``rejection_30`` on the
        test jets, each with ``_err`` from their number; ``valid_loss``; ``lr``, ``backbone_lr``; ``steps``, the best
        one and those taken; ``cpu_seconds`` of the training and ``encoding_cpu_seconds`` that the encodings of the
        labelled jets took where the backbone is frozen.

    Raises
    ------
    JetLabError
        If the model has no backbone to take over, or `out` holds points of another study.
    InvalidJetsError
        If there are too few jets of a class.
    """
    repetitions = range(seeds) if isinstance(seeds, int) else tuple(seeds)
    study = _Study(
        model, train, test, classes=tuple(classes), sizes=tuple(sorted(set(sizes))), seeds=repetitions, head=head,
        hidden=hidden, background=background, budget=budget, precision=precision, device=device,
    )  # fmt: skip
    points = Points(None if out is None else Path(out), study.settings())
    todo = [(mode, size, seed) for mode in modes for size in study.sizes for seed in repetitions]
    with _bar(progress, len(todo)) as report:
        for mode, size, seed in todo:
            if points.find(mode, size, seed) is None:
                known = points.rates(mode, size, tune)
                rates = candidates[mode] if known is None else [known]
                row = study.measure(mode, size, seed, rates=rates, stop=stop)
                if row is None:
                    break
                points.add(row)
            report(len(points.rows), len(todo))
    return points.frame()


def summarise(points: pd.DataFrame) -> pd.DataFrame:
    """Table of a study: median over the seeds, with bands.

    Parameters
    ----------
    points : pandas.DataFrame
        From `transfer_curve`.

    Returns
    -------
    pandas.DataFrame
        One row a mode and number of labels: ``seeds``; ``band``, what the bands are: "min-max" with fewer than five
        seeds, else "16-84 %"; each measure with ``_low`` and ``_high``, the band over the seeds, and ``_err``, the
        uncertainty from the number of test jets, which all seeds share; ``steps`` and ``cpu_seconds``, their means.
    """
    import pandas as pd

    rows = []
    for (mode, labels), group in points.groupby(["mode", "labels"]):
        few = len(group) < FEW
        row = {"mode": mode, "labels": labels, "seeds": len(group), "band": "min-max" if few else "16-84 %"}
        for name in MEASURES:
            low, middle, high = np.quantile(group[name], [0, 0.5, 1] if few else [0.16, 0.5, 0.84])
            row |= {
                name: middle,
                f"{name}_low": low,
                f"{name}_high": high,
                f"{name}_err": group[f"{name}_err"].median(),
            }
        rows.append(row | {name: group[name].mean() for name in ("steps", "cpu_seconds")})
    frame = pd.DataFrame(rows)
    order = frame["mode"].map({mode: i for i, mode in enumerate(MODES)})
    return frame.assign(order=order).sort_values(["order", "labels"], ignore_index=True).drop(columns="order")


def transfer_gain(points: pd.DataFrame, *, measure: str = "auc", against: Mode = "scratch") -> pd.DataFrame:
    """What pretraining adds, seed by seed on the same labelled jets.

    Parameters
    ----------
    points : pandas.DataFrame
        From `transfer_curve`.
    measure : str
    against : {"scratch", "linear", "frozen", "fine-tuned"}

    Returns
    -------
    pandas.DataFrame
        One row a mode and number of labels: ``gain``, the mean difference, with ``low`` and ``high``, the smallest and
        largest, and ``better``, the share of seeds in which it is positive.
    """
    import pandas as pd

    base = points[points["mode"] == against].set_index(["labels", "seed"])[measure]
    rows = []
    for (mode, labels), group in points[points["mode"] != against].groupby(["mode", "labels"]):
        difference = (group.set_index(["labels", "seed"])[measure] - base).dropna()
        if len(difference):
            low, high = difference.min(), difference.max()
            better = float((difference > 0).mean())
            rows.append((mode, labels, len(difference), difference.mean(), low, high, better))
    return pd.DataFrame(rows, columns=["mode", "labels", "seeds", "gain", "low", "high", "better"])


@contextlib.contextmanager
def _bar(progress: bool | Callable[[int, int], None], total: int) -> Iterator[Callable[[int, int], None]]:
    if callable(progress):
        yield progress
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit="point", desc="Transfer", disable=not progress) as bar:
        yield lambda done, _: bar.update(done - bar.n)


# ---- one study ------------------------------------------------------------------------------------------------------


class _Study:
    """The jets of a study, prepared once, and one measurement after the other."""

    def __init__(
        self,
        model: nn.Module,
        train: Jets,
        test: Jets,
        *,
        classes: tuple[str, ...],
        sizes: tuple[int, ...],
        seeds: Sequence[int],
        head: str,
        hidden: tuple[int, ...],
        background: str | None,
        budget: Budget,
        precision: Precision,
        device: str,
    ) -> None:
        self.classes, self.sizes, self.budget = classes, sizes, budget
        self.head: Any = {"head": head, "hidden": hidden}
        self.background = background or ("QCD" if "QCD" in classes else classes[0])
        self.learning = Learning(1, budget.batch_size, precision=precision, device=device)
        self.backbone = backbone_of(model)
        reader = tagger_for(self.backbone, classes)
        label = labels_among(train, classes)
        self.jets, self.known = len(train), label
        self.order = {seed: _shuffled(label, len(classes), max(sizes), seed) for seed in seeds}
        self.rows = np.unique(np.concatenate(list(self.order.values()), axis=None))
        self.label = label[self.rows]
        self.data: Dataset = reader.prepare(train[self.rows])
        known = labels_among(test, classes)
        self.test: Dataset = reader.prepare(test[np.flatnonzero(known >= 0)])
        self.test_label = known[known >= 0]
        self._encodings: tuple[EncodedSet, EncodedSet] | None = None

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on, so that points of different studies are not mixed."""
        return {
            "classes": list(self.classes),
            "head": self.head["head"],
            "hidden": list(self.head["hidden"]),
            "background": self.background,
            "budget": asdict(self.budget),
            "precision": self.learning.precision,
            "train": f"{self.jets} jets, checksum {_checksum(self.known)}",
            "test": f"{len(self.test)} jets, checksum {_checksum(self.test.lengths)}",
            "backbone": self.backbone.config.to_dict(),  # type: ignore[union-attr, operator]
            "weights": _checksum(*(p.detach().cpu().numpy() for p in self.backbone.parameters())),
        }

    def measure(
        self, mode: Mode, size: int, seed: int, *, rates: Sequence[Rates], stop: Callable[[], bool] | None
    ) -> dict[str, Any] | None:
        """Train with each of these rates and measure the best on the test jets; None if stopped."""
        data, test = self._sets(mode)
        learn, watch = self._parts(size, seed)
        best: dict[str, Any] | None = None
        trials = []
        for lr, backbone_lr in rates:
            tagger = tagger_for(self.backbone, self.classes, mode=mode, seed=seed, **self.head)
            learning = replace(
                self.learning, steps=self.budget.steps(len(learn)), lr=lr, backbone_lr=backbone_lr
            )  # fmt: skip
            rows = Rows(data, learn, self.label), Rows(data, watch, self.label)
            outcome = fit_tagger(tagger, rows[0], rows[1], learning, seed=seed, progress=False, stop=stop)
            if not outcome.complete or outcome.run.best is None:
                return None
            loss = outcome.run.best["loss"]
            trials.append([lr, backbone_lr, round(loss, 5)])
            if best is None or loss < best["valid_loss"]:
                best = {"valid_loss": loss, "lr": lr, "backbone_lr": backbone_lr, "tagger": tagger}
                best |= {"best_step": int(outcome.run.best["step"]), "steps": outcome.run.steps}
                best |= {"cpu_seconds": outcome.seconds}
        if best is None:
            return None
        scores = self._scores(best.pop("tagger"), test)
        shared = self._encodings[0].seconds * size / len(self.rows) if self._encodings and mode in FROZEN else 0.0
        end = {"encoding_cpu_seconds": shared, "trials": json.dumps(trials)}
        return {"mode": mode, "labels": size, "seed": seed} | scores | best | end

    def _sets(self, mode: Mode) -> tuple[Dataset, Dataset]:
        if mode not in FROZEN:
            return self.data, self.test
        if self._encodings is None:
            reader = tagger_for(self.backbone, self.classes, mode="frozen")
            self._encodings = encoded(reader, self.data), encoded(reader, self.test)
        return self._encodings

    def _parts(self, size: int, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows of `data` to learn from and to watch, each with equal shares of the classes."""
        each = size // len(self.classes)
        most = each if self.budget.watched is None else self.budget.watched // len(self.classes)
        watched = max(1, min(round(VALIDATION_SHARE * each), most))
        taken = np.searchsorted(self.rows, self.order[seed][:, :each])  # (classes, each)
        return taken[:, watched:].ravel(), taken[:, :watched].ravel()

    def _scores(self, tagger: Tagger, test: Dataset) -> dict[str, float]:
        import pandas as pd

        frame = pd.DataFrame(probabilities(tagger, test, precision=self.learning.precision), columns=list(self.classes))
        return separation(frame, self.test_label, background=self.background)


def _shuffled(label: npt.NDArray[np.int64], classes: int, size: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows of each class in an order of this seed's own, as many as the largest size needs, shape (classes, n)."""
    each = size // classes
    counts = np.bincount(label[label >= 0], minlength=classes)
    if each > counts.min() or each < 2:
        msg = (
            f"{size} labelled jets are {each} of each of {classes} classes, of which there are {counts.min()} or more; "
            f"ask for {2 * classes} to {classes * counts.min()}"
        )
        raise InvalidJetsError(msg)
    return np.stack(
        [np.random.default_rng((seed, k)).permutation(np.flatnonzero(label == k))[:each] for k in range(classes)]
    )


def _checksum(*arrays: npt.NDArray[Any]) -> str:
    code = 0
    for array in arrays:
        code = zlib.crc32(np.ascontiguousarray(array).tobytes(), code)
    return f"{code:08x}"
