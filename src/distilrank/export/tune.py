"""What is fastest on this machine: threads, tokens in a batch and padding, measured and kept in the model's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from distilrank.data.files import write_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError
from distilrank.runtime.folder import RUNTIME, Tuned, machine, network_file, usable_cores
from distilrank.runtime.pair_network import BATCH_TOKENS, PairNetwork
from distilrank.runtime.session import open_session

BATCHES = (128, 256, 512, 1024, 2048)
PADDINGS = (1, 8, 16)
TURNS = 4
"""The first of them is for warming up."""

WORTHWHILE = 0.03
"""Share of the time that a change must save: less is this machine's noise."""

USUAL_TOKENS, SPREAD = 92, 0.45
"""Median tokens of a pair and standard deviation of their logarithm, as of the top 100 of TREC DL 2019."""


def tune(folder: str | Path, *, pairs: Sequence[tuple[str, str]] | None = None) -> Tuned:
    """Measure on 100 pairs what is fastest for the network that this machine runs, and write ``runtime.json``.

    Every choice is measured in turns with its rivals, so that a change of the machine's pace hits all alike.

    Args:
        folder: Of an exported ranker.
        pairs: To score; None makes some of usual lengths.

    Raises:
        ModelError: There is no export, or it is a siamese network's.
    """
    folder = Path(folder)
    if (folder / "onnx" / "encoder.onnx").is_file():
        raise ModelError(f"{folder} reads texts apart, which takes so little that there is nothing to tune")
    file, tokenizer = network_file(folder), PairTokenizer.from_folder(folder)
    work = list(pairs[:100]) if pairs is not None else usual_pairs(tokenizer)
    sessions = {count: open_session(file, threads=count) for count in thread_counts()}

    def timer(choice: Tuned) -> Callable[[], object]:
        network = PairNetwork(
            sessions[choice.threads or 0],
            tokenizer,
            batch_tokens=choice.batch_tokens or BATCH_TOKENS,
            pad_to=choice.pad_to or 1,
        )
        return lambda: network.score(work)

    best = Tuned(threads=usable_cores(), batch_tokens=BATCH_TOKENS, pad_to=1)
    for name, values in (("threads", sessions), ("batch_tokens", BATCHES), ("pad_to", PADDINGS)):
        rivals = [best, *(replace(best, **{name: value}) for value in values if value != getattr(best, name))]
        times = _milliseconds([timer(choice) for choice in rivals])
        fastest = int(np.argmin(times))
        best = rivals[fastest] if times[fastest] < (1.0 - WORTHWHILE) * times[0] else best
        measured = min(times)
    record = {"machine": machine(), **asdict(best), "file": file.name, "ms_per_100_pairs": measured * 100 / len(work)}
    write_json(folder / RUNTIME, record)
    return best


def thread_counts(cores: int | None = None) -> list[int]:
    """Return the numbers of threads worth trying: one, half of the cores, all of them."""
    cores = cores or usable_cores()
    return sorted({1, max(1, cores // 2), cores})


def usual_pairs(tokenizer: PairTokenizer) -> list[tuple[str, str]]:
    """Return 100 pairs of one query, of words whose number of tokens is spread as real passages' are."""
    random = np.random.default_rng(0)
    lengths = np.exp(random.normal(np.log(USUAL_TOKENS), SPREAD, 100)).clip(12, tokenizer.max_tokens)
    return [("why is the sky blue", " ".join(["water"] * (int(length) - 8))) for length in lengths]


def _milliseconds(work: Iterable[Callable[[], object]]) -> list[float]:
    """Return the median time of each, measured in turns."""
    jobs = list(work)
    times: list[list[float]] = [[] for _ in jobs]
    for turn in range(TURNS):
        for place, job in enumerate(jobs):
            began = time.perf_counter()
            job()
            if turn:
                times[place].append(1000 * (time.perf_counter() - began))
    return [float(np.median(each)) for each in times]
