from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.errors import ModelError, ResumeError, SettingsError
from distilrank.losses import class_logits, kl_divergence, soft_cross_entropy
from distilrank.models.answers import Batch
from distilrank.models.bilstm import BiLstmForSequenceClassification
from distilrank.models.load import name_labels
from distilrank.models.scorer import TorchScorer
from distilrank.procedures.bilstm import (
    BiLstmPairSettings,
    BiLstmSettings,
    distil,
    loss_terms,
    split_transfer,
    teacher_labels,
)
from distilrank.records import Example
from distilrank.training.journal import read_events, read_steps
from distilrank.training.loop import TrainingResult
from distilrank.training.settings import TrainingSettings
from tests.bilstms import tiny_bilstm, tiny_word_tokenizer
from tests.tiny import VOCABULARY, WORDS, tiny_model, tiny_tokenizer

LIVING = ("dog", "cat", "bird", "tree")
OTHERS = [word for word in WORDS if word not in LIVING and len(word) > 1]
LIVING_IDS = torch.tensor([VOCABULARY.index(word) for word in LIVING])


def texts(count: int, *, seed: int, pairs: bool = False) -> list[Example]:
    """Texts without labels; in every second one (of pairs: in the second text) something lives."""
    draw = random.Random(seed)
    examples = []
    for i in range(count):
        words = draw.sample(OTHERS, 4)
        if i % 2:
            words[draw.randrange(4)] = draw.choice(LIVING)
        text = " ".join(words)
        examples.append(Example(text="what is", text_pair=text) if pairs else Example(text=text))
    return examples


TRAIN, TEST = texts(200, seed=1), texts(100, seed=2)
RIGHT = np.arange(100) % 2


def knowing_teacher(answers: Callable[[Tensor], Tensor], *, num_labels: int) -> PreTrainedModel:
    """A network whose logits are a function of whether something lives in what it reads, 1.0 or 0.0 (batch,)."""
    teacher = tiny_model(num_labels=num_labels)

    def say(module: Any, inputs: Any, options: Mapping[str, Tensor], output: Any) -> Any:
        output.logits = answers(torch.isin(options["input_ids"], LIVING_IDS).any(dim=1).float())
        return output

    teacher.register_forward_hook(say, with_kwargs=True)
    return teacher


def two_classes(lives: Tensor) -> Tensor:
    return torch.stack([1 - 2 * lives, 2 * lives - 1], dim=1)


def settings_of(*, steps: int = 60, single: bool = True, **changes: Any) -> BiLstmSettings:
    """The paper's for a batch of 16 and few, long steps; ``evaluate_every`` and the like go to the training."""
    kind = BiLstmSettings if single else BiLstmPairSettings
    of_training = {name: changes.pop(name) for name in list(changes) if hasattr(TrainingSettings, name)}
    of_training = {"learning_rate": 30.0, "batch_size": 16, "max_steps": steps, "trackers": (), **of_training}
    return kind(max_tokens=20, training=replace(kind().training, **of_training), **changes)


def new_student(*, num_labels: int = 2, siamese: bool = False, seed: int = 1) -> BiLstmForSequenceClassification:
    return tiny_bilstm(num_labels=num_labels, siamese=siamese, seed=seed)


def run(
    student: BiLstmForSequenceClassification,
    teacher: PreTrainedModel,
    folder: Path,
    settings: BiLstmSettings,
    *,
    examples: list[Example] = TRAIN,
    **options: Any,
) -> TrainingResult:
    return distil(
        student,
        teacher,
        tiny_word_tokenizer(),
        examples,
        teacher_tokenizer=tiny_tokenizer(),
        settings=settings,
        folder=folder,
        command={},
        **options,
    )


def logits_of(student: BiLstmForSequenceClassification, examples: list[Example] = TEST) -> np.ndarray:
    pairs = None if examples[0].text_pair is None else [str(example.text_pair) for example in examples]
    return TorchScorer(student, tiny_word_tokenizer()).logits([example.text for example in examples], pairs)


@contextmanager
def negated(teacher: PreTrainedModel) -> Iterator[None]:
    def negate(module: Any, inputs: Any, output: Any) -> Any:
        output.logits = -output.logits
        return output

    handle = teacher.register_forward_hook(negate)
    try:
        yield
    finally:
        handle.remove()


# --- the equation


STUDENT = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
TEACHER = torch.tensor([[3.0, 2.0], [1.0, -3.0]])
LABELS = torch.tensor([1, 0])


