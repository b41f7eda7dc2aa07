"""Cost of PET2-small beside the package ``omnilearned`` 0.2.0: processor time and memory of the same function.

``python -m tests.benchmarks.pet2 [--task pretrain|generator] [--repeat 3] [--python PATH] [--threads 1]``

Published configuration: pair bias, local pair features, 10 neighbours near in two coordinates. A training step takes
64 jets in 128 slots, inference 256; jets have a normal number of particles, 50 +- 20, within 5 and 128. Both sides have
the same random weights and jets. Each is measured in a process of its own, so that its peak memory is known, after a
warm-up with few jets. Outputs, and for training the loss and all gradients, are compared. The package is looked for in
the interpreter `--python`; ``pip install jetlab[benchmarks]`` installs it.

With ``--task generator`` both move 64 jets from noise: one network call is measured of each, and set in proportion to
the 254 calls of the package and to the calls that jetlab makes by default.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZES = {"train": 64, "infer": 256, "move": 64}
TITLES = {"train": "training step", "infer": "inference", "move": "network call of generation"}
PUBLISHED_CALLS = 254
SLOTS, CLASSES, NEIGHBOURS = 128, 2, 10


def jets(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs ``(n, 128, 4)``, mask and labels of made-up jets."""
    rng = np.random.default_rng(seed)
    counts = np.clip(np.rint(rng.normal(50, 20, n)), 5, SLOTS).astype(int)
    mask = np.arange(SLOTS) < counts[:, None]
    place, log_pt = rng.normal(0, 0.25, (n, SLOTS, 2)), np.sort(rng.normal(1.1, 1.3, (n, SLOTS)))[:, ::-1]
    log_energy = log_pt + np.log(np.cosh(place[..., 0]))
    x = np.concatenate([place, log_pt[..., None], log_energy[..., None]], -1) * mask[..., None]
    label = rng.integers(0, CLASSES, n)
    return torch.from_numpy(x).float(), torch.from_numpy(mask), torch.from_numpy(label)


# ---- the two sides ---------------------------------------------------------------------------------------------------


def ours(weights: Path) -> nn.Module:
    """Our model, from a file as the package writes it."""
    import jetlab

    return jetlab.from_pretrained(weights)


def theirs(weights: Path, task: str) -> nn.Module:
    """The model of the package."""
    from omnilearned.network import PET2

    model = PET2(
        4, use_int=True, local_int=True, mode=task, num_classes=CLASSES, base_dim=128, num_transformers=8,
        num_transformers_head=2, num_tokens=4, num_heads=8, K=NEIGHBOURS, num_coord=2,
    )  # fmt: skip
    held = torch.load(weights, weights_only=True)
    model.body.load_state_dict(held["body"])
    for head, name in ((model.classifier, "classifier_head"), (model.generator, "generator_head")):
        if head is not None:
            head.load_state_dict(held[name])
    return model.eval()


def write_weights(path: Path, task: str) -> None:
    """Random weights, none of them zero, in a file as the package writes it."""
    from jetlab.models.omnilearned import OmniLearned, OmniLearnedConfig

    torch.manual_seed(0)
    names = tuple(f"class {i}" for i in range(CLASSES))
    model = OmniLearned(OmniLearnedConfig.preset("small", task=task, classes=names))  # type: ignore[arg-type]
    parts: dict[str, dict[str, Tensor]] = {}
    for name, values in model.state_dict().items():
        if name.endswith(("bias", "norm.weight", "norm1.weight", "norm2.weight")):
            values.add_(0.1 * torch.randn(values.shape))
        part, _, rest = their_name(name).partition(".")
        parts.setdefault(part, {})[rest] = values[None] if rest == "token" else values
    torch.save(parts, path)


def their_name(name: str) -> str:
    """Name of one of our tensors in the files of the package."""
    from jetlab.zoo.importers.omnilearned import their_name as name_of

    return name_of(name)


