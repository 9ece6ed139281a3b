"""TinyBERT's data augmentation: words replaced by what a language model or word vectors hold likely.

Jiao et al.: "TinyBERT: Distilling BERT for Natural Language Understanding", Findings of EMNLP 2020,
https://arxiv.org/abs/1909.10351, Algorithm 1. For a sentence x, N_a times:

1. x_m starts as x; for each word i:
2.   candidates C: if x[i] is a single word-piece, x_m[i] becomes [MASK] and C holds the K most probable words of the
     masked-language model there; else the K words nearest to x[i] by the cosine of their vectors;
3.   p is drawn uniformly from 0 to 1; if p <= p_t, x_m[i] becomes a word of C drawn uniformly, else x[i];
4. x_m is added to the augmented data.

Two readings. ``changed`` is the paper's: C comes from x_m as it is by then, for every word. ``original`` is that of the
authors' code: C comes once per word from x itself, the model reads [masked sentence, x] as a pair, the K most probable
tokens count and parts of words are dropped from them, and stop words and words with a character outside a-z stay.

Departures: words come from the tokeniser and are joined by a blank, which changes no token; a candidate is never a
special token; a sentence longer than the model reads is seen around the mask; an original is kept once and a variant
that repeats it or another is dropped. The stop words are our own list. Of a pair each text is augmented beside the
*original* other text (the published code leaves the first text at its last variant while it augments the second).
Drawing comes before asking, so that no candidates are computed for words that stay. What an example becomes depends on
its position and the seed only, not on batches or on where a run was resumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distilrank.augmentation.candidates import Blank, MaskedLanguageCandidates
from distilrank.augmentation.stop_words import STOP_WORDS
from distilrank.data.word_vectors import WordVectors
from distilrank.data.words import basic_words
from distilrank.errors import SettingsError
from distilrank.records import Example

COPIES_OF_TASK: Mapping[str, int] = {
    "cola": 30,
    "mnli": 10,
    "mrpc": 30,
    "sst2": 20,
    "stsb": 30,
    "qqp": 10,
    "qnli": 20,
    "rte": 30,
}
"""N_a by task, as the authors' code has it; the paper's text says 20 for all."""

_LETTERS = re.compile(r"[a-z]+")


@dataclass(frozen=True, kw_only=True)
class TinyBertAugmentation:
    """The paper's constants unless changed.

    Attributes:
        threshold: p_t, the share of words that are replaced (0.4: section 4.2).
        copies: N_a, variants of each text before repeated ones are dropped (20: section 4.2; see ``COPIES_OF_TASK``).
        k: K, candidates per word (15: section 4.2).
        candidates: "changed": from the progressively changed sentence (the paper); "original": once from the original
            sentence, with the further rules of the authors' code.
        vector_words: Word vectors that are used, the first ones of the file (100,000 in the code). None: all.
        max_tokens: Most tokens that the masked-language model reads. None: as many as it can.
        batch_tokens: Most tokens run at once, padding included; changes no result. None: what suits the device.
        examples_at_once: Examples whose words are batched together; changes no result.
        seed: Of all draws.
    """

    threshold: float = 0.4
    copies: int = 20
    k: int = 15
    candidates: Literal["changed", "original"] = "changed"
    vector_words: int | None = 100_000
    max_tokens: int | None = None
    batch_tokens: int | None = None
    examples_at_once: int = 32
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            SettingsError: Naming the setting, its value and what is allowed.
        """
        if not 0 < self.threshold <= 1:
            raise SettingsError(f"threshold is {self.threshold} but must be greater than 0 and at most 1")
        least = {"copies": 1, "k": 1, "vector_words": 1, "max_tokens": 8, "batch_tokens": 1, "examples_at_once": 1}
        for name, lowest in {**least, "seed": 0}.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise SettingsError(f"{name} is {value} but must be at least {lowest}")
        if self.candidates not in ("changed", "original"):
            raise SettingsError(f"candidates is {self.candidates!r} but must be changed or original")


WITHOUT_EFFECT = ("batch_tokens", "examples_at_once")
"""Settings that may differ when a run is resumed."""


