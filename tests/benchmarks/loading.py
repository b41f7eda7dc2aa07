"""Speed and memory of reading: jets per CPU-second from files to columns, jets and batches, beside weaver-core.

``python -m tests.benchmarks.loading jets.root [jets.root ...] [--repeat 5] [--weaver PYTHON]``
    A table for files in the layout of JetClass. With the interpreter of an environment that has weaver-core, its loader
    reads the same files in turns with ours, and the inputs of both are compared.
``python -m tests.benchmarks.loading jets.root --memory 100000 1000000 10000000``
    Largest memory of a process that streams so many jets, from links to the files.

Each measurement is a process of its own on one thread, after a first round (weaver: first batches) that is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jetlab.data import convert, read_jets, stream_jets
from jetlab.data.formats import open_jets
from jetlab.data.formats.root import open_root
from jetlab.features import JETCLASS_COLUMNS, JETCLASS_RECIPES
from jetlab.vocabulary import JET_CLASSES

RECIPE = JETCLASS_RECIPES["full"]
BATCH = 512
BUFFER = 50_000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


# ---- ours: each gives a number of jets -------------------------------------------------------------------------------


def columns(files: Sequence[str]) -> int:
    """Sixteen constituent columns, flat."""
    n = 0
    for path in files:
        with open_root(Path(path)) as table:
            n += len(table.fetch([*JETCLASS_COLUMNS, "part_pz"])["part_px"].offsets) - 1
    return n


def jets(files: Sequence[str]) -> int:
    """Checked `Jets`."""
    return sum(len(read_jets(path)) for path in files)


def batches(files: Sequence[str]) -> int:
    """Shuffled batches of the 17 inputs."""
    from jetlab.batches import stream_batches

    stream = stream_jets(list(files), batch_size=BATCH, buffer=BUFFER)
    return sum(len(batch.mask) for batch in stream_batches(stream, RECIPE))


def mixed(files: Sequence[str]) -> int:
    """Shuffled batches of jets."""
    return sum(map(len, stream_jets(list(files), batch_size=BATCH, buffer=BUFFER)))


def in_order(files: Sequence[str]) -> int:
    """One piece after the other."""
    n = 0
    for path in files:
        with open_jets(path) as file:
            n += sum(len(file.read(start, min(start + 10_000, len(file)))) for start in range(0, len(file), 10_000))
    return n


def conversion(files: Sequence[str]) -> int:
    """From the files into flat ones."""
    with tempfile.TemporaryDirectory(dir=Path(files[0]).parent) as folder:
        seen: list[int] = []
        convert(list(files), Path(folder) / "flat", progress=lambda *done: seen.append(done[1]))
        return seen[-1]


WORK: dict[str, Callable[[Sequence[str]], int]] = {
    work.__name__: work for work in (columns, jets, batches, mixed, in_order, conversion)
}


def timed(work: str, files: Sequence[str]) -> float:
    """Jets per CPU-second of a second round."""
    WORK[work](files[:1])
    start = time.process_time()
    n = WORK[work](files)
    return n / (time.process_time() - start)


# ---- weaver ----------------------------------------------------------------------------------------------------------

WEAVER = """
import sys, time, json
import numpy as np, torch
from torch.utils.data import DataLoader
from weaver.utils.dataset import SimpleIterDataset

torch.set_num_threads(1)
config, step, batch, inputs, *files = sys.argv[1:]

def batches(files, training):
    data = SimpleIterDataset({"jets": files}, config, batch_size=int(batch), for_training=training,
                             fetch_step=float(step), name="train" if training else "test")
    return DataLoader(data, batch_size=int(batch), num_workers=0)

if inputs:
    x, _, _ = next(iter(batches(files[:1], False)))
    np.savez(inputs, **{name: values.numpy() for name, values in x.items()})
    sys.exit()
for _ in zip(range(3), batches(files[:1], True)):
    pass  # what is compiled on first use
start, n = time.process_time(), 0
for x, _, _ in batches(files, True):
    n += len(x["features"])
print(n / (time.process_time() - start))
"""


def weaver_config(*, complete: bool) -> str:
    """The inputs of our recipe in weaver's words, with the points and momenta that its ParT also asks for if complete.

    JSON is YAML too.
    """
    names = {meaning: column for column, meaning in JETCLASS_COLUMNS.items()}
    made = {
        "pt": "np.hypot(part_px, part_py)",
        "ptrel": "np.hypot(part_px, part_py) / jet_pt",
        "energyrel": "part_energy / jet_energy",
        "distance": "np.hypot(part_deta, part_dphi)",
    }
    new, rows = {"real": "ak.ones_like(part_energy)"}, []
    for feature in RECIPE.features:
        name = names.get(feature.field, f"x_{feature.field}")
        value = made.get(feature.field, name)
        if feature.function != "identity" or feature.field in made:
            name = f"x_{feature.field}"
            new[name] = value if feature.function == "identity" else f"np.{feature.function}({value})"
        scaled = feature.clip is not None
        rows.append([name, feature.subtract, feature.multiply, *feature.clip] if scaled else [name, None])  # type: ignore[misc]

    def group(rows: list[list[object]], mode: str = "wrap") -> dict[str, object]:
        return {"length": RECIPE.max_particles, "pad_mode": mode, "vars": rows}

    inputs = {"features": group(rows), "mask": group([["real", None]], "constant")}
    if complete:
        inputs["points"] = group([["part_deta", None], ["part_dphi", None]])
        inputs["vectors"] = group([[f"part_{name}", None] for name in ("px", "py", "pz", "energy")])
    return json.dumps(
        {
            "treename": "tree",
            "new_variables": new,
            "preprocess": {"method": "manual"},
            "inputs": inputs,
            "labels": {"type": "simple", "value": [c.label_column for c in JET_CLASSES]},
        }
    )


def weaver(python: str, config: Path, step: float, files: Sequence[str], *, inputs: str = "") -> float:
    """Jets per CPU-second of weaver's loader; with `inputs`, a file to put the first jets into, in their order."""
    command = [python, "-c", WEAVER, str(config), str(step), str(BATCH), inputs, *files]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, check=True, capture_output=True, text=True)
    return 0.0 if inputs else float(done.stdout.split()[-1])


