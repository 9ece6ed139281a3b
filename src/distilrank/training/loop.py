"""The one visible training loop: accumulate, clip, step, evaluate, checkpoint, resume.

Every step is a pure function of the weights, the optimiser and (seed, step): the order of the examples is computed
from the seed, and all random generators are seeded anew at each step. So a run that is killed at any moment and
started again by the same command ends, on the CPU with the same thread count, in the very weights of an
uninterrupted run.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from distilrank.errors import InputError, SettingsError, TrainingError, nearest
from distilrank.evaluation.diagnostics.findings import Finding
from distilrank.training.cpu_speed import cpu_speed
from distilrank.training.dropout import dropout_set_to
from distilrank.training.journal import Journal
from distilrank.training.microbatch import MicroBatch
from distilrank.training.optimiser import (
    build_optimiser,
    clip_gradients,
    learning_rate,
    set_learning_rate,
    trainable_parameters,
)
from distilrank.training.order import EpochOrder, Steps, shuffled
from distilrank.training.processes import Processes
from distilrank.training.progress import TrainingProgress
from distilrank.training.run_folder import RunFolder, TrainingState
from distilrank.training.settings import TrainingSettings

E = TypeVar("E")
B = TypeVar("B")

Split = Callable[[list[E]], list[MicroBatch[B]]]
LossTerms = Callable[[B], Mapping[str, Tensor]]
Evaluate = Callable[[], Mapping[str, float]]

WITHOUT_EFFECT = ("trackers", "threads", "checkpoint_every")
"""Settings that may differ when a run is resumed."""


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        steps: Optimiser steps taken, of which early stopping may have saved some.
        best_step: The step of the best evaluation, whose weights the model now has unless ``keep_best`` is off.
            None: nothing was evaluated, and the model has the last weights.
        best_value: The measure of that step.
        history: The journal (``journal.read_steps``).
    """

    steps: int
    best_step: int | None
    best_value: float | None
    history: Path


def train(
    *,
    model: nn.Module,
    examples: Sequence[E],
    split: Split[E, B],
    loss_terms: LossTerms[B],
    settings: TrainingSettings,
    folder: Path,
    command: Mapping[str, object],
    projections: nn.Module | None = None,
    order: EpochOrder | None = None,
    evaluate: Evaluate | None = None,
    best_by: str | None = None,
    stage: str = "train",
) -> TrainingResult:
    """Train the model in place, resuming whatever the folder holds of the same command.

    Args:
        model: What is trained; parameters without ``requires_grad`` stay as they are. It is moved to the device of
            the run, has ``settings.dropout`` meanwhile, and is left in evaluation mode with the best (or last) weights.
        examples: What is trained on, by position.
        split: Examples of a step -> parts that fit in memory. It may draw from the seeded generators.
        loss_terms: A part's content -> named terms, each a scalar: a mean over the part's examples. Their sum is
            minimised, and each is logged.
        settings: How to train.
        folder: The run folder; see ``run_folder``.
        command: What else makes this run this run (inputs' hashes, the procedure's settings), as JSON values.
        projections: Trained and checkpointed with the model, but no part of it.
        order: Order of the examples in each epoch, which ``command`` should name. None: shuffled.
        evaluate: Computes the measures, higher is better, with the model in evaluation mode. If it has ``alarms``,
            these are what is suspicious about the measures, and the journal gets them. They are not printed on the
            way: what has just begun to learn is suspicious.
        best_by: The measure that decides which weights are best. None: the first.
        stage: What the journal, the progress bar and the trackers call it.

    Raises:
        ResumeError: If the folder belongs to another command.
        TrainingError: If a term or the gradient is no longer finite.
        SettingsError: If the settings do not fit together.
        InputError: If there are no examples.
    """
    if not examples:
        raise InputError("there are no examples to train on")
    if settings.patience is not None and evaluate is None:
        raise SettingsError("patience is set but nothing is evaluated during training")
    modules = {"model": model} if projections is None else {"model": model, "projections": projections}
    processes = Processes(folder=folder, trackers=settings.trackers)
    run = RunFolder(folder, modules)
    identity = _identity(stage, settings, len(examples), command)
    run.claim(identity, write=processes.first)
    if processes.first:
        run.sweep()
    processes.wait()
    for module in modules.values():
        module.to(processes.device)
    training = _Training(
        modules=modules,
        examples=examples,
        split=split,
        loss_terms=loss_terms,
        settings=settings,
        order=order or shuffled(len(examples), seed=settings.seed),
        evaluate=evaluate,
        best_by=best_by,
        stage=stage,
        run=run,
        processes=processes,
    )
    on_cpu = processes.device.type == "cpu"
    with (
        dropout_set_to(settings.dropout, model),
        _threads(settings.threads),
        cpu_speed(model, bf16=settings.precision == "bf16") if on_cpu else nullcontext(),
    ):
        state = run.load_final() or training.to_the_end(identity)
    for module in modules.values():
        module.eval()
    return TrainingResult(steps=state.step, best_step=state.best_step, best_value=state.best_value, history=run.journal)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Have torch use this many CPU threads; None: as many as it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _identity(
    stage: str, settings: TrainingSettings, examples: int, command: Mapping[str, object]
) -> dict[str, object]:
    """Return what must be equal for a run to be resumed."""
    decisive = {name: value for name, value in asdict(settings).items() if name not in WITHOUT_EFFECT}
    return {"stage": stage, "training": decisive, "examples": examples, "command": dict(command)}


