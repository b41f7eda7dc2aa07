"""Tagging: what a tagger makes of jets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.jets import Events

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from jetlab.jets import Jets

__all__ = ["classify", "remembered_inputs"]


def classify(
    tagger: nn.Module,
    jets: Jets | Events,
    *,
    batch_size: int = 32,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Give the class probabilities of jets.

    Parameters
    ----------
    tagger : Tagger or JetFlow
        From `jetlab.from_pretrained`, on the device where it should work.
    jets : Jets or Events
        What the tagger reads, with the constituent fields that its recipe needs; labels are not used.
    batch_size : int
        Jets at once, of similar length.
    progress : bool or callable
        True for a progress bar, or a function called with (done, total).
    stop : callable, optional
        Asked between batches; True leaves the remaining jets at NaN.

    Returns
    -------
    pandas.DataFrame
        One row a jet, one column a class of the tagger; rows add up to one.

    Raises
    ------
    JetLabError
        If the model is no tagger or `batch_size` is no positive number.
    InvalidJetsError
        If there are no jets, or their constituents lack a field.
    """
    import pandas as pd

    reader = _checked(tagger, jets)
    if batch_size < 1:
        msg = f"batch_size is {batch_size}, expected at least 1"
        raise JetLabError(msg)
    jet_set = reader.prepare(jets)
    order = np.argsort(jet_set.lengths, kind="stable")
    probabilities = np.full((len(jets), len(reader.classes)), np.nan, np.float32)
    device = next(reader.parameters()).device
    report, close = _reporter(progress, len(jets), unit="event" if isinstance(jets, Events) else "jet")
    was_training = reader.training
    reader.eval()
    try:
        with torch.inference_mode():
            for first in range(0, len(jets), batch_size):
                if stop is not None and stop():
                    break
                rows = order[first : first + batch_size]
                probabilities[rows] = reader(jet_set.batch(rows).to(device)).float().softmax(1).cpu().numpy()
                report(first + len(rows), len(jets))
    finally:
        reader.train(was_training)
        close()
    return pd.DataFrame(probabilities, columns=list(reader.classes))


def remembered_inputs(tagger: nn.Module, jets: Jets, *, slots: int = 128) -> pd.DataFrame:
    """Compare jets with those that a tagger has learned from, as its input norm remembers them.

    The norm keeps mean and variance of every input over the last few thousand training jets, padded with zeros to a
    fixed length. Times that length they are sums over the constituents of a jet: of the inputs and of their squares.
    For the flags of particle types that is the mean number of constituents of each type.

    Parameters
    ----------
    tagger : Tagger
        With an input norm that learned from zero-padded jets, such as the ParticleNets published with JetClass.
    jets : Jets
        Jets in the same mixture of classes.
    slots : int
        Length that the training jets were padded to.

    Returns
    -------
    pandas.DataFrame
        One row an input: ``training``, ``jets`` and ``jets_err`` for the sum over the constituents of a jet, the same
        with ``_squares`` for the sum of squares.
    """
    import pandas as pd

    reader = _checked(tagger, jets)
    norm = reader.backbone.norm
    mean, variance = (norm.get_buffer(name).double().cpu().numpy() for name in ("running_mean", "running_var"))
    features = reader.recipe.transform(jets)
    jet = np.repeat(np.arange(len(jets)), np.diff(features.offsets))
    table = pd.DataFrame(index=pd.Index([f.field for f in reader.recipe.features], name="input"))
    for ending, power, training in (("", 1, mean), ("_squares", 2, variance + mean**2)):
        columns = features.x.astype(np.float64).T ** power
        sums = np.stack([np.bincount(jet, weights=column, minlength=len(jets)) for column in columns])
        table[f"training{ending}"] = slots * training
        table[f"jets{ending}"] = sums.mean(axis=1)
        table[f"jets{ending}_err"] = sums.std(axis=1) / np.sqrt(len(jets))
    return table


def _checked(tagger: nn.Module, jets: Jets | Events) -> Any:
    from jetlab.models.jetflow import JetFlow
    from jetlab.models.tagger import Tagger

    if not isinstance(tagger, Tagger | JetFlow):
        msg = f"expected a Tagger or a JetFlow, found a {type(tagger).__name__}; jetlab.from_pretrained loads one"
        raise JetLabError(msg)
    if not len(jets):
        msg = f"there are no {'events' if isinstance(jets, Events) else 'jets'} to classify; expected at least one"
        raise InvalidJetsError(msg)
    return tagger


def _reporter(
    progress: bool | Callable[[int, int], None], total: int, *, unit: str
) -> tuple[Callable[[int, int], None], Callable[[], Any]]:
    if callable(progress):
        return progress, lambda: None
    from tqdm.auto import tqdm

    bar = tqdm(total=total, unit=unit, desc="Classifying", disable=not progress)
    return lambda done, _: bar.update(done - bar.n), bar.close
