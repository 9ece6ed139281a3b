from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from distilrank.data import tokens
from distilrank.data.tokens import Encoded, PairTokenizer, token_batches
from distilrank.errors import InputError, ModelError, SettingsError
from tests.tiny import VOCABULARY, tiny_pairs, tiny_tokenizer


def words(encoded: Encoded) -> list[str]:
    return [VOCABULARY[i] for i in encoded.input_ids]


def test_pairs_have_berts_template_and_segments() -> None:
    (encoded,) = tiny_tokenizer().encode(["red dog"], ["the cat"])
    assert words(encoded) == ["[CLS]", "red", "dog", "[SEP]", "the", "cat", "[SEP]"]
    assert encoded.token_type_ids == [0, 0, 0, 0, 1, 1, 1]


def test_single_texts_have_one_segment() -> None:
    encoded = tiny_tokenizer().encode(["red dog", ""])
    assert words(encoded[0]) == ["[CLS]", "red", "dog", "[SEP]"]
    assert words(encoded[1]) == ["[CLS]", "[SEP]"]
    assert encoded[0].token_type_ids == [0, 0, 0, 0]


def test_the_longer_text_is_cut_first() -> None:
    (encoded,) = tiny_tokenizer(max_tokens=10).encode(["red dog blue"], [" ".join(["cat"] * 20)])
    assert words(encoded) == ["[CLS]", "red", "dog", "blue", "[SEP]", "cat", "cat", "cat", "cat", "[SEP]"]
    (encoded,) = tiny_tokenizer(max_tokens=10).encode([" ".join(["cat"] * 20)], ["red dog blue"])
    assert words(encoded) == ["[CLS]", "cat", "cat", "cat", "cat", "[SEP]", "red", "dog", "blue", "[SEP]"]


