"""How fast networks of the papers' sizes and of the study's are: new weights, since speed does not depend on them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from distilrank.benchmark.operations import multiply_adds
from distilrank.benchmark.size import count_weights
from distilrank.benchmark.texts import Workload, pairs_of_length
from distilrank.data.files import library_versions, read_json
from distilrank.data.tokens import PairTokenizer
from distilrank.data.word_tokens import word_tokenizer
from distilrank.export.onnx import export_onnx
from distilrank.models.bilstm import new_bilstm
from distilrank.models.load import name_labels, read_config
from distilrank.models.save import save_model
from distilrank.models.students import parse_shape, student_from_shape
from distilrank.runtime.classifier import Classifier
from distilrank.runtime.folder import machine, usable_cores
from distilrank.runtime.ranker import Ranker
from distilrank.workflows.encode import encode_passages
from distilrank.workflows.speed import ms_per_100

SPEED = "speed.json"
BERT_LARGE, BERT_BASE = "24/1024/4096/16", "12/768/3072/12"
TINYBERT_6, TINYBERT_4 = "6/768/3072/12", "4/312/1200/12"
STUDY = ("6/384/1536/12", "3/384/1536/12", "2/384/1536/12", "2/168/672/12")
BILSTM, STORED = "BiLSTM 150/200", "BiLSTM 150/200, stored passage vectors"
SHAPES = (BERT_LARGE, BERT_BASE, TINYBERT_6, TINYBERT_4, *STUDY)
PAIR_TOKENS = (128, 256)
COSTED = "128 tokens"
SENTENCE_TOKENS = 32
_SENTENCES = f"sentences of {SENTENCE_TOKENS} tokens"
MEASURED = ("multiply_adds", "weights_without_embeddings", "ms_per_100")
LONGEST = 512
_WORDS, _WIDTH = 20_000, 300

Times = dict[str, dict[str, Any]]


def measure_speed(
    teacher: Path,
    *,
    texts: int,
    int8: Path | None = None,
    stand_in: str | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure all networks in turns, with as many threads as there are cores.

    Args:
        teacher: Folder whose configuration and tokeniser the transformers have.
        texts: Passages of a query, or sentences, each of the length.
        int8: Folder of a student exported in 8 bits, which is measured too.
        stand_in: Shape that every transformer is built in instead of its own, to see that all runs.
        say: Told what begins.

    Returns:
        Workload -> network -> milliseconds for 100 texts or pairs, multiply-adds of one, and weights without those of
        embeddings; beside the machine and the versions.
    """
    found: dict[str, Times] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folders = {
            shape: _transformer(shape, stand_in, teacher, Path(scratch) / "rankers", labels=1) for shape in SHAPES
        }
        tokenizer = PairTokenizer.from_folder(teacher, LONGEST)
        for tokens in PAIR_TOKENS:
            say(f"pairs of {tokens} tokens")
            workload = pairs_of_length(tokenizer, tokens, passages=texts, queries=1)
            rankers = {shape: Ranker.load(folder) for shape, folder in folders.items()}
            known = dict(folders)
            if int8 is not None:
                rankers["3/384/1536/12, int8"] = Ranker.load(int8, precision="int8", max_tokens=LONGEST)
                known["3/384/1536/12, int8"] = int8
            apart = _bilstm(workload, Path(scratch) / f"bilstm-{tokens}", siamese=True)
            rankers[BILSTM] = Ranker.load(apart)
            rankers[STORED] = Ranker.load(apart, passage_vectors=_stored(apart, workload))
            known |= {BILSTM: apart, STORED: apart}
            work = {name: partial(ranker.score, workload.pairs) for name, ranker in rankers.items()}
            found[workload.name] = _times(work, known, texts, tokens)
        say(f"sentences of {SENTENCE_TOKENS} tokens")
        found[_SENTENCES] = _sentences(teacher, stand_in, texts, Path(scratch) / "classifiers")
    about = {"machine": machine(), "threads": usable_cores(), "versions": library_versions()}
    return {**about, "texts": texts, "workloads": found}


def _transformer(shape: str, stand_in: str | None, teacher: Path, within: Path, *, labels: int) -> Path:
    """Make a folder of a transformer with new weights."""
    config = read_config(teacher, offline=True)
    model = student_from_shape(config, parse_shape(stand_in or shape), num_labels=labels, seed=1)
    return _exported(model, PairTokenizer.from_folder(teacher, LONGEST), within / shape.replace("/", "-"))


def _bilstm(workload: Workload, folder: Path, *, siamese: bool, labels: int = 1) -> Path:
    """Make a folder of the paper's BiLSTM with new weights, which knows the words of the texts."""
    words = sorted({word for pair in workload.pairs for text in pair for word in text.split()})
    words += [f"word{number}" for number in range(_WORDS - len(words))]
    tokenizer = word_tokenizer(words, max_tokens=LONGEST)
    rows = np.random.default_rng(1).normal(size=(len(words) + 3, _WIDTH)).astype(np.float32)
    model = new_bilstm(rows, num_labels=labels, siamese=siamese, pad_id=tokenizer.pad_id, seed=1)
    return _exported(model, tokenizer, folder)


