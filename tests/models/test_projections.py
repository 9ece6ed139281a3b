from __future__ import annotations

import torch
from torch import nn

from distilrank.models.projections import Projections

RANDOM = torch.Generator().manual_seed(0)
STATES = tuple(torch.randn(2, 3, 4, generator=RANDOM) for _ in range(3))


def test_embeddings_and_layers_have_one_matrix_each_as_in_the_paper() -> None:
    projections = Projections(student_width=4, teacher_width=6)
    assert {name: tuple(p.shape) for name, p in projections.named_parameters()} == {
        "hidden.weight": (6, 4),
        "embedding.weight": (6, 4),
    }
    mapped = projections(STATES)
    weights = [projections.embedding.weight, projections.hidden.weight, projections.hidden.weight]
    for found, states, weight in zip(mapped, STATES, weights, strict=True):
        torch.testing.assert_close(found, torch.einsum("bld,ed->ble", states, weight))


def test_equal_widths_are_compared_as_they_are() -> None:
    projections = Projections(student_width=4, teacher_width=4)
    assert list(projections.parameters()) == []
    for found, states in zip(projections(STATES), STATES, strict=True):
        assert found is states


def test_as_published_one_map_with_a_bias_serves_all_also_where_widths_are_equal() -> None:
    for width in (4, 6):
        projections = Projections(student_width=4, teacher_width=width, as_published=True)
        assert sorted(name for name, _ in projections.named_parameters()) == ["hidden.bias", "hidden.weight"]
        assert isinstance(projections.hidden, nn.Linear)
        for found, states in zip(projections(STATES), STATES, strict=True):
            torch.testing.assert_close(found, projections.hidden(states))


def test_the_seed_decides_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, same, other = (Projections(student_width=4, teacher_width=6, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.hidden.weight, same.hidden.weight)
    assert not torch.equal(first.hidden.weight, other.hidden.weight)
    assert not torch.equal(first.hidden.weight, first.embedding.weight)
