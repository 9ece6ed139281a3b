from __future__ import annotations

import gzip
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distilrank.cli.app import build_app, run
from distilrank.cli.evaluate import evaluate
from distilrank.data.beir import read_qrels
from distilrank.data.files import file_hash
from distilrank.data.trec import ranking, read_run, write_run
from distilrank.evaluation.classification import evaluate_classifiers
from distilrank.evaluation.evaluate import evaluate_runs
from distilrank.evaluation.measures import measure
from distilrank.models.load import load_model
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.records import Run
from distilrank.runtime.ranker import Ranker
from distilrank.workflows.export import Int8Settings, export_quantised
from tests.tiny import WORDS, tiny_export, tiny_model, tiny_tokenizer

Command = Callable[..., tuple[int, str, str]]

QUERIES = {f"q{i}": " ".join(random.Random(i).sample(WORDS, 3)) for i in range(8)}
PASSAGES = {f"d{i:02}": " ".join(random.Random(100 + i).choices(WORDS, k=9)) for i in range(40)}
JUDGED = [f"q{i}" for i in range(6)]


def write_data(folder: Path, *, runs: tuple[str, ...] = ("BM25",)) -> Path:
    """A BEIR folder: 8 queries with candidates, 6 of them judged, and one more that is judged and has none."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "runs").mkdir()
    chosen = random.Random(7)
    with (folder / "corpus.jsonl").open("w") as file:
        file.writelines(json.dumps({"_id": name, "title": "", "text": text}) + "\n" for name, text in PASSAGES.items())
    with (folder / "queries.jsonl").open("w") as file:
        texts = QUERIES | {"q9": "the old city"}
        file.writelines(json.dumps({"_id": name, "text": text}) + "\n" for name, text in texts.items())
    lines = ["query-id\tcorpus-id\tscore\n", "q9\td00\t1\n"]
    for query_id in JUDGED:
        lines += [f"{query_id}\t{name}\t{chosen.choice((0, 1, 2))}\n" for name in chosen.sample(list(PASSAGES), k=15)]
    (folder / "qrels" / "test.tsv").write_text("".join(lines))
    for name in runs:
        first: Run = {q: {d: chosen.random() * 10 for d in chosen.sample(list(PASSAGES), k=12)} for q in QUERIES}
        write_run(first, folder / "runs" / f"{name}.test.trec.gz", tag=name)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny rankers student and teacher, and classifiers with two and three classes and for regression."""
    folder = tmp_path_factory.mktemp("models")
    for name, seed, labels in (
        ("student", 0, 1),
        ("teacher", 1, 1),
        ("two", 2, 2),
        ("other-two", 3, 2),
        ("three", 4, 3),
        ("yes-no", 5, 2),
    ):
        model = tiny_model(num_labels=labels, seed=seed)
        if labels == 2:
            names = ["yes", "no"] if name == "yes-no" else ["no", "yes"]
            model.config.id2label = dict(enumerate(names))
            model.config.label2id = {label: place for place, label in enumerate(names)}
        save_model(model, tiny_tokenizer(), folder / name)
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run ``distilrank evaluate`` in this process; returns (exit code, standard output, standard error)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["distilrank", "evaluate", *map(str, arguments)])
        code = run(build_app({"evaluate": evaluate, "other": lambda: None}))
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


def reranked_by_hand(model: Path, candidates: Run, *, depth: int | None = None) -> Run:
    scorer = TorchScorer(*load_model(model, offline=True))
    found: Run = {}
    for query_id in JUDGED:
        doc_ids = ranking(candidates[query_id])[:depth]
        scores = scorer.score([(QUERIES[query_id], PASSAGES[doc_id]) for doc_id in doc_ids])
        found[query_id] = dict(zip(doc_ids, map(float, scores), strict=True))
    return found


def means(record: dict[str, Any], name: str) -> dict[str, float]:
    (system,) = [each for each in record["systems"] if each["name"] == name]
    return {measure: numbers["mean"] for measure, numbers in system["measures"].items()}


