"""Re-ranking speed on a CPU: ours beside CrossEncoder.predict, and FlashRank's and fastembed's way of running ONNX.

The same weights, the same queries with 100 passages each, the same limit on tokens and as many threads for everybody.
Systems take turns query by query, so that a noisy machine hits all alike; the ratio of medians is what counts. The
two ways of running a file are written here as their packages do it (FlashRank 0.2.10: all passages in one padded batch;
fastembed 0.9.1: batches of 64 in the order given), so that they get the same threads; with --real the packages
themselves run too, where they are installed.

    python benchmarks/ranking_speed.py runs/openqa/simplified-1 --data ../shared/data/trec_dl19 --out results/x.json
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from distilrank.data.files import library_versions, read_json, write_json
from distilrank.data.folder import RankingFolder
from distilrank.data.tokens import PairTokenizer
from distilrank.data.trec import ranking, read_run
from distilrank.evaluation.measures import measure
from distilrank.export.quantise import products
from distilrank.runtime.cpu import this_cpu
from distilrank.runtime.folder import network_file, tuned
from distilrank.runtime.pair_network import BATCH_TOKENS, PairNetwork
from distilrank.runtime.session import named_inputs, open_session

Pairs = Sequence[tuple[str, str]]
FASTEMBED_BATCH = 64
MEASURE = "nDCG@10"
PEAK_LENGTHS = (32, 64, 128, 256)


class Counting:
    """A session that counts the padded tokens it is given."""

    def __init__(self, file: Path, threads: int) -> None:
        self.session, self.tokens = open_session(file, threads=threads), 0

    def get_inputs(self) -> Any:
        """As onnxruntime's."""
        return self.session.get_inputs()

    def run(self, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """As onnxruntime's."""
        self.tokens += inputs["input_ids"].size
        found: list[NDArray[Any]] = self.session.run(outputs, inputs)
        return found


class PaddedInOrder:
    """Batches in the order given, each padded to its longest pair: one batch (FlashRank), or of 64 (fastembed)."""

    def __init__(self, session: Counting, tokenizer: PairTokenizer, batch: int | None) -> None:
        self.session, self.tokenizer, self.batch = session, tokenizer, batch

    def score(self, pairs: Pairs) -> NDArray[np.float32]:
        """Return a logit per pair."""
        found = []
        for start in range(0, len(pairs), self.batch or len(pairs)):
            part = pairs[start : start + (self.batch or len(pairs))]
            arrays = self.tokenizer.pad(self.tokenizer.encode([q for q, _ in part], [p for _, p in part]))
            found.append(self.session.run(["logits"], named_inputs(self.session, arrays))[0][:, 0])
        return np.concatenate(found)


class SentenceTransformers:
    """``CrossEncoder.predict`` as it ships."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        from sentence_transformers import CrossEncoder

        self.model, self.tokens = CrossEncoder(str(folder), device="cpu", max_length=max_tokens), 0
        self.model.model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: object, arguments: object, options: dict[str, Any]) -> None:
        self.tokens += options["input_ids"].numel()

    def score(self, pairs: Pairs) -> NDArray[np.float32]:
        """Return a logit per pair."""
        return np.asarray(self.model.predict(list(pairs), show_progress_bar=False))


class RealFastembed:
    """``TextCrossEncoder.rerank_pairs``."""

    def __init__(self, folder: Path, file: Path, threads: int) -> None:
        from fastembed.common.model_description import ModelSource
        from fastembed.rerank.cross_encoder import TextCrossEncoder

        name = f"local/{file.name}"
        TextCrossEncoder.add_custom_model(model=name, sources=ModelSource(hf=name), model_file=f"onnx/{file.name}")
        self.model = TextCrossEncoder(name, specific_model_path=str(folder), threads=threads)

    def score(self, pairs: Pairs) -> NDArray[np.float32]:
        """Return a logit per pair."""
        return np.array(list(self.model.rerank_pairs(list(pairs))))


class RealFlashRank:
    """``Ranker.rerank``, in the order of the passages; its threads are onnxruntime's own choice."""

    def __init__(self, folder: Path, file: Path, max_tokens: int) -> None:
        module = importlib.import_module("flashrank.Ranker")
        module.model_file_map[folder.resolve().name] = f"onnx/{file.name}"
        self.request = module.RerankRequest
        where = str(folder.resolve().parent)
        self.model = module.Ranker(folder.resolve().name, cache_dir=where, max_length=max_tokens, log_level="WARNING")

    def score(self, pairs: Pairs) -> NDArray[np.float32]:
        """Return a probability per pair, which ranks as its logit does."""
        texts = [{"id": place, "text": passage} for place, (_, passage) in enumerate(pairs)]
        found = {each["id"]: each["score"] for each in self.model.rerank(self.request(pairs[0][0], texts))}
        return np.array([found[place] for place in range(len(pairs))])


def find_systems(options: argparse.Namespace, tokenizer: PairTokenizer) -> dict[str, Any]:
    """Return everybody who takes part, by name."""
    folder, threads = options.folder, options.threads
    systems: dict[str, Any] = {"CrossEncoder.predict": SentenceTransformers(folder, options.max_tokens)}
    files = {"fp32": network_file(folder, "fp32")}
    small = network_file(folder, "auto")
    if small != files["fp32"]:
        files["int8"] = small
    else:
        print(
            f"note: {folder} has no 8-bit file that passed on this processor; see: distilrank export --precision int8"
        )
    stored = tuned(folder)
    for precision, file in files.items():
        ways: dict[str, Any] = {
            "FlashRank's way": PaddedInOrder(Counting(file, threads), tokenizer, None),
            "fastembed's way": PaddedInOrder(Counting(file, threads), tokenizer, FASTEMBED_BATCH),
            "distilrank": PairNetwork(
                Counting(file, threads),
                tokenizer,
                batch_tokens=stored.batch_tokens or BATCH_TOKENS,
                pad_to=stored.pad_to or 1,
            ),
        }
        if options.real and importlib.util.find_spec("fastembed"):
            ways["fastembed"] = RealFastembed(folder, file, threads)
        if options.real and importlib.util.find_spec("flashrank"):
            ways["FlashRank"] = RealFlashRank(folder, file, options.max_tokens)
        systems |= {f"{name}, {precision}": way for name, way in ways.items()}
    return systems


def tokens_of(system: Any) -> int:
    """Return the padded tokens that a system has computed; 0 where nobody counted."""
    counted = getattr(system, "session", None) or getattr(system, "_session", None) or system
    return int(getattr(counted, "tokens", 0))


def measure_speed(
    systems: dict[str, Any], queries: dict[str, Pairs], *, turns: int, clock: Callable[[], float]
) -> tuple[dict[str, list[float]], dict[str, dict[str, NDArray[np.float32]]], dict[str, int]]:
    """Return milliseconds per query, scores, and tokens computed per round of all queries."""
    times: dict[str, list[float]] = {name: [] for name in systems}
    scores: dict[str, dict[str, NDArray[np.float32]]] = {name: {} for name in systems}
    first = next(iter(queries.values()))
    for system in systems.values():  # to warm up
        system.score(first)
    before = {name: tokens_of(system) for name, system in systems.items()}
    names = list(systems)
    for turn in range(turns):
        for number, (query_id, pairs) in enumerate(queries.items()):
            shift = (turn + number) % len(names)
            for name in names[shift:] + names[:shift]:
                began = clock()
                scores[name][query_id] = systems[name].score(pairs)
                times[name].append(1000 * (clock() - began))
    tokens = {name: (tokens_of(system) - before[name]) // turns for name, system in systems.items()}
    return times, scores, tokens


def peak(threads: int, *, small: bool) -> float:
    """Return the operations per second of a square product of 1024, in billions, as onnxruntime does it."""
    size, kind = 1024, TensorProto.INT8 if small else TensorProto.FLOAT
    values = [helper.make_tensor_value_info("a", TensorProto.UINT8 if small else kind, [size, size])]
    matrix = np.random.default_rng(0).integers(-100, 100, (size, size)).astype(np.int8 if small else np.float32)
    node = helper.make_node("MatMulInteger" if small else "MatMul", ["a", "b"], ["c"])
    made = [helper.make_tensor_value_info("c", TensorProto.INT32 if small else kind, [size, size])]
    graph = helper.make_graph([node], "peak", values, made, [onnx.numpy_helper.from_array(matrix, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = open_session(model.SerializeToString(), threads=threads)
    given = {"a": np.abs(matrix).astype(np.uint8 if small else np.float32)}
    return 2e-9 * size**3 / _fastest(lambda: session.run(None, given), 10)


def shares_of_peak(file: Path, config: Any, *, threads: int, small: bool) -> dict[int, float]:
    """Return what share of ``peak`` a network reaches, by the length of its pairs."""
    best = peak(threads, small=small)
    session = open_session(file, threads=threads)
    graph = onnx.load(network_file(file.parent.parent, "fp32"))
    layers = int(config["num_hidden_layers"])
    found = {}
    for length in PEAK_LENGTHS:
        batch = max(1, BATCH_TOKENS // length)
        work = 0.0
        for name, (_, matrix) in products(graph).items():
            for_one = f"layer.{layers - 1}." in name and not name.endswith((".key", ".value"))
            work += 2.0 * matrix.size * batch * (1 if for_one else length)
        # Scores and their use, of the last layer for one token.
        work += 4.0 * batch * int(config["hidden_size"]) * length * (length * (layers - 1) + 1)
        ids = np.full((batch, length), 1000, np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        given = {item.name: inputs[item.name] for item in session.get_inputs()}
        found[length] = 1e-9 * work / _fastest(lambda given=given: session.run(None, given), 20) / best
    return found


def _fastest(work: Callable[[], object], turns: int) -> float:
    times = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def read_queries(options: argparse.Namespace) -> tuple[dict[str, Pairs], dict[str, list[str]], Any]:
    """Return the pairs and candidates of each judged query, best first by the first stage, and the judgements."""
    data = RankingFolder(options.data, collection=options.collection)
    qrels = data.qrels(options.split)
    run = read_run(data.runs(options.split)[options.run])
    judged = [query_id for query_id in sorted(run) if query_id in qrels][: options.queries]
    candidates = {query_id: ranking(run[query_id])[: options.depth] for query_id in judged}
    pairs = {
        query_id: [(data.queries[query_id].text, data.passages[doc_id].content) for doc_id in found]
        for query_id, found in candidates.items()
    }
    return pairs, candidates, {query_id: qrels[query_id] for query_id in judged}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/openqa/simplified-1"), help="the student")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/trec_dl19"))
    parser.add_argument("--collection", type=Path)
    parser.add_argument("--run", default="BM25")
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int, help="the first ones; all by default")
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--real", action="store_true", help="run FlashRank and fastembed themselves, where installed")
    parser.add_argument("--peak", action="store_true", help="measure the share of the matrix-product peak too")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time, on a busy machine")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure and print the ratios."""
    options = parse()
    if not options.folder.is_dir() or not options.data.is_dir():
        print(f"{options.folder} or {options.data} is not there; give a student and ranking data")
        return
    torch.set_num_threads(options.threads)
    tokenizer = PairTokenizer.from_folder(options.folder, options.max_tokens)
    queries, candidates, qrels = read_queries(options)
    systems = find_systems(options, tokenizer)
    clock = time.process_time if options.cpu_time else time.perf_counter
    times, scores, tokens = measure_speed(systems, queries, turns=options.turns, clock=clock)
    real = sum(
        sum(map(len, tokenizer.encode([q for q, _ in pairs], [p for _, p in pairs]))) for pairs in queries.values()
    )
    count = sum(map(len, queries.values()))
    cpu = this_cpu()
    print(
        f"{options.data.name}: {len(queries)} queries, {count} pairs of {real / count:.0f} tokens on average, at most "
        f"{options.max_tokens}; {options.threads} threads; {cpu.name} ({cpu.arithmetic})"
    )
    base = float(np.median(times["CrossEncoder.predict"]))
    table = {}
    for name, found in times.items():
        run = {
            query_id: dict(zip(candidates[query_id], map(float, scores[name][query_id]), strict=True))
            for query_id in queries
        }
        quality = measure(qrels, run, [MEASURE]).mean(MEASURE)
        median = float(np.median(found))
        table[name] = {
            "ms_per_query": median,
            "p95_ms": float(np.percentile(found, 95)),
            "times_crossencoder": base / median,
            "padded_tokens": tokens[name],
            MEASURE: quality,
        }
        padded = f"{tokens[name]:9,}" if tokens[name] else "        ?"
        print(
            f"  {name:24} {median:8.1f} ms  p95 {table[name]['p95_ms']:8.1f}  {base / median:5.2f} times  "
            f"{padded} tokens  {MEASURE} {quality:.4f}"
        )
    for precision in ("fp32", "int8"):
        ours = table.get(f"distilrank, {precision}")
        for way in ("FlashRank's way", "fastembed's way"):
            if ours is not None:
                other = table[f"{way}, {precision}"]["ms_per_query"]
                print(f"  distilrank is {other / ours['ms_per_query']:.2f} times as fast as {way}, {precision}")
    shares = {}
    if options.peak:
        config = read_json(options.folder / "config.json")
        for precision in ("fp32", "int8"):
            file = network_file(options.folder, "fp32" if precision == "fp32" else "auto")
            shares[precision] = shares_of_peak(file, config, threads=options.threads, small=precision == "int8")
            told = ", ".join(f"{length}: {share:.0%}" for length, share in shares[precision].items())
            print(f"  share of the matrix-product peak by tokens a pair, {precision}: {told}")
    if options.out:
        facts = {
            "command": f"python benchmarks/ranking_speed.py {options.folder} --data {options.data}",
            "cpu": cpu.as_dict(),
            "threads": options.threads,
            "max_tokens": options.max_tokens,
            "queries": len(queries),
            "mean_tokens": real / count,
            "clock": "processor time" if options.cpu_time else "wall",
            "systems": table,
            "share_of_peak": shares,
            "versions": library_versions(),
        }
        write_json(options.out, facts)


if __name__ == "__main__":
    main()
