"""A model measured on a test set, as ``distilrank evaluate`` does it, unless its record is there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from distilrank.data.trec import write_run
from distilrank.errors import SettingsError
from distilrank.evaluation.aggregate import Aggregation
from distilrank.evaluation.measures import DEFAULT_MEASURES
from distilrank.workflows.evaluate import EvaluateSettings, evaluate_ranking
from distilrank.workflows.evaluate_classification import evaluate_classification, is_classification_data
from distilrank.workflows.record import is_record_of, write_record


@dataclass(frozen=True, kw_only=True)
class MeasuredOn:
    """A test set, and what ``evaluate`` is told of it.

    Attributes:
        data: Folder or name of the data. None: what is trained on.
        split: Whose queries and judgements, or examples.
        run: Candidates, as ``evaluate``'s.
        measures: As ir_measures writes them.
        depth: Candidates per query.
        max_queries: Most queries or examples.
        aggregate: As ``evaluate``'s.
        k: Of k-MaxAvgP.
    """

    data: str | None = None
    split: str = "test"
    run: str | None = None
    measures: tuple[str, ...] = DEFAULT_MEASURES
    depth: int | None = None
    max_queries: int | None = None
    aggregate: Aggregation | None = None
    k: int = 3

    def __post_init__(self) -> None:
        """Refuse what ``evaluate`` would refuse."""
        self.settings  # noqa: B018 (its own checks)

    def on(self, data: str) -> MeasuredOn:
        """Return this with the data named."""
        return replace(self, data=self.data or data)

    @property
    def settings(self) -> EvaluateSettings:
        """What ``evaluate_ranking`` is told."""
        names = {each.name for each in fields(EvaluateSettings)}
        return EvaluateSettings(**{name: value for name, value in asdict(self).items() if name in names})

    @property
    def arguments(self) -> list[str]:
        """The options of ``distilrank evaluate``; those that say what is so anyway are left out."""
        told = ["--data", str(self.data), "--split", self.split]
        for name, value in asdict(self).items():
            if name not in ("data", "split") and value != getattr(MeasuredOn(), name):
                told += [f"--{name.replace('_', '-')}", " ".join(value) if isinstance(value, tuple) else str(value)]
        return told


def measure(
    model: str,
    test: MeasuredOn,
    name: Path,
    *,
    teacher: Path | None = None,
    threads: int | None = None,
    offline: bool = False,
) -> str:
    """Measure a model and leave ``<name>.json`` and, of a ranker, ``<name>.trec``.

    Args:
        model: Folder or hub name.
        test: Where its data is named.
        name: Of the two files, without what follows the dot.
        teacher: The teacher's run, for fidelity. A classifier's teacher leaves none, and is not compared with here.
        threads: Processor threads; None takes all cores.
        offline: Never use the network.

    Returns:
        The command that does the same.
    """
    record, run = name.with_name(f"{name.name}.json"), name.with_name(f"{name.name}.trec")
    if is_classification_data(str(test.data)):
        foreign = [each for each in ("run", "depth", "aggregate") if getattr(test, each) is not None]
        if foreign:
            raise SettingsError(f"{test.data} is classification data, which has no {' and no '.join(foreign)}")
        limit = [] if test.max_queries is None else ["--max-queries", str(test.max_queries)]
        command = _command(model, ["--data", str(test.data), "--split", test.split, *limit], record)
        if not is_record_of(record, command):
            _classify(model, test, record, command, threads=threads, offline=offline)
        return command
    known = [] if teacher is None else ["--teacher", str(teacher)]
    command = _command(model, [*test.arguments, *known, "--out-run", str(run)], record)
    if not (run.is_file() and is_record_of(record, command)):
        _rank(model, test, record, run, command, teacher=teacher, threads=threads, offline=offline)
    return command


def _command(model: str, options: Sequence[str], record: Path) -> str:
    return shlex.join(["distilrank", "evaluate", model, *options, "--json", str(record)])


def _rank(
    model: str,
    test: MeasuredOn,
    record: Path,
    run: Path,
    command: str,
    *,
    teacher: Path | None,
    threads: int | None,
    offline: bool,
) -> None:
    evaluated = evaluate_ranking(
        model,
        data=str(test.data),
        settings=test.settings,
        run=test.run,
        teacher=None if teacher is None else str(teacher),
        threads=threads,
        offline=offline,
    )
    found = evaluated.evaluation
    write_run(evaluated.run, run, tag="-".join(Path(found.system).name.split()))
    write_record(
        record,
        command=command,
        data=str(test.data),
        settings=asdict(evaluated.settings),
        hashes=evaluated.hashes(),
        found=found.as_dict(),
        alarms=evaluated.alarms,
    )


def _classify(model: str, test: MeasuredOn, record: Path, command: str, *, threads: int | None, offline: bool) -> None:
    evaluated = evaluate_classification(
        model,
        data=Path(str(test.data)),
        split=test.split,
        max_examples=test.max_queries,
        threads=threads,
        offline=offline,
    )
    write_record(
        record,
        command=command,
        data=str(test.data),
        settings={"split": test.split, "max_queries": test.max_queries},
        hashes=evaluated.hashes(),
        found=evaluated.evaluation.as_dict(),
        alarms=evaluated.alarms,
    )
