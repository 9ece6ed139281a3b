"""``compare`` from the command line to tables, on tiny data."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from distilrank.cli import distil_options
from distilrank.data.files import read_json
from distilrank.data.trec import read_run
from distilrank.evaluation.over_seeds import compare_by_query, ranker_mean, student_interval
from distilrank.procedures import standard_distillation
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker, without_export

SHORT = "--layers 2 --steps 2 --max-tokens 32 --batch-size 4 --learning-rate 3e-3 --set trackers=[]"
SMALL = "small: --procedure standard --shape 1/8/16/4 --set alpha=1"


@pytest.fixture(scope="module", autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No exports, which take seconds, and little timing."""
    with pytest.MonkeyPatch.context() as patch:
        without_export(patch)
        nowhere = tmp_path_factory.mktemp("nowhere") / "model.onnx"
        patch.setattr("distilrank.workflows.scorers._export_of", lambda model: nowhere)
        patch.setattr("distilrank.workflows.speed.TURNS", 2)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_ranker(tmp_path_factory.mktemp("models") / "big")


def command(teacher: Path, data: Path, out: Path, *systems: str, seeds: str = "1,2") -> tuple[object, ...]:
    told = ["compare", "--teacher", teacher, "--data", data, "--split", "dev", "--seeds", seeds, "--out", out]
    return (*told, "--common", SHORT, *(word for system in systems for word in ("--system", system)))


