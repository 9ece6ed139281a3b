from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from distilrank.data.trec import ranking
from distilrank.errors import ModelError
from distilrank.evaluation.intervals import Interval
from distilrank.export.quality import (
    Scored,
    batch_change,
    judge,
    largest_difference,
    queries_needed,
    require_invariance,
    require_ranking,
    spread,
)
from distilrank.runtime.ranker import Ranker
from tests.export.exported import PASSAGES, Judge, exported_ranker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_ranker(tmp_path_factory.mktemp("models") / "student")


@pytest.fixture(scope="module")
def judged(folder: Path) -> Judge:
    return Judge(folder)


@pytest.fixture(scope="module")
def fp32(folder: Path, judged: Judge) -> Scored:
    return judged(Ranker.load(folder))


def changed(fp32: Scored, judged: Judge, change: np.ndarray | float, *, factor: float = 1.0) -> Scored:
    """The float file's scores with something done to them."""
    return judged.scored(
        {query_id: factor * np.array(list(found.values())) + change for query_id, found in fp32.run.items()}
    )


def test_the_same_scores_pass(fp32: Scored) -> None:
    verdict = judge(fp32, fp32, batch_change=0.0)
    assert verdict.passed
    assert verdict.kendall_tau == pytest.approx(1.0)
    assert (verdict.largest_difference, verdict.lost.mean) == (0.0, 0.0)
    assert verdict.queries == 12
    assert verdict.fp32 == verdict.quantised
    assert verdict.as_dict()["passed"] is True
    assert " in fp32 on 12 queries (+0.00%, " in verdict.sentence()


def test_what_is_lost_is_measured_against_the_margin(fp32: Scored, judged: Judge) -> None:
    noise = np.random.default_rng(0).normal(0, 0.5 * spread(fp32.run), PASSAGES)
    worse = changed(fp32, judged, noise)
    verdict = judge(worse, fp32, batch_change=0.0)
    lost = 1 - worse.measures.mean("nDCG@10") / fp32.measures.mean("nDCG@10")
    assert lost > 0.01
    assert verdict.lost.mean == pytest.approx(lost)
    assert verdict.lost.low < lost < verdict.lost.high
    assert verdict.largest_difference == pytest.approx(np.abs(noise).max(), rel=1e-5)
    assert 0.3 < verdict.kendall_tau < 1.0
    assert verdict.problems == (f"it loses {lost:.1%} of nDCG@10, more than the 1.0% allowed",)
    assert judge(worse, fp32, batch_change=0.0, margin=lost + 0.001).passed
    assert not judge(worse, fp32, batch_change=0.0, margin=lost - 0.001).passed


def test_pairs_in_another_order_are_counted(fp32: Scored, judged: Judge) -> None:
    noise = np.random.default_rng(0).normal(0, 0.5 * spread(fp32.run), PASSAGES)
    other = changed(fp32, judged, noise)
    swapped = []
    for query_id, before in fp32.run.items():  # by counting them
        place = {doc_id: rank for rank, doc_id in enumerate(ranking(other.run[query_id]))}
        pairs = list(combinations(ranking(before), 2))
        swapped.append(np.mean([place[better] > place[worse] for better, worse in pairs]))
    share = float(np.mean(swapped))
    assert 0.05 < share < 0.4
    assert judge(other, fp32, batch_change=0.0, margin=0.9, most_swapped=share + 0.001).passed
    (problem,) = judge(other, fp32, batch_change=0.0, margin=0.9, most_swapped=share - 0.001).problems
    assert problem.startswith(f"it puts {share:.2%} of the pairs of passages in another order, more than the ")


def test_few_queries_are_said_to_be_few(fp32: Scored, judged: Judge) -> None:
    noise = np.random.default_rng(0).normal(0, 0.5 * spread(fp32.run), PASSAGES)
    verdict = judge(changed(fp32, judged, noise), fp32, batch_change=0.0, margin=0.015)
    assert verdict.lost.low < 0.015 < verdict.lost.high
    off = (verdict.lost.high - verdict.lost.low) / 2
    assert verdict.queries_needed == math.ceil(12 * (off / 0.015) ** 2)
    assert f"12 queries are too few to tell on which side of the margin it is, about {verdict.queries_needed:,} " in (
        verdict.doubt()
    )
    assert judge(fp32, fp32, batch_change=0.0).doubt() == ""


