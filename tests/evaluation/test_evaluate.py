from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from distilrank.errors import InputError, SettingsError
from distilrank.evaluation.evaluate import Evaluation, evaluate_runs
from distilrank.evaluation.fidelity import fidelity
from distilrank.evaluation.significance import compare
from distilrank.records import Qrels, Run

MEASURES = ["nDCG@10", "RR@10"]


def make_run(quality: float, *, seed: int, queries: int = 30) -> Run:
    """Rank ten passages by noise, the relevant ``d0`` helped by ``quality``."""
    rng = np.random.default_rng(seed)
    return {
        f"q{number:02}": {f"d{place}": float(rng.normal() + quality * (place == 0)) for place in range(10)}
        for number in range(queries)
    }


QRELS: Qrels = {f"q{number:02}": {"d0": 1} for number in range(30)}
RUNS = {
    "student": make_run(2.5, seed=1),
    "teacher": make_run(3.5, seed=2),
    "bm25": make_run(0.5, seed=3),
    "other": make_run(1.5, seed=4),
}


def evaluated(**changes: Any) -> Evaluation:
    given: dict[str, Any] = {
        "qrels": QRELS,
        "runs": RUNS,
        "system": "student",
        "first_stage": "bm25",
        "teacher": "teacher",
        "measures": MEASURES,
    }
    return evaluate_runs(**{**given, **changes})


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluated()


def test_first_stage_comes_first_and_the_system_last(evaluation: Evaluation) -> None:
    assert list(evaluation.measured) == ["bm25", "teacher", "other", "student"]


def test_every_system_has_its_intervals(evaluation: Evaluation) -> None:
    for name, measured in evaluation.measured.items():
        for measure in MEASURES:
            interval = evaluation.intervals[name][measure]
            assert interval.mean == pytest.approx(measured.mean(measure))
            assert interval.low < interval.mean < interval.high
    assert evaluation.intervals["bm25"]["RR@10"].high < evaluation.intervals["teacher"]["RR@10"].low


def test_system_is_compared_with_all_others_under_one_correction(evaluation: Evaluation) -> None:
    assert [(each.measure, each.baseline) for each in evaluation.comparisons] == [
        (measure, baseline) for measure in MEASURES for baseline in ("bm25", "teacher", "other")
    ]
    assert list(evaluation.comparisons[:3]) == compare(
        "student", ["bm25", "teacher", "other"], evaluation.measured, "nDCG@10"
    )


def test_share_kept_and_fidelity(evaluation: Evaluation) -> None:
    share = evaluation.share_kept["RR@10"]
    assert share is not None
    assert share.mean == pytest.approx(
        evaluation.measured["student"].mean("RR@10") / evaluation.measured["teacher"].mean("RR@10")
    )
    assert share.low < share.mean < share.high
    assert evaluation.fidelity == fidelity(RUNS["student"], RUNS["teacher"])


def test_fidelity_is_over_judged_queries() -> None:
    qrels = {query_id: judged for query_id, judged in QRELS.items() if query_id < "q10"}
    found = evaluated(qrels=qrels).fidelity
    assert found is not None
    assert list(found.kendall_tau) == list(qrels)


def test_without_a_teacher() -> None:
    found = evaluated(teacher=None)
    assert found.share_kept == {}
    assert found.fidelity is None
    assert found.as_dict()["fidelity_to_teacher"] is None


def test_a_run_alone() -> None:
    found = evaluated(system="bm25", first_stage="bm25", teacher=None, runs={"bm25": RUNS["bm25"]})
    assert list(found.measured) == ["bm25"]
    assert list(found.comparisons) == []


def test_teacher_that_finds_nothing_has_no_share() -> None:
    nothing: Run = {query_id: {"d1": 2.0, "d2": 1.0} for query_id in QRELS}
    found = evaluated(runs={**RUNS, "teacher": nothing})
    assert found.share_kept == {"nDCG@10": None, "RR@10": None}
    assert found.as_dict()["share_of_teacher_kept"] == {"nDCG@10": None, "RR@10": None}


def test_json_holds_everything(evaluation: Evaluation) -> None:
    found = json.loads(json.dumps(evaluation.as_dict(), allow_nan=False))
    assert found["queries"] == 30
    assert [system["name"] for system in found["systems"]] == ["bm25", "teacher", "other", "student"]
    assert found["per_query"]["RR@10"]["student"] == evaluation.measured["student"].per_query["RR@10"]
    assert found["comparisons"][0]["baseline"] == "bm25"
    assert 0.0 < found["fidelity_to_teacher"]["rank_biased_overlap"]["mean"] < 1.0
    assert found["share_of_teacher_kept"]["RR@10"]["mean"] == pytest.approx(
        np.mean(list(found["per_query"]["RR@10"]["student"].values()))
        / np.mean(list(found["per_query"]["RR@10"]["teacher"].values()))
    )


def test_missing_and_unjudged_queries_are_told_per_system() -> None:
    short = {query_id: scores for query_id, scores in RUNS["student"].items() if query_id != "q07"}
    found = evaluated(runs={**RUNS, "student": {**short, "unjudged": {"d0": 1.0}}}).as_dict()
    (student,) = [system for system in found["systems"] if system["name"] == "student"]  # type: ignore[attr-defined]
    assert student["judged_queries_without_results"] == ["q07"]
    assert student["queries_without_judgements"] == 1


def test_one_seed_one_evaluation(evaluation: Evaluation) -> None:
    assert evaluated() == evaluation
    assert evaluated(seed=1) != evaluation


def test_a_run_of_other_queries_is_refused() -> None:
    others: Run = {"x1": {"d0": 1.0}, "x2": {"d0": 1.0}}
    with pytest.raises(InputError, match="none of the 2 queries of teacher is among the 30 judged ones"):
        evaluated(runs={**RUNS, "teacher": others})


def test_no_system_teaches_itself() -> None:
    with pytest.raises(SettingsError, match="student is given as its own teacher"):
        evaluated(teacher="student")
