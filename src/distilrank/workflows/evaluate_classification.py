"""``distilrank evaluate`` for classifiers: measured beside baselines and their teacher on the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distilrank.data.classification import ClassificationData, read_examples
from distilrank.data.files import file_hash, read_json
from distilrank.data.label_order import in_order
from distilrank.data.labels import Kind
from distilrank.data.lines import BadLines
from distilrank.data.named import is_named
from distilrank.errors import InputError, ModelError, SettingsError, nearest
from distilrank.evaluation.classification import ClassificationEvaluation, evaluate_classifiers
from distilrank.evaluation.diagnostics import Finding
from distilrank.evaluation.diagnostics.alarms import decision_alarms, label_order_note
from distilrank.workflows.alarms import example_leak
from distilrank.workflows.prepare_classification import classification_files, is_classification
from distilrank.workflows.scorers import load_network
from distilrank.workflows.systems import System, find_contest, find_model
from distilrank.workflows.training_data import is_labelled

if TYPE_CHECKING:
    from distilrank.models.scorer import TorchScorer

_KINDS: dict[str, Kind] = {
    "single_label_classification": "classes",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedClassifier:
    """An evaluation, and what it was made from.

    Attributes:
        evaluation: What was found.
        inputs: Name -> file that was read.
        alarms: What is suspicious about the classifier under test and its teacher.
    """

    evaluation: ClassificationEvaluation
    inputs: Mapping[str, Path]
    alarms: Sequence[Finding] = ()

    def hashes(self) -> dict[str, dict[str, str]]:
        """Return path and SHA-256 of every input, for the record."""
        return {name: {"path": path.as_posix(), "sha256": file_hash(path)} for name, path in self.inputs.items()}


def is_classification_data(data: str) -> bool:
    """Tell labelled texts from ranking data; data of the hub is taken for the latter.

    Raises:
        InputError: There is no such folder or file.
    """
    if is_named(data):
        return False
    path = Path(data)
    if not path.exists():
        raise InputError("there is no such folder or file; check the path", path=data)
    return is_labelled(path) or (path.is_dir() and is_classification(path))


def evaluate_classification(
    model: str,
    *,
    data: Path,
    split: str = "test",
    baselines: Sequence[str] = (),
    teacher: str | None = None,
    max_examples: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    offline: bool = False,
    bad: BadLines | None = None,
) -> EvaluatedClassifier:
    """Measure a classifier as its task asks, and compare it with others.

    Args:
        model: Folder or hub name of the classifier under test; its labels say what those of a bare file mean.
        data: A folder that ``prepare`` made of classification data, or one file of labelled examples.
        split: Of the folder.
        baselines: Classifiers to show beside it.
        teacher: The classifier that it was distilled from.
        max_examples: Most examples, the first ones; None takes all.
        seed: Of the bootstrap.
        threads: Processor threads; None takes all cores.
        offline: Never use the network.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: The data has no such split or no labels, or a line is bad.
        ModelError: A model cannot be loaded, or its labels are not those of the data.
    """
    if max_examples is not None and max_examples < 1:
        raise SettingsError(f"max_queries is {max_examples}, give at least 1")
    file = examples_file(data, split)
    contest = find_contest(first=find_model(model), model=None, teacher=teacher, baselines=baselines, runs={})
    runs = [name for name, system in contest.systems.items() if system.model is None]
    if runs:
        raise InputError(f"{runs[0]} is a file; classifiers are compared with model folders")
    logits: dict[str, NDArray[np.float32]] = {}
    alarms: list[Finding] = []
    examples: ClassificationData | None = None
    for name, system in contest.systems.items():
        network = load_network(str(system.model), threads=threads, offline=offline)
        if examples is None:  # the system under test comes first
            examples = _first(_read(data, file, network, bad=bad), max_examples)
        _require_labels(network, examples, name)
        logits[name] = _logits(network, examples)
        if name in (contest.tested, contest.teacher):
            alarms += _alarms(system, name, network, examples, logits[name], data_folder=data)
    assert examples is not None
    evaluation = evaluate_classifiers(
        labels=[example.label for example in examples.examples if example.label is not None],
        logits=logits,
        kind=examples.kind,
        system=contest.tested,
        teacher=contest.teacher,
        seed=seed,
    )
    weights = {f"{name}: {path.name}": path for name, system in contest.systems.items() for path in system.files}
    return EvaluatedClassifier(evaluation=evaluation, inputs={file.name: file, **weights}, alarms=alarms)


def _alarms(
    system: System,
    name: str,
    network: TorchScorer,
    data: ClassificationData,
    logits: NDArray[np.float32],
    *,
    data_folder: Path,
) -> list[Finding]:
    """Return what is suspicious about a classifier."""
    labels = [example.label for example in data.examples if example.label is not None]
    own = read_json(data_folder / "labels.json")["label_names"] if (data_folder / "labels.json").is_file() else []
    note = label_order_note(own or [], _stored_names(network), name=name)
    return [
        *([] if note is None else [note]),
        *decision_alarms(labels, logits, kind=data.kind, label_names=data.label_names, name=name),
        *example_leak(system.model, name=name, examples=data.examples),
    ]


def examples_file(data: Path, split: str) -> Path:
    """Return the file of examples: the data itself, or that of a split of a folder.

    Raises:
        InputError: The folder has no such split.
    """
    if data.is_file():
        return data
    files = classification_files(data)
    if split not in files:
        known = ", ".join(files) or "none"
        raise InputError(f"has no examples of split {split!r} (it has: {known}){nearest(split, files)}", path=data)
    return files[split]


def _read(data: Path, file: Path, network: TorchScorer, *, bad: BadLines | None) -> ClassificationData:
    """Read the examples; their labels mean what the folder says, or, in a file alone, what the classifier says.

    They are numbered as the classifier has them, when its names are theirs in another order.
    """
    order = _stored_names(network)
    if (data / "labels.json").is_file():
        known = read_json(data / "labels.json")
        names, kind = known["label_names"] or None, known["kind"]
    else:
        names = order
        kind = _KINDS.get(str(network.model.config.problem_type)) or ("regression" if len(names) == 1 else None)
        names = None if kind == "regression" else names
    try:
        return in_order(read_examples(file, label_names=names, kind=kind, bad=bad), order)
    except InputError as error:
        if error.line is not None:
            raise
        # A problem of the whole file: its labels may be all that is missing, as in GLUE's tests.
        try:
            read_examples(file, labelled=False, bad=BadLines(allowed=bad.allowed if bad else 0))
        except InputError:
            raise error from None
        hint = "measure another split, such as --split dev, or have it predicted with: distilrank glue-submission"
        raise InputError(f"has no labels to measure against; {hint}", path=file) from None


def _first(data: ClassificationData, count: int | None) -> ClassificationData:
    return replace(data, examples=data.examples[:count])


def _require_labels(network: TorchScorer, data: ClassificationData, name: str) -> None:
    """Refuse a classifier whose labels have other names than the data's, or another order than the first's."""
    names = _stored_names(network)
    unnamed = names == [f"LABEL_{place}" for place in range(len(names))]
    if data.kind != "regression" and not unnamed and names != list(data.label_names):
        raise ModelError(
            f"the labels of {name} are {', '.join(names)}, those of the data {', '.join(data.label_names)}; "
            "give a classifier that was trained on this data"
        )


def _logits(network: TorchScorer, data: ClassificationData) -> NDArray[np.float32]:
    texts = [example.text for example in data.examples]
    pairs = None if data.examples[0].text_pair is None else [str(example.text_pair) for example in data.examples]
    return network.logits(texts, pairs)


def _stored_names(network: TorchScorer) -> list[str]:
    """Return the names of a classifier's labels, in the order of its logits."""
    from distilrank.models.load import stored_label_names

    return stored_label_names(network.model.config)
