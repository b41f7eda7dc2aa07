"""Processor time of one step of each mode of transfer: ``python -m tests.benchmarks.transfer``.

Median over steps of an unconditional OmniJet-alpha with a summation head, on the bundled jets. The published code
freezes the backbone by a learning rate of zero, so that its steps cost as much as those of fine-tuning.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch

import jetlab
from jetlab.models.alpha import OmniJetAlpha, OmniJetAlphaConfig
from jetlab.models.gpt import GPTConfig
from jetlab.models.tokens import Vocabulary
from jetlab.objectives import classification
from jetlab.tasks.finetune import backbone_of, tagger_for
from jetlab.tasks.labelled import Rows, encoded, labels_among
from jetlab.train.engine import autocast
from jetlab.train.optimizers import make_optimizers
from jetlab.train.order import epoch_batches

CLASSES = ("QCD", "Tbqq")


def step_times(tagger: torch.nn.Module, data: Rows, *, batch_size: int, steps: int, precision: str) -> Iterator[float]:
    """Processor seconds of each step: batch, forward, backward, update."""
    optimizer = make_optimizers(tagger, "adamw", lr=1e-4, betas=(0.9, 0.95), weight_decay=0.01)
    tagger.train()
    for rows in epoch_batches(data.lengths, batch_size, seed=0, epoch=0)[:steps]:
        began = time.process_time()
        with autocast(torch.device("cpu"), precision):
            loss, _ = classification(tagger, data.batch(rows))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = jetlab.from_pretrained("omnijet-tiny").tokenizer
    ids = Vocabulary(tokenizer.codebook_size)
    gpt = GPTConfig(ids.inputs, ids.outputs, width=options.width, depth=options.depth, heads=4)
    model = OmniJetAlpha(OmniJetAlphaConfig(gpt))
    model.use(tokenizer)
    backbone = backbone_of(model)
    jets = jetlab.load_jets("sample", n=options.batch_size * options.steps, classes=CLASSES)
    label = labels_among(jets, CLASSES)
    everything = np.arange(len(jets))
    frozen = tagger_for(backbone, CLASSES, mode="frozen")
    tokens = frozen.prepare(jets)
    kept = encoded(frozen, tokens)
    tuned = tagger_for(backbone, CLASSES)
    cases = {
        "fine-tuned, scratch": (tuned, Rows(tokens, everything, label)),
        "frozen, not stored": (frozen, Rows(tokens, everything, label)),
        "frozen": (frozen, Rows(kept, everything, label)),
    }
    size = f"GPT of {options.depth} blocks of width {options.width}"
    print(f"{size}, {options.batch_size} jets a step, {options.precision}, one thread")
    print(f"encoding once: {1e3 * kept.seconds / len(jets):.2f} CPU-ms a jet")
    slowest = None
    for name, (tagger, data) in cases.items():
        sizes = {"batch_size": options.batch_size, "steps": options.steps}
        times = list(step_times(tagger, data, precision=options.precision, **sizes))
        median, low, high = np.quantile(times[1:], (0.5, 0.16, 0.84))
        slowest = slowest or median
        print(f"{name:20s} {1e3 * median:8.1f} CPU-ms a step (16-84 %: {1e3 * low:.1f} to {1e3 * high:.1f}), ", end="")
        print(f"{slowest / median:.1f} times as fast")


if __name__ == "__main__":
    main()
