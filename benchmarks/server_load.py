"""A server at twice its capacity: what it refuses, how long it takes, and whether it ever answers wrongly.

Clients send requests at twice the rate that the server was measured to answer. Every answer is compared with the
scores of `Ranker` in this process, so answers that were mixed up or lost show. Early on the model's folder changes and
is loaded anew. Then hostile bodies are sent, which must all be refused, and at last SIGTERM comes in the middle of the
load: what the server has accepted must have been answered. Linux only.

    python benchmarks/server_load.py runs/student --clients 32 --seconds 120 --out results/benchmarks/server_load.json
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distilrank import Ranker
from distilrank.data.files import library_versions, write_json

LETTERS = "etaoinshrdlucmfwyp"
JSON = {"Content-Type": "application/json"}
CONNECTION_LOST = (ConnectionError, http.client.HTTPException, TimeoutError)


def make_model(folder: Path) -> Path:
    """Export three layers of MiniLM: the shape that a student usually has, with a head that nobody trained."""
    from distilrank.export.onnx import export_onnx
    from distilrank.models.load import load_model
    from distilrank.models.save import save_model
    from distilrank.models.students import student_from_layers

    model, tokenizer = load_model("minilm-l6", num_labels=1, offline=True)
    student = student_from_layers(model, layers=3)
    save_model(student, tokenizer, folder)
    export_onnx(student, tokenizer, folder)
    return folder


@dataclass(frozen=True)
class Question:
    """A request and the logits that it must be answered with."""

    body: bytes
    logits: list[float]


def make_questions(ranker: Ranker, count: int, passages: int, seed: int) -> list[Question]:
    """Make requests of as many passages on average, each with words of its own, of 5 to 150 words a passage."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(LETTERS, k=draw.randint(2, 9))) for _ in range(5000)]
    found = []
    for _ in range(count):
        query = " ".join(draw.choices(words, k=draw.randint(2, 8)))
        lengths = [
            min(150, max(5, int(draw.gauss(55, 30)))) for _ in range(draw.randint(passages // 2, passages * 3 // 2))
        ]
        texts = [" ".join(draw.choices(words, k=length)) for length in lengths]
        logits = ranker.score([(query, text) for text in texts]).tolist()
        found.append(Question(json.dumps({"query": query, "texts": texts, "raw_scores": True}).encode(), logits))
    return found


class Server:
    """A server in a process of its own, and what it logs."""

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [sys.executable, "-m", "distilrank", "serve", *arguments, "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.events: Counter[str] = Counter()
        self.answered: Counter[int] = Counter()
        assert self.process.stdout is not None
        first = json.loads(self.process.stdout.readline())
        host, port = first["address"].removeprefix("http://").rsplit(":", 1)
        self.address = (host, int(port))
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            self.events[event["event"]] += 1
            if event["event"] == "request" and event["method"] == "POST":
                self.answered[event["status"]] += 1

    def memory_mib(self) -> float:
        """Return the anonymous memory of the process."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
        raise SystemExit("this kernel does not report RssAnon; run the benchmark on Linux")

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(120)
        self._reading.join()
        return code


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[Server]:
    """Start a server, and see that it is gone at the end."""
    server = Server(arguments)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@dataclass
class Outcome:
    """What clients saw.

    Attributes:
        statuses: Of the answers.
        seconds: Of the accepted requests.
        wrong: Answers that are not the scorer's.
        worst: Largest difference from the scorer's logits.
        refused: Connections that were not taken.
        broken: Connections that ended without an answer.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    pairs: int = 0
    wrong: int = 0
    worst: float = 0.0
    refused: int = 0
    broken: int = 0


class Load:
    """Clients in threads that ask one question after another, each over a connection that it keeps.

    Args:
        address: Of the server.
        questions: What is asked, in an order that each client draws.
        clients: How many.
        per_second: Requests that all clients send together, if the server keeps up. None: as fast as answers come.
        tolerance: Largest difference of a logit that is the same answer.
    """

    def __init__(
        self,
        address: tuple[str, int],
        questions: Sequence[Question],
        *,
        clients: int,
        per_second: float | None,
        tolerance: float,
    ) -> None:
        self._address, self._questions, self._tolerance = address, questions, tolerance
        self._pause = 0.0 if per_second is None else clients / per_second
        self._stop = threading.Event()
        self._noting = threading.Lock()
        self.outcome = Outcome()
        self._threads = [threading.Thread(target=self._client, args=(number, clients)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, number: int, clients: int) -> None:
        draw = random.Random(number)
        connection = http.client.HTTPConnection(*self._address, timeout=120)
        due = time.perf_counter() + self._pause * number / clients
        while not self._stop.wait(max(0.0, due - time.perf_counter())):
            due = max(due + self._pause, time.perf_counter() - self._pause)
            question = draw.choice(self._questions)
            begun = time.perf_counter()
            try:
                connection.request("POST", "/rerank", question.body, JSON)
                answer = connection.getresponse()
                status, body = answer.status, answer.read()
            except ConnectionRefusedError:
                with self._noting:
                    self.outcome.refused += 1
                return
            except CONNECTION_LOST:
                with self._noting:
                    self.outcome.broken += 1
                connection.close()
                continue
            self._note(question, status, body, time.perf_counter() - begun)
        connection.close()

    def _note(self, question: Question, status: int, body: bytes, seconds: float) -> None:
        difference = 0.0
        if status == 200:
            found = {rank["index"]: rank["score"] for rank in json.loads(body)}
            if len(found) == len(question.logits):
                difference = max(abs(found[place] - logit) for place, logit in enumerate(question.logits))
            else:
                difference = float("inf")
        with self._noting:
            self.outcome.statuses[status] += 1
            if status == 200:
                self.outcome.seconds.append(seconds)
                self.outcome.pairs += len(question.logits)
                self.outcome.worst = max(self.outcome.worst, difference)
                self.outcome.wrong += difference > self._tolerance


def hostile_bodies(count: int, seed: int) -> Iterator[tuple[dict[str, str], bytes]]:
    """Yield headers and bodies that no server should take, nor fall over."""
    draw = random.Random(seed)
    good = {"query": "q", "texts": ["a", "b"]}
    whole = json.dumps(good).encode()
    kinds: list[Callable[[], bytes]] = [
        lambda: draw.randbytes(draw.randint(1, 400)),
        lambda: whole[: draw.randint(1, len(whole) - 1)],
        lambda: b"[" * draw.choice((10, 1000, 100_000)),
        lambda: b'{"query":' * draw.choice((10, 1000, 30_000)),
        lambda: json.dumps({**good, "texts": draw.choice(([], "a", None, 3, [3], [["a"]], {"0": "a"}))}).encode(),
        lambda: json.dumps({**good, "query": draw.choice((None, 1, [], {}, True))}).encode(),
        lambda: json.dumps({**good, "documents": ["a"]}).encode(),
        lambda: rb'{"query": "\ud800", "texts": ["a"]}',
        lambda: b'{"query": "q", "texts": [' + b"1" * draw.choice((10, 5000)) + b"]}",
        lambda: json.dumps(good).encode("utf-16"),
        lambda: json.dumps({**good, "texts": ["a"] * 1001}).encode(),
        lambda: json.dumps({**good, "texts": ["a" * 100_001]}).encode(),
        lambda: json.dumps({**good, "query": "q" * 10_001}).encode(),
        lambda: json.dumps({**good, "truncation_direction": "Up"}).encode(),
        lambda: json.dumps({**good, "model": "../../etc/passwd"}).encode(),
        lambda: json.dumps({**good, "truncate": False, "texts": ["word " * 5000]}).encode(),
        lambda: b'"' + b'\\"' * draw.choice((10, 100_000)),
        lambda: b"",
    ]
    for number in range(count):
        headers = dict(JSON)
        body = draw.choice(kinds)()
        if number % 50 == 0:
            headers, body = {"Content-Type": draw.choice(("text/plain", "application/xml", ""))}, whole
        elif number % 50 == 1:
            headers, body = {**JSON, "Content-Encoding": "gzip"}, whole
        elif number % 1000 == 2:
            body = b" " * (5 << 20)
        yield headers, body


def send_hostile(address: tuple[str, int], count: int, seed: int) -> Counter[int]:
    """Send them over a few connections; return the statuses, 0 where there was no answer."""
    statuses: Counter[int] = Counter()
    connection = http.client.HTTPConnection(*address, timeout=60)
    for headers, body in hostile_bodies(count, seed):
        try:
            connection.request("POST", "/rerank", body, headers)
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
        except CONNECTION_LOST:
            statuses[0] += 1
            connection.close()
    connection.close()
    return statuses


def under_load(server: Server, load: Load, seconds: float, change: Callable[[], None]) -> list[float]:
    """Keep the load up and return the server's memory, looked at five times a second; early on comes the change."""
    memory: list[float] = []
    changed = False
    begun = time.perf_counter()
    with load:
        while (passed := time.perf_counter() - begun) < seconds:
            time.sleep(0.2)
            memory.append(server.memory_mib())
            if not changed and passed > seconds / 6:
                change()
                changed = True
    return memory


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile of measured values."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run all of it."""
    ranker = Ranker.load(folder, threads=options.threads)
    print(f"scoring {options.questions} requests of about {options.passages} passages here", flush=True)
    questions = make_questions(ranker, options.questions, options.passages, options.seed)
    settings = {"queue_seconds": options.queue_seconds, "timeout_seconds": 60, "drain_seconds": 1}
    arguments = [argument for name, value in settings.items() for argument in ("--set", f"{name}={value}")]
    if options.threads is not None:
        arguments += ["--threads", str(options.threads)]

    def change() -> None:
        path = folder / "onnx" / "model.onnx"
        path.touch()
        server.process.send_signal(signal.SIGHUP)

    with running([str(folder), *arguments]) as server:
        shared = {"tolerance": options.tolerance}
        calm = Load(server.address, questions, clients=4, per_second=None, **shared)
        under_load(server, calm, options.calm_seconds, lambda: None)
        capacity = calm.outcome.statuses[200] / options.calm_seconds
        print(
            f"capacity: {capacity:.2f} requests/s, {calm.outcome.pairs / options.calm_seconds:.0f} pairs/s", flush=True
        )

        load = Load(server.address, questions, clients=options.clients, per_second=2 * capacity, **shared)
        memory = under_load(server, load, options.seconds, change)
        outcome = load.outcome
        print(f"under load: {dict(outcome.statuses)}", flush=True)

        hostile = send_hostile(server.address, options.hostile, options.seed)
        after_hostile = server.memory_mib()
        print(f"hostile bodies: {dict(hostile)}", flush=True)

        last = Load(server.address, questions, clients=options.clients, per_second=2 * capacity, **shared)
        before = server.answered[200]
        with last:
            time.sleep(options.term_seconds)
            server.process.send_signal(signal.SIGTERM)
            code = server.end()
        said = server.answered[200] - before
    third = len(memory) // 3
    numbers = {
        "capacity_requests_per_second": capacity,
        "capacity_pairs_per_second": calm.outcome.pairs / options.calm_seconds,
        "calm_p50_ms": 1000 * percentile(calm.outcome.seconds, 0.5),
        "offered_requests_per_second": sum(outcome.statuses.values()) / options.seconds,
        "accepted_requests_per_second": outcome.statuses[200] / options.seconds,
        "accepted_pairs_per_second": outcome.pairs / options.seconds,
        "accepted_p50_ms": 1000 * percentile(outcome.seconds, 0.5),
        "accepted_p95_ms": 1000 * percentile(outcome.seconds, 0.95),
        "accepted_p99_ms": 1000 * percentile(outcome.seconds, 0.99),
        "largest_difference_of_a_logit": max(outcome.worst, calm.outcome.worst, last.outcome.worst),
        "memory_mib_second_third": statistics.median(memory[third : 2 * third] or memory),
        "memory_mib_last_third": statistics.median(memory[2 * third :] or memory),
        "memory_mib_after_hostile": after_hostile,
    }
    grown = numbers["memory_mib_last_third"] - numbers["memory_mib_second_third"]
    problems = {
        "answers that are not the scorer's": outcome.wrong + calm.outcome.wrong + last.outcome.wrong,
        "errors other than 429": sum(count for status, count in outcome.statuses.items() if status not in (200, 429)),
        "connections lost under load": outcome.broken + outcome.refused,
        "nothing was refused, so this was no overload": int(outcome.statuses[429] == 0),
        "reloads that did not happen": int(server.events["reloaded"] != 1),
        "hostile bodies that got no 4xx": sum(n for status, n in hostile.items() if not 400 <= status < 500),
        "p99 beyond the queue's limit and a half": int(
            numbers["accepted_p99_ms"] > 1500 * options.queue_seconds + 1000
        ),
        "memory that grew by more than a tenth": int(grown > 0.1 * numbers["memory_mib_second_third"]),
        "accepted before SIGTERM and not answered": said - last.outcome.statuses[200],
        "connections lost after SIGTERM": last.outcome.broken,
        "exit code": code,
    }
    counted = {
        "statuses": {str(status): count for status, count in sorted(outcome.statuses.items())},
        "hostile_statuses": {str(status): count for status, count in sorted(hostile.items())},
        "statuses_around_sigterm": {str(status): count for status, count in sorted(last.outcome.statuses.items())},
    }
    return {
        "numbers": {name: round(value, 6) for name, value in numbers.items()},
        "counts": counted,
        "problems": problems,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path, nargs="?", help="a folder; default: three layers of MiniLM, made here")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=120.0, help="of overload")
    parser.add_argument("--calm-seconds", type=float, default=15.0, help="of four clients, to measure the capacity")
    parser.add_argument("--term-seconds", type=float, default=5.0, help="of overload before SIGTERM")
    parser.add_argument("--passages", type=int, default=50, help="of a request on average")
    parser.add_argument("--questions", type=int, default=64, help="different requests")
    parser.add_argument("--hostile", type=int, default=10_000, help="malformed bodies")
    parser.add_argument("--queue-seconds", type=float, default=3.0, help="the server's setting")
    parser.add_argument("--threads", type=int, help="of the server's model; default: one per core")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of a logit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        if options.model is None:
            make_model(folder)
        else:
            shutil.copytree(options.model, folder)  # it is touched
        measured = measure(options, folder)
    for name, value in measured["numbers"].items():
        print(f"{name:>40} {value:,.3f}")
    for name, value in measured["problems"].items():
        print(f"{name:>50} {value}")
    if options.out is not None:
        write_json(
            options.out,
            {
                "benchmark": "server_load",
                "command": shlex.join(["python", "benchmarks/server_load.py", *sys.argv[1:]]),
                "seed": options.seed,
                "versions": library_versions(),
                "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
                **measured,
            },
        )
    return int(any(measured["problems"].values()))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        raise SystemExit(main())
