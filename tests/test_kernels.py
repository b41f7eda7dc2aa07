from __future__ import annotations

import pytest
import torch

from jetlab.kernels.attention import attend, attend_few, attend_reference
from jetlab.kernels.nearest import nearest, nearest_reference
from jetlab.kernels.neighbours import gather_rows, neighbours, neighbours_reference


def ragged(seed: int, *, rows: int = 5, length: int = 9) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    qkv = [torch.randn(rows, 2, length, 4, generator=generator, dtype=torch.float64) for _ in range(3)]
    counts = torch.tensor([length, 1, 4, 0, 6])
    return qkv, torch.arange(length) < counts[:, None]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_attention_and_its_gradients_agree_with_the_reference(seed: int, masked: bool, causal: bool) -> None:
    qkv, mask = ragged(seed)
    results = []
    for function in (attend, attend_reference):
        leaves = [t.clone().requires_grad_() for t in qkv]
        out = function(*leaves, mask=mask if masked else None, causal=causal)
        (out * torch.arange(out.numel()).reshape(out.shape)).sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_attention_with_a_bias_and_its_gradients_agree_with_the_mask(seed: int) -> None:
    """A mask is a bias of minus infinity; other biases multiply the weights before they are normalised."""
    (q, k, v), mask = ragged(seed)
    mask[:, 0] = True
    hidden = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -torch.inf)[:, None, None]
    torch.testing.assert_close(attend(q, k, v, bias=hidden), attend_reference(q, k, v, mask=mask))
    bias = torch.randn(5, 2, 9, 9, generator=torch.Generator().manual_seed(seed), dtype=q.dtype).requires_grad_()
    out = attend(q, k, v, bias=bias + hidden)
    weights = (q @ k.transpose(-2, -1) / 2 + bias).exp() * mask[:, None, None]
    expected = weights @ v / weights.sum(-1, keepdim=True)
    torch.testing.assert_close(out, expected)
    pull = torch.randn(out.shape, generator=torch.Generator().manual_seed(2), dtype=q.dtype)
    (fast,), (slow,) = (torch.autograd.grad(x, bias, pull, retain_graph=True) for x in (out, expected))
    torch.testing.assert_close(fast, slow)
    assert (fast[~mask[:, None, None].expand_as(fast)] == 0).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_attention_within_few_and_its_gradients_agree_with_the_reference(seed: int) -> None:
    qkv, _ = ragged(seed)
    qkv[0] = 40 * qkv[0]  # scores so large that their exponentials overflow
    results = []
    for function in (attend_few, attend_reference):
        leaves = [t.clone().requires_grad_() for t in qkv]
        out = function(*leaves)
        (out * torch.arange(out.numel()).reshape(out.shape)).sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-7)


def test_padding_content_changes_nothing() -> None:
    (q, k, v), mask = ragged(3)
    before = attend(q, k, v, mask=mask)
    rubbish = ~mask[:, None, :, None]
    after = attend(q, k.masked_fill(rubbish, 1e3), v.masked_fill(rubbish, -1e3), mask=mask)
    real = mask.any(1)
    torch.testing.assert_close(before[real], after[real])


def test_an_empty_row_stays_finite() -> None:
    (q, k, v), mask = ragged(0)
    assert not mask[3].any()
    assert torch.isfinite(attend(q, k, v, mask=mask)).all()


def test_bfloat16_on_cpu_is_close_to_the_reference() -> None:
    (q, k, v), mask = ragged(0)
    half = attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), mask=mask)
    torch.testing.assert_close(half.double(), attend_reference(q, k, v, mask=mask), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("chunk", [7, 512])
def test_nearest_agrees_with_the_distance_matrix(chunk: int) -> None:
    generator = torch.Generator().manual_seed(0)
    points, table = torch.randn(301, 4, generator=generator), torch.randn(50, 4, generator=generator)
    assert torch.equal(nearest(points, table, chunk=chunk), nearest_reference(points, table))


def test_nearest_ignores_autocast_and_takes_no_points() -> None:
    generator = torch.Generator().manual_seed(1)
    points, table = torch.randn(500, 4, generator=generator), torch.randn(400, 4, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest(points, table), nearest_reference(points, table))
    assert nearest(points[:0], table).shape == (0,)


@pytest.mark.parametrize("k", [3, 7, 20])
@pytest.mark.parametrize("seed", [0, 1])
def test_neighbours_agree_with_the_search_point_by_point(seed: int, k: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.tensor([9, 1, 4, 0, 6])
    points = torch.randn(int(counts.sum()), 5, generator=generator)
    slots = torch.full((5, 9), len(points))
    slots[torch.arange(9) < counts[:, None]] = torch.arange(len(points))
    found = neighbours(points, slots, k=k)
    assert torch.equal(found, neighbours_reference(points, slots, k=k))
    assert (found[9] == len(points)).all()


def test_a_twin_is_a_neighbour_and_a_point_itself_is_not() -> None:
    points = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    assert neighbours(points, torch.arange(3)[None], k=1).tolist()[:2] == [[1], [0]]


def test_gathering_beyond_the_last_row_gives_zero() -> None:
    values = torch.tensor([[1.0], [2.0]])
    assert gather_rows(values, torch.tensor([[1, 2], [0, 2]])).tolist() == [[[2.0], [0.0]], [[1.0], [0.0]]]
