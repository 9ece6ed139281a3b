"""``teach``, ``fine-tune`` and ``distil`` from the command line to a folder that loads, on tiny data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from distilrank.data.groups import GroupFile
from distilrank.data.trec import read_run
from distilrank.models.load import load_model, stored_label_names
from distilrank.models.scorer import TorchScorer
from distilrank.records import Example
from distilrank.runtime.ranker import Ranker
from distilrank.training.journal import read_events, read_steps
from distilrank.workflows import distil as distil_workflow
from distilrank.workflows import filtered_positives
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker, without_export
from tests.tiny import tiny_pairs

SHORT = ("--max-tokens", 32, "--batch-size", 8, "--learning-rate", "3e-3", "--set", "trackers=[]")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_ranker(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def teacher(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ranker fine-tuned from the command line."""
    out = tmp_path_factory.mktemp("models") / "teacher"
    told = ("fine-tune", "--data", data, "--model", base, "--out", out, "--steps", 30, "--evaluate-every", 15, *SHORT)
    assert distilrank(*told) == 0
    return out


def examples_given(patch: pytest.MonkeyPatch, name: str) -> list[Example]:
    """The examples that a procedure will have been trained on."""
    given: list[Example] = []
    procedure = distil_workflow.PROCEDURES[name]

    def distil(student: Any, teacher: Any, tokenizer: Any, examples: Any, **options: Any) -> Any:
        given.extend(examples)
        return procedure.distil(student, teacher, tokenizer, examples, **options)

    patch.setitem(distil_workflow.PROCEDURES, name, replace(procedure, distil=distil))
    return given


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    with safe_open(folder / "model.safetensors", "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)


def require_equal_scores(folder: Path) -> None:
    """The exported ranker and the torch network give one score to every pair."""
    pairs = tiny_pairs(12)
    scores = Ranker.load(folder).score(pairs)
    np.testing.assert_allclose(scores, TorchScorer(*load_model(folder)).score(pairs), atol=1e-4)
    assert np.ptp(scores) > 0.01


def test_a_fine_tuned_ranker(teacher: Path, data: Path, base: Path) -> None:
    require_equal_scores(teacher)
    assert load_model(teacher)[1].max_tokens == 32
    assert len(read_steps(teacher / "run" / "journal.jsonl")) == 30
    evaluations = read_events(teacher / "run" / "journal.jsonl", "evaluate")
    assert [event["step"] for event in evaluations] == [15, 30]
    assert list(evaluations[0]["measures"]) == ["nDCG@10", "RR@10"]
    manifest = manifest_of(teacher)
    assert manifest["verb"] == "fine-tune"
    assert manifest["started_from"] == str(base)
    assert manifest["inputs"]["groups"]["path"] == (data / "groups" / "train.jsonl").as_posix()
    assert manifest["settings"]["settings"]["training"]["max_steps"] == 30
    assert "fine-tuning (info_nce)" in (teacher / "README.md").read_text(encoding="utf-8")
    # InfoNCE leaves the scale open. Calibrated, the mean probability, with both kinds weighing the same, is that of
    # Platt's targets: the condition for the least cross entropy.
    ranker, groups = Ranker.load(teacher), GroupFile(data / "groups" / "train.jsonl")
    scores = ranker.score([(group.query, passage) for group in groups for passage in group.passages])
    relevance = np.array([value for group in groups for value in group.relevance])
    relevant, others = (1 / (1 + np.exp(-scores[chosen])) for chosen in (relevance > 0, relevance == 0))
    targets = (len(relevant) + 1) / (len(relevant) + 2) + 1 / (len(others) + 2)
    assert relevant.mean() + others.mean() == pytest.approx(targets, abs=1e-4)
    assert relevant.mean() > others.mean() + 0.01


@pytest.mark.parametrize("procedure", ["simplified_tinybert", "bert_rankers", "standard"])
def test_a_distilled_ranker(
    procedure: str, teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "student"
    told = ("distil", "--procedure", procedure, "--teacher", teacher, "--data", data, "--layers", 2, "--out", out)
    assert distilrank(*told, "--steps", 10, "--triples", 40, *SHORT) == 0
    require_equal_scores(out)
    shown = capsys.readouterr().out
    assert f"{out}: " in shown
    assert "parameters after 10 steps; best at step 10 (" in shown
    weights = weights_of(out)
    assert not any("projection" in name for name in weights)
    assert sum(value.size for value in weights.values()) == manifest_of(out)["parameters"]
    model, _ = load_model(out)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert len(model.bert.encoder.layer) == 2
    steps = read_steps(out / "run" / "journal.jsonl")
    layers = {"embedding", "hidden", "attention"}
    terms = {"standard": {"soft", "hard"}, "bert_rankers": {*layers, "soft"}}
    terms["simplified_tinybert"] = {*layers, "soft", "hard"}
    assert set(steps[0]["terms"]) == terms[procedure]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "- **Teacher**: teacher" in card
    assert "80 examples from prepared" in card


def test_a_teacher_with_two_logits_is_folded(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_export(monkeypatch)
    two, ranker = saved_ranker(tmp_path / "two", num_labels=2), tmp_path / "ranker"
    logits = TorchScorer(*load_model(two)).logits(*zip(*tiny_pairs(12), strict=True))
    # One step with next to no effect leaves the scores of the folded head.
    short = ("--max-tokens", 32, "--steps", 1, "--learning-rate", "1e-12", "--set", "trackers=[]")
    kept = ("--set", "calibration_groups=0")
    assert distilrank("fine-tune", "--data", data, "--model", two, "--out", ranker, *short, *kept) == 0
    tuned = load_model(ranker)[0]
    scores = TorchScorer(tuned, load_model(two)[1]).score(tiny_pairs(12))
    np.testing.assert_allclose(scores, logits[:, 1] - logits[:, 0], atol=1e-5)
    seen = examples_given(monkeypatch, "bert_rankers")
    told = ("distil", "--procedure", "bert_rankers", "--teacher", two, "--data", data, "--layers", 4)
    assert distilrank(*told, "--out", tmp_path / "student", "--triples", 4, *short) == 0
    assert len(seen) == 8
    student = load_model(tmp_path / "student")[0]
    np.testing.assert_allclose(TorchScorer(student, load_model(two)[1]).score(tiny_pairs(12)), scores, atol=1e-5)


def test_the_same_command_returns_at_once_and_another_is_refused(
    teacher: Path,
    data: Path,
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    without_export(monkeypatch)
    student = ("distil", "--teacher", teacher, "--data", data, "--layers", 2, "--out", tmp_path / "student", *SHORT)
    ranker = ("fine-tune", "--data", data, "--model", base, "--out", tmp_path / "ranker", "--objective", "bce", *SHORT)
    for told in (student, ranker):
        out = told[told.index("--out") + 1]
        assert distilrank(*told, "--steps", 2) == 0
        first = capsys.readouterr().out
        before = sorted(files_of(Path(str(out))))
        with monkeypatch.context() as patch:
            for name in ("simplified_tinybert", "fine_tune"):
                patch.delattr(f"distilrank.procedures.{name}.train")  # training again would not work
            assert distilrank(*told, "--steps", 2) == 0
            assert capsys.readouterr().out == first
            # Another way to save or to log is no other command.
            assert distilrank(*told, "--steps", 2, "--set", "checkpoint_every=7") == 0
            for change in (["--steps", 3], ["--steps", 2, "--seed", 7], ["--steps", 2, "--dev-depth", 3]):
                assert distilrank(*told, *change) == 2
            errors = capsys.readouterr().err.splitlines()
            assert [error.split(";")[-1] for error in errors] == [" give --out another folder"] * 3
            assert "max_steps was 2 and is 3 now" in errors[0]
        assert sorted(files_of(Path(str(out)))) == before
    # What another verb made is not touched either.
    assert distilrank(*ranker[: -len(SHORT)], *SHORT, "--steps", 2, "--out", tmp_path / "student") == 2
    assert "was made by distilrank distil, not fine-tune" in capsys.readouterr().err


def test_a_stopped_distillation_goes_on_to_the_same_weights(
    teacher: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_export(monkeypatch)
    told = ("distil", "--teacher", teacher, "--data", data, "--shape", "1/8/16/4", "--triples", 20, *SHORT)
    told = (*told, "--steps", 8, "--evaluate-every", 2, "--filter-positives", 0.4)
    assert distilrank(*told, "--out", tmp_path / "whole") == 0
    calls = []
    score = TorchScorer.score

    def stop(self: TorchScorer, pairs: Any) -> Any:
        calls.append(len(pairs))
        if len(calls) == 4:  # the filter, then the evaluations at steps 2, 4 and 6
            raise KeyboardInterrupt
        return score(self, pairs)

    with monkeypatch.context() as patch:
        patch.setattr(TorchScorer, "score", stop)
        assert distilrank(*told, "--out", tmp_path / "stopped") == 130
    assert not (tmp_path / "stopped" / "config.json").exists()
    with monkeypatch.context() as patch:
        patch.delattr(filtered_positives, "filter_positives")  # filtering again would not work
        assert distilrank(*told, "--out", tmp_path / "stopped") == 0
    whole, stopped = (weights_of(tmp_path / name) for name in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, stopped[name])
    assert [e["step"] for e in read_events(tmp_path / "stopped" / "run" / "journal.jsonl", "resume")] == [4]


def test_positives_of_documents_are_filtered_by_the_teacher(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_export(monkeypatch)
    given = examples_given(monkeypatch, "simplified_tinybert")
    cut = prepared_ranking(tmp_path / "cut", cut=True)
    out = tmp_path / "student"
    told = ("distil", "--teacher", teacher, "--data", cut, "--layers", 1, "--steps", 2, "--out", out, *SHORT)
    assert distilrank(*told, "--filter-positives", 0.5) == 0
    before, after = GroupFile(cut / "groups" / "train.jsonl"), GroupFile(out / "run" / "filtered.jsonl")
    record = json.loads((out / "run" / "filtered.json").read_text(encoding="utf-8"))
    scorer = TorchScorer(*load_model(teacher))
    assert len(after) == len(before) == record["groups"]
    kept = 0
    for old, new in zip(before, after, strict=True):
        # One document a query, cut into three passages: those from even odds stay, or else the best.
        positives = [i for i, relevance in enumerate(old.relevance) if relevance > 0]
        scores = scorer.score([(old.query, old.passages[i]) for i in positives])
        chosen = scores >= 0 if (scores >= 0).any() else scores == scores.max()
        expected = [old.doc_ids[i] for i, stays in zip(positives, chosen, strict=True) if stays]
        assert [i for i, relevance in zip(new.doc_ids, new.relevance, strict=True) if relevance > 0] == expected
        assert [d for d, r in zip(new.doc_ids, new.relevance, strict=True) if r == 0] == [
            d for d, r in zip(old.doc_ids, old.relevance, strict=True) if r == 0
        ]
        kept += len(expected)
    assert record["positives"] == kept < record["positives_before"] == 3 * len(before)
    positives = {(g.query, p) for g in after for p, relevance in zip(g.passages, g.relevance, strict=True) if relevance}
    assert {(e.text, e.text_pair) for e in given if e.label} <= positives
    assert len(given) == 4 * len(before)
    capsys.readouterr()
    assert distilrank(*told, "--filter-positives", 0.6) == 2
    assert "filter_positives was 0.5 and is 0.6 now" in capsys.readouterr().err
    (out / "manifest.json").unlink()
    assert distilrank(*told, "--filter-positives", 0.6) == 2
    assert "holds positives that another command filtered: threshold was 0.5" in capsys.readouterr().err


def test_the_students_in_all_four_ways(
    teacher: Path, base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_export(monkeypatch)
    ways: dict[str, tuple[object, ...]] = {
        "shape": ("--shape", "2/8/24/4"),
        "layers": ("--layers", 2, "--copy", "last"),
        "copied": ("--copy-layers", "4,1"),
        "start": ("--student", base, "--set", "mapping=bottom"),
    }
    for name, way in ways.items():
        told = ("distil", "--teacher", teacher, "--data", data, "--out", tmp_path / name, "--steps", 1, *way, *SHORT)
        assert distilrank(*told, "--learning-rate", "1e-9") == 0
    weights = {name: weights_of(tmp_path / name) for name in ways} | {
        "teacher": weights_of(teacher),
        "base": weights_of(base),
    }
    assert load_model(tmp_path / "shape")[0].config.intermediate_size == 24

    def query(name: str, layer: int) -> np.ndarray:
        return weights[name][f"bert.encoder.layer.{layer - 1}.attention.self.query.weight"]

    for student, ours, source, theirs in (
        ("layers", 1, "teacher", 3), ("layers", 2, "teacher", 4),
        ("copied", 1, "teacher", 4), ("copied", 2, "teacher", 1),
        ("start", 1, "base", 1), ("start", 4, "base", 4),
    ):  # fmt: skip
        np.testing.assert_allclose(query(student, ours), query(source, theirs), atol=1e-6)
    assert query("shape", 1).shape == (8, 8)


def test_teach_and_learn_from_the_scores(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_export(monkeypatch)
    scored = tmp_path / "scored.jsonl"
    told = ("teach", "--data", data, "--bi-encoder", base, "--out", scored, "--max-tokens", 32)
    assert distilrank(*told, "--first-stage-weight", 0.5, "--limit", 10) == 0
    assert capsys.readouterr().out == f"{scored}: 10 scored groups\n"
    assert distilrank(*told, "--first-stage-weight", 0, "--out", tmp_path / "alone.jsonl") == 0
    groups, alone = GroupFile(scored), GroupFile(tmp_path / "alone.jsonl")
    source, run = GroupFile(data / "groups" / "train.jsonl"), read_run(data / "runs" / "train.trec.gz")
    assert (len(groups), len(alone)) == (10, len(source))
    for with_run, without, group in zip(groups, alone, source, strict=False):
        assert (with_run.passages, with_run.doc_ids) == (group.passages, group.doc_ids)
        own = np.array(without.scores)
        assert np.abs(own).max() <= 20.0  # a scaled cosine
        found = run[group.query_id]
        first = np.array([found.get(doc_id, min(found.values())) for doc_id in group.doc_ids])
        expected = own + 0.5 * own.std() * (first - first.mean()) / (first.std() or 1.0)
        np.testing.assert_allclose(with_run.scores, expected, atol=1e-3)
    told = ("fine-tune", "--data", data, "--groups", scored, "--model", base, "--out", tmp_path / "ranker", *SHORT)
    told = (*told, "--head", "cosine", "--objective", "listwise", "--set", "gains=scores", "--steps", 3)
    assert distilrank(*told) == 0
    assert type(load_model(tmp_path / "ranker")[0]).__name__ == "BertForCosineRanking"
    assert list(read_steps(tmp_path / "ranker" / "run" / "journal.jsonl")[0]["terms"]) == ["listwise"]
    capsys.readouterr()
    # The same weights under another head are another command.
    assert distilrank(*(part if part != "cosine" else "classic" for part in told)) == 2
    assert "network was 'BertForCosineRanking'" in capsys.readouterr().err


CLASSIFIERS = {
    "classes": ("single_label_classification", ["bad", "fair", "good"], "cross_entropy", "accuracy"),
    "multi_label": ("multi_label_classification", ["loud", "new"], "binary_cross_entropy", "accuracy"),
    "regression": ("regression", ["LABEL_0"], "squared_error", "Pearson"),
}


def labelled_file(path: Path, kind: str, *, count: int = 24) -> Path:
    labels: dict[str, list[Any]] = {
        "classes": ["good", "bad", "fair"],
        "multi_label": [["new"], [], ["new", "loud"]],
        "regression": [0.5, 3.25, -1.0],
    }
    words = ["red dog", "blue sea", "old city"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            record = {"text": f"{words[i % 3]} {i}", "text_pair": words[(i + 1) % 3], "label": labels[kind][i % 3]}
            file.write(json.dumps(record) + "\n")
    return path


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "one file"])
def test_classifiers(kind: str, prepared: bool, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_export(monkeypatch)
    problem, names, term, measure = CLASSIFIERS[kind]
    data = labelled_file(tmp_path / "raw" / "train.jsonl", kind)
    if prepared:
        assert distilrank("prepare", "--data", data.parent, "--out", tmp_path / "data", "--dev-share", 0.25) == 0
        data = tmp_path / "data"
    teacher = tmp_path / "teacher"
    told = ("--data", data, "--steps", 4, *SHORT)
    assert distilrank("fine-tune", "--model", base, "--out", teacher, *told) == 0
    assert list(read_steps(teacher / "run" / "journal.jsonl")[0]["terms"]) == [term]
    folders = [teacher]
    for procedure in ("simplified_tinybert", "standard"):
        out = tmp_path / procedure
        assert (
            distilrank("distil", "--procedure", procedure, "--teacher", teacher, "--layers", 2, "--out", out, *told)
            == 0
        )
        assert {"soft", "hard"} <= set(read_steps(out / "run" / "journal.jsonl")[0]["terms"])
        folders.append(out)
    for folder in folders:
        model, tokenizer = load_model(folder)
        assert model.config.problem_type == problem
        assert stored_label_names(model.config) == names
        assert TorchScorer(model, tokenizer).logits(["red dog"], ["old city"]).shape == (1, len(names))
        evaluations = read_events(folder / "run" / "journal.jsonl", "evaluate")
        assert [next(iter(event["measures"])) for event in evaluations] == ([measure] if prepared else [])
        assert "pipeline_tag: text-classification" in (folder / "README.md").read_text(encoding="utf-8")


def test_other_data_of_the_same_size_is_another_command(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_export(monkeypatch)
    data = labelled_file(tmp_path / "train.jsonl", "classes")
    told = ("fine-tune", "--model", base, "--data", data, "--out", tmp_path / "out", "--steps", 1, *SHORT)
    assert distilrank(*told) == 0
    data.write_text(data.read_text(encoding="utf-8").replace("red dog 3", "red cat 3"), encoding="utf-8")
    assert distilrank(*told) == 2
    assert "data was " in capsys.readouterr().err


def test_the_teachers_order_of_labels_decides(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The file alone would give the order bad, fair, good; the teacher has another, and one label more.
    without_export(monkeypatch)
    data = labelled_file(tmp_path / "train.jsonl", "classes")
    teacher = saved_ranker(tmp_path / "teacher", layers=2, num_labels=4)
    config = json.loads((teacher / "config.json").read_text(encoding="utf-8"))
    config["id2label"] = {"0": "good", "1": "best", "2": "bad", "3": "fair"}
    config["label2id"] = {name: int(place) for place, name in config["id2label"].items()}
    (teacher / "config.json").write_text(json.dumps(config), encoding="utf-8")
    given = examples_given(monkeypatch, "standard")
    told = ("distil", "--procedure", "standard", "--teacher", teacher, "--data", data, "--layers", 1, "--steps", 1)
    assert distilrank(*told, "--out", tmp_path / "out", *SHORT) == 0
    assert [example.label for example in given[:3]] == [0, 2, 3]
    assert stored_label_names(load_model(tmp_path / "out")[0].config) == ["good", "best", "bad", "fair"]


def test_settings_reach_the_run_from_file_and_command_line(
    teacher: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_export(monkeypatch)
    (tmp_path / "s.toml").write_text("temperature = 2.0\nhard = 0.5\n[training]\nmax_steps = 3\n", encoding="utf-8")
    told = ("distil", "--teacher", teacher, "--data", data, "--layers", 2, "--settings", tmp_path / "s.toml")
    assert distilrank(*told, "--out", tmp_path / "out", *SHORT, "--set", "hard=0", "--steps", 2) == 0
    settings = manifest_of(tmp_path / "out")["settings"]["settings"]
    assert (settings["temperature"], settings["hard"], settings["training"]["max_steps"]) == (2.0, 0.0, 2)
    steps = read_steps(tmp_path / "out" / "run" / "journal.jsonl")
    assert len(steps) == 2
    assert "hard" not in steps[0]["terms"]


def test_as_published_students_keep_their_relu_when_loaded(teacher: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "published"
    told = ("distil", "--teacher", teacher, "--data", data, "--layers", 2, "--out", out, *SHORT, "--steps", 2)
    assert distilrank(*told, "--set", "as_published=true") == 0
    require_equal_scores(out)
    assert not any("projection" in name for name in weights_of(out))
    # Other libraries would load it without the ReLU, so the card does not recommend them.
    assert "CrossEncoder" not in (out / "README.md").read_text(encoding="utf-8")


def test_bad_lines_may_be_skipped_and_are_listed(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_export(monkeypatch)
    lines = (data / "groups" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    groups = tmp_path / "groups.jsonl"
    groups.write_text("\n".join([lines[0], "{broken", *lines[1:]]) + "\n", encoding="utf-8")
    told = ("fine-tune", "--data", groups, "--model", base, "--out", tmp_path / "out", "--steps", 1, *SHORT)
    assert distilrank(*told, "--skip-bad", 1, "--objective", "bce") == 0
    assert f"skipped: {groups}, line 2: is not JSON" in capsys.readouterr().err
