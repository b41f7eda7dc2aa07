"""The floors of the package, read from the import statements of every module.

A module imports rooms of lower floors, rooms listed before its own on the same floor, and its own room. Imports inside
functions and under ``TYPE_CHECKING`` count like any other. Names that the package itself offers (``from jetlab import
compare``) count as imports of the room they live in.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

import jetlab

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jetlab"

FLOORS = (
    ("errors", "vocabulary", "jets", "observables", "kernels"),
    ("features", "data", "batches", "masking"),
    ("models",),
    ("objectives", "train", "zoo", "samplers"),
    ("evaluate", "tasks"),
    ("style", "plots", "widgets", "dashboard", "cli"),
)
HEIGHT = {room: (floor, place) for floor, rooms in enumerate(FLOORS) for place, room in enumerate(rooms)}

ALLOWED_UPWARDS = {
    ("evaluate", "plots"): "Comparison.figure and .report draw themselves; imported inside the method",
    ("zoo", "samplers"): "golden folders of generators hold what they generate; imported inside the function",
    ("train", "plots"): "Run.plot draws itself; imported inside the method",
}

EXCUSED = {
    ("dashboard", "torch"): "it shares the processor's threads among the sessions that generate",
    ("cli", "torch"): "the card of a training names the chip it ran on",
}
"""Packages that a room may import although they are not of its trade, inside functions only."""

SCREENS = {"matplotlib", "panel", "holoviews", "hvplot", "bokeh", "ipywidgets", "IPython", "rich", "typer"}
FILE_FORMATS = {"uproot", "h5py", "pyarrow", "safetensors"}
FILES = FILE_FORMATS | {"pathlib", "os", "io", "tempfile", "shutil", "json"}
SIMULATORS = {"pythia8mc", "fastjet"}

FORBIDDEN = {
    "kernels": SCREENS | FILES | SIMULATORS | {"awkward", "vector", "pandas"},
    "jets": SCREENS | FILES | SIMULATORS | {"torch", "pandas"},
    "observables": SCREENS | FILES | {"torch", "pythia8mc"},
    "features": SCREENS | FILES | SIMULATORS,
    "batches": SCREENS | FILES | SIMULATORS,
    "masking": SCREENS | FILES | SIMULATORS,
    "data": SCREENS,
    "models": SCREENS | FILES | SIMULATORS | {"pandas", "tqdm"},
    "objectives": SCREENS | FILES | SIMULATORS | {"pandas", "tqdm"},
    "samplers": SCREENS | FILES | SIMULATORS | {"pandas"},
    "train": SCREENS | SIMULATORS,
    "zoo": SCREENS | SIMULATORS | {"pickle"},
    "evaluate": SCREENS | FILE_FORMATS | {"pythia8mc"},
    "tasks": SCREENS | FILE_FORMATS,
    "style": SCREENS | FILES | {"torch", "numpy"},
    "plots": SIMULATORS | FILE_FORMATS | {"torch", "panel", "holoviews", "hvplot", "typer"},
    "dashboard": SIMULATORS | FILE_FORMATS | {"torch", "typer"},
    "cli": SIMULATORS | FILE_FORMATS | {"torch", "matplotlib"},
}
"""Third-party and standard modules that a room must not import: each room has one trade."""

STRANGERS = {
    "models": {"data"},
    "objectives": {"data", "zoo"},
    "evaluate": {"models", "objectives", "samplers", "train", "zoo"},
    "plots": {"models", "objectives", "samplers", "train", "zoo", "data"},
    "style": {room for room in HEIGHT if room not in ("vocabulary", "style")},
}
"""Rooms on lower floors that a room must not import: measures know no models, models no files, views no training."""

INSTALL_NAMES = {"sklearn": "scikit-learn", "yaml": "pyyaml", "PIL": "pillow", "ruamel": "ruamel.yaml"}


class Import(NamedTuple):
    """One import statement: where it stands, the dotted module it names, and whether it never runs."""

    file: Path
    line: int
    module: str
    for_types: bool = False

    @property
    def room(self) -> str:
        return room_of(self.file)

    @property
    def where(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def room_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def absolute(file: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = ("jetlab", *file.relative_to(PACKAGE).parent.parts)
    base = parts[: len(parts) - node.level + 1]
    return ".".join((*base, *filter(None, [node.module])))


def imports_of(file: Path) -> list[Import]:
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    guards = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    for_types = {id(node) for guard in guards for child in guard.body for node in ast.walk(child)}
    found = []
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = absolute(file, node)
            modules = [f"jetlab.{alias.name}" for alias in node.names] if module == "jetlab" else [module]
        found += [Import(file, node.lineno, module, id(node) in for_types) for module in modules]
    return found


def room_imported(statement: Import) -> str | None:
    """The room of jetlab that a statement imports, or None for other packages and for the package's own version."""
    top, _, rest = statement.module.partition(".")
    if top != "jetlab" or rest in ("", "__version__"):
        return None
    name = rest.split(".")[0]
    home = jetlab._HOME.get(name, "")
    return home.split(".")[1] if home else name


