"""What the README prints is run: its Python, its command lines with fewer jets, its links and names."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

from jetlab.cli import app, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

INSTALL_AND_OPEN = "pip install . && panel serve dashboards/compare.py --show"
MINE = (
    "my-omnijet",
    "my-tokenizer",
    "my-alpha",
    "my-tagger",
    "my-flow",
    "my-flow-tagger",
    "my-jepa",
    "my-pretraining",
    "my-generators",
)
NOT_RUN = ("dashboard", "cms-tokenizer", "cms-alpha", "cms-tagger", *MINE)
"""Words of command lines that are not run: one serves until interrupted, the others need hours of training."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Command lines of the README, with continued lines joined."""
    text = "".join(blocks("console")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def verbs() -> list[list[str]]:
    return [shlex.split(line)[1:] for line in commands() if line.startswith("jetlab ")]


def test_set_up_is_two_commands():
    assert commands().count(INSTALL_AND_OPEN) == 1
    assert sum(line.startswith('pip install ".[test]" && pytest') for line in commands()) == 1


def test_continuous_integration_runs_the_test_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (extraction,) = re.findall(r"^test_command=\$\((.*)\)$", script, flags=re.MULTILINE)
    found = subprocess.run(["bash", "-c", extraction], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (expected,) = [line for line in commands() if line.startswith('pip install ".[test]"')]
    assert found == f"{expected}\n"


def test_the_dashboard_it_opens_is_there():
    assert (ROOT / "dashboards" / "compare.py").is_file()


def test_extras_and_bounds_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"\.\[(\w+)\]", README))
    assert named <= set(project["optional-dependencies"])
    (torch,) = set(re.findall(r'pip install "(torch[^"]*)"', README))
    assert torch in project["dependencies"]


def test_links_lead_to_files():
    inline = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    references = re.findall(r"^\[[^\]]+\]: (?!https?:)(\S+)$", README, flags=re.MULTILINE)
    images = re.findall(r'<img [^>]*src="(?!https?:)([^"]+)"', README)
    missing = [link for link in inline + references + images if not (ROOT / link).is_file()]
    assert not missing


def test_python_runs_as_printed(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    plt.close("all")
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("words", verbs(), ids=" ".join)
def test_command_lines_are_understood(words):
    context = command = typer.main.get_command(app)
    context = command.make_context("jetlab", list(words))
    while hasattr(command, "resolve_command"):
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(name, list(words), parent=context)


def test_command_lines_run_in_order(tmp_path, monkeypatch, capsys):
    """As printed, but with 20 jets."""
    monkeypatch.chdir(tmp_path)
    for words in verbs():
        if any(word in NOT_RUN for word in re.split(r"[ /]", " ".join(words))):
            continue
        few = ["20" if before == "--n" else word for before, word in zip(["", *words], words, strict=False)]
        with pytest.raises(SystemExit) as ended:
            main(few)
        assert ended.value.code == 0, f"jetlab {' '.join(few)}: {capsys.readouterr().err}"
    written = {file.name for file in tmp_path.iterdir()}
    assert {"true.parquet", "generated.parquet", "report.html"} <= written