def values_of(settings: BiLstmSettings, *given: Tensor, problem: str | None = None) -> dict[str, float]:
    return {name: value.item() for name, value in loss_terms(*given, settings, problem=problem).items()}


def test_the_terms_by_hand() -> None:
    # ((1-3)^2 + 0 + (0-1)^2 + (0+3)^2) / 4 = 3.5; the hard term is the mean of ln(1 + e^-1) and ln 2.
    hard = (np.log1p(np.exp(-1)) + np.log(2)) / 2
    for alpha, expected in (
        (0.0, {"mse": 3.5}),
        (0.25, {"hard": 0.25 * hard, "mse": 0.75 * 3.5}),
        (1.0, {"hard": hard}),
    ):
        assert values_of(BiLstmSettings(alpha=alpha), STUDENT, TEACHER, LABELS) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_codes_alternatives_to_the_squared_error(temperature: float) -> None:
    for objective, loss_of in (("soft", soft_cross_entropy), ("kl", kl_divergence)):
        settings = BiLstmSettings(objective=objective, temperature=temperature, alpha=0.5)  # type: ignore[arg-type]
        for ours, theirs in ((STUDENT, TEACHER), (STUDENT[:, :1], TEACHER[:, :1])):  # classes, and a ranker
            found = values_of(settings, ours, theirs, LABELS)
            expected = loss_of(class_logits(ours), class_logits(theirs), temperature=temperature).item()
            assert list(found) == ["hard", objective]
            assert found[objective] == pytest.approx(0.5 * expected, rel=1e-6)
            assert found[objective] > 0.05


def test_several_labels_are_pairs_of_classes_and_regression_is_compared_as_numbers() -> None:
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    several = "multi_label_classification"
    for objective, loss_of in (("soft", soft_cross_entropy), ("kl", kl_divergence)):
        settings = BiLstmSettings(objective=objective, temperature=2.0)  # type: ignore[arg-type]
        columns = [
            loss_of(class_logits(STUDENT[:, [i]]), class_logits(TEACHER[:, [i]]), temperature=2.0).item()
            for i in range(2)
        ]
        found = values_of(settings, STUDENT, TEACHER, labels, problem=several)
        assert found == {objective: pytest.approx(np.mean(columns), rel=1e-6)}
        numbers = values_of(settings, STUDENT[:, :1], TEACHER[:, :1], labels[:, 0], problem="regression")
        assert numbers == {objective: 2.5}  # ((1-3)^2 + (0-1)^2) / 2
    assert values_of(BiLstmSettings(), STUDENT, TEACHER, labels, problem=several) == {"mse": 3.5}
    hard = values_of(BiLstmSettings(alpha=1), STUDENT, TEACHER, labels, problem=several)
    entropies = [np.log1p(np.exp(-1)), np.log1p(np.exp(2)), np.log(2), np.log(2)]
    assert hard == {"hard": pytest.approx(np.mean(entropies), rel=1e-6)}


def test_the_teachers_decisions_as_labels() -> None:
    assert teacher_labels(torch.tensor([[0.1, 0.3, -1.0], [5.0, 4.0, 4.5]])).tolist() == [1, 0]
    ranker = torch.tensor([[0.2], [-0.2]])
    assert teacher_labels(ranker).tolist() == [1, 0]
    assert teacher_labels(ranker).dtype == torch.int64
    assert teacher_labels(ranker, problem="regression").tolist() == pytest.approx([0.2, -0.2])
    several = teacher_labels(torch.tensor([[0.2, -3.0], [1.0, 2.0]]), problem="multi_label_classification")
    assert several.tolist() == [[1.0, 0.0], [1.0, 1.0]]


def test_micro_batches_keep_texts_logits_and_labels_together() -> None:
    tokenizer = tiny_word_tokenizer()
    examples = [Example(text=" ".join(WORDS[i : 3 * i + 1]), label=1 if i == 2 else None) for i in range(6)]
    logits = np.array([[i, 2.5] for i in range(6)], np.float32)
    parts = split_transfer(examples, logits, tokenizer=tokenizer, batch_tokens=14)
    assert sum(part.examples for part in parts) == 6
    assert len(parts) > 1
    seen = []
    for part in parts:
        batch: Batch = part.content.batch
        assert batch.input_ids.numel() <= 14
        assert part.tokens == batch.attention_mask.sum()
        for ids, length, teacher, label in zip(
            batch.input_ids, batch.attention_mask.sum(dim=1), part.content.teacher, part.content.labels, strict=True
        ):
            i = int(teacher[0])
            assert ids[:length].tolist() == tokenizer.encode([examples[i].text])[0].input_ids
            assert label.item() == (1 if i <= 2 else 0)  # example 2 by its own label, which the teacher shares
            seen.append(i)
    assert sorted(seen) == list(range(6))
    # Its own label counts, whatever the teacher says.
    (part,) = split_transfer(examples[2:3], -logits[2:3], tokenizer=tokenizer, batch_tokens=100)
    assert (part.content.labels.item(), part.content.teacher.tolist()) == (1, [[-2.0, -2.5]])


