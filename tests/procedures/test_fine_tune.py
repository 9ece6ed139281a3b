from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.answers import Batch
from distilrank.models.scorer import TorchScorer
from distilrank.procedures.fine_tune import (
    OBJECTIVES,
    FineTuneSettings,
    classifier_loss_terms,
    fine_tune_classifier,
    fine_tune_ranker,
    ranker_loss_terms,
)
from distilrank.records import Example, Group
from distilrank.training.examples import LabelledBatch
from distilrank.training.groups import GroupBatch, split_groups
from distilrank.training.journal import read_steps
from distilrank.training.settings import TrainingSettings
from tests.tiny import tiny_model, tiny_tokenizer

# A word in common makes a passage relevant: something that a tiny network learns in seconds.
GROUPS = [
    Group(
        query=word,
        passages=(f"the {word} city", f"old {other} stone", f"{third} and sky"),
        relevance=(1.0, 0.0, 0.0),
        scores=(2.0, -1.0, -3.0),
        query_id=f"q-{word}",
    )
    for word, other, third in [
        ("dog", "cat", "bread"), ("cat", "war", "dog"), ("war", "bread", "cat"), ("bread", "dog", "war"),
    ]
]  # fmt: skip


def settings(*objectives: str, steps: int = 2, **options: Any) -> FineTuneSettings:
    training = TrainingSettings(max_steps=steps, batch_size=4, learning_rate=3e-3, trackers=())
    return FineTuneSettings(objectives=objectives or ("info_nce",), max_tokens=32, training=training, **options)


