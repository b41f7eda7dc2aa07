"""The two-sample classifier test: whether a network can tell generated from true jets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jetlab.errors import InvalidJetsError
from jetlab.evaluate import auc
from jetlab.jets import Jets, concatenate
from jetlab.tasks.classifier_test import AT_ONCE, Classifier
from jetlab.tasks.tagging import classify

__all__ = ["BRIEF", "two_sample_test"]

FEWEST = 20

BRIEF = Classifier(steps=500, batch_size=128)
"""What a few hundred to a few thousand jets are told apart by."""


def two_sample_test(
    true: Jets,
    generated: Jets,
    *,
    classifier: Classifier = BRIEF,
    seeds: Sequence[int] = (0, 1, 2),
    progress: bool | Callable[[int, int], None] = False,
    stop: Callable[[], bool] | None = None,
) -> dict[str, float]:
    """How well a network tells two samples of jets apart, beside how well it tells true from true ones.

    It learns from a random half of each sample and is measured on the other half, anew for each seed.

    Parameters
    ----------
    true, generated : Jets
        At least 20 of each; labels are not used.
    classifier : Classifier
    seeds : sequence of int
        Of halves, weights and order.
    progress, stop
        As for `jetlab.fit`.

    Returns
    -------
    dict of str to float
        ``value``, the mean area under the curve (0.5 if nothing differs), and its ``error`` (from the number of jets
        and, with several seeds, their spread); ``floor``, the mean area between two disjoint random parts of the true
        jets, each as large as the generated sample where there are enough; ``floor_sd``, the spread that equal samples
        of the sizes of the test would have; ``z``; ``n_true``, ``n_generated``, ``n_floor`` (jets of each part).

    Raises
    ------
    InvalidJetsError
        If a sample is too small.
    """
    if min(len(true), len(generated)) < FEWEST:
        sizes = f"{len(true)} true and {len(generated)} generated jets"
        msg = f"found {sizes}; a classifier test needs at least {FEWEST} of each"
        raise InvalidJetsError(msg)

    def apart(a: Jets, b: Jets, seed: int) -> tuple[float, float]:
        return _told_apart(a, b, classifier=classifier, seed=seed, progress=progress, stop=stop)

    part = min(len(generated), len(true) // 2)
    found, null = [], []
    for seed in seeds:
        order = np.random.default_rng((seed, 1)).permutation(len(true))
        found.append(apart(true, generated, seed))
        null.append(apart(true[order[:part]], true[order[part : 2 * part]], seed))
    areas, errors = np.array(found).T
    spread = areas.std(ddof=1) / np.sqrt(len(areas)) if len(areas) > 1 else 0.0
    n, m = len(true) - len(true) // 2, len(generated) - len(generated) // 2
    floor, floor_sd = float(np.mean([area for area, _ in null])), float(np.sqrt((n + m + 1) / (12 * n * m)))
    value = float(areas.mean())
    return {
        "value": value, "error": float(np.hypot(errors.mean(), spread)), "floor": floor, "floor_sd": floor_sd,
        "z": (value - floor) / floor_sd, "n_true": len(true), "n_generated": len(generated), "n_floor": part,
    }  # fmt: skip


def _told_apart(
    a: Jets,
    b: Jets,
    *,
    classifier: Classifier,
    seed: int,
    progress: bool | Callable[[int, int], None],
    stop: Callable[[], bool] | None,
) -> tuple[float, float]:
    """Area with its error on the halves that the network has not learned from."""
    both, label = concatenate([_unlabelled(a), _unlabelled(b)]), np.repeat([0, 1], [len(a), len(b)])
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(np.flatnonzero(label == k)) for k in (0, 1)]
    learned = np.concatenate([rows[: len(rows) // 2] for rows in parts])
    others = np.concatenate([rows[len(rows) // 2 :] for rows in parts])
    names = ("true", "generated")
    tagger, _ = classifier.train(both[learned], label[learned], classes=names, seed=seed, progress=progress, stop=stop)
    score = classify(tagger, both[others], batch_size=AT_ONCE, progress=False)["generated"].to_numpy()
    return auc(score[label[others] == 1], score[label[others] == 0])


def _unlabelled(jets: Jets) -> Jets:
    """Only what classifiers look at, so that jets of any origin can be joined."""
    columns = {name: jets.flat(name) for name in ("pt", "eta", "phi", "mass")}
    return Jets.from_checked(jets.offsets, columns, p4=jets.p4)
