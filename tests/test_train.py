"""The training loop: against a bare loop, killed and resumed, stopped, refused, and with damaged files."""

from __future__ import annotations

import copy
import errno
import itertools
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from jetlab.errors import CheckpointError, TrainingError
from jetlab.train import engine, fit
from jetlab.train.checkpoints import Checkpoints, write_atomically
from jetlab.train.optimizers import make_optimizers, parameter_groups
from jetlab.train.order import POOL, epoch_batches, steps_per_epoch, validation_batches
from jetlab.train.run import Means
from jetlab.train.schedules import Schedule

# ---- a toy: rows of numbers whose target is linear in them ----------------------------------------------------------


@dataclass
class Rows:
    x: torch.Tensor
    y: torch.Tensor

    def to(self, device: torch.device) -> Rows:
        return Rows(self.x.to(device), self.y.to(device))


class Lines:
    def __init__(self, n: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.lengths = rng.integers(1, 50, n)
        self.x = torch.tensor(rng.normal(size=(n, 4)), dtype=torch.float32)
        self.y = self.x @ torch.tensor([1.0, -2.0, 0.5, 0.0])

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: np.ndarray) -> Rows:
        rows = torch.from_numpy(index)
        return Rows(self.x[rows], self.y[rows])


TRAIN, VALID = Lines(150), Lines(45, seed=1)


def toy() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 1))


def squared(model, batch, generator):
    """Mean squared error with noise on the inputs, which counts rows with positive target twice as a weight."""
    noise = 0.01 * torch.randn(batch.x.shape, generator=generator) if model.training else 0.0
    error = (model(batch.x + noise)[:, 0] - batch.y).square()
    weight = 1.0 + (batch.y > 0).float()
    loss = (weight * error).sum() / weight.sum()
    return loss, {"largest": error.max().detach(), "weight": weight.sum()}


SETTINGS = {
    "steps": 60,
    "batch_size": 16,
    "lr": 1e-2,
    "ema": 0.9,
    "valid_every": 20,
    "progress": False,
    "device": "cpu",
}


def train(out=None, **options):
    return fit(toy(), squared, TRAIN, VALID, out=out, **(SETTINGS | options))


def never(step, terms):
    pytest.fail("took a step")


def weights(run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.state_dict().values()])


def same(run, other) -> bool:
    timeless = [r.history.drop(columns="seconds") for r in (run, other)]
    pd.testing.assert_frame_equal(*timeless, check_exact=True)
    return torch.equal(weights(run), weights(other)) and run.best == other.best


@pytest.fixture(scope="module")
def whole():
    """The training that every interrupted one must come to."""
    return train()


# ---- order of the rows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bucket", [True, False])
@pytest.mark.parametrize(("n", "size"), [(1, 4), (5, 8), (64, 8), (1000, 7), (POOL * 6 * 3 + 1, 6)])
def test_an_epoch_holds_every_row_once(n, size, bucket):
    lengths = np.random.default_rng(0).integers(1, 100, n)
    batches = epoch_batches(lengths, size, seed=1, epoch=2, bucket=bucket)
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert len(batches) == steps_per_epoch(n, size) == math.ceil(n / size)
    assert all(1 <= len(rows) <= size for rows in batches)


def test_the_order_depends_on_seed_and_epoch_only():
    lengths = np.random.default_rng(0).integers(1, 100, 500)

    def order(seed, epoch):
        return np.concatenate(epoch_batches(lengths, 16, seed=seed, epoch=epoch)).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(s, e)) for s, e in [(1, 2), (2, 1), (1, 3), (0, 0)]}) == 4


def test_bucketing_saves_padding_and_does_not_sort_the_epoch():
    lengths = np.random.default_rng(0).integers(1, 100, 4000)

    def padded(bucket):
        batches = epoch_batches(lengths, 20, seed=0, epoch=0, bucket=bucket)
        return sum(len(rows) * lengths[rows].max() for rows in batches) / lengths.sum()

    assert padded(bucket=False) > 1.8
    assert padded(bucket=True) < 1.1
    means = [lengths[rows].mean() for rows in epoch_batches(lengths, 20, seed=0, epoch=0)]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2


def test_validation_batches_hold_every_row_once():
    rows = np.concatenate(validation_batches(VALID.lengths, 16))
    assert sorted(rows) == list(range(len(VALID)))


