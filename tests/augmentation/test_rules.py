from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from distilrank.augmentation.rules import RulesAugmenter, RulesSettings
from distilrank.errors import InputError, SettingsError
from distilrank.records import Example

NOUNS, VERBS = ["dog", "cat", "bird", "tree"], ["runs", "sings", "sees"]


def tagger(words: Sequence[str]) -> list[str]:
    return ["VB" if word in VERBS else "NN" if word in NOUNS else "DT" for word in words]


def singles(*texts: str) -> list[Example]:
    return [Example(text=text, label=1, example_id=f"e{i}") for i, text in enumerate(texts)]


def augmented(examples: list[Example], *, start: int = 0, **settings: float) -> list[list[Example]]:
    return list(RulesAugmenter(tagger, RulesSettings(**settings)).augment(examples, start=start))  # type: ignore[arg-type]


def within_binomial(count: int, total: int, share: float) -> bool:
    """Whether the share lies in the exact 99.9% interval of what was counted."""
    interval = binomtest(count, total).proportion_ci(0.999)
    return bool(interval.low <= share <= interval.high)


# --- rates, on 100,000 words


def numbered(length: int = 1000) -> str:
    """Words that are all different, so that each can be followed."""
    return " ".join(f"w{i}" for i in range(length))


def test_each_rule_has_its_rate() -> None:
    # All words have one tag, so that a word is drawn again with probability 1/1000 only.
    (variants,) = augmented(singles(numbered()), variants=100, ngram=0)
    words = np.array([variant.text.split() for variant in variants[1:]])
    assert words.shape == (100, 1000)
    masked = int((words == "[MASK]").sum())
    kept = int((words == np.array(numbered().split())).sum())
    assert within_binomial(masked, 100_000, 0.1)
    assert within_binomial(100_000 - masked - kept, 100_000, 0.1 * 999 / 1000)
    # Every place alike.
    assert (words == "[MASK]").sum(axis=0).max() < 40


@pytest.mark.parametrize(("mask", "replace"), [(0.3, 0.0), (0.0, 0.3), (0.2, 0.5)])
def test_rates_are_those_of_the_settings(mask: float, replace: float) -> None:
    (variants,) = augmented(singles(numbered()), variants=20, ngram=0, mask=mask, replace=replace)
    words = np.array([variant.text.split() for variant in variants[1:]])
    masked = int((words == "[MASK]").sum())
    kept = int((words == np.array(numbered().split())).sum())
    assert within_binomial(masked, 20_000, mask)
    assert within_binomial(20_000 - masked - kept, 20_000, replace * 999 / 1000)


def test_ngrams_are_kept_with_their_rate_and_lengths_and_places_are_uniform() -> None:
    text = numbered(12)
    # Without the other rules a variant is the text, which is not new, or an n-gram of it. 100,800 words.
    drawn = augmented(singles(*[text] * 8_400), variants=1, mask=0, replace=0)
    first = [variants[1].text.split() for variants in drawn if len(variants) > 1]
    assert within_binomial(len(first), 8_400, 0.25)
    lengths = Counter(len(words) for words in first)
    assert set(lengths) == {1, 2, 3, 4, 5}
    assert chisquare(list(lengths.values())).pvalue > 0.001
    for n in (1, 5):
        starts = Counter(words[0] for words in first if len(words) == n)
        assert set(starts) == {f"w{i}" for i in range(12 - n + 1)}  # the last window too
        assert chisquare(list(starts.values())).pvalue > 0.001
    whole = text.split()
    for words in first:
        start = whole.index(words[0])
        assert words == whole[start : start + len(words)]  # kept, and neither masked nor dropped


def test_a_text_shorter_than_its_ngram_stays_whole() -> None:
    lists = augmented(singles(*["dog runs"] * 300), variants=1, mask=0, replace=0, ngram=1)
    found = Counter(variants[-1].text for variants in lists)
    assert set(found) == {"dog", "runs", "dog runs"}
    assert within_binomial(found["dog runs"], 300, 0.8)  # n = 2 to 5


def test_words_are_replaced_by_their_part_of_speech_as_often_as_they_occur() -> None:
    # Of nouns there are 300 dogs, 100 cats; a variant's one word is drawn from them, and "dog" again is not new.
    examples = singles(*["dog"] * 300, *["cat"] * 100, *["runs"] * 50, *["sings"] * 50)
    lists = augmented(examples, variants=1, mask=0, replace=1, ngram=0)
    of_cats = Counter(variants[-1].text for variants in lists[300:400])
    of_verbs = Counter(variants[-1].text for variants in lists[400:])
    assert set(of_cats) == {"dog", "cat"}
    assert within_binomial(of_cats["dog"], 100, 0.75)
    assert set(of_verbs) == {"runs", "sings"}


def test_the_constants_are_the_papers() -> None:
    settings = RulesSettings()
    assert (settings.mask, settings.replace, settings.ngram, settings.longest_ngram) == (0.1, 0.1, 0.25, 5)
    long = numbered(200)
    assert len(augmented(singles(long), ngram=0)[0]) == 1 + 20
    assert len(augmented([Example(text=long, text_pair=long)], ngram=0)[0]) == 1 + 10


# --- by hand, and the rule transcribed


