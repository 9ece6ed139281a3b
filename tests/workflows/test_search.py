"""Budgets, shapes, halving, the front and the sentences of a search, without any training."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.data.files import write_json
from distilrank.data.vocabulary import trim_tokenizer
from distilrank.errors import SettingsError
from distilrank.models.save import save_model
from distilrank.models.vocabulary_rows import keep_rows
from distilrank.runtime.cpu import this_cpu
from distilrank.runtime.ranker import Ranker
from distilrank.workflows import search_forms
from distilrank.workflows.compare_measuring import MeasuredOn
from distilrank.workflows.search import SearchSettings, halve
from distilrank.workflows.search_budget import Budget, Form, best_form, pareto_front
from distilrank.workflows.search_forms import Bench, deployed_files, leave_winner, untrained_forms
from distilrank.workflows.search_report import Found
from distilrank.workflows.search_shapes import shapes_of
from tests.tiny import VOCABULARY, tiny_config, tiny_export, tiny_model, tiny_pairs, tiny_tokenizer

BUDGET = Budget(ms_per_100=20, megabytes=25)


@pytest.mark.parametrize(
    ("text", "ms", "mb"),
    [
        ("20 ms per 100 passages, 25 MB", 20, 25),
        ("25MB,20.5ms per 100", 20.5, 25),
        (" 0.5 mb ", None, 0.5),
        ("7 MS PER 100 PASSAGES", 7, None),
    ],
)
def test_a_budget_is_read(text: str, ms: float | None, mb: float | None) -> None:
    budget = Budget.parse(text)
    assert (budget.ms_per_100, budget.megabytes) == (ms, mb)
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "'' is no limit"),
        ("20 ms", "'20 ms' is no limit"),
        ("20 ms per query", "'20 ms per query' is no limit"),
        ("5 MB, 1 GB", "'1 GB' is no limit"),
        ("0 MB", "'0 MB' is no limit"),
        ("-3 MB", "'-3 MB' is no limit"),
        ("3 MB, 4 MB", "'4 MB' comes twice"),
        ("3 MB,", "'' is no limit"),
    ],
)
def test_what_is_no_budget_is_refused(text: str, part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Budget.parse(text)
    assert part in str(caught.value)
    assert '"20 ms per 100 passages, 25 MB"' in str(caught.value)


def form(shape: str = "a", *, ms: float = 10, mb: float = 10, mean: float = 0.5, **more: Any) -> Form:
    """A form whose queries all have one value."""
    facts = {"vocabulary": "whole", "precision": "fp32", "steps": 8} | more
    values = {f"q{i}": mean + 0.01 * (i % 2) for i in range(20)}
    return Form(shape=shape, ms_per_100=ms, megabytes=mb, per_query=values, **facts)


def test_what_fits() -> None:
    assert BUDGET.share(10, 20) == pytest.approx(0.8)
    assert BUDGET.share(30, 5) == pytest.approx(1.5)
    assert Budget(megabytes=10).share(1e9, 5) == 0.5
    assert form(ms=20, mb=25).fits(BUDGET)
    assert not form(ms=20.1, mb=1).fits(BUDGET)
    assert not form(ms=1, mb=25.1).fits(BUDGET)


def test_the_front() -> None:
    best, fast, small = form("best", mean=0.6, ms=30), form("fast", mean=0.3, ms=5), form("small", mean=0.1, mb=3)
    beaten, equal = form("beaten", mean=0.29, ms=6, mb=11), form("equal", mean=0.3, ms=5)
    assert pareto_front([best, beaten, fast, small, equal]) == [fast, equal, small, best]
    assert pareto_front([beaten]) == [beaten]


def test_of_equals_the_whole_vocabulary_is_best() -> None:
    trimmed = form(vocabulary="trimmed", ms=1)
    assert best_form([trimmed, form(ms=9), form(ms=8)]) == form(ms=8)
    assert best_form([form(), replace(trimmed, per_query={"q": 0.9})]).vocabulary == "trimmed"


def test_the_usual_shapes_are_shares_of_the_teacher() -> None:
    names = [shape.name for shape in shapes_of((), tiny_config(layers=6, hidden=16))]
    assert names == ["3/16", "2/16", "1/16", "6/8/16/4", "3/8/16/4", "2/8/16/4", "1/8/16/4"]
    assert [shape.name for shape in shapes_of((), tiny_config(layers=12))][:4] == ["6/16", "4/16", "3/16", "2/16"]
    config = tiny_config(layers=2, hidden=20)  # half of it cannot be split among four heads
    assert [shape.name for shape in shapes_of((), config)] == ["1/20"]


def test_shapes_by_name() -> None:
    shapes = shapes_of(("3", "3/16", "2/24", "2/24/48/4", "1/12/20/2"), tiny_config(layers=6, hidden=16))
    assert [shape.name for shape in shapes] == ["3/16", "2/24/48/4", "1/12/20/2"]
    assert [shape.arguments for shape in shapes] == [
        ("--layers", "3"),
        ("--shape", "2/24/48/4"),
        ("--shape", "1/12/20/2"),
    ]
    assert shapes[1].folder == "2-24-48-4"
    for wrong, words in (("3/x", "'3/x' is no shape"), ("7", "7 layers cannot"), ("2/9", "among 4 heads"), ("", "no")):
        with pytest.raises(SettingsError, match=words):
            shapes_of((wrong,), tiny_config(layers=6, hidden=16))


def raced(count: int, *, eta: int = 2, broken: tuple[str, ...] = ()) -> tuple[list[str], dict[str, int | None]]:
    """Halve shapes called 1, 2, ... of which the last is best; those of ``broken``, such as 2@16, fail."""
    made: list[str] = []

    def run(name: str, steps: int) -> Form | None:
        made.append(f"{name}@{steps}")
        return None if made[-1] in broken else form(name, mean=int(name) / 10, steps=steps)

    names = [str(i) for i in range(1, count + 1)]
    found = halve(names, run, steps=8, eta=eta, say=lambda text: None)
    return made, {name: each.steps for name, each in found.items()}


def test_halving() -> None:
    made, found = raced(5)
    assert made == ["1@8", "2@8", "3@8", "4@8", "5@8", "5@16", "4@16", "3@16", "5@32", "4@32"]
    assert found == {"1": 8, "2": 8, "3": 16, "4": 32, "5": 32}
    made, _ = raced(9, eta=3)
    assert made[9:] == ["9@24", "8@24", "7@24", "9@72", "8@72"]
    assert raced(2)[0] == ["1@8", "2@8"]
    assert raced(1)[0] == ["1@8"]


def test_what_fails_is_out() -> None:
    made, found = raced(4, broken=("4@8", "3@16"))
    assert made == ["1@8", "2@8", "3@8", "4@8", "3@16", "2@16"]
    assert found == {"1": 8, "2": 16, "3": 8}
    assert raced(2, broken=("1@8", "2@8"))[1] == {}


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"steps": 0}, {"eta": 1}, {"max_tokens": 7}):
        with pytest.raises(SettingsError, match="give at least 1, 2 and 8"):
            SearchSettings(budget=BUDGET, **wrong)  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Bench:
    test = MeasuredOn(data="d")
    known = {"pairs": tiny_pairs(8), "threads": 1, "offline": True, "say": print}
    return Bench(data="d", test=test, judged=None, **known)  # type: ignore[arg-type]


def measured(bench: Bench, record: Path, **other: Any) -> dict[str, Form]:
    """The untrained forms of half a tiny teacher, by vocabulary and precision; the trimmed one has no digits."""
    model, tokenizer = tiny_model(layers=2), tiny_tokenizer()
    kept = [place for place, token in enumerate(VOCABULARY) if not token.isdecimal()]
    small = tiny_model(layers=2)
    keep_rows(small, kept)
    told: dict[str, Any] = {"precisions": ("fp32", "int8"), "max_tokens": 32, "record": record, "teacher": "t"}
    (shape,) = shapes_of(("1",), model.config)
    teachers: Any = {"whole": (model, tokenizer), "trimmed": (small, trim_tokenizer(tokenizer, kept))}
    forms = untrained_forms(shape, teachers, bench, **told | other)
    return {f"{form.vocabulary} {form.precision}": form for form in forms}


def test_untrained_shapes_are_measured_once(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[list[str]] = []

    def times(scorers: Mapping[str, Any], pairs: Any) -> dict[str, float]:
        for scorer in scorers.values():
            assert np.ptp(scorer.score(pairs)) > 0
            assert scorer._tokenizer.max_tokens == 32
        timed.append(list(scorers))
        return {name: float(i) for i, name in enumerate(scorers, start=1)}

    monkeypatch.setattr(search_forms, "_times", times)
    found = measured(bench, tmp_path / "record.json")
    assert list(found) == ["whole fp32", "whole int8", "trimmed fp32", "trimmed int8"]
    sizes = {name: form.megabytes for name, form in found.items()}
    assert sizes["whole fp32"] - sizes["trimmed fp32"] > 10 * 16 * 4 / 1e6  # ten rows of 16 numbers, and ten tokens
    assert sizes["whole int8"] < sizes["whole fp32"]
    assert {name: form.ms_per_100 for name, form in found.items() if "fp32" in name} == {
        "whole fp32": 1.0,
        "trimmed fp32": 1.0,
    }
    assert found["trimmed int8"].ms_per_100 == 2.0
    assert measured(bench, tmp_path / "record.json") == found
    assert timed == [["fp32", "int8"]]  # for one vocabulary, and once
    assert "whole int8" not in measured(bench, tmp_path / "record.json", precisions=("fp32",))
    measured(bench, tmp_path / "record.json", precisions=("fp32",), teacher="another")
    measured(replace(bench, threads=2), tmp_path / "record.json", precisions=("fp32",), teacher="another")
    assert timed[1:] == [["fp32"]] * 3


def in_eight_bits(folder: Path) -> Path:
    """A ranker's folder with what stands for an 8-bit file that passed its gate."""
    save_model(tiny_model(), tiny_tokenizer(), folder)
    content = tiny_export(folder).read_bytes()
    arithmetic = this_cpu().arithmetic
    (folder / "onnx" / "model_qint8.onnx").write_bytes(content)
    facts = {"arithmetic": arithmetic, "judged_on": arithmetic, "bytes": len(content)}
    write_json(folder / "onnx" / "quality.json", {"files": {"model_qint8.onnx": facts}})
    return folder


