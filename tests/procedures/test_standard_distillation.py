from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.answers import Answers, Batch, answer
from distilrank.procedures import standard_distillation
from distilrank.procedures.standard_distillation import StandardDistillationSettings, distil, loss_terms
from distilrank.records import Example
from distilrank.training.examples import LabelledBatch
from distilrank.training.journal import read_steps
from distilrank.training.settings import TrainingSettings
from tests.procedures.networks import MAX_TOKENS, labelled_pairs, modes, teacher_and_student
from tests.tiny import tiny_model, tiny_tokenizer

NOTHING = Batch(*(torch.zeros(2, 1, dtype=torch.int64) for _ in range(3)))


def terms_of(
    student: list[float], teacher: list[float], labels: Any, settings: StandardDistillationSettings, **options: Any
) -> dict[str, float]:
    answers = (Answers(torch.tensor(logits, dtype=torch.float64).reshape(2, -1)) for logits in (student, teacher))
    batch = LabelledBatch(NOTHING, None if labels is None else torch.tensor(labels))
    return {name: term.item() for name, term in loss_terms(*answers, batch, settings, **options).items()}


def sigmoid(z: float) -> float:
    return 1 / (1 + np.exp(-z))


def test_by_hand_a_ranker() -> None:
    # One logit z is the classes [0, z]: log softmax is (log sigmoid(-z), log sigmoid(z)). T = 2, so T^2 = 4.
    settings = StandardDistillationSettings(alpha=0.25, temperature=2.0)
    terms = terms_of([1.0, -2.0], [4.0, 0.0], [1, 0], settings)
    softs = [
        -(sigmoid(2.0) * np.log(sigmoid(0.5)) + sigmoid(-2.0) * np.log(sigmoid(-0.5))),
        -(0.5 * np.log(sigmoid(-1.0)) + 0.5 * np.log(sigmoid(1.0))),
    ]
    hards = [-np.log(sigmoid(1.0)), -np.log(sigmoid(2.0))]
    assert terms == {
        "soft": pytest.approx(0.25 * 4 * np.mean(softs), rel=1e-9),
        "hard": pytest.approx(0.75 * np.mean(hards), rel=1e-9),
    }


def test_two_classes_are_a_ranker_whose_logit_is_their_difference() -> None:
    settings = StandardDistillationSettings(temperature=3.0)
    ranker = terms_of([1.0, -2.0], [4.0, 0.5], [1, 0], settings)
    classes = terms_of([5.0, 6.0, 1.0, -1.0], [0.0, 4.0, 2.0, 2.5], [1, 0], settings)
    assert classes == {name: pytest.approx(value, rel=1e-9) for name, value in ranker.items()}


def test_regression_compares_numbers_and_several_labels_are_pairs_of_classes() -> None:
    settings = StandardDistillationSettings(alpha=0.5, temperature=2.0)
    assert terms_of([1.0, 2.0], [3.0, 2.0], [1.0, 5.0], settings, problem="regression") == {"soft": 1.0, "hard": 2.25}
    several = terms_of(
        [1.0, 0.0, -1.0, 2.0],
        [3.0, -1.0, 0.5, 0.0],
        [[1.0, 0.0], [0.0, 0.0]],
        settings,
        problem="multi_label_classification",
    )
    first = terms_of([1.0, -1.0], [3.0, 0.5], [1, 0], settings)
    second = terms_of([0.0, 2.0], [-1.0, 0.0], [0, 0], settings)
    assert several == {name: pytest.approx((first[name] + second[name]) / 2, rel=1e-9) for name in first}


def test_alpha_is_the_share_of_the_soft_term() -> None:
    both = terms_of([1.0, -2.0], [4.0, 0.0], [1, 0], StandardDistillationSettings(alpha=0.5))
    assert terms_of([1.0, -2.0], [4.0, 0.0], [1, 0], StandardDistillationSettings(alpha=1)) == {
        "soft": pytest.approx(2 * both["soft"])
    }
    assert terms_of([1.0, -2.0], [4.0, 0.0], [1, 0], StandardDistillationSettings(alpha=0)) == {
        "hard": pytest.approx(2 * both["hard"])
    }
    # The published "standard" mode.
    assert (StandardDistillationSettings().alpha, StandardDistillationSettings().temperature) == (0.5, 1.0)


def test_raw_logits_are_compared_by_squared_error() -> None:
    settings = StandardDistillationSettings(alpha=1, objective="mse")
    for problem in (None, "regression", "multi_label_classification"):
        assert terms_of([1.0, -2.0], [4.0, 0.0], None, settings, problem=problem) == {"soft": 6.5}
    assert terms_of([1.0, 2.0, 0.0, 1.0], [2.0, 2.0, 1.0, -1.0], None, settings) == {"soft": 1.5}
    with pytest.raises(SettingsError, match=r"temperature is 2.0, but objective: mse compares raw logits"):
        StandardDistillationSettings(objective="mse", temperature=2.0)
    with pytest.raises(SettingsError, match="objective is 'mae' but must be mse or null"):
        StandardDistillationSettings(objective="mae")  # type: ignore[arg-type]


