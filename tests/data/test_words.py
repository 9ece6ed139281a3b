from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from distilrank.data.tokens import PairTokenizer
from distilrank.data.words import Words, basic_words
from distilrank.errors import ModelError
from tests.tiny import VOCABULARY, tiny_tokenizer

MASK, CLS, SEP = (VOCABULARY.index(token) for token in ("[MASK]", "[CLS]", "[SEP]"))


def ids(*words: str) -> list[int]:
    return [VOCABULARY.index(word) for word in words]


def test_words_are_those_of_the_tokenizer() -> None:
    assert Words(tiny_tokenizer()).split("The RED dog, caf\u00e9!") == ["the", "red", "dog", ",", "cafe", "!"]
    assert Words(tiny_tokenizer(lowercase=False)).split("The dog") == ["The", "dog"]
    assert basic_words("The RED dog, caf\u00e9!") == ["the", "red", "dog", ",", "cafe", "!"]


def test_words_joined_by_blanks_are_the_same_tokens() -> None:
    words, text = Words(tiny_tokenizer()), "The unbelievable (red) dog's stone: 7?"
    pieces = [piece for word in words.split(text) for piece in words.pieces(word)]
    assert tiny_tokenizer().encode([text])[0].input_ids == [CLS, *pieces, SEP]
    assert tiny_tokenizer().encode([" ".join(words.split(text))])[0].input_ids == [CLS, *pieces, SEP]


def test_a_whole_word_is_one_piece_and_no_special_token() -> None:
    words = Words(tiny_tokenizer())
    assert [words.is_whole(word) for word in ("dog", "a", "unbelievable", "dogs", "\u20ac", "[MASK]")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
    whole = {VOCABULARY[i] for i in words.whole_words.nonzero()[0]}
    assert whole == {token for token in VOCABULARY if not token.startswith("##") and not token.startswith("[")}
    assert words.word(VOCABULARY.index("dog")) == "dog"


def test_entries_that_stand_for_no_text_are_no_words() -> None:
    vocabulary = ["[UNK]", "[MASK]", "[unused7]", "dog", "##s", "[", "]", "<", "##[x]"]
    bare = Tokenizer(WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    whole = Words(PairTokenizer(bare, max_tokens=16)).whole_words
    assert [token for token, is_word in zip(vocabulary, whole, strict=True) if is_word] == ["dog", "[", "]", "<"]


def test_a_masked_sentence_by_hand() -> None:
    words = Words(tiny_tokenizer())
    encoded, place = words.encode_masked(("the", "red", "dog"), 1)
    assert encoded.input_ids == [CLS, *ids("the"), MASK, *ids("dog"), SEP]
    assert encoded.token_type_ids == [0] * 5
    assert place == 2


def test_a_masked_sentence_beside_the_original_by_hand() -> None:
    encoded, place = Words(tiny_tokenizer()).encode_masked(("ox", "red"), 1, second=("ox", "red"))
    assert encoded.input_ids == [CLS, *ids("o", "##x"), MASK, SEP, *ids("o", "##x", "red"), SEP]
    assert encoded.token_type_ids == [0] * 5 + [1] * 4
    assert place == 3


@pytest.mark.parametrize("place", [0, 1, 30, 58, 59])
@pytest.mark.parametrize("beside", [False, True])
def test_of_a_long_sentence_the_part_around_the_mask_stays(place: int, beside: bool) -> None:
    sentence = tuple(f"{number % 10}" for number in range(60))
    words = Words(tiny_tokenizer(max_tokens=16))
    encoded, at = words.encode_masked(sentence, place, second=sentence if beside else None)
    assert len(encoded) == 16
    assert encoded.input_ids.count(MASK) == 1
    assert encoded.input_ids[at] == MASK
    if place:
        assert encoded.input_ids[at - 1] == VOCABULARY.index(sentence[place - 1])


def test_a_vocabulary_without_a_mask_is_refused() -> None:
    bare = Tokenizer(WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    with pytest.raises(ModelError, match="no mask token"):
        Words(PairTokenizer(bare, max_tokens=16))
