"""Heads of taggers, against what they say of themselves, written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from jetlab.models.encoding import Encoding
from jetlab.models.heads import HEADS, ClassAttentionHead, SummationHead


def encoding(*, width: int = 8, lengths: tuple[int, ...] = (5, 1, 0, 3)) -> Encoding:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    particles = torch.randn(*mask.shape, width, generator=generator) * mask[..., None]
    return Encoding(particles, particles.sum(1) / mask.sum(1, keepdim=True).clamp(min=1), mask)


def cut(whole: Encoding, row: int) -> torch.Tensor:
    """The real particles of one jet."""
    return whole.particles[row][whole.mask[row]]


@pytest.mark.parametrize("name", HEADS)
def test_padding_and_other_jets_change_nothing(name: str) -> None:
    head = HEADS[name](8, 3, hidden=(6,)).eval()
    whole = encoding()
    logits = head(whole)
    assert logits.shape == (4, 3)
    assert torch.isfinite(logits).all()  # the third jet is empty
    noise = torch.where(whole.mask[..., None], whole.particles, torch.zeros(()))
    wider = Encoding(F.pad(noise, (0, 0, 0, 7)), whole.jet, F.pad(whole.mask, (0, 7)))
    torch.testing.assert_close(head(wider), logits)
    torch.testing.assert_close(head(Encoding(*(part[3:] for part in whole[:3]))), logits[3:])


@pytest.mark.parametrize("name", HEADS)
def test_every_weight_of_a_head_learns(name: str) -> None:
    head = HEADS[name](8, 3, hidden=(6,), dropout=0.0)
    head(encoding()).square().sum().backward()
    silent = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_the_sum_counts_particles() -> None:
    head, whole = SummationHead(8, 3), encoding()
    for row in range(4):
        expected = head.embed(cut(whole, row)).relu().sum(0)
        torch.testing.assert_close(head.summed(whole)[row], expected)
    twice = Encoding(whole.particles.repeat(1, 2, 1), whole.jet, whole.mask.repeat(1, 2))
    torch.testing.assert_close(head.summed(twice), 2 * head.summed(whole))


def test_the_token_reads_the_particles_and_itself() -> None:
    """Head by head and jet by jet, without padding."""
    head, whole = ClassAttentionHead(8, 3, hidden=(6,), heads=2, depth=2).eval(), encoding()
    for row in range(4):
        token = head.token[None]
        for i, block in enumerate(head.blocks):
            x = block.norm(torch.cat([token, cut(whole, row)]))
            q, k, v = block.query(token), block.key(x), block.value(x)
            parts = [
                ((q[:, h] @ k[:, h].T) / 2).softmax(-1) @ v[:, h]  # the root of 4 numbers a head
                for h in (slice(0, 4), slice(4, 8))
            ]
            token = block.out(torch.cat(parts, 1))
            torch.testing.assert_close(head.tokens(whole)[row, i], token[0])


def test_a_width_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(ValueError, match="width 9 cannot be split into 2 heads"):
        ClassAttentionHead(9, 3)