# ---- learning rates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cosine", "constant", "wsd"])
def test_warmup_rises_linearly_to_the_highest_rate(name):
    rates = Schedule(name, 0.5, 1000, 10)
    assert [rates(step) for step in range(11)] == pytest.approx([0.05 * (i + 1) for i in range(10)] + [0.5])


def test_schedules_have_their_shapes():
    cosine, constant, wsd = (Schedule(name, 2.0, 1100, 100) for name in ("cosine", "constant", "wsd"))
    assert cosine(600) == pytest.approx(1.0)
    assert cosine(350) == pytest.approx(1 + math.cos(math.pi / 4))
    assert 0 < cosine(1099) < 1e-5
    assert {constant(step) for step in range(100, 1100)} == {2.0}
    assert {wsd(step) for step in range(100, 881)} == {2.0}
    assert wsd(880 + 55) == pytest.approx(1.0)  # a quarter of the decay: 1 - sqrt(1/4)
    assert 0 < wsd(1099) < 0.01


@pytest.mark.parametrize(("steps", "rise"), [(5, 0), (60, 6), (5000, 100)])
def test_warmup_is_short_in_short_trainings(steps, rise):
    assert Schedule("cosine", 1.0, steps).rise == rise
    assert all(Schedule(name, 1.0, steps)(s) > 0 for name in ("cosine", "constant", "wsd") for s in range(steps))


# ---- the loop against a bare one ------------------------------------------------------------------------------------


def test_fit_is_a_plain_loop():
    run = train(ema=None, valid_every=1000, steps=25, seed=5)
    model, generator = toy().train(), torch.Generator().manual_seed(5)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    plain = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
    epochs = (epoch_batches(TRAIN.lengths, 16, seed=5, epoch=e) for e in itertools.count())
    order = itertools.islice(itertools.chain.from_iterable(epochs), 25)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for step, rows in enumerate(order):
            loss, _ = squared(model, TRAIN.batch(rows), generator)
            loss.backward()
            nn.utils.clip_grad_norm_([*decayed, *plain], 1.0)
            for group in optimizer.param_groups:
                group["lr"] = Schedule("cosine", 1e-2, 25)(step)
            optimizer.step()
            optimizer.zero_grad()
            assert run.history["loss"][step] == loss.item()
    assert torch.equal(weights(run), torch.cat([p.detach().flatten() for p in model.parameters()]))


def test_only_matrices_decay():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm, self.head = nn.Embedding(5, 3), nn.LayerNorm(3), nn.Linear(3, 5)
            self.inner, self.frozen = nn.Linear(3, 3), nn.Linear(3, 3).requires_grad_(requires_grad=False)
            self.head.weight = self.embed.weight

    net = Net()
    decayed, plain = parameter_groups(net, 0.3)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    assert {id(p) for p in decayed["params"]} == {id(net.inner.weight)}
    expected = [net.embed.weight, net.norm.weight, net.norm.bias, net.head.bias, net.inner.bias]
    assert {id(p) for p in plain["params"]} == {id(p) for p in expected}


def test_a_part_of_the_model_can_learn_more_slowly():
    net = nn.ModuleDict({"backbone": nn.Linear(3, 8), "head": nn.Linear(8, 2)})
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    factors = {"backbone": 0.1}
    optimizers = make_optimizers(net, "adamw", lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0, lr_factors=factors)
    for group in optimizers.param_groups:
        group["lr"] = 1e-2 * group["factor"]
    optimizers.step()
    steps = {name: (before[name] - p.detach()).abs().mean().item() for name, p in net.named_parameters()}
    assert steps["backbone.weight"] == pytest.approx(steps["head.weight"] / 10, rel=1e-3)
    with pytest.raises(TrainingError, match=r"lr_factors has 'trunk': 0.1, .* backbone, head"):
        make_optimizers(net, "adamw", lr=1.0, betas=(0.9, 0.95), weight_decay=0.0, lr_factors={"trunk": 0.1})


def test_fitting_scales_the_rates_of_parts():
    model, data = toy(), TRAIN
    slow = {name: 1e-6 for name, _ in model.named_children()}
    before = weights_of(model)
    fit(model, squared, data, steps=3, batch_size=16, lr=1e-2, lr_factors=slow, progress=False)
    assert torch.allclose(weights_of(model), before, atol=1e-6)


