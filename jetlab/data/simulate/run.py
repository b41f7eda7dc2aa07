"""`simulate` and `simulate_to_file`: jets of many classes, in parallel, reproducible and resumable."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from jetlab.data.progress import Progress, Reporter
from jetlab.data.select import TURNS
from jetlab.data.simulate.chunk import Chunk, simulate_chunk
from jetlab.data.simulate.parts import open_parts, part_path, read_part, write_part
from jetlab.data.simulate.plan import Plan
from jetlab.data.simulate.pythia import require_pythia
from jetlab.data.simulate.settings import Settings
from jetlab.data.simulate.workers import available_cores, run_tasks
from jetlab.errors import FileError, JetLabError
from jetlab.jets import Jets, concatenate

__all__ = ["simulate", "simulate_to_file"]


def simulate(
    classes: str | Sequence[str],
    n: int,
    *,
    settings: str | Settings = "jetclass",
    seed: int,
    processes: int | None = None,
    mpi: bool = True,
    detector: str | None = "auto",
    progress: Progress = True,
) -> Jets:
    """Simulate jets with Pythia 8, a detector and FastJet.

    The same arguments give bit-identical jets on any number of processes.

    Parameters
    ----------
    classes : str or sequence of str
        Jet classes of the settings, such as ``["QCD", "Tbqq"]``; ``"all"`` for all of them.
    n : int
        Total number of jets, shared equally among the classes; the first ones take the rest.
    settings : {"jetclass", "jetclass-full", "quark-gluon", "top-tagging", "dis"} or Settings
        Collisions, jets and detector; see the notes.
    seed : int
        Seed, 0 or larger.
    processes : int, optional
        Number of processes; by default all cores.
    mpi : bool
        Simulate multiparton interactions, where the settings have them. Without them a jet of JetClass has about one
        constituent less and the simulation is four times faster: good for trying out, not for results.
    detector : {"auto", "jetclass", "cms", "coarse", None}
        Detector response, see `jetlab.data.simulate.detector.DETECTORS`; ``"auto"`` takes that of the settings, None
        keeps the generated particles.
    progress : bool or callable
        Show a progress bar, or call ``progress(done, total)`` with numbers of jets.

    Returns
    -------
    Jets
        Blocks of one class, the classes taking turns; labels index the classes of the settings, for JetClass
        `jetlab.vocabulary.CLASSES`. The columns in ``info`` have the names of JetClass; ``split`` marks of each class
        60% for training (0), 20% for validation (1) and 20% for tests (2).

    Raises
    ------
    MissingExtraError
        If Pythia 8 is not installed.
    JetLabError
        If an argument cannot be used, or too few jets are accepted.

    Notes
    -----
    In a script, call this under ``if __name__ == "__main__":`` when more than one process is used.

    ``"jetclass"``
        The ten classes of JetClass (arXiv:2202.03772): proton collisions at 13 TeV, anti-kT jets of R = 0.8 with
        500 < pT < 1000 GeV and |eta| < 2 that contain the whole decay; a detector like that of CMS.
    ``"jetclass-full"``
        The same with the detector ``"coarse"``, whose every difference stands beside
        `jetlab.data.simulate.detector.DETECTORS`. It takes the place of a full simulation in studies that train on the
        fast one and adapt to the other. The events are others than those of ``"jetclass"`` with the same seed.
    ``"quark-gluon"``
        Classes gluon and quark as in Zenodo 3164691 (arXiv:1810.05165): a Z to neutrinos and one parton at 14 TeV, the
        leading anti-kT jet of R = 0.4 with 500 < pT < 550 GeV and |y| < 1.7, labelled by the parton within R of it;
        u, d and s quarks only. No detector.
    ``"top-tagging"``
        Classes QCD and top as in Zenodo 2603256 (arXiv:1902.09914): dijets, and top pairs that decay to quarks, at
        14 TeV without multiparton interactions; the leading anti-kT jet of R = 0.8 with 550 < pT < 650 GeV and
        |eta| < 2, in which the top quark and its three quarks must lie. No detector, while the public set was made
        with the Delphes card of ATLAS.
    ``"dis"``
        Electron-proton scattering at HERA, 27.6 on 920 GeV, with the selection of H1 in arXiv:2404.16091: Q2 > 150 GeV2
        and 0.08 < y < 0.7, all kT jets of R = 1.0 in the laboratory with pT > 10 GeV and -1.5 < eta < 2.75; the proton
        flies towards positive eta. The scattered electron is in no jet. No detector and no photon radiation. The
        classes, Pythia and Vincia, are two parton showers of Pythia 8, in the place of Django and Rapgap. ``info`` has
        ``Q2`` and ``y``.

    Events that cannot give a selected jet end early, see `jetlab.data.simulate.veto`; less than one jet in a hundred of
    any class is lost by it, all of them at the edges of the selection. In ``"dis"`` no event ends early.
    """
    plan = Plan.of(classes, n, settings=settings, seed=seed, mpi=mpi, detector=detector)
    chunks = plan.chunks()
    require_pythia()
    done: dict[int, Jets] = {}
    with (
        Reporter(progress, total=n, unit="jet") as reporter,
        closing(run_tasks(simulate_chunk, chunks, processes=_process_count(processes))) as results,
    ):
        for index, jets in results:
            done[index] = jets
            reporter.advance(chunks[index].n)
    return _marked([done[index] for index in range(len(chunks))]).with_meta(**plan.provenance())


def simulate_to_file(
    path: str | Path,
    classes: str | Sequence[str],
    n: int,
    *,
    settings: str | Settings = "jetclass",
    seed: int,
    processes: int | None = None,
    mpi: bool = True,
    detector: str | None = "auto",
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
    classes, n, settings, seed, processes, mpi, detector, progress
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
    plan = Plan.of(classes, n, settings=settings, seed=seed, mpi=mpi, detector=detector)
    parts = _simulate_parts(folder, plan, processes=_process_count(processes), progress=progress)
    jets = _marked([read_part(part) for part in parts])
    write_jets(jets.with_meta(**plan.provenance()), path, layout=layout)
    if not keep_parts:
        shutil.rmtree(folder)
    return path


def _simulate_parts(folder: Path, plan: Plan, *, processes: int, progress: Progress) -> list[Path]:
    """Simulate jets into a folder with a file for each chunk, leaving out the chunks that are there already.

    Returns the files in the order of the simulation.
    """
    chunks = plan.chunks()
    open_parts(folder, plan.identity())
    missing = [chunk for chunk in chunks if not part_path(folder, chunk).exists()]
    there = plan.n - sum(chunk.n for chunk in missing)
    work = partial(_simulate_part, folder)
    with (
        Reporter(progress, total=plan.n, done=there, unit="jet") as reporter,
        closing(run_tasks(work, missing, processes=processes)) as results,
    ):
        for index, _ in results:
            reporter.advance(missing[index].n)
    return [part_path(folder, chunk) for chunk in chunks]


def _simulate_part(folder: Path, chunk: Chunk) -> None:
    """Simulate one chunk and put it into the folder."""
    write_part(part_path(folder, chunk), simulate_chunk(chunk))


def _marked(parts: Sequence[Jets]) -> Jets:
    """Join chunks and mark the jets of each class in turn for training, validation and tests."""
    jets = concatenate(parts)
    split = np.empty(len(jets), dtype=np.int8)
    label = np.zeros(len(jets), dtype=np.int64) if jets.label is None else jets.label
    for k in np.unique(label):
        rows = np.flatnonzero(label == k)
        split[rows] = np.resize(TURNS, len(rows))
    return jets.with_info(split=split)


def _process_count(processes: int | None) -> int:
    """Number of processes to use."""
    if processes is None:
        return available_cores()
    if processes < 1:
        msg = f"processes = {processes}, expected 1 or more"
        raise JetLabError(msg)
    return processes
