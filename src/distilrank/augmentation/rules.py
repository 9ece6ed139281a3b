"""The three augmentation rules of Tang et al. (2019, arXiv 1903.12136, section 3.3): a transfer set from few texts.

Masking takes words away, so that each word's part in the teacher's decision shows; replacing by part of speech puts
other words in the sentence's frame; n-gram sampling keeps a piece of the sentence and drops the rest::

    pos_dict[tag] = all words that have the tag, as often as they occur
    n_iter times:
        for each word: X ~ U(0, 1)
            X < p_mask:                   [MASK]
            p_mask <= X < p_mask + p_pos: a random word of pos_dict[its tag]
        with probability p_ng: keep a random n-gram only, n uniform in 1 to 5
        add what is new
    of pairs, iterations change in turns the first text only, the second only, both

The constants are p_mask = p_pos = 0.1, p_ng = 0.25, n_iter = 20 for single texts and 10 for pairs. The published code
differs: n-gram sampling is off unless asked for, the last n-gram is never drawn, a text of exactly n words fails and a
shorter one ends its iterations, and what changes of a pair is drawn (one text with probability 2/3, both with 1/3), not
taken in turns. Here a text of fewer than n words stays whole, and of a pair each text draws an n-gram of its own. Words
are split as the BiLSTM splits them (``data.word_tokens``) and joined by blanks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from distilrank.augmentation.tagger import Tagger
from distilrank.data.word_tokens import MASK, split_words
from distilrank.errors import InputError, SettingsError
from distilrank.records import Example

TURNS = ((True, False), (False, True), (True, True))
"""Which texts of a pair an iteration changes."""


@dataclass(frozen=True, kw_only=True)
class RulesSettings:
    """The paper's constants (section 3.3 and 4.2) unless changed.

    Attributes:
        mask: p_mask, probability that a word becomes [MASK].
        replace: p_pos, probability that a word is replaced by one of the same part of speech.
        ngram: p_ng, probability that all but one n-gram is dropped.
        longest_ngram: n is uniform in 1 to this.
        variants: n_iter. None: 20 for single texts, 10 for pairs.
        seed: Of all draws; an example's depend on it and the example's position only.
    """

    mask: float = 0.1
    replace: float = 0.1
    ngram: float = 0.25
    longest_ngram: int = 5
    variants: int | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse what is no probability, and counts below one."""
        for name in ("mask", "replace", "ngram"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)} but must lie between 0 and 1")
        if self.mask + self.replace > 1:
            raise SettingsError(f"mask and replace are {self.mask} and {self.replace} but must not exceed 1 together")
        for name in ("longest_ngram", "variants"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value} but must be at least 1")
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed} but must not be negative")


class RulesAugmenter:
    """Makes variants of examples by the three rules; an ``Augmenter``.

    Args:
        tagger: Gives the words of a sentence their parts of speech.
        settings: Of the rules.
    """

    def __init__(self, tagger: Tagger, settings: RulesSettings) -> None:
        self._tagger = tagger
        self._settings = settings

    def augment(self, examples: Sequence[Example], *, start: int = 0) -> Iterator[list[Example]]:
        """Yield, for each example from position ``start`` on, a list: the example as it is, then its variants.

        Variants have no labels, since they are for the teacher to judge. All examples are tagged first: what replaces
        a word is drawn from all of them.

        Raises:
            InputError: There are no examples, or singles and pairs are mixed.
        """
        if not examples:
            raise InputError("there are no examples to augment")
        if len({example.text_pair is None for example in examples}) > 1:
            raise InputError("some examples have a second text and some have none; augment them apart")
        replacements = self._words_by_tag(examples)
        for position in range(start, len(examples)):
            yield self._variants(examples[position], position, replacements)

    def _words_by_tag(self, examples: Sequence[Example]) -> dict[str, list[str]]:
        """Return tag -> its words with repetition, which makes a uniform draw one from their frequencies."""
        found: dict[str, list[str]] = {}
        for example in examples:
            for text in _texts(example):
                words = split_words(text, lowercase=False)
                for word, tag in zip(words, self._tagger(words), strict=True):
                    found.setdefault(tag, []).append(word)
        return found

    def _variants(self, example: Example, position: int, replacements: dict[str, list[str]]) -> list[Example]:
        draw = np.random.default_rng((self._settings.seed, position))
        texts = [split_words(text, lowercase=False) for text in _texts(example)]
        tags = [self._tagger(words) for words in texts]
        pair = example.text_pair is not None
        known = {tuple(" ".join(words) for words in texts)}
        variants = [example]
        for iteration in range(self._settings.variants or (10 if pair else 20)):
            turn = TURNS[iteration % len(TURNS)] if pair else (True,)
            changed = tuple(
                " ".join(self._apply(words, own, replacements, draw) if changes else words)
                for words, own, changes in zip(texts, tags, turn, strict=True)
            )
            if changed not in known:
                known.add(changed)
                variants.append(_with_texts(example, changed, number=len(variants)))
        return variants

    def _apply(
        self, words: Sequence[str], tags: Sequence[str], replacements: dict[str, list[str]], draw: np.random.Generator
    ) -> list[str]:
        """Return the words after all three rules."""
        settings = self._settings
        changed = []
        for word, tag, x in zip(words, tags, draw.random(len(words)), strict=True):
            if x < settings.mask:
                changed.append(MASK)
            elif x < settings.mask + settings.replace:
                same = replacements[tag]
                changed.append(same[int(draw.integers(len(same)))])
            else:
                changed.append(word)
        if draw.random() < settings.ngram:
            n = int(draw.integers(1, settings.longest_ngram + 1))
            start = int(draw.integers(max(1, len(changed) - n + 1)))
            changed = changed[start : start + n]
        return changed


def _texts(example: Example) -> tuple[str, ...]:
    return (example.text,) if example.text_pair is None else (example.text, example.text_pair)


def _with_texts(example: Example, texts: Sequence[str], *, number: int) -> Example:
    identifier = f"{example.example_id}-{number}" if example.example_id else ""
    text, text_pair = (*texts, None)[:2]
    assert text is not None
    return replace(example, text=text, text_pair=text_pair, label=None, example_id=identifier)
