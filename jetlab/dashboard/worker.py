"""Heavy numbers in processes of their own, so that the server answers while they are being computed.

FastJet holds Python's lock for as long as it clusters; in the server's own process every page would stand still. A
worker is a child process that calls functions of this package and sends back what they return.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, Protocol, TypeVar

from jetlab.errors import JetLabError

__all__ = ["Caller", "InPlace", "Workers"]

T = TypeVar("T")

_ENDED = (OSError, EOFError, pickle.UnpicklingError)
"""What reading from or writing to a child that has ended raises."""


class Caller(Protocol):
    """Something that calls functions."""

    def call(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a function of this package and return its result, or raise its error."""


class InPlace:
    """Calls functions in the present thread."""

    def call(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a function."""
        return function(*args, **options)


class Workers:
    """A few child processes, started on first use.

    Parameters
    ----------
    count : int, optional
        How many; by default one for every two processors.
    """

    def __init__(self, count: int | None = None) -> None:
        self._free: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for _ in range(count or max(1, min(4, (os.cpu_count() or 2) // 2))):
            self._free.put(_Worker())

    def call(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a function in the next free child.

        Parameters
        ----------
        function : callable
            Importable from this package.
        args, options
            Passed on; they travel between the processes.

        Raises
        ------
        JetLabError
            If the child ended, for want of memory for instance. The next call starts another.
        """
        worker = self._free.get()
        try:
            return worker.call(function, args, options)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """End the children that are idle."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._free.get_nowait().close()


class _Worker:
    """One child process, which answers one call after the other through its pipes."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def call(self, function: Callable[..., T], args: tuple[Any, ...], options: dict[str, Any]) -> T:
        with self._lock:
            try:
                found, failed = self._ask((function, args, options))
            except _ENDED:
                self.close()
                found, failed = self._ask_again((function, args, options))
        if failed:
            raise found
        return found

    def _ask(self, question: object) -> tuple[Any, bool]:
        child = self._alive()
        _send(child.stdin, question)
        return _receive(child.stdout)

    def _ask_again(self, question: object) -> tuple[Any, bool]:
        """Ask a new child: the old one may have been ended by somebody else."""
        try:
            return self._ask(question)
        except _ENDED as error:
            self.close()
            msg = "the process that computes observables has ended twice (out of memory?); ask again with fewer jets"
            raise JetLabError(msg) from error

    def close(self) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "jetlab.dashboard.worker"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process


def _send(pipe: IO[bytes] | None, message: object) -> None:
    if pipe is None:
        raise EOFError
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> tuple[Any, bool]:
    if pipe is None:
        raise EOFError
    found, failed = pickle.load(pipe)  # written by our own child
    return found, failed


# ---- in the child process -------------------------------------------------------------------------------------------


def _serve() -> None:
    """Answer calls until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print must not get between the answers
    with contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        while True:
            function, args, options = pickle.load(sys.stdin.buffer)
            try:
                answer = function(*args, **options), False
            except Exception as error:  # noqa: BLE001  (the parent raises it)
                answer = _portable(error), True
            _send(answers, answer)


def _portable(error: Exception) -> Exception:
    """The error itself if it can travel, else its message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  (errors of other packages may do anything here)
        return JetLabError(f"{type(error).__name__}: {error}")
    return error


if __name__ == "__main__":
    _serve()
