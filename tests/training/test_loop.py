from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from distilrank.errors import InputError, ResumeError, SettingsError, TrainingError
from distilrank.evaluation.diagnostics import Finding
from distilrank.training.journal import read_events, read_lines, read_steps
from distilrank.training.order import length_ordered

MakeProblem = Callable[..., Any]
Same = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], bool]


class Crash(Exception):
    """What a test raises where a process would be killed."""


@pytest.fixture
def gradients() -> Iterator[list[list[Tensor]]]:
    """The gradients of every optimiser step, as the optimiser saw them."""
    seen: list[list[Tensor]] = []

    def keep(optimiser: torch.optim.Optimizer, *_: object) -> None:
        seen.append([p.grad.clone() for group in optimiser.param_groups for p in group["params"]])

    handle = register_optimizer_step_pre_hook(keep)
    yield seen
    handle.remove()


class TestGradients:
    def test_accumulated_equals_one_big_batch(
        self, tmp_path: Path, problem: MakeProblem, gradients: list[list[Tensor]]
    ) -> None:
        settings = {"max_grad_norm": None, "epochs": 1}
        for name, sizes in (("parts", (3, 1, 4)), ("whole", (8,))):
            run = problem(part_sizes=sizes, settings=settings)
            run.model[3].p = 0.0
            run.run(tmp_path / name)
        parts, whole = gradients[:3], gradients[3:]
        for part, one in zip(parts[0], whole[0], strict=True):
            torch.testing.assert_close(part, one, rtol=1e-5, atol=1e-7)
        for part, one in zip(parts[2], whole[2], strict=True):  # the short batch: 3 + 1 examples
            torch.testing.assert_close(part, one, rtol=1e-4, atol=1e-6)

    def test_they_are_those_of_the_mean_over_the_examples(
        self, tmp_path: Path, problem: MakeProblem, gradients: list[list[Tensor]]
    ) -> None:
        run = problem(settings={"max_steps": 1, "max_grad_norm": None})
        run.model[3].p = 0.0
        initial = run.weights()
        run.run(tmp_path)
        run.model.load_state_dict(initial)
        inputs, targets = zip(*[run.examples[position] for position in run.seen[0]], strict=True)
        sum(run.loss_terms((torch.stack(inputs), torch.stack(targets))).values()).backward()
        decayed_first = sorted(run.model.parameters(), key=lambda p: p.ndim < 2)
        for found, parameter in zip(gradients[0], decayed_first, strict=True):
            torch.testing.assert_close(found, parameter.grad, rtol=1e-5, atol=1e-7)

    def test_bert_adam_clips_each_tensor_and_resumes_to_the_same_weights(
        self, tmp_path: Path, problem: MakeProblem, same: Same, gradients: list[list[Tensor]]
    ) -> None:
        settings = {"max_steps": 6, "max_grad_norm": 0.01, "optimiser": "bert_adam"}
        whole = problem(settings=settings)
        whole.run(tmp_path / "whole")
        norms = [gradient.norm().item() for step in gradients for gradient in step]
        assert max(norms) == pytest.approx(0.01, rel=1e-3)
        assert sum(norm > 0.009 for norm in norms) > len(norms) / 2
        killed = problem(settings=settings)
        split = killed.split

        def crash(examples: Any) -> Any:
            if len(killed.seen) == 4:
                raise Crash
            return split(examples)

        with pytest.raises(Crash):
            killed.run(tmp_path / "killed", split=crash)
        again = problem(settings=settings)
        again.run(tmp_path / "killed")
        assert len(again.seen) == 2
        assert same(again.weights(), whole.weights())

    def test_they_are_clipped_to_the_limit_and_the_journal_has_the_norm_before(
        self, tmp_path: Path, problem: MakeProblem, gradients: list[list[Tensor]]
    ) -> None:
        run = problem(settings={"max_steps": 2, "max_grad_norm": 0.01})
        result = run.run(tmp_path)
        for step in gradients:
            assert torch.stack([g.norm() for g in step]).norm().item() == pytest.approx(0.01, rel=1e-3)
        assert all(line["gradient_norm"] > 0.1 for line in read_steps(result.history))

    def test_a_parameter_without_gradient_and_a_teacher_stay_as_they_are(
        self, tmp_path: Path, problem: MakeProblem, same: Same
    ) -> None:
        run, teacher = problem(settings={"epochs": 2}), problem().model.eval()
        run.model[0].weight.requires_grad_(False)
        before, teacher_before = run.weights(), {k: v.clone() for k, v in teacher.state_dict().items()}

        def loss_terms(content: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            assert not teacher.training
            with torch.no_grad():
                wanted = teacher(content[0])
            return {"soft": ((run.model(content[0]) - wanted) ** 2).mean()}

        run.run(tmp_path, loss_terms=loss_terms)
        after = run.weights()
        assert torch.equal(after["0.weight"], before["0.weight"])
        assert not torch.equal(after["4.weight"], before["4.weight"])
        assert same(teacher.state_dict(), teacher_before)
        assert all(parameter.grad is None for parameter in teacher.parameters())

    def test_what_a_broken_off_step_left_is_forgotten(self, tmp_path: Path, problem: MakeProblem, same: Same) -> None:
        clean, spoilt = problem(settings={"max_steps": 2}), problem(settings={"max_steps": 2})
        for parameter in spoilt.model.parameters():
            parameter.grad = torch.full_like(parameter, 100.0)
        clean.run(tmp_path / "clean")
        spoilt.run(tmp_path / "spoilt")
        assert same(clean.weights(), spoilt.weights())


class TestOneResult:
    def test_one_seed_one_result(self, tmp_path: Path, problem: MakeProblem, same: Same) -> None:
        results = []
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            run = problem(settings={"epochs": 3, "seed": seed})
            torch.rand(seed)  # what was drawn before must not matter
            run.run(tmp_path / name)
            results.append(run.weights())
        assert same(results[0], results[1])
        assert not same(results[0], results[2])

    def test_every_generator_is_seeded_anew_at_every_step(self, tmp_path: Path, problem: MakeProblem) -> None:
        def draws(folder: Path, **settings: object) -> list[tuple[float, float, float]]:
            run, drawn = problem(settings={"max_steps": 4, **settings}), []

            def split(examples: list[Any]) -> list[Any]:
                drawn.append((random.random(), float(np.random.rand()), float(torch.rand(1))))
                return run.split(examples)

            run.run(folder, split=split)
            return drawn

        first = draws(tmp_path / "a")
        assert first == draws(tmp_path / "b")
        assert len(set(first)) == 4

    def test_evaluating_changes_nothing(self, tmp_path: Path, problem: MakeProblem, same: Same) -> None:
        plain = problem(settings={"max_steps": 5})
        plain.run(tmp_path / "plain")
        watched = problem(settings={"max_steps": 5, "evaluate_every": 1, "keep_best": False})

        def evaluate() -> dict[str, float]:
            assert not watched.model.training
            assert not torch.is_grad_enabled()
            return {"noise": float(torch.rand(3).mean())}

        watched.run(tmp_path / "watched", evaluate=evaluate)
        assert same(plain.weights(), watched.weights())


class TestExamples:
    def test_all_are_trained_on_once_an_epoch_and_the_short_batch_too(
        self, tmp_path: Path, problem: MakeProblem
    ) -> None:
        run = problem(settings={"epochs": 2})
        result = run.run(tmp_path)
        assert [len(step) for step in run.seen] == [8, 8, 4, 8, 8, 4]
        assert sorted(chain(*run.seen[:3])) == sorted(chain(*run.seen[3:])) == list(range(20))
        assert run.seen[:3] != run.seen[3:]
        assert result.steps == 6

    def test_the_order_can_be_given(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"epochs": 1})
        order = length_ordered(list(range(20)), batch_size=8, window=9, seed=3)
        run.run(tmp_path, order=order)
        assert sorted(map(sorted, run.seen)) == [list(range(8)), list(range(8, 16)), list(range(16, 20))]
        assert list(chain(*run.seen)) == order(0).tolist()

    def test_the_model_trains_and_learns(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"epochs": 60, "learning_rate": 0.03, "checkpoint_every": 1000})
        run.model[3].p = 0.0
        before = run.negative_error()["negative error"]
        run.run(tmp_path)
        assert run.negative_error()["negative error"] > before / 4
        assert not run.model.training


