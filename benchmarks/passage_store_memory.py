"""Measure the memory that a `PassageStore` of millions of passages takes while it is built and read.

A collection is generated on the fly (about 60 words a passage, never all of it in memory), indexed, and read at
random; every passage read is compared with what was generated. Fails when the process's anonymous memory
(``RssAnon``: what it has allocated, without pages of files) passes the limit. Linux only.
"""

from __future__ import annotations

import argparse
import platform
import random
import shlex
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

from distilrank.data.files import library_versions, write_json
from distilrank.data.passage_store import PassageStore
from distilrank.records import Passage

FRAGMENTS, WORDS_PER_FRAGMENT, FRAGMENTS_PER_PASSAGE = 20_000, 15, 4
MIB = 1 << 20


def anonymous_mib() -> float:
    """Return this process's anonymous resident memory in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this kernel does not report RssAnon; run the benchmark on Linux")


class Sampler(threading.Thread):
    """Watches anonymous memory every 20 ms while the block runs; SQLite sorts without holding Python up."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0
        self._done = threading.Event()

    def run(self) -> None:  # noqa: D102 (the class says it)
        while not self._done.wait(0.02):
            self.most = max(self.most, anonymous_mib())

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()


def make_fragments(seed: int) -> list[str]:
    draw = random.Random(seed)
    letters = "etaoinshrdlucmfwyp"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(20_000)]
    return [" ".join(draw.choices(words, k=WORDS_PER_FRAGMENT)) for _ in range(FRAGMENTS)]


def make_passage(index: int, fragments: list[str]) -> Passage:
    # Each step is coprime to the number of fragments, so neighbours share nothing and any index can be made again.
    parts = [fragments[index * step % FRAGMENTS] for step in (7919, 104729, 1299709, 15485863)]
    return Passage(f"passage-{index * 2654435761 % (1 << 32):010d}-{index}", " ".join(parts))


def measure(passages: int, reads: int, folder: Path, seed: int) -> dict[str, float]:
    fragments = make_fragments(seed)
    before = anonymous_mib()

    def show(written: int) -> None:
        if written % 500_000 == 0:
            print(f"{written:,} passages, {anonymous_mib():.0f} MiB", flush=True)

    collection = (make_passage(index, fragments) for index in range(passages))
    start = time.perf_counter()
    with Sampler() as build_memory:
        store = PassageStore.build(collection, folder / "passages.sqlite", progress=show)
    build_seconds = time.perf_counter() - start
    after_build = anonymous_mib()

    draw = random.Random(seed + 1)
    start = time.perf_counter()
    with Sampler() as read_memory:
        for _ in range(reads):
            index = draw.randrange(passages)
            expected = make_passage(index, fragments)
            if store[expected.doc_id] != expected or store.position(index) != expected:
                raise SystemExit(f"passage {index} was not read back as it was written")
    read_seconds = time.perf_counter() - start
    after_reads = anonymous_mib()
    return {
        "passages": len(store),
        "mean_words": FRAGMENTS_PER_PASSAGE * WORDS_PER_FRAGMENT,
        "store_mib": store.path.stat().st_size / MIB,
        "build_seconds": build_seconds,
        "passages_per_second": passages / build_seconds,
        "random_reads": reads,
        "microseconds_per_read_by_id_and_position": 1e6 * read_seconds / reads,
        "anonymous_mib_before": before,
        "anonymous_mib_after_build": after_build,
        "anonymous_mib_after_reads": after_reads,
        "anonymous_mib_most_while_building": max(build_memory.most, after_build),
        "anonymous_mib_most_while_reading": max(read_memory.most, after_reads),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--passages", type=int, default=5_000_000)
    parser.add_argument("--reads", type=int, default=10_000)
    parser.add_argument("--limit-mib", type=float, default=300 * 1e6 / MIB, help="fail above this (default: 300 MB)")
    parser.add_argument("--folder", type=Path, help="where to build; default: a temporary folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        numbers = measure(options.passages, options.reads, Path(folder), options.seed)
    for name, value in numbers.items():
        print(f"{name:>45} {value:,.1f}")
    most = max(numbers["anonymous_mib_most_while_building"], numbers["anonymous_mib_most_while_reading"])
    kept = most <= options.limit_mib
    if options.out is not None:
        # The location of the interpreter and of the result say nothing about the measurement.
        command = shlex.join(["python", "benchmarks/passage_store_memory.py", *sys.argv[1:]])
        machine = {"system": platform.system(), "processor": platform.machine(), "sqlite": sqlite3.sqlite_version}
        write_json(
            options.out,
            {
                "benchmark": "passage_store_memory",
                "command": command,
                "seed": options.seed,
                "versions": library_versions(),
                "machine": machine,
                "limit_mib": options.limit_mib,
                "within_limit": kept,
                "numbers": {name: round(value, 2) for name, value in numbers.items()},
            },
        )
    if not kept:
        print(f"{most:.0f} MiB of anonymous memory were in use, over {options.limit_mib:.0f}", file=sys.stderr)
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
