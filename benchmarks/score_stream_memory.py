"""Memory of millions of teacher scores: made by ``teach``, then read with their groups by the training loader.

Groups are generated on disk, a stub stands for the teacher (a score is a pure function of the texts, so that every
joined score can be checked), and the loader does what a training does: shuffles, joins groups with scores, tokenises
and pads them. Anonymous memory (``RssAnon``: what the process has allocated, without pages of files) is sampled over
time and plotted. Fails when it grows by more than the limit after the first quarter of a phase. Linux only.

    python benchmarks/score_stream_memory.py --out results/benchmarks/score_stream_memory.json
"""

from __future__ import annotations

import argparse
import random
import shlex
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from distilrank.data.files import library_versions, write_json
from distilrank.data.groups import GroupFile, write_groups
from distilrank.data.pairs import GroupPairs
from distilrank.data.tokens import PairTokenizer
from distilrank.records import Group
from distilrank.teaching.teachers import Teacher
from distilrank.training.groups import split_groups
from distilrank.training.order import Steps, shuffled
from distilrank.workflows.teach import TeachSettings, teach
from distilrank.workflows.training_data import RankingData

PASSAGES, BATCH = 8, 32
LETTERS = "etaoinshrdlu"


@dataclass(frozen=True)
class StubTeacher:
    """A teacher whose scores are checksums of the texts, between 0 and 1."""

    name: str = "stub"
    meaning: str = "given"

    def describe(self) -> dict[str, object]:
        """Return nothing that could change."""
        return {"kind": "stub"}

    def open(self, worker: int = 0) -> StubTeacher:
        """Return itself."""
        return self

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one checksum per pair."""
        return np.array([checksum(query, passage) for query, passage in pairs], np.float32)


def checksum(query: str, passage: str) -> float:
    return zlib.crc32(f"{query}\t{passage}".encode()) / 2**32


def made_groups(count: int) -> Iterator[Group]:
    """Yield groups of eight passages of about twelve words; never more than one is in memory."""
    draw = random.Random(0)
    words = ["".join(draw.choices(LETTERS, k=draw.randint(2, 8))) for _ in range(20_000)]
    for place in range(count):
        yield Group(
            query=" ".join(draw.choices(words, k=4)),
            passages=tuple(" ".join(draw.choices(words, k=draw.randint(6, 18))) for _ in range(PASSAGES)),
            relevance=(1.0,) + (0.0,) * (PASSAGES - 1),
            query_id=f"q{place}",
            doc_ids=tuple(f"d{PASSAGES * place + i}" for i in range(PASSAGES)),
        )


def letter_tokenizer() -> PairTokenizer:
    """Return a tokeniser of single letters in pieces, which needs no file and is slower than a real one."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PairTokenizer(tokenizer, max_tokens=64)


def anonymous_mib() -> float:
    """Return this process's anonymous resident memory in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this kernel does not report RssAnon; run the benchmark on Linux")


class Watch(threading.Thread):
    """Samples anonymous memory every 0.2 s, with the phase it was in."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, str, float]] = []
        self._began = time.perf_counter()
        self._phase = ""
        self._done = threading.Event()

    def run(self) -> None:  # noqa: D102 (the class says it)
        while not self._done.wait(0.2):
            self._sample()

    def _sample(self) -> None:
        if self._phase:
            self.samples.append((round(time.perf_counter() - self._began, 2), self._phase, round(anonymous_mib(), 1)))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Give the samples in the block a name."""
        self._phase = name
        self._sample()
        print(f"{name} ...", flush=True)
        yield
        self._sample()
        self._phase = ""

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def growth(self, phase: str) -> float:
        """Return by how many MiB memory grew after the first quarter of a phase."""
        own = [mib for _, name, mib in self.samples if name == phase]
        quarter = max(1, len(own) // 4)
        return max(0.0, max(own[quarter:], default=own[-1]) - max(own[:quarter]))


TEACHING, LOADING = "teach", "training loader"


def measure(pairs: int, folder: Path, watch: Watch) -> dict[str, float]:
    count = pairs // PASSAGES
    file, out = folder / "groups.jsonl", folder / "scores"
    print(f"writing {count:,} groups ...", flush=True)
    write_groups(made_groups(count), file)
    stub: Teacher = StubTeacher()  # type: ignore[assignment]
    began = time.perf_counter()
    with watch.phase("open groups"):
        source = GroupPairs(GroupFile(file))
    with watch.phase(TEACHING):
        (taught,) = teach([stub], source, out, settings=TeachSettings())
    teach_seconds = time.perf_counter() - began
    del source
    with watch.phase("open groups with scores"):
        ranking = RankingData.open(file, scores=out)
    began = time.perf_counter()
    with watch.phase(LOADING):
        load(ranking.groups)
    load_seconds = time.perf_counter() - began
    return {
        "pairs": taught.pairs,
        "teach_seconds": teach_seconds,
        "teach_pairs_per_second": taught.pairs / teach_seconds,
        "load_seconds": load_seconds,
        "load_pairs_per_second": taught.pairs / load_seconds,
        "scores_mib": sum(path.stat().st_size for path in out.iterdir()) / (1 << 20),
    }


def load(groups: Sequence[Group]) -> None:
    """Go through one epoch as the training loop does, and check every score."""
    tokenizer = letter_tokenizer()
    steps = Steps(shuffled(len(groups), seed=0), count=len(groups), batch_size=BATCH)
    for step in range(1, -(-len(groups) // BATCH) + 1):
        batch = [groups[position] for position in steps.positions(step)]
        for group in batch:
            expected = tuple(float(np.float32(checksum(group.query, passage))) for passage in group.passages)
            if group.scores != expected:
                raise SystemExit(f"query {group.query_id} has the scores {group.scores}, not {expected}")
        split_groups(batch, tokenizer=tokenizer)


def plot(samples: Sequence[tuple[float, str, float]], path: Path, pairs: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4))
    for phase in dict.fromkeys(name for _, name, _ in samples):
        own = [(seconds, mib) for seconds, name, mib in samples if name == phase]
        axes.plot([seconds for seconds, _ in own], [mib for _, mib in own], label=phase)
    axes.set(xlabel="seconds", ylabel="anonymous memory, MiB", title=f"{pairs:,} pairs", ylim=(0, None))
    axes.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5_000_000)
    parser.add_argument("--limit-mib", type=float, default=32, help="fail when a phase grows by more than this")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file, and the plot beside it as .svg")
    options = parser.parse_args()
    with Watch() as watch, tempfile.TemporaryDirectory(dir=options.folder) as folder:
        numbers = measure(options.pairs, Path(folder), watch)
    growth = {phase: watch.growth(phase) for phase in (TEACHING, LOADING)}
    numbers["most_anonymous_mib"] = max(mib for *_, mib in watch.samples)
    for name, value in {**numbers, **{f"growth of {phase}, MiB": mib for phase, mib in growth.items()}}.items():
        print(f"{name:>35} {value:,.1f}")
    flat = max(growth.values()) <= options.limit_mib
    if options.out is not None:
        facts = {
            "benchmark": "score_stream_memory",
            "command": shlex.join(["python", "benchmarks/score_stream_memory.py", *sys.argv[1:]]),
            "versions": library_versions(),
            "numbers": {name: round(value, 2) for name, value in numbers.items()},
            "growth_mib_after_the_first_quarter": growth,
            "limit_mib": options.limit_mib,
            "flat": flat,
            "samples": watch.samples[:: max(1, len(watch.samples) // 400)],
        }
        write_json(options.out, facts)
        plot(watch.samples, options.out.with_suffix(".svg"), options.pairs)
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
