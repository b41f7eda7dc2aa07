from __future__ import annotations

import numpy as np
import pytest
import torch

import jetlab
from jetlab.errors import JetLabError
from jetlab.models.tokens import Prompt, Vocabulary
from jetlab.samplers import Choice, generate, sample_tokens, stream

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


def test_the_bundled_model_gives_the_jets_that_it_always_gave() -> None:
    """Rounding on another machine may turn a draw or two, and what follows in that jet."""
    jets = generate("omnijet-tiny", 20, seed=3, progress=False)
    multiplicity = [32, 29, 28, 38, 40, 48, 87, 68, 44, 33, 28, 20, 41, 21, 42, 47, 38, 43, 44, 23]
    pt = [583.5, 631.7, 512.0, 542.1, 777.8, 647.5, 574.9, 615.9, 604.4, 512.7]
    pt += [795.1, 538.8, 654.6, 651.2, 582.0, 653.9, 504.8, 584.9, 756.7, 640.2]
    same = (jets.multiplicity == multiplicity) & (np.abs(jets.pt - pt) < 0.1)
    assert same.sum() >= 17


# ---- rules of the choice --------------------------------------------------------------------------------------


def draws(rule: Choice, logits: list[float], n: int = 4000, *, written: int = 5) -> np.ndarray:
    """How often each id is drawn from logits of three codes and stop."""
    drawn = rule.draw(torch.tensor([logits]).repeat(n, 1), written, Vocabulary(3), torch.Generator().manual_seed(0))
    return np.bincount(drawn, minlength=4) / n


def test_draws_have_the_probabilities_of_the_softmax() -> None:
    logits = [0.0, 1.0, -1.0, 0.5]
    for temperature in (1.0, 2.0, 0.5):
        expected = (torch.tensor(logits) / temperature).softmax(0).numpy()
        assert np.abs(draws(Choice(temperature), logits) - expected).max() < 0.03


def test_draws_are_those_of_multinomial() -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    ours = Choice().draw(logits.clone(), 5, Vocabulary(3), torch.Generator().manual_seed(2))
    theirs = torch.multinomial(logits.softmax(-1), 1, generator=torch.Generator().manual_seed(2))[:, 0]
    assert torch.equal(ours, theirs)


def test_top_p_keeps_the_most_probable_tokens_that_reach_it() -> None:
    logits = np.log([0.5, 0.3, 0.15, 0.05]).tolist()
    for top_p, kept in ((0.4, 1), (0.6, 2), (0.81, 3), (1.0, 4)):
        assert (draws(Choice(top_p=top_p), logits) > 0).sum() == kept
    half = draws(Choice(top_p=0.7), logits)
    np.testing.assert_allclose(half[:2], [0.625, 0.375], atol=0.03)


def test_stop_bias_and_bounds_of_length() -> None:
    equal = [0.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(draws(Choice(stop_bias=np.log(3)), equal)[3], 0.5, atol=0.03)
    assert draws(Choice(min_constituents=6), equal)[3] == 0
    assert draws(Choice(min_constituents=5), equal)[3] > 0
    model = toy_omnijet()
    jets = generate(model, 60, min_constituents=4, max_constituents=6, progress=False)
    assert (jets.multiplicity.min(), jets.multiplicity.max()) == (4, 6)
    short, long = (generate(model, 60, stop_bias=b, progress=False).multiplicity.mean() for b in (3.0, -3.0))
    assert short < long


def test_options_that_were_changed_are_remembered() -> None:
    meta = generate(toy_omnijet(), 3, top_p=0.9, multiplicity=7, progress=False).meta
    assert (meta["top_p"], meta["multiplicity"]) == (0.9, 7)
    assert "stop_bias" not in meta


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
        ({"top_p": 0.0}, "top_p is 0.0, expected above 0"),
        ({"stop_bias": float("nan")}, "stop_bias is nan"),
        ({"min_constituents": 0}, "min_constituents is 0"),
        ({"min_constituents": 5, "max_constituents": 4}, "max_constituents is 4, expected at least min_constituents"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"pt": 5000.0}, "pt is 5000.0 GeV, expected"),
        ({"multiplicity": 0}, "multiplicity is 0, expected 1 to 128"),
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
