from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.benchmark.size import count_weights, megabytes
from distilrank.errors import ModelError
from distilrank.models.facts import count_parameters
from distilrank.models.save import save_model
from tests.bilstms import saved_bilstm, tiny_bilstm
from tests.tiny import tiny_model, tiny_tokenizer


@pytest.mark.parametrize("model_type", ["bert", "electra", "roberta", "distilbert"])
def test_as_many_as_torch_counts(model_type: str, tmp_path: Path) -> None:
    model = tiny_model(model_type)
    save_model(model, tiny_tokenizer(), tmp_path)
    found, expected = count_weights(tmp_path), count_parameters(model)
    assert found is not None
    assert (found.total, found.embeddings) == (expected.total, expected.embeddings)
    assert 0 < found.embeddings < found.total


def test_of_a_bilstm(tmp_path: Path) -> None:
    found, expected = count_weights(saved_bilstm(tmp_path / "bilstm")), count_parameters(tiny_bilstm())
    assert found is not None
    assert (found.total, found.embeddings) == (expected.total, expected.embeddings)


def test_nothing_there(tmp_path: Path) -> None:
    assert count_weights(tmp_path) is None


@pytest.mark.parametrize(
    "content", [b"", b"\x05\x00\x00\x00\x00\x00\x00\x00{...}", b"\xff" * 40, b"\x02" + b"\0" * 7 + b"[]"]
)
def test_no_safetensors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors is no safetensors file"):
        count_weights(tmp_path)


def test_megabytes_are_millions(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(bytes(1_500_000))
    assert megabytes([tmp_path / "a", tmp_path / "b"]) == 3.0
