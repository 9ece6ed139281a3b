from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.data.tokens import PairTokenizer
from distilrank.data.word_tokens import MASK, choose_words, split_words, word_tokenizer
from distilrank.errors import InputError, SettingsError

TEXTS = [
    "It's a well-known film, isn\u2019t it?",
    "it 's n't [MASK] the movie .",
    "ÜBER cafe\u0301 3.5 東京 \U0001f600",
    "",
    "  \t\n ",
    "a_b 'quoted' -- ... $5",
]


def test_words_by_hand() -> None:
    assert split_words("Don't go-- [MASK], it 's 3.5!") == "don't go - - [MASK] , it ' s 3 . 5 !".split()
    assert split_words("Don't GO", lowercase=False) == ["Don't", "GO"]
    assert split_words("cafe\u0301") == ["café"]


@pytest.mark.parametrize("lowercase", [True, False])
def test_the_tokeniser_splits_as_the_vocabulary_was_counted(lowercase: bool) -> None:
    every = sorted({word for text in TEXTS for word in split_words(text, lowercase=lowercase)} - {MASK})
    tokenizer = word_tokenizer(every, max_tokens=50, lowercase=lowercase)
    names = ["[PAD]", "[UNK]", MASK, *every]
    for text, encoded in zip(TEXTS, tokenizer.encode(TEXTS), strict=True):
        assert [names[i] for i in encoded.input_ids] == split_words(text, lowercase=lowercase)


def test_special_words_unknown_words_and_the_limit() -> None:
    tokenizer = word_tokenizer(["the", "city"], max_tokens=8)
    assert tokenizer.encode(["The [MASK] of city"])[0].input_ids == [3, 2, 1, 4]
    assert len(tokenizer.encode(["the " * 30])[0]) == 8
    pair = tokenizer.encode(["the " * 30], ["city city"])[0]
    assert pair.input_ids == [3] * 8 + [4] * 2
    assert pair.token_type_ids == [0] * 8 + [1] * 2
    assert tokenizer.pad_id == 0


def test_it_is_the_same_after_saving(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(["the", "city"], max_tokens=9)
    tokenizer.save(tmp_path)
    loaded = PairTokenizer.from_folder(tmp_path)
    given = ["the " * 30, "x"], ["city [MASK]", ""]
    assert loaded.encode(*given) == tokenizer.encode(*given)
    assert (loaded.max_tokens, loaded.pad_id) == (9, 0)


def test_frequent_words_come_first_and_rare_ones_need_a_vector() -> None:
    texts = ["b a a", "b c [MASK]", "A [UNK]x rare"]
    extra = ["zoo", "c", "[MASK]"]
    assert choose_words(texts, extra, size=10) == ("a", "b", "c", "zoo")
    assert choose_words(texts, extra, size=3) == ("a", "b", "c")
    assert "rare" in choose_words(texts, size=10, min_count=1)
    assert choose_words(texts, size=10, lowercase=False) == ("a", "b")


def test_what_makes_no_vocabulary_is_refused() -> None:
    with pytest.raises(InputError, match="hold no word"):
        choose_words(["", " "], size=5)
    with pytest.raises(SettingsError, match="vocabulary_size is 0"):
        choose_words(["a"], size=0)
    with pytest.raises(SettingsError, match="min_count is 0"):
        choose_words(["a"], size=1, min_count=0)
    with pytest.raises(ValueError, match="twice"):
        word_tokenizer(["a", "a"], max_tokens=8)