MODULES = sorted(file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")
IMPORTS = [statement for file in MODULES for statement in imports_of(file)]
INTERNAL = [(s, room) for s in IMPORTS if (room := room_imported(s)) is not None and room != s.room]


def test_every_module_has_a_floor():
    homeless = sorted({room_of(file) for file in MODULES} - set(HEIGHT))
    assert not homeless, f"rooms without a floor: {homeless}; give each its floor in FLOORS"


def test_imports_go_downwards():
    upwards = [
        f"{s.where}: {s.room} imports {room}"
        for s, room in INTERNAL
        if HEIGHT[room] > HEIGHT[s.room] and (s.room, room) not in ALLOWED_UPWARDS
    ]
    assert not upwards, "\n".join(upwards)


def test_allowed_upward_imports_are_used_and_deferred():
    for (lower, upper), reason in ALLOWED_UPWARDS.items():
        statements = [s for s, room in INTERNAL if (s.room, room) == (lower, upper)]
        assert statements, f"{lower} no longer imports {upper} ({reason}): remove it from ALLOWED_UPWARDS"
        for statement in statements:
            assert statement.line not in top_level_lines(statement.file), f"{statement.where} must be deferred"


def top_level_lines(file: Path) -> set[int]:
    return {node.lineno for node in ast.parse(file.read_text(encoding="utf-8")).body}


def test_modules_name_the_room_they_use():
    """``import jetlab`` and imports by a computed name would hide which room is used."""
    for file in MODULES:
        bare = [s.where for s in imports_of(file) if s.module == "jetlab"]
        assert not bare, f"{bare[0]}: import the room, as in 'from jetlab.data import load_jets'"
        assert "import_module(" not in file.read_text(encoding="utf-8"), f"{file.name} imports by a computed name"


def test_no_import_cycles_between_modules():
    """At the level of files, counting only imports that run when a module is loaded."""
    names = {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in MODULES}
    graph = {name: loaded_by(file) & set(names) - {name} for name, file in names.items()}
    while leaves := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - leaves for name, needs in graph.items() if name not in leaves}
    assert not graph, f"these modules import each other in a circle: {graph}"


def loaded_by(file: Path) -> set[str]:
    """Modules of jetlab that load when `file` does: the modules named and, for ``from a import b``, ``a.b`` too."""
    loaded = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            loaded |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = absolute(file, node)
            submodules = {f"{module}.{alias.name}" for alias in node.names}
            loaded |= submodules & module_names() or {module}
    return loaded


