from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.models.facts import count_parameters, weight_megabytes
from distilrank.models.save import save_model
from tests.tiny import VOCABULARY, tiny_model, tiny_tokenizer


def test_parameters_by_hand() -> None:
    embeddings = (len(VOCABULARY) + 64 + 2) * 16 + 2 * 16
    attention = 4 * (16 * 16 + 16) + 2 * 16
    feed_forward = (16 * 32 + 32) + (32 * 16 + 16) + 2 * 16
    pooler_and_head = (16 * 16 + 16) + (16 + 1)
    found = count_parameters(tiny_model(layers=2))
    assert found.embeddings == embeddings
    assert found.total == embeddings + 2 * (attention + feed_forward) + pooler_and_head


def test_megabytes_are_those_of_the_weights(tmp_path: Path) -> None:
    save_model(tiny_model(), tiny_tokenizer(), tmp_path / "saved")
    weights = count_parameters(tiny_model()).total * 4 / 1e6
    assert weight_megabytes(tmp_path / "saved") == pytest.approx(weights, rel=0.3)
    assert weight_megabytes(tmp_path) == 0.0
