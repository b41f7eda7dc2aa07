"""Speed of generation: tokens and jets per CPU-second at the published size, beside the loop as published.

``python -m tests.benchmarks.generation [--repeat 3] [--batch 32]``

The published loop (arXiv:2403.05618) reads the whole sequence again for every token, applies the head to all of its
positions, and always writes 128 tokens; what follows the first stop is cut off afterwards. Both loops have the same
random weights, on one thread; the time does not depend on what they hold. First the ids of both are compared, then both
write 128 tokens a jet, then jets that end where the jets of the bundled sample end.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn

import jetlab
from jetlab.models.alpha import AlphaState, OmniJetAlpha, OmniJetAlphaConfig
from jetlab.models.gpt import GPTConfig
from jetlab.models.tokens import Vocabulary
from jetlab.samplers import sample_tokens

CODES, LONGEST = 8192, 128


# ---- the loop as published -------------------------------------------------------------------------------------------


class PublishedBlock(nn.Module):
    """Post-norm block with separate projections and a written-out attention matrix."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.register_buffer("past", torch.ones(LONGEST, LONGEST).tril())

    def forward(self, x: Tensor) -> Tensor:
        B, T, D = x.shape
        q, k, v = (p(x).view(B, T, self.heads, -1).transpose(1, 2) for p in (self.query, self.key, self.value))
        scores = q @ k.transpose(-2, -1) * (D // self.heads) ** -0.5
        scores = scores.masked_fill(self.past[:T, :T] == 0, -torch.inf)
        x = self.norm1(self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, D)) + x)
        return self.norm2(self.feed(x) + x)


class Published(nn.Module):
    """Backbone and head by the published ids: 0 is start, then the codes, then stop."""

    def __init__(self, width: int = 256, depth: int = 3, heads: int = 8) -> None:
        super().__init__()
        self.embed = nn.Embedding(CODES + 2, width)
        self.blocks = nn.Sequential(*(PublishedBlock(width, heads) for _ in range(depth)))
        self.head = nn.Linear(width, CODES + 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(ids)))

    @torch.no_grad()
    def write(self, jets: int, choose: Callable[[Tensor, int], Tensor]) -> list[np.ndarray]:
        """Codes of so many jets: always 128 steps, each over all tokens so far."""
        ids = torch.zeros(jets, 1, dtype=torch.int64)
        for t in range(LONGEST):
            logits = self(ids)[:, -1, 1:]
            ids = torch.cat([ids, 1 + choose(logits, t)[:, None]], 1)
        rows = ids[:, 1:].numpy()
        return [row[: np.argmax(row == CODES + 1) if (row == CODES + 1).any() else LONGEST] - 1 for row in rows]


def published_twin(model: OmniJetAlpha) -> Published:
    """Copy our weights into the published form."""
    twin, gpt, v = Published(), model.gpt, model.vocabulary
    order = [v.start, *range(CODES), v.stop]
    with torch.no_grad():
        twin.embed.weight.copy_(gpt.embed.weight[order])
        twin.head.weight.copy_(gpt.head.weight[[CODES + 1, *range(CODES + 1)]])
        twin.head.bias.copy_(gpt.head.bias[[CODES + 1, *range(CODES + 1)]])
        for theirs, ours in zip(twin.blocks, gpt.blocks, strict=True):
            parts = (theirs.query, theirs.key, theirs.value)
            for part, weight in zip(parts, ours.attention.qkv.weight.chunk(3), strict=True):
                part.weight.copy_(weight)
            theirs.out.load_state_dict(ours.attention.out.state_dict())
            theirs.norm1.load_state_dict(ours.norm1.state_dict())
            theirs.norm2.load_state_dict(ours.norm2.state_dict())
            theirs.feed.load_state_dict(ours.mlp.state_dict())
    return twin.eval()


# ---- ours ------------------------------------------------------------------------------------------------------------


def published_size() -> OmniJetAlpha:
    """Random weights, large enough that sequences do not repeat themselves."""
    torch.manual_seed(0)
    v = Vocabulary(CODES)
    model = OmniJetAlpha(OmniJetAlphaConfig(GPTConfig.preset("published", inputs=v.inputs, outputs=v.outputs + 1)))
    for weight in model.parameters():
        if weight.ndim == 2:
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
    return model.eval()


class Scheduled:
    """A model whose jets end after given numbers of constituents; `noise`, ``(B, outputs)``, makes each one another."""

    def __init__(self, model: OmniJetAlpha, lengths: Tensor, noise: Tensor | None = None) -> None:
        self.model, self.vocabulary, self.max_constituents = model, model.vocabulary, model.max_constituents
        self.lengths, self.noise = lengths, noise

    def begin(self, label: Tensor) -> Schedule:
        return Schedule(self.model.begin(label), torch.arange(len(label)))

    def step(self, ids: Tensor, state: Schedule, rows: Tensor | None = None) -> Tensor:
        logits = self.model.step(ids, state.alpha, rows)[:, : self.vocabulary.outputs]
        jets = state.jets if rows is None else state.jets[rows]
        logits = bent(logits, state.written, self.lengths[jets], None if self.noise is None else self.noise[jets])
        state.written += 1
        return logits