def test_a_run_by_itself(command: Command, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    code, shown, err = command("--data", data, "--measures", "nDCG@10 RR(rel=2)@10,AP(rel=2)", "--json", out)
    assert code == 0
    expected = measure(
        read_qrels(data / "qrels" / "test.tsv"),
        read_run(data / "runs" / "BM25.test.trec.gz"),
        ["nDCG@10", "RR(rel=2)@10", "AP(rel=2)"],
    )
    record = json.loads(out.read_text())
    assert [each["name"] for each in record["systems"]] == ["BM25"]
    assert means(record, "BM25") == pytest.approx(expected.means())
    assert record["per_query"]["nDCG@10"]["BM25"] == pytest.approx(expected.per_query["nDCG@10"])
    assert record["comparisons"] == []
    assert record["teacher"] is record["fidelity_to_teacher"] is None
    assert f"{expected.mean('nDCG@10'):.4f} (" in shown
    assert "7 judged queries" in shown
    assert "BM25: 1 judged queries without results count as 0 (the first is 'q9')" in err
    assert "BM25: 2 queries without judgements were left out (the first is 'q6')" in err


def test_a_student_beside_everybody(command: Command, data: Path, models: Path, tmp_path: Path) -> None:
    brought = tmp_path / "brought.trec"
    write_run({q: {d: -float(d[1:]) for d in PASSAGES} for q in QUERIES}, brought, tag="brought")
    out, out_run = tmp_path / "out.json", tmp_path / "reranked.trec"
    code, shown, _ = command(
        *(models / "student", "--data", data, "--teacher", models / "teacher", "--baseline", brought),
        *("--baseline", "BM25", "--baseline", models / "teacher", "--depth", 7, "--json", out, "--out-run", out_run),
    )
    assert code == 0
    candidates = read_run(data / "runs" / "BM25.test.trec.gz")
    first = {q: {d: scores[d] for d in ranking(scores)[:7]} for q, scores in candidates.items()}
    runs = {
        "BM25": first,
        "brought": read_run(brought),
        "teacher": reranked_by_hand(models / "teacher", candidates, depth=7),
        "student": reranked_by_hand(models / "student", candidates, depth=7),
    }
    expected = evaluate_runs(
        qrels=read_qrels(data / "qrels" / "test.tsv"),
        runs=runs,
        system="student",
        first_stage="BM25",
        teacher="teacher",
    )
    record = json.loads(out.read_text())
    assert {each["name"] for each in record["systems"]} == set(runs)
    assert record["systems"][0]["name"] == "BM25"
    for name in runs:
        assert means(record, name) == pytest.approx({m: i.mean for m, i in expected.intervals[name].items()})
    compared = {(each["measure"], each["baseline"]): each for each in record["comparisons"]}
    assert len(compared) == 9
    for each in expected.comparisons:
        assert compared[each.measure, each.baseline]["t_test_holm"] == pytest.approx(each.t_test_holm)
    shares = {m: None if share is None else share["mean"] for m, share in record["share_of_teacher_kept"].items()}
    assert shares == pytest.approx({m: share.mean for m, share in expected.share_kept.items() if share})
    assert expected.fidelity is not None
    assert record["fidelity_to_teacher"]["kendall_tau"]["per_query"] == pytest.approx(expected.fidelity.kendall_tau)
    written = read_run(out_run)
    assert {q: ranking(scores) for q, scores in written.items()} == {q: ranking(s) for q, s in runs["student"].items()}
    assert out_run.read_text().splitlines()[0].endswith(" 1 " + out_run.read_text().split()[4] + " student")
    for part in ("BM25 (first stage)", "teacher (teacher)", "win/tie/loss", "share of AP kept", "rank-biased overlap"):
        assert part in shown


def test_the_record_says_what_was_run(command: Command, data: Path, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = (models / "student", "--data", data, "--measures", "RR(rel=2)@10 AP", "--json", out)
    assert command(*arguments)[0] == 0
    record = json.loads(out.read_text())
    assert record["command"].startswith("distilrank evaluate ")
    assert "--measures 'RR(rel=2)@10 AP'" in record["command"]
    assert {"python", "distilrank", "ir_measures", "torch"} <= set(record["versions"])
    assert record["settings"]["measures"] == ["RR(rel=2)@10", "AP"]
    hashes = {name: entry["sha256"] for name, entry in record["inputs"].items()}
    assert hashes["qrels/test.tsv"] == file_hash(data / "qrels" / "test.tsv")
    assert hashes["BM25: BM25.test.trec.gz"] == file_hash(data / "runs" / "BM25.test.trec.gz")
    assert hashes["student: model.safetensors"] == file_hash(models / "student" / "model.safetensors")
    again = tmp_path / "again.json"
    assert command(*arguments[:-1], again)[0] == 0
    assert again.read_text() == out.read_text().replace(str(out), str(again))


def test_an_exported_model_is_run_without_torch(
    command: Command, data: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "exported"
    shutil.copytree(models / "student", folder)
    tiny_export(folder)
    by_torch, by_onnx = tmp_path / "torch.trec", tmp_path / "onnx.trec"
    assert command(models / "student", "--data", data, "--out-run", by_torch)[0] == 0
    monkeypatch.setattr(TorchScorer, "score", None)
    out = tmp_path / "out.json"
    assert command(folder, "--data", data, "--out-run", by_onnx, "--json", out)[0] == 0
    expected = read_run(by_torch)
    assert {q: pytest.approx(scores, abs=1e-4) for q, scores in read_run(by_onnx).items()} == expected
    assert "exported: model.onnx" in json.loads(out.read_text())["inputs"]


def test_bm25_makes_candidates_where_there_is_no_run(command: Command, tmp_path: Path, models: Path) -> None:
    data = write_data(tmp_path / "data", runs=())
    out = tmp_path / "out.json"
    assert command(models / "student", "--data", data, "--depth", 5, "--json", out)[0] == 0
    record = json.loads(out.read_text())
    assert [each["name"] for each in record["systems"]] == ["BM25", "student"]
    assert means(record, "BM25")["nDCG@10"] > 0


@pytest.mark.parametrize(
    ("runs", "first"),
    [(("splade",), "splade"), (("splade", "BM25", "other"), "BM25"), (("splade", "other"), "BM25")],
)
def test_which_run_is_taken(command: Command, tmp_path: Path, runs: tuple[str, ...], first: str) -> None:
    data = write_data(tmp_path / "data", runs=runs)
    out = tmp_path / "out.json"
    assert command("--data", data, "--json", out)[0] == 0
    assert json.loads(out.read_text())["first_stage"] == first
    assert command("--data", data, "--run", runs[-1], "--json", out)[0] == 0
    record = json.loads(out.read_text())
    assert record["first_stage"] == runs[-1]
    expected = measure(
        read_qrels(data / "qrels" / "test.tsv"), read_run(data / "runs" / f"{runs[-1]}.test.trec.gz"), ["AP"]
    )
    assert means(record, runs[-1])["AP"] == pytest.approx(expected.mean("AP"))


def test_a_prepared_run_is_called_by_its_tag(command: Command, data: Path, tmp_path: Path) -> None:
    (data / "runs" / "BM25.test.trec.gz").rename(data / "runs" / "test.trec.gz")
    out = tmp_path / "out.json"
    assert command("--data", data, "--json", out)[0] == 0
    assert json.loads(out.read_text())["first_stage"] == "BM25"


def test_fewer_queries(command: Command, data: Path, models: Path, tmp_path: Path) -> None:
    out, out_run = tmp_path / "out.json", tmp_path / "out.trec"
    arguments = ("--max-queries", 2, "--measures", "RR", "--json", out, "--out-run", out_run)
    brought = tmp_path / "brought.trec"
    write_run({q: {d: -float(d[1:]) for d in PASSAGES} for q in QUERIES}, brought, tag="brought")
    code, _, err = command(models / "student", "--data", data, "--baseline", brought, *arguments)
    assert code == 0
    assert "note:" not in err
    assert list(json.loads(out.read_text())["per_query"]["RR"]["student"]) == ["q0", "q1"]
    assert list(read_run(out_run)) == ["q0", "q1"]


def test_documents_by_their_passages(command: Command, data: Path, models: Path, tmp_path: Path) -> None:
    with (data / "corpus.jsonl").open("w") as file:
        for number, text in enumerate(PASSAGES.values()):
            name = f"d{number // 4:02}#_{number % 4}"
            file.write(json.dumps({"_id": name, "title": "", "text": text}) + "\n")
    doc_ids = [f"d{number:02}" for number in range(10)]
    chosen = random.Random(3)
    lines = [f"{q}\t{d}\t{chosen.choice((0, 1, 2))}\n" for q in JUDGED for d in chosen.sample(doc_ids, k=5)]
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    of_documents: Run = {q: {d: chosen.random() for d in doc_ids[:6]} for q in JUDGED}
    write_run(of_documents, tmp_path / "documents.trec", tag="documents")
    # Scores as BM25 gives them, of 1 to 4 passages a document: a sum of their probabilities would count passages.
    of_passages: Run = {
        q: {f"{d}#_{n}": 5 + 10 * chosen.random() for d in doc_ids for n in range(chosen.randint(1, 4))} for q in JUDGED
    }
    write_run(of_passages, tmp_path / "passages.trec", tag="passages")
    best: Run = {
        q: {d: max(s for passage, s in scores.items() if passage.startswith(d)) for d in doc_ids}
        for q, scores in of_passages.items()
    }
    found: dict[str, Run] = {}
    for how in ("MaxP", "SumP", "k-MaxAvgP"):
        out, out_run = tmp_path / "out.json", tmp_path / f"{how}.trec"
        arguments = ("--data", data, "--run", tmp_path / "documents.trec", "--aggregate", how, "--k", 2)
        brought = ("--baseline", tmp_path / "passages.trec")
        assert command(models / "student", *arguments, *brought, "--json", out, "--out-run", out_run)[0] == 0
        # The scores of runs are no logits: their documents keep their order, whatever the models do.
        for name, run_of_documents in (("documents", of_documents), ("passages", best)):
            expected = measure(read_qrels(data / "qrels" / "test.tsv"), run_of_documents, ["nDCG@10"])
            assert means(json.loads(out.read_text()), name)["nDCG@10"] == pytest.approx(expected.mean("nDCG@10"))
        found[how] = read_run(out_run)
    scorer = TorchScorer(*load_model(models / "student", offline=True))
    texts = list(PASSAGES.values())
    for query_id in JUDGED:
        assert set(found["MaxP"][query_id]) == set(doc_ids[:6])
        for document in doc_ids[:6]:
            start = 4 * int(document[1:])
            scores = scorer.score([(QUERIES[query_id], text) for text in texts[start : start + 4]])
            assert found["MaxP"][query_id][document] == pytest.approx(float(scores.max()), abs=1e-5)
            assert 0 < found["k-MaxAvgP"][query_id][document] <= 1
            assert found["k-MaxAvgP"][query_id][document] <= found["SumP"][query_id][document] <= 4
    assert command("--data", data, "--run", tmp_path / "SumP.trec", "--aggregate", "MaxP")[0] == 0
    (data / "manifest.json").write_text('{"settings": {"cut": {"window": 150, "stride": 75}}}')
    assert command(models / "student", *arguments[:4], "--json", out)[0] == 0
    assert json.loads(out.read_text())["settings"]["aggregate"] == "MaxP"


def test_two_models_of_one_name(command: Command, data: Path, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "teacher", tmp_path / "elsewhere" / "student")
    out = tmp_path / "out.json"
    arguments = (models / "student", "--data", data, "--baseline", tmp_path / "elsewhere" / "student", "--json", out)
    assert command(*arguments)[0] == 0
    record = json.loads(out.read_text())
    names = [each["name"] for each in record["systems"]]
    assert names == ["BM25", str(tmp_path / "elsewhere" / "student"), "student"]
    assert means(record, names[1]) != means(record, names[2])
    # The system under test is itself no baseline.
    assert command(models / "student", "--data", data, "--baseline", models / "student", "--json", out)[0] == 0
    assert [each["name"] for each in json.loads(out.read_text())["systems"]] == ["BM25", "student"]


def test_bad_lines_are_skipped_and_listed(command: Command, data: Path, tmp_path: Path) -> None:
    path = data / "runs" / "BM25.test.trec.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    brought = tmp_path / "brought.trec"
    brought.write_text("\n".join([lines[0], "q0 Q0 d00 1", *lines[1:], f"{lines[0].split()[0]} Q0 dx 1 high t"]) + "\n")
    code, shown, err = command("--data", data, "--run", brought)
    assert (code, shown) == (2, "")
    assert err.startswith(f"error: {brought}, line 2: has 4 columns where 6 are expected")
    out = tmp_path / "out.json"
    code, _, err = command("--data", data, "--run", brought, "--skip-bad", 2, "--json", out)
    assert code == 0
    assert f"skipped {brought}, line 2: " in err
    assert len(json.loads(out.read_text())["skipped"]) == 2
    whole = tmp_path / "whole.json"
    assert command("--data", data, "--run", "BM25", "--json", whole)[0] == 0
    assert means(json.loads(out.read_text()), "brought") == means(json.loads(whole.read_text()), "BM25")


MISTAKES = {
    "no such data": (["--data", "{tmp}/no"], "{tmp}/no: there is no such folder or file; check the path"),
    "split": (["--data", "{data}", "--split", "tset"], "{data}: has no judgements for split 'tset' (it has: test)"),
    "measure": (["--data", "{data}", "--measures", "nDGC@10"], "measure 'nDGC@10' is not known; did you mean 'nDCG'?"),
    "no measure": (["--data", "{data}", "--measures", " "], "no measure is named; give at least one, such as nDCG@10"),
    "run": (["--data", "{data}", "--run", "BM52"], "there is no run 'BM52'; give a TREC file, or one of the data's"),
    "model": (["no", "--data", "{data}"], "there is no model folder no; check the path, or give a name on the hub"),
    "run as model": (["{brought}", "--data", "{data}"], "{brought}: is a file where a model folder is expected"),
    "baseline": (["--data", "{data}", "--baseline", "BM"], "there is no run and no model 'BM'; give a TREC file"),
    "lost run": (["--data", "{data}", "--baseline", "runs/no.trec"], "there is no run and no model 'runs/no.trec'"),
    "own teacher": (["{student}", "--data", "{data}", "--teacher", "{student}"], "student is given as its own teacher"),
    "depth": (["--data", "{data}", "--depth", "0"], "depth is 0, give at least 1"),
    "max queries": (["--data", "{data}", "--max-queries", "0"], "max_queries is 0, give at least 1"),
    "threads": (["--data", "{data}", "--threads", "0"], "--threads is 0, give at least 1"),
    "classifier": (["{three}", "--data", "{data}"], "a ranker has one logit, {three} has 3"),
    "foreign run": (
        ["--data", "{data}", "--run", "{foreign}"],
        "not one candidate of the 7 judged queries of split 'test' is judged; check that run, data and split belong",
    ),
    "foreign collection": (
        ["{student}", "--data", "{data}", "--run", "{half}"],
        "1 of 13 candidates are not in the collection, the first is 'nowhere'",
    ),
    "hub": (["nobody/nothing", "--data", "{data}", "--offline"], "nobody/nothing is neither a folder nor in the local"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_sentence(name: str, command: Command, data: Path, models: Path, tmp_path: Path) -> None:
    first = read_run(data / "runs" / "BM25.test.trec.gz")
    write_run(first, tmp_path / "brought.trec", tag="x")
    write_run({"q0": {"elsewhere": 1.0}}, tmp_path / "foreign.trec", tag="x")
    write_run({"q0": first["q0"] | {"nowhere": 1.0}}, tmp_path / "half.trec", tag="x")
    places = {
        **{"tmp": tmp_path, "data": data, "student": models / "student", "three": models / "three"},
        **{each: tmp_path / f"{each}.trec" for each in ("brought", "foreign", "half")},
    }
    arguments, sentence = MISTAKES[name]
    outputs = ("--json", tmp_path / "out.json", "--out-run", tmp_path / "out.trec")
    code, shown, err = command(*(part.format(**places) for part in arguments), *outputs)
    assert (code, shown) == (2, "")
    assert err.startswith("error: " + sentence.format(**places)), err
    assert err.count("\n") == 1
    assert not (tmp_path / "out.json").exists()
    assert not (tmp_path / "out.trec").exists()


def write_examples(path: Path, labels: list[object]) -> Path:
    lines = []
    for number, label in enumerate(labels):
        text = " ".join(random.Random(number).choices(WORDS, k=5))
        lines.append(json.dumps({"text": text, "label": label}) + "\n")
    path.write_text("".join(lines))
    return path


def test_a_classifier_beside_its_teacher(
    command: Command, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(evaluate_classifiers.__kwdefaults__, "resamples", 20)  # a thousand take seconds
    folder = tmp_path / "texts"
    folder.mkdir()
    labels = ["yes" if number % 3 else "no" for number in range(30)]
    write_examples(folder / "train.jsonl", labels)
    path = write_examples(folder / "test.jsonl", labels)
    (folder / "labels.json").write_text('{"kind": "classes", "label_names": ["no", "yes"]}')
    out = tmp_path / "out.json"
    code, shown, _ = command(models / "two", "--data", folder, "--teacher", models / "other-two", "--json", out)
    assert code == 0
    texts = [json.loads(line)["text"] for line in path.read_text().splitlines()]
    record = json.loads(out.read_text())
    accuracy = {}
    for name in ("two", "other-two"):
        decided = TorchScorer(*load_model(models / name, offline=True)).logits(texts).argmax(axis=1)
        accuracy[name] = sum(("no", "yes")[place] == label for place, label in zip(decided, labels, strict=True)) / 30
        assert means(record, name)["accuracy"] == pytest.approx(accuracy[name])
    assert record["share_of_teacher_kept"]["accuracy"]["mean"] == pytest.approx(accuracy["two"] / accuracy["other-two"])
    assert record["examples"] == 30
    assert record["inputs"]["test.jsonl"]["sha256"] == file_hash(path)
    assert "30 examples" in shown
    assert "Matthews" in shown
    # The folder's order of labels need not be the classifier's.
    (folder / "labels.json").write_text('{"kind": "classes", "label_names": ["yes", "no"]}')
    assert command(models / "two", "--data", folder, "--json", out)[0] == 0
    assert means(json.loads(out.read_text()), "two") == means(record, "two")
    # A file alone: the classifier says what its labels are.
    assert command(models / "two", "--data", path, "--max-queries", 10, "--json", out)[0] == 0
    assert json.loads(out.read_text())["examples"] == 10


def test_numbers_are_correlated(command: Command, models: Path, tmp_path: Path) -> None:
    path = write_examples(tmp_path / "numbers.jsonl", [number / 7 for number in range(20)])
    code, shown, _ = command(models / "student", "--data", path)
    assert code == 0
    assert "Pearson" in shown
    assert "Spearman" in shown


CLASSIFICATION_MISTAKES = {
    "run": (["{two}", "--run", "BM25", "--depth", "3"], "{file}: is classification data, which has no --run and no"),
    "no model": ([], "{file}: is classification data; name the classifier to measure"),
    "names of labels": (["{two}", "--data", "{named}"], "the labels of two are no, yes, those of the data bad, good"),
    "split": (["{two}", "--data", "{turned}", "--split", "dev"], "{turned}: has no examples of split 'dev'"),
    "label": (["{two}", "--data", "{odd}"], "{odd}, line 1: label 'perhaps' is not one of no, yes"),
    "order of labels": (
        ["{two}", "--baseline", "{yes-no}"],
        "the labels of yes-no are yes, no, those of the data no, yes",
    ),
    "classes": (["{two}", "--baseline", "{three}"], "three tells 3 labels apart and two 2"),
    "teacher": (["{two}", "--teacher", "{file}"], "file.jsonl is a file; classifiers are compared with model folders"),
}


@pytest.mark.parametrize("name", CLASSIFICATION_MISTAKES)
def test_mistakes_with_classifiers(name: str, command: Command, models: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned"
    turned.mkdir()
    (turned / "labels.json").write_text('{"kind": "classes", "label_names": ["yes", "no"]}')
    write_examples(turned / "test.jsonl", ["yes", "no"])
    named = tmp_path / "named"
    named.mkdir()
    (named / "labels.json").write_text('{"kind": "classes", "label_names": ["bad", "good"]}')
    write_examples(named / "test.jsonl", ["bad", "good"])
    places = {
        **{name: models / name for name in ("two", "three", "yes-no")},
        **{"turned": turned, "named": named},
        "file": write_examples(tmp_path / "file.jsonl", ["yes", "no"] * 3),
        "odd": write_examples(tmp_path / "odd.jsonl", ["perhaps"]),
    }
    arguments, sentence = CLASSIFICATION_MISTAKES[name]
    given = arguments if "--data" in arguments else [*arguments, "--data", "{file}"]
    code, shown, err = command(*(part.format(**places) for part in given))
    assert (code, shown) == (2, "")
    assert err.startswith("error: " + sentence.format(**places)), err


def test_help_has_examples(command: Command) -> None:
    code, shown, _ = command("--help")
    assert code == 0
    assert '--run BM25 --measures "nDCG@10 RR(rel=2)@10 AP(rel=2)"\n' in shown


def test_the_8_bit_file_is_measured_when_asked_for(command: Command, data: Path, tmp_path: Path) -> None:
    student = tmp_path / "student"
    save_model(tiny_model(hidden=32), tiny_tokenizer(), student)
    code, _, err = command(student, "--data", data, "--precision", "int8")
    assert code == 2
    assert "has no 8-bit file" in err
    made = export_quantised(student, data=str(data), settings=Int8Settings(split="test", margin=0.9))
    assert made.path is not None
    out, reranked = tmp_path / "out.json", tmp_path / "out.trec"
    code, _, err = command(
        student, "--data", data, "--precision", "int8", "--json", out, "--out-run", reranked, "--threads", "1"
    )
    assert code == 0, err
    eight, floating = (Ranker.load(student, precision=each, threads=1) for each in ("int8", "fp32"))
    for query_id, scores in read_run(reranked).items():
        pairs = [(QUERIES[query_id], PASSAGES[doc_id]) for doc_id in scores]
        assert list(scores.values()) == pytest.approx(eight.score(pairs).tolist(), abs=1e-5)
        assert list(scores.values()) != pytest.approx(floating.score(pairs).tolist(), abs=1e-5)
    record = json.loads(out.read_text())
    assert record["settings"]["precision"] == "int8"
    assert any(name.startswith("student: model_q") for name in record["inputs"])


def test_precision_is_of_a_ranker(command: Command, data: Path) -> None:
    code, _, err = command("--data", data, "--precision", "int8")
    assert code == 2
    assert "--precision goes with a model" in err
