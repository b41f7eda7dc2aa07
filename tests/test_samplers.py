from __future__ import annotations

import numpy as np
import pytest
import torch

import jetlab
from jetlab.errors import JetLabError
from jetlab.models.tokens import Prompt
from jetlab.samplers import generate, sample_tokens, stream

from .toys import toy_omnijet


def prompt(n: int) -> Prompt:
    label = torch.arange(n) % 10
    return Prompt(label, torch.full((n,), 600.0), torch.full((n,), 60.0), torch.full((n,), 8))


def test_same_seed_same_jets_and_another_seed_others() -> None:
    model = toy_omnijet()
    one, same, other = (generate(model, 20, seed=s, progress=False) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.flat("pt"), same.flat("pt"))
    assert one.offsets[-1] != other.offsets[-1] or not np.array_equal(one.flat("pt"), other.flat("pt"))


def test_numbers_are_shared_among_the_classes() -> None:
    jets = generate(toy_omnijet(), 25, classes=["QCD", "Tbqq"], progress=False)
    assert len(jets) == 25
    assert jets.class_counts() == {"QCD": 13, "Tbqq": 12}
    assert (np.diff(jets.label) >= 0).all()
    assert jets.meta["source"] == "generated"
    assert generate(toy_omnijet(), 3, progress=False).class_counts() == {"QCD": 1, "Hbb": 1, "Hcc": 1}


def test_every_jet_has_a_constituent_and_none_too_many() -> None:
    model = toy_omnijet()
    jets = generate(model, 60, temperature=1.5, progress=False)
    assert jets.multiplicity.min() >= 1
    assert jets.multiplicity.max() <= model.config.gpt.max_length - 2


def test_top_1_and_zero_temperature_take_the_most_probable() -> None:
    model = toy_omnijet()
    greedy = sample_tokens(model, prompt(6), temperature=0)
    top = sample_tokens(model, prompt(6), top_k=1, generator=torch.Generator().manual_seed(0))
    cold = sample_tokens(model, prompt(6), temperature=1e-4, generator=torch.Generator().manual_seed(0))
    for a, b, c in zip(greedy, top, cold, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_leaving_the_batch_changes_nothing_for_the_others() -> None:
    model = toy_omnijet()
    together = sample_tokens(model, prompt(9), temperature=0)
    for i in range(9):
        alone = sample_tokens(model, prompt(9)[torch.tensor([i])], temperature=0)[0]
        np.testing.assert_array_equal(together[i], alone)


def test_samples_follow_the_model() -> None:
    """First codes drawn many times have the probabilities that the model gives."""
    model, n = toy_omnijet(), 4000
    asked = prompt(1)[torch.zeros(n, dtype=torch.int64)]
    drawn = sample_tokens(model, asked, generator=torch.Generator().manual_seed(0))
    first = np.bincount([codes[0] for codes in drawn], minlength=16) / n
    with torch.no_grad():
        logits = model.step(torch.tensor([model.vocabulary.start]), model.begin(asked[:1]))
    expected = logits[0, : model.vocabulary.codes].softmax(-1).numpy()
    assert np.abs(first - expected).max() < 5 * np.sqrt(expected.max() / n)


def test_stream_gives_batches_and_stops_when_asked() -> None:
    model, asked = toy_omnijet(), []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 60

    batches = list(stream(model, 300, batch_size=10, stop=stop))
    assert 1 <= len(batches) < 30
    assert all(len(b) == 10 for b in batches)
    with pytest.raises(JetLabError, match="stopped before the first batch"):
        generate(model, 10, progress=False, stop=lambda: True)


def test_progress_is_reported_in_jets() -> None:
    seen: list[tuple[int, int]] = []
    generate(toy_omnijet(), 25, batch_size=10, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(10, 25), (20, 25), (25, 25)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n is 0"),
        ({"classes": ["Hzz"]}, "cannot generate Hzz; it knows QCD"),
        ({"classes": []}, "no class"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"top_k": 0}, "top_k is 0"),
    ],
)
def test_senseless_requests_say_what_is_expected(options: dict, message: str) -> None:
    with pytest.raises(JetLabError, match=message):
        generate(toy_omnijet(), **{"n": 5, "progress": False, **options})


def test_other_models_are_refused() -> None:
    with pytest.raises(JetLabError, match="found Linear"):
        jetlab.generate(torch.nn.Linear(1, 1), 5)


def test_global_random_numbers_are_left_alone() -> None:
    before = torch.get_rng_state()
    generate(toy_omnijet(), 5, progress=False)
    assert torch.equal(before, torch.get_rng_state())
