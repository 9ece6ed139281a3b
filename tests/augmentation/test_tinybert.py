from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from distilrank.augmentation.candidates import Blank
from distilrank.augmentation.stop_words import STOP_WORDS
from distilrank.augmentation.tinybert import COPIES_OF_TASK, TinyBertAugmentation, TinyBertAugmenter
from distilrank.data.word_vectors import WordVectors
from distilrank.errors import SettingsError
from distilrank.records import Example
from tests.augmentation.networks import LONG_WORDS, tiny_candidates, tiny_vectors
from tests.augmentation.test_candidates import one_at_a_time
from tests.tiny import VOCABULARY, WORDS, tiny_pairs

CIRCLE = WordVectors(
    tuple(f"w{i}" for i in range(40)),
    np.array([[math.cos(i / 50), math.sin(i / 50)] for i in range(40)], np.float32),
)
"""Words on an arc: the neighbours of each are known, and none is its own."""


def by_vectors(**settings: object) -> TinyBertAugmenter:
    return TinyBertAugmenter(CIRCLE, settings=TinyBertAugmentation(**settings))  # type: ignore[arg-type]


def by_model(**settings: object) -> TinyBertAugmenter:
    chosen = TinyBertAugmentation(**settings)  # type: ignore[arg-type]
    return TinyBertAugmenter(tiny_vectors(), tiny_candidates(chosen, batch_tokens=chosen.batch_tokens), settings=chosen)


def tiny_examples() -> list[Example]:
    pairs = tiny_pairs(7, lengths=(2, 5, 12))
    long = f"the {LONG_WORDS[0]} dog"
    return [*(Example(text=a, text_pair=b, label=i % 2, example_id=f"e{i}") for i, (a, b) in enumerate(pairs)),
            Example(text=long, text_pair="a big 7 !", label=1)]  # fmt: skip


def test_the_constants_are_the_papers() -> None:
    settings = TinyBertAugmentation()
    assert (settings.threshold, settings.copies, settings.k, settings.candidates) == (0.4, 20, 15, "changed")
    assert COPIES_OF_TASK == {
        "cola": 30, "mnli": 10, "mrpc": 30, "sst2": 20, "stsb": 30, "qqp": 10, "qnli": 20, "rte": 30,
    }  # fmt: skip


