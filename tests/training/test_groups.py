from __future__ import annotations

import pytest
import torch

from distilrank.errors import InputError
from distilrank.models.scorer import TorchScorer
from distilrank.records import Group
from distilrank.training.groups import split_groups
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer

TOKENIZER = tiny_tokenizer(max_tokens=40)


def group(count: int, *, seed: int, scores: bool = True) -> Group:
    pairs = tiny_pairs(count, seed=seed)
    return Group(
        query=pairs[0][0],
        passages=tuple(passage for _, passage in pairs),
        relevance=tuple(float(i == 0) * 2 for i in range(count)),
        scores=tuple(seed + i / 10 for i in range(count)) if scores else None,
    )


GROUPS = [group(count, seed=seed) for seed, count in enumerate((3, 1, 5, 2))]


@pytest.mark.parametrize("batch_tokens", [10_000, 20, 1])
def test_every_score_stands_where_its_passage_stands(batch_tokens: int) -> None:
    model = tiny_model()
    parts = split_groups(GROUPS, tokenizer=TOKENIZER, batch_tokens=batch_tokens)
    assert (len(parts) == 1) == (batch_tokens == 10_000)
    assert sum(part.examples for part in parts) == 4
    assert sum(part.pairs for part in parts) == 11
    place = 0
    for part in parts:
        batch = part.content
        own = GROUPS[place : place + part.examples]
        place += part.examples
        width = max(len(each.passages) for each in own)
        scores = batch.score(model)
        assert scores.shape == batch.mask.shape == batch.relevance.shape == (len(own), width)
        assert batch.scores is not None
        for row, each in enumerate(own):
            n = len(each.passages)
            assert batch.mask[row].tolist() == [True] * n + [False] * (width - n)
            expected = TorchScorer(model, TOKENIZER).score([(each.query, passage) for passage in each.passages])
            torch.testing.assert_close(scores[row, :n], torch.from_numpy(expected), rtol=0, atol=1e-5)
            assert scores[row, n:].tolist() == [0.0] * (width - n)
            assert batch.relevance[row].tolist() == [*each.relevance, *[0.0] * (width - n)]
            assert batch.scores[row, :n].tolist() == pytest.approx(each.scores)


def test_a_group_is_never_cut_but_its_pairs_are_run_in_parts() -> None:
    parts = split_groups(GROUPS, tokenizer=TOKENIZER, batch_tokens=1)
    assert [part.examples for part in parts] == [1, 1, 1, 1]
    assert [len(part.content.chunks) for part in parts] == [3, 1, 5, 2]
    for part in parts:
        assert part.tokens == sum(int(batch.attention_mask.sum()) for _, batch in part.content.chunks)
    # About four such chunks' activations are kept at once.
    tokens = [part.tokens for part in split_groups(GROUPS, tokenizer=TOKENIZER, batch_tokens=60)]
    assert sum(tokens) == sum(part.tokens for part in parts)
    assert max(tokens) <= 4 * 60


def test_without_a_teacher_there_are_no_scores() -> None:
    (part,) = split_groups([group(2, seed=0, scores=False)], tokenizer=TOKENIZER)
    assert part.content.scores is None
    with pytest.raises(InputError, match="some groups have teacher scores and some have none"):
        split_groups([GROUPS[0], group(2, seed=1, scores=False)], tokenizer=TOKENIZER)


def test_gradients_flow_through_the_scores() -> None:
    model = tiny_model()
    (part,) = split_groups(GROUPS[:1], tokenizer=TOKENIZER)
    part.content.score(model).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
