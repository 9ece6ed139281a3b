from __future__ import annotations

import numpy as np
import pytest
import torch

from distilrank.models import first_token
from distilrank.models.scorer import TorchScorer
from distilrank.models.teacher_scorer import TeacherScorer
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer

PAIRS = tiny_pairs(60)
FAMILIES = ("bert", "roberta", "electra", "distilbert")


def scored(model_type: str = "bert", **options: object) -> np.ndarray:
    return TeacherScorer(tiny_model(model_type), tiny_tokenizer(), batch_tokens=200, **options).score(PAIRS)  # type: ignore[arg-type]


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_scores_of_the_whole_network(model_type: str) -> None:
    expected = TorchScorer(tiny_model(model_type), tiny_tokenizer()).score(PAIRS)
    assert expected.std() > 0.01
    np.testing.assert_allclose(scored(model_type), expected, atol=1e-5)


def test_the_last_layer_reads_all_tokens_and_computes_one() -> None:
    lengths: list[tuple[int, int]] = []
    model = tiny_model()
    scorer = TeacherScorer(model, tiny_tokenizer())
    last, attention = model.bert.encoder.layer[-1], model.bert.encoder.layer[-1].attention.self
    attention.key.register_forward_hook(lambda _, inputs, output: lengths.append((inputs[0].shape[1], output.shape[1])))
    last.intermediate.register_forward_hook(lambda _, inputs, output: lengths.append((0, output.shape[1])))
    scorer.score(PAIRS[:1])
    assert lengths[0][0] > 1
    assert lengths[1] == (0, 1)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_bf16_is_close_and_its_logits_are_not_rounded_to_bf16(model_type: str) -> None:
    expected = TorchScorer(tiny_model(model_type), tiny_tokenizer()).score(PAIRS)
    found = scored(model_type, precision="bf16")
    np.testing.assert_allclose(found, expected, atol=0.1 * expected.std() + 0.01)
    assert np.abs(found - expected).max() > 1e-6
    if model_type != "distilbert":  # which runs in autocast, head and all
        assert (torch.from_numpy(found).bfloat16().float().numpy() != found).mean() > 0.5


def test_a_score_does_not_depend_on_threads_and_they_are_as_before() -> None:
    before = torch.get_num_threads()
    np.testing.assert_array_equal(scored(threads=1), scored(threads=3))
    assert torch.get_num_threads() == before


def test_tokens_are_counted() -> None:
    tokenizer = tiny_tokenizer()
    scorer = TeacherScorer(tiny_model(), tokenizer, batch_tokens=1)  # each pair alone, without padding
    scorer.score(PAIRS)
    assert scorer.tokens == sum(map(len, tokenizer.encode([q for q, _ in PAIRS], [p for _, p in PAIRS])))


def test_who_reads_the_first_token_alone() -> None:
    assert [first_token.reads_first_token(tiny_model(name)) for name in FAMILIES] == [True, True, True, False]
    eager = tiny_model()
    eager.set_attn_implementation("eager")
    assert not first_token.reads_first_token(eager)