def weights_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


def stack() -> nn.Module:
    """Two blocks between an embedding of values and a head."""
    torch.manual_seed(0)
    net = toy()
    net.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)) for _ in range(2))
    return net


def test_muon_takes_the_matrices_of_blocks_and_adamw_the_rest():
    net = stack()
    optimizers = make_optimizers(net, "muon", lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
    adamw, muon = optimizers.parts
    inside = {id(block[0].weight) for block in net.blocks}
    assert {id(p) for g in muon.param_groups for p in g["params"]} == inside
    outside = {id(p) for p in net.parameters()} - inside
    assert {id(p) for g in adamw.param_groups for p in g["params"]} == outside


def test_muon_makes_updates_orthogonal_and_as_large_as_those_of_adamw():
    net = nn.ModuleList([nn.Linear(64, 64, bias=False)])
    before = net[0].weight.detach().clone()
    net[0].weight.grad = torch.randn(64, 64)
    make_optimizers(net, "muon", lr=0.1, betas=(0.9, 0.95), weight_decay=0.0).step()
    update = (before - net[0].weight.detach()) / 0.1
    assert 0.1 < update.square().mean().sqrt() < 0.3
    values = torch.linalg.svdvals(update)
    assert values[0] < 2.5 * values[32]


def test_muon_continues_to_the_same_numbers():
    net = stack()
    states = []
    for stop in (None, 2):
        model = copy.deepcopy(net)
        optimizers = make_optimizers(model, "muon", lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
        for step in range(4):
            if step == stop:
                saved = copy.deepcopy(optimizers.state_dict())
                optimizers = make_optimizers(model, "muon", lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
                optimizers.load_state_dict(saved)
            for i, p in enumerate(model.parameters()):
                p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(10 * step + i))
            optimizers.step()
        states.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*states)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(TrainingError, match="'sgd', expected one of 'adamw', 'muon'"):
        train(steps=5, optimizer="sgd")


def test_epochs_are_counted_in_rows():
    run = train(steps=None, epochs=3)
    assert run.steps == run.total == 3 * math.ceil(150 / 16)
    assert run.history["epoch"].iloc[-1] == 2


def test_training_learns(whole):
    assert whole.history["valid_loss"].dropna().iloc[-1] < 0.3 * whole.history["loss"].iloc[0]


def test_nothing_global_is_left_changed():
    random, threads, handler = torch.get_rng_state(), torch.get_num_threads(), signal.getsignal(signal.SIGINT)
    first, _ = train(steps=5), torch.rand(3)
    second = train(steps=5)
    torch.set_rng_state(random)
    assert same(first, second)
    assert torch.get_num_threads() == threads
    assert signal.getsignal(signal.SIGINT) is handler
    train(steps=5)
    assert torch.equal(torch.get_rng_state(), random)


def test_gradients_are_clipped():
    run = train(steps=5, clip=1e-9, lr=1e-3, ema=None)
    free = train(steps=5, clip=None, lr=1e-3, ema=None)
    assert run.history["grad_norm"].min() > 1e-3  # as it was before clipping
    assert not torch.equal(weights(run), weights(free))


# ---- averaged weights and validation --------------------------------------------------------------------------------


def test_the_average_is_an_exponential_moving_average():
    model, net = toy(), toy()
    average = engine.AveragedWeights(model, 0.8)
    expected = [p.detach().clone() for p in model.parameters()]
    for step in range(30):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(step)))
        average.update(step)
        decay = min(0.8, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * p.detach() for e, p in zip(expected, model.parameters(), strict=True)]
    raw = [p.detach().clone() for p in model.parameters()]
    with average.in_place():
        torch.testing.assert_close([p.detach() for p in model.parameters()], expected)
    assert all(torch.equal(p, r) for p, r in zip(model.parameters(), raw, strict=True))
    net.load_state_dict(average.state_dict())
    torch.testing.assert_close([p.detach() for p in net.parameters()], expected)


