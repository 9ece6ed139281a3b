from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, rel_entr, softmax
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.answers import Answers, Batch
from distilrank.models.projections import Projections
from distilrank.procedures import bert_rankers
from distilrank.procedures.bert_rankers import BertRankersSettings, distil, loss_terms
from distilrank.procedures.tinybert import GeneralDistillationSettings, general_distil
from distilrank.records import Example
from distilrank.training.examples import LabelledBatch
from distilrank.training.journal import read_steps
from distilrank.training.settings import TrainingSettings
from tests.procedures.networks import MAX_TOKENS, as_batches, labelled_pairs, modes, teacher_and_student
from tests.tiny import tiny_model, tiny_tokenizer

Array = NDArray[np.float64]
LAYERS = ("embedding", "hidden", "attention")
NOTHING = Batch(*(torch.zeros(2, 1, dtype=torch.int64) for _ in range(3)))


def training(steps: int = 3, **options: Any) -> TrainingSettings:
    return TrainingSettings(max_steps=steps, **{"learning_rate": 1e-3, "batch_size": 4, "trackers": (), **options})


def with_heads(model: PreTrainedModel, heads: int) -> PreTrainedModel:
    """The same weights, read as another number of heads."""
    model.config.num_attention_heads = heads
    for layer in model.bert.encoder.layer:
        layer.attention.self.num_attention_heads = heads
        layer.attention.self.attention_head_size = model.config.hidden_size // heads
    return model


# --- what the terms should be, computed without distilrank


def states_of(model: PreTrainedModel, batch: Batch) -> list[Array]:
    with torch.no_grad():
        output = model.bert(batch.input_ids, batch.attention_mask, batch.token_type_ids, output_hidden_states=True)
    return [states.numpy() for states in output.hidden_states]


def projected(model: PreTrainedModel, states: Sequence[Array], layer: int) -> dict[str, Array]:
    """Queries, keys and values of a layer, counted from 1, all heads side by side."""
    weights = {name: w.numpy() for name, w in model.bert.encoder.layer[layer - 1].attention.self.state_dict().items()}
    read = states[layer - 1]
    return {name: read @ weights[f"{name}.weight"].T + weights[f"{name}.bias"] for name in ("query", "key", "value")}


def tinybert_layers(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    batch: Batch,
    projections: Projections,
    mapping: Sequence[int],
    *,
    heads: int = 4,
    relation_heads: int | None = None,
) -> dict[str, float]:
    """Equations 7 to 9 of TinyBERT, or 4 to 6 of MiniLMv2 for the attention, on one example's real tokens at a time."""
    ours, theirs = states_of(student, batch), states_of(teacher, batch)
    w_e, w_h = (m.weight.detach().numpy().T for m in (projections.embedding, projections.hidden))
    layers = list(enumerate(mapping, start=1))
    rows = []
    for row, n in enumerate(batch.attention_mask.sum(dim=1).tolist()):

        def scores(model: PreTrainedModel, states: Sequence[Array], layer: int, row: int = row, n: int = n) -> Array:
            parts = projected(model, states, layer)
            q, k = (parts[name][row, :n].reshape(n, heads, -1) for name in ("query", "key"))
            return np.einsum("ihd,jhd->hij", q, k) / np.sqrt(q.shape[2])

        def relations(model: PreTrainedModel, states: Sequence[Array], layer: int, row: int = row, n: int = n) -> Array:
            stacked = np.stack([part[row, :n] for part in projected(model, states, layer).values()])
            x = stacked.reshape(3, n, relation_heads, -1)
            return softmax(np.einsum("xihd,xjhd->xhij", x, x) / np.sqrt(x.shape[3]), axis=-1)

        if relation_heads is None:
            attention = sum(np.square(scores(student, ours, m) - scores(teacher, theirs, g)).mean() for m, g in layers)
        else:
            m, g = layers[-1]
            divergences = rel_entr(relations(teacher, theirs, g), relations(student, ours, m))
            attention = divergences.sum(axis=-1).mean(axis=(1, 2)).sum()
        rows.append(
            {
                "embedding": np.square(ours[0][row, :n] @ w_e - theirs[0][row, :n]).mean(),
                "hidden": sum(np.square(ours[m][row, :n] @ w_h - theirs[g][row, :n]).mean() for m, g in layers),
                "attention": attention,
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in LAYERS}


def classes_of(model: PreTrainedModel, batch: Batch) -> Array:
    """Two class logits: the one logit z of a ranker is [0, z]."""
    with torch.no_grad():
        z = model(batch.input_ids, batch.attention_mask, batch.token_type_ids).logits.numpy()
    return np.concatenate([np.zeros_like(z), z], axis=1)


def soft_and_hard(
    student: PreTrainedModel, teacher: PreTrainedModel, batch: LabelledBatch, temperature: float
) -> dict[str, float]:
    ours, theirs = classes_of(student, batch.batch), classes_of(teacher, batch.for_teacher)
    soft = -softmax(theirs / temperature, axis=1) * log_softmax(ours / temperature, axis=1) * temperature**2
    assert batch.labels is not None
    hard = -log_softmax(ours, axis=1)[np.arange(len(ours)), batch.labels.numpy()]
    return {"soft": float(soft.sum(axis=1).mean()), "hard": float(hard.mean())}


def close(expected: Mapping[str, float]) -> dict[str, object]:
    return {name: pytest.approx(value, rel=1e-6, abs=0.0) for name, value in expected.items()}


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Mapping[str, Any]]:
    """Run the procedure up to the loop; return what the loop was told, with each micro-batch's terms as numbers."""

    def run(
        student: PreTrainedModel, teacher: PreTrainedModel, settings: BertRankersSettings, **options: Any
    ) -> Mapping[str, Any]:
        told: dict[str, Any] = {}

        def fake(**given: Any) -> None:
            if given["projections"] is not None:
                given["projections"].to(student.dtype)
            parts = given["split"](labelled_pairs(6))
            terms = [{n: t.item() for n, t in given["loss_terms"](part.content).items()} for part in parts]
            told.update(given, contents=[part.content for part in parts], terms=terms)

        monkeypatch.setattr(bert_rankers, "train", fake)
        distil(student, teacher, tiny_tokenizer(), [], settings=settings, folder=Path("run"), command={}, **options)
        return told

    return run