@pytest.mark.parametrize(
    ("low", "high", "needed"),
    [(-0.03, 0.05, 1600), (0.0, 0.02, None), (0.02, 0.5, None), (-0.5, 0.005, None), (-0.01, 0.03, 400)],
)
def test_queries_needed_by_hand(low: float, high: float, needed: int | None) -> None:
    assert queries_needed(Interval((low + high) / 2, low, high), 100, 0.01) == needed
    assert queries_needed(Interval((low + high) / 2, low, high), 100, 0.0) is None


def test_better_is_no_loss(fp32: Scored, judged: Judge) -> None:
    reversed_ = changed(fp32, judged, 0.0, factor=-1.0)
    verdict = judge(fp32, reversed_, batch_change=0.0)
    assert verdict.passed
    assert verdict.lost.mean < 0


def test_scores_that_are_no_numbers_do_not_pass(fp32: Scored) -> None:
    assert not judge(fp32, fp32, batch_change=float("nan")).passed


def test_one_score_for_all_is_caught(fp32: Scored, judged: Judge) -> None:
    constant = judged.scored({query_id: np.ones(PASSAGES) for query_id in fp32.run})
    problems = " ".join(judge(constant, fp32, batch_change=0.0, margin=0.99).problems)
    assert "gives all passages of a query one score for 12 of 12 queries" in problems
    with pytest.raises(ModelError, match="the exported model gives all passages of a query one score"):
        require_ranking(constant)
    require_ranking(fp32)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_order_of_the_input_is_caught(fp32: Scored, judged: Judge, sign: int) -> None:
    in_order = judged.scored({query_id: sign * np.arange(float(PASSAGES)) for query_id in fp32.run})
    problems = " ".join(judge(in_order, fp32, batch_change=0.0, margin=0.99).problems)
    assert "ranks 12 of 12 queries in the" in problems
    with pytest.raises(ModelError, match="in which the passages were given"):
        require_ranking(in_order)


def test_what_the_float_file_does_too_is_no_fault_of_8_bits(fp32: Scored, judged: Judge) -> None:
    coarse = judged.scored({query_id: np.round(np.array(list(found.values()))) for query_id, found in fp32.run.items()})
    assert "different scores" in " ".join(judge(coarse, fp32, batch_change=0.0, margin=0.99).problems)
    assert judge(coarse, coarse, batch_change=0.0).passed


def test_dependence_on_the_batch_is_refused(fp32: Scored) -> None:
    allowed = 0.1 * spread(fp32.run)
    assert judge(fp32, fp32, batch_change=0.99 * allowed).passed
    verdict = judge(fp32, fp32, batch_change=1.5 * allowed)
    assert verdict.batch_mates == pytest.approx(0.15)
    assert "changes by up to 0.15 standard deviations" in verdict.problems[0]


def test_a_model_without_any_merit_cannot_be_judged(fp32: Scored, judged: Judge) -> None:
    worthless = judged.scored(
        {query_id: -10.0 * np.array(list(judged.qrels[query_id].values())) for query_id in fp32.run}
    )
    empty = Scored(run=worthless.run, measures=type(fp32.measures)(per_query={"nDCG@10": dict.fromkeys(fp32.run, 0.0)}))
    with pytest.raises(ModelError, match="is 0 on these queries"):
        judge(fp32, empty, batch_change=0.0)


def test_numbers_by_hand() -> None:
    run = {"a": {"x": 0.0, "y": 2.0}, "b": {"x": 1.0, "y": 7.0}, "c": {"x": 3.0}}
    assert spread(run) == 2.0  # the median of 1 and 3; c has nothing to differ from
    assert largest_difference(run, {"a": {"x": 0.5, "y": 2.0}, "b": {"x": 1.0, "y": 4.0}, "c": {"x": 3.0}}) == 3.0


class BatchDependent:
    """Gives a pair its place's score, and more where it is not alone."""

    def __init__(self, more: float) -> None:
        self.more = more

    def score(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        return np.array([float(passage) + self.more * (len(pairs) > 1) for _, passage in pairs])


def test_batch_mates_are_measured() -> None:
    pairs = [("q", str(place)) for place in range(4)]
    assert batch_change(BatchDependent(0.25), pairs) == 0.25
    assert require_invariance(BatchDependent(2e-5), pairs) == pytest.approx(2e-5)  # of scores up to 3: 3e-5 is allowed
    with pytest.raises(ModelError, match="changes by 4e-05 with what else is in the batch, more than 3e-05"):
        require_invariance(BatchDependent(4e-5), pairs)