class Scripted:
    """Stands for a random generator, and gives what it was told to."""

    def __init__(self, uniforms: Sequence[float], integers: Sequence[int]) -> None:
        self.uniforms, self.integers_left = list(uniforms), list(integers)

    def random(self, size: int | None = None) -> float | list[float]:
        return self.uniforms.pop(0) if size is None else [self.uniforms.pop(0) for _ in range(size)]

    def integers(self, low: int, high: int | None = None) -> int:
        drawn = self.integers_left.pop(0)
        assert (0 if high is None else low) <= drawn < (low if high is None else high)
        return drawn


def test_an_example_by_hand() -> None:
    augmenter = RulesAugmenter(tagger, RulesSettings())
    words = "the dog runs".split()
    replacements = {"DT": ["the"], "NN": ["dog", "cat", "cat"], "VB": ["runs"]}

    def apply(uniforms: Sequence[float], *integers: int) -> str:
        return " ".join(augmenter._apply(words, tagger(words), replacements, Scripted(uniforms, integers)))  # type: ignore[arg-type]

    assert apply([0.05, 0.15, 0.25, 0.9], 2) == "[MASK] cat runs"
    assert apply([0.0999, 0.1, 0.2, 0.25], 0) == "[MASK] dog runs"  # the bounds: < 0.1, < 0.2, and 0.25 keeps all
    assert apply([0.5, 0.05, 0.5, 0.2499], 2, 1) == "[MASK] runs"  # n = 2 from the second word on
    assert apply([0.5, 0.5, 0.5, 0.0], 5, 0) == "the dog runs"


def transcribed(words: list[str], replacements: dict[str, list[str]], draw: np.random.Generator) -> list[str]:
    """Section 3.3 of the paper, one word after the other."""
    uniforms = iter(draw.random(len(words)))
    result = []
    for word in words:
        x = next(uniforms)
        if x < 0.1:
            result.append("[MASK]")
        elif 0.1 <= x < 0.1 + 0.1:
            candidates = replacements[tagger([word])[0]]
            result.append(candidates[draw.integers(0, len(candidates))])
        else:
            result.append(word)
    if draw.uniform() < 0.25:
        n = draw.integers(1, 5, endpoint=True)
        if n < len(result):
            start = draw.integers(0, len(result) - n, endpoint=True)
            result = result[start : start + n]
        else:
            draw.integers(0, 1)  # the one start there is
    return result


def test_variants_are_those_of_the_rule_transcribed() -> None:
    texts = ["the dog sees the bird", "a cat sings", "tree", "the bird runs and the tree sings"]
    replacements: dict[str, list[str]] = {}
    for text in texts:
        for word in text.split():
            replacements.setdefault(tagger([word])[0], []).append(word)
    for position, variants in enumerate(augmented(singles(*texts), seed=7)):
        draw = np.random.default_rng((7, position))
        expected = [texts[position]]
        for _ in range(20):
            new = " ".join(transcribed(texts[position].split(), replacements, draw))
            if new not in expected:
                expected.append(new)
        assert [variant.text for variant in variants] == expected


# --- pairs, and what a variant is


def test_pairs_go_through_first_second_both() -> None:
    one, other = numbered(300), numbered(300).replace("w", "v")
    (variants,) = augmented([Example(text=one, text_pair=other, label=1)], variants=9, ngram=0)
    changed = [(variant.text != one, variant.text_pair != other) for variant in variants[1:]]
    assert changed == [(True, False), (False, True), (True, True)] * 3
    # What replaces a word comes from both texts.
    assert any("v" in variant.text for variant in variants)


def test_variants_have_no_labels_and_names_of_their_own_and_none_comes_twice() -> None:
    examples = singles("dog runs", "dog runs")
    for variants, example in zip(augmented(examples, variants=200), examples, strict=True):
        assert variants[0] is example
        assert {variant.label for variant in variants[1:]} == {None}
        assert [v.example_id for v in variants[1:]] == [f"{example.example_id}-{i}" for i in range(1, len(variants))]
        texts = [variant.text for variant in variants]
        assert len(set(texts)) == len(texts)


def test_seeded_example_by_example_so_that_a_run_can_go_on() -> None:
    examples = singles("the dog sees the bird", "a cat sings", "the tree", "dog runs")
    whole = augmented(examples, seed=3)
    assert augmented(examples, seed=3) == whole
    assert augmented(examples, seed=3, start=2) == whole[2:]
    assert augmented(examples, seed=4) != whole
    assert [v.text for v in augmented(singles("a cat sings", "a cat sings"))[0]] != [
        v.text for v in augmented(singles("a cat sings", "a cat sings"))[1]
    ]


def test_a_text_without_words_has_no_variants() -> None:
    assert [len(variants) for variants in augmented(singles("", "dog"))] == [1, len(augmented(singles("", "dog"))[1])]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"mask": 1.1}, "mask is 1.1 but must lie between 0 and 1"),
        ({"ngram": float("nan")}, "ngram is nan"),
        ({"mask": 0.6, "replace": 0.5}, "mask and replace are 0.6 and 0.5 but must not exceed 1 together"),
        ({"longest_ngram": 0}, "longest_ngram is 0"),
        ({"variants": 0}, "variants is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        RulesSettings(**wrong)  # type: ignore[arg-type]


def test_no_examples_and_mixed_examples_are_refused() -> None:
    with pytest.raises(InputError, match="no examples"):
        augmented([])
    with pytest.raises(InputError, match="some examples have a second text"):
        augmented([Example(text="a"), Example(text="a", text_pair="b")])
