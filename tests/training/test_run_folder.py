from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from distilrank.data.differences import first_difference
from distilrank.errors import ResumeError
from distilrank.training import run_folder
from distilrank.training.run_folder import RunFolder, TrainingState

Same = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], bool]


def trained(steps: int = 3) -> tuple[nn.Linear, torch.optim.AdamW]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(torch.ones(1, 3)).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    return model, optimiser


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


def test_a_checkpoint_brings_back_weights_optimiser_and_state(tmp_path: Path, same: Same) -> None:
    model, optimiser = trained()
    state = TrainingState(step=3, best_step=2, best_value=0.5, stale_evaluations=1)
    RunFolder(tmp_path, {"model": model}).save_checkpoint(state, optimiser)
    fresh, fresh_optimiser = trained(steps=0)
    assert RunFolder(tmp_path, {"model": fresh}).load_checkpoint(fresh_optimiser) == state
    assert same(fresh.state_dict(), model.state_dict())
    for loaded, saved in zip(fresh_optimiser.state.values(), optimiser.state.values(), strict=True):
        assert same(loaded, saved)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    model, optimiser = trained()
    assert RunFolder(tmp_path, {"model": model}).load_checkpoint(optimiser) is None
    assert RunFolder(tmp_path, {"model": model}).load_final() is None


def test_only_the_newest_checkpoint_stays_and_it_is_the_one_loaded(tmp_path: Path) -> None:
    model, optimiser = trained()
    run = RunFolder(tmp_path, {"model": model})
    for step in (9, 10, 100):
        run.save_checkpoint(TrainingState(step=step), optimiser)
    assert names(tmp_path / "checkpoints") == ["step-000000100"]
    assert run.load_checkpoint(optimiser) == TrainingState(step=100)


def test_of_two_checkpoints_the_newest_is_loaded(tmp_path: Path) -> None:
    model, optimiser = trained()
    run, old = RunFolder(tmp_path, {"model": model}), tmp_path / "checkpoints" / "step-000000009"
    run.save_checkpoint(TrainingState(step=9), optimiser)
    shutil.copytree(old, tmp_path / "kept")
    run.save_checkpoint(TrainingState(step=10), optimiser)
    (tmp_path / "kept").rename(old)  # as if killed before it was removed
    assert run.load_checkpoint(optimiser) == TrainingState(step=10)


def test_the_best_weights_stay_until_a_checkpoint_names_better_ones(tmp_path: Path) -> None:
    model, optimiser = trained()
    run = RunFolder(tmp_path, {"model": model})
    run.save_best(2)
    run.save_checkpoint(TrainingState(step=2, best_step=2, best_value=0.1), optimiser)
    run.save_best(4)
    assert names(tmp_path / "best") == ["step-000000002", "step-000000004"]  # a kill now goes back to step 2
    run.save_checkpoint(TrainingState(step=4, best_step=4, best_value=0.2), optimiser)
    assert names(tmp_path / "best") == ["step-000000004"]


@pytest.mark.parametrize("failing", ["save_model", "torch.save", "os.replace"])
def test_a_write_that_dies_leaves_the_old_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, same: Same
) -> None:
    model, optimiser = trained()
    run = RunFolder(tmp_path, {"model": model})
    run.save_checkpoint(TrainingState(step=3), optimiser)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model.weight.add_(1.0)

    def die(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"distilrank.training.run_folder.{failing}", die)
        with pytest.raises(KeyboardInterrupt):
            run.save_checkpoint(TrainingState(step=4), optimiser)
    assert run.load_checkpoint(optimiser) == TrainingState(step=3)
    assert same(model.state_dict(), before)
    run.sweep()
    assert names(tmp_path / "checkpoints") == ["step-000000003"]


def test_a_removal_that_dies_leaves_no_half_checkpoint_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimiser = trained()
    run = RunFolder(tmp_path, {"model": model})
    run.save_checkpoint(TrainingState(step=3), optimiser)
    monkeypatch.setattr(run_folder, "_delete", lambda folder: None)
    run.save_checkpoint(TrainingState(step=4), optimiser)
    assert [path.name for path in (tmp_path / "checkpoints").glob("step-*")] == ["step-000000004"]
    monkeypatch.undo()
    run.sweep()
    assert names(tmp_path / "checkpoints") == ["step-000000004"]


