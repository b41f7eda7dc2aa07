"""Lion: its steps by hand, decay, exact resume, and what does not decay."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from jetlab.models.omnilearn import OmniLearn, OmniLearnConfig
from jetlab.train.lion import Lion
from jetlab.train.optimizers import make_optimizers, parameter_groups


def test_steps_are_those_of_the_paper() -> None:
    p = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 0.0]))
    lion = Lion([p], lr=0.1, betas=(0.9, 0.5), weight_decay=0.2)
    weights, momentum = p.detach().clone(), torch.zeros(4)
    for i in range(4):
        gradient = torch.randn(4, generator=torch.Generator().manual_seed(i))
        p.grad = gradient.clone()
        lion.step()
        step = (0.9 * momentum + 0.1 * gradient).sign()
        weights = weights - 0.1 * (step + 0.2 * weights)
        momentum = 0.5 * momentum + 0.5 * gradient
        torch.testing.assert_close(p.detach(), weights)
        assert torch.equal(p.grad, gradient)


def test_parameters_without_gradient_stay() -> None:
    moved, still = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    moved.grad = torch.ones(2)
    Lion([moved, still], lr=0.1, weight_decay=1.0).step()
    assert torch.equal(still.detach(), torch.ones(2))
    torch.testing.assert_close(moved.detach(), torch.full((2,), 0.8))


def test_it_finds_a_minimum_and_returns_the_loss() -> None:
    p = nn.Parameter(torch.tensor([3.0, -3.0]))
    lion = Lion([p], lr=0.05)

    def loss() -> torch.Tensor:
        lion.zero_grad()
        found = (p - 1).square().sum()
        found.backward()
        return found

    losses = [lion.step(loss).item() for _ in range(150)]
    assert losses[0] == pytest.approx(20)
    assert losses[-1] < 0.1


def test_it_continues_to_the_same_numbers() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    ends = []
    for stop in (None, 2):
        model = copy.deepcopy(net)
        optimizers = make_optimizers(model, "lion", lr=1e-2, betas=(0.95, 0.98), weight_decay=0.1)
        for step in range(4):
            if step == stop:
                saved = copy.deepcopy(optimizers.state_dict())
                optimizers = make_optimizers(model, "lion", lr=1e-2, betas=(0.95, 0.98), weight_decay=0.1)
                optimizers.load_state_dict(saved)
            for i, p in enumerate(model.parameters()):
                p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(10 * step + i))
            optimizers.step()
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*ends)


def test_new_layers_learn_faster_as_published() -> None:
    model = OmniLearn(OmniLearnConfig.preset("tiny"))
    factors = dict.fromkeys(model.new_layers, 5.0)
    optimizers = make_optimizers(model, "lion", lr=1e-3, betas=(0.95, 0.98), weight_decay=0.1, lr_factors=factors)
    faster = {id(p) for group in optimizers.param_groups if group["factor"] == 5 for p in group["params"]}
    heads = [*model.classifier.parameters(), *model.generator.parameters()]
    assert faster == {id(p) for p in heads}
    assert sum(len(group["params"]) for group in optimizers.param_groups) == len(list(model.parameters()))


def test_gains_biases_embeddings_and_tokens_do_not_decay() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.names, self.norm = nn.Linear(3, 4), nn.Embedding(5, 4), nn.LayerNorm(4)
            self.tokens = nn.Parameter(torch.zeros(1, 2, 4))

    net = Net()
    decaying, others = parameter_groups(net, 0.1)
    assert [id(p) for p in decaying["params"]] == [id(net.linear.weight)]
    assert {id(net.tokens), id(net.names.weight), id(net.norm.weight), id(net.linear.bias)} <= {
        id(p) for p in others["params"]
    }
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
