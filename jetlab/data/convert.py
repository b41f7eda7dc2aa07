"""`convert`: files of any layout into a folder of flat files that are read as fast as the disk gives.

The folder grows beside its final place under a name of its own, with a note of what is done, so that an interrupted
conversion goes on where it stopped. It gets its name when it is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jetlab.data.formats import Choice, open_jets
from jetlab.data.formats.flat import save_flat
from jetlab.data.formats.table import guarded
from jetlab.data.progress import Progress, Reporter
from jetlab.data.select import Selection, Where
from jetlab.data.sources import files_of
from jetlab.errors import FileError, JetLabError
from jetlab.jets import Jets, concatenate

__all__ = ["JETS_PER_FILE", "convert"]

JETS_PER_FILE = 50_000
"""Jets of a flat file: about 70 MB."""

_PLAN = "conversion.json"


def convert(
    source: str | Path | Sequence[str | Path],
    path: str | Path,
    *,
    classes: str | Sequence[str] | None = None,
    split: str | None = None,
    where: Where | None = None,
    collection: str | None = None,
    puppi: bool = False,
    jets_per_file: int = JETS_PER_FILE,
    progress: Progress = False,
) -> Path:
    """Write jets into a folder of flat files, for fast reading by `jetlab.load_jets` and `jetlab.stream_jets`.

    Jets are checked as they are read, then written as they are in memory, with checksums. Their order is kept; streams
    mix flat files well, since they read them in small pieces.

    Parameters
    ----------
    source : str, Path, or sequence of these
        Files, folders, patterns with ``*``, or the name of a data set, as for `jetlab.load_jets`.
    path : str or Path
        The folder to make. If a conversion of the same source with the same options was interrupted, it is continued;
        if it is there already and complete, nothing is done.
    classes, split, where, collection, puppi
        As for `jetlab.load_jets`. A conversion with a function as `where` starts afresh every time.
    jets_per_file : int
        Jets of a flat file, about; 1.4 kB each with all fields.
    progress : bool or callable
        Show a progress bar, or call ``progress(jets read, jets in all)``.

    Returns
    -------
    Path
        The folder: safetensors files, and ``conversion.json``, which says what they were made from.

    Raises
    ------
    FileError
        If a source file is missing or damaged, `path` holds something else, or it cannot be written.
    InvalidJetsError, UnitsError
        If numbers are not those of jets in GeV, or nothing is selected.

    Examples
    --------
    >>> convert("train/*.root", "train-flat")
    >>> for jets in stream_jets("train-flat", batch_size=512):
    ...     print(jets.mass.mean())
    """
    if jets_per_file < 1:
        msg = f"jets_per_file is {jets_per_file}, expected 1 or more"
        raise JetLabError(msg)
    path = Path(path)
    task = _Task(files_of(source), Choice(collection, puppi), Selection.made(classes, split, where), jets_per_file)
    plan = _plan(task)
    if path.exists():
        _check_complete(path, plan)
        return path
    unfinished = path.with_name(f".{path.name}.unfinished")
    with guarded(str(path), "written"):
        state = _begun(unfinished, plan)
        _write(unfinished, state, task, progress)
        os.replace(unfinished, path)
    return path


# ---- what is to be done, and how far it is ---------------------------------------------------------------------------


class _Task(NamedTuple):
    """What is converted."""

    files: Sequence[Path]
    choice: Choice
    selection: Selection
    jets_per_file: int


def _plan(task: _Task) -> dict[str, Any]:
    """Everything that the result depends on; JSON-safe."""
    files, choice, selection, jets_per_file = task
    where = selection.where
    options = {
        "classes": selection.classes,
        "split": selection.split,
        "where": None if where is None else repr(where) if callable(where) else dict(where),
        "collection": choice.collection,
        "puppi": choice.puppi,
        "jets_per_file": jets_per_file,
    }
    sources = [{"name": file.name, "bytes": file.stat().st_size} for file in files]
    return dict(json.loads(json.dumps({"sources": sources, "options": options}, default=str)))


def _check_complete(path: Path, plan: dict[str, Any]) -> None:
    note = _read_note(path / _PLAN) if (path / _PLAN).is_file() else {}
    if {key: note.get(key) for key in plan} != plan:
        msg = f"{path} exists and does not hold the same conversion: choose another path, or remove it first"
        raise FileError(msg)


def _begun(unfinished: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """State of an interrupted conversion of the same plan, or of a new one."""
    note = unfinished / _PLAN
    if note.is_file():
        state = _read_note(note)
        if {key: state.get(key) for key in plan} == plan:
            return state
        for old in unfinished.iterdir():  # of another conversion, which nobody will continue
            old.unlink()
    unfinished.mkdir(parents=True, exist_ok=True)
    state = plan | {"next": {"file": 0, "jet": 0}, "read": 0, "jets": 0, "files": 0}
    _write_note(note, state)
    return state


def _read_note(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, OSError) as error:
        msg = f"{path} cannot be read ({error}): remove the folder {path.parent} to start afresh"
        raise FileError(msg) from error


def _write_note(path: Path, state: dict[str, Any]) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(state, indent=1))
    os.replace(temporary, path)


# ---- jets ------------------------------------------------------------------------------------------------------------


def _write(folder: Path, state: dict[str, Any], task: _Task, progress: Progress) -> None:
    total = sum(_count(file, task.choice) for file in task.files)
    held: list[Jets] = []
    with Reporter(progress, total=total, unit="jet", done=state["read"]) as reporter:
        for jets, read, following in _pieces(task, state["next"]):
            held += [jets] if len(jets) else []
            state |= {"next": following, "read": state["read"] + read}
            if sum(map(len, held)) >= task.jets_per_file or (following["file"] == len(task.files) and held):
                _write_file(folder, state, held)
                held = []
            reporter.advance(read)
    if not state["jets"]:
        msg = f"none of the {total} jets fulfils the conditions; nothing is written"
        raise FileError(msg)


def _write_file(folder: Path, state: dict[str, Any], held: Sequence[Jets]) -> None:
    """One more flat file; the note counts it only when it is complete."""
    jets = concatenate(held)
    jets.meta = {key: value for key, value in jets.meta.items() if all(j.meta.get(key) == value for j in held)}
    jets.meta["sources"] = list(dict.fromkeys(j.meta["file"] for j in held))
    path = folder / f"{state['files']:05d}.safetensors"
    temporary = path.with_suffix(".part")
    save_flat(temporary, jets)
    os.replace(temporary, path)
    state |= {"files": state["files"] + 1, "jets": state["jets"] + len(jets)}
    _write_note(folder / _PLAN, state)


def _pieces(task: _Task, start: dict[str, int]) -> Iterator[tuple[Jets, int, dict[str, int]]]:
    """Selected jets of one piece after the other, how many were read for them, and where the next piece begins."""
    files, choice, selection, at_once = task
    for number in range(start["file"], len(files)):
        with open_jets(files[number], choice=choice) as file:
            size = at_once if file.layout.in_parts else len(file)
            first = start["jet"] if number == start["file"] else 0
            for begin in range(first, len(file), size):
                end = min(begin + size, len(file))
                following = {"file": number, "jet": end} if end < len(file) else {"file": number + 1, "jet": 0}
                yield selection.of(file.read(begin, end)), end - begin, following


def _count(path: Path, choice: Choice) -> int:
    with open_jets(path, choice=choice) as file:
        return len(file)
