"""Re-ranking speed on a CPU: ours beside CrossEncoder.predict, and fastembed and FlashRank on the same ONNX files.

The same weights, the same queries with up to 100 passages each at their real lengths, the same limit on tokens and as
many threads for everybody; every package runs its own code in a process of its own, and they take turns query by query,
so that a noisy machine hits all alike. fastembed and FlashRank live in another environment, because fastembed needs an
older huggingface_hub than distilrank is built with; numpy, onnxruntime and tokenizers are the same there:

    python -m venv runs/peers
    runs/peers/bin/pip install $(grep -E "^(numpy|onnxruntime|tokenizers)==" constraints.txt) -e . fastembed flashrank
    python benchmarks/ranking_speed.py runs/openqa/simplified-1 --data ../shared/data/trec_dl19 \
        --peers runs/peers/bin/python --peak --out results/benchmarks/ranking_speed.json

The student should have been exported with ``--precision int8`` on this kind of processor; without, only its float file
runs. FlashRank has no choice of threads: its session is opened anew with as many as the others have, and nothing else
is changed. The limit on tokens is written into a copy of the student's folder, where everybody reads it.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from distilrank.benchmark.entry import Entry
from distilrank.benchmark.operations import multiply_adds
from distilrank.benchmark.results import Benchmark
from distilrank.cli.bench import show
from distilrank.data.files import library_versions, read_json, write_json
from distilrank.runtime.folder import machine, network_file
from distilrank.runtime.pair_network import BATCH_TOKENS
from distilrank.runtime.session import open_session
from distilrank.workflows.bench import bench
from distilrank.workflows.bench_data import BenchData
from distilrank.workflows.bench_entries import BenchSettings, find_entries

CROSS_ENCODER = "CrossEncoder.predict"
OURS = "distilrank"
PEERS = ("fastembed", "flashrank")
PEERS_PYTHON = Path("runs/peers/bin/python")
WANTED = {CROSS_ENCODER: 3.0, **dict.fromkeys(PEERS, 2.0)}
"""How many times as fast as these distilrank is to be."""
QUALITY = 0.005
"""Share of CrossEncoder's nDCG@10 that may be lost on the way."""
PEAK_LENGTHS = (32, 64, 128, 256)
PEAK_SIZES = (512, 1024, 2048)
PROFILED_LENGTH = 128


@contextmanager
def with_limit(folder: Path, max_tokens: int) -> Iterator[Path]:
    """Yield a copy of a model folder that reads so many tokens."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / folder.resolve().name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("run"))
        config = read_json(copy / "tokenizer_config.json")
        write_json(copy / "tokenizer_config.json", {**config, "model_max_length": max_tokens})
        yield copy


def find_systems(folder: Path, peers: str | None, settings: BenchSettings) -> list[Entry]:
    """Return everybody who takes part, CrossEncoder first."""
    named = ["sentence-transformers", *(f"{peer}={peers}" for peer in PEERS if peers)]
    entries = find_entries([folder], teacher=None, peers=named, settings=settings)
    names = {"sentence-transformers": CROSS_ENCODER, folder.name: OURS}
    known = [
        replace(entry, name=", ".join([names.get(part, part) for part in entry.name.split(", ")])) for entry in entries
    ]
    return sorted(known, key=lambda entry: entry.name != CROSS_ENCODER)


def ratios(found: Benchmark, workload: str) -> list[dict[str, Any]]:
    """Return how many times as fast distilrank is as each of the others on the same file, and what it keeps."""
    speeds = found.workloads[workload]
    told = []
    for name, ours in speeds.items():
        if not name.startswith(OURS):
            continue
        precision = name.removeprefix(OURS)
        for other, wanted in WANTED.items():
            rival = other if other == CROSS_ENCODER else f"{other}{precision}"
            if rival not in speeds:
                continue
            quality, base = ours.quality, speeds[CROSS_ENCODER].quality
            assert quality is not None
            assert base is not None
            kept = quality.mean / base.mean
            times = speeds[rival].percentile(50) / ours.percentile(50)
            told.append(
                {
                    "system": name,
                    "than": rival,
                    "times": times,
                    "wanted": wanted,
                    "quality_kept": kept,
                    "holds": times >= wanted and kept >= 1 - QUALITY,
                }
            )
    return told


def peak(threads: int, clock: Callable[[], float], *, small: bool) -> float:
    """Return the most operations per second of square products of several sizes, in billions, by onnxruntime."""
    return max(_square(size, threads, clock, small=small) for size in PEAK_SIZES)


def _square(size: int, threads: int, clock: Callable[[], float], *, small: bool) -> float:
    kind = TensorProto.INT8 if small else TensorProto.FLOAT
    values = [helper.make_tensor_value_info("a", TensorProto.UINT8 if small else kind, [size, size])]
    matrix = np.random.default_rng(0).integers(-100, 100, (size, size)).astype(np.int8 if small else np.float32)
    node = helper.make_node("MatMulInteger" if small else "MatMul", ["a", "b"], ["c"])
    made = [helper.make_tensor_value_info("c", TensorProto.INT32 if small else kind, [size, size])]
    graph = helper.make_graph([node], "peak", values, made, [onnx.numpy_helper.from_array(matrix, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = open_session(model.SerializeToString(), threads=threads)
    given = {"a": np.abs(matrix).astype(np.uint8 if small else np.float32)}
    return 2e-9 * size**3 / _fastest(lambda: session.run(None, given), clock)


def shares_of_peak(folder: Path, threads: int, clock: Callable[[], float], *, small: bool) -> dict[str, Any]:
    """Return the peak, and by the length of pairs what share of it the network reaches in one full batch.

    Its work is that of a BERT as ``distilrank export`` writes it, with the last layer for [CLS] alone.
    """
    best = peak(threads, clock, small=small)
    session = open_session(network_file(folder, "int8" if small else "fp32"), threads=threads)
    shares = {}
    for length in PEAK_LENGTHS:
        batch = max(1, BATCH_TOKENS // length)
        work = multiply_adds(read_json(folder / "config.json"), [length] * batch, last_layer_for_one=True)
        if work is None:
            break
        given = one_batch(session, batch, length)
        shares[length] = 2e-9 * work.sum() / _fastest(lambda given=given: session.run(None, given), clock) / best
    return {"peak_billion_operations_per_second": best, "share_by_tokens": shares}


def one_batch(session: Any, batch: int, length: int) -> dict[str, Any]:
    """Return inputs of so many pairs of so many tokens."""
    ids = np.full((batch, length), 1000, np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return {item.name: inputs[item.name] for item in session.get_inputs()}


def time_by_operator(folder: Path, threads: int, *, small: bool) -> dict[str, float]:
    """Return what share of a forward pass each operator takes, the slowest first, as onnxruntime's profiler has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as temporary:
        options.profile_file_prefix = str(Path(temporary) / "profile")
        file = network_file(folder, "int8" if small else "fp32")
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        given = one_batch(session, BATCH_TOKENS // PROFILED_LENGTH, PROFILED_LENGTH)
        for _ in range(20):
            session.run(None, given)
        events = read_json(session.end_profiling())
    times: Counter[str] = Counter()
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]] += event["dur"]
    return {name: time / times.total() for name, time in times.most_common()}


