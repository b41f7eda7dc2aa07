"""The Binder files agree with pyproject.toml and with what they point to. No image is built here, but the way
to the dashboard through Jupyter is tried."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"


@pytest.fixture(scope="module")
def badges():
    spec = importlib.util.spec_from_file_location("badges", BINDER / "badges.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def environment() -> dict[str, list[str]]:
    """The two lists of environment.yml; its form is simple enough to be read without a YAML package."""
    lists: dict[str, list[str]] = {}
    for line in (BINDER / "environment.yml").read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"(\w+):", line):
            entries = lists.setdefault(heading[1], [])
        elif entry := re.fullmatch(r"  - (\S+)", line):
            entries.append(entry[1])
    return lists


def bounds(requirement: str) -> set[str]:
    return set(re.findall(r"[<>=!~]=?[\d.]+", requirement))


def test_environment_takes_the_cpu_build_of_torch_within_our_bounds(project):
    (ours,) = [r for r in project["dependencies"] if re.match(r"torch\b", r)]
    (theirs,) = [r for r in environment()["dependencies"] if r.startswith("pytorch")]
    assert theirs.startswith("pytorch-cpu")
    assert bounds(theirs) == bounds(ours)


def test_environment_names_a_python_that_we_support(project):
    (python,) = [r for r in environment()["dependencies"] if r.startswith("python=")]
    found = tuple(map(int, python.removeprefix("python=").split(".")))
    wanted = tuple(map(int, project["requires-python"].removeprefix(">=").split(".")))
    assert found >= wanted


def test_environment_names_only_public_channels_and_leaves_the_rest_to_pyproject():
    assert environment()["channels"] == ["conda-forge", "nodefaults"]
    assert [re.split(r"[<>=]", r)[0] for r in environment()["dependencies"]] == ["python", "pytorch-cpu", "pip"]


def test_post_build_stops_on_errors_and_installs_the_package_with_a_known_extra(project):
    script = (BINDER / "postBuild").read_text(encoding="utf-8")
    assert re.search(r"^set -euo pipefail$", script, re.MULTILINE)
    (extras,) = re.findall(r'pip install [^"\n]*"\.\[([\w,]+)\]"', script)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_start_caps_threads_and_hands_over():
    script = (BINDER / "start").read_text(encoding="utf-8")
    assert "OMP_NUM_THREADS=1" in script
    assert script.rstrip().endswith('exec "$@"')


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_are_executable_shell(name):
    assert os.access(BINDER / name, os.X_OK)
    assert (BINDER / name).read_text(encoding="utf-8").startswith("#!/bin/bash\n")


@pytest.mark.parametrize("target", ["lab", "dashboard"])
def test_badges_open_files_that_exist(badges, target):
    link = urlsplit(badges.binder_link("https://github.com/someone/jetlab", target))
    (path,) = parse_qs(link.query)["urlpath"]
    file = path.removeprefix("lab/tree/").removeprefix("panel-preview/render/")
    assert (ROOT / file).is_file()


@pytest.fixture
def jupyter(tmp_path):
    """Address of a Jupyter server in the repository, under a path as behind a JupyterHub."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        f"--port={port}",
        "--ServerApp.base_url=/user/someone/",
        "--IdentityProvider.token=",
        "--ServerApp.disable_check_xsrf=True",
        "--allow-root",
        "--no-browser",
    ]
    command = [sys.executable, "-m", "jupyterlab", *options]
    with (
        (tmp_path / "jupyter.log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as server,
    ):
        address = f"http://127.0.0.1:{port}/user/someone"
        try:
            wait_for(f"{address}/api")
            yield address
        finally:
            server.terminate()


def wait_for(address: str, *, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(address, timeout=10).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
        else:
            return


@pytest.mark.notebook
def test_jupyter_renders_the_dashboard_where_the_badge_points(badges, jupyter):
    with urllib.request.urlopen(f"{jupyter}/{badges.TARGETS['dashboard']}", timeout=120) as answer:
        page = answer.read().decode()
    assert "<title>JetLab compare</title>" in page


@pytest.mark.parametrize(
    ("address", "start"),
    [
        ("https://github.com/someone/jetlab", "gh/someone/jetlab/HEAD"),
        ("https://github.com/someone/jetlab.git", "gh/someone/jetlab/HEAD"),
        ("git@github.com:someone/jetlab.git", "gh/someone/jetlab/HEAD"),
        ("https://gitlab.com/group/sub/jetlab", "gl/group%2Fsub%2Fjetlab/HEAD"),
        ("https://git.example.org/hep/jetlab.git", "git/https%3A%2F%2Fgit.example.org%2Fhep%2Fjetlab/HEAD"),
    ],
)
def test_badges_of_the_usual_hosts(badges, address, start):
    link = badges.binder_link(address, "dashboard")
    assert link.startswith(f"https://mybinder.org/v2/{start}?")
    assert unquote(link).endswith("?urlpath=panel-preview/render/dashboards/compare.py")


@pytest.mark.parametrize("address", ["", "/home/me/jetlab", "jetlab", "file:///srv/jetlab.git"])
def test_badges_refuse_an_address_that_is_not_public(badges, address):
    with pytest.raises(ValueError, match="not a public address"):
        badges.binder_link(address, "lab")


def test_writing_badges_changes_the_two_links_of_the_readme_and_nothing_else(badges):
    before = (ROOT / "README.md").read_text(encoding="utf-8")
    after = badges.with_links(before, "https://github.com/someone/jetlab")
    changed = [b for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert [line.split(": ")[0] for line in changed] == ["[lab]", "[dashboard]"]
    assert all("mybinder.org/v2/gh/someone/jetlab" in line for line in changed)
    with pytest.raises(ValueError, match="expected one"):
        badges.with_links("no links here", "https://github.com/someone/jetlab")