def module_names() -> set[str]:
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in MODULES}


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_each_room_keeps_to_its_trade(room):
    running = [s for s in IMPORTS if s.room == room and not s.for_types]
    tops = {s: s.module.split(".")[0] for s in running}
    foreign = [s for s, top in tops.items() if top in FORBIDDEN[room] and (room, top) not in EXCUSED]
    assert not foreign, "\n".join(f"{s.where}: {room} imports {s.module}" for s in foreign)
    excused = [s for s, top in tops.items() if (room, top) in EXCUSED and s.line in top_level_lines(s.file)]
    assert not excused, "\n".join(f"{s.where}: import {s.module} inside a function" for s in excused)


@pytest.mark.parametrize("room", sorted(STRANGERS))
def test_rooms_that_do_not_know_each_other(room):
    known = [
        f"{s.where}: {room} imports {other}" for s, other in INTERNAL if s.room == room and other in STRANGERS[room]
    ]
    assert not known, "\n".join(known)


def test_no_star_imports_and_every_module_names_its_public_names():
    for file in MODULES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        stars = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
        assert not stars, f"{file.relative_to(ROOT)}:{stars[0]}: star import"
        assert "__all__" in assigned_in(tree) or not tree.body[1:], f"{file.relative_to(ROOT)} has no __all__"


def assigned_in(tree: ast.Module) -> set[str]:
    targets = [t for n in tree.body if isinstance(n, ast.Assign) for t in n.targets]
    targets += [n.target for n in tree.body if isinstance(n, ast.AnnAssign)]
    return {t.id for t in targets if isinstance(t, ast.Name)}


def test_scripts_and_dashboards_hold_no_logic():
    for file in sorted((ROOT / "dashboards").glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        defined = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        assert not defined, f"{file.name} defines {defined}; views live in jetlab.dashboard"


# ---- what the package needs is what it declares ---------------------------------------------------------------------


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names_in(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s\[<>=!~;]", r)[0].lower().replace("_", "-") for r in requirements}


def third_party(statements: list[Import]) -> dict[str, str]:
    """Installable packages that the statements need, with one place that needs each."""
    own = {"jetlab", "tests", "conftest", *(file.stem for file in (ROOT / "tests").glob("*.py"))}
    tops = {s.module.split(".")[0]: s.where for s in statements}
    return {
        INSTALL_NAMES.get(top, top).lower().replace("_", "-"): where
        for top, where in tops.items()
        if top not in sys.stdlib_module_names and top not in own
    }


def test_the_package_imports_only_what_it_declares():
    declared = names_in(project()["dependencies"])
    extras = project()["optional-dependencies"]
    optional = names_in([*extras["simulate"], *extras["filters"], *extras["notebook"]]) | {"ipython", "triton"}
    undeclared = {p: where for p, where in third_party(IMPORTS).items() if p not in declared | optional}
    assert not undeclared, f"imported but not in pyproject.toml: {undeclared}"


def test_the_package_declares_only_what_it_imports():
    """A dependency that nothing imports costs every user megabytes."""
    idle = names_in(project()["dependencies"]) - set(third_party(IMPORTS))
    assert not idle, f"declared in pyproject.toml but imported nowhere in jetlab: {sorted(idle)}"


def test_the_tests_import_only_what_the_test_extra_brings():
    extras = project()["optional-dependencies"]
    declared = names_in(project()["dependencies"]).union(
        *(names_in(extras[e]) for e in ("simulate", "notebook", "test", "benchmarks"))
    )
    statements = [s for file in sorted((ROOT / "tests").rglob("*.py")) for s in imports_of_test(file)]
    undeclared = {p: where for p, where in third_party(statements).items() if p not in declared}
    brought = {name.lower().replace("_", "-") for extra in declared for name in needed_by(extra)}
    assert not {p for p in undeclared if p not in brought}, f"tests import undeclared packages: {undeclared}"


def imports_of_test(file: Path) -> list[Import]:
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        found += [Import(file, node.lineno, module) for module in modules]
    return found


def needed_by(distribution: str) -> set[str]:
    """Direct requirements of an installed distribution, such as bokeh for panel."""
    try:
        return names_in(importlib.metadata.requires(distribution) or [])
    except importlib.metadata.PackageNotFoundError:
        return set()
