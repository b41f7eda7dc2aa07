"""A served dashboard and a headless Chromium. Without a browser the tests are skipped, in CI they fail."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Server:
    """``panel serve`` of one or more scripts, as a process of its own."""

    def __init__(self, *scripts: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "panel", "serve", *map(str, scripts), "--port", str(self.port)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the server; an unread pipe would block it
        self._process = subprocess.Popen(
            [*command, "--address", "127.0.0.1", "--warm", "--liveness"], cwd=ROOT, env=environment,
            stdout=subprocess.DEVNULL, stderr=self._log, text=True,
        )  # fmt: skip

    def url(self, app: str) -> str:
        return f"http://127.0.0.1:{self.port}/{app}"

    def wait(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process.poll() is not None:
                pytest.fail(f"the server ended: {self.log()}")
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(self.url("liveness"), timeout=5).close()
                return
            time.sleep(0.2)
        pytest.fail(f"the server did not answer within {seconds:.0f} s")

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()


@contextlib.contextmanager
def serving(*scripts: Path) -> Iterator[Server]:
    server = Server(*scripts)
    try:
        server.wait()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="session")
def toy_server() -> Iterator[Server]:
    """The dashboard with toy jets: ``toy_compare`` with a toy model, ``toy_nomodel`` without."""
    with serving(HERE / "toy_compare.py", HERE / "toy_nomodel.py") as server:
        yield server


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "no Chromium found; install it with: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def context(chromium):
    """A fresh visitor who reaches no other host; whoever is asked for is remembered in ``outside``."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(60_000)
    context.outside = []

    def only_local(route) -> None:
        if route.request.url.startswith("http://127.0.0.1:"):
            route.continue_()
        else:
            context.outside.append(route.request.url)
            route.abort()

    context.route("**/*", only_local)
    yield context
    context.close()


@pytest.fixture
def page(context, request):
    """A page that must not raise any error; what the server said is told with a failure."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    if "toy_server" in request.fixturenames:
        sys.stdout.write(request.getfixturevalue("toy_server").log()[-6000:])
    assert errors == []
