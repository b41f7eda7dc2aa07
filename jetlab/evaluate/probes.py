"""What a simple reader can tell from embeddings of jets: a linear one, and the nearest neighbours.

The usual measures of self-supervised learning: labels are used to read what was learned without them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.evaluate.tagging import binomial_error

__all__ = ["Embedded", "linear_probe", "neighbour_probe"]

FloatArray = npt.NDArray[np.float64]


class Embedded(NamedTuple):
    """Embeddings of jets, shape ``(n, D)``, and their classes, whole numbers from 0, shape ``(n,)``."""

    values: npt.NDArray[np.floating]
    label: npt.NDArray[np.int64]


def linear_probe(known: Embedded, asked: Embedded, *, penalty: float = 1e-3, steps: int = 100) -> tuple[float, float]:
    """Accuracy of a linear classifier of embeddings.

    A multinomial logistic regression of standardised embeddings, by L-BFGS.

    Parameters
    ----------
    known, asked : Embedded
        What it learns from, and what it is asked about.
    penalty : float
        On half the squared weights, beside the mean cross-entropy.
    steps : int
        Most iterations.

    Returns
    -------
    accuracy, error : float
        The share of right answers with its binomial uncertainty.

    Raises
    ------
    InvalidJetsError
        If there are no jets, shapes do not match or embeddings are not finite.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    _check(known, asked)
    mean, spread = known.values.mean(axis=0, dtype=np.float64), known.values.std(axis=0, dtype=np.float64)
    x, y = ((part.values - mean) / np.where(spread > 0, spread, 1) for part in (known, asked))  # (n, D)
    truth = np.eye(int(known.label.max()) + 1)[known.label]  # (n, K)
    shape = (x.shape[1] + 1, truth.shape[1])

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        w = flat.reshape(shape)
        logs = log_softmax(x @ w[:-1] + w[-1], axis=1)
        wrong = (np.exp(logs) - truth) / len(x)
        slope = np.concatenate([x.T @ wrong + penalty * w[:-1], wrong.sum(axis=0)[None]])
        return float(-(truth * logs).sum() / len(x) + penalty / 2 * (w[:-1] ** 2).sum()), slope.ravel()

    found = minimize(loss, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B", options={"maxiter": steps})
    w = found.x.reshape(shape)
    return _share((y @ w[:-1] + w[-1]).argmax(axis=1) == asked.label)


def neighbour_probe(known: Embedded, asked: Embedded, *, neighbours: int = 20) -> tuple[float, float]:
    """Accuracy of the majority among the nearest jets, by the angle between embeddings.

    Parameters
    ----------
    known, asked : Embedded
        Jets with known classes, and jets that are asked about.
    neighbours : int
        How many of the former have a vote; the nearer one decides a tie.

    Returns
    -------
    accuracy, error : float
        As for `linear_probe`.

    Raises
    ------
    InvalidJetsError
        As for `linear_probe`, or if fewer jets are known than are to have a vote.
    """
    _check(known, asked)
    if not 1 <= neighbours <= len(known.values):
        msg = f"{neighbours} neighbours are asked for among {len(known.values)} jets; expected 1 to that many"
        raise InvalidJetsError(msg)
    a, b = (_directions(part.values) for part in (asked, known))
    nearest = np.argsort(-(a @ b.T), axis=1, kind="stable")[:, :neighbours]
    votes = np.zeros((len(a), int(known.label.max()) + 1))
    weights = 1 + 1e-6 * np.arange(neighbours, 0, -1)  # a tie goes to the nearer ones
    np.add.at(votes, (np.arange(len(a))[:, None], known.label[nearest]), weights)
    return _share(votes.argmax(axis=1) == asked.label)


def _directions(values: npt.NDArray[np.floating]) -> FloatArray:
    lengths = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1)


def _share(right: npt.NDArray[np.bool_]) -> tuple[float, float]:
    return float(right.mean()), float(binomial_error(right.sum(), np.array(len(right))))


def _check(known: Embedded, asked: Embedded) -> None:
    for name, (values, label) in (("known", known), ("asked", asked)):
        if values.ndim != 2 or not len(values) or label.shape != (len(values),):
            msg = f"{name} embeddings have shape {values.shape} and labels {label.shape}; expected (n, D) and (n,)"
            raise InvalidJetsError(msg)
        if not np.isfinite(values).all():
            msg = f"{int((~np.isfinite(values)).any(axis=1).sum())} of the {name} embeddings are not finite"
            raise InvalidJetsError(msg)
    if known.values.shape[1] != asked.values.shape[1]:
        msg = f"known embeddings are {known.values.shape[1]} wide, those asked about {asked.values.shape[1]}"
        raise InvalidJetsError(msg)
