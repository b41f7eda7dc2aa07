"""Data sets that are known by name, with where they come from and what to cite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from jetlab.errors import FileError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DATASETS", "DataSet", "datasets"]


@dataclass(frozen=True)
class DataSet:
    """A data set known by name.

    Parameters
    ----------
    name : str
        What `jetlab.load_jets` takes.
    title : str
        One line of description.
    n_jets : int
        Number of jets.
    licence, citation : str
        Under which terms it may be used, and what to cite.
    bundled : str
        Its file inside the package, relative to ``jetlab.data``.
    """

    name: str
    title: str
    n_jets: int
    licence: str
    citation: str
    bundled: str

    @contextmanager
    def file(self) -> Iterator[Path]:
        """Path of the file, for as long as it is used.

        Raises
        ------
        FileError
            If it is not there.
        """
        resource = resources.files("jetlab.data").joinpath(self.bundled)
        if not resource.is_file():
            msg = (
                f"the file of data set {self.name!r}, jetlab/data/{self.bundled}, is missing from this installation: "
                "install JetLab again, or make jets with jetlab.simulate and give their file"
            )
            raise FileError(msg)
        with resources.as_file(resource) as path:
            yield path


DATASETS = {
    d.name: d
    for d in (
        DataSet(
            "sample",
            "Ten JetClass classes simulated with Pythia 8 and a detector response, split into train, valid and test",
            20_000,
            "BSD-3-Clause",
            "JetLab; classes and selection after JetClass, arXiv:2202.03772",
            "sample/jets.parquet",
        ),
    )
}
"""The known data sets by name."""


def datasets() -> pd.DataFrame:
    """The known data sets as a table: name, number of jets, title, licence, citation."""
    import pandas as pd

    rows = [(d.name, d.n_jets, d.title, d.licence, d.citation) for d in DATASETS.values()]
    return pd.DataFrame(rows, columns=["name", "jets", "title", "licence", "citation"]).set_index("name")