class Schedule:
    """State of `Scheduled`: that of the model, which jets its rows are, and how many tokens they have."""

    def __init__(self, alpha: AlphaState, jets: Tensor) -> None:
        self.alpha, self.jets, self.written = alpha, jets, 0

    def keep(self, rows: Tensor) -> None:
        self.alpha.keep(rows)
        self.jets = self.jets[rows]


def bent(logits: Tensor, written: int, lengths: Tensor, noise: Tensor | None = None) -> Tensor:
    """Logits of codes and stop, with the stop forced where a jet is to end and forbidden before."""
    if noise is not None:
        logits = logits + noise
    logits[:, CODES] = torch.where(lengths == written, torch.inf, -torch.inf)
    if (lengths == written).any():
        logits[lengths == written, :CODES] = -1e9
        logits[lengths == written, CODES] = 0
    return logits


def compare_ids(model: OmniJetAlpha, twin: Published, lengths: Tensor) -> int:
    """Number of ids, all the same in both loops, of the most probable tokens."""
    noise = 2 * torch.randn(len(lengths), CODES + 1, generator=torch.Generator().manual_seed(1))
    theirs = twin.write(len(lengths), lambda logits, t: bent(logits, t, lengths, noise).argmax(-1))
    ours = sample_tokens(Scheduled(model, lengths, noise), torch.zeros(len(lengths), dtype=torch.int64), temperature=0)
    assert ours is not None
    for a, b, n in zip(ours, theirs, lengths.tolist(), strict=True):
        assert len(a) == n, f"a jet has {len(a)} constituents, expected {n}"
        assert np.array_equal(a, b), f"ids differ from {int(np.argmax(a != b))} on"
    return sum(map(len, ours))


# ---- measurements ----------------------------------------------------------------------------------------------------


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def ours(model: OmniJetAlpha, lengths: Tensor, batch: int, seed: int = 0) -> None:
    """Write jets of these lengths, so many at once."""
    generator = torch.Generator().manual_seed(seed)
    for part in lengths.split(batch):
        sample_tokens(Scheduled(model, part), torch.zeros(len(part), dtype=torch.int64), generator=generator)


def theirs(twin: Published, lengths: Tensor) -> None:
    """Do the same as published."""
    generator = torch.Generator().manual_seed(0)

    def draw(logits: Tensor, t: int) -> Tensor:
        probabilities = bent(logits, t, lengths).softmax(-1)
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0]

    twin.write(len(lengths), draw)


def _line(name: str, values: list[float], unit: str) -> str:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return f"{name:<52}{middle:>10,.4g} {unit:<18} ({low:,.4g} to {high:,.4g})"


def _table(repeat: int, batch: int) -> None:
    model = published_size()
    twin = published_twin(model)
    multiplicity = torch.from_numpy(jetlab.load_jets("sample").multiplicity).clamp(1, LONGEST)
    shuffled = multiplicity[torch.randperm(len(multiplicity), generator=torch.Generator().manual_seed(0))]
    lengths = torch.stack(list(itertools.islice(itertools.cycle(shuffled), max(512, 8 * batch))))
    full = torch.full((batch,), LONGEST)
    print(f"{compare_ids(model, twin, lengths[:8])} greedy ids of 8 jets are the same in both loops")
    print(f"mean number of constituents: {lengths.float().mean():.1f}")
    ours(model, lengths[:batch], batch)
    slow, fast, real = [], [], []
    for i in range(repeat):
        fast.append(cpu_seconds(lambda: ours(model, full, batch)))
        real.append(cpu_seconds(lambda i=i: ours(model, lengths[: 8 * batch], batch, seed=i)) / 8)
        slow.append(cpu_seconds(lambda i=i: theirs(twin, lengths[i % 8 * batch :][:batch])))
    tokens = batch * LONGEST
    print(_line(f"as published: {batch} jets of {LONGEST} tokens", slow, "CPU s"))
    print(_line("  tokens", [tokens / s for s in slow], "per CPU s"))
    print(_line("  jets", [batch / s for s in slow], "per CPU s"))
    print(_line(f"ours: {batch} jets of {LONGEST} tokens", fast, "CPU s"))
    print(_line("  tokens", [tokens / s for s in fast], "per CPU s"))
    print(_line("  times as many tokens", [a / b for a, b in zip(slow, fast, strict=True)], ""))
    print(_line(f"ours: {batch} jets of their own length", real, "CPU s"))
    print(_line("  jets", [batch / s for s in real], "per CPU s"))
    print(_line("  times as many jets", [a / b for a, b in zip(slow, real, strict=True)], ""))
    print("jets of their own length, by batch size:")
    for size in (1, 8, 32, 128, 512):
        some = lengths[: min(8 * size, max(size, 256))]
        ours(model, some[:size], size)
        rates = [len(some) / cpu_seconds(lambda some=some, size=size: ours(model, some, size)) for _ in range(repeat)]
        print(_line(f"  {size}", rates, "jets per CPU s"), flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    given = parser.parse_args()
    torch.set_num_threads(1)
    _table(given.repeat, given.batch)


if __name__ == "__main__":
    main()
