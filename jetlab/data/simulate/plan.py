"""What a simulation will make: its arguments, checked; its chunks; and its provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from jetlab.data.simulate.chunk import Chunk
from jetlab.data.simulate.detector import DETECTORS
from jetlab.data.simulate.pythia import pythia_version
from jetlab.data.simulate.settings import SETTINGS, Settings, settings_named
from jetlab.errors import JetLabError
from jetlab.vocabulary import class_named

__all__ = ["CHUNK_SIZE", "Plan", "class_names"]

CHUNK_SIZE = 500
"""Jets in a chunk. A constant: with the seed it decides which jets are simulated."""

_OF_SETTINGS = "auto"
_ALL = "all"


@dataclass(frozen=True)
class Plan:
    """A simulation that can be done.

    Parameters
    ----------
    settings : Settings
        Collisions and jets.
    classes : tuple of str
        Names of the classes that are simulated.
    n : int
        Total number of jets.
    seed : int
        Seed.
    mpi : bool
        Whether multiparton interactions are simulated.
    detector : str or None
        A key of `jetlab.data.simulate.detector.DETECTORS`, or None for generated particles.
    """

    settings: Settings
    classes: tuple[str, ...]
    n: int
    seed: int
    mpi: bool
    detector: str | None

    @staticmethod
    def of(
        classes: str | Sequence[str], n: int, *, settings: str | Settings, seed: int, mpi: bool, detector: str | None
    ) -> Plan:
        """Plan a simulation from the arguments of `jetlab.simulate`.

        Raises
        ------
        JetLabError
            If an argument cannot be used.
        """
        chosen = settings_named(settings)
        names = class_names(classes, chosen)
        if n < len(names):
            share = f"n = {n} jets cannot be shared by {len(names)} classes"
            msg = f"{share}; n is the total number and must be at least that"
            raise JetLabError(msg)
        if seed < 0:
            msg = f"seed = {seed}, expected 0 or larger"
            raise JetLabError(msg)
        used = chosen.detector if detector == _OF_SETTINGS else detector
        if used is not None and used not in DETECTORS:
            expected = f"{', '.join(DETECTORS)}, {_OF_SETTINGS} for that of the settings, or None"
            msg = f"unknown detector {used!r}; expected one of {expected} for generated particles"
            raise JetLabError(msg)
        return Plan(chosen, names, n, seed, mpi and chosen.mpi, used)

    def chunks(self) -> list[Chunk]:
        """Cut the simulation; the classes take turns, so that any beginning of the list is balanced."""
        share, rest = divmod(self.n, len(self.classes))
        chunks = []
        for number in range(-(-(share + bool(rest)) // CHUNK_SIZE)):
            for k, name in enumerate(self.classes):
                size = min(CHUNK_SIZE, share + (k < rest) - number * CHUNK_SIZE)
                if size > 0:
                    chunks.append(Chunk(name, number, size, self.seed, self.mpi, self.detector, self.settings))
        return chunks

    def identity(self) -> dict[str, Any]:
        """What finished chunks must agree in to belong to this simulation, JSON-safe."""
        return {"n": self.n, "chunk_size": CHUNK_SIZE} | self.provenance()

    def provenance(self) -> dict[str, Any]:
        """Everything the jets depend on, JSON-safe: generator and its settings, versions, seed, detector and jets."""
        from jetlab import __version__

        return {
            "source": "simulation",
            "generator": f"pythia8mc {pythia_version()}",
            "fastjet": metadata.version("fastjet"),
            "jetlab": __version__,
            "classes": list(self.classes),
            "seed": self.seed,
            "mpi": self.mpi,
            "detector": self.detector,
            **self.settings.description(),
            "settings": {name: list(self.settings.pythia(name, mpi=self.mpi)) for name in self.classes},
        }


def class_names(classes: str | Sequence[str], settings: Settings) -> tuple[str, ...]:
    """Names of the classes asked for; ``"all"`` is all of the settings.

    Raises
    ------
    JetLabError
        If a name is unknown or comes twice.
    """
    if classes == _ALL:
        return settings.classes
    asked = [classes] if isinstance(classes, str) else list(classes)
    names = tuple(_class_name(name, settings) for name in asked)
    if not names or len(set(names)) < len(names):
        msg = f"expected one or more different jet classes, found {asked}"
        raise JetLabError(msg)
    return names


def _class_name(name: str, settings: Settings) -> str:
    """Short name of a class; those of JetClass have several names."""
    if settings.classes == SETTINGS["jetclass"].classes:
        try:
            return class_named(name).name
        except KeyError as error:
            raise JetLabError(error.args[0]) from None
    if name not in settings.classes:
        msg = f"settings {settings.name!r} have no class {name!r}; expected one of {', '.join(settings.classes)}"
        raise JetLabError(msg)
    return name
