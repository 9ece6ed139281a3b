from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from distilrank.augmentation.candidates import Blank, MaskedLanguageCandidates
from distilrank.augmentation.tinybert import TinyBertAugmentation
from tests.augmentation.networks import tiny_candidates, tiny_masked_model
from tests.tiny import VOCABULARY, tiny_pairs, tiny_tokenizer

tiny_network = functools.cache(tiny_masked_model)
ORIGINAL = TinyBertAugmentation(candidates="original", k=9)
CHANGED = TinyBertAugmentation(candidates="changed", k=9)


def tiny_blanks() -> list[Blank]:
    sentences = [tuple(text.split()) for _, text in tiny_pairs(12, lengths=(1, 4, 9, 17, 40))]
    return [Blank(words, place) for words in sentences for place in range(len(words))]


def one_at_a_time(blank: Blank, settings: TinyBertAugmentation) -> set[str]:
    """The published way: one word, one forward pass, the whole text through the head."""
    masked = " ".join((*blank.words[: blank.place], "[MASK]", *blank.words[blank.place + 1 :]))
    ids = [2, *(VOCABULARY.index(word) for word in masked.split()), 3]
    types = [0] * len(ids)
    if settings.candidates == "original":
        second = [*(VOCABULARY.index(word) for word in blank.words), 3]
        ids, types = ids + second, types + [1] * len(second)
    with torch.no_grad():
        logits = tiny_network()(
            input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])
        ).logits[0, blank.place + 1]  # fmt: skip
    ranked = [VOCABULARY[i] for i in logits.argsort(descending=True)]
    if settings.candidates == "original":
        return {token for token in ranked[: settings.k] if token[:2] != "##" and token[0] != "["}
    return set([token for token in ranked if token[:2] != "##" and token[0] != "["][: settings.k])


@pytest.mark.parametrize("settings", [ORIGINAL, CHANGED], ids=["original", "changed"])
def test_candidates_are_those_found_one_at_a_time(settings: TinyBertAugmentation) -> None:
    blanks = [blank for blank in tiny_blanks() if len(blank.words) < 20]  # longer ones are seen in part
    found = tiny_candidates(settings).fill(blanks)
    assert [set(words) for words in found] == [one_at_a_time(blank, settings) for blank in blanks]
    sizes = {len(words) for words in found}
    assert sizes == {9} if settings is CHANGED else max(sizes) <= 9 and min(sizes) < 9


@pytest.mark.parametrize("settings", [ORIGINAL, CHANGED], ids=["original", "changed"])
def test_candidates_do_not_depend_on_the_batch(settings: TinyBertAugmentation) -> None:
    blanks = tiny_blanks()
    together = tiny_candidates(settings, batch_tokens=4096).fill(blanks)
    assert tiny_candidates(settings, batch_tokens=1).fill(blanks) == together
    assert tiny_candidates(settings).fill(blanks[::-1]) == together[::-1]


def test_a_call_too_close_for_a_batch_is_made_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two tokens share the last place but for a difference that the batch gives them.
    def logits(model: Any, batch: Any, places: Any) -> torch.Tensor:
        made = torch.zeros(len(batch), len(VOCABULARY))
        made[:, VOCABULARY.index("dog")] = 3
        made[:, VOCABULARY.index("cat")] = 2 + (1e-5 if len(batch) > 1 else -1e-5)
        made[:, VOCABULARY.index("bird")] = 2
        return made

    monkeypatch.setattr("distilrank.augmentation.candidates.masked_logits", logits)
    candidates = tiny_candidates(TinyBertAugmentation(k=2))
    assert candidates.fill([Blank(("red", "sky"), 0), Blank(("red", "sun"), 0)]) == [("dog", "bird")] * 2


def test_the_same_blank_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, asked = tiny_candidates(CHANGED), []
    whole = MaskedLanguageCandidates._ask
    monkeypatch.setattr(
        MaskedLanguageCandidates, "_ask", lambda self, blanks: asked.append(len(blanks)) or whole(self, blanks)
    )
    blank, other = Blank(("red", "dog"), 0), Blank(("red", "dog"), 1)
    first = candidates.fill([blank, other, blank])
    assert first[0] == first[2]
    assert candidates.fill([other, blank]) == [first[1], first[0]]
    assert asked == [2]


def test_nothing_is_kept_for_a_gradient() -> None:
    candidates = tiny_candidates(CHANGED)
    candidates.fill([Blank(("red", "dog"), 0)])
    assert all(parameter.grad is None for parameter in candidates._model.parameters())
    ids, margins = candidates._most_probable([candidates.words.encode_masked(("red",), 0)])
    assert isinstance(ids, np.ndarray)
    assert isinstance(margins, np.ndarray)


def test_more_candidates_than_words_are_all_words() -> None:
    found = MaskedLanguageCandidates(
        tiny_masked_model(), tiny_tokenizer(), k=10_000, whole_words="first", original_beside=False
    ).fill([Blank(("red", "dog"), 0)])[0]
    assert set(found) == {token for token in VOCABULARY if token[:2] != "##" and token[0] != "["}
