"""Damage files and read them: whatever happens, the outcome must be the same jets or our own error.

Every mutant is read in a process of its own kind, so that a crash, a hang or a flood of memory is found and put down
to the mutant that caused it. Run it over all files with::

    python -m tests.fuzz --mutants 200 --seed 1 --save bad_mutants

and on chosen ones with ``--layouts columns.h5 jetclass.root``, or ``--layouts real`` for the published sample files.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from jetlab.data import load_events, load_jets, load_pairs, recognise, stream_jets
from jetlab.data.formats import open_jets
from jetlab.errors import JetLabError
from jetlab.jets import Events, Jets, Pairs, concatenate
from tests.files import FILES
from tests.memory import peak_memory

__all__ = ["BAD", "Case", "Reader", "damaged", "fuzz", "observe", "real_files", "worst"]

BAD = ("crash", "hang", "memory", "foreign", "nameless", "not finite", "half", "fewer", "other")
"""Outcomes that must not be, the worst first. What remains is ``error``, ``values`` and ``same``."""

_MEMORY = 6 * 2**30
_MUCH = 2**30
_CLOCK = 10.0
_STARTING = 300.0
_ENDS = 4096


# ---- damage ----------------------------------------------------------------------------------------------------------


def _cut(good: bytearray, place: int, rng: random.Random) -> None:
    del good[place:]


def _flip(good: bytearray, place: int, rng: random.Random) -> None:
    good[place] ^= 1 << rng.randrange(8)
    for _ in range(rng.choice([0, 0, 3, 29])):
        good[rng.randrange(len(good))] ^= 1 << rng.randrange(8)


def _overwrite(good: bytearray, place: int, rng: random.Random) -> None:
    block = rng.randbytes(rng.choice([1, 2, 4, 8, 64, 512]))
    good[place : place + len(block)] = block[: len(good) - place]


def _largest(good: bytearray, place: int, rng: random.Random) -> None:
    """Numbers as large as they can be, or a sign turned: where sizes and places stand."""
    block = rng.choice([b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 3, b"\xff" * 3 + b"\x7f", b"\x00\x00\x00\x80"])
    good[place : place + len(block)] = block[: len(good) - place]


def _zero(good: bytearray, place: int, rng: random.Random) -> None:
    size = min(rng.choice([1, 4, 8, 64, 512, 4096]), len(good) - place)
    good[place : place + size] = bytes(size)


def _duplicate(good: bytearray, place: int, rng: random.Random) -> None:
    good[place:place] = good[place : place + rng.choice([1, 8, 64, 512])]


def _insert(good: bytearray, place: int, rng: random.Random) -> None:
    good[place:place] = rng.randbytes(rng.choice([1, 2, 4, 8, 64, 512]))


def _remove(good: bytearray, place: int, rng: random.Random) -> None:
    del good[place : place + rng.choice([1, 2, 4, 8, 64, 512])]


DAMAGE: dict[str, Callable[[bytearray, int, random.Random], None]] = {
    "cut": _cut,
    "flip": _flip,
    "overwrite": _overwrite,
    "largest": _largest,
    "zero": _zero,
    "duplicate": _duplicate,
    "insert": _insert,
    "remove": _remove,
}
"""Ways to damage a file in place."""


def damaged(good: bytes, number: int, *, seed: int) -> Iterator[tuple[str, bytes]]:
    """Damaged copies of a file, each with the name of what was done to it; half of them near one of its ends."""
    rng = random.Random(seed)
    kinds = list(DAMAGE)
    for k in range(number):
        kind, bad = kinds[(seed + k) % len(kinds)], bytearray(good)
        if rng.random() < 0.5 and len(bad) > 2 * _ENDS:
            place = rng.choice([rng.randrange(_ENDS), len(bad) - 1 - rng.randrange(_ENDS)])
        else:
            place = rng.randrange(len(bad))
        DAMAGE[kind](bad, place, rng)
        yield kind, bytes(bad)


# ---- reading ---------------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What reading in one way gave."""

    outcome: str
    n: int = 0
    shape: str = ""
    values: str = ""
    message: str = ""