class TinyBertAugmenter:
    """Algorithm 1.

    Args:
        vectors: Word vectors, for words of several pieces.
        model: The masked-language model's candidates; its tokeniser cuts texts into words. None: word vectors serve
            for every word, in lower case.
        settings: How.
    """

    def __init__(
        self, vectors: WordVectors, model: MaskedLanguageCandidates | None = None, *, settings: TinyBertAugmentation
    ) -> None:
        self._split = basic_words if model is None else model.words.split
        self._vectors = vectors
        self._model = model
        self._settings = settings
        self._near: dict[str, tuple[str, ...]] = {}

    def augment(self, examples: Sequence[Example], *, start: int = 0) -> Iterator[list[Example]]:
        """Yield, for each example from position ``start`` on, the example as it is and its variants."""
        at_once = self._settings.examples_at_once
        for first in range(start, len(examples), at_once):
            chosen = list(examples[first : first + at_once])
            sentences = [
                self._sentence(text, position=first + offset, column=column)
                for offset, example in enumerate(chosen)
                for column, text in enumerate(_texts(example))
            ]
            once = self._settings.candidates == "original"
            variants = self._from_original(sentences) if once else self._from_changed(sentences)
            pairs = zip(sentences, variants, strict=True)
            for example in chosen:
                yield _with_variants(example, [next(pairs) for _ in _texts(example)])

    def _sentence(self, text: str, *, position: int, column: int) -> _Sentence:
        words = tuple(self._split(text))
        random = np.random.default_rng([self._settings.seed, position, column])
        return _Sentence(words, random.random((self._settings.copies, len(words), 2)))

    def _replaced(self, sentence: _Sentence, copy: int, place: int) -> bool:
        return bool(sentence.draws[copy, place, 0] <= self._settings.threshold)

    def _from_changed(self, sentences: Sequence[_Sentence]) -> list[list[str]]:
        """Go through all copies of all sentences at once, word by word: the paper's reading."""
        states = [[list(sentence.words) for _ in sentence.draws] for sentence in sentences]
        for place in range(max((len(sentence.words) for sentence in sentences), default=0)):
            due = [
                (number, copy)
                for number, sentence in enumerate(sentences)
                for copy in range(len(sentence.draws))
                if place < len(sentence.words) and self._replaced(sentence, copy, place)
            ]
            blanks = [Blank(tuple(states[number][copy]), place) for number, copy in due]
            originals = [sentences[number].words[place] for number, _ in due]
            for (number, copy), found in zip(due, self._candidates(blanks, originals), strict=True):
                if found:
                    states[number][copy][place] = _drawn(found, sentences[number].draws[copy, place, 1])
        return [[" ".join(state) for state in copies] for copies in states]

    def _from_original(self, sentences: Sequence[_Sentence]) -> list[list[str]]:
        """Find the candidates of each word once, then draw all copies: the reading of the authors' code."""
        blanks = [
            Blank(sentence.words, place)
            for sentence in sentences
            for place, word in enumerate(sentence.words)
            if _may_change(word)
        ]
        found = dict(zip(blanks, self._candidates(blanks, [b.words[b.place] for b in blanks]), strict=True))
        variants: list[list[str]] = []
        for sentence in sentences:
            variants.append([])
            choices = [found.get(Blank(sentence.words, place)) for place in range(len(sentence.words))]
            for copy in range(len(sentence.draws)):
                words = list(sentence.words)
                for place, candidates in enumerate(choices):
                    if candidates and self._replaced(sentence, copy, place):
                        words[place] = _drawn(candidates, sentence.draws[copy, place, 1])
                variants[-1].append(" ".join(words))
        return variants

    def _candidates(self, blanks: Sequence[Blank], words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the candidates of each blank, in whose place ``words`` stood: by the model, or by the vectors."""
        model = self._model
        if model is None:
            self._look_up(words)
            return [self._near[word] for word in words]
        asked = [model.words.is_whole(word) for word in words]
        filled = iter(model.fill([blank for blank, is_asked in zip(blanks, asked, strict=True) if is_asked]))
        self._look_up([word for word, is_asked in zip(words, asked, strict=True) if not is_asked])
        return [next(filled) if is_asked else self._near[word] for word, is_asked in zip(words, asked, strict=True)]

    def _look_up(self, words: Sequence[str]) -> None:
        new = [word for word in dict.fromkeys(words) if word not in self._near]
        self._near.update(zip(new, map(tuple, self._vectors.nearest_many(new, self._settings.k)), strict=True))


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A text's words, and for each word of each copy p and what chooses a candidate: (copies, words, 2)."""

    words: tuple[str, ...]
    draws: NDArray[np.float64]


def _texts(example: Example) -> tuple[str, ...]:
    return (example.text,) if example.text_pair is None else (example.text, example.text_pair)


def _may_change(word: str) -> bool:
    return word not in STOP_WORDS and _LETTERS.fullmatch(word) is not None


def _drawn(candidates: Sequence[str], draw: float) -> str:
    return candidates[int(draw * len(candidates))]


def _with_variants(example: Example, columns: Sequence[tuple[_Sentence, Sequence[str]]]) -> list[Example]:
    """Return the example and, with its label, each of its texts' variants beside the other text as it is."""
    made = [example]
    for column, (sentence, variants) in enumerate(columns):
        for variant in dict.fromkeys(variants):
            if variant != " ".join(sentence.words):
                name = f"{example.example_id}#{len(made)}" if example.example_id else ""
                if column == 0:
                    made.append(replace(example, text=variant, example_id=name))
                else:
                    made.append(replace(example, text_pair=variant, example_id=name))
    return made
