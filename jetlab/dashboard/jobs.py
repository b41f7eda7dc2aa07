"""Work in the background: one generation at a time for a session, and computing of which only the newest matters.

Nothing here knows Panel. Results come back through callbacks that the caller moves to its own thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from jetlab.jets import Jets

__all__ = ["GenerationJob", "NewestOnly", "Progress"]

Stream = Callable[[Callable[[], bool]], Iterator[Jets]]


@dataclass(frozen=True)
class Progress:
    """How far a generation is.

    Attributes
    ----------
    phase : str
        ``"waiting"`` for other sessions, ``"loading"`` the model, ``"running"``, ``"done"``, ``"stopped"`` or
        ``"failed"``.
    done, total : int
        Jets.
    seconds : float
        Time since the model began to generate.
    error : str
        Why it failed.
    """

    phase: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def going(self) -> bool:
        """Whether the job has not ended."""
        return self.phase in ("waiting", "loading", "running")

    @property
    def rate(self) -> float:
        """Jets per second; 0 before the first batch."""
        return self.done / self.seconds if self.done and self.seconds else 0.0

    @property
    def left(self) -> float:
        """Seconds left; infinite before the first batch."""
        return (self.total - self.done) / self.rate if self.rate else float("inf")


class GenerationJob:
    """Generates jets in a thread and reports every batch.

    Parameters
    ----------
    stream : callable
        Given a function that says whether to stop, iterates over finished batches of jets.
    total : int
        Number of jets asked for.
    on_progress : callable
        Called with a `Progress`, in the thread of the job.
    on_batch : callable
        Called with each finished batch, in the thread of the job, before the progress that counts it.
    slots : threading.Semaphore
        How many jobs of all sessions may run at once; the others wait.
    """

    def __init__(
        self,
        stream: Stream,
        total: int,
        *,
        on_progress: Callable[[Progress], None],
        on_batch: Callable[[Jets], None],
        slots: threading.Semaphore,
    ) -> None:
        self._stream, self._total, self._slots = stream, total, slots
        self._on_progress, self._on_batch = on_progress, on_batch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jetlab-generation", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End as soon as possible; finished batches stay."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        self._on_progress(Progress("waiting", 0, self._total))
        while not self._slots.acquire(timeout=0.2):
            if self._stop.is_set():
                self._on_progress(Progress("stopped", 0, self._total))
                return
        done, start = 0, time.monotonic()
        try:
            self._on_progress(Progress("loading", 0, self._total))
            batches = self._stream(self._stop.is_set)
            start = time.monotonic()
            self._on_progress(Progress("running", 0, self._total))
            for jets in batches:
                done += len(jets)
                self._on_batch(jets)
                self._on_progress(Progress("running", done, self._total, time.monotonic() - start))
                if self._stop.is_set():
                    break
            phase = "stopped" if self._stop.is_set() and done < self._total else "done"
            self._on_progress(Progress(phase, done, self._total, time.monotonic() - start))
        except Exception as error:  # noqa: BLE001  (a failed generation must end as a sentence, not as a lost thread)
            self._on_progress(Progress("failed", done, self._total, time.monotonic() - start, error=str(error)))
        finally:
            self._slots.release()


class NewestOnly:
    """Runs tasks one after another in one thread and leaves out those that a newer one has replaced."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="jetlab-compute")
        self._newest = 0
        self._lock = threading.Lock()

    def submit(self, task: Callable[[], Any]) -> None:
        """Run a task after the one that is running, unless a newer one comes first."""
        with self._lock:
            self._newest += 1
            mine = self._newest
        self._pool.submit(lambda: task() if mine == self._newest else None)

    def close(self) -> None:
        """Forget everything that has not begun."""
        with self._lock:
            self._newest += 1
        self._pool.shutdown(wait=False, cancel_futures=True)
