"""The command line in this process, and tiny data and models to run its verbs on."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distilrank.cli.app import build_app, run
from distilrank.cli.verbs import VERBS
from distilrank.data.beir import write_corpus, write_qrels, write_queries
from distilrank.data.cut_passages import CutSettings
from distilrank.models.save import save_model
from distilrank.records import Passage, Query
from distilrank.workflows.first_stage import FirstStageSettings
from distilrank.workflows.prepare import PrepareSettings, prepare_ranking
from distilrank.workflows.training_groups import GroupSettings
from tests.tiny import WORDS, tiny_model, tiny_tokenizer

NOUNS = [word for word in WORDS if len(word) > 3]


def distilrank(*arguments: object) -> int:
    """Run a command line in this process and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["distilrank", *map(str, arguments)])
        return run(build_app(VERBS))


def prepared_ranking(folder: Path, *, cut: bool = False) -> Path:
    """A prepared folder: a query is a word, and the passage (or document) that holds it is relevant."""
    draw = random.Random(1)
    texts = {f"d{i}": " ".join([*draw.sample(NOUNS, 3), noun]) for i, noun in enumerate(NOUNS)}
    raw = folder.with_name(f"{folder.name}-raw")
    write_corpus((Passage(doc_id, text) for doc_id, text in texts.items()), raw / "corpus.jsonl")
    write_queries([Query(f"q{i}", f"where is {noun}") for i, noun in enumerate(NOUNS)], raw / "queries.jsonl")
    write_qrels({f"q{i}": {f"d{i}": 1} for i in range(len(NOUNS))}, raw / "qrels" / "train.tsv")
    settings = PrepareSettings(
        first_stage=FirstStageSettings(depth=5),
        groups=GroupSettings(negatives=3),
        dev_share=0.2,
        cut=CutSettings(window=2, stride=1) if cut else None,
        max_tokens=32,
    )
    return prepare_ranking(raw, folder, settings=settings, progress=False).folder


def saved_ranker(folder: Path, *, layers: int = 4, num_labels: int = 1, seed: int = 1) -> Path:
    """A model folder of a tiny classifier or ranker with random weights."""
    save_model(tiny_model(layers=layers, num_labels=num_labels, seed=seed), tiny_tokenizer(), folder)
    return folder


def without_export(patch: pytest.MonkeyPatch) -> None:
    """Have verbs that make models write an empty file in the place of the ONNX export, which takes seconds."""

    def export(model: object, tokenizer: object, folder: Path) -> Path:
        path = folder / "onnx" / "model.onnx"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        return path

    for verb in ("finish", "trim"):
        patch.setattr(f"distilrank.workflows.{verb}.export_onnx", export)


def files_of(folder: Path) -> Iterator[tuple[str, int]]:
    """The files of a folder with the time of their last change."""
    return ((str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file())