def test_the_files_that_are_counted_are_all_that_is_needed(tmp_path: Path) -> None:
    folder, pairs = in_eight_bits(tmp_path / "whole"), tiny_pairs(5)
    expected = Ranker.load(folder).score(pairs)
    for precision, name, count in (("fp32", "model.onnx", 3), ("int8", "model_qint8.onnx", 4)):
        alone = tmp_path / precision
        files = deployed_files(folder, precision)  # type: ignore[arg-type]
        assert len(files) == count
        for file in files:
            copy = alone / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        ranker = Ranker.load(alone)
        assert ranker.file == alone / "onnx" / name
        np.testing.assert_array_equal(ranker.score(pairs), expected)


def test_the_winner_runs_in_the_precision_that_won(tmp_path: Path) -> None:
    folder = in_eight_bits(tmp_path / "form")
    for precision, name in (("int8", "model_qint8.onnx"), ("fp32", "model.onnx")):
        leave_winner(folder, tmp_path / "winner", precision)  # type: ignore[arg-type]
        assert Ranker.load(tmp_path / "winner").file == tmp_path / "winner" / "onnx" / name
    assert {path.name for path in (tmp_path / "winner" / "onnx").iterdir()} == {"model.onnx"}


def found(**other: Any) -> Found:
    """A search that the form ``a`` won against ``b`` and ``e``; ``c`` is too slow, ``f`` and ``d`` were dropped."""
    winner = form("a", mean=0.5)
    beside = [form("b", mean=0.4), form("c", mean=0.7, ms=40), form("a", mb=5, vocabulary="trimmed")]
    facts: dict[str, Any] = {
        "budget": BUDGET,
        "test": MeasuredOn(data="d", split="dev", measures=("nDCG@10",)),
        "winner": winner,
        "run": Path("cells/a"),
        "forms": [winner, *beside, form("e", mean=0.45, ms=3, steps=4)],
        "dropped": [replace(form("f", ms=500), per_query={}), replace(form("d", ms=50), per_query={})],
        "teacher": form("teacher", mean=0.9),
        "first_stage": form("BM25", mean=0.2).per_query,
        "failures": {},
    }
    return Found(**facts | other)


