"""`Table`: named columns of one file, whatever bytes they are stored in, and the guard around every reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.errors import FileError, InvalidJetsError, JetLabError

__all__ = [
    "ANYTHING",
    "Choice",
    "Column",
    "Jagged",
    "Rows",
    "Shape",
    "Table",
    "check_size",
    "cut",
    "guarded",
    "jagged_of",
    "list_column",
    "rows_linked",
]

Rows = tuple[int, int]
"""First row, and the one after the last."""

Shape = tuple[int | None, ...]
"""Shape of a column, with None for the jagged axis: ``(n,)``, ``(n, None)``, ``(n, P)`` or ``(n, P, F)``."""


_ALWAYS_FINE = 2**28


class Jagged(NamedTuple):
    """One value a constituent: those of jet ``i`` are ``values[offsets[i]:offsets[i + 1]]``."""

    offsets: npt.NDArray[np.int64]
    values: npt.NDArray[Any]


Column = Jagged | npt.NDArray[Any]


@dataclass(frozen=True)
class Choice:
    """What a user asks of layouts that leave something to choose.

    Parameters
    ----------
    collection : str, optional
        Which of the jet collections of a file, such as ``"JetPUPPIAK8"``.
    puppi : bool
        Whether constituents are scaled by their PUPPI weights.
    """

    collection: str | None = None
    puppi: bool = False

    def asked(self) -> tuple[str, ...]:
        """Names of what was asked for."""
        return ("collection",) * (self.collection is not None) + ("puppi",) * self.puppi


ANYTHING = Choice()
"""Nothing in particular is asked for."""


def cut(column: Column, rows: Rows | None) -> Column:
    """Some rows of a column in memory."""
    if rows is None:
        return column
    first, last = rows
    if not isinstance(column, Jagged):
        return column[first:last]
    offsets = column.offsets[first : last + 1]
    return Jagged(offsets - offsets[0], column.values[offsets[0] : offsets[-1]])


@dataclass(frozen=True)
class Table:
    """Named columns of an open file, read when asked for.

    Parameters
    ----------
    name : str
        What the columns come from, for messages: a path as a rule.
    kind : str
        How they are stored, such as ``"Parquet"``.
    shapes : mapping of str to tuple
        Shape of each numeric column; see `Shape`.
    load : callable
        Gets column names and a range of rows (or None for all), gives the columns: arrays, or `Jagged` where the shape
        has None. Use `fetch`.
    meta : mapping
        What JetLab wrote beside the columns; empty for files of others.
    other : sequence of str
        Names of columns that hold no plain numbers.
    choice : Choice
        What the user asks for.
    trees : mapping of str to callable
        The trees of a ROOT file by their paths; each call gives the columns of one.
    tree : str
        Path of the tree that these columns come from.
    first : int
        Row of the file that the first row is, for a part of a table.
    together : int
        Rows that are stored together: reading fewer of them takes as long.
    """

    name: str
    kind: str
    shapes: Mapping[str, Shape]
    load: Callable[[Sequence[str], Rows | None], dict[str, Column]]
    meta: Mapping[str, Any] = field(default_factory=dict)
    other: Sequence[str] = ()
    choice: Choice = ANYTHING
    trees: Mapping[str, Callable[[], Table]] = field(default_factory=dict)
    tree: str = ""
    first: int = 0
    together: int = 1

    def fetch(self, names: Sequence[str]) -> dict[str, Column]:
        """Read these columns."""
        return self.load(names, None)

    def part(self, start: int, stop: int, *, n: int) -> Table:
        """The same columns of some jets only; columns that do not have one row a jet are left out.

        Parameters
        ----------
        start, stop : int
            Range of the jets.
        n : int
            Number of jets in the whole table.
        """
        if "offsets" in self.shapes:
            return self._part_beside_offsets(start, stop, n=n)
        shapes = {name: (stop - start, *shape[1:]) for name, shape in self.shapes.items() if shape[0] == n}

        def load(names: Sequence[str], rows: Rows | None) -> dict[str, Column]:
            first, last = rows or (0, stop - start)
            return self.load(names, (start + first, start + last))

        return replace(self, shapes=shapes, load=load, first=self.first + start)

    def _part_beside_offsets(self, start: int, stop: int, *, n: int) -> Table:
        offsets = np.asarray(self.load(["offsets"], (start, stop + 1))["offsets"]).astype(np.int64)
        first, last = int(offsets[0]), int(offsets[-1])
        total = int(np.asarray(self.load(["offsets"], (n, n + 1))["offsets"])[0])
        of_jets = {name for name, shape in self.shapes.items() if shape[0] == n and name != "offsets"}
        of_constituents = {name for name, shape in self.shapes.items() if shape[0] == total} - of_jets - {"offsets"}
        lengths = {"offsets": len(offsets)} | dict.fromkeys(of_jets, stop - start)
        lengths |= dict.fromkeys(of_constituents, last - first)

        def load(names: Sequence[str], rows: Rows | None) -> dict[str, Column]:
            assert rows is None
            held: dict[str, Column] = {"offsets": offsets - first} if "offsets" in names else {}
            for chosen, place in ((of_jets, (start, stop)), (of_constituents, (first, last))):
                wanted = [name for name in names if name in chosen]
                held |= self.load(wanted, place) if wanted else {}
            return {name: held[name] for name in names}

        shapes = {name: (k, *self.shapes[name][1:]) for name, k in lengths.items()}
        return replace(self, shapes=shapes, load=load, first=self.first + start)

    def flat(self, name: str) -> bool:
        """Whether there is a column of this name with one value a row."""
        return len(self.shapes.get(name, ())) == 1

    def listing(self) -> str:
        """Names of the columns for a message, cut off after a few."""
        names = [*self.shapes, *self.other]
        return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "none"


@contextmanager
def guarded(name: str, action: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is used into an error that names the file.

    Parameters
    ----------
    name : str
        The file.
    action : str
        What is being done, such as ``"read as Parquet"``.

    Raises
    ------
    FileError
        For every error of a library; readers of damaged files raise a dozen kinds.
    JetLabError
        For our own errors, with the file's name put in front and their class kept.
    """
    try:
        yield
    except JetLabError as error:
        if str(error).startswith(name):
            raise
        msg = f"{name}: {error}"
        raise type(error)(msg) from error
    except MemoryError as error:
        msg = f"{name} cannot be {action}: it needs more memory than there is, or is damaged"
        raise FileError(msg) from error
    except Exception as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        msg = f"{name} cannot be {action}; it may be damaged or incomplete ({type(error).__name__}: {reason[:200]})"
        raise FileError(msg) from error


