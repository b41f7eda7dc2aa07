"""A downloader for pooch that goes on where an interrupted download stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["ResumingDownloader"]

_PIECE = 1 << 20
_TIMEOUT = 30  # seconds without a byte
_PARTIAL, _NO_SUCH_RANGE = 206, 416


class ResumingDownloader:
    """Download into a file of its own beside the target, and continue that file next time.

    The server is asked for the rest only if it still has the same version of the file (its ``ETag``, or date); one that
    cannot send parts sends everything again.

    Parameters
    ----------
    half : Path
        Where the bytes that have come are kept until they are all there.
    progress : bool
        Whether to draw a bar.
    """

    def __init__(self, half: Path, *, progress: bool) -> None:
        self._half, self._version, self._progress = half, half.with_name(f"{half.name}.version"), progress

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:  # noqa: ARG002
        """Fetch `url` into `output_file`, as pooch asks for."""
        import requests

        with requests.Session() as session:
            answer = session.get(url, headers=self._wanted(), stream=True, timeout=_TIMEOUT)
            if answer.status_code == _NO_SUCH_RANGE:  # there is no more, or less than we have
                self._forget()
                answer = session.get(url, headers=self._wanted(), stream=True, timeout=_TIMEOUT)
            with answer:
                answer.raise_for_status()
                self._receive(answer)
        os.replace(self._half, output_file)
        self._forget()

    def _wanted(self) -> dict[str, str]:
        """Headers that ask for what is missing, as it is."""
        plain = {"Accept-Encoding": "identity"}
        if not (self._half.is_file() and self._version.is_file()):
            return plain
        version = self._version.read_text(encoding="ascii")
        return plain | {"Range": f"bytes={self._half.stat().st_size}-", "If-Range": version}

    def _receive(self, answer: Any) -> None:
        from tqdm.auto import tqdm

        there = self._half.stat().st_size if answer.status_code == _PARTIAL else 0
        missing = int(answer.headers.get("Content-Length", 0))
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if version and not version.startswith("W/"):  # weak tags do not promise the same bytes
            self._version.write_text(version, encoding="ascii")
        with (
            self._half.open("ab" if there else "wb") as half,
            tqdm(
                total=there + missing or None, initial=there, unit="B", unit_scale=True, disable=not self._progress
            ) as bar,
        ):
            answer.raw.enforce_content_length = False  # else the last bytes before a break would be lost
            while piece := answer.raw.read(_PIECE):
                half.write(piece)
                bar.update(len(piece))
        came = self._half.stat().st_size - there
        if came < missing:
            msg = f"the connection ended after {there + came:,} of {there + missing:,} bytes"
            raise ConnectionError(msg)

    def _forget(self) -> None:
        self._half.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)
