"""``search`` from the command line to a winner, on tiny data and by a clock that is always right."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.cli import distil_options
from distilrank.data.files import read_json
from distilrank.errors import ModelError
from distilrank.models.load import load_model
from distilrank.models.scorer import TorchScorer
from distilrank.runtime.folder import network_file
from distilrank.runtime.ranker import Ranker
from distilrank.workflows import search as search_workflow
from distilrank.workflows import search_forms
from distilrank.workflows.trim import TrimSettings
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker
from tests.tiny import tiny_pairs

COMMON = "--procedure standard --batch-size 4 --learning-rate 3e-3 --set trackers=[]"
SHAPES = ("2", "1", "1/8/16/4")
PLENTY = "9 ms per 100 passages, 1 MB"


@pytest.fixture(scope="module", autouse=True)
def _clock_and_trimming() -> Iterator[None]:
    """Every student takes 4 ms, and 2 in 8 bits; and of a tiny vocabulary there is something left to cut."""

    def times(work: Mapping[str, Callable[[], Any]], count: int) -> dict[str, float]:
        assert all(len(score()) == count for score in work.values())
        return {name: 4.0 if name == "fp32" else 2.0 for name in work}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_forms, "ms_per_100", times)
        for module in (search_workflow, search_forms):
            patch.setattr(module, "TrimSettings", lambda: TrimSettings(reserve=0))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_ranker(tmp_path_factory.mktemp("models") / "big")


def command(
    teacher: Path,
    data: Path,
    out: Path,
    budget: str,
    *more: object,
    shapes: tuple[str, ...] = SHAPES,
    common: str = COMMON,
) -> tuple[object, ...]:
    named = [word for shape in shapes for word in ("--shape", shape)]
    told = ("search", "--budget", budget, "--teacher", teacher, "--data", data, "--out", out, "--common", common)
    return (*told, *named, "--steps", 2, "--max-tokens", 32, "--threads", 1, *more)


@pytest.fixture(scope="module")
def searched(
    teacher: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[object, ...], Path, str]:
    """A search in which everything fits: its command, its folder and what it printed."""
    out = tmp_path_factory.mktemp("searched") / "out"
    told = command(teacher, data, out, PLENTY)
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("rich.console.Console.print", lambda self, *things, **options: printed.extend(map(str, things)))
        assert distilrank(*told) == 0
    return told, out, "\n".join(printed)


def quality(out: Path, cell: str) -> float:
    record = read_json(out / "cells" / cell / "measured" / "dev.json")
    return float(np.mean(list(record["per_query"]["nDCG@10"][cell].values())))


def test_the_better_half_is_trained_for_longer(searched: tuple[Any, Path, str]) -> None:
    _, out, _ = searched
    first = ["2-16-2", "1-16-2", "1-8-16-4-2"]
    ranked = sorted(first, key=lambda cell: -quality(out, cell))
    assert {cell.name for cell in (out / "cells").iterdir()} == {*first, *(f"{cell[:-1]}4" for cell in ranked[:2])}
    for cell in (out / "cells").iterdir():
        made, judged = (shlex.split(line) for line in (cell / "commands.txt").read_text().splitlines())
        assert made[:2] == ["distilrank", "distil"]
        assert made[made.index("--steps") + 1] == cell.name[-1]
        assert made[made.index("--out") + 1] == str(cell)
        assert made[made.index("--procedure") + 1] == "standard"
        assert judged[:2] == ["distilrank", "evaluate"]
        assert (cell / "measured" / "dev.trec").is_file()


def test_the_winner_is_the_best_and_is_what_was_measured(searched: tuple[Any, Path, str]) -> None:
    _, out, printed = searched
    found = read_json(out / "search.json")
    forms = found["forms"]
    best = max(form["quality"]["mean"] for form in forms.values() if form["fits"])
    won = forms[found["winner"]]
    assert won["quality"]["mean"] == best
    assert won["vocabulary"] == "whole"
    assert found["trained_in"] == f"cells/{won['shape'].replace('/', '-')}-{won['steps']}"
    winner = out / "winner"
    files = search_forms.deployed_files(winner, won["precision"])
    assert network_file(winner) == files[0]
    assert sum(file.stat().st_size for file in files) / 1e6 == won["megabytes"]
    pairs = tiny_pairs(9)
    trained = TorchScorer(*load_model(out / found["trained_in"])).score(pairs)
    np.testing.assert_allclose(Ranker.load(winner, precision="fp32").score(pairs), trained, atol=1e-4)
    assert found["why"][0] in printed
    assert all(name in found["forms"] for name in found["front"])
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in (found["winner"], "The best student within 9 ms per 100 passages, 1 MB", "<svg", "first stage"):
        assert text in page


def test_quality_of_every_form_is_that_of_its_run(searched: tuple[Any, Path, str]) -> None:
    _, out, _ = searched
    forms = read_json(out / "search.json")["forms"]
    assert {form["shape"] for form in forms.values()} == {"2/16", "1/16", "1/8/16/4"}
    for name, form in forms.items():
        if form["precision"] == "fp32":
            cell = f"{form['shape'].replace('/', '-')}-{form['steps']}"
            assert form["quality"]["mean"] == pytest.approx(quality(out, cell), abs=1e-9), name
    assert forms["2/16 fp32"]["megabytes"] > forms["2/16 fp32, trimmed"]["megabytes"]
    assert forms["2/16 fp32"]["ms_per_100"] == 4.0


def test_the_same_command_makes_nothing_again(
    searched: tuple[tuple[object, ...], Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, out, _ = searched
    before = [each for each in sorted(files_of(out)) if each[0].split("/")[0] in ("forms", "untrained", "vocabulary")]
    record = (out / "search.json").read_text()
    for gone in ("procedures.standard_distillation.train", "workflows.compare_measuring.evaluate_ranking"):
        monkeypatch.delattr(f"distilrank.{gone}")
    monkeypatch.delattr(search_forms, "ms_per_100")
    assert distilrank(*told) == 0
    assert (out / "search.json").read_text() == record
    assert before == [
        each for each in sorted(files_of(out)) if each[0].split("/")[0] in ("forms", "untrained", "vocabulary")
    ]


def test_a_tighter_budget_drops_shapes_and_trims(
    searched: tuple[tuple[object, ...], Path, str], tmp_path: Path, teacher: Path, data: Path, capsys: Any
) -> None:
    _, before, _ = searched
    sizes = read_json(before / "untrained" / "1-16.json")["megabytes"]
    assert sizes["trimmed"]["fp32"] < sizes["whole"]["fp32"]
    out = tmp_path / "out"
    shutil.copytree(before, out)
    for cell in (out / "cells").iterdir():  # what they were trained by names the other folder
        shutil.rmtree(cell)
    limit = f"{sizes['trimmed']['fp32'] + 1e-6:.6f} MB"
    assert distilrank(*command(teacher, data, out, limit, "--no-int8")) == 0
    shown = capsys.readouterr()
    assert "dropped: 2/16: nearest to fitting, 2/16 fp32, trimmed, takes 4.0 ms" in shown.err
    assert {cell.name for cell in (out / "cells").iterdir()} == {"1-16-2", "1-8-16-4-2"}
    found = read_json(out / "search.json")
    assert list(found["dropped"]) == ["2/16 fp32, trimmed"]
    assert found["forms"]["1/16 fp32, trimmed"]["fits"]
    assert not found["forms"]["1/16 fp32"]["fits"]
    assert {path.name for path in (out / "forms").iterdir() if path.is_dir()} >= {"1-16-trimmed", "1-8-16-4-whole"}
    assert "int8" not in json.dumps(found["forms"])


def test_a_stopped_search_goes_on(
    data: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searched: tuple[Any, Path, str]
) -> None:
    out = tmp_path / "out"
    told = command(teacher, data, out, "9 ms per 100 passages", "--no-int8")
    made: list[str] = []
    real = distil_options.train

    def stop(cell: Any) -> None:
        made.append(cell.folder.name)
        if len(made) == 2:
            raise KeyboardInterrupt
        real(cell)

    with monkeypatch.context() as patch:
        patch.setattr(distil_options, "train", stop)
        assert distilrank(*told) == 130
    assert made == ["2-16-2", "1-16-2"]
    assert not (out / "winner").exists()
    assert not (out / "vocabulary").exists()  # a trimmed vocabulary saves no time
    untouched = ("cells/2-16-2", "untrained")
    before = [each for each in sorted(files_of(out)) if each[0].startswith(untouched)]
    assert distilrank(*told) == 0
    after = [each for each in sorted(files_of(out)) if each[0].startswith(untouched)]
    assert set(before) - set(after) <= {each for each in before if each[0].endswith("commands.txt")}
    # The same trainings as those of a search that was never stopped.
    whole = read_json(searched[1] / "search.json")["forms"]
    for name, form in read_json(out / "search.json")["forms"].items():
        assert form["quality"] == whole[name]["quality"]


def test_a_shape_that_fails_does_not_lose_the_rest(data: Path, teacher: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    common = COMMON.replace("standard", "simplified_tinybert")
    shapes = ("1", "1/8/16/2")  # whose heads cannot be compared with four
    told = command(teacher, data, out, "9 ms per 100 passages", "--no-int8", shapes=shapes, common=common)
    assert distilrank(*told) == 1
    assert "failed: 1-8-16-2-2: " in capsys.readouterr().err
    found = read_json(out / "search.json")
    assert list(found["failures"]) == ["1-8-16-2-2"]
    assert "1-8-16-2-2 failed" in (out / "report.html").read_text(encoding="utf-8")
    assert "1/8/16/2 fp32" not in found["forms"]


def test_8_bits_that_are_refused_do_not_win(
    data: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def refuse(*given: object, **options: object) -> Any:
        raise ModelError("it ranks nothing")

    monkeypatch.setattr(search_forms, "export_quantised", refuse)
    out = tmp_path / "out"
    assert distilrank(*command(teacher, data, out, "3 ms per 100 passages")) == 2  # where fp32 takes 4
    shown = capsys.readouterr().err
    assert "refused: 2/16 int8: it ranks nothing" in shown
    assert shown.count("refused: ") == 3  # the one that went out first was looked at too
    assert "nothing that was trained fits 3 ms per 100 passages: 8 bits were refused; give a larger budget" in shown
    assert not (out / "winner").exists()
    assert distilrank(*command(teacher, data, out, "9 ms per 100 passages")) == 0
    assert network_file(out / "winner").name == "model.onnx"


def test_8_bits_that_lose_their_speed_do_not_win(
    data: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def times(work: Mapping[str, Any], count: int) -> dict[str, float]:
        deployed = all(isinstance(score.func.__self__, Ranker) for score in work.values())
        return {name: 4.0 if name == "fp32" or deployed else 2.0 for name in work}

    monkeypatch.setattr(search_forms, "ms_per_100", times)
    out = tmp_path / "out"
    assert distilrank(*command(teacher, data, out, "3 ms per 100 passages", shapes=("1/8/16/4",))) == 2
    shown = capsys.readouterr().err
    assert "nothing that was trained fits 3 ms per 100 passages: " in shown
    assert ": 1/8/16/4 int8 takes 4.0 ms and 0.0 MB; give" in shown
    assert not (out / "winner").exists()


def test_bad_input_is_refused_before_anything_is_trained(
    data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for more, words in (
        (("--budget", "20 ms"), "'20 ms' is no limit"),
        (("--common", "--layers 2"), "--common has the option 'layers', which search itself chooses"),
        (("--common", "--max-tokens 9"), "has the option 'max_tokens', which search itself"),
        (("--common", "--procedure bilstm"), "bilstm, whose students have no such shapes"),
        (("--common", "--layer 2"), "has the option 'layer', which distil has not"),
        (("--shape", "3/x"), "'3/x' is no shape"),
        (("--shape", "9"), "a student of 9 layers cannot copy from a teacher of 4"),
        (("--steps", 0), "steps is 0"),
        (("--threads", 0), "--threads is 0"),
        (("--measure", "nDCGG@10"), "measure 'nDCGG@10' is not known"),
        (("--split", "tset"), "tset"),
        (("--max-tokens", 4000), "4000"),
    ):
        capsys.readouterr()
        assert distilrank(*command(teacher, data, out, PLENTY, *more)) == 2
        assert words in capsys.readouterr().err
    assert distilrank(*command(saved_ranker(tmp_path / "two", num_labels=2), data, out, PLENTY)) == 2
    assert "has 2 logits, and a ranker one; fold two into one with: distilrank convert" in capsys.readouterr().err
    bare = tmp_path / "bare"
    shutil.copytree(data, bare, ignore=shutil.ignore_patterns("groups"))
    assert distilrank(*command(teacher, bare, out, PLENTY)) == 2
    assert "holds no groups/train.jsonl" in capsys.readouterr().err
    assert not out.exists()
    assert distilrank(*command(teacher, data, out, "1 ms per 100 passages")) == 2
    error = capsys.readouterr().err
    assert "no shape fits 1 ms per 100 passages: the nearest, 1/8/16/4 int8, takes 2.0 ms and 0." in error
    assert {path.name for path in out.iterdir()} == {"untrained"}
    labelled = tmp_path / "labelled.tsv"
    labelled.write_text("sentence\tlabel\nred dog\t1\nblue dog\t0\n")
    assert distilrank(*command(teacher, labelled, out, PLENTY)) == 2
    assert "is classification data, and search is for rankers" in capsys.readouterr().err