def test_numbers_and_several_labels_are_written_over_the_teachers() -> None:
    tokenizer, logits = tiny_word_tokenizer(), np.array([[0.5], [0.5]], np.float32)
    examples = [Example(text="red", label=3.25), Example(text="blue sea")]
    (part,) = split_transfer(examples, logits, tokenizer=tokenizer, batch_tokens=100, problem="regression")
    assert part.content.labels.tolist() == [0.5, 3.25]  # the longest first
    assert part.content.teacher.tolist() == [[0.5], [0.5]]
    several = [Example(text="red", label=(0, 1)), Example(text="blue sea")]
    both = np.array([[1.0, -1.0], [1.0, -1.0]], np.float32)
    problem = "multi_label_classification"
    (part,) = split_transfer(several, both, tokenizer=tokenizer, batch_tokens=100, problem=problem)
    assert part.content.labels.tolist() == [[1.0, 0.0], [0.0, 1.0]]


# --- training


def test_the_settings_are_the_papers() -> None:
    single, pair = BiLstmSettings(), BiLstmPairSettings()
    assert (single.alpha, single.objective) == (0.0, "mse")
    for settings, batch in ((single, 50), (pair, 256)):
        told = settings.training
        assert (told.optimiser, told.learning_rate, told.epochs, told.batch_size) == ("adadelta", 1.0, 30, batch)
        assert (told.schedule, told.warmup_share, told.weight_decay, told.max_grad_norm) == ("constant", 0.0, 0.0, None)
    student = single.student
    assert (student.hidden, student.fully_connected, student.channels, student.dropout) == (150, 200, 2, 0.1)


def test_a_step_is_adadeltas(tmp_path: Path) -> None:
    """Zeiler (2012), algorithm 1, from running means of 0: dx = -sqrt(eps) / sqrt(0.05 g^2 + eps) * g."""
    student, same = new_student(), new_student()
    settings = settings_of(steps=1, batch_size=200, learning_rate=1.0)
    teacher = knowing_teacher(two_classes, num_labels=2)
    run(student, teacher, tmp_path, settings)
    arrays = [same(torch.tensor([e.input_ids])).logits for e in tiny_word_tokenizer().encode([t.text for t in TRAIN])]
    wanted = two_classes(torch.arange(200) % 2)
    (torch.cat(arrays) - wanted).square().mean().backward()
    trained = dict(student.named_parameters())
    for name, before in same.named_parameters():
        if before.grad is None:  # the static channel
            assert torch.equal(trained[name], before)
            continue
        step = -((1e-6 / (0.05 * before.grad**2 + 1e-6)) ** 0.5) * before.grad
        torch.testing.assert_close(trained[name].detach(), (before + step).detach(), atol=1e-5, rtol=0)
        assert step.abs().max() > 1e-4


def test_the_student_learns_what_the_teacher_knows_and_the_teacher_is_only_read(tmp_path: Path) -> None:
    teacher = knowing_teacher(two_classes, num_labels=2).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    seen: list[tuple[bool, bool]] = []
    teacher.register_forward_pre_hook(
        lambda module, args: seen.append((any(part.training for part in module.modules()), torch.is_grad_enabled()))
    )
    student = new_student()
    result = run(student, teacher, tmp_path, settings_of())
    assert set(seen) == {(False, False)}
    assert len(seen) == 1  # once for all epochs
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    steps = read_steps(result.history)
    assert {tuple(step["terms"]) for step in steps} == {("mse",)}
    assert np.mean([step["loss"] for step in steps[-5:]]) < 0.2 * steps[0]["loss"]
    logits = logits_of(student)
    assert np.mean(logits.argmax(axis=1) == RIGHT) > 0.95
    np.testing.assert_allclose(np.abs(logits).mean(), 1.0, atol=0.2)  # of the teacher's scale, unlike classes alone
    assert not student.training