class TestJournal:
    def test_steps_hold_terms_rate_and_throughput(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"max_steps": 4, "warmup_share": 0.5, "learning_rate": 0.01})
        steps = read_steps(run.run(tmp_path, stage="layers").history, stage="layers")
        assert [line["step"] for line in steps] == [1, 2, 3, 4]
        assert [line["learning_rate"] for line in steps] == pytest.approx([0.005, 0.01, 0.01 * 2 / 3, 0.01 / 3])
        for line in steps:
            assert list(line["terms"]) == ["squared", "absolute"]
            assert line["loss"] == pytest.approx(sum(line["terms"].values()))
            assert line["tokens_per_second"] == pytest.approx(4 * line["pairs_per_second"], rel=0.01)

    def test_the_rate_in_it_is_the_one_that_moved_the_weights(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"max_steps": 4, "warmup_share": 1.0, "learning_rate": 0.01})
        weights = []

        def split(examples: list[Any]) -> list[Any]:
            weights.append(run.weights()["4.bias"])
            return run.split(examples)

        steps = read_steps(run.run(tmp_path, split=split).history)
        # Adam's first step moves a weight that does not decay by the learning rate, whatever its gradient.
        assert (weights[1] - weights[0]).abs().item() == pytest.approx(0.0025, rel=1e-4)
        assert steps[0]["learning_rate"] == pytest.approx(0.0025)

    def test_terms_are_means_over_the_examples(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"max_steps": 1})
        run.model[3].p = 0.0
        initial = run.weights()
        (line,) = read_steps(run.run(tmp_path).history)
        run.model.load_state_dict(initial)
        inputs, targets = zip(*[run.examples[position] for position in run.seen[0]], strict=True)
        terms = run.loss_terms((torch.stack(inputs), torch.stack(targets)))
        assert line["terms"] == pytest.approx({name: term.item() for name, term in terms.items()}, rel=1e-5)


