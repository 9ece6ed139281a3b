"""Run cells: each command in a process of its own that starts with the libraries imported, and what came of it kept."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shlex
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import RLock
from typing import Any, Literal

from distilrank.benchmark.operations import multiply_adds
from distilrank.benchmark.size import count_weights, megabytes
from distilrank.data.files import file_hash, library_versions, read_json, write_json
from distilrank.runtime.folder import network_file, usable_cores
from study.cells import Cell, by_name, keys, start_hash, system_and_seed
from study.plan import Plan

PRELOADED = ["numpy", "torch", "transformers", "accelerate", "onnxruntime", "distilrank.cli.verbs"]
FACTS = ".cell.json"
COUNTED_TOKENS = (128, 256)
"""Of a pair, for counting operations."""
_SIZES = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")


class CellError(Exception):
    """A command of a cell failed; its log says why."""


class Study:
    """Cells at one scale, their folders and their results.

    Args:
        plan: What is to be run.
        results: Folder of the results, one file per cell and test set, and one of facts per cell.
        jobs: Most commands at once. Each has a processor of its own and computes with one thread, so that its numbers
            do not depend on how many there are; with one job and None as the scale's threads it has the machine.
    """

    def __init__(self, plan: Plan, results: Path, jobs: int = 1) -> None:
        self.plan, self.results, self.jobs = plan, results, jobs
        self._locks: dict[str, RLock] = defaultdict(RLock)
        self._processors: SimpleQueue[set[int]] = SimpleQueue()
        mine = _usable_processors()
        for place in range(jobs):
            self._processors.put({mine[place % len(mine)]} if plan.scale.one_thread else set(mine))
        self.cells = by_name(list(plan.cells()))
        self.test_sets = plan.test_sets()
        self.keys = keys(self.cells, self.test_sets, start=start_hash(plan.teacher, plan.data))

    def is_done(self, cell: Cell) -> bool:
        """Whether the cell's result is there, made by these very commands from these very inputs."""
        facts = self.results / f"{cell.name}{FACTS}"
        return facts.is_file() and read_json(facts)["key"] == self.keys[cell.name]

    def has_folder(self, cell: Cell) -> bool:
        """Whether what the cell makes is still on this machine."""
        made = self.plan.folder(cell.name) / "study.json"
        return made.is_file() and read_json(made)["key"] == self.keys[cell.name]

    def run(self, cell: Cell) -> None:
        """Run a cell and, first, those it needs whose folders are not here.

        Raises:
            CellError: A command failed.
        """
        with self._locks[cell.name]:
            if self.is_done(cell):
                return
            self.make(cell)
            if cell.judged_on and not self.is_done(cell):
                self.judge(cell)

    def make(self, cell: Cell) -> None:
        """Fill the cell's folder, after those of its needs."""
        with self._locks[cell.name]:  # cells do not need each other in circles
            if not self.has_folder(cell):
                self._make(cell)

    def _make(self, cell: Cell) -> None:
        for need in cell.needs:
            self.make(self.cells[need])
        folder = self.plan.folder(cell.name)
        marker = folder / "study.json"
        begun = self.plan.runs / "logs" / f"{cell.name}.key"
        if marker.is_file() or (begun.is_file() and begun.read_text() != self.keys[cell.name]):
            shutil.rmtree(folder, ignore_errors=True)  # made, or begun, by other commands
        resumed = folder.is_dir()
        begun.parent.mkdir(parents=True, exist_ok=True)
        begun.write_text(self.keys[cell.name])
        spent = [self._call(command, cell) for command in cell.commands]
        folder.mkdir(parents=True, exist_ok=True)
        if cell.name == "teacher":
            self.judge(cell)  # for its runs, which all students are compared with
        minutes = {kind: sum(each[kind] for each in spent) for kind in ("core_minutes", "minutes")}
        write_json(marker, {"key": self.keys[cell.name], **minutes, "resumed": resumed})

    def judge(self, cell: Cell) -> None:
        """Measure the cell's model on its test sets and write the results, the facts last."""
        model = self.plan.teacher if cell.name == "teacher" else self.plan.folder(cell.model or cell.name)
        runs: dict[str, str] = {}
        for test_set in cell.judged_on:
            out = self.results / f"{cell.name}.{test_set}.json"
            told = f"evaluate {model} {self.test_sets[test_set]} --json {out}"
            beside = self.plan.folder(_teacher_of(cell))
            if test_set in _CLASSIFIED:
                told += "" if cell.name.endswith("_teacher") else f" --teacher {beside}"
            else:
                run = self.plan.folder(cell.name) / f"{test_set}.trec"
                told += f" --out-run {run} --precision {cell.precision}"
                told += "" if cell.name == "teacher" else f" --teacher {beside / f'{test_set}.trec'}"
            out.unlink(missing_ok=True)
            self.results.mkdir(parents=True, exist_ok=True)
            self._call(told, cell)
            if test_set not in _CLASSIFIED:
                runs[test_set] = file_hash(run)
        system, seed = system_and_seed(cell.name)
        marker = self.plan.folder(cell.name) / "study.json"
        given = {"core_minutes": 0.0, "minutes": 0.0, "resumed": False}  # the teacher
        made = read_json(marker) if marker.is_file() else given
        facts: dict[str, Any] = {
            "key": self.keys[cell.name],
            "system": system,
            "seed": int(seed) if seed else None,
            "commands": [f"distilrank {command}" for command in cell.commands],
            "needs": list(cell.needs),
            "training": {kind: made[kind] for kind in given},
            "model": model_facts(model, cell.precision),
            "runs_sha256": runs,
            "versions": library_versions(),
            "threads": 1 if self.plan.scale.one_thread else usable_cores(),
        }
        write_json(self.results / f"{cell.name}{FACTS}", facts)
        self._drop_weights(cell)

    def _drop_weights(self, cell: Cell) -> None:
        """Remove what a judged cell has on disk beside its runs, but for a model that other cells read."""
        others = [other for other in self.cells.values() if other is not cell]
        read = any(cell.name in (*other.needs, other.model) for other in others)
        folder = self.plan.folder(cell.name)
        for path in [*folder.rglob("*.safetensors"), *folder.rglob("*.onnx")]:
            if not read or "run" in path.relative_to(folder).parts:  # of training: the same weights once more
                path.unlink()

    def _call(self, command: str, cell: Cell) -> dict[str, float]:
        """Run a command of distilrank in a process of its own, its output in the log of the cell."""
        log = self.plan.runs / "logs" / f"{cell.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        ours, theirs = context.Pipe(duplex=False)
        with self._processor() as processors:
            child = context.Process(target=_command, args=(shlex.split(command), log, processors, theirs))
            child.start()
            theirs.close()
            child.join()
        if child.exitcode != 0 or not ours.poll():
            raise CellError(f"{cell.name}: distilrank {command}\n  failed with exit code {child.exitcode}; see {log}")
        found: dict[str, float] = ours.recv()
        return found

    @contextmanager
    def _processor(self) -> Iterator[set[int]]:
        """Wait for processors that nothing else of the study runs on."""
        processors = self._processors.get()
        try:
            yield processors
        finally:
            self._processors.put(processors)


