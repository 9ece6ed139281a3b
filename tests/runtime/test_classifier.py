from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from distilrank.errors import ModelError
from distilrank.export.onnx import export_onnx
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.runtime.classifier import Classifier, sigmoid
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier of three classes, saved and exported."""
    folder = tmp_path_factory.mktemp("models") / "classifier"
    model = tiny_model(num_labels=3)
    model.config.id2label = {0: "no", 1: "maybe", 2: "yes"}
    model.config.label2id = {"no": 0, "maybe": 1, "yes": 2}
    save_model(model, tiny_tokenizer(), folder)
    export_onnx(model, tiny_tokenizer(), folder)
    return folder


def test_it_answers_as_torch_does_for_texts_and_pairs_in_any_order(folder: Path) -> None:
    classifier = Classifier.load(folder, threads=1, batch_tokens=100)
    assert (classifier.labels, classifier.kind) == (("no", "maybe", "yes"), "classes")
    torch_scorer = TorchScorer(tiny_model(num_labels=3), tiny_tokenizer())
    pairs = tiny_pairs(12)
    mixed = [(first, second if place % 3 else None) for place, (first, second) in enumerate(pairs)]
    logits = classifier.score(mixed)
    assert logits.shape == (12, 3)
    for place, (first, second) in enumerate(mixed):
        expected = torch_scorer.logits([first], None if second is None else [second])[0]
        np.testing.assert_allclose(logits[place], expected, atol=1e-4)
    assert classifier.score([]).shape == (0, 3)


def with_config(folder: Path, target: Path, **changes: object) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **changes}))
    return target


def test_what_logits_mean_is_in_the_configuration(folder: Path, tmp_path: Path) -> None:
    logits = np.array([[2.0, 0.0, -1.0], [1000.0, 0.0, 999.0]], np.float32)
    classes = Classifier.load(folder).probabilities(logits)
    np.testing.assert_allclose(classes[0], np.exp([2, 0, -1]) / np.exp([2, 0, -1]).sum())
    np.testing.assert_allclose(classes[1], [1 / (1 + np.exp(-1)), 0, 1 / (1 + np.exp(1))], atol=1e-12)
    labels = Classifier.load(with_config(folder, tmp_path / "labels", problem_type="multi_label_classification"))
    np.testing.assert_allclose(labels.probabilities(logits)[0], 1 / (1 + np.exp([-2, 0, 1])))
    numbers = Classifier.load(with_config(folder, tmp_path / "numbers", problem_type="regression"))
    np.testing.assert_array_equal(numbers.probabilities(logits), logits)


def test_sigmoids_of_far_numbers() -> None:
    found = sigmoid(np.array([-1000.0, -30.0, 0.0, 30.0, 1000.0], np.float32))
    assert found.dtype == np.float64
    assert found[[0, 2, 4]].tolist() == [0.0, 0.5, 1.0]
    assert found[3] < 1.0
    assert found[1] == pytest.approx(9.36e-14, rel=1e-3)


def test_folders_that_cannot_classify_say_why(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("onnx"))
    with pytest.raises(ModelError, match=r"run: distilrank export .*bare"):
        Classifier.load(bare)
    with pytest.raises(ModelError, match=r"has 3 logits, but config\.json names 2 labels"):
        Classifier.load(with_config(folder, tmp_path / "two", id2label={"0": "a", "1": "b"}))
    for place, names in enumerate((None, {"first": "a"}, ["a"])):
        with pytest.raises(ModelError, match="names no labels"):
            Classifier.load(with_config(folder, tmp_path / f"none{place}", id2label=names))
    broken = with_config(folder, tmp_path / "broken")
    (broken / "onnx" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Classifier.load(broken)