@dataclass(kw_only=True)
class _Training(Generic[E, B]):
    """A run in this process: what ``train`` was given, and the optimiser."""

    modules: Mapping[str, nn.Module]
    examples: Sequence[E]
    split: Split[E, B]
    loss_terms: LossTerms[B]
    settings: TrainingSettings
    order: EpochOrder
    evaluate: Evaluate | None
    best_by: str | None
    stage: str
    run: RunFolder
    processes: Processes

    def __post_init__(self) -> None:
        """Plan the steps and build the optimiser."""
        self.steps = self.settings.steps(len(self.examples))
        self.positions = Steps(self.order, count=len(self.examples), batch_size=self.settings.batch_size)
        self.parameters = trainable_parameters(self.modules.values())
        self.optimiser = build_optimiser(self.parameters, self.settings)

    def to_the_end(self, identity: Mapping[str, object]) -> TrainingState:
        """Train from the newest checkpoint, or from the start, and leave the final weights in the model."""
        first = self.processes.first
        resumed = self.run.load_checkpoint(self.optimiser)
        state = resumed or TrainingState()
        self.processes.copy_from_first(self.modules.values())
        self.optimiser.zero_grad(set_to_none=True)  # a step that was broken off may have left some in this process
        with (
            self.processes.tracking(self.stage, step=state.step, settings=identity),
            Journal(self.run.journal if first else None, stage=self.stage) as journal,
            TrainingProgress(self.stage, steps=self.steps, first=state.step, shown=first) as progress,
        ):
            self.journal, self.progress = journal, progress
            journal.write(
                "resume" if resumed else "start",
                step=state.step,
                steps=self.steps,
                processes=self.processes.count,
                threads=torch.get_num_threads(),
                device=str(self.processes.device),
            )
            where = f"{self.processes.device}, {self.processes.count} process(es), {self.settings.precision}"
            progress.say(
                f"{'resuming after' if resumed else 'starting at'} step {state.step} of {self.steps} on {where}"
            )
            while not self._finished(state):
                state.step += 1
                self._step(state.step)
                evaluated = self._evaluation_due(state.step)
                if evaluated:
                    self._evaluate(state)
                if evaluated or state.step % self.settings.checkpoint_every == 0:
                    self._checkpoint(state)
            self._finish(state)
        return state

    def _finished(self, state: TrainingState) -> bool:
        patience = self.settings.patience
        return state.step >= self.steps or (patience is not None and state.stale_evaluations >= patience)

    def _step(self, step: int) -> None:
        """Take one optimiser step over this process's share of the step's examples."""
        began = time.perf_counter()
        _seed_everything(self.settings.seed, step, self.processes.index)
        for module in self.modules.values():
            module.train()
        own = [self.examples[position] for position in self.processes.share(self.positions.positions(step))]
        parts = self.split(own) if own else []
        terms = self._accumulate(parts, step)
        gradient_norm = self._clip(terms, step)
        rate = learning_rate(step, steps=self.steps, settings=self.settings)
        set_learning_rate(self.optimiser, rate)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._report(step, terms, parts, rate=rate, gradient_norm=gradient_norm, began=began)

    def _accumulate(self, parts: Sequence[MicroBatch[B]], step: int) -> dict[str, float]:
        """Sum the parts' gradients, weighted by examples, over all processes; return the step's mean terms."""
        examples = self.processes.total({"examples": sum(part.examples for part in parts)})["examples"]
        if examples == 0:
            raise InputError(f"step {step} has no examples left after splitting it into micro-batches")
        sums: dict[str, Tensor] = {}
        for part in parts:
            with torch.autocast(
                self.processes.device.type, dtype=torch.bfloat16, enabled=self.settings.precision == "bf16"
            ):
                terms = self.loss_terms(part.content)
            weight = part.examples / examples
            (torch.stack(list(terms.values())).sum() * weight).backward()  # type: ignore[no-untyped-call]
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + term.detach().float() * weight
        for parameter in self.parameters:
            if parameter.grad is not None and parameter.grad.is_sparse:  # see cpu_speed
                parameter.grad = parameter.grad.to_dense()
        self.processes.sum_gradients(self.parameters)
        values = torch.stack(list(sums.values())).tolist() if sums else []  # one wait for the device, not one a term
        return self.processes.total(dict(zip(sums, values, strict=True)))

    def _clip(self, terms: Mapping[str, float], step: int) -> float:
        """Clip the gradient and return its norm before that; refuse to go on with what is not finite."""
        for name, value in terms.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss term {name!r} became {value} at step {step} of {self.stage}; look at its inputs, "
                    "or lower the learning rate"
                )
        norm = clip_gradients(self.parameters, self.settings).item()
        if not math.isfinite(norm):
            raise TrainingError(
                f"the gradient's norm became {norm} at step {step} of {self.stage} though all loss terms are finite "
                f"({', '.join(f'{name} {value:.4g}' for name, value in terms.items())}); lower the learning rate"
            )
        return norm

    def _report(
        self,
        step: int,
        terms: Mapping[str, float],
        parts: Sequence[MicroBatch[B]],
        *,
        rate: float,
        gradient_norm: float,
        began: float,
    ) -> None:
        """Tell journal, progress and trackers about a finished step."""
        work = self.processes.total({"pairs": sum(p.pairs for p in parts), "tokens": sum(p.tokens for p in parts)})
        seconds = time.perf_counter() - began
        loss = sum(terms.values())
        facts = {
            "learning_rate": rate,
            "gradient_norm": gradient_norm,
            "pairs_per_second": round(work["pairs"] / seconds, 2),
            "tokens_per_second": round(work["tokens"] / seconds, 1),
        }
        self.journal.write("step", step=step, terms=terms, loss=loss, **facts)
        self.progress.step(step, loss=loss, pairs_per_second=facts["pairs_per_second"])
        self.processes.track({"loss": loss, **{f"terms/{name}": v for name, v in terms.items()}, **facts}, step=step)

    def _evaluation_due(self, step: int) -> bool:
        every = self.settings.evaluate_every
        return self.evaluate is not None and (step == self.steps or (every is not None and step % every == 0))

    def _evaluate(self, state: TrainingState) -> None:
        """Evaluate on the first process and keep the weights if they are the best so far."""
        for module in self.modules.values():
            module.eval()
        began = time.perf_counter()
        with self.progress.paused():
            measures = self.processes.from_first(self._measures)
        self.journal.write(
            "evaluate", step=state.step, measures=_json_values(measures), seconds=round(time.perf_counter() - began, 3)
        )
        alarms: Sequence[Finding] = getattr(self.evaluate, "alarms", ())
        for finding in alarms:
            facts = {"check": finding.check, "level": finding.level, "message": finding.message}
            self.journal.write("alarm", step=state.step, **facts)
        self.processes.track({f"measures/{name}": value for name, value in measures.items()}, step=state.step)
        name = next(iter(measures)) if self.best_by is None else self.best_by
        if name not in measures:
            raise SettingsError(f"no measure {name!r} to find the best by{nearest(name, measures)}")
        value = measures[name]
        better = math.isfinite(value) and (state.best_value is None or value > state.best_value)
        state.stale_evaluations = 0 if better else state.stale_evaluations + 1
        if better:
            state.best_step, state.best_value = state.step, value
            self.journal.write("best", step=state.step, measure=name, value=value)
            if self.settings.keep_best and self.processes.first:
                self.run.save_best(state.step)
        self.progress.say(f"step {state.step}  {name} {value:.4f}{'  (best so far)' if better else ''}")

    def _measures(self) -> dict[str, float]:
        assert self.evaluate is not None
        with torch.no_grad():
            return {name: float(value) for name, value in self.evaluate().items()}

    def _checkpoint(self, state: TrainingState) -> None:
        if self.processes.first:
            self.journal.sync()
            self.run.save_checkpoint(state, self.optimiser)
            self.journal.write("checkpoint", step=state.step)

    def _finish(self, state: TrainingState) -> None:
        """Load the best weights where they are kept, and store the final ones."""
        if state.step < self.steps:
            self.journal.write("stop", step=state.step, best_step=state.best_step, patience=self.settings.patience)
            self.progress.say(f"stopped early after step {state.step}: best was step {state.best_step}")
        self.processes.wait()
        if self.settings.keep_best and state.best_step is not None:
            self.run.load_best(state.best_step)
            self.processes.wait()  # the first one is about to remove what the others read
        self.journal.write("done", step=state.step, best_step=state.best_step, best_value=state.best_value)
        if self.processes.first:
            self.journal.sync()
            self.run.finish(state)
        self.processes.wait()


def _json_values(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Return the numbers with None for those that JSON does not know."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _seed_everything(seed: int, step: int, process: int) -> None:
    """Seed Python's, numpy's and torch's generators for one step of one process."""
    mixed = int(np.random.SeedSequence([seed, step, process]).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)