# --- the equations


@pytest.mark.parametrize("mapping", ["uniform", (1, 3), (4, 1)])
def test_the_layers_are_those_that_the_mapping_names(inside: Callable[..., Any], mapping: Any) -> None:
    teacher, student = teacher_and_student()
    told = inside(student, teacher, BertRankersSettings(mapping=mapping, max_tokens=MAX_TOKENS, batch_tokens=100))
    assert told["model"] is student
    assert len(told["contents"]) > 1
    for batch, terms in zip(told["contents"], told["terms"], strict=True):
        assert batch.batch.input_ids.numel() <= 100
        layers = (2, 4) if mapping == "uniform" else mapping
        expected = tinybert_layers(student, teacher, batch.batch, told["projections"], layers)
        assert {name: terms[name] for name in LAYERS} == close(expected)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("ranker_distillation", {*LAYERS, "soft"}),
        ("fine_tuning", {"hard"}),
        ("both", {*LAYERS, "soft", "hard"}),
    ],
)
def test_each_task_minimises_its_terms(inside: Callable[..., Any], task: Any, names: set[str]) -> None:
    teacher, student = teacher_and_student()
    settings = BertRankersSettings(task=task, temperature=2.0, max_tokens=24, batch_tokens=100)
    told = inside(student, teacher, settings)
    assert len(told["contents"]) > 1
    for batch, terms in zip(told["contents"], told["terms"], strict=True):
        assert batch.batch.input_ids.shape[1] <= 24
        expected = soft_and_hard(student, teacher, batch, 2.0)
        if task != "fine_tuning":
            expected |= tinybert_layers(student, teacher, batch.batch, told["projections"], (2, 4))
        assert terms == close({name: expected[name] for name in names})


def test_relations_stand_in_for_scores_where_heads_differ(inside: Callable[..., Any]) -> None:
    teacher, student = teacher_and_student()
    with_heads(student, 2)
    settings = BertRankersSettings(
        mapping=(1, 3), attention_by="relations", relation_heads=8, max_tokens=MAX_TOKENS, batch_tokens=100
    )
    told = inside(student, teacher, settings)
    for batch, terms in zip(told["contents"], told["terms"], strict=True):
        expected = tinybert_layers(student, teacher, batch.batch, told["projections"], (1, 3), relation_heads=8)
        assert {name: terms[name] for name in LAYERS} == close(expected)


@pytest.mark.parametrize("name", [*LAYERS, "soft", "hard"])
def test_a_weight_scales_its_term_and_zero_removes_it(inside: Callable[..., Any], name: str) -> None:
    (whole,), (without,), (tripled,) = (
        inside(
            *reversed(teacher_and_student()),
            BertRankersSettings(task="both", max_tokens=MAX_TOKENS, **changed),
        )["terms"]
        for changed in ({}, {name: 0.0}, {name: 3.0})
    )
    assert without == {other: value for other, value in whole.items() if other != name}
    assert tripled == close({other: 3 * value if other == name else value for other, value in whole.items()})