@pytest.mark.parametrize("threshold", [0.4, 0.1])
def test_words_are_replaced_at_the_rate_of_the_threshold(threshold: float) -> None:
    words = 100_000
    random = np.random.default_rng(0)
    examples = [Example(text=" ".join(random.choice(CIRCLE.words, size=100))) for _ in range(words // 100)]
    replaced = 0
    for made in by_vectors(threshold=threshold, copies=1).augment(examples):
        before, after = made[0].text.split(), made[1].text.split()
        replaced += sum(a != b for a, b in zip(before, after, strict=True))
    deviation = math.sqrt(threshold * (1 - threshold) / words)
    assert abs(replaced / words - threshold) < 4 * deviation


def test_each_candidate_is_as_likely_as_the_others() -> None:
    examples = [Example(text=" ".join(["w20"] * 100)) for _ in range(200)]
    made = [words for _, variant in by_vectors(copies=1, k=4, threshold=1.0).augment(examples)
            for words in variant.text.split()]  # fmt: skip
    counts = {word: made.count(word) for word in set(made)}
    assert set(counts) == {"w18", "w19", "w21", "w22"}
    assert all(abs(count - 5000) < 4 * math.sqrt(20_000 * 0.25 * 0.75) for count in counts.values())


def test_a_seeded_example_by_hand() -> None:
    # For each copy and word: p, and the number that chooses one of K = 2 (below 0.5 the nearer one).
    draws = np.random.default_rng([3, 0, 0]).random((2, 3, 2))
    assert draws.round(2).tolist() == [
        [[0.09, 0.24], [0.80, 0.58], [0.09, 0.43]],
        [[0.48, 0.16], [0.73, 0.11], [0.39, 0.52]],
    ]
    vectors = WordVectors(("cold", "cool", "warm", "hot"), np.array([[1, 0], [3, 1], [1, 3], [0, 1]], np.float32))
    augmenter = TinyBertAugmenter(vectors, settings=TinyBertAugmentation(copies=2, k=2, seed=3))
    # Nearest: cold -> cool, warm; hot -> warm, cool. "and" is drawn to stay, and has no vector.
    made = next(augmenter.augment([Example(text="cold and hot")]))
    assert [example.text for example in made] == ["cold and hot", "cool and warm", "cold and cool"]


def transcribed(words: list[str], draws: np.ndarray, settings: TinyBertAugmentation) -> list[str]:
    """Algorithm 1 of the paper, or the rule of its code, word by word, one forward pass for each word."""
    vectors, made = tiny_vectors(), []
    for copy in draws:
        state = list(words)
        for i, word in enumerate(words):
            if settings.candidates == "original" and (
                word in STOP_WORDS or not set(word) <= set("abcdefghijklmnopqrstuvwxyz")
            ):
                continue
            seen = words if settings.candidates == "original" else state
            if word in VOCABULARY:
                found = sorted(one_at_a_time(Blank(tuple(seen), i), settings), key=VOCABULARY.index)
            else:
                found = vectors.nearest(word, settings.k)
            p, choice = copy[i]
            if p <= settings.threshold and found:
                state[i] = found[int(choice * len(found))]
        made.append(" ".join(state))
    return made


@pytest.mark.parametrize("candidates", ["changed", "original"])
def test_the_rule_transcribed(candidates: str) -> None:
    augmenter = by_model(candidates=candidates, copies=6, k=5, seed=7)
    examples = [Example(text=text) for text in ("the red dog in old city", "what is a song ?", "moon 7 bread the sea")]
    for position, made in enumerate(augmenter.augment(examples)):
        words = examples[position].text.split()
        draws = np.random.default_rng([7, position, 0]).random((6, len(words), 2))
        wanted = transcribed(words, draws, augmenter._settings)
        assert [e.text for e in made] == list(dict.fromkeys([examples[position].text, *wanted]))


def test_words_of_several_pieces_go_by_vectors_and_the_others_by_the_model() -> None:
    augmenter = by_model(copies=40, k=2, threshold=1.0, candidates="original")
    made = next(augmenter.augment([Example(text=f"{LONG_WORDS[0]} dog")]))[1:]
    firsts, seconds = zip(*(e.text.split() for e in made), strict=True)
    assert set(firsts) == set(tiny_vectors().nearest(LONG_WORDS[0], 2))
    assert set(seconds) <= one_at_a_time_of("dog", augmenter)


def one_at_a_time_of(word: str, augmenter: TinyBertAugmenter) -> set[str]:
    assert augmenter._model is not None
    return set(augmenter._model.fill([Blank((LONG_WORDS[0], word), 1)])[0])


def test_the_published_code_leaves_stop_words_numbers_and_marks() -> None:
    assert {"the", "not", "is", "and", "of", "they"} <= STOP_WORDS
    text = "the 7 of dog ?"
    for made in by_model(candidates="original", copies=30, threshold=1.0).augment([Example(text=text)]):
        assert {tuple(e.text.split()[i] for i in (0, 1, 2, 4)) for e in made} == {("the", "7", "of", "?")}
        assert len({e.text.split()[3] for e in made}) > 2
    for made in by_model(candidates="changed", copies=30, threshold=1.0).augment([Example(text=text)]):
        for place in range(5):
            assert len({e.text.split()[place] for e in made}) > 2


def test_each_text_of_a_pair_is_varied_beside_the_original_other() -> None:
    for original, *variants in by_model(copies=4).augment(tiny_examples()):
        first = [e for e in variants if e.text != original.text]
        second = [e for e in variants if e.text_pair != original.text_pair]
        assert len(first) + len(second) == len(variants)
        assert {e.text_pair for e in first} <= {original.text_pair}
        assert {e.text for e in second} <= {original.text}
        if len(str(original.text_pair).split()) > 10:  # of fewer words some variant may repeat the original
            assert len(second) == 4


def test_labels_are_copied_and_variants_named_after_their_original() -> None:
    for original, *variants in by_model(copies=3).augment(tiny_examples()):
        assert all(variant.label == original.label for variant in variants)
        names = [f"{original.example_id}#{n}" if original.example_id else "" for n in range(1, len(variants) + 1)]
        assert [variant.example_id for variant in variants] == names


def test_the_original_comes_first_as_it_is_and_nothing_twice() -> None:
    text = "W1, W2"
    made = next(by_vectors(copies=60, k=1).augment([Example(text=text)]))
    assert made[0] == Example(text=text)
    assert len(made) == len({e.text for e in made}) == 4  # w1 or w2 or both replaced, by the one neighbour of each
    assert "w1 , w2" not in {e.text for e in made}


def test_words_without_candidates_stay() -> None:
    assert [e.text for e in next(by_vectors().augment([Example(text="unheard of")]))] == ["unheard of"]
    assert next(by_vectors().augment([Example(text="")])) == [Example(text="")]


@pytest.mark.parametrize("candidates", ["changed", "original"])
def test_results_do_not_depend_on_batches_or_where_a_run_goes_on(candidates: str) -> None:
    examples = tiny_examples()
    whole = list(by_model(candidates=candidates, copies=5).augment(examples))
    assert (
        list(by_model(candidates=candidates, copies=5, examples_at_once=1, batch_tokens=1).augment(examples)) == whole
    )
    assert list(by_model(candidates=candidates, copies=5, examples_at_once=3).augment(examples, start=4)) == whole[4:]


def test_the_seed_decides() -> None:
    examples = tiny_examples()
    first, again, other = (list(by_model(copies=2, seed=seed).augment(examples)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_equal_examples_vary_differently() -> None:
    example = Example(text=" ".join(WORDS[:12]), text_pair=" ".join(WORDS[:12]))
    one, two = by_model(copies=2).augment([example, replace(example)])
    assert one[1].text != two[1].text
    first, second = {e.text for e in one}, {e.text_pair for e in one}
    assert first & second == {example.text}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0.0}, "threshold is 0.0 but must be greater than 0 and at most 1"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"copies": 0}, "copies is 0 but must be at least 1"),
        ({"k": 0}, "k is 0 but must be at least 1"),
        ({"max_tokens": 7}, "max_tokens is 7 but must be at least 8"),
        ({"seed": -1}, "seed is -1 but must be at least 0"),
        ({"candidates": "new"}, "candidates is 'new' but must be changed or original"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TinyBertAugmentation(**settings)  # type: ignore[arg-type]
