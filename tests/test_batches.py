from __future__ import annotations

import numpy as np
import torch

from jetlab.batches import ParticleSet, pad_rows
from jetlab.features import OMNIJET_RECIPE

from .toys import toy_jets


def test_rows_are_padded_to_the_longest_of_them() -> None:
    values, offsets = np.arange(6.0), np.array([0, 1, 1, 4, 6])
    padded, mask = pad_rows(values, offsets, np.array([2, 1, 3]), fill=-1)
    np.testing.assert_array_equal(padded, [[1, 2, 3], [-1, -1, -1], [4, 5, -1]])
    np.testing.assert_array_equal(mask, [[1, 1, 1], [0, 0, 0], [1, 1, 0]])


def test_only_empty_rows_still_have_one_slot() -> None:
    padded, mask = pad_rows(np.arange(3.0), np.array([0, 0, 3]), np.array([0, 0]))
    assert padded.shape == (2, 1)
    assert not mask.any()


def test_batch_holds_the_features_of_its_rows() -> None:
    jets = toy_jets(30)
    particles = ParticleSet(jets, OMNIJET_RECIPE)
    index = np.array([7, 3, 29])
    batch = particles.batch(index)
    values, offsets = batch.packed()
    np.testing.assert_array_equal(values, OMNIJET_RECIPE.transform(jets[index]).x)
    np.testing.assert_array_equal(offsets, np.concatenate([[0], np.cumsum(jets.multiplicity[index])]))
    assert batch.x.shape[1] == jets.multiplicity[index].max() == particles.lengths[index].max()
    assert batch.x.dtype == torch.float32
    assert (batch.x[~batch.mask] == 0).all()
    assert torch.equal(batch.label, torch.from_numpy(jets.label[index]))
    assert batch.recipe == "omnijet"
    assert torch.equal(batch.to("cpu").x, batch.x)
