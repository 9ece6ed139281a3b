from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedModel

from distilrank.errors import ModelError
from distilrank.models.load import load_model, stored_label_names, stored_logits
from distilrank.models.relu_head import use_relu_head
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.models.two_logits import fold_two_logits, load_ranker
from tests.tiny import VOCABULARY, tiny_model, tiny_pairs, tiny_tokenizer

PAIRS = tiny_pairs(12)


def distilbert() -> PreTrainedModel:
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=len(VOCABULARY), dim=16, n_layers=2, n_heads=4, hidden_dim=32, num_labels=2)
    config.initializer_range = 0.3
    return DistilBertForSequenceClassification(config).eval()


def relu() -> PreTrainedModel:
    model = tiny_model(num_labels=2)
    use_relu_head(model)
    return model


FAMILIES = {
    "bert": lambda: tiny_model(num_labels=2),
    "relu": relu,
    "electra": lambda: tiny_model("electra", num_labels=2),
    "distilbert": distilbert,
}


def logits(model: PreTrainedModel) -> np.ndarray:
    return TorchScorer(model, tiny_tokenizer()).logits(*zip(*PAIRS, strict=True))


@pytest.mark.parametrize("relevant", [1, 0])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_one_logit_is_the_difference_of_the_two(family: str, relevant: int) -> None:
    model = FAMILIES[family]()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith((".out_proj.bias", "classifier.bias")) and len(parameter) == 2:
                parameter.copy_(torch.tensor([0.3, -0.7]))
    both = logits(model)
    fold_two_logits(model, relevant=relevant)
    scores = TorchScorer(model, tiny_tokenizer()).score(PAIRS)
    np.testing.assert_allclose(scores, both[:, relevant] - both[:, 1 - relevant], atol=1e-6, rtol=0)
    assert np.ptp(scores) > 0.01
    assert stored_label_names(model.config) == ["LABEL_0"]


def test_roberta_has_two_layers_in_its_head() -> None:
    model = tiny_model("roberta", num_labels=2)
    ids = torch.arange(5, 17).reshape(2, 6)
    both = model(ids).logits
    fold_two_logits(model)
    torch.testing.assert_close(model(ids).logits[:, 0], both[:, 1] - both[:, 0], atol=1e-6, rtol=0)


def test_it_is_saved_as_a_ranker_and_loads_with_its_scores(tmp_path: Path) -> None:
    model = tiny_model(num_labels=2)
    model.config.problem_type = "single_label_classification"
    fold_two_logits(model)
    save_model(model, tiny_tokenizer(), tmp_path / "ranker")
    loaded, _ = load_model(tmp_path / "ranker")
    np.testing.assert_array_equal(logits(loaded), logits(model))
    assert loaded.config.num_labels == 1
    assert loaded.config.problem_type is None


def test_a_ranker_is_loaded_with_its_two_logits_folded(tmp_path: Path) -> None:
    for labels in (1, 2, 3):
        save_model(tiny_model(num_labels=labels), tiny_tokenizer(), tmp_path / str(labels))
        assert stored_logits(tmp_path / str(labels)) == labels
    both = logits(tiny_model(num_labels=2))
    np.testing.assert_allclose(logits(load_ranker(tmp_path / "2")[0])[:, 0], both[:, 1] - both[:, 0], atol=1e-6)
    np.testing.assert_array_equal(logits(load_ranker(tmp_path / "1")[0]), logits(tiny_model()))
    # Three logits are no ranker's: the head is new and follows the seed. The cosine head is new too.
    first, second = (load_ranker(tmp_path / "3", seed=seed)[0] for seed in (1, 2))
    assert not torch.equal(first.classifier.weight, second.classifier.weight)
    assert type(load_ranker(tmp_path / "2", head="cosine")[0]).__name__ == "BertForCosineRanking"
    save_model(tiny_model().bert, tiny_tokenizer(), tmp_path / "bare")
    assert stored_logits(tmp_path / "bare") is None
    assert load_ranker(tmp_path / "bare")[0].config.num_labels == 1


def test_other_heads_are_refused() -> None:
    with pytest.raises(ModelError, match="this model has 3"):
        fold_two_logits(tiny_model(num_labels=3))
    model = tiny_model(num_labels=2)
    model.classifier = torch.nn.Sequential(model.classifier)
    with pytest.raises(ModelError, match="does not end in a linear classifier"):
        fold_two_logits(model)