def _fastest(work: Callable[[], object], clock: Callable[[], float]) -> float:
    times = []
    for _ in range(20):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)


def all_shares(folder: Path, threads: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Measure and print shares of the peak and of the time, of both precisions as far as there are files."""
    found = {}
    for precision, small in (("fp32", False), ("int8", True)):
        if small and network_file(folder, "auto") == network_file(folder, "fp32"):
            continue
        measured = shares_of_peak(folder, threads, clock, small=small)
        by_operator = time_by_operator(folder, threads, small=small)
        found[precision] = {**measured, "time_by_operator": by_operator}
        best = measured["peak_billion_operations_per_second"]
        shares = ", ".join(f"{length}: {share:.0%}" for length, share in measured["share_by_tokens"].items())
        slowest = ", ".join(f"{name} {share:.0%}" for name, share in list(by_operator.items())[:6])
        print(
            f"{precision}: {best:,.0f} billion operations/s of a square product; share of it by tokens a pair {shares}"
        )
        print(f"{precision}: time by operator, pairs of {PROFILED_LENGTH} tokens: {slowest}")
    return found


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/openqa/simplified-1"), help="the student")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/trec_dl19"))
    parser.add_argument("--collection", type=Path)
    parser.add_argument("--run", default="BM25")
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int, help="the first ones; all by default")
    parser.add_argument("--passages", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=256)
    made = str(PEERS_PYTHON) if PEERS_PYTHON.is_file() else None
    parser.add_argument("--peers", default=made, help="a Python that has fastembed, FlashRank and distilrank")
    parser.add_argument("--peak", action="store_true", help="share of the matrix-product peak, time by operator")
    parser.add_argument("--processor-time", action="store_true", help="count processor time, on a busy machine")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print everything."""
    options = parse()
    if not options.folder.is_dir() or not options.data.is_dir():
        print(f"{options.folder} or {options.data} is not there; give a student and ranking data")
        return
    clock = time.process_time if options.processor_time else time.perf_counter
    settings = BenchSettings(
        passages=options.passages,
        rounds=options.rounds,
        starts=1,
        threads=options.threads,
        precision="both",
        clock="processor" if options.processor_time else "wall",
    )
    if options.peers is None:
        print("note: fastembed and FlashRank are left out; name a Python that has them with --peers", file=sys.stderr)
    data = BenchData(
        str(options.data),
        split=options.split,
        passages=options.passages,
        max_queries=options.queries,
        run=options.run,
        collection=options.collection,
        offline=True,
    )
    with with_limit(options.folder, options.max_tokens) as folder:
        found = bench(find_systems(folder, options.peers, settings), settings=settings, data=data)
        show(found, settings)
        told = ratios(found, data.workload.name)
        for each in told:
            holds = "holds" if each["holds"] else "does not hold"
            print(
                f"{each['system']} is {each['times']:.2f} times as fast as {each['than']} and keeps "
                f"{each['quality_kept']:.2%} of nDCG@10 (wanted {each['wanted']:g} and {1 - QUALITY:.1%}: {holds})"
            )
        shares = all_shares(folder, options.threads, clock) if options.peak else {}
    if options.out is None:
        return
    facts = {
        "benchmark": "ranking_speed",
        "command": shlex.join(["python", "benchmarks/ranking_speed.py", *sys.argv[1:]]),
        "settings": asdict(settings),
        "max_tokens": options.max_tokens,
        "machine": machine(),
        "versions": library_versions(),
        "ratios": told,
        "share_of_peak": shares,
        **found.as_dict(),
    }
    write_json(options.out, facts)


if __name__ == "__main__":
    main()
