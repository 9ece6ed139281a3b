from __future__ import annotations

import sys

import pytest

from distilrank.augmentation.rules import RulesAugmenter, RulesSettings
from distilrank.augmentation.tagger import english_tagger
from distilrank.errors import MissingExtraError
from distilrank.records import Example


def test_words_are_tagged_one_by_one() -> None:
    tag = english_tagger()
    assert tag("a gorgeous , witty movie never runs".split()) == ["DT", "JJ", ",", "JJ", "NN", "RB", "VBZ"]
    strange = ["a/b", "[MASK]", "東京", ".", "!", "\U0001f600", "don't"]
    assert len(tag(strange)) == len(strange)
    assert tag([]) == []


def test_with_it_words_are_replaced_by_their_kind() -> None:
    examples = [Example(text=text) for text in ("the movie is great", "the plot is boring", "the film is witty")]
    settings = RulesSettings(mask=0, replace=1, ngram=0)
    for variants in RulesAugmenter(english_tagger(), settings).augment(examples):
        for variant in variants:
            article, noun, verb, adjective = variant.text.split()
            assert (article, verb) == ("the", "is")
            assert noun in {"movie", "plot", "film"}
            assert adjective in {"great", "boring", "witty"}


def test_its_absence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textblob.en", None)
    with pytest.raises(MissingExtraError, match=r"distilrank\[augment\]"):
        english_tagger()