_CLASSIFIED = ("sst2", "mrpc", "rte", "cola", "stsb")


def _usable_processors() -> list[int]:
    """Return the numbers of the processors that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(usable_cores()))


def _teacher_of(cell: Cell) -> str:
    """Return the cell that the student imitates."""
    task = cell.name.split("_")[0]
    return f"{task}_teacher" if task in _CLASSIFIED else "teacher"


def model_facts(model: Path, precision: Literal["fp32", "int8"] = "fp32") -> dict[str, Any]:
    """Return shape (None of a BiLSTM), weights, megabytes of the file that runs, and multiply-adds by the tokens."""
    config = read_json(model / "config.json")
    weights = count_weights(model)
    exported = (model / "onnx").is_dir()
    files = [network_file(model, precision)] if exported else list(model.glob("*.safetensors"))
    counted = multiply_adds(config, COUNTED_TOKENS)
    return {
        "shape": "/".join(str(config[size]) for size in _SIZES) if config.keys() >= set(_SIZES) else None,
        "parameters": weights and weights.total,
        "embeddings": weights and weights.embeddings,
        "megabytes": megabytes(files),
        "runs": "onnx" if exported else "safetensors",
        "multiply_adds": None
        if counted is None
        else dict(zip(map(str, COUNTED_TOKENS), counted.tolist(), strict=True)),
    }


def _command(arguments: Sequence[str], log: Path, processors: set[int], result: Any) -> None:
    """Be the process of one command, on these processors alone."""
    import torch

    from distilrank.cli.app import build_app, run
    from distilrank.cli.verbs import VERBS

    if hasattr(os, "sched_setaffinity"):  # elsewhere the system places the one thread
        os.sched_setaffinity(0, processors)
    torch.set_num_threads(len(processors))

    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["distilrank", *arguments]
    print(f"$ {shlex.join(sys.argv)}", flush=True)
    began = time.perf_counter()
    code = run(build_app(VERBS))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cores_s = sum(each.ru_utime + each.ru_stime for each in used)
    result.send({"minutes": (time.perf_counter() - began) / 60, "core_minutes": cores_s / 60})
    result.close()
    sys.stdout.flush()
    os._exit(code)