def test_validation_is_the_weighted_mean_over_all_rows_with_the_final_weights(whole):
    with torch.no_grad():
        loss, _ = squared(whole.model, VALID.batch(np.arange(len(VALID))), None)
    assert not whole.model.training
    assert whole.history["valid_loss"].iloc[-1] == pytest.approx(loss.item(), rel=1e-6)


def test_validation_and_averaging_do_not_disturb_training():
    plain = fit(toy(), squared, TRAIN, **(SETTINGS | {"ema": None}))
    watched = train(ema=None, valid_every=3)
    assert torch.equal(weights(plain), weights(watched))
    averaged = train()
    raw, smooth = (run.history["loss"].iloc[:50].to_numpy() for run in (plain, averaged))
    np.testing.assert_array_equal(raw, smooth)


@pytest.mark.parametrize("valid", [VALID, None])
def test_what_a_watcher_finds_is_in_the_history_and_changes_nothing(valid):
    def look(model: nn.Module) -> dict[str, float]:
        assert not model.training
        torch.rand(3)
        return {"size": float(model[0].weight.norm())}

    watched = fit(toy(), squared, TRAIN, valid, watch=look, **(SETTINGS | {"steps": 125}))
    plain = fit(toy(), squared, TRAIN, valid, **(SETTINGS | {"steps": 125}))
    assert torch.equal(weights(watched), weights(plain))
    found = watched.history.dropna(subset=["size"])
    assert found["step"].tolist() == [20, 40, 60, 80, 100, 120, 125]
    assert found["size"].iloc[-1] == pytest.approx(float(watched.model[0].weight.detach().norm()), rel=1e-6)
    assert "size" not in plain.history


def test_the_best_validation_is_kept():
    run = train(steps=40, lr=0.3, schedule="constant", valid_every=1, ema=None)
    losses = run.history["valid_loss"]
    assert run.best["loss"] == losses.min()
    assert run.best["step"] == run.history["step"][losses.argmin()] < 40
    last = weights(run)
    with torch.no_grad():
        loss, _ = squared(run.load_best(), VALID.batch(np.arange(len(VALID))), None)
    assert loss.item() == pytest.approx(run.best["loss"], rel=1e-6)
    assert not torch.equal(weights(run), last)


def test_no_best_without_validation():
    run = fit(toy(), squared, TRAIN, steps=2, progress=False)
    assert run.best is None
    with pytest.raises(TrainingError, match="pass valid data"):
        run.load_best()


def test_a_validation_loss_that_is_not_finite_is_reported_and_never_best():
    def broken_once(model, batch, generator):
        loss, terms = squared(model, batch, generator)
        return (loss if model.training else loss * math.nan), terms

    with pytest.warns(UserWarning, match="validation loss at step 2 is nan"):
        run = fit(toy(), broken_once, TRAIN, VALID, steps=2, valid_every=2, progress=False)
    assert run.best is None


def test_means_are_weighted():
    means = Means()
    means.add({"a": 1.0}, 3.0)
    means.add({"a": 5.0, "b": 2.0}, 1.0)
    assert means.values() == {"a": 2.0, "b": 2.0}


