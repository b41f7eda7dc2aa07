"""Jets from more files than fit into memory: read piece by piece, mixed in a buffer, shared out among readers.

One epoch visits the pieces of all files in an order that is a pure function of seed and epoch. The pieces are dealt to
the readers (ranks times loader workers), so that each jet goes to exactly one; each reader takes as many pieces as fit
into its buffer, mixes their jets and cuts batches. Where it stands is two numbers, so that it can go on in mid-epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import Choice, JetFile, open_jets
from jetlab.data.select import Selection, Where
from jetlab.data.sources import files_of
from jetlab.errors import JetLabError
from jetlab.jets import Jets, concatenate

__all__ = ["JetStream", "Piece", "stream_jets"]

PIECE = 2_000
"""Jets that are read at once, where a file allows to read so few."""

Part = TypeVar("Part")
Held = TypeVar("Held", bound=Sized)
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Piece:
    """Jets `start` to `stop` of a file."""

    path: Path
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def stream_jets(
    source: str | Path | Sequence[str | Path],
    *,
    batch_size: int = 1_000,
    classes: str | Sequence[str] | None = None,
    split: str | None = None,
    where: Where | None = None,
    collection: str | None = None,
    puppi: bool = False,
    shuffle: bool = True,
    buffer: int = 50_000,
    seed: int = 0,
    epoch: int = 0,
    rank: int = 0,
    ranks: int = 1,
    position: dict[str, int] | None = None,
) -> JetStream:
    """Go through jets batch by batch, with memory that does not grow with their number.

    Parameters
    ----------
    source : str, Path, or sequence of these
        Files, folders, patterns with ``*``, or the name of a data set, as for `jetlab.load_jets`.
    batch_size : int
        Most jets in a batch.
    classes, split
        As for `jetlab.load_jets`.
    where : mapping or callable, optional
        Conditions, see `jetlab.data.select.where_mask`.
    collection, puppi
        As for `jetlab.load_jets`.
    shuffle : bool
        Visit the pieces of the files in random order and mix the jets in a buffer; False keeps the order of the files.
    buffer : int
        Jets held at once and mixed with each other; more mixes better and takes more memory.
    seed, epoch : int
        The same pair always gives the same batches.
    rank, ranks : int
        This reader's number among several that share the jets without overlap, such as processes of a distributed
        training. Workers of a `torch.utils.data.DataLoader` share them further by themselves.
    position : dict, optional
        `JetStream.position` of an interrupted stream with the same arguments, to go on after its last batch.

    Returns
    -------
    JetStream
        Iterate over it once for the batches.

    Raises
    ------
    FileError
        If a file is missing, damaged or of no known layout.
    JetLabError
        If a number makes no sense.

    Examples
    --------
    >>> for jets in stream_jets("sample", classes=["QCD", "Tbqq"], where={"pt": (500, 600)}):
    ...     print(jets.mass.mean())
    """
    for name, value, least in (("batch_size", batch_size, 1), ("buffer", buffer, 1), ("epoch", epoch, 0)):
        if value < least:
            msg = f"{name} is {value}, expected {least} or more"
            raise JetLabError(msg)
    if not 0 <= rank < ranks:
        msg = f"rank is {rank} of {ranks}, expected 0 to {ranks - 1}"
        raise JetLabError(msg)
    return JetStream(
        files_of(source),
        Selection.made(classes, split, where),
        choice=Choice(collection, puppi),
        batch_size=batch_size,
        shuffle=shuffle,
        buffer=buffer,
        seed=seed,
        epoch=epoch,
        reader=(rank, ranks),
        position=position,
    )


class JetStream:
    """Batches of jets, from `stream_jets`.

    Attributes
    ----------
    position : dict
        ``{"block": int, "batch": int}``: the block and the batch in it that come next. JSON-safe.
    """

    def __init__(
        self,
        files: Sequence[Path],
        selection: Selection,
        *,
        choice: Choice,
        batch_size: int,
        shuffle: bool,
        buffer: int,
        seed: int,
        epoch: int,
        reader: tuple[int, int],
        position: dict[str, int] | None,
    ) -> None:
        self._choice = choice
        self._pieces = _pieces(files, choice, buffer=buffer)
        self._selection, self._batch_size, self._shuffle, self._buffer = selection, batch_size, shuffle, buffer
        self._seed, self._epoch, self._reader = seed, epoch, reader
        self.position = {"block": 0, "batch": 0} if position is None else dict(position)

    def __len__(self) -> int:
        """Number of jets in the files, before anything is selected."""
        return sum(map(len, self._pieces))

    def __iter__(self) -> Iterator[Jets]:
        return self.batches(_read_jets, _joined, _rows)

    def batches(
        self,
        read: Callable[[JetFile, Piece, Selection], Part],
        join: Callable[[Sequence[Part]], Held],
        take: Callable[[Held, npt.NDArray[np.int64]], Batch],
    ) -> Iterator[Batch]:
        """Go through the same batches in another form than `Jets`.

        Parameters
        ----------
        read : callable
            Makes something with a length, one entry a jet, of the selected jets of a piece of an open file.
        join : callable
            Makes one of several of them: all that the buffer holds.
        take : callable
            Makes a batch of some rows of that, shape ``(B,)``.
        """
        worker, workers = _worker()
        blocks = self._blocks(worker, workers)
        with _OpenFiles(self._choice) as files:
            while self.position["block"] < len(blocks):
                number = self.position["block"]
                held = join([read(files.get(p.path), p, self._selection) for p in blocks[number]])
                mixing = np.random.default_rng((self._seed, self._epoch, self._reader[0], worker, number))
                rows = mixing.permutation(len(held)) if self._shuffle else np.arange(len(held))
                shares = np.array_split(rows, -(-len(held) // self._batch_size)) if len(held) else []
                for share in shares[self.position["batch"] :]:
                    self.position = {"block": number, "batch": self.position["batch"] + 1}
                    yield take(held, share)
                self.position = {"block": number + 1, "batch": 0}
                del held  # before the next ones come

    def _blocks(self, worker: int, workers: int) -> list[list[Piece]]:
        """Pieces of this worker of this rank, grouped so that a group fits into the buffer."""
        rank, ranks = self._reader
        order = np.random.default_rng((self._seed, self._epoch)).permutation(len(self._pieces))
        mine = (order if self._shuffle else np.arange(len(self._pieces)))[rank::ranks][worker::workers]
        blocks: list[list[Piece]] = []
        held = self._buffer
        for piece in (self._pieces[i] for i in mine):
            if held + len(piece) > self._buffer:
                blocks.append([])
                held = 0
            blocks[-1].append(piece)
            held += len(piece)
        return blocks


class _OpenFiles:
    """The files that were read last, kept open; a context that closes them."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._held: dict[Path, tuple[ExitStack, JetFile]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        while self._held:
            self._close_oldest()

    def get(self, path: Path) -> JetFile:
        """The open file of this path."""
        if path in self._held:
            self._held[path] = self._held.pop(path)  # now the newest
        else:
            if len(self._held) >= _OPEN_AT_ONCE:
                self._close_oldest()
            stack = ExitStack()
            self._held[path] = (stack, stack.enter_context(open_jets(path, choice=self._choice)))
        return self._held[path][1]

    def _close_oldest(self) -> None:
        stack, _ = self._held.pop(next(iter(self._held)))
        stack.close()


