"""The errors that JetLab raises. Each says what was found, what was expected, and the way out."""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "FileError",
    "InvalidJetsError",
    "JetLabError",
    "MissingExtraError",
    "TrainingError",
    "UnitsError",
]


class JetLabError(ValueError):
    """Base of every error that JetLab raises on purpose."""


class InvalidJetsError(JetLabError):
    """Jets whose numbers are not physical: NaN, infinite or negative values, broken shapes, unknown labels."""


class UnitsError(InvalidJetsError):
    """Numbers that are finite but in the wrong unit, such as relative pT where GeV is expected."""


class FileError(JetLabError):
    """A file that cannot be read as jets: truncated, of another format, or without a needed column."""


class CheckpointError(JetLabError):
    """A model folder or checkpoint with missing, unexpected or mis-shaped content."""


class MissingExtraError(JetLabError, ImportError):
    """An optional package is needed; the message gives the install command."""


class TrainingError(JetLabError):
    """A training that cannot start with these arguments, or cannot go on: a loss that is not finite."""