class TestEvaluation:
    def scripted(self, run: Any, values: list[float]) -> tuple[Callable[[], dict[str, float]], list[dict[str, Tensor]]]:
        left, weights = iter(values), []

        def evaluate() -> dict[str, float]:
            weights.append(run.weights())
            return {"other": 1.0, "RR@10": next(left)}

        return evaluate, weights

    def test_stops_after_patience_and_ends_with_the_best(
        self, tmp_path: Path, problem: MakeProblem, same: Same
    ) -> None:
        run = problem(settings={"max_steps": 50, "evaluate_every": 3, "patience": 2})
        evaluate, weights = self.scripted(run, [0.1, 0.3, 0.2, 0.3])
        result = run.run(tmp_path, evaluate=evaluate, best_by="RR@10")
        assert (result.steps, result.best_step, result.best_value) == (12, 6, 0.3)
        assert same(run.weights(), weights[1])
        assert not same(run.weights(), weights[3])
        assert [line["step"] for line in read_events(result.history, "stop")] == [12]
        assert [line["step"] for line in read_events(result.history, "best")] == [3, 6]

    def test_a_better_value_renews_the_patience(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"max_steps": 5, "evaluate_every": 1, "patience": 2})
        evaluate, _ = self.scripted(run, [0.3, 0.2, 0.4, 0.1, 0.5])
        result = run.run(tmp_path, evaluate=evaluate, best_by="RR@10")
        assert (result.steps, result.best_step) == (5, 5)
        assert not read_events(result.history, "stop")

    def test_the_last_weights_stay_when_the_best_are_not_kept(
        self, tmp_path: Path, problem: MakeProblem, same: Same
    ) -> None:
        run = problem(settings={"max_steps": 4, "evaluate_every": 2, "keep_best": False})
        evaluate, weights = self.scripted(run, [0.5, 0.1])
        result = run.run(tmp_path, evaluate=evaluate, best_by="RR@10")
        assert same(run.weights(), weights[1])
        assert result.best_step == 2

    def test_the_last_step_is_always_evaluated_and_the_first_measure_decides(
        self, tmp_path: Path, problem: MakeProblem
    ) -> None:
        run = problem(settings={"max_steps": 5, "evaluate_every": 2})
        result = run.run(tmp_path, evaluate=self.scripted(run, [0.1, 0.2, 0.3])[0])
        assert [line["step"] for line in read_events(result.history, "evaluate")] == [2, 4, 5]
        assert (result.best_step, result.best_value) == (2, 1.0)

    def test_what_is_not_a_number_is_never_the_best(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"max_steps": 3, "evaluate_every": 1})
        nan = float("nan")
        result = run.run(tmp_path, evaluate=self.scripted(run, [nan, 0.2, nan])[0], best_by="RR@10")
        assert (result.best_step, result.best_value) == (2, 0.2)
        assert [line["measures"]["RR@10"] for line in read_events(result.history, "evaluate")] == [None, 0.2, None]


