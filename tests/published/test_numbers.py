"""``as_published`` against what the authors' own modules computed (tools/published_numbers.py, docs/parity.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from distilrank.models.answers import Answers, Batch, answer
from distilrank.models.projections import Projections
from distilrank.models.relu_head import use_relu_head
from distilrank.procedures import simplified_tinybert, tinybert
from distilrank.procedures.simplified_tinybert import SimplifiedTinyBertSettings
from distilrank.procedures.tinybert import GeneralDistillationSettings, LayerSettings, TinyBertSettings
from distilrank.procedures.tinybert.layers import imitation
from distilrank.training.examples import LabelledBatch
from distilrank.training.optimiser import build_optimiser, clip_gradients
from tests.published.inputs import LENGTHS, STUDENT, TEACHER, VOCABULARY, Size, changes, fill, inputs, weight

NUMBERS = json.loads(Path(__file__).with_name("numbers.json").read_text(encoding="utf-8"))
PUBLISHED: dict[str, Any] = {"max_tokens": 256, "as_published": True}
BY_LENGTH = pytest.mark.parametrize("length", LENGTHS)


def relative(expected: float) -> object:
    return pytest.approx(expected, rel=1e-6, abs=0.0)


def network(size: Size, role: str, labels: int = 2) -> PreTrainedModel:
    """A network with a ReLU before the classifier, as their student and their teacher both have it."""
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=labels,
        **size,
    )
    model = BertForSequenceClassification(config)
    fill(model, role)
    use_relu_head(model)
    return model


def batch_of(length: int, labels: str = "classes") -> LabelledBatch:
    given = inputs(length)
    batch = Batch(given["input_ids"], given["input_mask"], given["segment_ids"])
    return LabelledBatch(batch, given["numbers"] if labels == "numbers" else given["classes"])


def fitted(projections: Projections) -> None:
    """Give the shared projection the values of their ``fit_dense``."""
    hidden = projections.double().hidden
    assert isinstance(hidden, nn.Linear)
    for name, parameter in hidden.named_parameters():
        parameter.data = torch.from_numpy(weight("student", f"fit_dense.{name}", tuple(parameter.shape)))


def layer_losses(
    student: PreTrainedModel, teacher: PreTrainedModel, length: int, settings: LayerSettings
) -> dict[str, float]:
    projections, terms = imitation(student, teacher, settings, seed=0)
    fitted(projections)
    found = {name: term.item() for name, term in terms(batch_of(length).batch).items()}
    return {"att_loss": found["attention"], "rep_loss": found["embedding"] + found["hidden"]}


@BY_LENGTH
def test_general_distillation(length: int) -> None:
    student, teacher = network(STUDENT, "student"), network(TEACHER, "teacher")
    fill(teacher.base_model, "encoder")  # a language model
    losses = layer_losses(student, teacher, length, GeneralDistillationSettings(**PUBLISHED))
    expected = NUMBERS["tinybert"]["terms"][str(length)]["general"]
    assert losses == {name: relative(value) for name, value in expected.items()}


@BY_LENGTH
def test_the_layers_stage(length: int) -> None:
    losses = layer_losses(
        network(STUDENT, "student"), network(TEACHER, "teacher"), length, TinyBertSettings(**PUBLISHED)
    )
    expected = NUMBERS["tinybert"]["terms"][str(length)]["layers"]
    assert losses == {name: relative(value) for name, value in expected.items()}


@BY_LENGTH
@pytest.mark.parametrize(("labels", "mode"), [(3, "classification"), (1, "regression")])
def test_the_answers_stage(length: int, labels: int, mode: str) -> None:
    batch = batch_of(length, "numbers" if labels == 1 else "classes")
    settings = TinyBertSettings(**PUBLISHED, temperature=2.0)
    ours, theirs = (
        answer(network(size, role, labels), batch.batch) for size, role in ((STUDENT, "student"), (TEACHER, "teacher"))
    )
    problem = "regression" if labels == 1 else None
    from_labels = settings.learns_from_labels(problem)
    (term,) = tinybert.answer_terms(ours, None if from_labels else theirs, batch, settings, problem=problem).values()
    assert term.item() == relative(NUMBERS["tinybert"]["terms"][str(length)][f"answers of {mode}"]["cls_loss"])


@BY_LENGTH
def test_the_one_step_of_simplified_tinybert(length: int) -> None:
    student, teacher = network(STUDENT, "student"), network(TEACHER, "teacher")
    projections = Projections(student_width=12, teacher_width=24, as_published=True)
    fitted(projections)
    batch, mapping = batch_of(length), (2, 4)
    answers: list[Answers] = [
        answer(model, batch.batch, hidden_states=True, attention_layers=layers)
        for model, layers in ((student, (1, 2)), (teacher, mapping))
    ]
    settings = SimplifiedTinyBertSettings(**PUBLISHED)
    terms = simplified_tinybert.loss_terms(*answers, batch, projections, mapping, settings)
    found = {name: term.item() for name, term in terms.items()}
    assert {
        "att_loss": found["attention"],
        "rep_loss": found["embedding"] + found["hidden"],
        "soft_loss": found["soft"],
        "hard_loss": found["hard"],
        "loss": sum(found.values()),
    } == {name: relative(value) for name, value in NUMBERS["simplified_tinybert"]["terms"][str(length)].items()}


def test_three_steps_of_their_optimiser() -> None:
    """Without bias correction, each tensor's gradient clipped by itself, decay on matrices alone."""
    told = NUMBERS["tinybert"]["optimiser"]
    student, teacher = network(STUDENT, "student", 3), network(TEACHER, "teacher", 3)
    settings = TinyBertSettings(**PUBLISHED)
    projections, terms = imitation(student, teacher, settings, seed=0)
    fitted(projections)
    both = nn.ModuleDict({"student": student, "fit_dense": projections.hidden})
    # only what the projection and the student share with their one network, under their names
    named = {name.removeprefix("student."): parameter for name, parameter in both.named_parameters()}
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    training = settings.of_stage(settings.layers)
    optimiser = build_optimiser(named.values(), training)
    for group in optimiser.param_groups:
        group["lr"] = told["learning_rate"]
    for _ in range(told["steps"]):
        torch.stack(list(terms(batch_of(LENGTHS[0]).batch).values())).sum().backward()
        clip_gradients([p for p in named.values() if p.grad is not None], training)
        optimiser.step()
        optimiser.zero_grad()
    found = changes(before, {name: parameter.detach() for name, parameter in named.items()})
    assert found.keys() == told["changes"].keys()
    assert found == {name: pytest.approx(value, rel=1e-6, abs=1e-12) for name, value in told["changes"].items()}
