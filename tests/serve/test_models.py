from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.errors import InputError, ModelError
from distilrank.models.save import save_model
from distilrank.runtime.calibration import Isotonic
from distilrank.runtime.classifier import Classifier
from distilrank.runtime.ranker import Ranker
from distilrank.serve.models import Models, ServedModel, fingerprint, load_served, read_names
from distilrank.serve.refusals import Refusal
from tests.serve.serving import FakeRanker, served, serving
from tests.tiny import tiny_export, tiny_model, tiny_tokenizer

BODY = {"query": "what", "texts": ["one two", "one"], "raw_scores": True}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "student"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    tiny_export(folder)
    return folder


def test_a_folder_is_loaded_and_warmed_up(student: Path) -> None:
    model = load_served(student, threads=1)
    assert isinstance(model.scorer, Ranker)
    assert (model.classifier, model.max_tokens, model.file.name) == (None, 48, "model.onnx")
    pairs = [("red", "blue sea"), ("red dog", "a " * 100)]
    assert model.count_tokens(pairs) == [6, 48]
    assert model.count_tokens(pairs, truncated=False) == [6, 105]
    assert model.count_tokens([("red", None), ("red", "blue")]) == [3, 5]
    assert model.shorten(["Red, blue!", "red"], 2) == ["Red,", "red"]


def test_a_model_that_answers_no_numbers_is_not_served(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranker, "score", lambda self, pairs: np.full(len(pairs), np.nan, np.float32))
    with pytest.raises(ModelError, match="not a number"):
        load_served(student)


