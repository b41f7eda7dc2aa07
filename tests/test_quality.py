from __future__ import annotations

import numpy as np
import pytest

from jetlab.errors import InvalidJetsError
from jetlab.tasks.quality import generator_quality, peak
from jetlab.zoo.card import with_section

from .toys import toy_jets, toy_omnijet


def test_peak_of_a_gaussian_on_a_tail() -> None:
    rng = np.random.default_rng(0)
    mass = np.concatenate([rng.normal(80.4, 8, 8000), rng.uniform(0, 300, 2000)])
    (position, position_err), (width, width_err) = peak(mass, seed=1)
    assert abs(position - 80.4) < 4 * position_err
    assert position_err < 1
    # half of all jets are 61 % of the Gaussian ones: 2 x 0.86 sigma
    assert abs(width - 2 * 0.86 * 8) < 1
    assert 0 < width_err < 1


def test_peak_of_very_few_jets_is_defined() -> None:
    assert peak(np.array([80.0]))[0][0] == 80


def test_an_untrained_model_is_far_from_its_floor_and_says_so() -> None:
    quality = generator_quality(
        toy_omnijet(), toy_jets(300), observables=("mass", "multiplicity"), seed=1, progress=False
    )
    assert (quality.n_true, quality.n_generated) == (30, 30)
    assert set(quality.distances["class"]) == set(toy_jets(10).classes)
    assert quality.medians()["mass"] > 3
    assert list(quality.peaks.index) == ["Hbb", "Hcc", "Hgg", "H4q", "Zqq", "Wqq", "Tbqq"]
    text = quality.report("jetlab models measure toy")
    assert "30 generated against 30 true jets of each class" in text
    assert f"**{quality.medians()['mass']:.1f}**" in text
    assert "t→bqq′" in text


def test_unlabelled_truth_is_refused() -> None:
    jets = toy_jets(10)
    bare = type(jets).from_flat(jets.offsets, {f: jets.flat(f) for f in jets.fields})
    with pytest.raises(InvalidJetsError, match="no labels"):
        generator_quality(toy_omnijet(), bare)


def test_a_section_of_a_card_is_replaced_and_nothing_else() -> None:
    card = "# Model\n\nWords.\n\n## Quality\n\nold\n\n## Configuration\n\nsettings\n"
    once = with_section(card, "Quality", "new")
    assert once == "# Model\n\nWords.\n\n## Quality\n\nnew\n\n## Configuration\n\nsettings\n"
    assert with_section(once, "Quality", "new") == once
    assert with_section("# Model\n", "Quality", "new") == "# Model\n\n## Quality\n\nnew\n"
