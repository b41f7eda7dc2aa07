"""The classifier test of tokenizers: which classes can still be told apart after tokenization.

The same network learns the classes once from original and once from rebuilt jets, and is measured on held-out jets of
the same kind (arXiv:2403.05618). What it recognises less is what tokenization has lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.evaluate import confusion_matrix, tagging_table
from jetlab.jets import Jets
from jetlab.models.deepsets import DeepSetsConfig
from jetlab.models.particle_transformer import ParticleTransformerConfig
from jetlab.models.tagger import Tagger, TaggerConfig
from jetlab.objectives import classification
from jetlab.tasks.labelled import Rows
from jetlab.tasks.tagging import classify
from jetlab.train import Run, fit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AT_ONCE", "NETWORKS", "Classifier", "ClassifierTest", "Network", "classifier_test"]

Network = Literal["deepsets", "transformer"]

NETWORKS: tuple[Network, ...] = get_args(Network)

HEADS = {"deepsets": "mlp", "transformer": "summation"}
LEARNING_RATES = {"deepsets": 5e-3, "transformer": 2e-3}

AT_ONCE = 512
"""Jets that are classified together."""


@dataclass(frozen=True)
class Classifier:
    """A small network that learns classes of jets from pT, deta and dphi of their constituents, and how it learns.

    Parameters
    ----------
    network : {"deepsets", "transformer"}
    preset : str
        Sizes: ``tiny`` or ``published``.
    steps, batch_size : int
        Length of the training; the learning rate falls to zero over it.
    """

    network: Network = "deepsets"
    preset: str = "tiny"
    steps: int = 1500
    batch_size: int = 256

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            msg = f"unknown network {self.network!r}; expected one of {', '.join(NETWORKS)}"
            raise JetLabError(msg)

    def untrained(self, classes: Sequence[str], *, seed: int) -> Tagger:
        """Tagger with random weights."""
        backbone: Any = ParticleTransformerConfig if self.network == "transformer" else DeepSetsConfig
        head = HEADS[self.network]
        config = TaggerConfig(backbone.preset(self.preset), hidden=(), classes=tuple(classes), head=head)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Tagger(config)

    def train(
        self,
        jets: Jets,
        label: npt.NDArray[np.int64] | None = None,
        *,
        classes: Sequence[str] = (),
        seed: int = 0,
        progress: bool | Callable[[int, int], None] = False,
        stop: Callable[[], bool] | None = None,
    ) -> tuple[Tagger, Run]:
        """Learn the classes of jets.

        Parameters
        ----------
        jets : Jets
        label : ndarray of int, shape (n,), optional
            Places in `classes`; by default those of the jets with their classes.
        classes : sequence of str
        seed : int
            Of weights and order.
        progress, stop
            As for `jetlab.fit`.

        Raises
        ------
        InvalidJetsError
            If there are no labels.
        """
        label, classes = (jets.label, jets.classes) if label is None else (label, classes)
        if label is None:
            msg = "the jets carry no labels, so there are no classes to learn"
            raise InvalidJetsError(msg)
        tagger = self.untrained(classes, seed=seed)
        run = fit(
            tagger,
            classification,
            Rows(ParticleSet(jets, tagger.recipe), np.arange(len(jets)), label),
            steps=self.steps,
            batch_size=self.batch_size,
            lr=LEARNING_RATES[self.network],
            seed=seed,
            progress=progress,
            title=f"classifier ({self.network})",
            stop=stop,
        )
        return tagger, run


@dataclass(frozen=True)
class ClassifierTest:
    """Outcome of `classifier_test`.

    Attributes
    ----------
    runs : pandas.DataFrame
        One row a kind of jets, network and seed: ``accuracy`` and mean area ``auc`` of each class against all others,
        with ``_err`` from the number of test jets; ``steps``, ``train_jets``, ``test_jets``, ``seconds``.
    classes : pandas.DataFrame
        For each of them one row a class with the columns of `jetlab.evaluate.tagging_table`.
    complete : bool
        Whether all networks were trained; False if stopped before, such as by Ctrl-C.
    """

    runs: pd.DataFrame
    classes: pd.DataFrame
    complete: bool = True

    def table(self, reference: str = "original") -> pd.DataFrame:
        """Mean over the seeds for each kind of jets and network, and what is lost against the reference.

        Parameters
        ----------
        reference : str
            The kind of jets that others are compared with, seed by seed.

        Returns
        -------
        pandas.DataFrame
            Columns ``kind``, ``network``, ``seeds``, ``accuracy`` and ``accuracy_sd`` (over the seeds; NaN for one),
            ``accuracy_err`` (from the number of test jets), ``auc``, ``auc_sd``, ``lost`` (accuracy of the reference
            minus this one) and ``lost_sd`` over the seeds.
        """
        import pandas as pd

        rows = []
        of_reference = self.runs[self.runs["kind"] == reference].set_index(["network", "seed"])["accuracy"]
        for (kind, network), runs in self.runs.groupby(["kind", "network"], sort=False):
            here = runs.set_index(["network", "seed"])["accuracy"]
            lost = (of_reference - here).dropna()
            rows.append(
                {
                    "kind": kind, "network": network, "seeds": len(runs), "accuracy": runs["accuracy"].mean(),
                    "accuracy_sd": runs["accuracy"].std(), "accuracy_err": runs["accuracy_err"].mean(),
                    "auc": runs["auc"].mean(), "auc_sd": runs["auc"].std(), "lost": lost.mean(), "lost_sd": lost.std(),
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    def rejections(self) -> pd.DataFrame:
        """Mean and standard deviation over the seeds of what each class is told from the background by.

        Returns
        -------
        pandas.DataFrame
            Columns ``kind``, ``network``, ``class``, ``working_point``, ``rejection`` with ``_sd`` over the seeds and
            ``_err`` from the number of background jets, ``efficiency`` and ``auc`` with ``_sd``.
        """
        grouped = self.classes.groupby(["kind", "network", "class"], sort=False)
        names = ["rejection", "efficiency", "auc"]
        means = grouped[["working_point", "rejection_err", *names]].mean()
        return means.join(grouped[names].std().add_suffix("_sd")).reset_index()


def classifier_test(
    train: Mapping[str, Jets | Callable[[], Jets]],
    test: Mapping[str, Jets | Callable[[], Jets]],
    *,
    classifiers: Sequence[Classifier] = (Classifier(),),
    seeds: Sequence[int] = (0, 1, 2),
    out: str | Path | None = None,
    about: Mapping[str, Any] | None = None,
    progress: bool | Callable[[int, int], None] = False,
    stop: Callable[[], bool] | None = None,
) -> ClassifierTest:
    """Train the same networks on several kinds of the same jets and measure each on held-out jets of its kind.

    Parameters
    ----------
    train, test : mapping of str to Jets
        Labelled jets by kind, such as ``"original"`` and the names of tokenizers; or functions that give them, which
        are called only where a result lacks.
    classifiers : sequence of Classifier
    seeds : sequence of int
        Each classifier is trained anew with each seed.
    out : str or Path, optional
        Folder where each result is kept as soon as it is there; the same call goes on with those that lack.
    about : mapping, optional
        JSON-safe facts about the jets; results in `out` that were made with others are made anew.
    progress, stop
        As for `jetlab.fit`, for each training.

    Raises
    ------
    InvalidJetsError
        If kinds lack in `test`, or jets carry no labels.
    """
    import pandas as pd

    missing = [kind for kind in train if kind not in test]
    if missing:
        msg = f"there are no test jets of the kinds {', '.join(missing)}"
        raise InvalidJetsError(msg)
    runs, classes, complete = [], [], True
    given: dict[str, tuple[Jets, Jets]] = {}
    for kind, classifier, seed in product(train, classifiers, seeds):
        asked = asdict(classifier) | dict(about or {})
        path = None if out is None else Path(out) / f"{kind}-{classifier.network}-{seed}.json"
        found = _kept(path, asked)
        if found is None and complete and not (stop is not None and stop()):
            if kind not in given:
                given = {kind: (_given(train[kind]), _given(test[kind]))}
            began = time.perf_counter()
            tagger, run = classifier.train(given[kind][0], seed=seed, progress=progress, stop=stop)
            if run.finished:
                found = {"asked": asked, **_measured(tagger, given[kind][1])}
                sizes = dict(zip(("train_jets", "test_jets"), map(len, given[kind]), strict=True))
                found["run"] |= {"seconds": time.perf_counter() - began, "steps": classifier.steps, **sizes}
                _keep(path, found)
        if found is None:
            complete = False
            continue
        name = {"kind": kind, "network": classifier.network, "seed": seed}
        runs.append(name | found["run"])
        classes += [name | row for row in found["classes"]]
    return ClassifierTest(pd.DataFrame(runs), pd.DataFrame(classes), complete)


def _given(jets: Jets | Callable[[], Jets]) -> Jets:
    return jets if isinstance(jets, Jets) else jets()


def _measured(tagger: Tagger, test: Jets) -> dict[str, Any]:
    """Numbers of one classifier on jets of the classes that occur, in plain types."""
    if test.label is None:
        msg = "the test jets carry no labels, so nothing can be said about how many are recognised"
        raise InvalidJetsError(msg)
    occurring = list(test.class_counts())
    scores = classify(tagger, test, batch_size=AT_ONCE, progress=False)[occurring]
    scores = scores.div(scores.sum(axis=1), axis=0)
    place = np.full(len(test.classes), -1)
    place[[test.classes.index(name) for name in occurring]] = np.arange(len(occurring))
    label = place[test.label]
    accuracy, error = confusion_matrix(scores, label).accuracy
    table = tagging_table(scores, label, background="QCD" if "QCD" in occurring else occurring[0])
    run = {"accuracy": accuracy, "accuracy_err": error}
    run |= {name: float(table[name].mean()) for name in ("auc", "auc_err")}
    return {"run": run, "classes": table.reset_index().to_dict("records")}


def _kept(path: Path | None, asked: dict[str, Any]) -> dict[str, Any] | None:
    if path is None or not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if found["asked"] == asked else None


def _keep(path: Path | None, found: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