# ---- killed, stopped and continued ----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_train, jetlab.train.checkpoints as checkpoints

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def die_in_the_middle(file):
    file.truncate(file.tell() // 2)
    die()

def kill(at, how):
    def on_step(step, terms):
        if step == at and how == "between":
            die()
        elif step == at:
            checkpoints._to_disk = die_in_the_middle
    return on_step

test_train.torch.optim.AdamW(test_train.toy().parameters())  # loads what every child needs
for at, how in {kills!r}:
    child = os.fork()
    if not child:
        test_train.train({out!r}, checkpoint_every=7, on_step=kill(at, how))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_again_and_again_it_continues_to_the_same_numbers(tmp_path, whole):
    """Before the first checkpoint, between two of them, and in the middle of writing one."""
    kills = [(5, "between"), (24, "between"), (40, "writing"), (58, "between")]
    code = KILLED.format(tests=str(Path(__file__).parent), kills=kills, out=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 56
    run = train(tmp_path, checkpoint_every=7)
    assert same(run, whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["history.csv", "last.pt", "previous.pt"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), run.history, rtol=0, atol=0)


@pytest.mark.parametrize("at", [1, 20, 33, 59])
def test_stopped_it_continues_to_the_same_numbers(tmp_path, whole, at):
    partial = train(tmp_path, stop=iter([False] * (at - 1) + [True]).__next__)
    assert (partial.steps, partial.finished, len(partial.history)) == (at, False, at)
    assert same(train(tmp_path), whole)


def test_a_finished_training_is_not_repeated(tmp_path, whole):
    train(tmp_path)
    run = train(tmp_path, on_step=never)
    assert same(run, whole)
    assert run.finished


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal, also where the tests run in the background and it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_returns_what_there_is(tmp_path):
    def interrupt(step, terms):
        if step == 7:
            signal.raise_signal(signal.SIGINT)

    run = train(tmp_path, on_step=interrupt)
    assert run.steps == 7
    assert list(run.history["step"]) == [1, 2, 3, 4, 5, 6, 7]
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 7
    assert "stopped" in repr(run)


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_interrupts_at_once():
    def insist(step, terms):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(on_step=insist)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_training_in_a_thread_can_be_watched_and_stopped():
    started, runs = threading.Event(), []

    def begin(run):
        runs.append(run)
        started.set()

    thread = threading.Thread(target=lambda: train(steps=100_000, valid_every=1000, on_start=begin))
    thread.start()
    assert started.wait(30)
    while runs[0].steps < 3:
        assert len(runs[0].history) <= runs[0].steps + 1
    runs[0].stop()
    thread.join(30)
    assert not thread.is_alive()
    assert 3 <= runs[0].steps < 100_000
    assert not runs[0].running


@pytest.mark.parametrize("schedule", ["constant", "wsd"])
def test_a_training_can_be_made_longer_where_the_past_stays_the_same(tmp_path, schedule):
    options = {"schedule": schedule, "warmup": 5}
    train(tmp_path, steps=40, stop=iter([False] * 24 + [True]).__next__, **options)
    assert same(train(tmp_path, **options), train(**options))


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 15}, "batch_size was 16 and is now 15"),
        ({"seed": 1, "ema": None}, "ema was 0.9 and is now None; seed was 0 and is now 1"),
        ({"lr": 0.02}, r"learning rate was .*lr=0.01.* and is now .*lr=0.02"),
        ({"steps": 70}, "learning rate was"),
        ({"steps": 3, "schedule": "constant", "warmup": 0}, "has 5 steps already, and 3 are asked for"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, options, message):
    train(tmp_path, stop=iter([False] * 4 + [True]).__next__)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(CheckpointError, match=message) as caught:
        train(tmp_path, **options)
    assert "resume=False" in str(caught.value)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_other_models_data_and_objectives_are_refused(tmp_path):
    train(tmp_path, steps=2)
    other = nn.Sequential(nn.Linear(4, 9), nn.Linear(9, 1))
    with pytest.raises(CheckpointError, match=r"weights 0.bias had shape \(8,\) and have \(9,\)"):
        fit(other, squared, TRAIN, VALID, out=tmp_path, **(SETTINGS | {"steps": 2}))
    with pytest.raises(CheckpointError, match=r"train was '150 rows .* is now '149 rows"):
        fit(toy(), squared, Lines(149), VALID, out=tmp_path, **(SETTINGS | {"steps": 2}))


def test_resume_false_starts_afresh(tmp_path, whole):
    train(tmp_path, seed=1)
    assert same(train(tmp_path, resume=False), whole)
    assert same(train(tmp_path), whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": None}, "either steps or epochs"),
        ({"epochs": 2}, "either steps or epochs"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"schedule": "linear"}, "'cosine', 'constant', 'wsd'"),
        ({"warmup": 60}, "warmup is 60"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"ema": 1.5}, "ema is 1.5"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"valid_every": 0}, "valid_every is 0"),
    ],
)
def test_arguments_without_sense_are_refused(options, message):
    with pytest.raises(TrainingError, match=message):
        train(**options)


def test_empty_data_and_frozen_models_are_refused():
    with pytest.raises(TrainingError, match="train data has no rows"):
        fit(toy(), squared, Lines(0), steps=1)
    with pytest.raises(TrainingError, match="no trainable parameters"):
        fit(toy().requires_grad_(requires_grad=False), squared, TRAIN, steps=1)


