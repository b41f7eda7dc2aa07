"""The files that a name, path, folder or pattern stands for."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from jetlab.data.catalog import DATASETS
from jetlab.data.formats import signature_of
from jetlab.errors import FileError

__all__ = ["files_of"]


def files_of(source: Any) -> list[Path]:
    """Files that a source stands for, in order.

    Parameters
    ----------
    source : str, Path, or sequence of these
        Name of a data set, path of a file, folder of files, pattern with ``*``, or several of these.

    Raises
    ------
    FileError
        If there are none.
    """
    several = list(source) if isinstance(source, (list, tuple)) else [source]
    files = [path for one in several for path in _files(one)]
    if not files:
        msg = "no files to load: the list is empty"
        raise FileError(msg)
    return files


def _files(source: Any) -> list[Path]:
    if not isinstance(source, (str, Path)):
        msg = f"cannot load jets from {type(source).__name__}: expected a path, the name of a data set, or arrays"
        raise FileError(msg)
    if isinstance(source, str) and source in DATASETS:
        return [DATASETS[source].path()]
    path = Path(source)
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        found = [p for p in inside if signature_of(p) is not None]
        if not found:
            msg = f"folder {path} holds no file of jets; found {', '.join(p.name for p in inside[:5]) or 'nothing'}"
            raise FileError(msg)
        return found
    if path.exists():
        return [path]
    found = sorted(Path(p) for p in glob.glob(str(source)) if Path(p).is_file())
    if not found:
        msg = f"there is no file {source}; expected a file, folder or pattern, or a data set: {', '.join(DATASETS)}"
        raise FileError(msg)
    return found
