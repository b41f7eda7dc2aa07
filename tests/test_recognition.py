from __future__ import annotations

import numpy as np
import pytest

from jetlab.errors import InvalidJetsError
from jetlab.evaluate import auc
from jetlab.models.deepsets import DeepSetsConfig
from jetlab.models.tagger import Tagger, TaggerConfig
from jetlab.tasks import classify
from jetlab.tasks.recognition import recognition
from jetlab.vocabulary import CLASSES

from .toys import identified_jets, toy_jetflow, toy_jets


def test_figures_are_those_of_the_probabilities() -> None:
    model, jets = toy_jetflow(), identified_jets(60)
    found = recognition(model, jets, progress=False)
    probabilities = classify(model, jets, progress=False).to_numpy()
    assert found.accuracy == np.mean(probabilities.argmax(1) == jets.label)
    areas = [auc(probabilities[jets.label == k, k], probabilities[jets.label != k, k])[0] for k in range(len(CLASSES))]
    assert found.auc[0] == pytest.approx(np.mean(areas))
    assert 0 < found.auc[1] < 0.2
    text = found.report("jetlab models measure toy")
    assert "60 jets are taken for what they are" in text
    assert "| t→bqq′ | 6 |" in text
    assert text.count("\n|") == 2 + len(CLASSES)


def test_jets_of_other_classes_are_left_out() -> None:
    tagger = Tagger(TaggerConfig(DeepSetsConfig.preset("tiny"), classes=("Tbqq", "Wqq")))
    found = recognition(tagger, toy_jets(60), progress=False)
    assert found.background == "Tbqq"
    assert found.classes["jets"].tolist() == [6, 6]


def test_jets_of_no_known_class_are_refused() -> None:
    tagger = Tagger(TaggerConfig(DeepSetsConfig.preset("tiny"), classes=("gluon", "quark")))
    with pytest.raises(InvalidJetsError, match="gluon"):
        recognition(tagger, toy_jets(20), progress=False)
