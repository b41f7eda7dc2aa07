"""Every reader on damaged files: a few of the mutants that ``python -m tests.fuzz`` makes by the thousand."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from tests.files import FILES
from tests.fuzz import BAD, DAMAGE, Reader, damaged, fuzz, observe, worst

MUTANTS = 4
"""Of each file; the kinds of damage take turns."""


def test_damaged_files_give_our_error_or_the_same_jets(tmp_path: Path) -> None:
    """In another process, so that a crash, a hang or a flood of memory would be told from an error."""
    found: list[str] = []
    outcomes: Counter[str] = Counter()
    with Reader() as reader:
        for seed, (name, make) in enumerate(FILES.items()):
            for case in fuzz(make(tmp_path / name), MUTANTS, seed=seed, reader=reader, folder=tmp_path):
                outcomes[case.outcome] += 1
                if case.outcome in BAD:
                    found.append(f"{case.outcome}: {case.file}, {case.kind} {case.number}: {case.message}")
    assert not found, "\n".join(found)
    assert outcomes["error"] > outcomes.total() / 2


# ---- the harness finds what it looks for -----------------------------------------------------------------------------


def test_mutants_are_what_they_were(tmp_path: Path) -> None:
    good = bytes(range(256)) * 40
    first, second = (list(damaged(good, 40, seed=3)) for _ in range(2))
    assert first == second
    assert {kind for kind, _ in first} == set(DAMAGE)
    assert all(len(bad) < len(good) for kind, bad in first if kind == "cut")
    assert sum(bad != good for _, bad in first) > 35


def test_half_a_file_without_an_error_is_found(tmp_path: Path) -> None:
    path = FILES["columns.npz"](tmp_path / "jets")
    expected = observe(path)
    assert worst(expected, expected, "cut")[0] == "same"
    fewer = expected | {"load": expected["load"]._replace(n=expected["load"].n // 2)}
    assert worst(fewer, expected, "cut")[0] == "half"
    assert worst(fewer, expected, "flip")[0] == "fewer"
    other = expected | {"stream": expected["stream"]._replace(values="")}
    assert worst(other, expected, "flip")[0] == "values"


def harm(path: Path) -> None:
    """What a bad reader might do with a file, by its name."""
    if path.name == "crash":
        os.abort()
    elif path.name == "circle":
        while True:
            pass
    elif path.name == "flood":
        assert b"1" * (2**30 + 2**27)


def test_crashes_hangs_and_floods_are_put_down_to_their_file() -> None:
    with Reader(seconds=1.0, look=harm) as reader:
        assert reader.read(Path("harmless")) is None
        assert reader.read(Path("circle"))[0] == "hang"
    with Reader(seconds=60.0, look=harm) as reader:  # a gigabyte takes its time on a busy machine
        assert reader.read(Path("flood"))[0] == "memory"
        assert reader.read(Path("crash"))[0] == "crash"