def _part(path: Path) -> Jets:
    with open_jets(path) as file:
        file.read_raw(len(file) // 3, 2 * len(file) // 3)
        return file.read(len(file) // 3, 2 * len(file) // 3)


def _stream(path: Path) -> Jets:
    return concatenate(list(stream_jets(path, batch_size=5, shuffle=False)))


_WAYS: dict[str, Callable[[Path], Any]] = {
    "recognise": lambda path: recognise(path).n_jets,
    "load": load_jets,
    "part": _part,
    "stream": _stream,
    "events": lambda path: load_events(path, progress=False),
    "pairs": load_pairs,
}


def observe(path: Path) -> dict[str, Seen]:
    """Read a file in every way, and note what came out."""
    return {way: _seen(read, path) for way, read in _WAYS.items()}


def _seen(read: Callable[[Path], Any], path: Path) -> Seen:
    try:
        found = read(path)
    except JetLabError as error:
        return Seen("error" if str(path) in str(error) else "nameless", message=str(error)[:300])
    except BaseException as error:  # noqa: BLE001 this is what we look for
        return Seen("foreign", message=f"{type(error).__name__}: {error}"[:300])
    if isinstance(found, int):
        return Seen("read", found)
    parts = _parts(found)
    shape, values = hashlib.sha1(), hashlib.sha1()
    for jets in parts:
        shape.update(np.ascontiguousarray(jets.offsets).tobytes())
        for name in jets.fields:
            values.update(np.ascontiguousarray(jets.flat(name)).tobytes())
        values.update(b"" if jets.label is None else jets.label.tobytes())
        if not all(np.isfinite(jets.flat(name)).all() for name in jets.fields) or not np.isfinite(jets.p4).all():
            return Seen("not finite", len(found))
    return Seen("read", len(found), shape.hexdigest(), values.hexdigest())


def _parts(found: Jets | Events | Pairs) -> tuple[Jets, ...]:
    if isinstance(found, Events):
        return (found.jets,)
    return (found.generated, found.detected) if isinstance(found, Pairs) else (found,)


def worst(found: dict[str, Seen], expected: dict[str, Seen], kind: str) -> tuple[str, str]:
    """The worst outcome of a mutant, and the way and message that belong to it."""
    order = (*BAD, "error", "values", "same")
    open_ways = [way for way, seen in expected.items() if seen.outcome == "read"]
    outcomes = [(_outcome(found[way], expected[way], kind), way, found[way].message) for way in open_ways]
    if found["recognise"].n == expected["recognise"].n != expected["load"].n:
        # rows are events; their particles say how many jets they have
        outcomes = [("values" if what in ("fewer", "other") else what, way, message) for what, way, message in outcomes]
    outcome, way, message = min(outcomes, key=lambda entry: order.index(entry[0]))
    return outcome, f"{way}: {message}"


def _outcome(found: Seen, expected: Seen, kind: str) -> str:
    if found.outcome != "read":
        return found.outcome
    if found == expected:
        return "same"
    if kind == "cut":
        return "half"
    if found.n < expected.n:
        return "fewer"
    return "values" if found.n == expected.n else "other"


# ---- processes -------------------------------------------------------------------------------------------------------


class Reader:
    """A process that reads files, and is started again when one ends it.

    Parameters
    ----------
    seconds : float
        Time of the processor for a file; ten times as much on the clock, for other work may go on beside it.
    look : callable
        What is done with a file; of a module, so that the process finds it.
    """

    def __init__(self, *, seconds: float = 60.0, look: Callable[[Path], Any] = observe) -> None:
        self._seconds, self._look = seconds, look
        self._process: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def read(self, path: Path) -> Any:
        """What `observe` gives; or how the process ended, and a message."""
        if self._process is None:
            self._start()
        assert self._pipe is not None
        self._pipe.send(path)
        try:
            if self._pipe.poll(_CLOCK * self._seconds):
                grown, found = self._pipe.recv()
                return found if grown < _MUCH else ("memory", f"{grown / 2**30:.1f} GiB")
            outcome = ("hang", f"more than {_CLOCK * self._seconds} s on the clock")
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            outcome = ("hang", f"more than {self._seconds} s") if code == -signal.SIGXCPU else ("crash", f"exit {code}")
        self._end()
        return outcome

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._look, self._seconds), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.poll(_STARTING), "the process does not start"
        self._pipe.recv()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            assert self._pipe is not None
            self._pipe.close()
            self._process = self._pipe = None


def _serve(pipe: Connection, look: Callable[[Path], Any], seconds: float) -> None:
    """Read files whose paths come through the pipe, with an end to memory and without core files."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    pipe.send("ready")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            path = pipe.recv()
            last = int(time.process_time() + seconds) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (last, resource.RLIM_INFINITY))
            before = peak_memory()
            found = look(path)
            pipe.send((peak_memory() - before, found))


# ---- runs ------------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A mutant: its file, number and damage, and the outcome of reading it."""

    file: str
    number: int
    kind: str
    outcome: str
    message: str
    content: bytes


def fuzz(good: Path, number: int, *, seed: int, reader: Reader, folder: Path) -> Iterator[Case]:
    """Read damaged copies of a file.

    Parameters
    ----------
    good : Path
        A file that can be read.
    number, seed : int
        How many copies, and which.
    reader : Reader
        Reads them.
    folder : Path
        Where the copies are put for a while.
    """
    content = good.read_bytes()
    path = folder / f"mutant_{good.name}"
    path.write_bytes(content)
    expected = reader.read(path)
    assert isinstance(expected, dict), f"{good} cannot be read: {expected}"
    assert expected["load"].outcome == "read", f"{good} cannot be read: {expected['load']}"
    for k, (kind, bad) in enumerate(damaged(content, number, seed=seed)):
        path.write_bytes(bad)
        found = reader.read(path)
        outcome, message = worst(found, expected, kind) if isinstance(found, dict) else found
        yield Case(good.name, k, kind, outcome, message, bad)
    path.unlink()


def real_files() -> list[Path]:
    """Published sample files, where they are at hand."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    found = [*folder.glob("*/*.root"), *folder.glob("sophon_jetclass2/*.parquet"), *folder.glob("*/ZToQQ.parquet")]
    return sorted(path for path in found if _readable(path))


def _readable(path: Path) -> bool:
    try:
        recognise(path)
    except JetLabError:
        return False
    return True


def main() -> int:
    """Fuzz the files named on the command line; the exit status is 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layouts", nargs="*", default=list(FILES), help="names in tests.files.FILES, or 'real'")
    parser.add_argument("--mutants", type=int, default=200, help="copies of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="time of the processor for each copy")
    parser.add_argument("--save", type=Path, help="folder for the copies with a bad outcome")
    asked = parser.parse_args()
    if asked.save is not None:
        asked.save.mkdir(parents=True, exist_ok=True)
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place, Reader(seconds=asked.seconds) as reader:
        folder = Path(place)
        for name in asked.layouts:
            made = real_files() if name == "real" else [FILES[name](folder / name)]
            for good in made:
                counts: Counter[str] = Counter()
                for case in fuzz(good, asked.mutants, seed=asked.seed, reader=reader, folder=folder):
                    counts[case.outcome] += 1
                    if case.outcome in BAD:
                        _report(case, asked.save, asked.seed)
                total += counts
                sys.stdout.write(f"{good.name}: {dict(counts)}\n")
                sys.stdout.flush()
    sys.stdout.write(f"all: {dict(total)}\n")
    return int(any(total[outcome] for outcome in BAD))


def _report(case: Case, save: Path | None, seed: int) -> None:
    sys.stdout.write(f"  {case.outcome} {case.file} {case.kind} {case.number}: {case.message}\n")
    if save is not None:
        outcome = case.outcome.replace(" ", "_")
        (save / f"{outcome}_{case.kind}_{seed}_{case.number}_{case.file}").write_bytes(case.content)


if __name__ == "__main__":
    sys.exit(main())
