"""`compare`: true and generated jets, observable by observable, as numbers with uncertainties and as histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.evaluate.distances import Distance, measure
from jetlab.evaluate.histograms import bin_edges, histogram
from jetlab.evaluate.observed import Observed, known_observables, observe
from jetlab.evaluate.tables import distance_table
from jetlab.jets import Jets
from jetlab.observables import OBSERVABLES

if TYPE_CHECKING:
    from pathlib import Path

    import hist
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["TABLE_COLUMNS", "Comparison", "compare", "compare_by_class"]

Progress = bool | Callable[[int, int], None]

TABLE_COLUMNS = (
    "w1", "w1_err", "floor", "floor_sd", "z", "multiple", "ks", "ks_p", "n_true", "n_generated", "nan_true",
    "nan_generated", "unit", "note",
)  # fmt: skip
"""Columns of `Comparison.table`; see `jetlab.evaluate.Distance` for their meaning."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """How far generated jets are from true ones.

    Attributes
    ----------
    table : pandas.DataFrame
        One row an observable, by name: Wasserstein-1 distance ``w1`` with its bootstrap uncertainty ``w1_err``; the
        truth-vs-truth distance ``floor`` at the same numbers of jets with its spread ``floor_sd``;
        ``z = (w1 - floor) / floor_sd`` and ``multiple = w1 / floor``; ``ks`` and ``ks_p``; jets with a value ``n_true``
        and ``n_generated``; fractions of undefined values ``nan_true`` and ``nan_generated``; ``unit`` of the
        distances; and a ``note`` on what limits the numbers.
    hists : dict of str to dict of str to hist.Hist
        For each observable its histograms ``"true"`` and ``"generated"``, in counts, with the same bins.
    meta : dict
        How this was made: seed, resamplings, versions, and the provenance of both samples.
    """

    table: pd.DataFrame
    hists: dict[str, dict[str, hist.Hist]]
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def worst_first(self) -> list[str]:
        """Names of the observables by falling z, those that could not be measured first."""
        return list(self.table["z"].sort_values(ascending=False, na_position="first").index)

    def figure(self, name: str, *, log: bool = False, theme: str = "light") -> Figure:
        """Draw one observable: true and generated with their ratio below.

        Parameters
        ----------
        name : str
            Name of an observable of this comparison.
        log : bool
            Logarithmic contents.
        theme : {"light", "dark"}
            Colours.
        """
        from jetlab import plots

        return plots.overlay(self, name, log=log, theme=theme)

    def report(self, path: str | Path, *, title: str = "Generated and true jets") -> list[Path]:
        """Write a page with table, figures and provenance that needs no other file, and the table as CSV beside it.

        Parameters
        ----------
        path : str or Path
            Of the page; ``.html`` is added if it has no suffix.
        title : str
            Heading of the page.

        Returns
        -------
        list of Path
            What was written: the page and the table.
        """
        from jetlab import plots
        from jetlab.evaluate.report import write_report

        drawings = {name: plots.as_svg(self.figure(name), name=name) for name in self.worst_first}
        return write_report(path, title=title, table=self.table, drawings=drawings, provenance=self.meta)

    def markdown(self) -> str:
        """The table in Markdown, worst observable first, with as many digits as the uncertainties allow."""
        return distance_table(self.table, style="markdown")

    def __repr__(self) -> str:
        if self.table.empty:
            return "<Comparison: no observables>"
        true, generated = (f"{self.meta[role]['jets']:,} {role}" for role in ("true", "generated"))
        return f"<Comparison: {true}, {generated} jets>\n{self.markdown().rstrip()}"

    def _repr_html_(self) -> str:
        return distance_table(self.table, style="html")


def compare(
    true: Jets | Observed,
    generated: Jets | Observed,
    *,
    observables: Iterable[str] | None = None,
    seed: int = 0,
    bootstrap: int = 100,
    progress: Progress = False,
) -> Comparison:
    """Compare generated with true jets.

    Parameters
    ----------
    true, generated : Jets or Observed
        The two samples; their sizes may differ. Give `Observed` to compare the same jets again without computing their
        observables again.
    observables : iterable of str, optional
        Names from `jetlab.observables.OBSERVABLES`; by default all, or those that both `Observed` hold.
    seed : int
        Random seed of the resamplings; the same seed gives the same numbers.
    bootstrap : int
        Resamplings for uncertainties and floors.
    progress : bool or callable
        True for a progress bar, or a function called with (done, total).

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidJetsError
        If a sample holds no jets.
    JetLabError
        For an unknown observable.

    Examples
    --------
    >>> result = jetlab.compare(jets["Wqq"], generated["Wqq"], observables=["mass", "tau21"])  # doctest: +SKIP
    >>> result.figure("mass")  # doctest: +SKIP
    """
    _check_filled(true, generated)
    names = _shared_observables(true, generated, observables)
    with _Steps(progress, len(true) + len(generated), bootstrap) as steps:
        samples = _observe_both(true, generated, names, steps)
        return _compare(*samples, names, seed=seed, bootstrap=bootstrap, progress=steps.resampled)


def compare_by_class(
    true: Jets | Observed,
    generated: Jets | Observed,
    *,
    observables: Iterable[str] | None = None,
    seed: int = 0,
    bootstrap: int = 100,
    progress: Progress = False,
) -> pd.DataFrame:
    """Compare generated with true jets, each class by itself.

    Parameters
    ----------
    true, generated, observables, seed, bootstrap, progress
        As for `compare`; both samples need labels.

    Returns
    -------
    pandas.DataFrame
        Columns ``class``, ``observable`` and those of `Comparison.table`, in class order. A class that only one side
        has gets rows of NaN with a note.

    Raises
    ------
    JetLabError
        If a sample has no labels, or the class lists differ.
    """
    import pandas as pd

    _check_filled(true, generated)
    names = _shared_observables(true, generated, observables)
    classes = _shared_classes(true, generated)
    with _Steps(progress, len(true) + len(generated), bootstrap * len(classes)) as steps:
        all_true, all_generated = _observe_both(true, generated, names, steps)
        tables = []
        for k, name in enumerate(classes):

            def resampled(done: int, total: int, k: int = k) -> None:
                steps.resampled(k * total + done, len(classes) * total)

            pair = all_true.of_class(name), all_generated.of_class(name)
            table = _table(_distances(*pair, names, seed=seed, bootstrap=bootstrap, progress=resampled))
            table = table.reset_index()
            table.insert(0, "class", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


# ---- the parts ------------------------------------------------------------------------------------------------------


def _compare(
    true: Observed,
    generated: Observed,
    names: Sequence[str],
    *,
    seed: int,
    bootstrap: int,
    progress: Callable[[int, int], None],
) -> Comparison:
    hists = {}
    for name in names:
        observable, pair = OBSERVABLES[name], {"true": true.sample(name), "generated": generated.sample(name)}
        edges = bin_edges(observable, pair["true"] if pair["true"].filled else pair["generated"])
        hists[name] = {
            role: histogram(sample, edges, name=name, label=observable.title) for role, sample in pair.items()
        }
    found = _distances(true, generated, names, seed=seed, bootstrap=bootstrap, progress=progress)
    meta = {"seed": seed, "bootstrap": bootstrap, "versions": _versions()}
    meta |= {role: {"jets": len(o), **dict(o.meta)} for role, o in (("true", true), ("generated", generated))}
    return Comparison(_table(found), hists, meta)


def _distances(
    true: Observed,
    generated: Observed,
    names: Sequence[str],
    *,
    seed: int,
    bootstrap: int,
    progress: Callable[[int, int], None],
) -> dict[str, Distance]:
    pairs = {name: (true.sample(name), generated.sample(name)) for name in names}
    return measure(pairs, bootstrap=bootstrap, seed=seed, progress=progress)


def _table(distances: Mapping[str, Distance]) -> pd.DataFrame:
    import pandas as pd

    measured = [f.name for f in fields(Distance)]
    rows = [
        {**{column: getattr(d, column) for column in (*measured, "z", "multiple")}, "unit": OBSERVABLES[name].unit}
        for name, d in distances.items()
    ]
    table = pd.DataFrame(rows, index=pd.Index(list(distances), name="observable"))
    return table[list(TABLE_COLUMNS)]


def _observe_both(
    true: Jets | Observed, generated: Jets | Observed, names: Sequence[str], steps: _Steps
) -> tuple[Observed, Observed]:
    both = []
    for jets in (true, generated):
        both.append(jets if isinstance(jets, Observed) else observe(jets, names, progress=steps.observed))
        steps.finished(len(jets))
    return both[0], both[1]


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    from jetlab import __version__

    packages = ("numpy", "scipy", "hist", "awkward", "fastjet")
    return {"jetlab": __version__, "python": platform.python_version()} | {p: version(p) for p in packages}


# ---- what can be compared -------------------------------------------------------------------------------------------


def _check_filled(true: Jets | Observed, generated: Jets | Observed) -> None:
    empty = [role for role, jets in (("true", true), ("generated", generated)) if not len(jets)]
    if empty:
        msg = f"nothing to compare: there are no {' and no '.join(empty)} jets. Widen the selection or generate some"
        raise InvalidJetsError(msg)


def _shared_observables(true: Jets | Observed, generated: Jets | Observed, wanted: Iterable[str] | None) -> list[str]:
    held = [list(jets.values) for jets in (true, generated) if isinstance(jets, Observed)]
    if wanted is None and held:
        wanted = [name for name in held[0] if all(name in names for names in held)]
    names = known_observables(wanted)
    missing = [name for name in names if not all(name in have for have in held)]
    if missing:
        msg = f"observables {', '.join(missing)} were not computed for both samples; give them to `observe`"
        raise JetLabError(msg)
    return names


def _shared_classes(true: Jets | Observed, generated: Jets | Observed) -> list[str]:
    unlabelled = [role for role, jets in (("true", true), ("generated", generated)) if jets.label is None]
    if unlabelled:
        msg = f"the {' and '.join(unlabelled)} jets carry no labels, so classes cannot be compared; use `compare`"
        raise JetLabError(msg)
    if true.classes != generated.classes:
        msg = f"class lists differ: {', '.join(true.classes)} and {', '.join(generated.classes)}"
        raise JetLabError(msg)
    occurring = {int(k) for jets in (true, generated) if jets.label is not None for k in set(jets.label)}
    return [name for k, name in enumerate(true.classes) if k in occurring]


# ---- progress -------------------------------------------------------------------------------------------------------


class _Steps:
    """Progress over observing jets and resampling them, as one count."""

    def __init__(self, progress: Progress, jets: int, resamplings: int) -> None:
        self._progress = progress
        self._jets, self._total = jets, jets + resamplings
        self._before = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._progress is True:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._total, desc="Comparing", unit="step")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def observed(self, done: int, _: int) -> None:
        """Some of the jets of the present sample are observed."""
        self._show(self._before + done)

    def finished(self, jets: int) -> None:
        """All jets of a sample are observed."""
        self._before += jets
        self._show(self._before)

    def resampled(self, done: int, _: int) -> None:
        """Some of the resamplings are done."""
        self._show(self._jets + done)

    def _show(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        elif callable(self._progress):
            self._progress(done, self._total)