def test_truncation_and_padding_stored_in_the_tokenizer_are_ignored(tmp_path: Path) -> None:
    tiny_tokenizer().save(tmp_path)
    described = json.loads((tmp_path / "tokenizer.json").read_text())
    described["truncation"] = {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    described["padding"] = {
        "strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "[PAD]",
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(described))
    (encoded,) = PairTokenizer.from_folder(tmp_path).encode(["red dog blue cat"], ["the cat is fast and old"])
    assert len(encoded) == 13


def test_encoding_equals_transformers(tmp_path: Path) -> None:
    texts, pairs = zip(*tiny_pairs(40), strict=True)
    for lowercase in (True, False):
        ours = tiny_tokenizer(lowercase=lowercase)
        ours.save(tmp_path)
        theirs = AutoTokenizer.from_pretrained(tmp_path)
        assert theirs.model_max_length == 48
        queries = [text.title() for text in texts]
        expected = theirs(queries, list(pairs), truncation="longest_first", padding=True, return_tensors="np")
        arrays = ours.pad(ours.encode(queries, pairs))
        np.testing.assert_array_equal(arrays.input_ids, expected["input_ids"])
        np.testing.assert_array_equal(arrays.attention_mask, expected["attention_mask"])
        np.testing.assert_array_equal(arrays.token_type_ids, expected["token_type_ids"])


def test_saved_files_are_the_ones_light_runtimes_need(tmp_path: Path) -> None:
    tiny_tokenizer(max_tokens=40).save(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_max_length"] == 40
    assert json.loads((tmp_path / "special_tokens_map.json").read_text()) == {
        "cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]",
    }  # fmt: skip
    assert (tmp_path / "vocab.txt").read_text().split("\n") == [*VOCABULARY, ""]
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"] is None


def test_saving_and_reading_again_changes_nothing(tmp_path: Path) -> None:
    tiny_tokenizer(max_tokens=21).save(tmp_path / "a")
    again = PairTokenizer.from_folder(tmp_path / "a")
    assert again.max_tokens == 21
    again.save(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_config_keeps_what_it_knows_but_not_where_it_was(tmp_path: Path) -> None:
    tiny_tokenizer().save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config |= {"name_or_path": "/somewhere/else", "sep_token": {"content": "[SEP]"}, "do_basic_tokenize": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    PairTokenizer.from_folder(tmp_path).save(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())
    assert "name_or_path" not in saved
    assert saved["sep_token"] == "[SEP]"
    assert saved["do_basic_tokenize"] is True


@pytest.mark.parametrize("stored", [1e30, None])
def test_no_limit_in_the_folder_means_512(tmp_path: Path, stored: float | None) -> None:
    tiny_tokenizer().save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": stored}))
    assert PairTokenizer.from_folder(tmp_path).max_tokens == 512
    assert PairTokenizer.from_folder(tmp_path, max_tokens=30).max_tokens == 30


def test_padding_by_hand() -> None:
    tokenizer = tiny_tokenizer()
    arrays = tokenizer.pad([Encoded([2, 7, 3], [0, 0, 1]), Encoded([2, 3], [0, 1])], length=4)
    assert arrays.input_ids.tolist() == [[2, 7, 3, 0], [2, 3, 0, 0]]
    assert arrays.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert arrays.token_type_ids.tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    assert arrays.input_ids.dtype == np.int64
    assert tokenizer.pad([Encoded([2, 3], [0, 0])]).input_ids.shape == (1, 2)


def test_padding_to_a_multiple_stays_within_the_limit() -> None:
    tokenizer = tiny_tokenizer().with_max_tokens(12)

    def padded(length: int) -> int:
        return tokenizer.pad([Encoded([2] * length, [0] * length)], multiple=8).input_ids.shape[1]

    assert [padded(length) for length in (1, 8, 9, 12, 20)] == [8, 8, 12, 12, 20]


def test_the_padding_id_is_the_tokenizers_own(tmp_path: Path) -> None:
    tiny_tokenizer().save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text()) | {"pad_token": "[MASK]"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = PairTokenizer.from_folder(tmp_path)
    assert tokenizer.pad_id == 4
    assert tokenizer.pad([Encoded([2, 3], [0, 0])], length=3).input_ids.tolist() == [[2, 3, 4]]


def test_refusals(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    with pytest.raises(ValueError, match=r"2 texts but 1 second"):
        tokenizer.encode(["a", "b"], ["c"])
    with pytest.raises(ValueError, match=r"pad to 2 .* has 3"):
        tokenizer.pad([Encoded([2, 7, 3], [0, 0, 0])], length=2)
    with pytest.raises(ValueError, match="empty batch"):
        tokenizer.pad([])
    with pytest.raises(SettingsError, match="max_tokens is 3"):
        tokenizer.with_max_tokens(3)
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        PairTokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as a tokenizer"):
        PairTokenizer.from_folder(tmp_path)
    tokenizer.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[1")
    with pytest.raises(InputError, match="not valid JSON"):
        PairTokenizer.from_folder(tmp_path)


def test_batches_by_hand() -> None:
    assert token_batches([3, 9, 3, 10, 1], max_batch_tokens=10) == [[3], [1], [0, 2, 4]]
    assert token_batches([3, 9, 3, 10, 1], max_batch_tokens=20) == [[3, 1], [0, 2, 4]]
    assert token_batches([3, 9, 3, 10, 1], max_batch_tokens=10, max_batch=2) == [[3], [1], [0, 2], [4]]
    assert token_batches([50], max_batch_tokens=10) == [[0]]
    assert token_batches([3, 5, 3, 4, 1], max_batch_tokens=16, multiple=4) == [[1, 3], [0, 2, 4]]
    assert token_batches([], max_batch_tokens=10) == []
    with pytest.raises(ValueError, match="0 tokens"):
        token_batches([1], max_batch_tokens=0)


@given(st.lists(st.integers(1, 60)), st.integers(1, 200), st.none() | st.integers(1, 5))
def test_batches_hold_everything_once_within_the_limits(lengths: list[int], limit: int, most: int | None) -> None:
    batches = token_batches(lengths, max_batch_tokens=limit, max_batch=most)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= limit
        assert most is None or len(batch) <= most


def test_batches_of_texts_cover_every_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "TEXTS_AT_ONCE", 7)
    tokenizer = tiny_tokenizer()
    texts, pairs = zip(*tiny_pairs(17), strict=True)
    encoded = tokenizer.encode(texts, pairs)
    seen = []
    for indices, arrays in tokenizer.batches(texts, pairs, batch_tokens=100):
        assert arrays.input_ids.size <= 100
        for row, index in enumerate(indices):
            length = int(arrays.attention_mask[row].sum())
            assert arrays.input_ids[row, :length].tolist() == encoded[index].input_ids
            seen.append(int(index))
    assert sorted(seen) == list(range(17))
