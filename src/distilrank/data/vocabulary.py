"""A WordPiece vocabulary cut down to the tokens that somebody's text needs.

WordPiece takes the longest piece that it knows, again and again. Where all pieces of a word are kept, the longest one
is still the longest and the word stays as it is; where one is gone, shorter ones that are kept take its place, or the
word becomes [UNK]. Kept tokens keep their order, so that [PAD], where it came first, stays first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from distilrank.data.tokens import SPECIAL_TOKENS, TEXTS_AT_ONCE, PairTokenizer
from distilrank.errors import ModelError

_UNUSED = re.compile(r"\[unused\d+\]")
"""BERT's places for tokens of one's own: no text becomes one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Respelling:
    """What happens to the words of texts that a vocabulary was not made for.

    Attributes:
        words: How many there are.
        respelt: Of these, how many have other tokens than before, the unknown ones among them.
        unknown: Of these, how many were no [UNK] before and are now.
    """

    words: int
    respelt: int
    unknown: int


def require_word_pieces(tokenizer: PairTokenizer) -> None:
    """Refuse a tokeniser of another kind: merges and probabilities of tokens cannot be cut token by token.

    Raises:
        ModelError: With the kind it is.
    """
    kind = _described(tokenizer)["model"]["type"]
    if kind != "WordPiece":
        raise ModelError(f"its tokenizer is {kind}, and only the vocabulary of a WordPiece tokenizer can be trimmed")


def count_tokens(tokenizer: PairTokenizer, texts: Iterable[str]) -> NDArray[np.int64]:
    """Return how often each token occurs in whole texts, special tokens not counted, shape (highest id + 1,)."""
    counts = np.zeros(max(_ids(tokenizer).values()) + 1, np.int64)
    remaining = iter(texts)
    while part := list(islice(remaining, TEXTS_AT_ONCE)):
        found = np.fromiter(chain.from_iterable(tokenizer.pieces(part)), np.int64)
        counts += np.bincount(found, minlength=len(counts))
    return counts


def choose_tokens(
    tokenizer: PairTokenizer, counts: NDArray[np.int64], *, min_count: int = 1, reserve: int = 0
) -> list[int]:
    """Return the ids of the tokens to keep, ascending.

    Kept are the special and the added tokens; single characters, at the start of a word and inside, so that a word
    can still be spelt; what was seen; and a reserve.

    Args:
        tokenizer: WordPiece.
        counts: As ``count_tokens`` gives them.
        min_count: How often a token has to be seen.
        reserve: Tokens of more than one character that are kept in any case, the first ones of the vocabulary: that
            of BERT has the frequent ones first.
    """
    described = _described(tokenizer)
    prefix = described["model"]["continuing_subword_prefix"]
    always = _special_tokens(tokenizer, described)
    kept: set[int] = {tokenizer.pad_id}
    first: list[int] = []
    for token, number in sorted(_ids(tokenizer).items(), key=lambda item: item[1]):
        if token in always or len(token.removeprefix(prefix)) == 1 or counts[number] >= min_count:
            kept.add(number)
        if len(token.removeprefix(prefix)) > 1 and token not in always and not _UNUSED.fullmatch(token):
            first.append(number)
    return sorted(kept.union(first[:reserve]))


def trim_tokenizer(tokenizer: PairTokenizer, kept: Sequence[int]) -> PairTokenizer:
    """Return the tokeniser with the kept tokens only; the i-th of them has the id i.

    Args:
        tokenizer: WordPiece.
        kept: Ids, ascending, the special and the added tokens among them.

    Raises:
        ModelError: The tokeniser numbers its added tokens in a way that does not survive.
    """
    place = {number: i for i, number in enumerate(kept)}
    described = _described(tokenizer)
    vocabulary = described["model"]["vocab"]
    described["model"]["vocab"] = {token: place[number] for token, number in vocabulary.items() if number in place}
    for added in described["added_tokens"]:
        added["id"] = place[added["id"]]
    _renumber_template(described["post_processor"], place)
    config = dict(tokenizer.config)
    if "added_tokens_decoder" in config:
        decoder = config["added_tokens_decoder"].items()
        config["added_tokens_decoder"] = {str(place[int(old)]): token for old, token in decoder if int(old) in place}
    trimmed = PairTokenizer(
        Tokenizer.from_str(json.dumps(described)),
        max_tokens=tokenizer.max_tokens,
        pad_id=place[tokenizer.pad_id],
        config=config,
    )
    if _ids(trimmed) != {token: place[number] for token, number in _ids(tokenizer).items() if number in place}:
        raise ModelError("its tokenizer numbers its added tokens in an order of its own and cannot be trimmed")
    return trimmed


def respelling(before: PairTokenizer, after: PairTokenizer, texts: Sequence[str]) -> Respelling:
    """Count the words of texts that a trimmed tokeniser spells otherwise.

    Args:
        before: The whole tokeniser.
        after: The trimmed one.
        texts: Texts that the kept tokens were not chosen by.
    """
    unknown = [_described(before)["model"]["unk_token"]]
    words = respelt = lost = 0
    both = (each.backend.encode_batch(list(texts), add_special_tokens=False) for each in (before, after))
    for old, new in zip(*both, strict=True):
        for ours, theirs in zip(_words(old), _words(new), strict=True):
            words += 1
            respelt += ours != theirs
            lost += ours != theirs and theirs == unknown
    return Respelling(words=words, respelt=respelt, unknown=lost)


def _words(encoding: Encoding) -> list[list[str]]:
    """Return the tokens of every word."""
    words: dict[int | None, list[str]] = {}
    for number, token in zip(encoding.word_ids, encoding.tokens, strict=True):
        words.setdefault(number, []).append(token)
    return list(words.values())


def _described(tokenizer: PairTokenizer) -> dict[str, Any]:
    """Return the content of ``tokenizer.json``."""
    described: dict[str, Any] = json.loads(tokenizer.backend.to_str())
    return described


def _ids(tokenizer: PairTokenizer) -> dict[str, int]:
    """Return token -> id, added tokens included."""
    return dict(tokenizer.backend.get_vocab(with_added_tokens=True))


def _special_tokens(tokenizer: PairTokenizer, described: Mapping[str, Any]) -> set[str]:
    """Return the tokens that no text has to contain."""
    named = (tokenizer.config.get(name) for name in SPECIAL_TOKENS)
    found = {token["content"] if isinstance(token, dict) else token for token in named}
    added = {token["content"] for token in described["added_tokens"]}
    return {*found, *added, *SPECIAL_TOKENS.values(), described["model"]["unk_token"]}


def _renumber_template(described: dict[str, Any] | None, place: Mapping[int, int]) -> None:
    """Give the special tokens that are put around texts their new ids, in place."""
    if described is None:
        return
    kind = described["type"]
    if kind == "Sequence":
        for part in described["processors"]:
            _renumber_template(part, place)
    elif kind == "TemplateProcessing":
        for token in described["special_tokens"].values():
            token["ids"] = [place[number] for number in token["ids"]]
    elif kind in ("BertProcessing", "RobertaProcessing"):
        for name in ("sep", "cls"):
            token, number = described[name]
            described[name] = [token, place[number]]