def test_finishing_leaves_final_weights_and_nothing_to_resume_from(tmp_path: Path, same: Same) -> None:
    model, optimiser = trained()
    run = RunFolder(tmp_path, {"model": model, "projections": nn.Linear(1, 1)})
    run.save_best(3)
    run.save_checkpoint(TrainingState(step=3, best_step=3, best_value=0.1), optimiser)
    state = TrainingState(step=3, best_step=3, best_value=0.1)
    run.finish(state)
    assert names(tmp_path) == ["done.json", "final"]
    assert same(load_file(tmp_path / "final" / "model.safetensors"), model.state_dict())
    fresh, _ = trained(steps=0)
    assert RunFolder(tmp_path, {"model": fresh, "projections": nn.Linear(1, 1)}).load_final() == state
    assert same(fresh.state_dict(), model.state_dict())


def test_tied_weights_are_kept(tmp_path: Path, same: Same) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.output = nn.Embedding(3, 2), nn.Linear(2, 3, bias=False)
            self.output.weight = self.words.weight

    saved, loaded = Tied(), Tied()
    RunFolder(tmp_path, {"model": saved}).save_best(1)
    RunFolder(tmp_path, {"model": loaded}).load_best(1)
    assert same(loaded.state_dict(), saved.state_dict())
    assert loaded.output.weight is loaded.words.weight


def test_the_optimiser_file_holds_tensors_only(tmp_path: Path) -> None:
    model, optimiser = trained()
    RunFolder(tmp_path, {"model": model}).save_checkpoint(TrainingState(step=3), optimiser)
    torch.load(tmp_path / "checkpoints" / "step-000000003" / "optimiser.pt", weights_only=True)


def test_a_folder_of_another_command_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {})
    run.claim({"data": {"hash": "abc"}, "shape": (4, 312), "folder": Path("x")})
    run.claim({"data": {"hash": "abc"}, "shape": (4, 312), "folder": Path("x")})
    with pytest.raises(ResumeError, match=r"data\.hash was 'abc' and is 'def' now; give the same command"):
        run.claim({"data": {"hash": "def"}, "shape": (4, 313), "folder": Path("x")})


def test_only_who_may_write_claims_a_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {})
    run.claim({"seed": 1}, write=False)
    assert names(tmp_path) == []
    run.claim({"seed": 2})
    with pytest.raises(ResumeError, match="seed was 2 and is 1 now"):
        run.claim({"seed": 1}, write=False)


def test_sweeping_removes_what_a_kill_left_half_written_and_nothing_else(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {})
    run.claim({"seed": 1})
    kept = {"command.json", "journal.jsonl", "checkpoints/step-000000002", "best/step-000000002", ".hidden"}
    torn = {".command.json.12-ab.tmp", ".writing-final", "checkpoints/.writing-step-000000004", "best/.removing-x"}
    for name in (kept | torn) - {"command.json"}:
        path = tmp_path / name
        if path.suffix:
            path.touch()
        else:
            path.mkdir(parents=True)
    run.sweep()
    assert all((tmp_path / name).exists() for name in kept)
    assert not any((tmp_path / name).exists() for name in torn)


@pytest.mark.parametrize(
    ("stored", "wanted", "difference"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, ""),
        ({"a": {"b": 1}, "c": 2}, {"a": {"b": 2}, "c": 3}, "a.b was 1 and is 2 now"),
        ({"a": 1}, {}, "a was 1 and is not given now"),
        ({}, {"a": 1}, "a was not given and is 1 now"),
        ({"b": 1}, {"b": 1, "a": None}, ""),  # a setting that a later version added
        ({"b": 1, "a": None}, {"b": 1}, ""),
        ({"a": None}, {"a": 0}, "a was None and is 0 now"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "a was [1, 2] and is [1, 3] now"),
        ({"a": {"b": 1}}, {"a": None}, "a was {'b': 1} and is None now"),
    ],
)
def test_first_difference(stored: object, wanted: object, difference: str) -> None:
    assert first_difference(stored, wanted) == difference
