"""A folder with what the pages take as given: tiny checkpoints under the names of big ones, and little data."""

from __future__ import annotations

import json
import lzma
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from distilrank.data.beir import write_corpus, write_qrels, write_queries
from distilrank.data.folder import RankingFolder
from distilrank.data.tokens import PairTokenizer
from distilrank.data.trec import read_run
from distilrank.export.onnx import export_onnx
from distilrank.models import load
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.records import Passage, Query
from distilrank.workflows.first_stage import FirstStageSettings
from distilrank.workflows.prepare import PrepareSettings, prepare_ranking
from distilrank.workflows.training_groups import GroupSettings
from tests.end_to_end.verbs import NOUNS
from tests.tiny import WORDS, tiny_config, tiny_tokenizer

CHECKPOINTS = ("minilm-l6", "sentence-transformers/all-MiniLM-L6-v2", "cross-encoder/ms-marco-MiniLM-L6-v2")


def build_world(folder: Path) -> None:
    """Fill a folder, which has to be the working directory."""
    draw = random.Random(1)
    _plain_files(draw)
    _labelled_texts(draw)
    _ranking_files(Path("my-data"), draw, queries=len(NOUNS))
    for copy in ("docs", "logs"):
        shutil.copytree("my-data", Path("data", copy))
    shutil.rmtree(Path("data", "logs", "qrels"))
    _ranking_files(Path("data", "many"), draw, queries=90)
    settings = PrepareSettings(
        first_stage=FirstStageSettings(depth=5),
        groups=GroupSettings(negatives=3),
        dev_share=0.4,
        test_share=0.1,
        max_tokens=32,
    )
    prepare_ranking(Path("data", "many"), folder / "runs" / "data", settings=settings, progress=False)
    _models()


def copy_world(world: Path, folder: Path, page: str, patch: pytest.MonkeyPatch) -> None:
    """Make a world of a page's own the working directory: without the folders that the page's commands make."""
    shutil.copytree(world, folder, dirs_exist_ok=True)
    patch.chdir(folder)
    for made in re.findall(r"--out\s+(runs/[\w-]+)", page):
        shutil.rmtree(made, ignore_errors=True)
    for name in CHECKPOINTS:
        patch.setitem(load.ALIASES, name, str(folder / "checkpoint"))


def _models() -> None:
    torch.manual_seed(1)
    config = tiny_config(layers=6, hidden=24)
    config.num_attention_heads, config.max_position_embeddings = 12, 256
    config.initializer_range = 0.1  # wide students take it over
    tokenizer = tiny_tokenizer(max_tokens=256)
    network = load.AutoModelForSequenceClassification.from_config(config).eval()
    _judge_as_it_ranks(network, tokenizer)
    for name in ("checkpoint", "runs/teacher", "runs/student"):
        save_model(network, tokenizer, Path(name))
    save_model(*load.load_model(Path("checkpoint"), head="late_interaction"), Path("weights", "default_ranker"))
    export_onnx(network, tokenizer, Path("runs", "teacher"))
    shutil.copytree(Path("runs", "teacher", "onnx"), Path("runs", "student", "onnx"))
    config.num_labels = 2
    save_model(load.AutoModelForSequenceClassification.from_config(config), tokenizer, Path("downloads", "monobert"))


def _judge_as_it_ranks(network: Any, tokenizer: PairTokenizer) -> None:
    """Judge most dev candidates as a random ranker ranks them, since calibrate refuses one no better than chance."""
    folder = RankingFolder(Path("runs", "data"))
    candidates = read_run(folder.runs("dev")["first-stage"])
    qrels = {}
    for number, (query_id, found) in enumerate(candidates.items()):
        pairs = [(folder.queries[query_id].text, folder.passages[doc_id].text) for doc_id in found]
        best = TorchScorer(network, tokenizer).score(pairs).argmax() if number % 4 else 0
        qrels[query_id] = {doc_id: int(place == best) for place, doc_id in enumerate(found)}
    write_qrels(qrels, Path("runs", "data", "qrels", "dev.tsv"))


def _plain_files(draw: random.Random) -> None:
    sentences = [" ".join(draw.choices(WORDS, k=7)) + "." for _ in range(96)]
    text = "\n\n".join("\n".join(sentences[i : i + 12]) for i in range(0, 96, 12))
    for file in ("plain.txt", "passages.txt"):
        Path(file).write_text(text if file == "plain.txt" else "\n".join(sentences[:20]), encoding="utf-8")
    with lzma.open("passages.tsv.xz", "wt", encoding="utf-8") as file:
        file.write("".join(f"{i}\t{each}\n" for i, each in enumerate(sentences)))
    vectors = [f"{word} " + " ".join(f"{draw.uniform(-1, 1):.3f}" for _ in range(4)) for word in dict.fromkeys(WORDS)]
    Path("vectors.txt").write_text("\n".join(vectors) + "\n", encoding="utf-8")


def _labelled_texts(draw: random.Random) -> None:
    for file in ("train", "dev"):
        rows = [f"{' '.join(draw.choices(WORDS, k=6))}\t{label}" for label in (0, 1) * 6]
        path = Path("data", "sst2", f"{file}.tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    shutil.copy(Path("data", "sst2", "train.tsv"), "train.tsv")
    unlabelled = [f"{i}\t{' '.join(draw.choices(WORDS, k=6))}" for i in range(6)]  # as GLUE's
    Path("data", "sst2", "test.tsv").write_text("\n".join(["index\tsentence", *unlabelled]) + "\n", encoding="utf-8")


def _ranking_files(folder: Path, draw: random.Random, *, queries: int) -> None:
    """A BEIR folder: a query is one or two words; the passage with all is relevant, two others are judged not to be."""
    several = 1 if queries <= len(NOUNS) else 2
    asked = [draw.sample(NOUNS, several) if several > 1 else [NOUNS[i]] for i in range(queries)]
    texts = [" ".join([*draw.sample(NOUNS, 3), *nouns]) for nouns in asked]
    write_corpus((Passage(f"d{i}", text) for i, text in enumerate(texts)), folder / "corpus.jsonl")
    write_queries(
        (Query(f"q{i}", f"where is {' '.join(asked[i])} {i}") for i in range(queries)), folder / "queries.jsonl"
    )
    qrels = {}
    for i, nouns in enumerate(asked):
        likest = sorted(range(queries), key=lambda j: -len({*texts[j].split()} & {*nouns}))
        qrels[f"q{i}"] = {f"d{i}": 1, **{f"d{j}": 0 for j in [j for j in likest if j != i][:2]}}
    write_qrels(qrels, folder / "qrels" / "train.tsv")
    scored = [
        {"query_id": query_id, "doc_id": doc_id, "score": draw.randint(0, 3) + relevance}
        for query_id, judged in qrels.items()
        for doc_id, relevance in judged.items()
    ]
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scored), encoding="utf-8")