def _exported(model: PreTrainedModel, tokenizer: PairTokenizer, folder: Path) -> Path:
    if model.config.num_labels == 2:
        name_labels(model.config, ("negative", "positive"), num_labels=2)
    save_model(model, tokenizer, folder)
    export_onnx(model, tokenizer, folder)
    return folder


def _stored(folder: Path, workload: Workload) -> Path:
    """Encode the passages ahead."""
    data = folder.with_name(f"{folder.name}-data")
    data.mkdir()
    lines = [f'{{"_id": "{number}", "text": "{passage}"}}\n' for number, (_, passage) in enumerate(workload.pairs)]
    (data / "corpus.jsonl").write_text("".join(lines), encoding="utf-8")
    return encode_passages(folder, data=data)[0]


def _sentences(teacher: Path, stand_in: str | None, count: int, scratch: Path) -> Times:
    """Measure single sentences with two labels, as Tang et al. did."""
    pairs = pairs_of_length(PairTokenizer.from_folder(teacher), SENTENCE_TOKENS, passages=count, queries=1)
    texts = [f"{query} {passage}" for query, passage in pairs.pairs]  # one [SEP] less
    folders = {shape: _transformer(shape, stand_in, teacher, scratch, labels=2) for shape in (BERT_LARGE, BERT_BASE)}
    folders[BILSTM] = _bilstm(pairs, scratch / "bilstm", siamese=False, labels=2)
    readers = {name: Classifier.load(folder) for name, folder in folders.items()}
    work = {name: partial(reader.score, [(text, None) for text in texts]) for name, reader in readers.items()}
    return _times(work, folders, count, SENTENCE_TOKENS)


def _times(work: Mapping[str, Callable[[], object]], folders: Mapping[str, Path], texts: int, tokens: int) -> Times:
    times = ms_per_100(work, texts)
    found: Times = {}
    for name, folder in folders.items():
        counted, weights = multiply_adds(read_json(folder / "config.json"), [tokens]), count_weights(folder)
        found[name] = {
            "multiply_adds": None if counted is None else float(counted[0]),
            "weights_without_embeddings": weights and weights.total - weights.embeddings,
            "ms_per_100": times[name],
        }
    return found


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """What a paper says.

    Attributes:
        paper: And which networks.
        published: How many times what.
        workload: It is measured on here.
        student: Name of a network.
        teacher: Likewise.
    """

    paper: str
    published: str
    workload: str
    student: str
    teacher: str


PUBLISHED = (
    SpeedUp(
        paper="TinyBERT, 4/312 against BERT-base",
        published="9.4 times as fast",
        workload="128 tokens",
        student=TINYBERT_4,
        teacher=BERT_BASE,
    ),
    SpeedUp(
        paper="TinyBERT, 6/768 against BERT-base",
        published="2.0 times as fast",
        workload="128 tokens",
        student=TINYBERT_6,
        teacher=BERT_BASE,
    ),
    SpeedUp(
        paper="BERT rankers, here 4/312 (the paper's sizes could not be read), against BERT-base",
        published="up to 9 times as fast",
        workload="256 tokens",
        student=TINYBERT_4,
        teacher=BERT_BASE,
    ),
    SpeedUp(
        paper="Simplified TinyBERT, 3/384 against BERT-base",
        published="15 times",
        workload="256 tokens",
        student="3/384/1536/12",
        teacher=BERT_BASE,
    ),
    SpeedUp(
        paper="BiLSTM against BERT-large",
        published="434 times as fast (by secondary texts), 349 times fewer weights (with BERT-large's embeddings)",
        workload=_SENTENCES,
        student=BILSTM,
        teacher=BERT_LARGE,
    ),
)
"""Sources: arXiv 1909.10351, table 1 (on a K80); the abstracts of 2007.11088 and 2009.07531, whose code has the 3/384;
1903.12136 by secondary texts."""


def published_speed_ups(found: Mapping[str, Any]) -> list[str]:
    """Return the published speed-ups beside what was measured, as Markdown."""
    lines = [
        f"Networks with new weights, {found['texts']} texts at once, {found['threads']} threads, fp32, in onnxruntime.",
        "",
        "| paper, student against teacher | published | on | multiply-adds | weights without embeddings | time here |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for row in PUBLISHED:
        ours, theirs = (found["workloads"][row.workload][name] for name in (row.student, row.teacher))
        operations, weights, times = (theirs[kind] / ours[kind] for kind in MEASURED)
        told = f"{operations:.1f} times fewer | {weights:.0f} times fewer | {times:.1f} times as fast"
        lines.append(f"| {row.paper} | {row.published} | {row.workload} | {told} |")
    return lines