@pytest.fixture(scope="module")
def told(data: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    out = tmp_path_factory.mktemp("compared") / "out"
    arguments = command(teacher, data, out, "standard", SMALL)
    assert distilrank(*arguments) == 0
    return arguments


@pytest.fixture(scope="module")
def out(told: tuple[object, ...]) -> Path:
    return Path(str(told[told.index("--out") + 1]))


def per_query(out: Path, cell: str) -> np.ndarray:
    record = read_json(out / "cells" / cell / "measured" / "dev.json")
    values = record["per_query"]["nDCG@10"][cell]
    return np.array([values[query_id] for query_id in sorted(values)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert distilrank(*arguments) == 2
    return capsys.readouterr().err


def test_means_and_tests_are_those_of_the_records(out: Path, data: Path) -> None:
    found = read_json(out / "comparison.json")
    assert found["command"].startswith("distilrank compare --teacher ")
    table = found["tests"]["dev"]["nDCG@10"]
    first, *names = table["systems"]
    assert names == ["teacher", "standard", "small"]
    values = {
        system: {seed: per_query(out, f"{system}-{seed}") for seed in ("1", "2")} for system in ("standard", "small")
    }
    record = read_json(out / "teacher" / "dev" / "teacher.json")["per_query"]["nDCG@10"]
    taught = {"": np.array([record["big"][query_id] for query_id in sorted(record["big"])])}
    for system, seeds in values.items():
        assert table["systems"][system] == ranker_mean(seeds, teacher=taught).as_dict()
    assert table["systems"]["teacher"] == ranker_mean(taught).as_dict()
    bm25 = {"": np.array([record[first][query_id] for query_id in sorted(record[first])])}
    assert table["systems"][first] == ranker_mean(bm25).as_dict()
    (expected,) = compare_by_query(values, [("small", "standard")])
    assert table["comparisons"] == [expected.as_dict()]
    assert found["baseline"] == "standard"
    assert found["alarms"] == []


def test_what_it_costs(out: Path) -> None:
    costs = read_json(out / "comparison.json")["costs"]
    assert list(costs) == ["teacher", "standard", "small"]
    for system in ("standard", "small"):
        manifest = read_json(out / "cells" / f"{system}-1" / "manifest.json")
        assert costs[system]["parameters"] == manifest["parameters"]
        assert costs[system]["megabytes"] == manifest["card"]["megabytes"]
        assert costs[system]["training_seconds"] > 0
        assert costs[system]["ms_per_100"] > 0
    assert costs["teacher"]["training_seconds"] is None
    assert costs["teacher"]["parameters"] > costs["standard"]["parameters"] > costs["small"]["parameters"]


def test_the_page_and_the_drawings(out: Path) -> None:
    page = (out / "comparison.md").read_text(encoding="utf-8")
    table = read_json(out / "comparison.json")["tests"]["dev"]["nDCG@10"]
    mean = table["systems"]["small"]["mean"]
    row = next(line for line in page.splitlines() if line.startswith("| small |"))
    assert f"{mean:.4f} (" in row
    assert f"p {table['comparisons'][0]['p_holm']:.4f}" in row
    assert f"{table['systems']['small']['kept_of_teacher']['mean']:.1%} kept" in row
    assert "| standard (baseline) | 2 seeds |" in page
    assert "![Means and intervals on dev](dev.svg)" in page
    for name in ("dev.svg", "dev-latency.svg"):
        assert "var(" not in (out / name).read_text(encoding="utf-8")


def test_a_cell_is_what_its_commands_make(out: Path, tmp_path: Path) -> None:
    cell = out / "cells" / "small-2"
    made, judged = (shlex.split(line) for line in (cell / "commands.txt").read_text().splitlines())
    again = tmp_path / "small-2"
    assert distilrank(*(str(again) if word == str(cell) else word for word in made[1:])) == 0
    weights, others = (load_file(folder / "model.safetensors") for folder in (cell, again))
    for name, value in weights.items():
        np.testing.assert_array_equal(value, others[name])
    assert read_json(cell / "manifest.json")["card"]["command"] == shlex.join(made)
    other = tmp_path / "other.json"
    record = cell / "measured" / "dev.json"
    assert distilrank(*(str(other) if word == str(record) else word for word in judged[1:])) == 0
    assert read_json(other)["per_query"] == read_json(record)["per_query"]
    assert read_json(record)["command"] == shlex.join(judged)
    run = read_run(cell / "measured" / "dev.trec")
    assert set(run) == set(read_json(record)["per_query"]["AP"]["small-2"])
    first_seed = load_file(out / "cells" / "small-1" / "model.safetensors")
    assert not np.array_equal(first_seed["classifier.weight"], weights["classifier.weight"])
    # And a repetition of its own command finds it done.
    before = sorted(files_of(cell))
    assert distilrank(*made[1:]) == 0
    assert sorted(files_of(cell)) == before


def test_the_same_command_makes_nothing_again(
    told: tuple[object, ...], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, record = sorted(files_of(out / "teacher")), (out / "comparison.json").read_text()
    with monkeypatch.context() as patch:
        for gone in ("procedures.standard_distillation.train", "workflows.compare_measuring.evaluate_ranking"):
            patch.delattr(f"distilrank.{gone}")
        patch.delattr("distilrank.workflows.compare_results.ms_per_100")
        assert distilrank(*told) == 0
    assert sorted(files_of(out / "teacher")) == cells
    assert (out / "comparison.json").read_text() == record


def test_changed_weights_are_measured_again(told: tuple[object, ...], out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    record = copy / "cells" / "small-1" / "measured" / "dev.json"
    content = read_json(record)
    name = next(name for name in content["inputs"] if name.startswith("small-1"))
    content["command"] = content["command"].replace(str(out), str(copy))
    content["inputs"][name]["sha256"] = "0"
    content["per_query"]["nDCG@10"]["small-1"] = {}
    record.write_text(json.dumps(content))
    assert distilrank(*(copy if word == out else word for word in told)) == 0
    assert read_json(record)["per_query"] == read_json(out / "cells" / "small-1" / "measured" / "dev.json")["per_query"]


def test_what_fails_does_not_lose_the_rest(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    systems = ("standard", "odd: --procedure standard --shape 1/9/16/4", "bug: --procedure standard --set alpha=1")
    arguments = command(teacher, data, out, *systems, seeds="3")
    real = standard_distillation.loss_terms
    with monkeypatch.context() as patch:

        def broken(student: Any, teacher: Any, batch: Any, settings: Any, **options: Any) -> Any:
            if settings.alpha == 1:
                raise RuntimeError("a bug\nof ours")
            return real(student, teacher, batch, settings, **options)

        patch.setattr(standard_distillation, "loss_terms", broken)
        assert distilrank(*arguments) == 1
    shown = capsys.readouterr()
    failures = read_json(out / "comparison.json")["failures"]
    assert list(failures) == ["odd-3", "bug-3"]
    assert failures["odd-3"] == "the student shape 1/9/16/4 cannot split 9 states among 4 heads"
    assert failures["bug-3"].startswith("RuntimeError: a bug of ours; see ")
    assert "loss_terms" in (out / "failures" / "bug-3.txt").read_text()
    assert f"failed: bug-3: {failures['bug-3']}" in shown.err
    assert "standard" in shown.out
    assert "## Failed" in (out / "comparison.md").read_text()
    assert list(read_json(out / "comparison.json")["costs"]) == ["teacher", "standard"]
    # The same command tries again, and what works now is no failure any more.
    assert distilrank(*arguments) == 1
    assert list(read_json(out / "comparison.json")["failures"]) == ["odd-3"]
    assert not (out / "failures" / "bug-3.txt").exists()


def test_a_stopped_comparison_goes_on(
    data: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    arguments = command(teacher, data, out, "standard", SMALL, seeds="1")
    made: list[str] = []
    real = distil_options.train

    def stop(cell: Any) -> None:
        made.append(cell.name)
        if cell.system == "small":
            raise KeyboardInterrupt
        real(cell)

    with monkeypatch.context() as patch:
        patch.setattr(distil_options, "train", stop)
        assert distilrank(*arguments) == 130
    assert made == ["standard-1", "small-1"]
    assert not (out / "comparison.json").exists()
    before = sorted(files_of(out / "cells" / "standard-1"))
    assert distilrank(*arguments) == 0
    after = [each for each in sorted(files_of(out / "cells" / "standard-1")) if "commands.txt" not in each[0]]
    assert after == [each for each in before if "commands.txt" not in each[0]]
    assert (out / "cells" / "small-1" / "manifest.json").is_file()


def test_a_file_says_the_same(data: Path, teacher: Path, out: Path, tmp_path: Path) -> None:
    file = tmp_path / "compare.yaml"
    file.write_text(
        f"""teacher: {teacher}
data: {data}
seeds: [1]
against: small
common: {{layers: 2, steps: 2, max_tokens: 32, batch_size: 4, learning_rate: 3e-3, set: ["trackers=[]"]}}
systems:
  standard:
  small: {{procedure: standard, shape: 1/8/16/4, set: [alpha=1]}}
tests:
  two: {{split: dev, max_queries: 2, measures: [RR@10]}}
  all: {{split: dev, depth: 3}}
"""
    )
    again = tmp_path / "out"
    assert distilrank("compare", "--settings", file, "--out", again) == 0
    found = read_json(again / "comparison.json")
    assert list(found["tests"]) == ["two", "all"]
    assert list(found["tests"]["two"]) == ["RR@10"]
    assert found["tests"]["all"]["AP"]["comparisons"][0]["system"] == "standard"
    for cell in ("standard-1", "small-1"):
        weights, others = (load_file(each / "cells" / cell / "model.safetensors") for each in (out, again))
        for name, value in weights.items():
            np.testing.assert_array_equal(value, others[name])
    run = read_run(again / "cells" / "small-1" / "measured" / "all.trec")
    assert {len(scores) for scores in run.values()} == {3}
    assert len(read_run(again / "cells" / "small-1" / "measured" / "two.trec")) == 2


def test_bad_input_is_refused_before_anything_is_made(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    told = ("compare", "--teacher", teacher, "--data", data, "--split", "dev", "--out", out)
    two = ("--system", "standard", "--system", "tinybert")
    for more, words in (
        (("--system", "standard"), "1 system(s) are named; give --system at least twice"),
        ((*two, "--system", "x: --layer 2"), "system 'x' has the option 'layer', which distil has not; did you mean"),
        ((*two, "--system", "x: --layers few"), "the option layers of system x is 'few' but must be a whole number"),
        ((*two, "--system", "x: --seed 3"), "has the option 'seed', which compare itself chooses"),
        ((*two, "--system", "x: 3"), "have '3' without a name"),
        ((*two, "--system", "standard: --layers 2"), "system 'standard' is named twice"),
        ((*two, "--system", "a/b: --layers 2"), "system 'a/b' cannot be called that"),
        ((*two, "--system", "teacher: --layers 2"), "system 'teacher' cannot be called that"),
        ((*two, "--against", "standrad"), "no system 'standrad' to compare with; did you mean 'standard'?"),
        ((*two, "--seeds", "1,1"), "seeds are [1, 1]"),
        ((*two, "--seeds", "1,x"), "--seeds is '[1,x]'"),
        ((*two, "--measures", "nDCGG@10"), "measure 'nDCGG@10' is not known"),
        ((*two, "--common", "--layers '2"), "cannot be read (No closing quotation)"),
        ((*two, "--threads", "0"), "--threads is 0"),
    ):
        assert words in refused(capsys, *told, *more)
    file = tmp_path / "wrong.yaml"
    for content, words in (
        ("system: {a: }", "setting 'system' is unknown; did you mean 'systems'?"),
        ("tests: {a: {splits: dev}}", "setting 'tests.a.splits' is unknown; did you mean 'tests.a.split'?"),
        ("systems: [standard]", "systems is ['standard'] but must be a table"),
    ):
        file.write_text(content)
        error = refused(capsys, *told, "--settings", file)
        assert words in error
        assert str(file) in error
    assert "teacher is missing; give --teacher" in refused(capsys, "compare", "--data", data, *two, "--out", out)
    assert not out.exists()


def test_a_teacher_that_is_not_there(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command(tmp_path / "none", data, tmp_path / "out", "standard", SMALL)
    assert "there is no model folder" in refused(capsys, *arguments)
    assert not (tmp_path / "out").exists()


def test_when_everything_fails(data: Path, teacher: Path, tmp_path: Path) -> None:
    systems = ("odd: --procedure standard --shape 1/9/16/4", "even: --procedure bilstm --layers 2")
    assert distilrank(*command(teacher, data, tmp_path / "out", *systems, seeds="1")) == 1
    found = read_json(tmp_path / "out" / "comparison.json")
    assert list(found["failures"]) == ["odd-1", "even-1"]
    assert "has no --layers" in found["failures"]["even-1"]
    assert len(found["tests"]["dev"]["AP"]["systems"]) == 2


def test_classifiers(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for split, count in (("train", 16), ("dev", 12)):
        lines = [{"text": f"{('red', 'blue')[i % 2]} dog {i}", "label": ("good", "bad")[i % 2]} for i in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "labels.json").write_text(json.dumps({"label_names": ["bad", "good"], "kind": "classes"}))
    teacher = saved_ranker(tmp_path / "two", num_labels=2)
    config = json.loads((teacher / "config.json").read_text())
    config |= {"id2label": {"0": "bad", "1": "good"}, "label2id": {"bad": 0, "good": 1}}
    (teacher / "config.json").write_text(json.dumps(config))
    out = tmp_path / "out"
    assert distilrank(*command(teacher, folder, out, "standard", SMALL)) == 0
    found = read_json(out / "comparison.json")
    table = found["tests"]["dev"]["accuracy"]
    assert list(table["systems"]) == ["teacher", "standard", "small"]
    means = []
    for seed in ("1", "2"):
        record = read_json(out / "cells" / f"small-{seed}" / "measured" / "dev.json")
        (own,) = record["systems"]
        means.append(own["measures"]["accuracy"]["mean"])
    interval = student_interval(means)
    assert table["systems"]["small"]["mean"] == interval.mean
    assert table["systems"]["small"]["high"] == interval.high
    assert table["systems"]["small"]["over"] == "2 seeds"
    assert table["systems"]["teacher"]["over"] == "examples"
    assert table["comparisons"][0]["system"] == "small"
    assert found["costs"]["small"]["ms_per_100"] > 0
    assert "evaluate" in (out / "cells" / "small-1" / "commands.txt").read_text()
