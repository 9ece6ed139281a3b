from __future__ import annotations

import pytest
from transformers import PreTrainedModel

from distilrank.errors import ModelError, SettingsError
from distilrank.models.load import name_labels
from distilrank.models.matching import (
    require_positions,
    require_relation_heads,
    require_same_heads,
    require_same_labels,
    require_same_tokens,
)
from tests.tiny import tiny_model, tiny_tokenizer


def named(*names: str) -> PreTrainedModel:
    model = tiny_model(num_labels=len(names))
    name_labels(model.config, names, num_labels=len(names))
    return model


def test_labels() -> None:
    require_same_labels(named("no", "yes"), named("no", "yes"))
    require_same_labels(tiny_model(num_labels=2), named("no", "yes"))  # not named, so nothing is known to be wrong
    with pytest.raises(ModelError, match=r"student has 3 label\(s\) and the teacher 2"):
        require_same_labels(tiny_model(num_labels=3), named("no", "yes"))
    require_same_labels(named("No", "Yes"), named("no", "yes"))
    require_same_labels(named("0", "1"), named("no", "yes"))
    require_same_labels(named("score"), named("relevance"))  # a ranker's one logit
    with pytest.raises(ModelError, match="of the student are ordered yes, no but those of the teacher no, yes"):
        require_same_labels(named("yes", "no"), named("no", "yes"))
    with pytest.raises(ModelError, match=r"of the student are good, bad but .* no, yes, and nothing says which is"):
        require_same_labels(named("good", "bad"), named("no", "yes"))


def test_tokens() -> None:
    require_same_tokens(tiny_tokenizer(), tiny_tokenizer())
    # Limits on length are the run's business and say nothing about the vocabulary.
    require_same_tokens(tiny_tokenizer(max_tokens=8), tiny_tokenizer(max_tokens=60))
    with pytest.raises(ModelError, match="different token ids"):
        require_same_tokens(tiny_tokenizer(), tiny_tokenizer(lowercase=False))


def test_heads() -> None:
    require_same_heads(tiny_model(hidden=8), tiny_model(hidden=16))
    other = tiny_model()
    other.config.num_attention_heads = 2
    with pytest.raises(ModelError, match=r"student has 2 attention heads and the teacher 4; .* with attention: 0"):
        require_same_heads(other, tiny_model())


@pytest.mark.parametrize(("family", "limit"), [("bert", 64), ("roberta", 63)])
def test_positions(family: str, limit: int) -> None:
    require_positions(tiny_model(family), limit)
    with pytest.raises(SettingsError, match=f"max_tokens is {limit + 1}, but .* has positions for {limit} tokens"):
        require_positions(tiny_model(family), limit + 1)


def test_relation_heads_must_divide_both_widths() -> None:
    require_relation_heads(tiny_model(hidden=8), tiny_model(hidden=16), 8)
    with pytest.raises(SettingsError, match="must divide the student's width 12 and the teacher's 16, as 4 does"):
        require_relation_heads(tiny_model(hidden=12), tiny_model(hidden=16), 8)
    with pytest.raises(SettingsError, match="must divide the student's width 16 and the teacher's 12, as 4 does"):
        require_relation_heads(tiny_model(hidden=16), tiny_model(hidden=12), 8)
    with pytest.raises(SettingsError, match=r"relation_heads is 3 .* as 2 does"):
        require_relation_heads(tiny_model(hidden=16), tiny_model(hidden=16), 3)
