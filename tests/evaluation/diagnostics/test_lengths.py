from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from distilrank.data.tokens import PairTokenizer
from distilrank.evaluation.diagnostics.lengths import TOKENS_PER_WORD, length_finding, measure_lengths


@pytest.fixture
def tokenizer() -> PairTokenizer:
    vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PairTokenizer(words, max_tokens=8)


def test_pairs_in_tokens_beyond_the_tokenizers_own_limit(tokenizer: PairTokenizer) -> None:
    lengths = measure_lengths(["a b", "a"], ["c " * 25, "c"], tokenizer=tokenizer, limit=20)
    # 2 + 25 words and three special tokens; 1 + 1 and three.
    assert (lengths.unit, lengths.sample, lengths.longest, lengths.mean) == ("tokens", 2, 30, 17.5)
    assert lengths.truncated_share == 0.5
    assert lengths.lost_share == pytest.approx(10 / 35)


def test_a_text_of_just_the_limit_is_not_truncated(tokenizer: PairTokenizer) -> None:
    assert measure_lengths(["a " * 10], tokenizer=tokenizer, limit=12).truncated_share == 0.0
    assert measure_lengths(["a " * 10], tokenizer=tokenizer, limit=11).truncated_share == 1.0


def test_without_a_tokenizer_words_stand_in_and_that_is_said() -> None:
    lengths = measure_lengths(["a " * 20], ["b " * 80], tokenizer=None, limit=256)
    assert lengths.longest == round(100 * TOKENS_PER_WORD) + 3
    assert "approximated" in lengths.unit
    assert "approximated" in length_finding(lengths, what="pairs", advice="do this").message


def test_no_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="no texts"):
        measure_lengths([], tokenizer=None, limit=10)


@pytest.mark.parametrize(("long", "level"), [(0, "ok"), (5, "note"), (30, "problem")])
def test_the_level_grows_with_the_share_truncated(tokenizer: PairTokenizer, long: int, level: str) -> None:
    texts = ["a " * 50] * long + ["a"] * (100 - long)
    finding = length_finding(measure_lengths(texts, tokenizer=tokenizer, limit=20), what="texts", advice="do this")
    assert (finding.level, finding.count) == (level, long)
    assert ("do this" in finding.message) == (level != "ok")
    assert f"{long}.0% are longer than 20" in finding.message