def test_an_objective_must_return_a_scalar():
    with pytest.raises(TrainingError, match=r"loss of shape \(150,\)"):
        fit(toy(), lambda model, batch, _: (model(batch.x)[:, 0], {}), TRAIN, steps=1, progress=False)


# ---- numbers that are not finite ------------------------------------------------------------------------------------


def broken_at(step, how):
    calls = itertools.count(1)

    def objective(model, batch, generator):
        loss, terms = squared(model, batch, generator)
        if next(calls) == step:
            zero = 0 * sum(p.sum() for p in model.parameters())
            loss = loss + {"loss": zero + math.nan, "gradient": zero.abs().sqrt()}[how]
        return loss, terms

    return objective


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_a_loss_or_gradient_that_is_not_finite_stops_the_training(tmp_path, how):
    model = toy()
    with pytest.raises(TrainingError, match=r"step 24.*last.pt \(step 20\)") as caught:
        fit(model, broken_at(24, how), TRAIN, out=tmp_path, checkpoint_every=10, **SETTINGS)
    assert "lower lr" in str(caught.value)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert saved["step"] == 20
    assert all(torch.isfinite(values).all() for values in saved["model"].values())
    assert pd.read_csv(tmp_path / "history.csv")["step"].iloc[-1] == 23


def test_numbers_read_late_are_the_same(monkeypatch, tmp_path, whole):
    """As on a GPU, where each reading waits for the device: rarely after the first hundred steps."""
    monkeypatch.setattr(engine, "reading_is_free", lambda _: False)
    assert same(
        train(tmp_path, stop=iter([False] * 24 + [True]).__next__), train(stop=iter([False] * 24 + [True]).__next__)
    )
    assert same(train(tmp_path), whole)
    options = SETTINGS | {"steps": 130, "valid_every": 50}
    with pytest.raises(TrainingError, match=r"step 114: the loss is nan.*last.pt \(step 110\)"):
        fit(toy(), broken_at(114, "loss"), TRAIN, out=tmp_path / "late", checkpoint_every=10, **options)
    saved = torch.load(tmp_path / "late" / "last.pt", weights_only=True)
    assert all(torch.isfinite(values).all() for values in saved["model"].values())


def test_without_a_folder_the_error_says_so():
    with pytest.raises(TrainingError, match=r"step 2: the loss is nan.*pass out="):
        fit(toy(), broken_at(2, "loss"), TRAIN, **SETTINGS)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written"):
        train(tmp_path / "file" / "out", on_step=never)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that even root cannot write")
def test_a_read_only_folder_is_refused_before_training():
    with pytest.raises(CheckpointError, match="cannot be written"):
        train("/proc/self", on_step=never)


def test_a_full_disk_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())
    with pytest.raises(CheckpointError, match="0 MB left"):
        train(tmp_path, on_step=never)


def test_a_disk_that_fills_up_leaves_the_old_checkpoint(tmp_path, monkeypatch, whole):
    written = itertools.count(1)
    sync = os.fsync

    def full(descriptor):
        if next(written) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr("jetlab.train.run.write_atomically", lambda path: path.open("wb"))
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match=r"step 49 cannot be written.*No space left.*intact"):
        train(tmp_path, checkpoint_every=7)
    monkeypatch.undo()
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 42
    assert sorted(p.name for p in tmp_path.iterdir()) == ["history.csv", "last.pt", "previous.pt"]
    assert same(train(tmp_path), whole)


def test_a_real_write_error_leaves_the_old_checkpoint(tmp_path):
    resource = pytest.importorskip("resource")
    train(tmp_path, stop=iter([False] * 4 + [True]).__next__)
    before = (tmp_path / "last.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    try:
        with pytest.raises(CheckpointError, match="the checkpoint of step 60 cannot be written"):
            train(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "last.pt").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_history_that_cannot_be_written_is_an_error(tmp_path):
    def fill_up(step, terms):
        if step == 5:
            (tmp_path / "history.csv").unlink()
            (tmp_path / "history.csv").symlink_to("/dev/full")

    with pytest.raises(CheckpointError, match=r"history\.csv cannot be written at step 5.*No space left"):
        train(tmp_path, on_step=fill_up)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, whole):
    train(tmp_path, checkpoint_every=10, stop=iter([False] * 34 + [True]).__next__)
    (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:3000])
    with pytest.warns(UserWarning, match=r"last.pt is damaged.*continuing from previous.pt, step 30"):
        assert same(train(tmp_path), whole)


