"""Uploaded files, read in a process of their own: what is wrong with a file cannot harm the server.

The bytes go to a temporary file, a child process recognises and reads it with limits on time and memory, and what comes
back are plain arrays. Nothing that executes code is ever loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.errors import FileError
from jetlab.jets import Jets

if TYPE_CHECKING:
    from jetlab.data import Recognised

__all__ = ["ACCEPTED", "MAX_BYTES", "MAX_JETS", "Upload", "read_upload"]

ACCEPTED = (".parquet", ".h5", ".hdf5", ".root", ".npz")
"""File name endings that an upload may have."""

MAX_BYTES = 100_000_000
MAX_JETS = 100_000
_MAX_SECONDS = 90
_MAX_MEMORY = 6_000_000_000


@dataclass(frozen=True)
class Upload:
    """Jets of an uploaded file.

    Attributes
    ----------
    name : str
        File name.
    jets : Jets
        Its jets.
    recognised : str
        What the file was recognised as.
    notes : tuple of str
        What reading converted, assumed or left out.
    """

    name: str
    jets: Jets
    recognised: str
    notes: tuple[str, ...]


def read_upload(name: str, content: bytes) -> Upload:
    """Read an uploaded file.

    Parameters
    ----------
    name : str
        File name as the browser gave it; only its ending is used.
    content : bytes
        The file.

    Raises
    ------
    FileError
        If the file is too large, of an unknown kind, or cannot be read as jets; the message says why and what to do.
    """
    shown, ending = Path(name).name[:80], Path(name).suffix.lower()
    if ending not in ACCEPTED:
        msg = f"{shown} ends in {ending or 'nothing'}; expected one of {', '.join(ACCEPTED)}"
        raise FileError(msg)
    if len(content) > MAX_BYTES:
        size = f"{len(content) / 1e6:.0f} MB"
        msg = f"{shown} has {size}; at most {MAX_BYTES / 1e6:.0f} MB can be uploaded. Send fewer jets"
        raise FileError(msg)
    with tempfile.TemporaryDirectory(prefix="jetlab-upload-") as folder:
        source, target = Path(folder) / f"upload{ending}", Path(folder) / "jets.npz"
        source.write_bytes(content)
        answer = _in_child(source, target)
        if "error" in answer:
            raise FileError(str(answer["error"]).replace(str(source), shown).replace(source.name, shown))
        jets = _unpack(target, answer["meta"], answer["classes"])
        return Upload(shown, jets, str(answer["recognised"]), tuple(answer["notes"]))


def _in_child(source: Path, target: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "jetlab.dashboard.uploads", str(source), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"reading {source.name} took more than {_MAX_SECONDS} s and was ended. Send fewer jets"}
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        return {"error": f"{source.name} broke the reader (it is damaged, or needs more memory than an upload may use)"}


# ---- in the child process -------------------------------------------------------------------------------------------


def _read(source: Path, target: Path) -> dict[str, Any]:
    """Read the file, leave its jets in `target`, and answer with what was recognised or with the error."""
    from jetlab.data import load_jets, recognise
    from jetlab.jets.domains import JETS, domain_named

    try:
        found = recognise(source)
        jets = load_jets(source, n=MAX_JETS if found.n_jets > MAX_JETS else None)
        if jets.domain != JETS.name:
            return {
                "error": f"{source.name} holds {domain_named(jets.domain).unit}s; expected jets, to compare with jets"
            }
        arrays: dict[str, Any] = {f"particle_{name}": jets.flat(name) for name in jets.fields}
        arrays |= {} if jets.label is None else {"label": jets.label}
        np.savez(target, offsets=jets.offsets, **arrays)
    except MemoryError:
        return {"error": f"{source.name} needs more memory than an upload may use. Send fewer jets"}
    except Exception as error:  # noqa: BLE001  (whatever is wrong with a file becomes a sentence)
        return {"error": str(error) or type(error).__name__}
    meta = {key: value for key, value in jets.meta.items() if isinstance(value, str | int | float)}
    words = f"{found.layout} layout ({found.container})"
    return {"recognised": words, "notes": _notes(found, jets), "classes": list(jets.classes), "meta": meta}


def _notes(found: Recognised, jets: Jets) -> list[str]:
    """What reading converted, assumed or left out."""
    notes = ["momenta in GeV", *found.notes]
    if len(jets) < found.n_jets:
        notes.append(f"{len(jets):,} of {found.n_jets:,} jets, drawn at random")
    if jets.label is None:
        notes.append("no class labels: all jets are compared")
    return notes


def _unpack(target: Path, meta: dict[str, Any], classes: list[str]) -> Jets:
    with np.load(target, allow_pickle=False) as arrays:
        columns = {name.removeprefix("particle_"): arrays[name] for name in arrays if name.startswith("particle_")}
        label = arrays.get("label")
        return Jets.from_flat(arrays["offsets"], columns, label=label, classes=classes, meta=meta, check=False)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))


if __name__ == "__main__":
    _limit_memory()
    sys.stdout.write(json.dumps(_read(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
