from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from distilrank.benchmark.operations import multiply_adds
from tests.bilstms import tiny_bilstm
from tests.tiny import tiny_model

BERT = {"model_type": "bert", "hidden_size": 2, "intermediate_size": 3, "num_hidden_layers": 1, "id2label": {"0": "a"}}
BILSTM = {
    "model_type": "distilrank_bilstm",
    "channels": 2,
    "embedding_size": 3,
    "hidden_size": 5,
    "fully_connected_size": 7,
    "siamese": True,
    "id2label": {"0": "a"},
}


def found(config: dict[str, Any], *tokens: int, **options: bool) -> list[float]:
    counts = multiply_adds(config, tokens, **options)
    assert counts is not None
    return [float(count) for count in counts]


def test_bert_by_hand() -> None:
    # 5 tokens: four products of 2 x 2, two of 2 x 3, and twice 5 x 5 pairs of tokens over 2 channels; then the head.
    layer = 5 * 4 * 4 + 5 * 2 * 6 + 2 * 5 * 5 * 2
    assert found(BERT, 5) == [layer + 4 + 2]
    assert found({**BERT, "num_hidden_layers": 3}, 5) == [3 * layer + 4 + 2]
    # For one token: keys and values of all five, query and output of one, the feed-forward of one, its scores of five.
    last = 5 * 2 * 4 + 2 * 4 + 2 * 6 + 2 * 5 * 2
    assert found({**BERT, "num_hidden_layers": 3}, 5, last_layer_for_one=True) == [2 * layer + last + 4 + 2]


def test_bert_as_torch_counts_it() -> None:
    model = tiny_model(layers=3, num_labels=2)
    model.set_attn_implementation("eager")
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        model(input_ids=torch.full((1, 17), 20), attention_mask=torch.ones(1, 17, dtype=torch.long))
    # A multiplication and an addition are two operations there.
    assert found(model.config.to_dict(), 17) == [counter.get_total_flops() / 2]


def test_for_one_token_it_makes_no_difference_which_layer_is_short() -> None:
    assert found(BERT, 1, last_layer_for_one=True) == found(BERT, 1)


def test_bilstm_by_hand() -> None:
    # Four gates of five units, both ways, over six numbers of a word and five of the state; then 40 features to 7 to 1.
    assert found(BILSTM, 9) == [9 * 2 * 4 * 5 * (6 + 5) + 40 * 7 + 7]
    assert found({**BILSTM, "siamese": False}, 9) == [9 * 2 * 4 * 5 * (6 + 5) + 10 * 7 + 7]


@pytest.mark.parametrize("siamese", [True, False])
def test_bilstm_by_its_weights(siamese: bool) -> None:
    model = tiny_bilstm(siamese=siamese)
    gates = sum(weight.numel() for name, weight in model.lstm.named_parameters() if name.startswith("weight"))
    head = model.fully_connected.weight.numel() + model.output.weight.numel()
    assert found(model.config.to_dict(), 11) == [11 * gates + head]


def test_pairs_have_their_own_and_unknown_networks_none() -> None:
    assert found(BERT, 3, 8) == found(BERT, 3) + found(BERT, 8)
    assert np.all(np.diff(found(BERT, 1, 2, 3, 4), n=2) == 2 * 2 * 2)  # the square of the length, twice two channels
    assert multiply_adds({**BERT, "model_type": "deberta"}, [3]) is None
