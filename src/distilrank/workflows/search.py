"""``distilrank search``: the best student that fits a budget, by a small sweep with successive halving.

1. Every shape is built untrained, exported and measured in the runtime. Shapes of which no form (vocabulary, precision)
   fits the budget are dropped.
2. The rest is trained for a few steps and judged on dev; the best of them are trained ``eta`` times as long, and so on
   until two are left (successive halving: Jamieson and Talwalkar 2016, arXiv 1502.07943). Each rung trains from the
   start: the learning rate of a run falls to zero at its end, so that a longer one is another run from its first step.
3. The last two, exported in the forms that fit, are measured again as deployed. The best that fits is the winner.

::

    OUT/untrained/<shape>.json              what a shape takes, measured once
    OUT/vocabulary/                         the teacher, trimmed to the user's text
    OUT/teacher/<split>/, OUT/cells/        the teacher, and each run (<shape>-<steps>), as compare leaves them
    OUT/forms/<shape>-<vocabulary>/, .json  the last ones as deployed
    OUT/winner/                             ready for Ranker
    OUT/search.json, report.html

All of it is kept, so that the same command goes on where it stopped, and another budget costs what is not there yet.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distilrank.data.files import read_json
from distilrank.errors import ModelError, SettingsError
from distilrank.models.load import load_model, stored_label_names, weights_identity
from distilrank.models.matching import require_positions
from distilrank.runtime.folder import Precision
from distilrank.workflows.compare import Cell, make_cell
from distilrank.workflows.compare_measuring import MeasuredOn, measure
from distilrank.workflows.compare_results import TEACHER
from distilrank.workflows.evaluate import JudgedQueries
from distilrank.workflows.search_budget import Budget, Form, best_form
from distilrank.workflows.search_forms import (
    TIMED,
    Bench,
    Teachers,
    deployed_forms,
    leave_winner,
    untrained_forms,
)
from distilrank.workflows.search_report import Found, write_search
from distilrank.workflows.search_shapes import Shape, shapes_of
from distilrank.workflows.student import StudentSettings
from distilrank.workflows.training_data import RankingData, is_labelled
from distilrank.workflows.trim import TrimSettings, trim

FINALISTS = 2
"""Trained for longest, so that the winner is tested against one that had as much."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What is searched.

    Attributes:
        budget: Most that the winner may take.
        shapes: As ``shapes_of`` reads them; none: the usual ones.
        steps: Of the first rung.
        eta: One in so many goes on, for so many times the steps.
        seed: Of every training.
        max_tokens: Longest pair, in training and in the runtime.
        int8: Whether 8 bits are tried.
        trim: Whether a vocabulary trimmed to the user's text is tried, where the budget limits the size.
        test: What decides; its first measure does.
    """

    budget: Budget
    shapes: tuple[str, ...] = ()
    steps: int = 500
    eta: int = 2
    seed: int = 1
    max_tokens: int = 256
    int8: bool = True
    trim: bool = True
    test: MeasuredOn = field(
        default_factory=lambda: MeasuredOn(split="dev", measures=("nDCG@10",), depth=50, max_queries=200)
    )

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.steps < 1 or self.eta < 2 or self.max_tokens < 8:
            told = f"steps is {self.steps}, eta {self.eta} and max_tokens {self.max_tokens}"
            raise SettingsError(f"{told}; give at least 1, 2 and 8")


def search(
    teacher: str,
    data: str,
    settings: SearchSettings,
    *,
    out: Path,
    common: Sequence[str] = (),
    train: Callable[[Cell], None],
    threads: int | None = None,
    offline: bool = False,
    command: str = "",
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
) -> Found:
    """Find the best student within a budget; see the module.

    A shape that cannot be trained is said and left out; the same command tries it again.

    Args:
        teacher: Folder or hub name of a ranker.
        data: Folder of ranking data.
        settings: What is searched.
        out: Folder of the search.
        common: Options of ``distil`` for every shape, as arguments.
        train: Makes the model of a cell, or returns at once where it is there.
        threads: Processor threads of the runtime; None takes all cores.
        offline: Never use the network.
        command: The command line, for the record.
        say: Told what goes on.

    Raises:
        SettingsError: No shape fits, or the data is not for ranking.
        ModelError: No training succeeded, or nothing that was trained fits.
    """
    if is_labelled(Path(data)):
        raise SettingsError(f"{data} is classification data, and search is for rankers; take compare")
    test = settings.test.on(data)
    judged = JudgedQueries(data, settings=test.settings, run=test.run, offline=offline)
    pairs = judged.pairs(TIMED)
    bench = Bench(data=data, test=test, judged=judged, pairs=pairs, threads=threads, offline=offline, say=say)
    work = _Search(teacher=teacher, settings=settings, out=out, common=common, train=train, bench=bench)
    found = work.result()
    write_search(found, out, command=command)
    return found


@dataclass(kw_only=True)
class _Search:
    """A search at work: what ``search`` was given, and what failed."""

    teacher: str
    settings: SearchSettings
    out: Path
    common: Sequence[str]
    train: Callable[[Cell], None]
    bench: Bench
    failures: dict[str, str] = field(default_factory=dict)

    def result(self) -> Found:
        """Go through the three stages."""
        test, budget, say = self.bench.test, self.settings.budget, self.bench.say
        costs = self.costs()
        fitting = self.fitting(costs)
        say("measuring the teacher")
        taught = self.out / TEACHER / test.split / TEACHER
        measure(self.teacher, test, taught, threads=self.bench.threads, offline=self.bench.offline)
        steps, eta = self.settings.steps, self.settings.eta
        runs = halve(list(fitting), lambda name, steps: self.run(costs[name][0], steps), steps=steps, eta=eta, say=say)
        if not runs:
            raise ModelError(f"no shape could be trained: {next(iter(self.failures.values()))}")
        deployed = self.deployed(runs, costs)
        winner = self.winner(deployed)
        first, own = _values(taught, test)
        known = {form.name for form in deployed}
        # A vocabulary trimmed to the data's own text gives that text the same scores, so these are known too.
        others = [
            replace(form, steps=run.steps, per_query=run.per_query)
            for name, run in runs.items()
            for form in costs[name]
            if form.precision == "fp32" and form.name not in known
        ]
        return Found(
            budget=budget,
            test=test,
            winner=winner,
            run=self.cell_folder(winner),
            forms=[*deployed, *others],
            dropped=[_nearest(costs[name], budget) for name in self.shapes if name not in fitting],
            teacher=replace(costs[TEACHER][0], per_query=own),
            first_stage=first,
            failures=self.failures,
        )

    def costs(self) -> dict[str, list[Form]]:
        """Return what every shape takes in each of its forms, and the teacher too."""
        bench, settings = self.bench, self.settings
        teachers: Teachers = {"whole": load_model(self.teacher, offline=bench.offline)}
        model, tokenizer = teachers["whole"]
        require_positions(model, settings.max_tokens)
        if (labels := len(stored_label_names(model.config))) != 1:
            raise ModelError(
                f"{self.teacher} has {labels} logits, and a ranker one; fold two into one with: distilrank convert"
            )
        RankingData.open(Path(bench.data))  # better refused now than by every training
        self.shapes = {shape.name: shape for shape in shapes_of(settings.shapes, model.config)}
        if settings.trim and settings.budget.megabytes is not None:
            bench.say("trimming the vocabulary to the text of the data")
            try:
                folder, data = self.out / "vocabulary", Path(bench.data)
                trim(self.teacher, folder, settings=TrimSettings(), data=data, offline=bench.offline)
            except ModelError as error:
                bench.say(f"the whole vocabulary only: {error}")
            else:
                trimmed = load_model(folder, offline=True)
                if trimmed[1].vocabulary_size < tokenizer.vocabulary_size:
                    teachers["trimmed"] = trimmed
        precisions: list[Precision] = ["fp32", "int8"] if settings.int8 else ["fp32"]
        bench.say(f"measuring {len(self.shapes)} untrained shapes in the runtime")
        whole = Shape(name=TEACHER, student=StudentSettings(layers=model.config.num_hidden_layers))
        return {
            shape.name: untrained_forms(
                shape,
                teachers,
                bench,
                precisions=precisions,
                max_tokens=settings.max_tokens,
                record=self.out / "untrained" / f"{shape.folder}.json",
                teacher=weights_identity(self.teacher),
            )
            for shape in (whole, *self.shapes.values())
        }

    def fitting(self, costs: Mapping[str, Sequence[Form]]) -> dict[str, Form]:
        """Return the shapes of which a form fits, with the first that does; say of each shape what it takes.

        Raises:
            SettingsError: There is none.
        """
        budget = self.settings.budget
        nearest = {name: _nearest(costs[name], budget) for name in self.shapes}
        for name, form in nearest.items():
            fits = f"fits: {form.name}" if form.fits(budget) else f"dropped: {name}: nearest to fitting, {form.name},"
            self.bench.say(f"{fits} takes {form.cost()}")
        fitting = {name: form for name, form in nearest.items() if form.fits(budget)}
        if not fitting:
            best = _nearest(list(nearest.values()), budget)
            raise SettingsError(
                f"no shape fits {budget}: the nearest, {best.name}, takes {best.cost()}; give a larger budget, or "
                "smaller shapes with --shape"
            )
        return fitting

    def run(self, form: Form, steps: int) -> Form | None:
        """Train a shape and judge it; None where that failed."""
        shape, settings, test = self.shapes[form.shape], self.settings, self.bench.test
        made = replace(form, steps=steps)
        folder = self.cell_folder(made)
        named = ["--teacher", self.teacher, "--data", self.bench.data, *self.common, *shape.arguments]
        told = ["--steps", steps, "--max-tokens", settings.max_tokens, "--seed", settings.seed, "--out", folder]
        arguments = ("distil", *named, *map(str, told))
        cell = Cell(system=shape.name, seed=settings.seed, folder=folder, arguments=arguments)
        self.bench.say(f"{shape.name}, {steps:,} steps")
        threads, offline = self.bench.threads, self.bench.offline
        error = make_cell(cell, {test.split: test}, self.out, self.train, threads=threads, offline=offline)
        if error is not None:
            self.failures[cell.name] = error
            self.bench.say(f"failed: {cell.name}: {error}")
            return None
        return replace(made, per_query=_values(folder / "measured" / test.split, test)[1])

    def deployed(self, runs: Mapping[str, Form], costs: Mapping[str, Sequence[Form]]) -> list[Form]:
        """Export and measure the forms of the last rung, and of shapes before it that are better or while nothing fits.

        The whole vocabulary is taken where it fits.
        """
        budget, longest = self.settings.budget, max(run.steps or 0 for run in runs.values())
        found: list[Form] = []
        for run in sorted(runs.values(), key=lambda run: (run.steps == longest, run.mean), reverse=True):
            within = [form for form in found if form.fits(budget)]
            if run.steps != longest and within and run.mean <= best_form(within).mean:
                break
            wanted: dict[Precision, Form] = {}
            for form in costs[run.shape]:
                if form.fits(budget):
                    wanted.setdefault(form.precision, replace(form, steps=run.steps))
            for vocabulary in dict.fromkeys(form.vocabulary for form in wanted.values()):
                forms = [form for form in wanted.values() if form.vocabulary == vocabulary]
                self.bench.say(f"exporting and measuring {' and '.join(form.name for form in forms)}")
                made = deployed_forms(self.cell_folder(run), self.forms_folder(forms[0]), forms, self.bench)
                for form in made:
                    fits = "fits" if form.fits(budget) else "does not fit any more"
                    self.bench.say(f"{form.name}: {form.cost()}, {self.bench.test.measures[0]} {form.mean:.4f}; {fits}")
                found += made
        return found

    def winner(self, deployed: Sequence[Form]) -> Form:
        """Return the best that fits, and leave it in its place.

        Raises:
            ModelError: Nothing fits.
        """
        budget = self.settings.budget
        within = [form for form in deployed if form.fits(budget)]
        if not within:
            told = "; ".join(f"{form.name} takes {form.cost()}" for form in deployed) or "8 bits were refused"
            raise ModelError(f"nothing that was trained fits {budget}: {told}; give a larger budget")
        best = best_form(within)
        leave_winner(self.forms_folder(best), self.out / "winner", best.precision)
        return best

    def cell_folder(self, form: Form) -> Path:
        """Return where a shape is trained for the steps of a form."""
        return self.out / "cells" / f"{self.shapes[form.shape].folder}-{form.steps}"

    def forms_folder(self, form: Form) -> Path:
        """Return where a shape lies in one vocabulary."""
        return self.out / "forms" / f"{self.shapes[form.shape].folder}-{form.vocabulary}"


def halve(
    names: Sequence[str],
    run: Callable[[str, int], Form | None],
    *,
    steps: int,
    eta: int,
    say: Callable[[str], None],
) -> dict[str, Form]:
    """Train all, then one in ``eta`` for ``eta`` times the steps, and so on until ``FINALISTS`` have had the most.

    Args:
        names: Of the shapes, at least one.
        run: Trains a shape for so many steps and judges it; None where that failed.
        steps: Of the first rung.
        eta: At least 2.
        say: Told what goes on.

    Returns:
        Shape -> what came of its longest training.
    """
    found: dict[str, Form] = {}
    while True:
        say(f"training for {steps:,} steps each: {', '.join(names)}")
        made = [each for name in names if (each := run(name, steps)) is not None]
        found |= {each.shape: each for each in made}
        made.sort(key=lambda each: -each.mean)
        say(f"after {steps:,} steps: {', '.join(f'{each.shape} {each.mean:.4f}' for each in made)}")
        if len(made) <= FINALISTS:
            return found
        names = [each.shape for each in made[: max(FINALISTS, math.ceil(len(made) / eta))]]
        steps *= eta


def _nearest(forms: Sequence[Form], budget: Budget) -> Form:
    """Return the first form that fits; where none does, the smallest of those that exceed the budget least."""
    fitting = [form for form in forms if form.fits(budget)]
    over = sorted(forms, key=lambda form: (budget.share(form.ms_per_100, form.megabytes), form.megabytes))
    return [*fitting, *over][0]


def _values(record: Path, test: MeasuredOn) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return, by query, the first stage's values and the system's own, as ``evaluate`` recorded them."""
    found = read_json(record.with_name(f"{record.name}.json"))
    values = found["per_query"][test.measures[0]]
    return values[found["first_stage"]], values[found["system"]]
