"""What a training verb reads: a folder that ``prepare`` made, or a file of groups or of labelled texts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from distilrank.data.classification import ClassificationData, read_examples
from distilrank.data.files import file_hash, read_json
from distilrank.data.folder import RankingFolder
from distilrank.data.groups import GroupFile
from distilrank.data.label_order import in_order
from distilrank.data.lines import BadLines, read_lines
from distilrank.data.scored_groups import ScoredGroups
from distilrank.data.teacher_scores import TeacherScores
from distilrank.data.trec import read_run
from distilrank.errors import InputError
from distilrank.evaluation.rerank import shorten
from distilrank.records import Example, Group, Qrels, Run
from distilrank.scorer import Scorer
from distilrank.workflows.judging import ClassifierJudge, ClassifierScorer, RankingJudge

if TYPE_CHECKING:
    from distilrank.models.load import ProblemType


PROBLEM_TYPES: dict[str, ProblemType] = {
    "classes": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
"""Kind of labels -> what a model's configuration calls it."""


@dataclass(frozen=True, kw_only=True)
class DevSettings:
    """How a ranker is judged while it is trained.

    Attributes:
        split: Whose queries.
        queries: Most queries, the first in the order of their identifiers; fewer is faster.
        depth: First-stage candidates re-ranked per query.
        measures: As ir_measures names them; the first decides which weights are best.
    """

    split: str = "dev"
    queries: int = 100
    depth: int = 50
    measures: tuple[str, ...] = ("nDCG@10", "RR@10")


@dataclass(frozen=True, kw_only=True)
class RankingData:
    """Groups to train on and, when the folder has them, queries to be judged by.

    Attributes:
        groups: To train on.
        groups_file: Where they are.
        folder: The prepared folder; None for a bare file of groups.
        scores: What the groups were joined with. None: they have their own scores, or none.
    """

    groups: Sequence[Group]
    groups_file: Path
    folder: RankingFolder | None
    scores: TeacherScores | None = None

    @classmethod
    def open(
        cls, path: Path, *, groups: Path | None = None, scores: Path | None = None, bad: BadLines | None = None
    ) -> RankingData:
        """Open a prepared folder or a JSONL file of groups.

        Args:
            path: The folder or file.
            groups: Groups to train on instead of the folder's own, such as scored ones.
            scores: Folder of teacher scores that the groups are joined with; groups without any are left out.
            bad: How many bad lines may be skipped.

        Raises:
            InputError: The folder holds no groups, or the scores are not those of these groups.
        """
        folder = None if path.is_file() else RankingFolder(path, bad=bad)
        file = groups or (path if folder is None else path / "groups" / "train.jsonl")
        if groups is None and not file.is_file():
            raise InputError("holds no groups/train.jsonl; make it with: distilrank prepare", path=path)
        own = GroupFile(file, bad=bad)
        if scores is None:
            return cls(groups=own, groups_file=file, folder=folder)
        joined = ScoredGroups(own, TeacherScores(scores))
        if joined.left_out:
            print(
                f"{joined.left_out:,} of {len(own):,} groups have no score in {scores} and are left out",
                file=sys.stderr,
            )
        return cls(groups=joined, groups_file=file, folder=folder, scores=joined.scores)

    @property
    def file(self) -> Path:
        """What is trained on."""
        return self.groups_file

    @cached_property
    def identity(self) -> dict[str, str]:
        """What the groups are, for the manifest and for refusing to resume on other data."""
        found = {"groups": file_hash(self.groups_file)}
        return found if self.scores is None else {**found, "scores": self.scores.identity}

    def judge(self, scorer: Scorer, settings: DevSettings) -> RankingJudge | None:
        """Return what re-ranks the dev queries with the scorer as it is then; None without a dev split."""
        if self.folder is None or settings.split not in self.folder.splits:
            return None
        qrels, candidates = dev_candidates(self.folder, settings)
        return RankingJudge(scorer, self.folder, qrels=qrels, candidates=candidates, measures=settings.measures)


