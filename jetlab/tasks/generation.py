"""How good generated jets are, class by class: every measure beside its truth-vs-truth floor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jetlab.errors import InvalidJetsError
from jetlab.evaluate import compare_by_class, observe, physics_distances
from jetlab.evaluate.frechet import FEWEST
from jetlab.observables.energyflow import energy_flow_polynomials
from jetlab.tasks.classifier_test import Classifier
from jetlab.tasks.two_sample import BRIEF, two_sample_test

if TYPE_CHECKING:
    import pandas as pd

    from jetlab.jets import Jets

__all__ = ["COLUMNS", "GENERATION_OBSERVABLES", "generation_table"]

GENERATION_OBSERVABLES = (
    "mass", "tau21", "tau32", "d2", "multiplicity", "constituent_pt", "constituent_deta", "constituent_dphi",
)  # fmt: skip

COLUMNS = (
    "against", "class", "measure", "unit", "value", "error", "floor", "floor_sd", "z", "n_reference", "n_generated",
    "note",
)  # fmt: skip
"""Columns of `generation_table`."""


def generation_table(
    generated: Jets,
    true: Jets,
    reconstructed: Jets | None = None,
    *,
    observables: Sequence[str] = GENERATION_OBSERVABLES,
    bootstrap: int = 100,
    floors: int = 10,
    classifier: Classifier = BRIEF,
    seeds: Sequence[int] = (0, 1, 2),
    seed: int = 0,
    progress: bool | Callable[[int, int], None] = False,
) -> pd.DataFrame:
    """Measure generated jets against true ones and against the same true jets rebuilt from their tokens.

    Against rebuilt jets one sees the generator alone, against true ones generator and tokenizer together.

    Parameters
    ----------
    generated, true : Jets
        Labelled jets with the same class list; the true ones unknown to the model.
    reconstructed : Jets, optional
        The true jets after tokenization, such as ``jetlab.evaluate.rebuild(tokenizer, true).jets``.
    observables : sequence of str
        Of which the Wasserstein-1 distance is measured.
    bootstrap : int
        Resamplings for uncertainties and floors of these.
    floors : int
        Pairs of true samples for the floors of FPD and KPD; 0 leaves both out.
    classifier, seeds
        Of the classifier test, see `jetlab.tasks.two_sample.two_sample_test`; no seeds leave it out.
    seed : int
        Of all resamplings.
    progress : bool or callable
        True for a progress bar, or a function called with (done, total) pairs of classes and references.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`. ``against`` is ``true`` or ``reconstructed``; ``measure`` is ``w1`` with the name of the
        observable, ``fpd``, ``kpd``, or ``classifier auc``. ``error`` is the bootstrap deviation of W1, the fit error
        of FPD, half of the range from 16 to 84 % of KPD, and the statistical error of the area. ``floor`` is what
        two samples of reference jets of these sizes give, ``floor_sd`` its spread and ``z`` the value above it in
        units of the spread.

    Raises
    ------
    InvalidJetsError
        If a sample has no labels, or class lists differ.
    """
    import pandas as pd

    references = {"true": true} | ({} if reconstructed is None else {"reconstructed": reconstructed})
    for role, jets in (("generated", generated), *references.items()):
        if jets.label is None or jets.classes != true.classes:
            msg = f"the {role} jets need labels of the classes {', '.join(true.classes)} to be measured class by class"
            raise InvalidJetsError(msg)
    classes = [name for name in generated.class_counts() if name in true.class_counts()]
    rows: list[dict[str, Any]] = []
    ours = observe(generated, observables)
    with _Steps(progress, len(references) * (len(classes) + 1)) as step:
        for role, reference in references.items():
            table = compare_by_class(observe(reference, observables), ours, bootstrap=bootstrap, seed=seed)
            rows += [_distance_row(role, row) for row in table.to_dict("records") if row["class"] in classes]
            step()
            for name in classes:
                pair = reference[name], generated[name]
                where = {"against": role, "class": name, "unit": ""}
                sizes = {"n_reference": len(pair[0]), "n_generated": len(pair[1])}
                if floors and min(map(len, pair)) >= FEWEST:
                    features = [energy_flow_polynomials(jets) for jets in pair]
                    found = physics_distances(*features, floors=floors, seed=seed)
                    found = found.drop(columns=["n_true", "n_generated"]).reset_index()
                    rows += [where | sizes | row for row in found.to_dict("records")]
                if seeds and min(map(len, pair)) >= 2 * FEWEST:
                    test = two_sample_test(*pair, classifier=classifier, seeds=seeds)
                    rows.append(where | sizes | _classifier_row(test, classifier, len(seeds)))
                step()
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _distance_row(role: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "against": role, "class": row["class"], "measure": f"w1 {row['observable']}", "unit": row["unit"],
        "value": row["w1"], "error": row["w1_err"], "floor": row["floor"], "floor_sd": row["floor_sd"], "z": row["z"],
        "n_reference": row["n_true"], "n_generated": row["n_generated"], "note": row["note"],
    }  # fmt: skip


def _classifier_row(test: Mapping[str, float], classifier: Classifier, seeds: int) -> dict[str, Any]:
    note = f"{classifier.network}, {classifier.steps} steps, {seeds} seeds; floor: two parts of {test['n_floor']} jets"
    taken = {name: test[name] for name in ("value", "error", "floor", "floor_sd", "z")}
    return {"measure": "classifier auc", **taken, "note": note}


class _Steps:
    """Progress over a known number of steps."""

    def __init__(self, progress: bool | Callable[[int, int], None], total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._bar: Any = None

    def __enter__(self) -> Callable[[], None]:
        if self._progress is True:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._total, desc="Measuring", unit="class")
        return self._step

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _step(self) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.update(1)
        elif callable(self._progress):
            self._progress(self._done, self._total)
