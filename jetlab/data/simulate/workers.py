"""Tasks in several processes, with results as they come and a clean stop."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from jetlab.errors import JetLabError

__all__ = ["available_cores", "run_tasks"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def available_cores() -> int:
    """Number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, processes: int
) -> Generator[tuple[int, Result]]:
    """Apply a function to tasks and yield ``(index, result)`` as they are done.

    Parameters
    ----------
    function : callable
        Importable function of one task.
    tasks : sequence
        Picklable tasks; started in this order.
    processes : int
        Number of processes; 1 runs the tasks here. Leaving the iteration, by an error or Ctrl-C, ends the others.

    Raises
    ------
    JetLabError
        If a process ends without an answer.
    """
    processes = min(processes, len(tasks))
    if processes <= 1:
        yield from ((index, function(task)) for index, task in enumerate(tasks))
        return
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, Any] = {}
    try:
        for _ in range(processes):
            here, there = context.Pipe()
            worker = context.Process(target=_serve, args=(function, there), daemon=True)
            worker.start()
            there.close()
            workers[here] = worker
        yield from _dispatch(workers, tasks)
    finally:
        for connection, worker in workers.items():
            connection.close()
            worker.terminate()
            worker.join()


def _dispatch(workers: dict[Connection, Any], tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Hand out tasks one by one and yield the answers."""
    waiting = iter(enumerate(tasks))
    busy: dict[Connection, int] = {}
    for connection, (index, task) in zip(workers, waiting, strict=False):
        connection.send(task)
        busy[connection] = index
    while busy:
        for ready in wait(list(busy)):
            assert isinstance(ready, Connection)
            index = busy.pop(ready)
            result = _answer(ready, workers[ready])
            following = next(waiting, None)
            if following is not None:
                busy[ready] = following[0]
                ready.send(following[1])
            yield index, result


def _answer(connection: Connection, worker: Any) -> Any:
    """Result of a worker's task; raises what the task raised."""
    try:
        result, error = connection.recv()
    except (EOFError, ConnectionError):
        worker.join(timeout=5)
        msg = (
            f"a worker process ended without an answer (exit code {worker.exitcode}). It may have run out of memory; "
            "in a script, the call must stand under `if __name__ == '__main__':`. processes=1 needs no other process"
        )
        raise JetLabError(msg) from None
    if error is not None:
        raise error
    return result


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    """Answer tasks until the other side hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            connection.send((function(task), None))
        except Exception as error:  # noqa: BLE001 - raised again in the parent
            connection.send((None, error))
