"""How well a model recognises the classes of jets: the figures of a model card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jetlab.errors import InvalidJetsError
from jetlab.evaluate import confusion_matrix, tagging_table, with_uncertainty
from jetlab.tasks.tagging import classify
from jetlab.vocabulary import CLASSES, class_named

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from jetlab.jets import Jets

__all__ = ["Recognition", "recognition"]


@dataclass(frozen=True)
class Recognition:
    """How well jets are taken for what they are.

    Attributes
    ----------
    accuracy, accuracy_err : float
        Share of all jets recognised, with its binomial uncertainty.
    classes : pandas.DataFrame
        As from `jetlab.evaluate.tagging_table`.
    background : str
        Class that rejections refer to.
    """

    accuracy: float
    accuracy_err: float
    classes: pd.DataFrame
    background: str

    @property
    def auc(self) -> tuple[float, float]:
        """Area under the curve of a class against all others, mean of the classes, and its uncertainty."""
        return float(self.classes["auc"].mean()), float(np.hypot.reduce(self.classes["auc_err"]) / len(self.classes))

    def report(self, command: str) -> str:
        """Markdown section of a model card: what was measured by which command, and the table.

        Parameters
        ----------
        command : str
            The command line that gives this result.
        """
        heads = ("class", "jets", "recognised", "AUC against all others", "at ε_S", "1/ε_B")
        lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for name, r in self.classes.iterrows():
            against = ("", "") if name == self.background else (
                f"{r['working_point']:g}", with_uncertainty(r["rejection"], r["rejection_err"])
            )  # fmt: skip
            cells = (
                class_named(str(name)).symbol if name in CLASSES else str(name),
                f"{r['jets']:,.0f}",
                with_uncertainty(r["efficiency"], r["efficiency_err"]),
                with_uncertainty(r["auc"], r["auc_err"]),
                *against,
            )
            lines.append("| " + " | ".join(cells) + " |")
        return (
            f"`{command}`: {with_uncertainty(self.accuracy, self.accuracy_err)} of {int(self.classes['jets'].sum()):,} "
            f"jets are taken for what they are; the AUC is {with_uncertainty(*self.auc)} (a class against all others, "
            f"mean of the classes). Rejections are of {self.background}; uncertainties are those from the number of "
            "jets.\n\n" + "\n".join(lines)
        )


def recognition(model: nn.Module, true: Jets, *, progress: bool | Callable[[int, int], None] = True) -> Recognition:
    """Let a model name the classes of jets, and measure how often it is right.

    Parameters
    ----------
    model : Tagger or JetFlow
        As for `jetlab.tasks.classify`.
    true : Jets
        Labelled jets that the model has not seen; those of classes that it does not know are left out.
    progress : bool or callable
        As for `jetlab.tasks.classify`.

    Raises
    ------
    InvalidJetsError
        If the jets carry no labels, or none is of a class that the model knows.
    JetLabError
        If the model is no tagger.
    """
    names = tuple(getattr(model, "classes", ()))
    places = np.array([names.index(c) if c in names else -1 for c in true.classes])
    label = np.full(len(true), -1) if true.label is None else places[true.label]
    known = np.flatnonzero(label >= 0)
    if not len(known):
        msg = f"none of the {len(true):,} jets is labelled with a class that the model knows ({', '.join(names)})"
        raise InvalidJetsError(msg)
    found = classify(model, true[known], progress=progress)
    background = "QCD" if "QCD" in names else names[0]
    table = tagging_table(found, label[known], background=background)
    return Recognition(*confusion_matrix(found, label[known]).accuracy, table, background)