def check_size(unpacked: int, stored: int) -> None:
    """Refuse columns that a damaged or malicious header makes far larger than the file.

    Parameters
    ----------
    unpacked, stored : int
        Bytes of the columns in memory and of the file.

    Raises
    ------
    FileError
        If the columns are larger than 256 MiB and than 200 times the file.
    """
    if unpacked > max(_ALWAYS_FINE, 200 * stored):
        msg = f"its columns would take {unpacked / 2**30:.1f} GiB in memory, from a file of {stored / 2**20:.2f} MiB"
        raise FileError(msg)


def jagged_of(array: Any, name: str) -> Jagged:
    """Offsets and values of an awkward array of shape ``(n, var)``.

    Raises
    ------
    InvalidJetsError
        If values are missing.
    """
    import awkward as ak

    try:
        counts = ak.to_numpy(ak.num(array, axis=1), allow_missing=False)
        values = ak.to_numpy(ak.flatten(array, axis=1), allow_missing=False)
    except ValueError as error:
        msg = f"column {name} of type {array.type} is not one number for each constituent, or values are missing"
        raise InvalidJetsError(msg) from error
    return Jagged(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), np.asarray(values))


def list_column(held: Mapping[str, Column], name: str) -> Jagged:
    """A column that must have a list in each row.

    Raises
    ------
    InvalidJetsError
        If it has one value a row.
    """
    column = held[name]
    if not isinstance(column, Jagged):
        msg = f"{name} holds one value an event, expected a list"
        raise InvalidJetsError(msg)
    return column


def rows_linked(links: Jagged, of: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Row over all events of what a link names by its number within the event.

    Parameters
    ----------
    links : Jagged
        Numbers within the event, counted from 0.
    of : array of int, shape (events + 1,)
        Offsets of the things that the links name.

    Raises
    ------
    InvalidJetsError
        If a link names something that is not there.
    """
    counts = np.diff(links.offsets)
    number, room = links.values.astype(np.int64), np.repeat(np.diff(of), counts)
    if ((number < 0) | (number >= room)).any():
        bad = int(np.flatnonzero((number < 0) | (number >= room))[0])
        event = int(np.searchsorted(links.offsets, bad, side="right")) - 1
        msg = f"event {event} has a link to number {number[bad]} of {room[bad]}"
        raise InvalidJetsError(msg)
    return number + np.repeat(of[:-1], counts)
