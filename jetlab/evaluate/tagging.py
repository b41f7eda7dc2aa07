"""How good a tagger is: confusion matrix, accuracy, areas under curves, rejections; all with uncertainties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "WORKING_POINTS",
    "Confusion",
    "auc",
    "binomial_error",
    "confusion_matrix",
    "rejection",
    "separation",
    "tagging_table",
]

WORKING_POINTS = {"Hqql": 0.99, "Tbl": 0.995}
"""Signal efficiencies at which rejections of JetClass are quoted (arXiv:2202.03772); 0.5 for all other classes."""


@dataclass(frozen=True)
class Confusion:
    """How often jets of each true class are taken for each class.

    Attributes
    ----------
    counts : pandas.DataFrame
        Jets; rows are true classes, columns predicted ones.
    """

    counts: pd.DataFrame

    @property
    def rates(self) -> pd.DataFrame:
        """Share of each true class that is taken for each class; rows add up to one, NaN for a class without jets."""
        totals = self.counts.sum(axis=1)
        return self.counts.div(totals.where(totals > 0), axis=0)

    @property
    def errors(self) -> pd.DataFrame:
        """Binomial uncertainties of `rates`."""
        import pandas as pd

        passed, total = self.counts.to_numpy(), self.counts.sum(axis=1).to_numpy()[:, None]
        return pd.DataFrame(binomial_error(passed, total), index=self.counts.index, columns=self.counts.columns)

    @property
    def accuracy(self) -> tuple[float, float]:
        """Share of all jets that are taken for what they are, and its binomial uncertainty."""
        right, total = float(np.trace(self.counts.to_numpy())), float(self.counts.to_numpy().sum())
        return right / total, float(binomial_error(np.array(right), np.array(total)))


def confusion_matrix(probabilities: pd.DataFrame, label: npt.ArrayLike) -> Confusion:
    """Count which class jets are taken for: the one of the highest probability.

    Parameters
    ----------
    probabilities : pandas.DataFrame
        One row a jet, one column a class, from `jetlab.tasks.classify`.
    label : array_like of int, shape (n,)
        True classes, as places of the columns.

    Raises
    ------
    InvalidJetsError
        If there are no jets, lengths differ, labels name no column or probabilities are not finite.
    """
    import pandas as pd

    values, true = _checked(probabilities, label)
    names, size = list(probabilities.columns), values.shape[1]
    counts = np.bincount(true * size + values.argmax(axis=1), minlength=size * size).reshape(size, size)
    rows, columns = pd.Index(names, name="true"), pd.Index(names, name="predicted")
    return Confusion(pd.DataFrame(counts, index=rows, columns=columns))


def binomial_error(passed: npt.NDArray[Any], total: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Standard deviation of the share ``passed / total``, of the same shape; NaN without any.

    It is that of the posterior of a share with a flat prior, which does not vanish where nothing or all passed.
    """
    a, b = np.asarray(passed, np.float64) + 1, np.asarray(total, np.float64) - passed + 1
    error = np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    return np.where(np.asarray(total) > 0, error, np.nan)


def auc(signal: npt.NDArray[Any], background: npt.NDArray[Any]) -> tuple[float, float]:
    """Area under the efficiency curve and its standard deviation (Hanley and McNeil, Radiology 143, 29, 1982).

    Parameters
    ----------
    signal, background : ndarray, shapes (n,) and (m,)
        Scores; higher is more signal-like. Equal ones count half.

    Returns
    -------
    area, error : float
        NaN if either is empty.
    """
    from scipy.stats import rankdata

    n, m = len(signal), len(background)
    if not n or not m:
        return float("nan"), float("nan")
    ranks = rankdata(np.concatenate([signal, background]))
    area = float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
    of_pairs = (n - 1) * (area / (2 - area) - area**2) + (m - 1) * (2 * area**2 / (1 + area) - area**2)
    return area, float(np.sqrt(max(area * (1 - area) + of_pairs, 0.0) / (n * m)))


def rejection(signal: npt.NDArray[Any], background: npt.NDArray[Any], *, efficiency: float) -> tuple[float, float]:
    """One over the background efficiency where this share of the signal passes, with its counting uncertainty.

    Parameters
    ----------
    signal, background : ndarray, shapes (n,) and (m,)
        Scores; higher is more signal-like.
    efficiency : float
        Of the signal, between 0 and 1.

    Returns
    -------
    value, error : float
        Where no background passes: the number of background jets, a lower bound, with an infinite uncertainty.
    """
    if not len(signal) or not len(background):
        return float("nan"), float("nan")
    cut = np.sort(signal)[::-1][max(int(np.ceil(efficiency * len(signal))) - 1, 0)]
    passed = int((background >= cut).sum())
    if not passed:
        return float(len(background)), float("inf")
    value = len(background) / passed
    return value, value / np.sqrt(passed)