def test_folders_that_cannot_be_served_say_why(student: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        load_served(tmp_path / "nothing")
    bare = tmp_path / "bare"
    shutil.copytree(student, bare, ignore=shutil.ignore_patterns("onnx"))
    with pytest.raises(ModelError, match="distilrank export"):
        load_served(bare)


def test_a_fingerprint_changes_with_any_file(student: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(student, folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    known = fingerprint(folder)
    assert known == fingerprint(folder) == fingerprint(link)
    path = folder / "onnx" / "model.onnx"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    changed = fingerprint(folder)
    assert changed != known
    (folder / "tokenizer_config.json").write_text("{}")
    assert fingerprint(folder) not in (known, changed)
    other = tmp_path / "other"
    shutil.copytree(student, other)
    before = fingerprint(link)
    link.unlink()
    link.symlink_to(other)
    assert fingerprint(link) != before
    shutil.rmtree(other)
    assert fingerprint(link) == ()


class Folders:
    """Folders on disk, and what loading one gives next."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.loaded: list[str] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.next: Callable[[], FakeRanker] = FakeRanker

    def write(self, name: str, content: str) -> Path:
        (self.root / name / "onnx").mkdir(parents=True, exist_ok=True)
        (self.root / name / "onnx" / "model.onnx").write_text(content)
        return self.root / name

    def load(self, folder: Path) -> ServedModel:
        self.loaded.append(folder.name)
        return served(self.next(), folder)

    def tell(self, event: str, **facts: Any) -> None:
        self.told.append((event, facts))


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_names_of_one_folder_share_one_model(folders: Folders) -> None:
    a, b = folders.write("a", "1"), folders.write("b", "1")
    models = Models({"first": a, "second": b, "third": a}, load=folders.load)
    assert folders.loaded == ["a", "b"]
    assert models.names == ["first", "second", "third"]
    assert models.find(None)[0] == models.find("")[0] == "first"
    assert models.find("third")[1] is models.find("first")[1] is not models.find("second")[1]
    with pytest.raises(Refusal) as refused:
        models.find("fourth")
    assert refused.value.status == 404


def test_a_folder_is_loaded_anew_when_it_has_changed_and_settled(folders: Folders) -> None:
    a, b = folders.write("a", "1"), folders.write("b", "1")
    models = Models({"a": a, "b": b}, load=folders.load, tell=folders.tell)
    before = models.find("a")[1]
    models.refresh()
    models.refresh(at_once=True)
    assert folders.loaded == ["a", "b"]
    folders.write("a", "22")
    models.refresh()  # somebody may still be writing
    assert models.find("a")[1] is before
    folders.write("a", "333")
    models.refresh()
    assert models.find("a")[1] is before
    models.refresh()
    assert models.find("a")[1] is not before
    assert folders.loaded == ["a", "b", "a"]
    models.refresh()
    assert folders.loaded == ["a", "b", "a"]
    assert [(event, facts["folder"]) for event, facts in folders.told] == [("reloaded", str(a))]
    folders.write("b", "4444")
    models.refresh(at_once=True)
    assert folders.loaded == ["a", "b", "a", "b"]


def test_a_folder_that_cannot_be_loaded_changes_nothing(folders: Folders) -> None:
    a = folders.write("a", "1")
    models = Models({"a": a}, load=folders.load, tell=folders.tell)
    before = models.find("a")[1]

    def broken() -> FakeRanker:
        raise ModelError("it is broken")

    folders.next = broken
    folders.write("a", "22")
    for _ in range(4):
        models.refresh()
    assert models.find("a")[1] is before
    assert len(folders.loaded) == 2  # tried once
    ((event, facts),) = folders.told
    assert (event, facts["level"], facts["problem"]) == ("reload_failed", "error", "it is broken")
    folders.next = FakeRanker
    folders.write("a", "333")
    models.refresh(at_once=True)
    assert models.find("a")[1] is not before
    shutil.rmtree(a)
    folders.next = broken
    for _ in range(3):
        models.refresh()
    assert models.find("a")[1].folder == a


def test_a_request_keeps_the_model_that_it_began_with(folders: Folders) -> None:
    a = folders.write("a", "1")
    old, new = FakeRanker(), FakeRanker(factor=-1.0)
    rankers = iter([old, new])
    folders.next = lambda: next(rankers)
    with serving({str(a): old}, load=folders.load, batch_pairs=1) as server, ThreadPoolExecutor(1) as pool:
        old.may_score.clear()
        under_way = pool.submit(server.post, "/rerank", BODY)
        assert old.entered.wait(30)
        folders.write("a", "22")
        server.service.models.refresh(at_once=True)
        waiting = pool.submit(server.post, "/rerank", BODY)
        old.may_score.set()
        assert {rank["score"] for rank in under_way.result(30).json()} == {-8.0, -9.0}
        assert {rank["score"] for rank in waiting.result(30).json()} == {8.0, 9.0}
    assert len(old.batches) == 2
    assert len(new.batches) == 2


def test_names_on_the_command_line(tmp_path: Path) -> None:
    assert read_names(["runs/student", "rerank-v3.5=runs/student", "x=runs/a=b"]) == {
        "student": Path("runs/student"),
        "rerank-v3.5": Path("runs/student"),
        "x": Path("runs/a=b"),
    }
    assert read_names(["."]) == {Path().resolve().name: Path()}
    for wrong, said in (
        ([], "at least one"),
        (["a/b", "c/b"], "two models are called 'b'"),
        (["=runs/a"], "not NAME=FOLDER"),
        (["name="], "not NAME=FOLDER"),
    ):
        with pytest.raises(InputError, match=said):
            read_names(wrong)


def test_classifiers_are_told_by_their_configuration(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(Classifier, "load", lambda folder, **_: opened.append(folder) or FakeRanker())
    for changes, kind in (
        ({"id2label": {"0": "a", "1": "b"}}, "classifier"),
        ({"id2label": {"0": "a"}, "problem_type": "regression"}, "classifier"),
        ({"id2label": {"0": "a"}, "problem_type": None}, "ranker"),
    ):
        opened.clear()
        folder = student.parent / "told"
        shutil.copytree(student, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        load_served(folder)
        assert bool(opened) == (kind == "classifier")
        shutil.rmtree(folder)


def test_calibrated_scores_are_answered_in_the_order_of_the_logits() -> None:
    """Of -8 and -9 the curve makes one probability; raw scores stay logits."""
    curve = Isotonic(logits=(-8.0, -7.0), values=(0.25, 0.75))

    def load(folder: Path) -> ServedModel:
        return replace(served(FakeRanker(), folder), calibration=curve)

    with serving(load=load) as server:
        body = {"query": "what", "texts": ["one", "one two", "one two three"]}
        answer = server.post("/rerank", body).json()
        assert [(one["index"], one["score"]) for one in answer] == [(2, 0.75), (1, 0.25), (0, 0.25)]
        raw = server.post("/rerank", {**body, "raw_scores": True}).json()
        assert [(one["index"], one["score"]) for one in raw] == [(2, -7.0), (1, -8.0), (0, -9.0)]
        assert server.client.get("/info").json()["calibration"] == "isotonic"
