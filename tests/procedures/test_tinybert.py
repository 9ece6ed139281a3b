from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.tokens import Encoded
from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.answers import Answers
from distilrank.models.projections import Projections
from distilrank.models.relu_head import ReluLinear
from distilrank.procedures.tinybert import (
    TASKS,
    GeneralDistillationSettings,
    TinyBertSettings,
    answer_terms,
    distil,
    general,
    general_distil,
    layer_terms,
    task,
)
from distilrank.records import Example
from distilrank.training.examples import LabelledBatch
from distilrank.training.journal import read_steps
from distilrank.training.settings import TrainingSettings
from tests.procedures.networks import (
    MAX_TOKENS,
    as_batches,
    both_answers,
    labelled_pairs,
    modes,
    teacher_and_student,
)
from tests.tiny import tiny_model, tiny_tokenizer

Array = NDArray[np.float64]
UNIFORM = (2, 4)
NAMES = ("embedding", "hidden", "attention")


def relative(expected: float) -> object:
    return pytest.approx(expected, rel=1e-6, abs=0.0)


def values(terms: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


def training(steps: int = 3, **options: Any) -> TrainingSettings:
    return TrainingSettings(**{"max_steps": steps, "learning_rate": 1e-3, "batch_size": 4, "trackers": (), **options})


def task_settings(steps: int = 3, **options: Any) -> TinyBertSettings:
    stages = {"layers": training(steps), "answers": training(steps)}
    return TinyBertSettings(**{"max_tokens": MAX_TOKENS, **stages, **options})


# --- the authors' formulas


def answers_of(seed: int, *, layers: int, width: int, length: int, heads: int = 3, labels: int = 2) -> Answers:
    """Random answers of a network, some of whose attention scores are truly below -100."""
    rng = np.random.default_rng(seed)
    states = tuple(torch.tensor(rng.normal(size=(4, length, width))) for _ in range(layers + 1))
    scores = [rng.normal(scale=3.0, size=(4, heads, length, length)) for _ in range(layers)]
    scores[0][0, 0, 0, :2] = (-150.0, -99.5) if seed % 2 else (-2.0, -100.5)
    return Answers(torch.tensor(rng.normal(scale=3.0, size=(4, labels))), states, tuple(map(torch.tensor, scores)))


def padded_mask(length: int) -> NDArray[np.int64]:
    """A full example, one of a single token and two in between."""
    return (np.arange(length) < np.array([length, 1, length // 3, length - 5])[:, np.newaxis]).astype(np.int64)


def general_distill(
    student: Answers, teacher: Answers, mask: NDArray[np.int64], fit_dense: torch.nn.Linear
) -> tuple[float, float]:
    """``general_distill.py`` and ``task_distill.py`` (``not args.pred_distill``) with ``transformer/modeling.py``.

    Returns att_loss and rep_loss. The attentions that the network returns carry the mask over key columns; what is at
    or below -1e2 becomes 0. With k = N / M, student layer i (from 0) is compared with the teacher's layer i k + k - 1;
    hidden state i, the embedding output first, with i k. MSELoss averages over all cells.
    """
    added = (1.0 - mask[:, np.newaxis, np.newaxis, :]) * -10000.0
    student_atts = [att.numpy() + added for att in student.attention_scores]
    teacher_atts = [att.numpy() + added for att in teacher.attention_scores]
    teacher_layer_num, student_layer_num = len(teacher_atts), len(student_atts)
    assert teacher_layer_num % student_layer_num == 0
    k = teacher_layer_num // student_layer_num
    att_loss = 0.0
    for i, student_att in enumerate(student_atts):
        teacher_att = teacher_atts[i * k + k - 1]
        difference = np.where(student_att <= -1e2, 0.0, student_att) - np.where(teacher_att <= -1e2, 0.0, teacher_att)
        att_loss += float(np.square(difference).sum() / difference.size)
    weight, bias = fit_dense.weight.detach().numpy(), fit_dense.bias.detach().numpy()
    rep_loss = 0.0
    for i, student_rep in enumerate(student.hidden_states):
        difference = student_rep.numpy() @ weight.T + bias - teacher.hidden_states[i * k].numpy()
        rep_loss += float(np.square(difference).sum() / difference.size)
    return att_loss, rep_loss


def soft_cross_entropy(predicts: Array, targets: Array) -> float:
    """``task_distill.py``: the mean over batch and classes of -softmax(targets) log_softmax(predicts)."""
    student_likelihood = predicts - np.log(np.exp(predicts).sum(axis=-1, keepdims=True))
    targets_prob = np.exp(targets) / np.exp(targets).sum(axis=-1, keepdims=True)
    return float((-targets_prob * student_likelihood).mean())


@pytest.mark.parametrize("length", [37, 256])
@pytest.mark.parametrize(("layers", "widths"), [((2, 4), (12, 24)), ((3, 6), (12, 12))])
def test_as_published_is_the_authors_code(length: int, layers: tuple[int, int], widths: tuple[int, int]) -> None:
    student = answers_of(1, layers=layers[0], width=widths[0], length=length)
    teacher = answers_of(2, layers=layers[1], width=widths[1], length=length)
    mask, mapping = padded_mask(length), tuple(range(2, layers[1] + 1, 2))
    projections = Projections(student_width=widths[0], teacher_width=widths[1], as_published=True, seed=3).double()
    settings = GeneralDistillationSettings(max_tokens=length, as_published=True)
    mapped = replace(teacher, attention_scores=tuple(teacher.attention_scores[layer - 1] for layer in mapping))
    terms = layer_terms(student, mapped, torch.tensor(mask), projections, mapping, settings)
    assert isinstance(projections.hidden, torch.nn.Linear)
    att_loss, rep_loss = general_distill(student, teacher, mask, projections.hidden)
    assert all(term.dtype == torch.float64 for term in terms.values())
    assert terms["attention"].item() == relative(att_loss)
    assert (terms["embedding"] + terms["hidden"]).item() == relative(rep_loss)


def batch_with(labels: Any) -> LabelledBatch:
    (batch,) = as_batches(labelled_pairs(len(labels)))
    return LabelledBatch(batch.batch, torch.tensor(labels))


@pytest.mark.parametrize("labels", [1, 2, 3])
def test_the_published_answers_stage_is_the_authors_code(labels: int) -> None:
    student = answers_of(1, layers=1, width=4, length=5, labels=labels)
    teacher = answers_of(2, layers=1, width=4, length=5, labels=labels)
    settings = task_settings(as_published=True)
    terms = answer_terms(student, teacher, batch_with([0, 0, 0, 0]), settings)
    logits = [
        np.concatenate([np.zeros((4, 1)), each.logits], axis=1) if labels == 1 else each.logits.numpy()
        for each in (student, teacher)
    ]  # one logit z is the two classes [0, z]
    assert values(terms) == {"soft": relative(soft_cross_entropy(*logits))}
    # STS-B, MSELoss(student_logits.view(-1), label_ids.view(-1)): the gold number, never the teacher's.
    gold = [0.5, 4.0, 2.5, 1.0]
    if labels == 1:
        terms = answer_terms(student, None, batch_with(gold), settings, problem="regression")
        assert values(terms) == {"hard": relative(float(np.square(student.logits.numpy()[:, 0] - gold).mean()))}


# --- the equation


def expected_layers(
    student: Answers, teacher: Answers, mask: Tensor, projections: Projections, lambdas: tuple[float, ...]
) -> dict[str, float]:
    """The paper's terms, example by example on real tokens only, averaged at the end."""
    embed, hidden = (m.weight.detach().numpy().T for m in (projections.embedding, projections.hidden))
    ours, theirs = ([s.detach().numpy() for s in each.hidden_states] for each in (student, teacher))
    att = [[s.detach().numpy() for s in each.attention_scores] for each in (student, teacher)]
    rows = []
    for row, n in enumerate(mask.sum(dim=1).tolist()):
        rows.append(
            {
                "embedding": lambdas[0] * np.square(ours[0][row, :n] @ embed - theirs[0][row, :n]).mean(),
                "hidden": sum(
                    lambdas[m] * np.square(ours[m][row, :n] @ hidden - theirs[g][row, :n]).mean()
                    for m, g in enumerate(UNIFORM, start=1)
                ),
                "attention": sum(
                    lambdas[m + 1] * np.square(s[row, :, :n, :n] - t[row, :, :n, :n]).mean()
                    for m, (s, t) in enumerate(zip(*att, strict=True))
                ),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in NAMES}


def wide(*, as_published: bool = False) -> Projections:
    return Projections(student_width=8, teacher_width=16, as_published=as_published, seed=3).double()


@pytest.mark.parametrize("lambdas", [None, (2.0, 0.5, 3.0)])
def test_terms_are_those_of_an_independent_computation(lambdas: tuple[float, ...] | None) -> None:
    teacher, student = teacher_and_student()
    (batch,) = as_batches(labelled_pairs())
    answers, mask, projections = both_answers(student, teacher, batch, UNIFORM), batch.batch.attention_mask, wide()
    settings = task_settings(layer_weights=lambdas)
    terms = layer_terms(*answers, mask, projections, UNIFORM, settings)
    expected = expected_layers(*answers, mask, projections, lambdas or (1.0, 1.0, 1.0))
    assert values(terms) == {name: relative(expected[name]) for name in NAMES}
    (padded,) = as_batches(labelled_pairs(), length=MAX_TOKENS)
    answers = both_answers(student, teacher, padded, UNIFORM)
    again = layer_terms(*answers, padded.batch.attention_mask, projections, UNIFORM, settings)
    assert values(again) == {name: relative(value) for name, value in values(terms).items()}


def test_a_batch_is_the_mean_of_its_parts() -> None:
    teacher, student = teacher_and_student()
    examples, projections, settings = labelled_pairs(6), wide(), task_settings()

    def terms(part: list[Example]) -> dict[str, float]:
        (batch,) = as_batches(part)
        answers = both_answers(student, teacher, batch, UNIFORM)
        layers = layer_terms(*answers, batch.batch.attention_mask, projections, UNIFORM, settings)
        return values({**layers, **answer_terms(*answers, batch, settings)})

    parts = terms(examples[:2]), terms(examples[2:])
    assert terms(examples) == {name: relative((2 * parts[0][name] + 4 * parts[1][name]) / 6) for name in parts[0]}


@pytest.mark.parametrize("name", NAMES)
def test_each_term_is_left_out_by_its_weight(name: str) -> None:
    teacher, student = teacher_and_student()
    (batch,) = as_batches(labelled_pairs())
    answers, mask = both_answers(student, teacher, batch, UNIFORM), batch.batch.attention_mask
    whole = values(layer_terms(*answers, mask, wide(), UNIFORM, task_settings()))
    without = values(layer_terms(*answers, mask, wide(), UNIFORM, task_settings(**{name: 0.0})))
    assert without == {other: value for other, value in whole.items() if other != name}
    tripled = values(layer_terms(*answers, mask, wide(), UNIFORM, task_settings(**{name: 3.0})))
    assert tripled == {other: relative(value * (3 if other == name else 1)) for other, value in whole.items()}


def test_the_gradient_reaches_student_and_projections_and_never_the_teacher() -> None:
    teacher, student = teacher_and_student()
    (batch,) = as_batches(labelled_pairs())
    ours, _ = both_answers(student, teacher, batch, UNIFORM)
    theirs = task.answer(teacher, batch.batch, hidden_states=True, attention_layers=UNIFORM)  # with a gradient
    projections = wide()
    terms = {
        **layer_terms(ours, theirs, batch.batch.attention_mask, projections, UNIFORM, task_settings()),
        **answer_terms(ours, theirs, batch, task_settings()),
    }
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in [*student.named_parameters(), *projections.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name  # noqa: PT018
    assert [name for name, parameter in teacher.named_parameters() if parameter.grad is not None] == []


def test_the_soft_term_of_a_one_logit_ranker_teaches() -> None:
    # A softmax over the one logit itself would be constant: loss 0, gradient 0 and no complaint.
    teacher, student = teacher_and_student(num_labels=1)
    (batch,) = as_batches(labelled_pairs())
    term = answer_terms(*both_answers(student, teacher, batch, UNIFORM), batch, task_settings())["soft"]
    assert term.item() > 0.01
    term.backward()
    assert student.classifier.weight.grad.abs().max() > 1e-3


def test_the_temperature_divides_and_keeps_the_gradients_size() -> None:
    teacher, student = teacher_and_student(num_labels=3)
    (batch,) = as_batches(labelled_pairs())
    answers = both_answers(student, teacher, batch, UNIFORM)
    z_student, z_teacher = (each.logits.detach().numpy() / 2.0 for each in answers)
    expected = 4 * 3 * soft_cross_entropy(z_student, z_teacher)
    assert values(answer_terms(*answers, batch, task_settings(temperature=2.0))) == {"soft": relative(expected)}


# --- the stages


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Run ``distil`` with a loop that only notes what it is told, and what the terms of a step are."""

    def run(student: PreTrainedModel, teacher: PreTrainedModel, settings: TinyBertSettings, **given: Any) -> list[Any]:
        told: list[dict[str, Any]] = []

        def fake(**options: Any) -> str:
            if options.get("projections") is not None:
                options["projections"].to(student.dtype)
            parts = options["split"](list(options["examples"]))
            terms = [values(options["loss_terms"](part.content)) for part in parts]
            told.append({**options, "parts": parts, "terms": terms})
            return options["stage"]

        monkeypatch.setattr(task, "train", fake)
        examples = given.pop("examples", labelled_pairs(4))
        run_folder = Path("run")
        last = distil(
            student,
            teacher,
            tiny_tokenizer(),
            examples,
            settings=settings,
            folder=run_folder,
            command={"a": 1},
            **given,
        )
        assert last == told[-1]["stage"]
        return told

    return run


def test_the_layers_stage_then_the_answers_stage(stages: Callable[..., list[dict[str, Any]]]) -> None:
    teacher, student = teacher_and_student()
    originals = labelled_pairs(4)
    augmented = [*originals, *(replace(example, label=None) for example in labelled_pairs(3))]  # as they come
    judge = lambda: {"one": 1.0}  # noqa: E731
    settings = task_settings(layers=training(5, patience=2, evaluate_every=1), answers=training(6, patience=2))
    layers, answers = stages(student, teacher, settings, examples=originals, augmented=augmented, evaluate=judge)
    assert [stage["stage"] for stage in (layers, answers)] == ["tinybert-layers", "tinybert-answers"]
    assert [stage["folder"] for stage in (layers, answers)] == [Path("run/layers"), Path("run/answers")]
    assert [stage["examples"] for stage in (layers, answers)] == [augmented, augmented]
    assert [stage.get("evaluate") for stage in (layers, answers)] == [None, judge]
    assert layers["settings"] == training(5)  # nothing to be judged by
    assert answers["settings"] == training(6, patience=2)
    assert {tuple(terms) for terms in layers["terms"]} == {NAMES}
    assert {tuple(terms) for terms in answers["terms"]} == {("soft",)}
    assert layers["command"] == answers["command"] == {"a": 1}
    assert layers["projections"] is not None


@pytest.mark.parametrize(
    ("flags", "names", "reads_augmented"),
    [
        ({"layers_stage": False}, [("soft",)], [True]),
        ({"answers_stage": False}, [NAMES], [True]),
        ({"predictions": "labels"}, [NAMES, ("hard",)], [True, False]),
        ({"task_distillation": False}, [("hard",)], [False]),
        ({"task_distillation": False, "predictions": "teacher"}, [("hard",)], [False]),
        ({"embedding": 0.0}, [("hidden", "attention"), ("soft",)], [True, True]),
    ],
)
def test_each_stage_is_switched_by_one_flag(
    stages: Callable[..., list[dict[str, Any]]],
    flags: dict[str, Any],
    names: list[tuple[str, ...]],
    reads_augmented: list[bool],
) -> None:
    teacher, student = teacher_and_student()
    originals, augmented = labelled_pairs(4), labelled_pairs(7)
    told = stages(student, teacher, task_settings(**flags), examples=originals, augmented=augmented)
    assert [tuple(stage["terms"][0]) for stage in told] == names
    assert [stage["examples"] is augmented for stage in told] == reads_augmented
    assert all(stage["examples"] is originals for stage, reads in zip(told, reads_augmented, strict=True) if not reads)


@pytest.mark.parametrize(("predictions", "term"), [(None, "hard"), ("labels", "hard"), ("teacher", "soft")])
def test_numbers_learn_from_the_labels_of_the_original_examples(
    stages: Callable[..., list[dict[str, Any]]], predictions: Any, term: str
) -> None:
    teacher, student = teacher_and_student()
    student.config.problem_type = "regression"
    originals = [replace(example, label=3.5) for example in labelled_pairs(4)]
    augmented = [replace(example, label=None) for example in labelled_pairs(7)]
    _, answers = stages(
        student, teacher, task_settings(predictions=predictions), examples=originals, augmented=augmented
    )
    assert tuple(answers["terms"][0]) == (term,)
    assert answers["examples"] is (originals if term == "hard" else augmented)
    if term == "hard":
        batch = answers["parts"][0].content.batch
        with torch.no_grad():
            logits = student(batch.input_ids, batch.attention_mask, batch.token_type_ids).logits[:, 0].numpy()
        assert answers["terms"][0]["hard"] == relative(float(np.square(logits - 3.5).mean()))


def test_the_teacher_is_only_read_in_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, student = teacher_and_student()
    teacher.train()
    seen: list[set[bool]] = []
    for stage in (task, general):
        monkeypatch.setattr(stage, "train", lambda **_: seen.append(set(modes(teacher))))
    given: dict[str, Any] = {"folder": Path("r"), "command": {}}
    with pytest.raises(AssertionError):  # this loop has no result
        distil(student, teacher, tiny_tokenizer(), labelled_pairs(2), settings=task_settings(), **given)
    settings = GeneralDistillationSettings(max_tokens=MAX_TOKENS)
    general_distil(student, teacher, tiny_tokenizer(), text_chunks(2), settings=settings, **given)
    assert seen == [{False}, {False}, {False}]


@pytest.mark.parametrize("rule", ["uniform", "top", "bottom", (4, 1)])
def test_mappings(stages: Callable[..., list[dict[str, Any]]], rule: Any) -> None:
    teacher, student = teacher_and_student()
    layers, _ = stages(student, teacher, task_settings(mapping=rule))
    mapping = {"uniform": (2, 4), "top": (3, 4), "bottom": (1, 2)}.get(rule, rule)
    (part,) = layers["parts"]
    answers = both_answers(student, teacher, part.content, mapping)
    mask = part.content.batch.attention_mask
    terms = layer_terms(*answers, mask, layers["projections"], mapping, task_settings())
    assert layers["terms"] == [{name: relative(value) for name, value in values(terms).items()}]


def test_as_published_in_both_stages(stages: Callable[..., list[dict[str, Any]]]) -> None:
    teacher, student = teacher_and_student(num_labels=3)
    layers, answers = stages(
        student, teacher, task_settings(as_published=True, max_tokens=64), examples=labelled_pairs(4, classes=3)
    )
    for stage in (layers, answers):
        assert {part.content.batch.input_ids.shape[1] for part in stage["parts"]} == {64}
        assert stage["settings"].optimiser == "bert_adam"
    assert layers["projections"].embedding is layers["projections"].hidden
    assert isinstance(student.classifier, ReluLinear)
    (part,) = answers["parts"]
    ours, theirs = both_answers(student, teacher, part.content, UNIFORM)
    expected = soft_cross_entropy(ours.logits.detach().numpy(), theirs.logits.numpy())
    assert answers["terms"] == [{"soft": relative(expected)}]


def test_both_stages_train_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    def run(folder: Path, **options: Any) -> PreTrainedModel:
        teacher, student = (model.float() for model in teacher_and_student())
        settings = task_settings(40, **options)
        stages = {"layers": training(40, learning_rate=5e-3), "answers": training(4, checkpoint_every=1)}
        settings = replace(settings, **stages)
        calls.clear()
        distil(
            student,
            teacher,
            tiny_tokenizer(),
            labelled_pairs(8),
            teacher_tokenizer=tiny_tokenizer(),
            settings=settings,
            folder=folder,
            command={},
            evaluate=evaluate,
        )
        assert all(not parameter.requires_grad or parameter.grad is None for parameter in teacher.parameters())
        return student

    calls: list[int] = []

    def evaluate() -> Mapping[str, float]:
        calls.append(1)
        if stop:
            raise KeyboardInterrupt
        return {"one": 1.0}

    stop: list[int] = []
    whole = run(tmp_path / "whole")
    steps = read_steps(tmp_path / "whole" / "layers" / "journal.jsonl")
    assert all(steps[-1]["terms"][name] < 0.9 * steps[0]["terms"][name] for name in NAMES)
    assert {*read_steps(tmp_path / "whole" / "answers" / "journal.jsonl")[0]["terms"]} == {"soft"}
    stop.append(1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped")
    stop.clear()
    resumed = run(tmp_path / "stopped")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


# --- general distillation


def text_chunks(count: int = 8) -> list[Encoded]:
    pairs = labelled_pairs(count)
    tokenizer = tiny_tokenizer(max_tokens=MAX_TOKENS)
    return tokenizer.encode([pair.text or "a" for pair in pairs], [pair.text_pair or "a" for pair in pairs])


def test_general_distillation_trains_the_encoder_alone(tmp_path: Path) -> None:
    teacher, student = (model.float() for model in teacher_and_student())
    before = {name: value.clone() for name, value in student.state_dict().items()}
    untouched = {name: value.clone() for name, value in teacher.state_dict().items()}
    settings = GeneralDistillationSettings(max_tokens=MAX_TOKENS, training=training(60, learning_rate=5e-3))
    result = general_distil(
        student, teacher, tiny_tokenizer(), text_chunks(), settings=settings, folder=tmp_path / "run", command={}
    )
    first, *_, last = read_steps(result.history)
    assert tuple(first["terms"]) == NAMES
    assert all(last["terms"][name] < 0.8 * first["terms"][name] for name in NAMES)
    changed = {name for name, value in student.state_dict().items() if not torch.equal(value, before[name])}
    assert not [name for name in changed if "pooler" in name or name.startswith("classifier")]
    assert {name.split(".")[1] for name in changed} == {"embeddings", "encoder"}
    assert all(torch.equal(value, untouched[name]) for name, value in teacher.state_dict().items())


def test_what_the_loop_is_told_in_general_distillation(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, student = teacher_and_student()
    told: dict[str, Any] = {}
    monkeypatch.setattr(general, "train", lambda **given: told.update(given))
    chunks = text_chunks(4)
    for published in (False, True):
        settings = GeneralDistillationSettings(max_tokens=64, as_published=published, training=training())
        general_distil(student, teacher, tiny_tokenizer(), chunks, settings=settings, folder=Path("r"), command={})
        (part,) = told["split"](chunks)
        batch = part.content
        assert (batch.input_ids.shape[1] == 64) == published
        assert told["settings"].optimiser == ("bert_adam" if published else None)
        projections = told["projections"].double()
        answers = both_answers(student, teacher, LabelledBatch(batch, None), UNIFORM)
        expected = layer_terms(*answers, batch.attention_mask, projections, UNIFORM, settings)
        assert values(told["loss_terms"](batch)) == {name: relative(v) for name, v in values(expected).items()}


# --- refusals and constants


def refuse(student: PreTrainedModel, teacher: PreTrainedModel, settings: TinyBertSettings, **given: Any) -> None:
    distil(
        student,
        teacher,
        tiny_tokenizer(),
        labelled_pairs(2),
        settings=settings,
        folder=Path("never made"),
        command={},
        **given,
    )


def test_what_does_not_fit_is_refused_before_any_training() -> None:
    teacher, student = teacher_and_student()
    with pytest.raises(ModelError, match=r"student has 2 label.*teacher 1"):
        refuse(tiny_model(num_labels=2), teacher, task_settings())
    with pytest.raises(ModelError, match="different token ids"):
        refuse(student, teacher, task_settings(), teacher_tokenizer=tiny_tokenizer(lowercase=False))
    with pytest.raises(SettingsError, match="max_tokens is 65, but"):
        refuse(student, teacher, task_settings(max_tokens=65))
    with pytest.raises(SettingsError, match="student 3, teacher 4"):
        refuse(tiny_model(layers=3), teacher, task_settings())
    with pytest.raises(SettingsError, match="layer_weights has 2 weights but must have 3"):
        refuse(student, teacher, task_settings(layer_weights=(1.0, 1.0)))
    student.config.problem_type = "multi_label_classification"
    with pytest.raises(SettingsError, match="as_published knows classes and numbers"):
        refuse(student, teacher, task_settings(as_published=True))
    assert not Path("never made").exists()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"hidden": -0.5}, r"hidden is -0\.5 but"),
        ({"layer_weights": (1.0, -1.0)}, r"layer_weights\[1\] is -1\.0 but"),
        (dict.fromkeys(NAMES, 0.0), "leave it out with layers_stage: false"),
        ({"layers_stage": False, "answers_stage": False}, "both stages are left out"),
        ({"task_distillation": False, "answers_stage": False}, "both stages are left out"),
        ({"temperature": 0.0}, r"temperature is 0\.0 but"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        TinyBertSettings(**wrong)
    if "layers_stage" not in wrong and "task_distillation" not in wrong and "temperature" not in wrong:
        with pytest.raises(SettingsError):
            GeneralDistillationSettings(**wrong)


def test_labels_are_needed_where_they_are_learned_from() -> None:
    teacher, student = teacher_and_student()
    (batch,) = as_batches([Example(text="red dog", text_pair="blue sea")])
    ours, _ = both_answers(student, teacher, batch, UNIFORM)
    with pytest.raises(InputError, match="predictions: teacher"):
        answer_terms(ours, None, batch, task_settings())


def test_the_published_constants() -> None:
    # Section 4.2 of the paper, general_distill.py and task_distill.py
    settings = TinyBertSettings()
    assert (settings.embedding, settings.hidden, settings.attention, settings.temperature) == (1.0, 1.0, 1.0, 1.0)
    assert (settings.mapping, settings.max_tokens, settings.lambdas(2)) == ("uniform", 128, (1.0, 1.0, 1.0))
    run = settings.layers
    assert (run.batch_size, run.learning_rate, run.epochs) == (32, 5e-5, 20)
    assert (run.schedule, run.warmup_share, run.weight_decay) == ("constant", 0.0, 0.01)
    run = settings.answers
    assert (run.batch_size, run.learning_rate, run.epochs) == (32, 3e-5, 3)
    assert (run.schedule, run.warmup_share) == ("linear", 0.1)
    run = GeneralDistillationSettings().training
    assert (run.batch_size, run.learning_rate, run.epochs, run.warmup_share) == (256, 5e-5, 3, 0.1)
    epochs = {name: table["layers.epochs"] for name, table in TASKS.items()}
    assert epochs == {"cola": 50, "mnli": 10, "qnli": 10, "qqp": 10, "mrpc": 20, "rte": 20, "sst2": 20, "stsb": 20}
    assert {name for name, table in TASKS.items() if table["max_tokens"] == 64} == {"cola", "sst2"}
