"""Throughput of teacher scoring: ours beside ``sentence_transformers.CrossEncoder.predict``, on the same pairs.

Both read the same teacher, token limit and pairs, on the same number of threads. ``predict`` sorts by length itself and
runs batches of 32, as it ships; its activation is taken out, so that both give logits. Ours is what ``teach`` runs,
tokenising included on both sides. Rounds alternate, so that a noisy machine hits both alike; the ratio of medians
counts. fp32 scores must agree to 1e-4; for bf16, nDCG@10 of the re-ranked candidates is measured with both.

    python benchmarks/teacher_throughput.py --teacher runs/openqa/teacher --out results/benchmarks/x.json
"""

from __future__ import annotations

import argparse
import random
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from distilrank.data.files import library_versions, write_json
from distilrank.data.folder import RankingFolder
from distilrank.data.trec import ranking, read_run
from distilrank.evaluation.measures import measure
from distilrank.teaching.teachers import CrossEncoderTeacher, Running

Pairs = list[tuple[str, str]]
SCORES_AGREE, MEASURE_AGREES = 1e-4, 0.005
MEASURE = "nDCG@10"


@dataclass
class TheirTokens:
    """Tokens that the other library ran, padding included, counted where they enter its network."""

    count: int = 0

    def hook(self, module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        """Add the tokens of a batch."""
        self.count += inputs[0].numel()


def read_candidates(folder: Path, *, run: str, split: str, depth: int) -> tuple[RankingFolder, dict[str, list[str]]]:
    """Return the best candidates of every judged query."""
    data = RankingFolder(folder)
    found = read_run(data.runs(split)[run])
    judged = data.qrels(split)
    return data, {query: ranking(docs)[:depth] for query, docs in found.items() if query in judged}


def texts_of(data: RankingFolder, candidates: dict[str, list[str]]) -> Pairs:
    passages = data.passages.get_many([doc_id for docs in candidates.values() for doc_id in docs])
    return [
        (data.queries[query].text, passages[doc_id].content) for query, docs in candidates.items() for doc_id in docs
    ]


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rounds_of(
    ways: dict[str, Callable[[Pairs], NDArray[np.float32]]], parts: list[Pairs], threads: int
) -> tuple[dict[str, list[float]], dict[str, list[NDArray[np.float32]]]]:
    """Return the pairs per second and the scores of each way, a round for each part."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    scores: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ways}
    for way in ways.values():  # for warming up
        with on_threads(threads):
            way(parts[0][:64])
    for turn, part in enumerate(parts):
        order = list(ways) if turn % 2 == 0 else list(reversed(ways))
        for name in order:
            with on_threads(threads):
                began = time.perf_counter()
                found = ways[name](part)
            rates[name].append(len(part) / (time.perf_counter() - began))
            scores[name].append(found)
            print(f"  round {turn + 1}: {name:34} {rates[name][-1]:8.1f} pairs/s", flush=True)
    return rates, scores


def quality(data: RankingFolder, candidates: dict[str, list[str]], split: str, scores: NDArray[np.float32]) -> float:
    """Return nDCG@10 of the candidates in the order of the scores."""
    run: dict[str, dict[str, float]] = {}
    start = 0
    for query, docs in candidates.items():
        run[query] = dict(zip(docs, scores[start : start + len(docs)].tolist(), strict=True))
        start += len(docs)
    return float(measure(data.qrels(split), run, [MEASURE]).means()[MEASURE])


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="runs/openqa/teacher", help="folder or hub name of a cross-encoder")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/trec_dl19"))
    parser.add_argument("--run", default="BM25")
    parser.add_argument("--split", default="test")
    parser.add_argument("--depth", type=int, default=100, help="candidates per query, for the measure")
    parser.add_argument("--pairs", type=int, default=1024, help="pairs per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.data.is_dir() or not (Path(options.teacher).is_dir() or "/" in options.teacher):
        print(f"{options.data} or {options.teacher} is not there; name them with --data and --teacher")
        return 0
    from sentence_transformers import CrossEncoder

    data, candidates = read_candidates(options.data, run=options.run, split=options.split, depth=options.depth)
    every_pair = texts_of(data, candidates)
    draw = random.Random(0)
    parts = [draw.sample(every_pair, min(options.pairs, len(every_pair))) for _ in range(options.rounds)]

    theirs = CrossEncoder(options.teacher, max_length=options.max_tokens, device="cpu")
    their_tokens = TheirTokens()
    network = next(module for module in theirs.modules() if isinstance(module, PreTrainedModel))
    network.get_input_embeddings().register_forward_pre_hook(their_tokens.hook)
    identity = torch.nn.Identity()

    def ours(precision: str) -> Any:
        running = Running(
            max_tokens=options.max_tokens,
            precision=precision,
            threads=options.threads,
            device="cpu",  # type: ignore[arg-type]
        )
        return CrossEncoderTeacher(source=options.teacher, running=running).open()

    fp32, bf16 = ours("fp32"), ours("bf16")
    ways: dict[str, Callable[[Pairs], NDArray[np.float32]]] = {
        "sentence-transformers predict, fp32": lambda part: theirs.predict(list(part), activation_fn=identity),
        "distilrank teach, fp32": fp32.score,
        "distilrank teach, bf16": bf16.score,
    }
    base, single, half = ways
    counters = {base: their_tokens, single: fp32, half: bf16}
    rates, scores = rounds_of(ways, parts, options.threads)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    apart = max(float(np.abs(a - b).max()) for a, b in zip(scores[base], scores[single], strict=True))
    tokens = {
        name: counter.count if isinstance(counter, TheirTokens) else counter.tokens
        for name, counter in counters.items()
    }
    print(f"{options.data.name}: {options.rounds} rounds of {len(parts[0])} pairs, {options.threads} threads")
    for name, rate in medians.items():
        print(f"  {name:36} {rate:8.1f} pairs/s  {rate / medians[base]:5.2f} times  {tokens[name]:,} tokens run")
    print(f"  fp32 scores differ by at most {apart:.1e}")
    measured = {
        name: quality(data, candidates, options.split, way(every_pair)) for name, way in ways.items() if name != base
    }
    lost = abs(measured[half] - measured[single]) / measured[single]
    print(f"  {MEASURE}: fp32 {measured[single]:.4f}, bf16 {measured[half]:.4f}, {lost:.2%} apart")
    if options.out:
        facts = {
            "command": shlex.join(["python", "benchmarks/teacher_throughput.py", *sys.argv[1:]]),
            "data": options.data.name,
            "pairs_per_round": len(parts[0]),
            "threads": options.threads,
            "max_tokens": options.max_tokens,
            "pairs_per_second": rates,
            "times_sentence_transformers": {name: rate / medians[base] for name, rate in medians.items()},
            "tokens_run": tokens,
            "largest_difference_of_fp32_scores": apart,
            MEASURE: measured,
            "versions": library_versions(),
        }
        write_json(options.out, facts)
    within = apart <= SCORES_AGREE and lost <= MEASURE_AGREES
    if not within:
        print("the scores are not equal enough for the speeds to be compared")
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
