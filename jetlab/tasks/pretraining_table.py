"""What a study of pretraining has found, and its table: one row a way to pretrain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jetlab.tasks.pretraining_methods import METHODS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PretrainingStudy", "pretraining_table"]


@dataclass(frozen=True)
class PretrainingStudy:
    """Outcome of `pretraining_study`.

    Attributes
    ----------
    pretraining : pandas.DataFrame
        One row a method and seed: ``steps``, ``cpu_seconds`` really taken, ``labels`` that the encoder learned from.
    tagging : pandas.DataFrame
        One row a method, number of labels and seed, with the measures of `jetlab.tasks.transfer.transfer_curve`.
    generation : pandas.DataFrame
        The rows of `jetlab.tasks.generation.generation_table`, with ``method`` and ``seed``.
    complete : bool
        Whether all was done; False if stopped.
    """

    pretraining: pd.DataFrame
    tagging: pd.DataFrame
    generation: pd.DataFrame
    complete: bool


def pretraining_table(study: PretrainingStudy) -> pd.DataFrame:
    """One row a way to pretrain: median over the seeds, with the range.

    Parameters
    ----------
    study : PretrainingStudy

    Returns
    -------
    pandas.DataFrame
        Columns ``method``, ``name``, ``seeds``, ``steps`` and ``cpu_seconds`` of the pretraining, ``labels`` that it
        had; for each number of labels ``accuracy_<labels>`` and ``auc_<labels>``; ``distance``, the median over classes
        and observables of the Wasserstein-1 distance of generated jets, in units of that between two true samples. Each
        with ``_low`` and ``_high``, its range over the seeds.
    """
    import pandas as pd

    rows = []
    for method, trained in study.pretraining.groupby("method", sort=False):
        row: dict[str, Any] = {"method": method, "name": METHODS[str(method)], "seeds": len(trained)}
        row |= {name: trained[name].median() for name in ("steps", "cpu_seconds", "labels")}
        tagged = study.tagging[study.tagging["method"] == method]
        for labels, group in tagged.groupby("labels"):
            for name in ("accuracy", "auc"):
                row |= _spread(f"{name}_{labels}", group[name])
        if len(study.generation):
            generated = study.generation[study.generation["method"] == method]
            multiple = generated["value"] / generated["floor"]
            row |= _spread("distance", multiple.groupby(generated["seed"]).median())
        rows.append(row)
    return pd.DataFrame(rows)


def _spread(name: str, values: pd.Series) -> dict[str, float]:
    return {name: values.median(), f"{name}_low": values.min(), f"{name}_high": values.max()}