class Says(torch.nn.Module):
    """A network whose logit for a pair stands in the place of its first token."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **options: object) -> SimpleNamespace:
        return SimpleNamespace(logits=input_ids[:, :1], hidden_states=None)


def batch_with(
    given: list[list[float]], relevance: list[list[float]], scores: list[list[float]] | None = None
) -> GroupBatch:
    """Groups to which ``Says`` gives these scores; a score of NaN stands for no passage."""
    logits = torch.tensor(given).flatten()
    real = ~logits.isnan()
    cells = real.nonzero().flatten()
    tokens = logits[cells].unsqueeze(1)
    return GroupBatch(
        chunks=((cells, Batch(tokens, torch.ones_like(tokens), torch.zeros_like(tokens))),),
        relevance=torch.tensor(relevance),
        scores=None if scores is None else torch.tensor(scores),
        mask=real.view(len(given), -1),
    )


def terms_of(batch: GroupBatch, *objectives: str, **options: Any) -> dict[str, torch.Tensor]:
    return ranker_loss_terms(Says(), batch, settings(*objectives, **options))  # type: ignore[arg-type]


def softplus(z: float) -> float:
    return math.log1p(math.exp(z))


def test_by_hand_each_objective() -> None:
    batch = batch_with([[1.0, 2.0, 0.0], [3.0, 1.0, math.nan]], [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    terms = terms_of(batch, "info_nce", "bce", "listwise", temperature=2.0)
    # info_nce: log(e^1 + e^2 + e^0) - 1 and log(e^3 + e^1) - 1
    first, second = math.log(math.e + math.e**2 + 1) - 1, math.log(math.e**3 + math.e) - 1
    assert terms["info_nce"].item() == pytest.approx((first + second) / 2, rel=1e-6)
    # bce: a relevance of 2 counts as 1; each group by its own mean, and the padded passage not at all
    first, second = (softplus(-1) + softplus(2) + softplus(0)) / 3, (softplus(3) + softplus(-1)) / 2
    assert terms["bce"].item() == pytest.approx((first + second) / 2, rel=1e-6)
    # listwise on judgements, temperature 2 on both sides, times 4
    expected = 0.0
    for scores, gains in (([1.0, 2.0, 0.0], [2.0, 0.0, 0.0]), ([3.0, 1.0], [0.0, 1.0])):
        wanted = np.exp(np.array(gains) / 2) / np.exp(np.array(gains) / 2).sum()
        given = np.array(scores) / 2 - np.log(np.exp(np.array(scores) / 2).sum())
        expected -= float((wanted * given).sum()) * 4 / 2
    assert terms["listwise"].item() == pytest.approx(expected, rel=1e-6)
    assert list(terms) == ["info_nce", "bce", "listwise"]


def test_gains_may_be_the_scores_given_with_the_groups() -> None:
    given, gains = [[1.0, 2.0, 0.0]], [[2.0, 0.0, -2.0]]
    batch = batch_with(given, [[1.0, 0.0, 0.0]], scores=gains)
    by_scores = terms_of(batch, "listwise", gains="scores")["listwise"]
    assert by_scores.item() == terms_of(batch_with(given, gains), "listwise")["listwise"].item()
    assert by_scores.item() != terms_of(batch, "listwise")["listwise"].item()


@pytest.mark.parametrize(
    ("objectives", "gains"), [(("info_nce",), "relevance"), (("bce",), "relevance"), (("listwise",), "scores")]
)
def test_a_ranker_learns_to_put_the_relevant_first(tmp_path: Path, objectives: tuple[str, ...], gains: str) -> None:
    model = tiny_model(seed=4)
    told = settings(*objectives, steps=60, gains=gains)
    result = fine_tune_ranker(model, tiny_tokenizer(), GROUPS, settings=told, folder=tmp_path / "run", command={})
    scores = TorchScorer(model, tiny_tokenizer()).score([(g.query, p) for g in GROUPS for p in g.passages])
    assert scores.reshape(4, 3).argmax(axis=1).tolist() == [0, 0, 0, 0]
    first, *_, last = read_steps(result.history)
    assert list(first["terms"]) == list(objectives)
    assert last["loss"] < first["loss"]
    # Calibrated (or trained as such): a probability of more than a half says relevant.
    assert (scores.reshape(4, 3)[:, 0] > 0).all()
    assert (scores.reshape(4, 3)[:, 1:] < 0).all()


def test_calibration_changes_the_scale_and_not_the_order(tmp_path: Path) -> None:
    pairs = [(group.query, passage) for group in GROUPS for passage in group.passages]
    scores = {}
    for count in (0, 4):
        model = tiny_model(seed=4)
        told = settings(steps=30, calibration_groups=count)
        folder = tmp_path / str(count)
        fine_tune_ranker(model, tiny_tokenizer(), GROUPS, settings=told, folder=folder, command={})
        scores[count] = TorchScorer(model, tiny_tokenizer()).score(pairs)
        # Run again, the finished run is loaded and calibrated anew, from the same weights to the same head.
        again = tiny_model(seed=9)
        fine_tune_ranker(again, tiny_tokenizer(), GROUPS, settings=told, folder=folder, command={})
        np.testing.assert_array_equal(TorchScorer(again, tiny_tokenizer()).score(pairs), scores[count])
    assert not np.allclose(scores[0], scores[4])
    a, b = np.polyfit(scores[0], scores[4], 1)
    assert a > 0
    np.testing.assert_allclose(scores[4], a * scores[0] + b, atol=1e-4)


def test_bce_needs_no_calibration() -> None:
    assert settings("info_nce").calibrates
    assert not settings("info_nce", "bce").calibrates
    assert not settings("listwise", calibration_groups=0).calibrates


@pytest.mark.parametrize("objectives", [("info_nce",), ("bce",), ("listwise",), ("info_nce", "bce", "listwise")])
def test_small_batches_have_the_gradient_of_a_large_one(objectives: tuple[str, ...]) -> None:
    groups = [*GROUPS, Group(query="red", passages=("red", "blue sea and sky"), relevance=(0.0, 3.0))]
    groups = [Group(query=g.query, passages=g.passages, relevance=g.relevance) for g in groups]
    gradients = []
    for batch_tokens in (10_000, 12, 1):
        model = tiny_model(seed=1)
        parts = split_groups(groups, tokenizer=tiny_tokenizer(), batch_tokens=batch_tokens)
        assert sum(part.examples for part in parts) == 5
        for part in parts:
            terms = ranker_loss_terms(model, part.content, settings(*objectives))
            (torch.stack(list(terms.values())).sum() * part.examples / 5).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert len(split_groups(groups, tokenizer=tiny_tokenizer(), batch_tokens=1)) == 5
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=1e-4, atol=1e-6)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients[0].values())


# --- classifiers


@pytest.mark.parametrize(
    ("problem", "num_labels", "labels", "term"),
    [
        ("single_label_classification", 3, [0, 2], "cross_entropy"),
        ("multi_label_classification", 3, [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], "binary_cross_entropy"),
        ("regression", 1, [0.5, -2.0], "squared_error"),
    ],
)
def test_what_a_classifier_minimises(problem: str, num_labels: int, labels: list[Any], term: str) -> None:
    model = tiny_model(num_labels=num_labels)
    model.config.problem_type = problem
    arrays = tiny_tokenizer().pad(tiny_tokenizer().encode(["red dog", "blue sea and sky"]))
    batch = LabelledBatch(Batch.from_arrays(arrays), torch.tensor(labels))
    terms = classifier_loss_terms(model, batch)
    with torch.no_grad():
        # transformers computes the same from the same problem_type.
        own = model(
            batch.batch.input_ids,
            attention_mask=batch.batch.attention_mask,
            token_type_ids=batch.batch.token_type_ids,
            labels=batch.labels,
        ).loss
    assert {name: value.item() for name, value in terms.items()} == {term: pytest.approx(own.item(), rel=1e-5)}


def test_a_classifier_learns(tmp_path: Path) -> None:
    examples = [
        Example(text=f"{a} {b}", label=int(a == "red")) for a in ("red", "blue") for b in ("dog", "sea", "city")
    ]
    model = tiny_model(num_labels=2, seed=1)
    told = settings(steps=60)
    fine_tune_classifier(model, tiny_tokenizer(), examples, settings=told, folder=tmp_path / "run", command={})
    logits = TorchScorer(model, tiny_tokenizer()).logits([example.text for example in examples])
    assert logits.argmax(axis=1).tolist() == [example.label for example in examples]


def test_examples_without_labels_are_refused() -> None:
    arrays = tiny_tokenizer().pad(tiny_tokenizer().encode(["red dog"]))
    with pytest.raises(InputError, match="no label"):
        classifier_loss_terms(tiny_model(num_labels=2), LabelledBatch(Batch.from_arrays(arrays), None))


# --- refusals, all of them before a folder is made


def refuse(groups: list[Group], told: FineTuneSettings, **change: Any) -> None:
    given = {"model": tiny_model(), "tokenizer": tiny_tokenizer(), **change}
    try:
        fine_tune_ranker(groups=groups, settings=told, folder=Path("never made"), command={}, **given)
    finally:
        assert not Path("never made").exists()


def group(relevance: tuple[float, ...], **fields: Any) -> Group:
    return Group(query="red", passages=tuple("abc"[: len(relevance)]), relevance=relevance, **fields)


@pytest.mark.parametrize(
    ("bad", "told", "problem"),
    [
        (group((1.0, 1.0)), settings("info_nce"), "number 5 cannot be learned from: info_nce"),
        (group((0.0, 0.0), query_id="q9"), settings("info_nce"), "query 'q9' cannot be learned from: info_nce"),
        (group((1.0,)), settings("listwise"), "listwise compares passages"),
        (group((1.0, 0.0)), settings("listwise", gains="scores"), "no pos_scores and neg_scores"),
    ],
)
def test_groups_that_teach_nothing_are_refused(bad: Group, told: FineTuneSettings, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        refuse([*GROUPS, bad], told)


def test_groups_that_cannot_calibrate_are_refused_before_training() -> None:
    unjudged = [group((0.0, 0.0), scores=(1.0, 2.0)) for _ in range(3)]
    with pytest.raises(InputError, match="calibration_groups: 0"):
        refuse(unjudged, settings("listwise", gains="scores"))


def test_what_is_no_ranker_is_refused() -> None:
    with pytest.raises(ModelError, match="a ranker has one logit, but this model has 2"):
        refuse(GROUPS, settings(), model=tiny_model(num_labels=2))
    with pytest.raises(InputError, match="no examples to train on"):
        refuse([], settings())
    long = FineTuneSettings(max_tokens=65)
    with pytest.raises(SettingsError, match="has positions for 64 tokens"):
        refuse(GROUPS, long)
    with pytest.raises(SettingsError, match="has positions for 64 tokens"):
        fine_tune_classifier(
            tiny_model(), tiny_tokenizer(), [Example(text="a")], settings=long, folder=Path("never made"), command={}
        )


def test_a_ranker_that_learned_nothing_says_what_to_do(tmp_path: Path) -> None:
    model = tiny_model()
    torch.nn.init.zeros_(model.classifier.weight)
    training = TrainingSettings(max_steps=1, learning_rate=1e-30, trackers=())
    told = FineTuneSettings(max_tokens=32, training=training)
    with pytest.raises(ModelError, match=r"no higher scores than others.*calibration_groups: 0"):
        fine_tune_ranker(model, tiny_tokenizer(), GROUPS, settings=told, folder=tmp_path / "run", command={})


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"objectives": ()}, "objectives is empty; name at least one of info_nce, bce, listwise"),
        ({"objectives": ("infonce",)}, "'infonce' is unknown; did you mean 'info_nce'"),
        ({"gains": "labels"}, "gains is 'labels' but must be relevance or scores"),
        ({"calibration_groups": -1}, "calibration_groups is -1"),
        ({"temperature": 0}, "temperature is 0"),
        ({"max_tokens": 2}, "max_tokens is 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        FineTuneSettings(**wrong)


def test_the_objectives_by_name() -> None:
    assert list(OBJECTIVES) == ["info_nce", "bce", "listwise"]
