"""One chunk of a simulation: a fixed number of jets of one class, from one generator with its own random numbers."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.simulate.candidates import Candidates, StableParticles, stable_particles, taken, visible_candidates
from jetlab.data.simulate.cluster import FoundJets, clean_constituents, find_jets, substructure
from jetlab.data.simulate.detector import DETECTORS, energy_flow
from jetlab.data.simulate.matching import MATCHINGS
from jetlab.data.simulate.pythia import Events, generate_events, start_pythia
from jetlab.data.simulate.settings import SETTINGS, Settings
from jetlab.data.simulate.truth import Matches, scattered_leptons
from jetlab.data.simulate.veto import early_veto
from jetlab.errors import JetLabError
from jetlab.jets import Jets, concatenate

__all__ = ["Chunk", "select_jets", "simulate_chunk"]

_LARGEST_BATCH = 250
_SMALLEST_BATCH = 20
_PATIENCE = 20  # give up after so many times the expected number of events
_MARGIN = 1.5  # rings in pseudorapidity around the jets, in jet radii, in which candidates are clustered
_SPREAD = 0.8  # further room in which particles are propagated: the field and the vertex move them


@dataclass(frozen=True)
class Chunk:
    """What identifies a chunk; equal chunks give bit-identical jets.

    Parameters
    ----------
    name : str
        Name of one of the classes of the settings.
    number : int
        Number of the chunk among those of its class.
    n : int
        Number of jets.
    seed : int
        Seed of the whole simulation.
    mpi : bool
        Whether multiparton interactions are simulated.
    detector : str or None
        A key of `jetlab.data.simulate.detector.DETECTORS`, or None for generated particles.
    settings : Settings
        Collisions and jets.
    """

    name: str
    number: int
    n: int
    seed: int
    mpi: bool
    detector: str | None
    settings: Settings = field(default_factory=lambda: SETTINGS["jetclass"])

    def random_seeds(self) -> tuple[int, np.random.SeedSequence]:
        """Seeds of Pythia and of the detector; they differ between classes and between settings."""
        name = self.name if self.settings.name == "jetclass" else f"{self.settings.name}/{self.name}"
        sequence = np.random.SeedSequence([self.seed, zlib.crc32(name.encode()), self.number])
        pythia, detector = sequence.spawn(2)
        return int(pythia.generate_state(1)[0]), detector


def simulate_chunk(chunk: Chunk) -> Jets:
    """Simulate the jets of one chunk.

    Parameters
    ----------
    chunk : Chunk
        Which jets.

    Raises
    ------
    JetLabError
        If the selection accepts so few jets that the number cannot be reached.
    """
    settings = chunk.settings
    jets_per_event = settings.recipe(chunk.name).jets_per_event
    pythia_seed, detector_seed = chunk.random_seeds()
    veto = None if settings.veto is None else early_veto(settings.jets, settings.veto)
    commands = settings.pythia(chunk.name, chunk=chunk.number, mpi=chunk.mpi)
    pythia = start_pythia(commands, seed=pythia_seed, hook=veto)
    rng = np.random.default_rng(detector_seed)
    parts: list[Jets] = []
    found = tried = 0
    while found < chunk.n:
        _check_patience(chunk, found=found, tried=tried)
        size = _batch_size(chunk.n - found, jets_per_event)
        events = generate_events(pythia, size)
        tried += size
        if len(events):
            parts.append(_jets_of(events, chunk, rng))
            found += len(parts[-1])
    return concatenate(parts)[: chunk.n]


def _batch_size(missing: int, jets_per_event: float) -> int:
    """Number of events to generate next: enough for the missing jets, but never too many at once."""
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, math.ceil(1.05 * missing / jets_per_event)))


def _check_patience(chunk: Chunk, *, found: int, tried: int) -> None:
    """Raise if the number of jets will not be reached."""
    settings = chunk.settings
    if tried < _PATIENCE * (chunk.n / settings.recipe(chunk.name).jets_per_event + _LARGEST_BATCH):
        return
    msg = (
        f"{tried} events of class {chunk.name} gave only {found} of {chunk.n} jets with {settings.jets}; "
        f"widen the jet selection or move the range of the hard scattering ({', '.join(settings.phase_space)}) "
        "towards it"
    )
    raise JetLabError(msg)


def select_jets(
    events: Events, settings: Settings, name: str, detector: str | None, rng: np.random.Generator
) -> tuple[Candidates, FoundJets, Matches]:
    """Reconstruct a batch of events and find the jets of a class.

    Parameters
    ----------
    events : Events
        What Pythia generated.
    settings : Settings
        Which jets are kept.
    name : str
        Class name.
    detector : str or None
        As for `Chunk`.
    rng : numpy.random.Generator
        Random numbers of the detector.

    Returns
    -------
    Candidates, FoundJets, Matches
        All reconstructed particles, the jets, and what the jets are matched to.
    """
    room = settings.jets.abs_eta_max + _MARGIN * settings.jets.radius
    hidden = scattered_leptons(events) if settings.beams.lepton else None
    particles = stable_particles(events, abs_eta_max=room + _SPREAD, without=hidden)
    candidates = _reconstructed(particles, detector, rng)
    candidates = taken(candidates, np.abs(candidates.eta) < room)
    jets = find_jets(candidates, len(events), settings.jets)
    matches = MATCHINGS[settings.matching](events, jets, settings)
    kept = np.isin(matches.code, settings.recipe(name).codes)
    return candidates, jets[kept], matches[kept]


def _jets_of(events: Events, chunk: Chunk, rng: np.random.Generator) -> Jets:
    """Matched jets of one batch of events."""
    candidates, jets, matches = select_jets(events, chunk.settings, chunk.name, chunk.detector, rng)
    return _as_jets(candidates, jets, chunk, _truth_columns(events, matches))


def _reconstructed(particles: StableParticles, detector: str | None, rng: np.random.Generator) -> Candidates:
    """What the detector makes of the particles."""
    return visible_candidates(particles) if detector is None else energy_flow(particles, DETECTORS[detector], rng)


def _truth_columns(events: Events, matches: Matches) -> dict[str, npt.NDArray[Any]]:
    """Momentum and PDG code of the matched resonance, 0 without one, the truth code, and what is known of the event."""
    row, matched = matches.resonance, matches.resonance >= 0
    px, py, pz = events.px[row], events.py[row], events.pz[row]
    pt = np.maximum(np.hypot(px, py), 1e-12)
    truth = {"pt": pt, "eta": np.arcsinh(pz / pt), "phi": np.arctan2(py, px), "pid": events.pid[row]}
    columns = {f"aux_genpart_{name}": np.where(matched, value, 0).astype(np.float32) for name, value in truth.items()}
    columns |= {name: values.astype(np.float32) for name, values in matches.columns.items()}
    return columns | {"aux_truth_match": matches.code.astype(np.float32)}


def _as_jets(candidates: Candidates, jets: FoundJets, chunk: Chunk, truth: dict[str, npt.NDArray[Any]]) -> Jets:
    """Put constituents, substructure and truth into the container."""
    offsets, constituents = clean_constituents(candidates, jets)
    shapes = substructure(candidates, jets, chunk.settings.jets)
    info = {name: value.astype(np.float32) for name, value in shapes.items()}
    classes = chunk.settings.classes
    fields = ("pt", "eta", "phi", "mass", "charge", "ptype", "d0", "d0err", "dz", "dzerr")
    return Jets.from_flat(
        offsets,
        {name: getattr(constituents, name) for name in fields},
        label=np.full(len(jets), classes.index(chunk.name)),
        classes=classes,
        info=info | truth,
    )