def test_damage_is_noticed_or_harmless(tmp_path):
    """Cut short anywhere, or with a few bytes changed anywhere: an error of ours, or the very same content."""
    store = Checkpoints(tmp_path)
    state = {"step": 3, "weights": torch.arange(500.0), "names": ["a", "b"]}
    store.save(state)
    good, rng = store.last.read_bytes(), np.random.default_rng(0)
    damaged = [good[:length] for length in rng.integers(0, len(good), 20)]
    for place in rng.integers(0, len(good), 100):
        changed = bytearray(good)
        changed[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(changed))
    refused = 0
    for content in damaged:
        store.last.write_bytes(content)
        try:
            loaded = store.load()
        except CheckpointError:
            refused += 1
        else:
            assert torch.equal(loaded["weights"], state["weights"])
            assert (loaded["step"], loaded["names"]) == (3, ["a", "b"])
    assert refused > 60


class Payload:
    def __reduce__(self):
        return pytest.fail, ("a checkpoint was executed",)


@pytest.mark.parametrize("content", [pickle.dumps({"format": 1}), pickle.dumps(Payload()), b"", b"text", b"PK\x03\x04"])
def test_other_files_are_refused_and_nothing_is_executed(tmp_path, content):
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged or not a training checkpoint"):
        train(tmp_path)
    torch.save({"format": 1, "model": Payload()}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="damaged or not a training checkpoint"):
        train(tmp_path)
    torch.save({"format": 99}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="format 99, expected 1"):
        train(tmp_path)


def test_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    writing = write_atomically(path)
    writing.__enter__().write(b"half")
    assert not writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# ---- precision ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not engine.has_bf16(torch.device("cpu")), reason="a CPU that computes bfloat16")
def test_bf16_trains_nearly_as_fp32_and_continues(tmp_path, whole):
    run = train(precision="bf16")
    train(tmp_path, precision="bf16", stop=iter([False] * 24 + [True]).__next__)
    assert same(train(tmp_path, precision="bf16"), run)
    assert not torch.equal(weights(run), weights(whole))
    assert all(p.dtype == torch.float32 for p in run.model.parameters())
    assert run.best["loss"] == pytest.approx(whole.best["loss"], rel=0.1)


def test_bf16_falls_back_with_a_warning(monkeypatch, whole):
    monkeypatch.setattr(engine, "_cpu_flags", lambda: {"avx2"})
    with pytest.warns(UserWarning, match="this cpu does not compute bfloat16 natively"):
        run = train(precision="bf16")
    assert same(run, whole)


# ---- what people see ------------------------------------------------------------------------------------------------


def test_history_has_a_row_for_each_early_step_and_then_every_tenth():
    run = train(steps=135, valid_every=50, ema=None)
    assert list(run.history["step"]) == [*range(1, 101), 110, 120, 130, 135]
    columns = ["step", "epoch", "seconds", "lr", "loss", "largest", "grad_norm", "valid_loss", "valid_largest"]
    assert list(run.history.columns) == columns
    assert list(run.history.dropna()["step"]) == [50, 100, 135]
    assert run.history["seconds"].is_monotonic_increasing
    assert run.history["lr"].iloc[5] == Schedule("cosine", 1e-2, 135)(5)


def test_progress_and_steps_are_called_back():
    seen, steps = [], []
    train(steps=4, progress=lambda done, total: seen.append((done, total)), on_step=lambda s, t: steps.append((s, t)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [s for s, _ in steps] == [1, 2, 3, 4]
    assert set(steps[0][1]) == {"loss", "largest", "grad_norm"}


def test_the_bar_shows_loss_and_items_per_second(capfd):
    train(steps=4, progress=True)
    text = capfd.readouterr().err
    assert "4/4" in text
    assert "loss" in text
    assert "items/s" in text


def test_a_run_shows_itself(whole):
    html = whole._repr_html_()
    assert "60 of 60" in html
    assert "finished" in html
    assert "best validation loss" in repr(whole)


def test_a_run_draws_itself(whole):
    figure = whole.plot()
    assert [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()] == ["Step"]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(steps=3)
    assert not list(tmp_path.iterdir())
