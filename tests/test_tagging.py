"""Classifying jets, measuring taggers, and the confusion matrix as a figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from jetlab import evaluate, plots
from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.evaluate.tagging import binomial_error
from jetlab.models.particlenet import ParticleNetConfig
from jetlab.models.tagger import Tagger, TaggerConfig
from jetlab.tasks import classify, remembered_inputs
from jetlab.vocabulary import CLASSES

from .toys import toy_jets


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tagger(TaggerConfig(ParticleNetConfig.preset("tiny"), hidden=(8,))).eval()


def toy_probabilities(n: int = 400, *, classes: int = 3, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Probabilities that favour the true class, and the labels."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, n)
    strength = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[label]
    values = np.exp(strength) / np.exp(strength).sum(1, keepdims=True)
    return pd.DataFrame(values, columns=CLASSES[:classes]), label


# ---- classifying ----------------------------------------------------------------------------------------------------


def test_probabilities_are_those_of_the_network_in_the_order_of_the_jets(tagger: Tagger) -> None:
    jets, seen = toy_jets(50), []
    table = classify(tagger, jets, batch_size=8, progress=lambda done, total: seen.append((done, total)))
    assert list(table.columns) == list(CLASSES)
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    with torch.no_grad():
        expected = tagger(ParticleSet(jets, tagger.recipe).batch(np.arange(50))).softmax(1)
    np.testing.assert_allclose(table, expected, rtol=1e-4, atol=1e-6)
    assert seen == [(8, 50), (16, 50), (24, 50), (32, 50), (40, 50), (48, 50), (50, 50)]


def test_classifying_leaves_the_state_of_learning_alone(tagger: Tagger) -> None:
    learning = Tagger(tagger.config).train()
    before = {name: values.clone() for name, values in learning.state_dict().items()}
    classify(learning, toy_jets(9), progress=False)
    assert learning.training
    assert all(torch.equal(values, before[name]) for name, values in learning.state_dict().items())


def test_classifying_can_be_stopped(tagger: Tagger) -> None:
    answers = iter([False, True])
    table = classify(tagger, toy_jets(20), batch_size=5, progress=False, stop=lambda: next(answers))
    assert table.notna().all(axis=1).sum() == 5
    with pytest.raises(InvalidJetsError, match="15 jets have no probabilities"):
        evaluate.confusion_matrix(table, np.zeros(20, int))


def test_a_norm_that_has_seen_these_jets_remembers_them(tagger: Tagger) -> None:
    jets = toy_jets(300)
    data = ParticleSet(jets, tagger.recipe)
    padded = torch.zeros(300, 128, tagger.recipe.width)
    batch = data.batch(np.arange(300))
    padded[:, : batch.x.shape[1]] = batch.x
    taught = Tagger(tagger.config)
    taught.backbone.norm.running_mean = padded.mean((0, 1))
    taught.backbone.norm.running_var = padded.var((0, 1), correction=0)
    table = remembered_inputs(taught, jets)
    assert list(table.index) == ["pt", "energy", "ptrel", "energyrel", "distance", "deta_outward", "dphi"]
    np.testing.assert_allclose(table["training"], table["jets"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(table["training_squares"], table["jets_squares"], rtol=1e-4)
    other = remembered_inputs(taught, toy_jets(300, seed=1))
    assert (np.abs(other["jets"] - table["jets"]) < 5 * np.hypot(other["jets_err"], table["jets_err"])).all()


def test_what_cannot_be_classified_is_refused(tagger: Tagger) -> None:
    with pytest.raises(InvalidJetsError, match="no jets to classify"):
        classify(tagger, toy_jets(5)[:0])
    with pytest.raises(JetLabError, match="expected a Tagger or a JetFlow, found a Linear"):
        classify(torch.nn.Linear(2, 2), toy_jets(5))
    with pytest.raises(JetLabError, match="batch_size is 0"):
        classify(tagger, toy_jets(5), batch_size=0)


# ---- measures -------------------------------------------------------------------------------------------------------


def test_confusion_matrix_counts() -> None:
    probabilities = pd.DataFrame([[0.7, 0.3], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9]], columns=["QCD", "Hbb"])
    confusion = evaluate.confusion_matrix(probabilities, [0, 0, 1, 1])
    assert confusion.counts.to_numpy().tolist() == [[1, 1], [0, 2]]
    assert confusion.counts.loc["QCD", "Hbb"] == 1
    assert (confusion.counts.index.name, confusion.counts.columns.name) == ("true", "predicted")
    assert confusion.rates.to_numpy().tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert confusion.accuracy[0] == 0.75


def test_a_class_without_jets_has_no_rates() -> None:
    probabilities, label = toy_probabilities()
    confusion = evaluate.confusion_matrix(probabilities, np.minimum(label, 1))
    assert confusion.rates.iloc[2].isna().all()
    assert confusion.errors.iloc[2].isna().all()
    assert confusion.errors.iloc[:2].gt(0).all(axis=None)
    assert np.isfinite(confusion.accuracy).all()


def test_binomial_uncertainties_are_those_of_repeated_experiments() -> None:
    rng = np.random.default_rng(0)
    spread = (rng.binomial(500, 0.3, 20_000) / 500).std()
    assert binomial_error(np.array(150), np.array(500)) == pytest.approx(spread, rel=0.02)
    assert 0 < binomial_error(np.array(0), np.array(500)) < 1 / 500
    assert np.isnan(binomial_error(np.array(0), np.array(0)))


def test_measures_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    probabilities, label = toy_probabilities()
    predicted = probabilities.to_numpy().argmax(axis=1)
    confusion = evaluate.confusion_matrix(probabilities, label)
    np.testing.assert_array_equal(confusion.counts, metrics.confusion_matrix(label, predicted))
    np.testing.assert_allclose(confusion.rates, metrics.confusion_matrix(label, predicted, normalize="true"))
    assert confusion.accuracy[0] == pytest.approx(metrics.accuracy_score(label, predicted))
    table = evaluate.tagging_table(probabilities, label)
    for k, name in enumerate(probabilities):
        assert table.loc[name, "auc"] == pytest.approx(metrics.roc_auc_score(label == k, probabilities[name]))


def test_area_counts_pairs_and_its_error_is_that_of_repeated_experiments() -> None:
    assert evaluate.auc(np.array([2.0, 1.0]), np.array([1.0, 0.0]))[0] == 0.875
    rng = np.random.default_rng(0)
    areas, errors = zip(*(evaluate.auc(rng.normal(1.2, 1, 80), rng.normal(0, 1, 120)) for _ in range(400)), strict=True)
    assert np.std(areas) == pytest.approx(np.mean(errors), rel=0.15)
    assert np.isnan(evaluate.auc(np.array([]), np.array([1.0]))).all()


def test_rejection_counts_the_background_beyond_the_cut() -> None:
    signal, background = np.arange(100.0), np.arange(-900.0, 100.0)
    value, error = evaluate.rejection(signal, background, efficiency=0.5)
    assert value == 1000 / 50
    assert error == pytest.approx(value / np.sqrt(50))
    assert evaluate.rejection(signal, background - 200, efficiency=0.5) == (1000, np.inf)
    assert evaluate.rejection(signal, background, efficiency=0.99)[0] == 1000 / 99
    assert np.isnan(evaluate.rejection(signal[:0], background, efficiency=0.5)).all()


def test_tagging_table_has_a_row_a_class() -> None:
    probabilities, label = toy_probabilities()
    table = evaluate.tagging_table(probabilities, label, efficiencies={"Hcc": 0.9})
    assert list(table.index) == ["QCD", "Hbb", "Hcc"]
    assert table["jets"].sum() == len(label)
    assert table.loc["QCD", "rejection":].isna().all()
    assert list(table["working_point"])[1:] == [0.5, 0.9]
    assert table["auc_background"].iloc[1:].between(0.8, 1).all()
    score = probabilities["Hbb"] / (probabilities["Hbb"] + probabilities["QCD"])
    expected = evaluate.rejection(score[label == 1].to_numpy(), score[label == 0].to_numpy(), efficiency=0.5)
    assert tuple(table.loc["Hbb", ["rejection", "rejection_err"]]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([0, 1], "labels of shape"),
        ([[0, 1, 2]], "labels of shape"),
        ([0, 1, 3], "run from 0 to 3, expected whole numbers from 0 to 2"),
        ([0, -1, 1], "run from -1"),
        ([0.0, 1.0, 2.0], "expected whole numbers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(label: list, message: str) -> None:
    probabilities, _ = toy_probabilities(3)
    with pytest.raises(InvalidJetsError, match=message):
        evaluate.confusion_matrix(probabilities, label)


def test_an_unknown_background_is_refused() -> None:
    probabilities, label = toy_probabilities()
    with pytest.raises(InvalidJetsError, match="background 'Tbl' is none of the classes QCD, Hbb, Hcc"):
        evaluate.tagging_table(probabilities, label, background="Tbl")


# ---- the figure -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_confusion_figure_names_classes_and_writes_per_cent(theme: str) -> None:
    probabilities, label = toy_probabilities()
    confusion = evaluate.confusion_matrix(probabilities, label)
    text = plots.as_svg(plots.confusion_matrix(confusion, theme=theme))
    for word in ("H→bb̄", "q/g", "true class", "taken for", "share of the true class [%]"):
        assert word in text
    for rate in np.diag(confusion.rates):
        assert f">{100 * rate:.0f}<" in text
    assert f"{100 * confusion.accuracy[0]:.1f} ±" in text


def test_confusion_figure_leaves_out_classes_without_jets() -> None:
    probabilities, label = toy_probabilities()
    confusion = evaluate.confusion_matrix(probabilities, np.minimum(label, 1))
    axes = plots.confusion_matrix(confusion, title="two").axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["q/g", "H→bb̄"]
    assert axes.get_title(loc="left") == "two"