def largest_difference(python: str, config: Path, files: Sequence[str], folder: Path) -> float:
    """Largest difference of any input of the first jets between weaver and us."""
    from jetlab.batches import stream_batches

    weaver(python, config, 1.0, files[:1], inputs=str(folder / "inputs.npz"))
    theirs = np.load(folder / "inputs.npz")
    ours = next(iter(stream_batches(stream_jets(files[0], batch_size=BATCH, shuffle=False, buffer=BUFFER), RECIPE)))
    n = min(len(ours.mask), len(theirs["mask"]))
    mask = theirs["mask"][:n, 0] > 0
    x, kept = theirs["features"][:n].transpose(0, 2, 1)[mask], ours.mask[:n].numpy()
    assert (kept.sum(1) == mask.sum(1)).all()
    return float(np.abs(ours.x[:n].numpy()[kept] - x).max())


# ---- memory ----------------------------------------------------------------------------------------------------------


def peak_memory(files: Sequence[str], jets: int, *, buffer: int = BUFFER, as_inputs: bool = False) -> tuple[int, float]:
    """Jets that a process streams from links to the files, and its largest resident memory [MiB]."""
    with open_jets(files[0]) as file:
        links = -(-jets // len(file))
    with tempfile.TemporaryDirectory(dir=Path(files[0]).parent) as folder:
        for k in range(links):
            os.link(files[k % len(files)], Path(folder) / f"{k:05d}{Path(files[0]).suffix}")
        task = ["--stream", folder, str(buffer), str(int(as_inputs))]
        command = [sys.executable, "-m", "tests.benchmarks.loading", *task]
        done = subprocess.run(command, env=os.environ | ONE_THREAD, check=True, capture_output=True, text=True)
    n, kilobytes = done.stdout.split()
    return int(n), int(kilobytes) / 1024


def _stream(folder: str, buffer: int, *, as_inputs: bool) -> None:
    from jetlab.batches import stream_batches

    stream = stream_jets(folder, batch_size=BATCH, buffer=buffer)
    n = sum(len(b.mask) for b in stream_batches(stream, RECIPE)) if as_inputs else sum(map(len, stream))
    status = Path("/proc/self/status").read_text()
    print(n, next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


# ---- tables ----------------------------------------------------------------------------------------------------------


def _ours(work: str, files: Sequence[str]) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.loading", *files, "--only", work]
    return float(
        subprocess.run(command, env=os.environ | ONE_THREAD, check=True, capture_output=True, text=True).stdout
    )


def _line(name: str, values: Sequence[float], unit: str = "jets/CPU-s") -> str:
    return f"{name:<58} {np.median(values):>10,.4g} {unit:<11} ({min(values):,.4g} to {max(values):,.4g})"


def _table(files: Sequence[str], repeat: int, python: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=Path(files[0]).parent) as folder:
        flat = [str(path) for path in sorted(convert(list(files), Path(folder) / "flat").glob("*.safetensors"))]
        rows = {
            "ROOT to 16 flat columns": ("columns", files),
            "ROOT to Jets": ("jets", files),
            "ROOT to flat files (convert)": ("conversion", files),
            f"ROOT to shuffled batches of {RECIPE.width} inputs": ("batches", files),
            "flat files in order": ("in_order", flat),
            "flat files to shuffled batches of jets": ("mixed", flat),
            f"flat files to shuffled batches of {RECIPE.width} inputs": ("batches", flat),
        }
        for name, (work, sources) in rows.items():
            print(_line(name, [_ours(work, sources) for _ in range(repeat)]), flush=True)
        if python is not None:
            _beside_weaver(files, repeat, python, Path(folder))


def _beside_weaver(files: Sequence[str], repeat: int, python: str, folder: Path) -> None:
    for complete, step in ((True, 0.01), (True, 0.1), (True, 0.5), (True, 1.0), (False, 0.5), (False, 1.0)):
        config = folder / f"{complete}.yaml"
        config.write_text(weaver_config(complete=complete))
        pairs = [(_ours("batches", files), weaver(python, config, step, files)) for _ in range(repeat)]
        what = f"weaver, {'complete' if complete else 'features and mask only'}, fetch step {step}"
        print(_line(what, [theirs for _, theirs in pairs]))
        print(_line("  we are faster by", [ours / theirs for ours, theirs in pairs], ""), flush=True)
    print(f"largest difference of an input: {largest_difference(python, config, files, folder):.2g}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--weaver", metavar="PYTHON")
    parser.add_argument("--memory", type=int, nargs="+", metavar="JETS")
    parser.add_argument("--inputs", action="store_true", help="with --memory: batches of inputs instead of jets")
    parser.add_argument("--only", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--stream", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stream:
        _stream(given.stream[0], int(given.stream[1]), as_inputs=given.stream[2] == "1")
    elif given.only:
        print(timed(given.only, given.files))
    elif given.memory:
        for jets in given.memory:
            n, peak = peak_memory(given.files, jets, as_inputs=given.inputs)
            print(f"{n:>12,} jets: {peak:7.1f} MiB", flush=True)
    else:
        _table(given.files, given.repeat, given.weaver)


if __name__ == "__main__":
    main()
