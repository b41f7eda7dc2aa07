"""Which tokenizer to choose: several kinds and sizes of codebooks, trained and measured alike, in one table.

Everything that is finished is kept, so that a study that was interrupted goes on with the same call.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.errors import JetLabError
from jetlab.evaluate import rebuild
from jetlab.models.tokenizers import KINDS, tokenizer_config
from jetlab.tasks.classifier_test import Classifier, ClassifierTest, classifier_test
from jetlab.tasks.token_measures import TokenMeasures, keep, kept, measure_tokenizer
from jetlab.tasks.tokenizers import train_tokenizer
from jetlab.zoo import from_pretrained, save_pretrained

if TYPE_CHECKING:
    import pandas as pd

    from jetlab.evaluate import Observed
    from jetlab.jets import Jets
    from jetlab.train.engine import Precision

__all__ = ["ORIGINAL", "TokenStudy", "TokenSweep", "token_study"]

ORIGINAL = "original"
"""What jets are called that were never tokenized."""


@dataclass(frozen=True)
class TokenSweep:
    """What a study of tokenizers compares, and with how much effort.

    Parameters
    ----------
    kinds : tuple of str
        Of `jetlab.models.tokenizers.KINDS`.
    codes : tuple of int
        Codebook sizes; every kind is taken with every size.
    preset : str
        Sizes of the networks of the tokenizers.
    steps, batch_size : int
        Length of the training of each tokenizer.
    precision : {"fp32", "bf16"}
        Of the training of the tokenizers.
    seed : int
        Of the tokenizers and of all resamplings.
    classifiers : tuple of Classifier
        Networks of the classifier test.
    seeds : tuple of int
        Of the classifiers.
    only : tuple of str
        Names of tokenizers, such as ``normformer-2048``, that the classifiers after the first are tried on, which take
        longer; by default the largest codebook of each kind.
    classifier_jets : int
        Training jets of the classifiers, drawn from all.
    bootstrap, contexts : int
        Resamplings for uncertainties, and surroundings that codes are decoded in.
    """

    kinds: tuple[str, ...] = KINDS
    codes: tuple[int, ...] = (512, 2048)
    preset: str = "tiny"
    steps: int = 2000
    batch_size: int = 128
    precision: Precision = "fp32"
    seed: int = 0
    classifiers: tuple[Classifier, ...] = (Classifier(), Classifier("transformer", batch_size=128))
    seeds: tuple[int, ...] = (0, 1, 2)
    only: tuple[str, ...] = ()
    classifier_jets: int = 40_000
    bootstrap: int = 100
    contexts: int = 500

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds or not self.codes or min(self.codes) < 2:
            msg = (
                f"found kinds {', '.join(self.kinds) or 'none'} and codes {self.codes}; expected kinds among "
                f"{', '.join(KINDS)} and codebooks of at least 2 codes"
            )
            raise JetLabError(msg)

    @property
    def names(self) -> dict[str, tuple[str, int]]:
        """Kind and codes of each tokenizer by its name."""
        return {f"{kind}-{codes}": (kind, codes) for kind, codes in product(self.kinds, self.codes)}

    def classified(self, number: int) -> list[str]:
        """Kinds of jets that the classifier of this number learns: all for the first, else some."""
        largest = [f"{kind}-{max(self.codes)}" for kind in self.kinds]
        return [ORIGINAL, *(self.names if number == 0 else self.only or largest)]


@dataclass(frozen=True)
class TokenStudy:
    """Outcome of `token_study`.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a tokenizer, and one for the original jets: ``kind``, ``codes``, ``steps``, ``minutes``; the numbers of
        `jetlab.tasks.token_measures.TokenMeasures.summary`; ``accuracy_<network>`` with ``_sd`` over the seeds,
        ``_err`` and ``_lost`` against the original jets; ``accuracy`` is that of the first network.
    measures : dict of str to TokenMeasures
        By the name of the tokenizer.
    classifiers : ClassifierTest
    provenance : dict
        Jets, steps, seeds, minutes of each part, and what the caller said about machine and versions.
    complete : bool
        Whether all was done; False if stopped.
    """

    table: pd.DataFrame
    measures: dict[str, TokenMeasures]
    classifiers: ClassifierTest
    provenance: dict[str, Any]
    complete: bool


def token_study(
    train: Jets,
    valid: Jets,
    test: Jets,
    *,
    out: str | Path,
    sweep: TokenSweep | None = None,
    provenance: dict[str, Any] | None = None,
    progress: bool | Callable[[int, int], None] = True,
    announce: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TokenStudy:
    """Train and measure every tokenizer of a sweep, and try what classifiers still recognise.

    Parameters
    ----------
    train, valid, test : Jets
        Labelled jets to learn from, to watch, and to measure with.
    out : str or Path
        Folder of the study: one folder a tokenizer, one for the classifiers, ``table.csv``, ``table.parquet``,
        ``rejections.csv`` and ``provenance.json``. The same call goes on with what lacks.
    sweep : TokenSweep, optional
    provenance : dict, optional
        Entries to keep beside those of the study, such as the machine and the command.
    progress, stop
        As for `jetlab.fit`, for each training.
    announce : callable, optional
        Given a sentence at the beginning of each part.
    """
    sweep = sweep or TokenSweep()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    say = announce or (lambda _: None)
    jets = {"train": len(train), "valid": len(valid), "test": len(test)}
    records: dict[str, dict[str, Any]] = {}
    true: Observed | None = None
    for name, (kind, codes) in sweep.names.items():
        place = folder / name
        asked = {"kind": kind, "codes": codes, "preset": sweep.preset, "steps": sweep.steps, "seed": sweep.seed}
        asked |= {"batch_size": sweep.batch_size, "precision": sweep.precision, "jets": jets}
        record = kept(place, asked)
        if record is None:
            if stop is not None and stop():
                break
            say(f"Tokenizer {name}")
            began = time.perf_counter()
            config = tokenizer_config(kind, codes=codes, preset=sweep.preset)  # type: ignore[arg-type]
            tokenizer, run = train_tokenizer(
                train, valid, config=config, steps=sweep.steps, batch_size=sweep.batch_size,
                precision=sweep.precision, seed=sweep.seed, out=place / "training", progress=progress, stop=stop,
            )  # fmt: skip
            if not run.finished:
                break
            save_pretrained(tokenizer, place / "tokenizer", provenance=asked)
            measures, true = measure_tokenizer(
                tokenizer, test, true=true, bootstrap=sweep.bootstrap, contexts=sweep.contexts, seed=sweep.seed
            )
            measures.save(place)
            size = sum(p.numel() for p in tokenizer.parameters())
            record = keep(place, asked, began, training_minutes=round(run.seconds / 60, 2), parameters=size)
        records[name] = record
    measured = {name: TokenMeasures.load(folder / name) for name in records}
    complete = len(records) == len(sweep.names)
    tested = _classifiers(
        train, test, sweep, folder, list(records), progress=progress, say=say, stop=stop if complete else _at_once
    )
    said = {"jets": jets | {"classifiers": min(sweep.classifier_jets, len(train))}, "sweep": asdict(sweep)}
    said |= {"minutes": {name: record["minutes"] for name, record in records.items()}, **(provenance or {})}
    study = TokenStudy(_table(records, measured, tested), measured, tested, said, complete and tested.complete)
    _write(study, folder)
    return study


def _classifiers(
    train: Jets,
    test: Jets,
    sweep: TokenSweep,
    folder: Path,
    names: Sequence[str],
    *,
    progress: bool | Callable[[int, int], None],
    say: Callable[[str], None],
    stop: Callable[[], bool] | None,
) -> ClassifierTest:
    """Classifiers on original jets and on those that each tokenizer rebuilds, one kind of jets after the other."""
    import pandas as pd

    some = np.random.default_rng(sweep.seed).permutation(len(train))[: sweep.classifier_jets]
    train = train[np.sort(some)]
    about = {"train": len(train), "test": len(test), "tokenizer_steps": sweep.steps, "preset": sweep.preset}
    parts: list[ClassifierTest] = []
    for name in (ORIGINAL, *names):
        wanted = [c for number, c in enumerate(sweep.classifiers) if name in sweep.classified(number)]
        if not wanted or not sweep.seeds:
            continue
        say(f"Classifiers on {name}")
        ended = not all(p.complete for p in parts)
        parts.append(
            classifier_test(
                {name: partial(_rebuilt, train, folder, name)}, {name: partial(_rebuilt, test, folder, name)},
                classifiers=wanted, seeds=sweep.seeds, out=folder / "classifiers", about=about, progress=progress,
                stop=_at_once if ended else stop,
            )
        )  # fmt: skip
    if not parts:
        return ClassifierTest(pd.DataFrame(), pd.DataFrame())
    frames = [pd.concat([getattr(p, part) for p in parts], ignore_index=True) for part in ("runs", "classes")]
    return ClassifierTest(frames[0], frames[1], all(p.complete for p in parts))


def _at_once() -> bool:
    return True


def _rebuilt(jets: Jets, folder: Path, name: str) -> Jets:
    """Jets as the tokenizer of this name rebuilds them."""
    if name == ORIGINAL:
        return jets
    tokenizer: Any = from_pretrained(folder / name / "tokenizer")
    return rebuild(tokenizer, jets).jets


def _table(
    records: dict[str, dict[str, Any]], measured: dict[str, TokenMeasures], tested: ClassifierTest
) -> pd.DataFrame:
    import pandas as pd

    rows: dict[str, dict[str, Any]] = {ORIGINAL: {"kind": ORIGINAL}}
    for name, record in records.items():
        known = {key: record["asked"][key] for key in ("kind", "codes", "steps")}
        known |= {key: record[key] for key in ("training_minutes", "minutes", "parameters")}
        rows[name] = known | measured[name].summary()
    for part in tested.table(ORIGINAL).to_dict("records") if len(tested.runs) else []:
        network = part["network"]
        found = {"": "accuracy", "_sd": "accuracy_sd", "_err": "accuracy_err", "_lost": "lost", "_lost_sd": "lost_sd"}
        rows[part["kind"]] |= {f"accuracy_{network}{ending}": part[key] for ending, key in found.items()}
        rows[part["kind"]] |= {f"seeds_{network}": part["seeds"]}
        if network == tested.runs["network"].iloc[0]:
            rows[part["kind"]] |= {f"accuracy{ending}": part[key] for ending, key in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("tokenizer")


def _write(study: TokenStudy, folder: Path) -> None:
    study.table.to_csv(folder / "table.csv")
    study.table.to_parquet(folder / "table.parquet")
    if len(study.classifiers.classes):
        study.classifiers.rejections().to_csv(folder / "rejections.csv", index=False)
    (folder / "provenance.json").write_text(json.dumps(study.provenance, indent=1) + "\n", encoding="utf-8")
