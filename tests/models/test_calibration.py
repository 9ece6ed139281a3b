from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from distilrank.errors import ModelError
from distilrank.models.calibration import fold_into_head
from distilrank.models.cosine import BertForCosineRanking, CosineRankingConfig
from distilrank.models.relu_head import use_relu_head
from distilrank.models.scorer import TorchScorer
from tests.tiny import tiny_config, tiny_model, tiny_pairs, tiny_tokenizer


def cosine() -> PreTrainedModel:
    config = tiny_config().to_dict()
    config.pop("model_type")
    return BertForCosineRanking(CosineRankingConfig(**config)).eval()


def with_relu() -> PreTrainedModel:
    model = tiny_model()
    use_relu_head(model)
    return model


@pytest.mark.parametrize(
    "make",
    [tiny_model, cosine, with_relu, lambda: tiny_model("roberta"), lambda: tiny_model("electra")],
    ids=["classic", "cosine", "relu", "roberta", "electra"],
)
def test_the_head_takes_scale_and_offset_in(make: object) -> None:
    model, pairs = make(), tiny_pairs(8)  # type: ignore[operator]
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # they are zero at first, of which any multiple is zero too
            torch.nn.init.constant_(parameter, 0.7)
    scorer = TorchScorer(model, tiny_tokenizer())
    before = scorer.score(pairs)
    fold_into_head(model, 2.5, -0.75)
    np.testing.assert_allclose(scorer.score(pairs), 2.5 * before - 0.75, atol=1e-4)


def test_other_heads_are_refused() -> None:
    with pytest.raises(ModelError, match="cannot be calibrated in place"):
        fold_into_head(tiny_model(num_labels=2), 2.0, 1.0)