def dev_candidates(folder: RankingFolder, settings: DevSettings) -> tuple[Qrels, Run]:
    """Return judgements and first-stage candidates of the first queries of the dev split."""
    qrels = folder.qrels(settings.split)
    runs = folder.runs(settings.split)
    if not runs:
        raise InputError(
            f"has no first-stage run of split {settings.split!r}; make one with: distilrank prepare", path=folder.path
        )
    candidates = read_run(next(iter(runs.values())))
    chosen = sorted(query_id for query_id in qrels if query_id in candidates)[: settings.queries]
    return {query_id: qrels[query_id] for query_id in chosen}, shorten(
        candidates, depth=settings.depth, query_ids=chosen
    )


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """Labelled texts or pairs to train on and, where there are some, to be judged by.

    Attributes:
        train: To train on.
        train_file: Where they are.
        dev: To be judged by; None: there are none.
    """

    train: ClassificationData
    train_file: Path
    dev: ClassificationData | None

    @classmethod
    def open(cls, path: Path, *, order: Sequence[str] = (), bad: BadLines | None = None) -> LabelledData:
        """Open a folder that ``prepare`` made of classification data, or one file of examples.

        Args:
            path: The folder or file.
            order: Names of a teacher's labels: data with the same names takes them in this order.
            bad: How many bad lines may be skipped.
        """
        if path.is_file():
            return cls(train=in_order(read_examples(path, bad=bad), order), train_file=path, dev=None)
        labels = read_json(path / "labels.json")
        known = {"label_names": labels["label_names"] or None, "kind": labels["kind"], "bad": bad}
        dev = path / "dev.jsonl"
        return cls(
            train=in_order(read_examples(path / "train.jsonl", **known), order),
            train_file=path / "train.jsonl",
            dev=in_order(read_examples(dev, **known), order) if dev.is_file() else None,
        )

    @property
    def file(self) -> Path:
        """What is trained on."""
        return self.train_file

    @cached_property
    def identity(self) -> dict[str, str | None]:
        """What the examples are, for the manifest and for refusing to resume on other data."""
        dev = self.train_file.with_name("dev.jsonl")
        return {"data": file_hash(self.train_file), "dev": None if self.dev is None else file_hash(dev)}

    def judge(self, scorer: ClassifierScorer) -> ClassifierJudge | None:
        """Return what measures the classifier as it is then on dev; None without dev examples."""
        return None if self.dev is None else ClassifierJudge(scorer, self.dev)


def is_labelled(path: Path) -> bool:
    """Tell classification data from ranking data: a prepared folder with labels, or a table of labelled texts.

    A JSONL file is ranking data when its first line has ``pos``.

    Raises:
        InputError: There is neither.
    """
    if not path.exists():
        raise InputError("there is no such folder or file; check the path", path=path)
    if path.is_dir():
        return (path / "labels.json").is_file()
    if ".jsonl" not in path.suffixes:
        return True
    first = next((line for _, line in read_lines(path) if line.strip()), "")
    return '"pos"' not in first


def transfer_set(own: Sequence[Example], augmented: Sequence[Path], *, bad: BadLines | None) -> Sequence[Example]:
    """Return the data's own examples and those of the augmented files that are not among them, without labels.

    Raises:
        InputError: A file holds single texts where the data holds pairs, or the other way round.
    """
    if not augmented:
        return own
    examples = list(own)
    known = {(example.text, example.text_pair) for example in examples}
    pairs = examples[0].text_pair is not None
    for file in augmented:
        for example in read_examples(file, labelled=False, bad=bad).examples:
            if (example.text_pair is not None) != pairs:
                kinds = ("pairs of texts", "single texts")
                raise InputError(f"holds {kinds[pairs]}, but the data {kinds[not pairs]}; augment this data", path=file)
            if (example.text, example.text_pair) not in known:
                known.add((example.text, example.text_pair))
                examples.append(example)
    return examples