@pytest.mark.parametrize("objective", ["mse", "soft", "kl"])
def test_negating_the_teachers_logits_ruins_the_student(tmp_path: Path, objective: str) -> None:
    teacher = knowing_teacher(two_classes, num_labels=2)
    qualities = []
    for wrong in (False, True):
        student = new_student()
        settings = settings_of(objective=objective)
        if wrong:
            with negated(teacher):
                run(student, teacher, tmp_path / "wrong", settings)
        else:
            run(student, teacher, tmp_path / "right", settings)
        qualities.append(np.mean(logits_of(student).argmax(axis=1) == RIGHT))
    assert qualities[0] > 0.9
    assert qualities[1] < 0.1


def test_a_siamese_ranker_learns_from_pairs_and_from_nothing_but_the_teacher(tmp_path: Path) -> None:
    train, test = (texts(count, seed=seed, pairs=True) for count, seed in ((200, 1), (100, 2)))
    teacher = knowing_teacher(lambda lives: (6 * lives - 3)[:, None], num_labels=1)
    scores = []
    for wrong in (False, True):
        student = new_student(num_labels=1, siamese=True)
        # Labels are given and wrong: with alpha = 0 they do not matter.
        examples = [replace(each, label=i % 2 ^ 1) for i, each in enumerate(train)]
        settings = settings_of(single=False)
        if wrong:
            with negated(teacher):
                run(student, teacher, tmp_path / "wrong", settings, examples=examples)
        else:
            run(student, teacher, tmp_path / "right", settings, examples=examples)
        scores.append(logits_of(student, test)[:, 0])
    for found, sign in zip(scores, (1, -1), strict=True):
        assert np.mean((found * sign > 0) == RIGHT) > 0.9


@pytest.mark.parametrize(
    ("problem", "answers", "num_labels"),
    [
        ("regression", lambda lives: 1 + 3 * lives[:, None], 1),
        ("multi_label_classification", lambda lives: torch.stack([4 * lives - 2, 0 * lives - 2, 2 - 4 * lives], 1), 3),
    ],
)
def test_numbers_and_several_labels_are_learnt(
    tmp_path: Path, problem: str, answers: Callable[[Tensor], Tensor], num_labels: int
) -> None:
    student = new_student(num_labels=num_labels)
    student.config.problem_type = problem
    run(student, knowing_teacher(answers, num_labels=num_labels), tmp_path, settings_of(alpha=0.1))
    wanted = answers(torch.from_numpy(RIGHT).float()).numpy()
    assert set(read_steps(tmp_path / "journal.jsonl")[0]["terms"]) == {"hard", "mse"}
    error = np.abs(logits_of(student) - wanted).mean()
    assert error < 0.35 * np.abs(wanted - wanted.mean(axis=0)).mean() + 0.3


# --- labels


def test_unlabelled_text_has_the_teachers_decision_for_a_label_when_alpha_is_above_0(tmp_path: Path) -> None:
    teacher = knowing_teacher(two_classes, num_labels=2)
    students = []
    for name, examples in (
        ("unlabelled", TRAIN),
        ("labelled", [replace(example, label=i % 2) for i, example in enumerate(TRAIN)]),
        ("opposite", [replace(example, label=1 - i % 2) for i, example in enumerate(TRAIN)]),
    ):
        students.append(new_student())
        result = run(students[-1], teacher, tmp_path / name, settings_of(alpha=1.0), examples=examples)
        assert list(read_steps(result.history)[0]["terms"]) == ["hard"]
    unlabelled, labelled, opposite = students
    for name, value in unlabelled.state_dict().items():
        assert torch.equal(value, labelled.state_dict()[name]), name
    assert np.mean(logits_of(unlabelled).argmax(axis=1) == RIGHT) > 0.9
    assert np.mean(logits_of(opposite).argmax(axis=1) == RIGHT) < 0.1


def test_where_labels_alone_teach_the_teacher_is_not_asked(tmp_path: Path) -> None:
    asked: list[object] = []
    teacher = knowing_teacher(two_classes, num_labels=2)
    teacher.register_forward_pre_hook(lambda module, args: asked.append(module))
    labelled = [replace(example, label=i % 2) for i, example in enumerate(TRAIN)]
    for name, alpha, examples, expected in (
        ("labels", 1.0, labelled, False),
        ("one without", 1.0, [*labelled, TEST[0]], True),
        ("both", 0.5, labelled, True),
    ):
        asked.clear()
        run(new_student(), teacher, tmp_path / name, settings_of(steps=1, alpha=alpha), examples=examples)
        assert bool(asked) == expected


