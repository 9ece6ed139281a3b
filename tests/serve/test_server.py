from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.errors import InputError, ModelError
from distilrank.models.save import save_model
from distilrank.runtime.ranker import Ranker
from distilrank.serve.server import run_server
from tests.tiny import tiny_export, tiny_model, tiny_pairs, tiny_tokenizer

WITHOUT_TORCH = textwrap.dedent(
    """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {"torch", "transformers", "safetensors", "huggingface_hub"}:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Blocker())
    from distilrank.cli import main

    main()
    """
)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "student"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    tiny_export(folder)
    return folder


class Running:
    """A server in a process of its own, where torch cannot be imported."""

    def __init__(self, process: subprocess.Popen[str], address: tuple[str, int], log: list[dict[str, Any]]) -> None:
        self.process = process
        self.address = address
        self.log = log

    def post(self, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read())
        connection.close()
        return found

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        for _ in range(6000):
            found = [line for line in self.log if line["event"] == event]
            if len(found) >= count:
                return found[-1]
            time.sleep(0.01)
        raise AssertionError(f"no {event} in {self.log}")


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    command = [sys.executable, "-c", WITHOUT_TORCH, "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout is not None
    first = process.stdout.readline()
    log: list[dict[str, Any]] = []
    log.append(json.loads(first))

    def read(lines: Any) -> None:
        log.extend(map(json.loads, lines))

    reading = threading.Thread(target=read, args=(process.stdout,))
    reading.start()
    host, port = log[0]["address"].removeprefix("http://").split(":")
    try:
        yield Running(process, (host, int(port)), log)
    finally:
        process.kill()
        process.wait()
        reading.join()
        process.stdout.close()


def test_it_serves_without_torch_what_the_scorer_says_and_changes_models_under_way(
    student: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "student"
    shutil.copytree(student, folder)
    pairs = [("red dog", passage) for _, passage in tiny_pairs(40)]
    expected = Ranker.load(folder, threads=1).score(pairs)
    body = {"query": "red dog", "texts": [passage for _, passage in pairs], "raw_scores": True}
    with running(str(folder), f"second={folder}", "--threads", "1", "--set", "drain_seconds=0") as server:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: server.post("/rerank", body), range(12)))
        for status, _, ranks in answers:
            assert status == 200
            scores = np.empty(len(pairs), np.float32)
            for rank in ranks:
                scores[rank["index"]] = rank["score"]
            np.testing.assert_allclose(scores, expected, atol=1e-5)
        assert server.post("/rerank", {**body, "model": "third"})[0] == 404

        config = folder / "tokenizer_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": 8}))
        server.process.send_signal(signal.SIGHUP)
        assert server.wait_for("reloaded")["folder"] == str(folder)
        changed = server.post("/rerank", body)[2]
        assert {rank["index"]: rank["score"] for rank in changed} != {
            rank["index"]: rank["score"] for rank in answers[0][2]
        }
        (folder / "onnx" / "model.onnx").write_bytes(b"broken")
        server.process.send_signal(signal.SIGHUP)
        assert "cannot be loaded" in server.wait_for("reload_failed")["problem"]
        assert server.post("/rerank", body)[2] == changed
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        server.wait_for("stopped")
    assert [line["level"] for line in server.log] == ["error" if "failed" in x["event"] else "info" for x in server.log]


def test_sigterm_loses_nothing_that_was_accepted(student: Path) -> None:
    options = ["batch_wait_ms=1500", "batch_pairs=100000", "queue_pairs=100000", "drain_seconds=1.2"]
    arguments = [argument for option in options for argument in ("--set", option)]
    body = {"query": "red dog", "documents": ["blue", "red dog", "cat"]}
    with running(str(student), "--threads", "1", *arguments) as server, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(server.post, "/v2/rerank", body) for _ in range(6)]
        time.sleep(0.5)  # they are in the queue, which waits for more
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.6)
        late = pool.submit(server.post, "/v2/rerank", body)  # still taken, while /ready says no
        answers = [future.result(60) for future in [*asked, late]]
        assert [status for status, _, _ in answers] == [200] * 7
        assert {headers["connection"] for _, headers, _ in answers} == {"close"}
        assert server.process.wait(30) == 0
        assert [line["event"] for line in server.log] == ["serving"] + ["request"] * 7 + ["stopped"]
        with pytest.raises(ConnectionRefusedError):
            server.post("/v2/rerank", body)


def test_a_changed_folder_is_found_without_a_signal(student: Path, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    shutil.copytree(student, folder)
    with running(str(folder), "--watch", "0.05") as server:
        config = folder / "tokenizer_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": 8}))
        server.wait_for("reloaded")


def test_what_cannot_be_started_says_why(student: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model folder"):
        run_server({"x": tmp_path / "nothing"}, port=0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"cannot listen on 127.0.0.1, port {port} \(Address already in use\)"):
            run_server({"x": student}, port=port)
    with pytest.raises(InputError, match=r"cannot listen on no\.such\.host"):
        run_server({"x": student}, host="no.such.host")
    with pytest.raises(InputError, match="port 99999 is none"):
        run_server({"x": student}, port=99_999)