def forward(side: str, model: nn.Module, task: str, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """Outputs of clean jets, and for ``pretrain`` of noisy ones at given times."""
    x, mask, label = batch
    generator = torch.Generator().manual_seed(1)
    times, noise = torch.rand(len(x), generator=generator), torch.randn(x.shape, generator=generator)
    noisy = torch.where(mask[..., None], x + times[:, None, None] * (noise - x), 0)
    if task == "generator":
        if side == "package":
            return {"velocity": model.generator(model.body(noisy, time=times), label)}
        from jetlab.batches import ParticleBatch

        return {"velocity": model.denoise(ParticleBatch(noisy, mask), times, label).velocity}
    if side == "package":
        clean = model.body(x, time=torch.zeros(len(x)))
        out = {"logits": model.classifier(clean)}
        if task == "pretrain":
            changed = model.body(noisy, time=times)
            out |= {"velocity": model.generator(changed, label), "noisy logits": model.classifier(changed)}
        return out
    from jetlab.batches import ParticleBatch

    out = {"logits": model.classify(ParticleBatch(x, mask))}
    if task == "pretrain":
        velocity, logits, *_ = model.denoise(ParticleBatch(noisy, mask), times, label)
        out |= {"velocity": velocity, "noisy logits": logits}
    return out


def loss_of(out: dict[str, Tensor], label: Tensor) -> Tensor:
    """Something with all outputs in it."""
    loss = F.cross_entropy(out["logits"], label)
    if "velocity" in out:
        loss = loss + out["velocity"].square().sum(-1).mean() + F.cross_entropy(out["noisy logits"], label)
    return loss


def measured(side: str, weights: Path, task: str, what: str, repeat: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Cost of one side in this process, and what it computed."""
    model = ours(weights) if side == "jetlab" else theirs(weights, task)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    found: dict[str, Tensor] = {}

    def step(batch: tuple[Tensor, Tensor, Tensor]) -> None:
        if what != "train":
            with torch.inference_mode():
                found.update(forward(side, model, task, batch))
            return
        optimizer.zero_grad()
        out = forward(side, model, task, batch)
        loss = loss_of(out, batch[2])
        loss.backward()
        optimizer.step()
        found.update(out | {"loss": loss})

    step(jets(2, seed=1))
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batch = jets(SIZES[what])
    seconds = [cpu_seconds(lambda: step(batch)) for _ in range(repeat)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    arrays = {name: values.detach() for name, values in found.items()}
    arrays |= {f"gradient of {name}": g for name, g in gradients(side, model)} if what == "train" else {}
    return {"seconds": seconds, "start": start / 1e6, "peak": peak / 1e6}, arrays


def gradients(side: str, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Gradients by the names of the package."""
    heads = {"classifier": "classifier_head", "generator": "generator_head"}
    for name, weight in model.named_parameters():
        if side == "jetlab":
            theirs = their_name(name)
        else:
            part, _, rest = name.partition(".")
            theirs = f"{heads.get(part, part)}.{rest}"
        if weight.grad is not None:
            yield theirs, weight.grad.reshape(-1)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


# ---- both ------------------------------------------------------------------------------------------------------------


def run(side: str, given: argparse.Namespace, what: str, folder: Path) -> dict[str, Any]:
    """Measure one side in a process of its own."""
    python = given.python if side == "package" else sys.executable
    told = [
        "--side",
        side,
        "--what",
        what,
        "--task",
        given.task,
        "--repeat",
        str(given.repeat),
        "--folder",
        str(folder),
    ]
    command = [python, "-m", "tests.benchmarks.pet2", *told, "--threads", str(given.threads)]
    environment = os.environ | {"OMP_NUM_THREADS": str(given.threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        msg = f"{side} failed: {done.stderr.strip().splitlines()[-1]}"
        raise SystemExit(msg)
    return json.loads(done.stdout.splitlines()[-1])


def worst(folder: Path, what: str) -> tuple[float, float, str]:
    """Largest difference of outputs, and of gradients relative to the largest number in each; and where."""
    mine, package = (torch.load(folder / f"{side}-{what}.pt", weights_only=True) for side in ("jetlab", "package"))
    outputs = max((float((mine[k] - package[k]).abs().max()), k) for k in package if not k.startswith("gradient"))
    parts = [k for k in package if k.startswith("gradient")]
    relative = [(float((mine[k] - package[k]).abs().max() / package[k].abs().max().clamp(min=1e-6)), k) for k in parts]
    return outputs[0], *max(relative, default=(0.0, ""))


def report(given: argparse.Namespace) -> None:
    """Measure both sides and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_weights(folder / "best_model_random.pt", given.task)
        for what in ("move",) if given.task == "generator" else ("train", "infer"):
            package, mine = (run(side, given, what, folder) for side in ("package", "jetlab"))
            print(f"{TITLES[what]}, {SIZES[what]} jets in {SLOTS} slots, {given.task}")
            for side, cost in (("package", package), ("jetlab", mine)):
                low, middle, high = np.quantile(cost["seconds"], [0, 0.5, 1])
                print(f"  {side:<10}{middle:>8.2f} CPU s ({low:.2f} to {high:.2f}){cost['peak']:>8.2f} GB at most")
            times = np.median(package["seconds"]) / np.median(mine["seconds"])
            print(f"  {times:.1f} times less time, {mine['peak'] / package['peak']:.2f} of the memory")
            if what == "move":
                print(f"  {_share(times)}")
            outputs, relative, where = worst(folder, what)
            print(f"  outputs differ by {outputs:.1e}" + (f", gradients by {relative:.1e} ({where})" if where else ""))


def _share(times: float) -> str:
    """What our default number of calls costs, beside the published number of calls of the package."""
    from jetlab.samplers.particles import Path as Way

    calls = Way().calls
    return f"{calls} calls of jetlab take 1/{PUBLISHED_CALLS * times / calls:.0f} of {PUBLISHED_CALLS} of the package"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("classifier", "pretrain", "generator"), default="classifier")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--python", default=sys.executable)
    for name in ("--side", "--what", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.side is None:
        report(given)
        return
    folder = Path(given.folder)
    cost, arrays = measured(given.side, folder / "best_model_random.pt", given.task, given.what, given.repeat)
    torch.save(arrays, folder / f"{given.side}-{given.what}.pt")
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
