"""The files of a model folder: read strictly, written all together or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.rows import SCALE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CARD", "CONFIG", "FORMAT", "WEIGHTS", "Config", "joined", "new_folder", "tensor_shapes"]

FORMAT = 1
"""Version of the layout of a model folder."""

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"

MAX_CONFIG_BYTES = 1_000_000


@dataclass(frozen=True)
class Config:
    """The content of ``config.json``.

    Parameters
    ----------
    architecture : str
        Name in `jetlab.zoo.registry.ARCHITECTURES`.
    config : dict
        What the architecture's ``from_config`` takes.
    provenance : dict
        How the model came about, JSON-safe. `list_models` shows its ``description``, ``task`` and ``classes``.
    format : int
        Version of the layout.
    """

    architecture: str
    config: dict[str, Any]
    provenance: dict[str, Any]
    format: int = FORMAT

    def __post_init__(self) -> None:
        if type(self.format) is not int or self.format != FORMAT:
            msg = f"{CONFIG} has format {self.format!r}, this version of jetlab reads {FORMAT}"
            raise CheckpointError(msg)
        for name, kind in (("architecture", str), ("config", dict), ("provenance", dict)):
            if not isinstance(getattr(self, name), kind):
                msg = f"{name} in {CONFIG} is {getattr(self, name)!r:.80}, expected a {kind.__name__}"
                raise CheckpointError(msg)

    @classmethod
    def read(cls, folder: Path) -> Config:
        """Read the configuration of a model folder.

        Raises
        ------
        CheckpointError
            If the file is absent, is not JSON, or has missing, unexpected or wrong entries.
        """
        path = folder / CONFIG
        try:
            entries = json.loads(_small_text(path), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            if isinstance(error, CheckpointError):
                raise
            msg = f"{path} is not valid JSON ({error})"
            raise CheckpointError(msg) from error
        expected = {"format", "architecture", "config", "provenance"}
        if not isinstance(entries, dict):
            msg = f"{path} holds a {type(entries).__name__}, expected an object with {', '.join(sorted(expected))}"
            raise CheckpointError(msg)
        wrong = [f"missing {name}" for name in sorted(expected - entries.keys())]
        wrong += [f"unexpected {name}" for name in sorted(entries.keys() - expected)]
        if wrong:
            msg = f"{path}: {', '.join(wrong)}"
            raise CheckpointError(msg)
        return cls(**entries)

    def text(self) -> str:
        """Return the JSON text.

        Raises
        ------
        CheckpointError
            If an entry cannot be written as JSON.
        """
        ordered = {"format": self.format, **{k: v for k, v in asdict(self).items() if k != "format"}}
        try:
            return json.dumps(ordered, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        except (TypeError, ValueError) as error:
            msg = f"the configuration or provenance of the model cannot be written as JSON: {error}"
            raise CheckpointError(msg) from error


def _small_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            msg = f"{path} has {path.stat().st_size} bytes, expected at most {MAX_CONFIG_BYTES}"
            raise CheckpointError(msg)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        present = ", ".join(sorted(p.name for p in path.parent.iterdir())[:10]) or "nothing"
        msg = f"{path.parent} is not a model folder: {path.name} cannot be read. It holds {present}"
        raise CheckpointError(msg) from error


def _refuse_constant(name: str) -> None:
    msg = f"{name} is not a JSON number"
    raise ValueError(msg)


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Read names and shapes of the weights without the weights, and without scales of rows (`jetlab.zoo.rows`).

    Raises
    ------
    CheckpointError
        If the file is absent, cut short or not in safetensors format.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="numpy") as file:
            names = [name for name in file.keys() if not name.endswith(SCALE)]  # noqa: SIM118
            return {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        msg = f"{path} cannot be read as safetensors ({error}). Is it cut short, or another kind of file?"
        raise CheckpointError(msg) from error


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Context that gives an empty folder which takes the place of `path` once it is complete.

    Other files in an earlier model folder at `path`, such as figures of the card, are kept.

    Raises
    ------
    CheckpointError
        If `path` is something else than a model folder, or cannot be written.
    """
    _refuse_foreign(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
    replaced = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        _to_disk(unfinished)
        if path.exists():
            _keep_others(path, unfinished)
            path.rename(replaced)
        unfinished.rename(path)
    except OSError as error:
        if replaced.exists() and not path.exists():
            replaced.rename(path)
        msg = f"the model cannot be written to {path} ({error}). What was there before is untouched"
        raise CheckpointError(msg) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def _refuse_foreign(path: Path) -> None:
    if not path.exists() or (path.is_dir() and ((path / CONFIG).is_file() or not any(path.iterdir()))):
        return
    msg = f"{path} exists and is not a model folder; it is not overwritten. Give a new path"
    raise CheckpointError(msg)


def _keep_others(old: Path, new: Path) -> None:
    for item in old.iterdir():
        if not (new / item.name).exists() and item.name not in (CONFIG, WEIGHTS, CARD):
            (shutil.copytree if item.is_dir() else shutil.copy2)(item, new / item.name)


def _to_disk(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def joined(items: Mapping[str, str]) -> str:
    """Join culprits and what is wrong with them, the first ten of many."""
    shown = [f"{name} ({fault})" for name, fault in list(items.items())[:10]]
    more = f" and {len(items) - 10} more" if len(items) > 10 else ""
    return ", ".join(shown) + more