PLACES = ["second part of step 7", "evaluation at step 6", "checkpoint at step 8", "finish"]


class TestResume:
    def crashing(self, run: Any, place: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """Return the arguments of a run that dies at a place."""
        parts = 0

        def loss_terms(content: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
            nonlocal parts
            parts += 1
            if place == PLACES[0] and len(run.seen) == 7 and parts % 3 == 2:
                raise Crash
            return run.loss_terms(content)

        def evaluate() -> dict[str, float]:
            if place == PLACES[1] and len(run.seen) == 6:
                raise Crash
            return run.negative_error()

        def die(*_: object) -> None:
            if place == PLACES[3] or len(run.seen) == 8:
                raise Crash

        if place == PLACES[2]:
            monkeypatch.setattr("distilrank.training.run_folder.torch.save", die)
        if place == PLACES[3]:
            monkeypatch.setattr("distilrank.training.run_folder.RunFolder.finish", die)
        return {"loss_terms": loss_terms, "evaluate": evaluate}

    @pytest.mark.parametrize("place", PLACES)
    def test_equals_uninterrupted(
        self, tmp_path: Path, problem: MakeProblem, same: Same, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        settings = {"max_steps": 10, "evaluate_every": 3, "checkpoint_every": 2, "keep_best": False}
        whole = problem(settings=settings)
        history = whole.run(tmp_path / "whole", evaluate=whole.negative_error).history

        killed = problem(settings=settings)
        arguments = self.crashing(killed, place, monkeypatch)
        if place == PLACES[2]:  # let the checkpoints before it pass
            monkeypatch.undo()
            real = torch.save

            def die_late(*given: Any) -> None:
                if len(killed.seen) == 8:
                    raise Crash
                real(*given)

            monkeypatch.setattr("distilrank.training.run_folder.torch.save", die_late)
        with pytest.raises(Crash):
            killed.run(tmp_path / "killed", **arguments)
        monkeypatch.undo()

        again = problem(settings=settings)
        torch.nn.init.zeros_(again.model[0].weight)  # the checkpoint, not the caller, says where to go on
        result = again.run(tmp_path / "killed", evaluate=again.negative_error)
        assert same(again.weights(), whole.weights())
        (resumed,) = [line["step"] for line in read_lines(result.history) if line["event"] == "resume"]
        assert resumed == {PLACES[0]: 6, PLACES[1]: 4, PLACES[2]: 6, PLACES[3]: 10}[place]
        assert len(again.seen) == 10 - resumed
        assert [(line["step"], line["terms"]) for line in read_steps(result.history)] == [
            (line["step"], line["terms"]) for line in read_steps(history)
        ]
        assert [line["measures"] for line in read_events(result.history, "evaluate")] == [
            line["measures"] for line in read_events(history, "evaluate")
        ]

    def test_remembers_best_and_patience(self, tmp_path: Path, problem: MakeProblem, same: Same) -> None:
        values = {2: 0.5, 4: 0.4, 6: 0.3, 8: 0.2}
        settings = {"max_steps": 50, "evaluate_every": 2, "patience": 3, "checkpoint_every": 1}
        best: dict[str, Tensor] = {}

        def run_until(crash_at: int) -> Any:
            run = problem(settings=settings)

            def evaluate() -> dict[str, float]:
                done = len(read_steps(tmp_path / "journal.jsonl"))
                if done == crash_at:
                    raise Crash
                if done == 2:
                    best.update(run.weights())
                return {"RR@10": values[done]}

            return run.run(tmp_path, evaluate=evaluate), run

        for crash_at in (4, 8):
            with pytest.raises(Crash):
                run_until(crash_at)
        result, run = run_until(-1)
        assert (result.steps, result.best_step, result.best_value) == (8, 2, 0.5)
        assert same(run.weights(), best)

    def test_does_not_go_on_after_an_early_stop(
        self, tmp_path: Path, problem: MakeProblem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = {"max_steps": 50, "evaluate_every": 1, "patience": 2}
        run, values = problem(settings=settings), iter([0.3, 0.2, 0.1])

        def die(*_: object) -> None:
            raise Crash

        with monkeypatch.context() as patched:
            patched.setattr("distilrank.training.run_folder.RunFolder.finish", die)
            with pytest.raises(Crash):
                run.run(tmp_path, evaluate=lambda: {"RR@10": next(values)})
        again = problem(settings=settings)
        result = again.run(tmp_path, evaluate=lambda: {"RR@10": 1.0})
        assert (result.steps, result.best_step) == (3, 1)
        assert not again.seen
        assert len(read_events(result.history, "stop")) == 1

    def test_a_finished_run_returns_at_once_with_its_weights(
        self, tmp_path: Path, problem: MakeProblem, same: Same
    ) -> None:
        first = problem(settings={"max_steps": 3})
        result = first.run(tmp_path)
        again = problem(settings={"max_steps": 3})
        assert again.run(tmp_path) == result
        assert not again.seen
        assert same(again.weights(), first.weights())
        assert not (tmp_path / "checkpoints").exists()

    def test_another_command_is_refused_by_its_first_difference(self, tmp_path: Path, problem: MakeProblem) -> None:
        problem(settings={"max_steps": 3}).run(tmp_path)
        with pytest.raises(ResumeError, match=r"training\.learning_rate was 0\.01 and is 0\.02 now"):
            problem(settings={"max_steps": 3, "learning_rate": 0.02}).run(tmp_path)
        with pytest.raises(ResumeError, match=r"command\.data\.hash was 'abc' and is 'def' now"):
            problem(settings={"max_steps": 3}).run(tmp_path, command={"data": {"hash": "def"}})
        with pytest.raises(ResumeError, match="examples was 20 and is 19 now"):
            problem(settings={"max_steps": 3}, examples=problem().examples[:19]).run(tmp_path)

    def test_settings_that_change_no_result_may_differ(self, tmp_path: Path, problem: MakeProblem) -> None:
        problem(settings={"max_steps": 3}).run(tmp_path)
        threads = torch.get_num_threads()
        problem(settings={"max_steps": 3, "checkpoint_every": 7, "threads": threads, "trackers": ("tensorboard",)}).run(
            tmp_path
        )


class TestProjections:
    def test_are_trained_and_resumed_but_no_part_of_the_model(self, tmp_path: Path, problem: MakeProblem) -> None:
        def start() -> tuple[Any, nn.Module, dict[str, Any]]:
            run = problem(settings={"max_steps": 6, "checkpoint_every": 2})
            projections = nn.ModuleDict({"hidden": nn.Linear(1, 3)})
            nn.init.constant_(projections["hidden"].weight, 0.5)
            nn.init.zeros_(projections["hidden"].bias)

            def loss_terms(content: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
                return {"hidden": ((projections["hidden"](run.model(content[0])) - 1.0) ** 2).mean()}

            return run, projections, {"projections": projections, "loss_terms": loss_terms}

        whole, whole_projections, arguments = start()
        whole.run(tmp_path / "whole", **arguments)
        assert not torch.equal(whole_projections["hidden"].weight, torch.full((3, 1), 0.5))

        killed, _, arguments = start()
        real = arguments["loss_terms"]

        def crash(content: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            if len(killed.seen) == 5:
                raise Crash
            return real(content)

        with pytest.raises(Crash):
            killed.run(tmp_path / "killed", **{**arguments, "loss_terms": crash})
        again, projections, arguments = start()
        again.run(tmp_path / "killed", **arguments)
        assert torch.equal(projections["hidden"].weight, whole_projections["hidden"].weight)
        with safe_open(tmp_path / "killed" / "final" / "model.safetensors", "pt") as file:
            assert set(file.keys()) == set(again.model.state_dict())


class TestPrecision:
    def test_bf16_is_the_forward_pass_only(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"max_steps": 2, "precision": "bf16"})
        kinds = set()

        def loss_terms(content: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            output = run.model(content[0])
            kinds.add(output.dtype)
            return {"half": output.mean(), "full": (output.float()[:, 0] - content[1]).square().mean()}

        run.run(tmp_path, loss_terms=loss_terms)
        assert kinds == {torch.bfloat16}
        assert all(parameter.dtype == torch.float32 for parameter in run.model.parameters())

    def test_fp32_is_fp32(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"max_steps": 1})

        def loss_terms(content: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
            assert run.model(content[0]).dtype == torch.float32
            return run.loss_terms(content)

        run.run(tmp_path, loss_terms=loss_terms)


class TestThreads:
    def test_are_set_for_the_training_only(self, tmp_path: Path, problem: MakeProblem) -> None:
        before = torch.get_num_threads()
        run = problem(settings={"max_steps": 1, "threads": before + 1})
        counts = []

        def loss_terms(content: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
            counts.append(torch.get_num_threads())
            return run.loss_terms(content)

        run.run(tmp_path, loss_terms=loss_terms)
        assert set(counts) == {before + 1}
        assert torch.get_num_threads() == before


class TestDropout:
    @pytest.mark.parametrize(("setting", "expected"), [(None, 0.2), (0.0, 0.0), (0.5, 0.5)])
    def test_is_set_for_the_training_only(
        self, tmp_path: Path, problem: MakeProblem, setting: float | None, expected: float
    ) -> None:
        run = problem(settings={"max_steps": 1, "dropout": setting})
        found = []

        def loss_terms(content: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
            found.append(run.model[3].p)
            return run.loss_terms(content)

        run.run(tmp_path, loss_terms=loss_terms)
        assert set(found) == {expected}
        assert run.model[3].p == 0.2

    def test_the_networks_own_comes_back_after_an_error_too(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"dropout": 0.0})

        def crash(content: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
            raise Crash

        with pytest.raises(Crash):
            run.run(tmp_path, loss_terms=crash)
        assert run.model[3].p == 0.2


class TestRefusals:
    def test_a_loss_that_is_not_a_number_stops_and_names_the_term(self, tmp_path: Path, problem: MakeProblem) -> None:
        run = problem(settings={"max_steps": 9})

        def loss_terms(content: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            spoilt = torch.tensor(float("nan") if len(run.seen) == 3 else 1.0)
            return {**run.loss_terms(content), "attention": run.model(content[0]).mean() * spoilt}

        with pytest.raises(TrainingError, match="the loss term 'attention' became nan at step 3 of layers"):
            run.run(tmp_path, loss_terms=loss_terms, stage="layers")
        assert all(torch.isfinite(tensor).all() for tensor in run.weights().values())
        assert [line["step"] for line in read_steps(tmp_path / "journal.jsonl")] == [1, 2]

    def test_a_gradient_that_is_not_a_number_stops_though_the_loss_is_finite(
        self, tmp_path: Path, problem: MakeProblem
    ) -> None:
        run = problem(settings={"max_grad_norm": None})

        def loss_terms(content: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            zero = run.model(content[0]).mean() * 0.0
            return {"root": torch.sqrt(zero)}  # its value is 0 and its slope 0 times infinity

        with pytest.raises(TrainingError, match=r"gradient's norm became nan at step 1 .*\(root 0\)"):
            run.run(tmp_path, loss_terms=loss_terms)
        assert all(torch.isfinite(tensor).all() for tensor in run.weights().values())

    def test_no_examples(self, tmp_path: Path, problem: MakeProblem) -> None:
        with pytest.raises(InputError, match="no examples to train on"):
            problem(examples=[]).run(tmp_path)

    def test_nothing_left_after_splitting(self, tmp_path: Path, problem: MakeProblem) -> None:
        with pytest.raises(InputError, match="step 1 has no examples left"):
            problem().run(tmp_path, split=lambda examples: [])

    def test_patience_without_evaluation(self, tmp_path: Path, problem: MakeProblem) -> None:
        with pytest.raises(SettingsError, match="patience is set but nothing is evaluated"):
            problem(settings={"patience": 2}).run(tmp_path)

    def test_a_measure_that_is_not_computed(self, tmp_path: Path, problem: MakeProblem) -> None:
        with pytest.raises(SettingsError, match=r"no measure 'RR@1' to find the best by; did you mean 'RR@10'"):
            problem(settings={"max_steps": 1}).run(tmp_path, evaluate=lambda: {"RR@10": 1.0}, best_by="RR@1")


def test_alarms_of_an_evaluation_are_in_the_journal(problem: Callable[..., Any], tmp_path: Path) -> None:
    class Judge:
        alarms: tuple[Finding, ...] = ()

        def __call__(self) -> dict[str, float]:
            self.alarms = () if self.alarms else (Finding(check="odd", level="note", message="it is odd"),)
            return {"measure": 1.0}

    result = problem(settings={"max_steps": 3, "evaluate_every": 1}, extra={"evaluate": Judge()}).run(tmp_path)
    events = read_events(result.history, "alarm")
    assert [event["step"] for event in events] == [1, 3]
    assert {name: events[0][name] for name in ("check", "level", "message")} == {
        "check": "odd",
        "level": "note",
        "message": "it is odd",
    }