def separation(
    probabilities: pd.DataFrame, label: npt.ArrayLike, *, background: str, efficiencies: tuple[float, ...] = (0.5, 0.3)
) -> dict[str, float]:
    """How well the classes are told apart, in a few numbers.

    Parameters
    ----------
    probabilities : pandas.DataFrame
        As for `confusion_matrix`.
    label : array_like of int, shape (n,)
        True classes, as places of the columns.
    background : str
        Class that rejections refer to; the score is p(class) / (p(class) + p(background)).
    efficiencies : tuple of float
        Signal efficiencies of the rejections.

    Returns
    -------
    dict of str to float
        ``accuracy``; ``auc``, the mean over all pairs of classes; ``rejection_50`` and so on in per cent of the signal,
        the geometric mean over the other classes. Each with ``_err`` from the number of jets; the errors of pairs are
        taken as fully correlated.

    Raises
    ------
    InvalidJetsError
        As for `confusion_matrix`, or if the background is none of the classes.
    """
    values, true = _checked(probabilities, label)
    names = list(probabilities.columns)
    if background not in names:
        msg = f"background {background!r} is none of the classes {', '.join(names)}"
        raise InvalidJetsError(msg)
    accuracy, error = confusion_matrix(probabilities, true).accuracy
    found = {"accuracy": accuracy, "accuracy_err": error}
    areas = [auc(*_scores(values, true, k, other)) for k in range(len(names)) for other in range(k)]
    found["auc"], found["auc_err"] = (float(np.mean(part)) for part in zip(*areas, strict=True))
    other = names.index(background)
    for efficiency in efficiencies:
        pairs = [
            rejection(*_scores(values, true, k, other), efficiency=efficiency) for k in range(len(names)) if k != other
        ]
        value = float(np.exp(np.mean(np.log([rejected for rejected, _ in pairs]))))
        relative = float(np.mean([err / rejected for rejected, err in pairs]))
        found |= {f"rejection_{100 * efficiency:.0f}": value, f"rejection_{100 * efficiency:.0f}_err": value * relative}
    return found


def _scores(
    values: npt.NDArray[Any], true: npt.NDArray[Any], k: int, other: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """p(k) / (p(k) + p(other)) of the jets of class k and of class `other`."""
    score = values[:, k] / np.maximum(values[:, k] + values[:, other], 1e-30)
    return score[true == k], score[true == other]


def tagging_table(
    probabilities: pd.DataFrame,
    label: npt.ArrayLike,
    *,
    background: str = "QCD",
    efficiencies: Mapping[str, float] = WORKING_POINTS,
) -> pd.DataFrame:
    """One row a class: how many jets are recognised, and how well the class stands out from the background.

    Parameters
    ----------
    probabilities : pandas.DataFrame
        As for `confusion_matrix`.
    label : array_like of int, shape (n,)
        True classes, as places of the columns.
    background : str
        Class that rejections refer to; the score is p(class) / (p(class) + p(background)).
    efficiencies : mapping of str to float
        Signal efficiency at which the rejection of a class is taken, 0.5 for those not named.

    Returns
    -------
    pandas.DataFrame
        Columns ``jets``, ``efficiency`` (share recognised as this class), ``auc`` (against all other classes),
        ``auc_background``, ``working_point`` and ``rejection``, the measures each with ``_err``.

    Raises
    ------
    InvalidJetsError
        As for `confusion_matrix`, or if the background is none of the classes.
    """
    import pandas as pd

    values, true = _checked(probabilities, label)
    names = list(probabilities.columns)
    if background not in names:
        msg = f"background {background!r} is none of the classes {', '.join(names)}"
        raise InvalidJetsError(msg)
    confusion = confusion_matrix(probabilities, true)
    rows = []
    for k, name in enumerate(names):
        row = {"jets": int((true == k).sum()), "efficiency": confusion.rates.iloc[k, k]}
        row |= {"efficiency_err": confusion.errors.iloc[k, k]}
        row["auc"], row["auc_err"] = auc(values[true == k, k], values[true != k, k])
        rows.append(row | _against(values, true, k, names.index(background), efficiencies.get(name, 0.5)))
    return pd.DataFrame(rows, index=pd.Index(names, name="class"))


def _against(values: npt.NDArray[Any], true: npt.NDArray[Any], k: int, other: int, point: float) -> dict[str, float]:
    """How well class k stands out from class `other` alone; NaN for the background itself."""
    names = ("auc_background", "auc_background_err", "working_point", "rejection", "rejection_err")
    if k == other:
        return dict.fromkeys(names, float("nan"))
    signal, background = _scores(values, true, k, other)
    return dict(
        zip(names, (*auc(signal, background), point, *rejection(signal, background, efficiency=point)), strict=True)
    )


def _checked(
    probabilities: pd.DataFrame, label: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    values, true = probabilities.to_numpy(dtype=np.float64), np.asarray(label)
    if not len(values) or true.shape != (len(values),):
        msg = f"found labels of shape {true.shape} for {len(values)} jets, expected one label for each of at least one"
        raise InvalidJetsError(msg)
    if not np.isfinite(values).all():
        msg = f"{int((~np.isfinite(values)).any(axis=1).sum())} jets have no probabilities; were they all classified?"
        raise InvalidJetsError(msg)
    if true.dtype.kind not in "iu" or true.min() < 0 or true.max() >= values.shape[1]:
        msg = f"labels run from {true.min()} to {true.max()}, expected whole numbers from 0 to {values.shape[1] - 1}"
        raise InvalidJetsError(msg)
    return values, true.astype(np.int64)
