"""Words instead of word pieces: how a text is split, and a vocabulary of words, with [MASK] and unknown words.

The rule is one regular expression: a word is a run of letters, digits and underscores, with apostrophes inside it
(``don't``, ``n't``); every other visible character is a word by itself. Text is in Unicode's form NFC and, unless
told otherwise, in lower case. ``[MASK]`` is a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, SettingsError

PAD, UNKNOWN, MASK = "[PAD]", "[UNK]", "[MASK]"
SPECIAL_WORDS = (PAD, UNKNOWN, MASK)
"""Ids 0, 1 and 2 of every vocabulary of words."""
WORD = r"\w+(?:['\u2019]\w+)*|[^\w\s]"
_WORD_OR_MASK = re.compile(rf"\[MASK\]|{WORD}")


def split_words(text: str, *, lowercase: bool = True) -> list[str]:
    """Return the words of a text, as ``word_tokenizer`` splits it, known or not."""
    words = _WORD_OR_MASK.findall(unicodedata.normalize("NFC", text))
    return [word if word == MASK or not lowercase else word.lower() for word in words]


def word_tokenizer(words: Sequence[str], *, max_tokens: int, lowercase: bool = True) -> PairTokenizer:
    """Return the tokeniser of a vocabulary: ids 0 to 2 are [PAD], [UNK] and [MASK], then come the words in order.

    The texts of a pair are encoded apart (``PairTokenizer.for_texts_apart``).

    Args:
        words: Each once, without the special ones.
        max_tokens: Most words of a text.
        lowercase: Whether text is put in lower case first.
    """
    vocabulary = {word: place for place, word in enumerate((*SPECIAL_WORDS, *words))}
    if len(vocabulary) != len(SPECIAL_WORDS) + len(words):
        raise ValueError("a word comes twice in the vocabulary")
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    steps = [normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.add_special_tokens(list(SPECIAL_WORDS))
    config = {"pad_token": PAD, "unk_token": UNKNOWN, "mask_token": MASK}
    return PairTokenizer(tokenizer, max_tokens=max_tokens, config=config).for_texts_apart()


def choose_words(
    texts: Iterable[str],
    extra: Iterable[str] = (),
    *,
    size: int,
    min_count: int = 2,
    lowercase: bool = True,
) -> tuple[str, ...]:
    """Return the words of a vocabulary, without the special ones.

    First come the words of the texts, the most frequent first (of equally frequent ones the alphabet decides), then
    the extra ones in their order. A rare word is left to [UNK], which so learns what a rare word means, unless it is
    an extra one.

    Args:
        texts: What the student will be trained on.
        extra: Words that have a vector, most frequent first.
        size: Most words.
        min_count: How often a word without a vector has to be seen.
        lowercase: Whether words are taken in lower case.

    Raises:
        SettingsError: ``size`` or ``min_count`` is below 1.
        InputError: There is not one word.
    """
    for name, value in (("vocabulary_size", size), ("min_count", min_count)):
        if value < 1:
            raise SettingsError(f"{name} is {value} but must be at least 1")
    extra = list(extra)
    with_vector = set(extra)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split_words(text, lowercase=lowercase))
    seen = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [word for word, count in seen if count >= min_count or word in with_vector]
    words = tuple(dict.fromkeys(word for word in (*kept, *extra) if word not in SPECIAL_WORDS))[:size]
    if not words:
        raise InputError("the texts hold no word to build a vocabulary from; check the data")
    return words
