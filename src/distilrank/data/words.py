"""Texts to words, and words to the pieces that a network with masked tokens reads.

A word is what the tokeniser would cut into pieces: for WordPiece BERT's own words (normalised, punctuation apart), for
the others a run of letters and digits or one mark of punctuation. Words joined by a blank give the same pieces as the
words one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from distilrank.data.tokens import Encoded, PairTokenizer
from distilrank.errors import ModelError

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_NO_WORD = re.compile(r"\[[^\]]+\]|<[^>]+>")
"""Entries that stand for no text: special tokens, and those that BERT's vocabulary keeps free, such as [unused7]."""
_WORD_STARTS = ("Ġ", "▁")
"""With what the vocabularies of RoBERTa and of SentencePiece mark a piece that begins a word."""


def basic_words(text: str) -> list[str]:
    """Return the words of a text as an uncased BERT has them: in lower case, without accents, punctuation apart."""
    return [word for word, _ in BertPreTokenizer().pre_tokenize_str(BertNormalizer().normalize_str(text))]


class Words:
    """Cuts texts into words with a tokeniser's rules, and puts words together for a network.

    Args:
        tokenizer: Its vocabulary has a mask token; its ``max_tokens`` limits what ``encode_masked`` returns.

    Raises:
        ModelError: There is no mask token, or the vocabulary does not tell words from parts of words.
    """

    def __init__(self, tokenizer: PairTokenizer) -> None:
        self._tokenizer: Tokenizer = tokenizer.backend
        self._max_tokens = tokenizer.max_tokens
        described = json.loads(self._tokenizer.to_str())
        model = described["model"]
        self._is_wordpiece = model["type"] == "WordPiece"
        self._continues: str = model.get("continuing_subword_prefix") or ""
        self._special = {int(token["id"]) for token in described["added_tokens"] if token["special"]}
        self.mask_id = self._mask_id(tokenizer)
        known = self._tokenizer.get_vocab(with_added_tokens=True)
        self._special |= {known[token] for token in _SPECIAL if token in known} | {self.mask_id}
        self._pieces: dict[str, tuple[int, ...]] = {}
        self._templates = self._read_templates()

    def _mask_id(self, tokenizer: PairTokenizer) -> int:
        named = tokenizer.config.get("mask_token")
        named = named.get("content") if isinstance(named, dict) else named
        for token in (named, "[MASK]", "<mask>"):
            if isinstance(token, str) and (found := self._tokenizer.token_to_id(token)) is not None:
                return int(found)
        raise ModelError("the tokenizer has no mask token; give a masked-language model, such as bert-base-uncased")

    def split(self, text: str) -> list[str]:
        """Return the words of a text, normalised as the tokeniser does it."""
        normalizer = self._tokenizer.normalizer if self._is_wordpiece else None
        text = text if normalizer is None else normalizer.normalize_str(text)
        return [word for word, _ in BertPreTokenizer().pre_tokenize_str(text)]

    def pieces(self, word: str) -> tuple[int, ...]:
        """Return the token ids of one word; a single one when the vocabulary has it whole."""
        found = self._pieces.get(word)
        if found is None:
            # The blank makes tokenisers that mark the beginnings of words see one.
            found = tuple(self._tokenizer.encode(f" {word}", add_special_tokens=False).ids)
            if len(self._pieces) > _MOST_KEPT:
                self._pieces.clear()
            self._pieces[word] = found
        return found

    def is_whole(self, word: str) -> bool:
        """Tell whether the vocabulary holds the word as a single piece."""
        pieces = self.pieces(word)
        return len(pieces) == 1 and pieces[0] not in self._special

    @cached_property
    def whole_words(self) -> NDArray[np.bool_]:
        """Which ids are words: neither parts of words nor special tokens; (vocabulary,)."""
        size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        whole = np.zeros(size, np.bool_)
        for token, place in self._tokenizer.get_vocab(with_added_tokens=True).items():
            begins = not token.startswith(self._continues) if self._continues else token.startswith(_WORD_STARTS)
            is_word = begins and place not in self._special and _NO_WORD.fullmatch(token) is None
            whole[place] = is_word and bool(self.word(place))
        if not whole.any():
            raise ModelError(
                "the tokenizer's vocabulary does not tell words from parts of words; use a BERT or RoBERTa"
            )
        return whole

    def word(self, token_id: int) -> str:
        """Return the text of a single-piece word."""
        return str(self._tokenizer.decode([token_id], skip_special_tokens=False)).strip()

    def encode_masked(
        self, words: Sequence[str], place: int, *, second: Sequence[str] | None = None
    ) -> tuple[Encoded, int]:
        """Return what a network reads to fill in one word, and where its mask is.

        Args:
            words: The sentence.
            place: The word that is masked.
            second: A second sentence. None: there is none.

        Of what is too long the part around the mask stays, and of the second text the part around the same place.
        """
        template = self._templates[0 if second is None else 1]
        room = self._max_tokens - template.special
        runs = [self._run(words, place, masked=True)]
        if second is not None:
            runs.append(self._run(second, place, masked=False))
        rest = room - sum(len(ids) for ids, _ in runs[1:])
        limits = [max(room // len(runs), rest)]
        limits.append(room - min(limits[0], len(runs[0][0])))
        ids, types, centre = list(template.before[0]), [template.types[0]] * len(template.before[0]), 0
        for number, ((pieces, middle), limit) in enumerate(zip(runs, limits, strict=False)):
            start = max(0, min(middle - limit // 2, len(pieces) - limit))
            if number == 0:
                centre = len(ids) + middle - start
            kept = [*pieces[start : start + limit], *template.before[number + 1]]
            ids += kept
            types += [template.types[number]] * len(kept)
        return Encoded(ids, types), centre

    def _run(self, words: Sequence[str], place: int, *, masked: bool) -> tuple[list[int], int]:
        """Return the ids of the words, and where the pieces of the one at ``place`` begin."""
        ids: list[int] = []
        middle = 0
        for position, word in enumerate(words):
            if position == place:
                middle = len(ids)
            ids.extend((self.mask_id,) if masked and position == place else self.pieces(word))
        return ids, middle

    def _read_templates(self) -> tuple[_Template, _Template]:
        """Learn from what the tokeniser does to a text and to a pair where its special tokens stand."""
        probe = "a"
        single = self._tokenizer.encode(probe)
        pair = self._tokenizer.encode(probe, probe)
        return _Template.of(single.ids, single.type_ids, single.special_tokens_mask), _Template.of(
            pair.ids, pair.type_ids, pair.special_tokens_mask
        )


class _Template:
    """Special tokens before the first text, and after each; token types of the texts."""

    def __init__(self, before: list[list[int]], types: list[int]) -> None:
        self.before = before
        self.types = types
        self.special = sum(map(len, before))

    @classmethod
    def of(cls, ids: Sequence[int], types: Sequence[int], special: Sequence[int]) -> _Template:
        before: list[list[int]] = [[]]
        found: list[int] = []
        for place, (token, is_special) in enumerate(zip(ids, special, strict=True)):
            if is_special:
                before[-1].append(token)
            elif place == 0 or special[place - 1]:
                before.append([])
                found.append(types[place])
        return cls(before, found)


_MOST_KEPT = 200_000
"""Words whose pieces are remembered."""
