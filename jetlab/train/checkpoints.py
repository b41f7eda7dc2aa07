"""Training checkpoints: files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from jetlab.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORMAT", "Checkpoints", "write_atomically"]

FORMAT = 1
"""Version of the layout of a training checkpoint."""


class Checkpoints:
    """The checkpoints of one training in a folder: `last.pt` and, should that be damaged, `previous.pt`.

    They hold tensors, numbers, strings and containers only and are read with ``weights_only=True``.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.last = self.folder / "last.pt"
        self.previous = self.folder / "previous.pt"

    def prepare(self, size: int) -> None:
        """Make the folder and see that a checkpoint of `size` bytes can be written, before any training is done.

        Raises
        ------
        CheckpointError
            If the folder cannot be written or the disk lacks the room.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".probe-{os.getpid()}"
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
            for unfinished in self.folder.glob(f".{self.last.name}.*.tmp"):  # of a training that was killed meanwhile
                unfinished.unlink()
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            msg = f"checkpoints cannot be written to {self.folder} ({error}). Give a folder you can write to as out"
            raise CheckpointError(msg) from error
        if free < 3 * size:
            msg = (
                f"the disk of {self.folder} has {free / 1e6:.0f} MB left; checkpoints of this training need about "
                f"{3 * size / 1e6:.0f} MB. Free some room or give another folder as out"
            )
            raise CheckpointError(msg)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint; the one before it is kept as `previous.pt`.

        Raises
        ------
        CheckpointError
            If it cannot be written; what was saved before is untouched.
        """
        try:
            with write_atomically(self.last, keep=self.previous) as file:
                torch.save({"format": FORMAT, **state}, file)
        except (OSError, RuntimeError) as error:
            msg = (
                f"the checkpoint of step {state['step']} cannot be written to {self.folder} ({error}). "
                "The one before it is intact: make room and repeat the call to continue from it"
            )
            raise CheckpointError(msg) from error

    def load(self) -> dict[str, Any] | None:
        """Read the latest checkpoint that is whole; None if there is none at all.

        Raises
        ------
        CheckpointError
            If there are checkpoints but none can be read.
        """
        damaged = []
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                state = _read(path)
            except CheckpointError as error:
                damaged.append(str(error))
                continue
            if damaged:
                warnings.warn(f"{damaged[0]}; continuing from {path.name}, step {state['step']}", stacklevel=2)
            return state
        if damaged:
            msg = f"{'; '.join(damaged)}. Remove the damaged files or pass resume=False to start afresh"
            raise CheckpointError(msg)
        return None


@contextlib.contextmanager
def write_atomically(path: Path, *, keep: Path | None = None) -> Any:
    """Context that gives a binary file which becomes `path` only when it is complete and on the disk.

    Parameters
    ----------
    path : Path
        The file to write.
    keep : Path, optional
        Where an old file at `path` is moved, instead of being replaced.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            yield file
            _to_disk(file)
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _folder_to_disk(path.parent)


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _folder_to_disk(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()  # torch itself does not compare the checksums
        if changed is not None:
            msg = f"checksum of {changed}"
            raise zipfile.BadZipFile(msg)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in every way there is
        msg = f"{path} is damaged or not a training checkpoint ({type(error).__name__})"
        raise CheckpointError(msg) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        msg = f"{path} is a checkpoint of format {found!r}, expected {FORMAT}"
        raise CheckpointError(msg)
    return state
