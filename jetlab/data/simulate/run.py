"""`simulate` and `simulate_to_file`: jets of many classes, in parallel, reproducible and resumable."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from jetlab.data.progress import Progress, Reporter
from jetlab.data.select import TURNS
from jetlab.data.simulate.chunk import Chunk, simulate_chunk
from jetlab.data.simulate.detector import DETECTORS
from jetlab.data.simulate.parts import open_parts, part_path, read_part, write_part
from jetlab.data.simulate.pythia import pythia_version, require_pythia
from jetlab.data.simulate.recipes import RECIPES
from jetlab.data.simulate.veto import MARGINS
from jetlab.data.simulate.workers import available_cores, run_tasks
from jetlab.errors import FileError, JetLabError
from jetlab.jets import Jets, concatenate
from jetlab.vocabulary import class_named

__all__ = ["CHUNK_SIZE", "plan_chunks", "provenance", "simulate", "simulate_parts", "simulate_to_file"]

CHUNK_SIZE = 500
"""Jets in a chunk. A constant: with the seed it decides which jets are simulated."""


def simulate(
    classes: str | Sequence[str],
    n: int,
    *,
    seed: int,
    processes: int | None = None,
    mpi: bool = True,
    detector: str | None = "jetclass",
    progress: Progress = True,
) -> Jets:
    """Simulate jets with Pythia 8, a detector and FastJet.

    Proton collisions at 13 TeV, anti-kT jets of R = 0.8 with 500 < pT < 1000 GeV and |eta| < 2, matched to their decay,
    following JetClass. The same arguments give bit-identical jets on any number of processes.

    Parameters
    ----------
    classes : str or sequence of str
        Jet classes, such as ``["QCD", "Tbqq"]``.
    n : int
        Total number of jets, shared equally among the classes; the first ones take the rest.
    seed : int
        Seed, 0 or larger.
    processes : int, optional
        Number of processes; by default all cores.
    mpi : bool
        Simulate multiparton interactions. Without them a jet has about one constituent less and the simulation is four
        times faster: good for trying out, not for results.
    detector : {"jetclass", "cms", None}
        Detector response; None keeps the generated particles.
    progress : bool or callable
        Show a progress bar, or call ``progress(done, total)`` with numbers of jets.

    Returns
    -------
    Jets
        Blocks of one class, the classes taking turns; labels index `jetlab.vocabulary.CLASSES`. The columns in ``info``
        have the names of JetClass; ``split`` marks of each class 60% for training (0), 20% for validation (1) and 20%
        for tests (2).

    Raises
    ------
    MissingExtraError
        If Pythia 8 is not installed.
    JetLabError
        If an argument cannot be used, or too few jets are accepted.

    Notes
    -----
    In a script, call this under ``if __name__ == "__main__":`` when more than one process is used.

    Events that cannot give a selected jet end early, see `jetlab.data.simulate.veto`; less than one jet in a hundred of
    any class is lost by it, all of them at the edges of the selection.
    """
    names = _class_names(classes)
    chunks = plan_chunks(names, n, seed=seed, mpi=mpi, detector=detector)
    require_pythia()
    done: dict[int, Jets] = {}
    with (
        Reporter(progress, total=n, unit="jet") as reporter,
        closing(run_tasks(simulate_chunk, chunks, processes=_process_count(processes))) as results,
    ):
        for index, jets in results:
            done[index] = jets
            reporter.advance(chunks[index].n)
    meta = provenance(names, seed=seed, mpi=mpi, detector=detector)
    return _marked([done[index] for index in range(len(chunks))]).with_meta(**meta)


def simulate_to_file(
    path: str | Path,
    classes: str | Sequence[str],
    n: int,
    *,
    seed: int,
    processes: int | None = None,
    mpi: bool = True,
    detector: str | None = "jetclass",
    progress: Progress = True,
    layout: str = "jetclass",
    keep_parts: bool = False,
) -> Path:
    """Simulate jets into a file; an interrupted call continues where it stopped.

    Finished chunks wait in the folder ``<path>.parts``, which is removed in the end.

    Parameters
    ----------
    path : str or Path
        Output file; its suffix decides the format.
    classes, n, seed, processes, mpi, detector, progress
        As for `simulate`.
    layout : str
        Columns of the file, as in `jetlab.data.write_jets`.
    keep_parts : bool
        Keep the folder of parts.

    Returns
    -------
    Path
        The output file.

    Raises
    ------
    FileError
        If the file exists already or cannot be written there.
    JetLabError
        If the folder of parts belongs to another simulation, or as for `simulate`.
    """
    from jetlab.data.formats import write_jets
    from jetlab.data.formats.writing import check_target

    path = Path(path)
    check_target(path, layout=layout)
    if path.exists():
        msg = f"{path} exists already; remove it or choose another path"
        raise FileError(msg)
    folder = path.with_name(f"{path.name}.parts")
    options: dict[str, Any] = {"seed": seed, "mpi": mpi, "detector": detector}
    parts = simulate_parts(folder, classes, n, processes=processes, progress=progress, **options)
    meta = provenance(_class_names(classes), **options)
    write_jets(_marked([read_part(part) for part in parts]).with_meta(**meta), path, layout=layout)
    if not keep_parts:
        shutil.rmtree(folder)
    return path


def simulate_parts(
    folder: str | Path,
    classes: str | Sequence[str],
    n: int,
    *,
    seed: int,
    processes: int | None = None,
    mpi: bool = True,
    detector: str | None = "jetclass",
    progress: Progress = True,
) -> list[Path]:
    """Simulate jets into a folder with a file for each chunk, leaving out the chunks that are there already.

    Parameters
    ----------
    folder : str or Path
        The folder.
    classes, n, seed, processes, mpi, detector, progress
        As for `simulate`.

    Returns
    -------
    list of Path
        The parts in the order of the simulation; read them with `jetlab.data.simulate.parts.read_part`.
    """
    folder = Path(folder)
    names = _class_names(classes)
    chunks = plan_chunks(names, n, seed=seed, mpi=mpi, detector=detector)
    open_parts(folder, {"n": n, "chunk_size": CHUNK_SIZE} | provenance(names, seed=seed, mpi=mpi, detector=detector))
    missing = [chunk for chunk in chunks if not part_path(folder, chunk).exists()]
    there = n - sum(chunk.n for chunk in missing)
    work = partial(_simulate_part, folder)
    with (
        Reporter(progress, total=n, done=there, unit="jet") as reporter,
        closing(run_tasks(work, missing, processes=_process_count(processes))) as results,
    ):
        for index, _ in results:
            reporter.advance(missing[index].n)
    return [part_path(folder, chunk) for chunk in chunks]


def _simulate_part(folder: Path, chunk: Chunk) -> None:
    """Simulate one chunk and put it into the folder."""
    write_part(part_path(folder, chunk), simulate_chunk(chunk))


def plan_chunks(names: Sequence[str], n: int, *, seed: int, mpi: bool, detector: str | None) -> list[Chunk]:
    """Cut a simulation into chunks; the classes take turns, so that any beginning of the list is balanced.

    Parameters
    ----------
    names : sequence of str
        Class names.
    n : int
        Total number of jets.
    seed, mpi, detector
        As for `simulate`.
    """
    _check_options(names, n, seed=seed, detector=detector)
    share, rest = divmod(n, len(names))
    chunks = []
    for number in range(-(-(share + bool(rest)) // CHUNK_SIZE)):
        for k, name in enumerate(names):
            size = min(CHUNK_SIZE, share + (k < rest) - number * CHUNK_SIZE)
            if size > 0:
                chunks.append(Chunk(name, number, size, seed, mpi, detector))
    return chunks


def provenance(names: Sequence[str], *, seed: int, mpi: bool, detector: str | None) -> dict[str, Any]:
    """Everything the jets depend on, JSON-safe: generator and its settings, versions, seed, detector and jets.

    Parameters
    ----------
    names : sequence of str
        Class names.
    seed, mpi, detector
        As for `simulate`.
    """
    from jetlab import __version__

    first = RECIPES[names[0]]
    return {
        "source": "simulation",
        "generator": f"pythia8mc {pythia_version()}",
        "fastjet": metadata.version("fastjet"),
        "jetlab": __version__,
        "classes": list(names),
        "seed": seed,
        "mpi": mpi,
        "detector": detector,
        "sqrt_s_gev": first.sqrt_s,
        "jet": {"algorithm": "anti-kT", **asdict(first.jets)},
        "early_veto": MARGINS,
        "settings": {name: list(RECIPES[name].settings(mpi=mpi)) for name in names},
    }


def _marked(parts: Sequence[Jets]) -> Jets:
    """Join chunks and mark the jets of each class in turn for training, validation and tests."""
    jets = concatenate(parts)
    split = np.empty(len(jets), dtype=np.int8)
    label = np.zeros(len(jets), dtype=np.int64) if jets.label is None else jets.label
    for k in np.unique(label):
        rows = np.flatnonzero(label == k)
        split[rows] = np.resize(TURNS, len(rows))
    return jets.with_info(split=split)


def _class_names(classes: str | Sequence[str]) -> list[str]:
    """Short names of the classes asked for."""
    asked = [classes] if isinstance(classes, str) else list(classes)
    try:
        names = [class_named(name).name for name in asked]
    except KeyError as error:
        raise JetLabError(error.args[0]) from None
    if not names or len(set(names)) < len(names):
        msg = f"expected one or more different jet classes, found {asked}"
        raise JetLabError(msg)
    return names


def _check_options(names: Sequence[str], n: int, *, seed: int, detector: str | None) -> None:
    """Raise for arguments that cannot be used."""
    if n < len(names):
        msg = f"n = {n} jets cannot be shared by {len(names)} classes; n is the total number and must be at least that"
        raise JetLabError(msg)
    if seed < 0:
        msg = f"seed = {seed}, expected 0 or larger"
        raise JetLabError(msg)
    if detector is not None and detector not in DETECTORS:
        msg = f"unknown detector {detector!r}; expected one of {', '.join(DETECTORS)}, or None for generated particles"
        raise JetLabError(msg)


def _process_count(processes: int | None) -> int:
    """Number of processes to use."""
    if processes is None:
        return available_cores()
    if processes < 1:
        msg = f"processes = {processes}, expected 1 or more"
        raise JetLabError(msg)
    return processes