def test_why_the_winner_won() -> None:
    best, following, larger, dropped = found().why
    assert best.startswith("a fp32 takes 10.0 ms and 10.0 MB and has the best nDCG@10 of what fits 20 ms per 100 ")
    assert ": 0.5050 (0.50" in best
    assert best.endswith("on 20 queries of dev.")
    assert following.startswith(
        "The next shape that fits is e fp32 after 4 steps: -0.0500 nDCG@10 (-0.050 to -0.050), "
    )
    assert following.endswith("p 0.0001 by a paired randomisation test, significant.")
    assert larger.startswith("With 40.0 ms and 10.0 MB it could be c fp32: +0.2000 nDCG@10")
    assert dropped.startswith(
        "2 shape(s) do not fit and were not trained; what the nearest, d fp32 with 50.0 ms and 10"
    )


def test_why_it_won_with_nobody_beside_it() -> None:
    winner = found().winner
    assert len(found(forms=[winner], dropped=[]).why) == 1
    slow = found(forms=[winner, form("c", mean=0.5, ms=40)], dropped=[])
    assert slow.why[1:] == ["Nothing that was trained and takes more is better."]
    tie = found(forms=[winner, form("b", mean=0.5, ms=11)], dropped=[])
    assert tie.why[1].startswith("The next shape that fits is b fp32: +0.0000 nDCG@10")
    assert tie.why[1].endswith("p 1.0000 by a paired randomisation test, not significant.")


def test_the_winner_is_shown_though_its_trimmed_twin_beats_it() -> None:
    assert [form.name for form in found().shown] == ["e fp32", "a fp32", "a fp32, trimmed", "c fp32"]
