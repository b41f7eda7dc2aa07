"""`fetch`: download the files of a public data set, once, checked, with progress."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from jetlab.data.catalog import DataSet, dataset_named
from jetlab.data.download import ResumingDownloader
from jetlab.errors import FileError

__all__ = ["CACHE_VARIABLE", "cache_folder", "fetch"]

CACHE_VARIABLE = "JETLAB_DATA"
"""Environment variable that names the folder for downloads."""


def cache_folder(name: str) -> Path:
    """Folder that the files of a data set are kept in: below ``$JETLAB_DATA``, else the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser() / name
    import pooch

    return Path(pooch.os_cache("jetlab")) / name


def fetch(name: str, files: str | Sequence[str] | None = None, *, progress: bool = True) -> list[Path]:
    """Download files of a public data set, unless they are there already; interrupted, it goes on where it stopped.

    Parameters
    ----------
    name : str
        Name of the data set, see `jetlab.datasets`.
    files : str or sequence of str, optional
        Names of files, or patterns such as ``"*val*"``; all files by default.
    progress : bool
        Whether to draw a bar.

    Returns
    -------
    list of Path
        The files; give them to `jetlab.load_jets` or `jetlab.stream_jets`. Tar archives are unpacked, and their
        members are returned in their place.

    Raises
    ------
    FileError
        If the data set or a file is unknown, cannot be downloaded (the message says where to put it by hand), or is
        not the file that was published.
    """
    dataset = dataset_named(name)
    if dataset.bundled:
        return [dataset.path()]
    return [path for file in _chosen(dataset, files) for path in _fetched(dataset, file, progress=progress)]


def _chosen(dataset: DataSet, files: str | Sequence[str] | None) -> list[str]:
    if not dataset.files:
        folder = cache_folder(dataset.name)
        there = sorted(p.name for p in folder.glob("*") if p.is_file()) if folder.is_dir() else []
        if there:
            return there
        msg = (
            f"the files of {dataset.name} cannot be fetched by name: download those that you want from "
            f"{dataset.record} into {folder}, or load them from where they are"
        )
        raise FileError(msg)
    if files is None:
        return list(dataset.files)
    patterns = [files] if isinstance(files, str) else list(files)
    for pattern in patterns:
        if not any(fnmatch(file, pattern) for file in dataset.files):
            known = list(dataset.files)
            shown = ", ".join(known[:6]) + (f" and {len(known) - 6} more" if len(known) > 6 else "")
            msg = f"{dataset.name} has no file {pattern!r}; there are {shown}"
            raise FileError(msg)
    return [file for file in dataset.files if any(fnmatch(file, pattern) for pattern in patterns)]


def _fetched(dataset: DataSet, file: str, *, progress: bool) -> list[Path]:
    import pooch

    folder = cache_folder(dataset.name)
    known = dataset.files.get(file) or None
    half = (folder / file).with_name(f".{Path(file).name}.half")
    half.parent.mkdir(parents=True, exist_ok=True)
    download = ResumingDownloader(half, progress=progress)
    try:
        found = Path(pooch.retrieve(f"{dataset.source}{file}", known, fname=file, path=folder, downloader=download))
    except ValueError as error:
        msg = (
            f"{folder / file} is not the file that was published ({known}): it may be incomplete. Delete it and fetch "
            "again"
        )
        raise FileError(msg) from error
    except Exception as error:  # every kind of network trouble, from several libraries
        why = str(error) if isinstance(error, ConnectionError) else type(error).__name__
        msg = (
            f"{file} of {dataset.name} cannot be downloaded from {dataset.source}{file} "
            f"({why}). What has come is kept: fetch again to go on. Without network, put the "
            f"file into {folder} yourself"
        )
        raise FileError(msg) from error
    return _unpacked(found) if found.suffix == ".tar" else [found]


def _unpacked(archive: Path) -> list[Path]:
    """Files of a tar archive, unpacked beside it once; members that lead out of the folder are refused."""
    folder = archive.with_name(f"{archive.name}.unpacked")
    if not folder.exists():
        half = folder.with_name(f".{folder.name}")
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(half, filter="data")
        except (tarfile.TarError, OSError) as error:
            shutil.rmtree(half, ignore_errors=True)
            msg = f"{archive} cannot be unpacked ({type(error).__name__}: {error})"
            raise FileError(msg) from error
        half.rename(folder)
    return sorted(path for path in folder.rglob("*") if path.is_file())