def test_without_a_share_the_teacher_is_not_even_asked(tmp_path: Path) -> None:
    teacher, student = (model.float() for model in teacher_and_student())
    asked: list[object] = []
    teacher.register_forward_pre_hook(lambda module, args: asked.append(args))
    for alpha in (0.0, 0.5):
        training = TrainingSettings(max_steps=1, trackers=())
        settings = StandardDistillationSettings(alpha=alpha, max_tokens=MAX_TOKENS, training=training)
        folder = tmp_path / str(alpha)
        distil(student, teacher, tiny_tokenizer(), labelled_pairs(2), settings=settings, folder=folder, command={})
        assert bool(asked) == (alpha > 0)


def test_labels_are_needed_unless_only_the_teacher_is_followed() -> None:
    with pytest.raises(InputError, match="alpha: 1"):
        terms_of([1.0, -2.0], [4.0, 0.0], None, StandardDistillationSettings(alpha=0.9))
    assert list(terms_of([1.0, -2.0], [4.0, 0.0], None, StandardDistillationSettings(alpha=1))) == ["soft"]


def test_the_teacher_is_only_read_and_the_student_learns(tmp_path: Path) -> None:
    teacher, student = (model.float() for model in teacher_and_student())
    teacher.train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    seen: list[tuple[bool, bool]] = []
    teacher.register_forward_pre_hook(lambda module, args: seen.append((any(modes(module)), torch.is_grad_enabled())))
    training = TrainingSettings(max_steps=60, batch_size=8, learning_rate=5e-3, trackers=())
    result = distil(
        student,
        teacher,
        tiny_tokenizer(),
        labelled_pairs(8),
        teacher_tokenizer=tiny_tokenizer(),
        settings=StandardDistillationSettings(max_tokens=MAX_TOKENS, training=training),
        folder=tmp_path / "run",
        command={},
    )
    assert set(seen) == {(False, False)}
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert set(modes(teacher)) == {True}
    assert all(parameter.requires_grad for parameter in teacher.parameters())
    steps = read_steps(result.history)
    assert set(steps[0]["terms"]) == {"soft", "hard"}
    assert np.mean([step["loss"] for step in steps[-5:]]) < 0.8 * np.mean([step["loss"] for step in steps[:5]])


def test_a_teacher_of_another_tokenizer_is_read_by_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, student = teacher_and_student()
    pairs = [Example(text=each.text.upper(), text_pair=each.text_pair, label=each.label) for each in labelled_pairs(4)]
    settings = StandardDistillationSettings(max_tokens=24)
    told: dict[str, Any] = {}
    monkeypatch.setattr(standard_distillation, "train", lambda **given: told.update(given))
    for other, same in ((tiny_tokenizer(lowercase=False), False), (tiny_tokenizer(max_tokens=60), True)):
        distil(
            student,
            teacher,
            tiny_tokenizer(),
            pairs,
            teacher_tokenizer=other,
            settings=settings,
            folder=Path("run"),
            command={},
        )
        (part,) = told["split"](pairs)
        batch = part.content
        # Words in capitals are unknown to the teacher's vocabulary.
        assert torch.equal(batch.batch.input_ids, batch.for_teacher.input_ids) == same
        assert batch.for_teacher.input_ids.shape[1] <= 24
        expected = loss_terms(answer(student, batch.batch), answer(teacher, batch.for_teacher), batch, settings)
        assert told["loss_terms"](batch)["soft"].item() == pytest.approx(expected["soft"].item(), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        ({"student": tiny_model(num_labels=2)}, ModelError, r"student has 2 label.*teacher 1"),
        ({"settings": StandardDistillationSettings(max_tokens=65)}, SettingsError, "has positions for 64 tokens"),
    ],
)
def test_what_does_not_match_is_refused(change: dict[str, Any], error: type[Exception], problem: str) -> None:
    given: dict[str, Any] = {
        "student": tiny_model(),
        "teacher": tiny_model(),
        "tokenizer": tiny_tokenizer(),
        "examples": labelled_pairs(2),
        "teacher_tokenizer": tiny_tokenizer(),
        "settings": StandardDistillationSettings(max_tokens=MAX_TOKENS),
        "folder": Path("never made"),
        "command": {},
    }
    with pytest.raises(error, match=problem):
        distil(**{**given, **change})
    assert not Path("never made").exists()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"alpha": 1.5}, "alpha is 1.5 but must lie between 0 and 1"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"max_tokens": 3}, "max_tokens is 3"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        StandardDistillationSettings(**wrong)