def test_regression_and_several_labels_have_their_own_terms() -> None:
    settings = BertRankersSettings(task="both")
    nothing: dict[str, Any] = {"projections": None, "mapping": (), "settings": settings}
    student, teacher = (Answers(torch.tensor(z)) for z in ([[1.0], [2.0]], [[3.0], [2.0]]))
    batch = LabelledBatch(NOTHING, torch.tensor([1.0, 5.0]))
    terms = loss_terms(student, teacher, batch, **nothing, problem="regression")
    assert {name: term.item() for name, term in terms.items()} == {"soft": 2.0, "hard": 4.5}
    labels = torch.tensor([[1.0], [0.0]])
    several = LabelledBatch(NOTHING, labels)
    terms = loss_terms(student, teacher, several, **nothing, problem="multi_label_classification")
    assert terms["hard"].item() == pytest.approx(np.mean([np.log1p(np.exp(-1.0)), np.log1p(np.exp(2.0))]), rel=1e-6)


def test_the_soft_and_hard_terms_of_a_one_logit_ranker_teach() -> None:
    teacher, student = teacher_and_student()
    (batch,) = as_batches(labelled_pairs())
    for name in ("soft", "hard"):
        student.zero_grad()
        answers = (bert_rankers.answer(model, batch.batch) for model in (student, teacher))
        term = loss_terms(*answers, batch, None, (), BertRankersSettings(task="both"))[name]
        assert term.item() > 0.01
        term.backward()
        assert student.classifier.weight.grad.abs().max() > 1e-3
        assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_layers_of_one_network_leave_nothing_to_learn() -> None:
    model = tiny_model(layers=2, seed=1).double()
    (batch,) = as_batches(labelled_pairs())
    same = Projections(student_width=16, teacher_width=16)
    for settings in (
        BertRankersSettings(soft=0.0),
        BertRankersSettings(soft=0.0, attention_by="relations", relation_heads=8),
    ):
        by_scores = settings.attention_by == "scores"
        answers = bert_rankers.answer(
            model,
            batch.batch,
            hidden_states=True,
            attention_layers=(1, 2) if by_scores else (),
            relation_layer=None if by_scores else 2,
        )
        terms = loss_terms(answers, answers, batch, same, (1, 2), settings)
        assert {name: term.item() for name, term in terms.items()} == dict.fromkeys(LAYERS, pytest.approx(0, abs=1e-15))


# --- the whole procedure


def test_the_three_procedures_from_plain_text_to_a_ranker(tmp_path: Path) -> None:
    """LM Distill, then each task: terms fall, the teacher is only read, projections are no part of the student."""
    teacher, student = (model.float() for model in teacher_and_student())
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    seen: set[tuple[bool, bool]] = set()
    teacher.register_forward_pre_hook(lambda module, args: seen.add((any(modes(module)), torch.is_grad_enabled())))
    run = training(40, learning_rate=5e-3, batch_size=8)
    general_distil(
        student,
        teacher,
        tiny_tokenizer(),
        tiny_tokenizer(max_tokens=MAX_TOKENS).encode([str(example.text_pair) for example in labelled_pairs(8)]),
        settings=GeneralDistillationSettings(max_tokens=MAX_TOKENS, training=run),
        folder=tmp_path / "general",
        command={},
    )
    general = {name: value.clone() for name, value in student.state_dict().items()}
    for task in ("ranker_distillation", "fine_tuning", "both"):
        student.load_state_dict(general)
        settings = BertRankersSettings(task=task, max_tokens=MAX_TOKENS, training=run)
        folder = tmp_path / task
        result = distil(
            student, teacher, tiny_tokenizer(), labelled_pairs(8), settings=settings, folder=folder, command={}
        )
        first, *_, last = read_steps(result.history)
        assert (folder / "final" / "projections.safetensors").is_file() == (task != "fine_tuning")
        assert sum(last["terms"].values()) < 0.95 * sum(first["terms"].values()), task
    assert not any("projection" in name for name in student.state_dict())
    assert seen == {(False, False)}
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_fine_tuning_does_not_ask_the_teacher(inside: Callable[..., Any]) -> None:
    teacher, student = teacher_and_student()
    asked: list[object] = []
    teacher.register_forward_pre_hook(lambda module, args: asked.append(args))
    # One that could not be asked: neither heads nor layers nor tokens fit.
    with_heads(student, 2)
    told = inside(
        student,
        teacher,
        BertRankersSettings(task="fine_tuning", mapping=(9,), max_tokens=MAX_TOKENS),
        teacher_tokenizer=tiny_tokenizer(lowercase=False),
    )
    assert asked == []
    assert told["projections"] is None