def test_soft_cross_entropy_and_kl_lead_to_the_same_student(tmp_path: Path) -> None:
    teacher = knowing_teacher(two_classes, num_labels=2)
    students = []
    for objective in ("soft", "kl"):
        students.append(new_student())
        told = settings_of(steps=30, objective=objective, temperature=3.0)
        result = run(students[-1], teacher, tmp_path / objective, told)
        assert list(read_steps(result.history)[0]["terms"]) == [objective]
    np.testing.assert_allclose(*(logits_of(student) for student in students), atol=1e-3)


# --- evaluating, stopping and going on


def scripted(*values: float) -> Callable[[], dict[str, float]]:
    left = iter(values)
    return lambda: {"accuracy": next(left)}


def test_each_epoch_is_judged_the_best_weights_are_kept_and_patience_stops(tmp_path: Path) -> None:
    teacher = knowing_teacher(two_classes, num_labels=2)
    kept, short = new_student(), new_student()
    # 200 examples in batches of 16: an epoch has 13 steps. The best is the second of six; the fourth ends it.
    settings = settings_of(steps=78, patience=2)
    result = run(kept, teacher, tmp_path / "kept", settings, evaluate=scripted(0.5, 0.9, 0.7, 0.8, 0.95, 1.0))
    assert [event["step"] for event in read_events(result.history, "evaluate")] == [13, 26, 39, 52]
    assert (result.steps, result.best_step, result.best_value) == (52, 26, 0.9)
    run(short, teacher, tmp_path / "short", settings_of(steps=26))
    for name, value in kept.state_dict().items():
        assert torch.equal(value, short.state_dict()[name]), name
    # Another interval is taken as it is.
    result = run(short, teacher, tmp_path / "often", settings_of(steps=6, evaluate_every=3), evaluate=scripted(1, 1))
    assert [event["step"] for event in read_events(result.history, "evaluate")] == [3, 6]


def test_a_killed_run_goes_on_to_the_same_weights_without_the_teacher(tmp_path: Path) -> None:
    teacher = knowing_teacher(two_classes, num_labels=2)
    settings = settings_of(steps=20, dropout=0.3, evaluate_every=5)
    whole, stopped = new_student(), new_student()
    run(whole, teacher, tmp_path / "whole", settings, evaluate=scripted(0.1, 0.2, 0.3, 0.4))
    values = iter((0.1, 0.2))

    def killed() -> dict[str, float]:
        value = next(values, None)
        if value is None:
            raise KeyboardInterrupt
        return {"accuracy": value}

    with pytest.raises(KeyboardInterrupt):
        run(stopped, teacher, tmp_path / "stopped", settings, evaluate=killed)
    asked: list[object] = []
    teacher.register_forward_pre_hook(lambda module, args: asked.append(module))
    again = new_student(seed=5)  # its weights come from the checkpoint
    result = run(again, teacher, tmp_path / "stopped", settings, evaluate=scripted(0.3, 0.4))
    assert not asked
    assert [event["step"] for event in read_events(result.history, "resume")] == [10]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    teacher, student = knowing_teacher(two_classes, num_labels=2), new_student()
    run(student, teacher, tmp_path, settings_of(steps=1))
    with pytest.raises(ResumeError):
        run(student, teacher, tmp_path, settings_of(steps=2))


# --- refusals


def test_networks_and_texts_that_do_not_fit_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    teacher, swapped = tiny_model(num_labels=2), new_student()
    name_labels(teacher.config, ["bad", "good"], num_labels=2)
    name_labels(swapped.config, ["good", "bad"], num_labels=2)
    pairs = texts(4, seed=1, pairs=True)
    for student, examples, problem in (
        (new_student(num_labels=3), TRAIN, r"student has 3 label.*teacher 2"),
        (swapped, TRAIN, "student.* ordered .*good.*bad"),
        (new_student(), pairs, "reads single texts, and there are examples of the other"),
        (new_student(siamese=True), TRAIN, r"reads pairs of texts \(siamese\)"),
        (new_student(siamese=True), [*pairs, *TRAIN], "of the other kind"),
    ):
        with pytest.raises(ModelError, match=problem):
            run(student, teacher, tmp_path / "never", settings_of(), examples=examples)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"alpha": 1.5}, "alpha is 1.5 but must lie between 0 and 1"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"objective": "mae"}, "objective is 'mae' but must be one of mse, soft, kl"),
        ({"temperature": 3.0}, "temperature is 3.0, but mse has none"),
        ({"objective": "kl", "temperature": 0.0}, "temperature is 0.0"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        BiLstmSettings(**wrong)