_OPEN_AT_ONCE = 8
_LEAST_MIXED = 2


def _read_jets(file: JetFile, piece: Piece, selection: Selection) -> Jets:
    return selection.of(file.read(piece.start, piece.stop))


def _joined(parts: Sequence[Jets]) -> Jets:
    """All jets of the buffer, with what their files say in common."""
    jets = concatenate(parts)
    shared = {key: value for key, value in jets.meta.items() if all(p.meta.get(key) == value for p in parts)}
    jets.meta = shared | {"notes": list(dict.fromkeys(note for p in parts for note in p.meta.get("notes", ())))}
    return jets


def _rows(jets: Jets, rows: npt.NDArray[np.int64]) -> Jets:
    return jets[rows]


def _pieces(files: Sequence[Path], choice: Choice, *, buffer: int) -> list[Piece]:
    """Ranges of jets that are read at once: small ones mix best, but what is compressed together is slow to part."""
    pieces = []
    for path in files:
        with open_jets(path, choice=choice) as file:
            n, together = len(file), file.together
        size = max(1, min(-(-PIECE // together) * together, buffer // (_LEAST_MIXED if together < n else 1)))
        pieces += [Piece(path, start, min(start + size, n)) for start in range(0, n, size)]
    return pieces


def _worker() -> tuple[int, int]:
    """Number of this process among the workers of a `DataLoader`, and their number; 0 of 1 outside of one."""
    import sys

    if "torch" not in sys.modules:  # torch has been imported wherever there is a DataLoader
        return 0, 1
    from torch.utils.data import get_worker_info

    info: Any = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)
