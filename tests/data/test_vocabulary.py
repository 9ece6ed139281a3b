"""Trimmed WordPiece vocabularies: what is kept, what stays the same, what falls back."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from distilrank.data.tokens import PairTokenizer
from distilrank.data.vocabulary import (
    Respelling,
    choose_tokens,
    count_tokens,
    require_word_pieces,
    respelling,
    trim_tokenizer,
)
from distilrank.errors import ModelError

LETTERS = string.ascii_lowercase
PIECES = ["the", "water", "wa", "##ter", "##ters", "river", "##s", "riv", "##er", "rivers", "##xy"]
# As in BERT's: places for one's own before and between the special tokens, and [PAD] not at 0.
VOCABULARY = [
    "[unused0]", "[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused2]",
    *LETTERS[:-1], *(f"##{letter}" for letter in LETTERS[:-1] if letter != "s"), *PIECES,
]  # fmt: skip


def tokenizer_of(vocabulary: list[str] = VOCABULARY, *, added: tuple[str, ...] = ("[Q]",)) -> PairTokenizer:
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *added])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    decoder = {str(ids["[PAD]"]): {"content": "[PAD]"}, str(ids["[unused2]"]): {"content": "[unused2]"}}
    config = {"added_tokens_decoder": decoder, "pad_token": "[PAD]"}
    return PairTokenizer(tokenizer, max_tokens=32, pad_id=ids["[PAD]"], config=config)


def tokens(tokenizer: PairTokenizer, text: str) -> list[str]:
    return list(tokenizer.backend.encode(text, add_special_tokens=False).tokens)


def kept_by(tokenizer: PairTokenizer, texts: list[str], **options: int) -> set[str]:
    names = {number: token for token, number in tokenizer.backend.get_vocab().items()}
    chosen = choose_tokens(tokenizer, count_tokens(tokenizer, texts), **options)
    assert chosen == sorted(set(chosen))
    return {names[number] for number in chosen}


ALWAYS = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[Q]", *VOCABULARY[8 : -len(PIECES)], "##s"}


def test_tokens_are_counted_over_whole_texts() -> None:
    tokenizer = tokenizer_of()
    counts = count_tokens(tokenizer, ["the waters [SEP] the" + " the" * 50, "river"])
    number = tokenizer.backend.token_to_id
    assert len(counts) == len(VOCABULARY) + 1
    assert counts[number("the")] == 52  # max_tokens is 32
    assert (counts[number("##ters")], counts[number("water")], counts[number("##s")]) == (0, 1, 1)
    assert counts[number("[CLS]")] == 0
    assert counts.sum() == 52 + 2 + 1 + 1  # [SEP] was in the text


def test_what_is_seen_special_or_a_single_character_is_kept() -> None:
    assert kept_by(tokenizer_of(), ["the river"]) == {*ALWAYS, "the", "river"}
    assert kept_by(tokenizer_of(), []) == ALWAYS


def test_how_often_a_token_has_to_be_seen() -> None:
    texts = ["the river", "the rivers", "the rivers"]
    assert kept_by(tokenizer_of(), texts, min_count=2) == {*ALWAYS, "the", "rivers"}
    assert kept_by(tokenizer_of(), texts, min_count=3) == {*ALWAYS, "the"}
    assert kept_by(tokenizer_of(), texts, min_count=4) == ALWAYS


def test_the_reserve_is_the_start_of_the_vocabulary_without_what_no_text_has() -> None:
    assert kept_by(tokenizer_of(), ["the"], reserve=3) == {*ALWAYS, "the", "water", "wa"}
    assert kept_by(tokenizer_of(), ["rivers"], reserve=3) == {*ALWAYS, "the", "water", "wa", "rivers"}
    assert kept_by(tokenizer_of(), [], reserve=1000) == {*ALWAYS, *PIECES}


def trimmed_by(tokenizer: PairTokenizer, texts: list[str]) -> PairTokenizer:
    return trim_tokenizer(tokenizer, choose_tokens(tokenizer, count_tokens(tokenizer, texts)))


def test_kept_tokens_are_numbered_anew_in_their_order_everywhere() -> None:
    whole = tokenizer_of()
    small = trimmed_by(whole, ["the river"])
    old, new = whole.backend.get_vocab(), small.backend.get_vocab()
    assert sorted(new.values()) == list(range(len(new)))
    assert sorted(new, key=new.__getitem__) == sorted(new, key=old.__getitem__)
    assert small.vocabulary_size == len(ALWAYS) + 2
    # Around texts, as padding, as an added token, and in the configuration.
    (encoded,) = small.encode(["the river"], ["the [Q]"])
    named = {number: token for token, number in new.items()}
    assert [named[i] for i in encoded.input_ids] == ["[CLS]", "the", "river", "[SEP]", "the", "[Q]", "[SEP]"]
    assert encoded.token_type_ids == [0, 0, 0, 0, 1, 1, 1]
    assert small.pad_id == new["[PAD]"] == 0
    assert small.pad([encoded], length=8).input_ids[0, -1] == new["[PAD]"]
    assert small.config["added_tokens_decoder"] == {"0": {"content": "[PAD]"}}
    assert small.max_tokens == 32
    assert whole.config["added_tokens_decoder"]["1"] == {"content": "[PAD]"}


@pytest.mark.parametrize("kind", [processors.BertProcessing, processors.RobertaProcessing, "sequence"])
def test_other_templates_are_numbered_anew_too(kind: object) -> None:
    whole = tokenizer_of()
    backend, ids = whole.backend, whole.backend.get_vocab()
    make = processors.BertProcessing if kind == "sequence" else kind
    processor = make(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))  # type: ignore[operator]
    backend.post_processor = processors.Sequence([processor]) if kind == "sequence" else processor
    small = trimmed_by(PairTokenizer(backend, max_tokens=32, pad_id=whole.pad_id), ["the"])
    new = small.backend.get_vocab()
    assert small.encode(["the"])[0].input_ids == [new["[CLS]"], new["the"], new["[SEP]"]]


def test_words_without_a_kept_piece_fall_back_to_smaller_ones_or_are_unknown() -> None:
    whole = tokenizer_of()
    small = trimmed_by(whole, ["the water"])
    assert tokens(whole, "the waters rivers axy") == ["the", "water", "##s", "rivers", "a", "##xy"]
    assert tokens(small, "the waters") == ["the", "water", "##s"]
    assert tokens(small, "rivers") == ["r", "##i", "##v", "##e", "##r", "##s"]
    assert tokens(small, "axy") == ["a", "##x", "##y"]
    no_letters = tokenizer_of([token for token in VOCABULARY if token != "##x"])
    assert tokens(trimmed_by(no_letters, ["the water"]), "axy") == ["[UNK]"]


def test_respelt_and_unknown_words_are_counted() -> None:
    whole = tokenizer_of([token for token in VOCABULARY if token != "##x"])
    small = trimmed_by(whole, ["the water"])
    found = respelling(whole, small, ["the rivers, rivers", "axy zz the", "[Q] water"])
    # "zz" and "," were unknown before: nothing was lost.
    assert found == Respelling(words=9, respelt=3, unknown=1)
    assert respelling(whole, whole, ["the rivers axy"]) == Respelling(words=3, respelt=0, unknown=0)
    assert respelling(whole, small, []) == Respelling(words=0, respelt=0, unknown=0)


words = st.text(alphabet="abcd", min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.sets(st.text(alphabet="abc", min_size=2, max_size=4).flatmap(lambda t: st.sampled_from([t, f"##{t}"]))),
    seen=st.lists(words, max_size=4),
    asked=st.lists(words, min_size=1, max_size=6),
)
def test_a_word_whose_pieces_are_all_kept_keeps_them(pieces: set[str], seen: list[str], asked: list[str]) -> None:
    letters = [*"abc", *(f"##{letter}" for letter in "abc")]  # no d: a word with it is unknown
    whole = tokenizer_of([*VOCABULARY[:8], *letters, *sorted(pieces)], added=())
    small = trimmed_by(whole, seen)
    known = small.backend.get_vocab().keys()
    for word in (*seen, *asked):
        before, after = tokens(whole, word), tokens(small, word)
        assert set(after) <= known
        if set(before) <= known:
            assert after == before
        assert (after == ["[UNK]"]) == ("d" in word)


def test_other_kinds_of_tokenizer_are_refused() -> None:
    level = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    with pytest.raises(ModelError, match="its tokenizer is WordLevel, and only the vocabulary of a WordPiece"):
        require_word_pieces(PairTokenizer(level, max_tokens=8))
    require_word_pieces(tokenizer_of())


def test_added_tokens_that_would_change_places_are_refused() -> None:
    described = json.loads(tokenizer_of().backend.to_str())
    described["model"]["vocab"]["late"] = len(VOCABULARY) + 5  # behind the added token, which is numbered after it
    whole = PairTokenizer(Tokenizer.from_str(json.dumps(described)), max_tokens=32, pad_id=1)
    with pytest.raises(ModelError, match="added tokens in an order of its own"):
        trim_tokenizer(whole, sorted(whole.backend.get_vocab().values()))