def test_a_teacher_of_another_tokenizer_is_read_by_its_own(inside: Callable[..., Any]) -> None:
    teacher, student = teacher_and_student()
    other = tiny_tokenizer(lowercase=False)
    settings = BertRankersSettings(embedding=0, hidden=0, attention=0, max_tokens=24)
    pairs = [Example(text=e.text.upper(), text_pair=e.text_pair, label=e.label) for e in labelled_pairs(6)]
    told = inside(student, teacher, settings, teacher_tokenizer=other)
    parts = told["split"](pairs)
    for part in parts:
        batch = part.content
        # Upper-case words are unknown to the teacher's vocabulary, so that its ids and lengths are others.
        assert not torch.equal(batch.batch.input_ids, batch.for_teacher.input_ids)
        assert batch.for_teacher.input_ids.shape[1] <= 24
        terms = {name: term.item() for name, term in told["loss_terms"](batch).items()}
        assert terms == close({"soft": soft_and_hard(student, teacher, batch, 1.0)["soft"]})
    same = inside(student, teacher, settings, teacher_tokenizer=tiny_tokenizer())
    assert all(batch.other is None for batch in same["contents"])


# --- refusals


def refuse(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    settings: BertRankersSettings,
    *,
    tokenizer: PairTokenizer | None = None,
) -> None:
    distil(
        student,
        teacher,
        tiny_tokenizer(),
        labelled_pairs(2),
        teacher_tokenizer=tokenizer or tiny_tokenizer(),
        settings=settings,
        folder=Path("never made"),
        command={},
    )


def test_layers_that_cannot_be_compared_are_refused_before_any_training() -> None:
    teacher, student = teacher_and_student()
    fitting = BertRankersSettings(max_tokens=MAX_TOKENS)
    with pytest.raises(ModelError, match=r"different token ids .* layers are compared token by token; .*standard"):
        refuse(student, teacher, fitting, tokenizer=tiny_tokenizer(lowercase=False))
    with pytest.raises(SettingsError, match="max_tokens is 65, but BertForSequenceClassification has positions for 64"):
        refuse(student, teacher, BertRankersSettings(max_tokens=65))
    with pytest.raises(SettingsError, match=r"student 3, teacher 4; name the teacher layers, as in mapping: \[1, 3, 4"):
        refuse(tiny_model(layers=3), teacher, fitting)
    with_heads(student, 2)
    with pytest.raises(ModelError, match=r"2 attention heads and the teacher 4; .*attention_by=relations"):
        refuse(student, teacher, fitting)
    with pytest.raises(
        SettingsError, match=r"relation_heads is 48 .* student's width 8 and the teacher's 16, as 8 does"
    ):
        refuse(student, teacher, BertRankersSettings(attention_by="relations", max_tokens=MAX_TOKENS))
    assert not Path("never made").exists()


def test_other_labels_and_too_few_positions_are_refused() -> None:
    teacher, student = teacher_and_student()
    with pytest.raises(ModelError, match=r"student has 2 label.*teacher 1"):
        refuse(tiny_model(num_labels=2), teacher, BertRankersSettings(max_tokens=MAX_TOKENS))
    for task in ("fine_tuning", "both"):
        with pytest.raises(SettingsError, match="has positions for 64 tokens"):
            refuse(student, teacher, BertRankersSettings(task=task, max_tokens=65, embedding=0, hidden=0, attention=0))


def test_labels_are_needed_unless_only_the_teacher_is_followed() -> None:
    answers = Answers(torch.zeros(2, 1))
    batch = LabelledBatch(NOTHING, None)
    for task in ("fine_tuning", "both"):
        with pytest.raises(InputError, match="task: ranker_distillation"):
            loss_terms(answers, answers, batch, None, (), BertRankersSettings(task=task))
    assert list(loss_terms(answers, answers, batch, None, (), BertRankersSettings())) == ["soft"]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"task": "ranker-distillation"}, "task is 'ranker-distillation' but must be one of ranker_distillation, fine"),
        ({"attention_by": "maps"}, "attention_by is 'maps' but must be one of scores, relations"),
        ({"hard": -1.0}, "hard is -1.0 but a term's weight must not be negative"),
        ({"hidden": float("nan")}, "hidden is nan"),
        ({"relation_heads": 0}, "relation_heads is 0"),
        (dict.fromkeys((*LAYERS, "soft"), 0.0), "every term of task ranker_distillation"),
        ({"task": "fine_tuning", "hard": 0.0}, "every term of task fine_tuning has weight 0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"max_tokens": 7}, "max_tokens is 7"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        BertRankersSettings(**wrong)
