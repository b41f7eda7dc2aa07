"""Everything that is measured of one tokenizer, kept in a folder so that it is measured once."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetlab.evaluate import cloud_spread, codebook_counts, codebook_usage, compare, rebuild, resolution, token_cloud

if TYPE_CHECKING:
    import pandas as pd

    from jetlab.evaluate import Observed
    from jetlab.evaluate.tokens import Tokenizer
    from jetlab.jets import Jets

__all__ = ["TokenMeasures", "keep", "kept", "measure_tokenizer"]

CLOUD_JETS = 2000
"""Jets that the surroundings of the clouds are taken from."""


@dataclass(frozen=True)
class TokenMeasures:
    """Measures of one tokenizer as tables.

    Attributes
    ----------
    usage, resolution, cloud
        As from `jetlab.evaluate.codebook_usage`, `resolution` and `token_cloud`.
    distances : pandas.DataFrame
        Wasserstein-1 distances of rebuilt from true jets with their floors, as `jetlab.evaluate.Comparison.table`.
    counts : pandas.DataFrame
        How often each code occurs: column ``count``.
    values : pandas.DataFrame
        One row a test jet: ``class`` and, for each quantity, ``true_`` and ``rebuilt_`` values.
    """

    usage: pd.DataFrame
    resolution: pd.DataFrame
    distances: pd.DataFrame
    cloud: pd.DataFrame
    counts: pd.DataFrame
    values: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write a parquet file a table."""
        for name in (f.name for f in fields(self)):
            getattr(self, name).to_parquet(folder / f"{name}.parquet")

    @staticmethod
    def load(folder: Path) -> TokenMeasures:
        """Read what `save` wrote."""
        import pandas as pd

        return TokenMeasures(**{f.name: pd.read_parquet(folder / f"{f.name}.parquet") for f in fields(TokenMeasures)})

    def summary(self) -> dict[str, float]:
        """The numbers of a row of a table of tokenizers: use of the codebook, resolutions, distances, clouds."""
        used = self.usage.loc["all"]
        row = {key: used[key] for key in ("codebook_size", "utilisation", "utilisation_err")}
        row |= {key: used[key] for key in ("perplexity", "perplexity_err")}
        for part in self.resolution[self.resolution["class"] == "all"].to_dict("records"):
            keys = ("bias", "bias_err", "iqr", "iqr_err", "tail", "tail_err", "far", "far_err")
            row |= {f"{part['quantity']}_{key}": part[key] for key in keys}
        for name, part in self.distances.iterrows():
            row |= {f"{name}_{key}": part[key] for key in ("w1", "w1_err", "floor", "floor_sd")}
        spread = cloud_spread(self.cloud)[["pt_iqr", "deta_iqr", "dphi_iqr"]].median()
        return row | {f"cloud_{key}": value for key, value in spread.items()}


def measure_tokenizer(
    tokenizer: Tokenizer,
    test: Jets,
    *,
    true: Observed | None = None,
    bootstrap: int = 100,
    contexts: int = 500,
    seed: int = 0,
) -> tuple[TokenMeasures, Observed]:
    """Measure what a tokenizer keeps of jets that it has not learned from.

    Parameters
    ----------
    tokenizer : Tokenizer
    test : Jets
    true : Observed, optional
        Quantities of the true jets if they were computed before, such as by an earlier call.
    bootstrap : int
        Resamplings for uncertainties and floors.
    contexts : int
        Surroundings that each of six codes is decoded in.
    seed : int

    Returns
    -------
    measures : TokenMeasures
    true : Observed
        Quantities of the true jets, to be given to the next call.
    """
    import numpy as np
    import pandas as pd

    rebuilt = rebuild(tokenizer, test)
    if true is not None:
        rebuilt.knowing(true)
    values = {} if test.label is None else {"class": np.array(test.classes)[test.label]}
    for role, observed in (("true", rebuilt.observed_true), ("rebuilt", rebuilt.observed)):
        values |= {f"{role}_{name}": column.astype(np.float32) for name, column in observed.values.items()}
    distances = compare(rebuilt.observed_true, rebuilt.observed, bootstrap=bootstrap, seed=seed).table
    counts = pd.DataFrame({"count": codebook_counts(rebuilt.tokens)}).rename_axis("code")
    measures = TokenMeasures(
        codebook_usage(rebuilt.tokens),
        resolution(rebuilt, bootstrap=bootstrap, seed=seed),
        distances,
        token_cloud(tokenizer, test[:: max(1, len(test) // CLOUD_JETS)], contexts=contexts, seed=seed),
        counts,
        pd.DataFrame(values),
    )
    return measures, rebuilt.observed_true


def kept(folder: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """What was noted in a folder, if it was for the same task and all is there."""
    path = folder / "record.json"
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return record if record["asked"] == json.loads(json.dumps(asked)) else None


def keep(folder: Path, asked: dict[str, Any], began: float, **entries: Any) -> dict[str, Any]:
    """Note in a folder that a task was done, and how long it took."""
    record = {"asked": asked, "minutes": round((time.perf_counter() - began) / 60, 2), **entries}
    (folder / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record
