from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from accelerate.utils import LoggerType
from torch import Tensor

from distilrank.errors import SettingsError
from distilrank.training import trackers
from distilrank.training.settings import TrainingSettings
from distilrank.training.trackers import usable_trackers

MakeProblem = Callable[..., Any]


@pytest.fixture
def only_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "get_available_trackers", lambda: [LoggerType.MLFLOW])


@pytest.mark.usefixtures("only_mlflow")
def test_the_default_is_left_out_silently_when_absent() -> None:
    assert usable_trackers(["tensorboard", "mlflow"]) == ["mlflow"]


@pytest.mark.usefixtures("only_mlflow")
def test_another_that_is_absent_is_refused_in_one_sentence() -> None:
    with pytest.raises(SettingsError, match="'wandb' is not installed; pip install wandb, or leave it out"):
        usable_trackers(["wandb"])


def test_an_unknown_one_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        usable_trackers(["tensorbord"])


def test_none_are_no_reason_to_warn(tmp_path: Path, problem: MakeProblem) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem(settings={"trackers": (), "max_steps": 1}).run(tmp_path)
    assert not (tmp_path / "trackers").exists()


def test_the_default_absent_is_no_reason_to_warn_either(
    tmp_path: Path, problem: MakeProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "get_available_trackers", lambda: [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem(settings={"trackers": ("tensorboard",), "max_steps": 1}).run(tmp_path)
    assert not (tmp_path / "trackers").exists()


def test_a_refused_one_leaves_nothing_behind(tmp_path: Path, problem: MakeProblem) -> None:
    with pytest.raises(SettingsError, match="unknown tracker 'paper'"):
        problem(settings={"trackers": ("paper",)}).run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tensorboard_is_the_default() -> None:
    assert TrainingSettings().trackers == ("tensorboard",)


def test_tensorboard_has_each_step_once_after_a_failure_and_a_resume(tmp_path: Path, problem: MakeProblem) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = {"trackers": ("tensorboard",), "max_steps": 6, "checkpoint_every": 3}
    failing = problem(settings=settings)

    def fail_in_step_5(content: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        if len(failing.seen) == 5:
            raise KeyboardInterrupt
        return failing.loss_terms(content)

    with pytest.raises(KeyboardInterrupt):
        failing.run(tmp_path, loss_terms=fail_in_step_5)
    events = accumulator.EventAccumulator(str(tmp_path / "trackers" / "train")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4]  # they were not lost with the failure
    problem(settings=settings).run(tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / "trackers" / "train")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]


def test_tensorboard_gets_terms_and_measures(tmp_path: Path, problem: MakeProblem) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = problem(settings={"trackers": ("tensorboard",), "max_steps": 3, "evaluate_every": 2})
    run.run(tmp_path, evaluate=run.negative_error, stage="layers")
    events = accumulator.EventAccumulator(str(tmp_path / "trackers" / "layers")).Reload()
    assert [event.step for event in events.Scalars("terms/squared")] == [1, 2, 3]
    assert [event.step for event in events.Scalars("measures/negative error")] == [2, 3]
    assert {"loss", "learning_rate", "pairs_per_second", "terms/absolute"} <= set(events.Tags()["scalars"])
