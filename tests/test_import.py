"""What `import jetlab` offers, and what it costs."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jetlab

ROOT = Path(__file__).parents[1]

HEAVY = {
    "torch",
    "panel",
    "matplotlib",
    "awkward",
    "pandas",
    "fastjet",
    "uproot",
    "h5py",
    "pyarrow",
    "holoviews",
    "numpy",
}

PUBLIC = {
    *("load_jets", "stream_jets", "write_jets", "datasets", "fetch", "simulate", "Jets", "concatenate"),
    *("load_events", "load_pairs", "Events", "Pairs"),
    *("list_models", "from_pretrained", "save_pretrained", "fit", "generate"),
    *("compare", "compare_by_class", "evaluate", "observables", "plots", "tasks", "widgets"),
    "__version__",
}


def modules_loaded_by(statement: str) -> set[str]:
    """Names in sys.modules after a statement in a fresh process; -P keeps the working folder off the path."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_public_names_are_these():
    assert set(jetlab.__all__) == PUBLIC
    assert set(dir(jetlab)) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_leads_somewhere(name):
    value = getattr(jetlab, name)
    assert value is getattr(jetlab, name)
    assert name == "__version__" or value.__doc__


def test_functions_are_functions_not_the_modules_they_live_in():
    for name in ("simulate", "generate", "fit", "compare", "load_jets"):
        assert callable(getattr(jetlab, name)), f"jetlab.{name} is {getattr(jetlab, name)!r}"


def test_functions_stay_functions_after_their_modules_are_imported():
    code = "import jetlab.data.simulate, jetlab.samplers, jetlab.evaluate, jetlab; assert callable(jetlab.simulate)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'simulat'.*load_jets.*simulate"):
        jetlab.simulat  # noqa: B018


def test_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert jetlab.__version__ == project["version"]
    assert f"\nversion: {jetlab.__version__}\n" in citation


def test_import_loads_no_heavy_package():
    loaded = modules_loaded_by("import jetlab; dir(jetlab); jetlab.__version__")
    assert not loaded & HEAVY, f"import jetlab loads {sorted(loaded & HEAVY)}"


def test_words_and_colours_need_no_package():
    loaded = modules_loaded_by("import jetlab.errors, jetlab.vocabulary, jetlab.style")
    assert not loaded & HEAVY, f"jetlab.vocabulary or jetlab.style loads {sorted(loaded & HEAVY)}"


def test_jets_and_observables_need_neither_torch_nor_screens():
    loaded = modules_loaded_by("import jetlab.jets, jetlab.observables")
    heavy = {"torch", "panel", "matplotlib", "uproot", "h5py", "fastjet"} & loaded
    assert not heavy, f"jets and observables load {sorted(heavy)}"


def test_the_package_carries_its_sample_and_model():
    package = importlib.resources.files("jetlab")
    assert package.joinpath("data/sample/jets.parquet").is_file()
    for name in ("config.json", "model.safetensors", "README.md"):
        assert package.joinpath("zoo/weights/omnijet-tiny", name).is_file()
    assert package.joinpath("py.typed").is_file()


def test_the_installed_package_has_every_file_of_the_source(tmp_path):
    """What `pip install .` put into the environment, seen from another folder."""
    command = [sys.executable, "-P", "-c", "import jetlab; print(jetlab.__path__[0])"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    installed, source = Path(done.stdout.strip()), ROOT / "jetlab"
    assert files_in(source) - files_in(installed) == set()


def files_in(package: Path) -> set[Path]:
    return {f.relative_to(package) for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts}


def test_what_ships_is_small():
    """At most 15 MB of sample and 12 MB of weights."""
    package = Path(str(importlib.resources.files("jetlab")))
    sample = sum(f.stat().st_size for f in package.joinpath("data/sample").rglob("*") if f.is_file())
    weights = sum(f.stat().st_size for f in package.joinpath("zoo/weights").rglob("*") if f.is_file())
    assert 0 < sample <= 15e6
    assert 0 < weights <= 12e6


def test_the_command_line_is_installed():
    scripts = importlib.metadata.entry_points(group="console_scripts", name="jetlab")
    if not scripts:
        pytest.skip("jetlab is on the path but not installed: no console script to check")
    assert next(iter(scripts)).value == "jetlab.cli:main"
