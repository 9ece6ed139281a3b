"""Our measures against trec_eval's own published test outputs (github.com/usnistgov/trec_eval, folder ``test``).

Its files are not ours to copy. Where they lie is told by an environment variable; without it, only the
examples below run::

    git clone --depth 1 https://github.com/usnistgov/trec_eval
    TREC_EVAL_TEST=trec_eval/test pytest tests/reference
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distilrank.data.trec import read_qrels, read_run
from distilrank.evaluation.measures import measure
from distilrank.evaluation.rerank import shorten
from distilrank.records import Qrels, Run

FOLDER_NAME = "TREC_EVAL_TEST"

CUTOFFS = (5, 10, 15, 20, 30, 100, 200, 500, 1000)
OURS = {
    "map": "AP",
    "recip_rank": "RR",
    "ndcg": "nDCG",
    "Rprec": "Rprec",
    "bpref": "Bpref",
    "infAP": "infAP",
    "set_P": "SetP",
    "set_recall": "SetR",
    "set_map": "SetAP",
    "set_F": "SetF",
    **{f"P_{cutoff}": f"P@{cutoff}" for cutoff in (3, 7, *CUTOFFS)},
    **{f"recall_{cutoff}": f"R@{cutoff}" for cutoff in (2000, *CUTOFFS)},
    **{f"map_cut_{cutoff}": f"AP@{cutoff}" for cutoff in CUTOFFS},
    **{f"ndcg_cut_{cutoff}": f"nDCG@{cutoff}" for cutoff in (23, *CUTOFFS)},
    **{f"success_{cutoff}": f"Success@{cutoff}" for cutoff in (1, 2, 5, 10, 20)},
}
"""trec_eval's name -> ours.

Interpolated precision is not among them: trec_eval changed its cutoffs on 2023-12-21 (commit 2a9e214), because the
former ones depended on the platform; the library that we measure with has those.
"""
COUNTS = {"num_ret": "NumRet", "num_rel": "NumRel", "num_rel_ret": "NumRet(rel=1)"}
"""What trec_eval adds up over the queries."""
GRADED = {"ndcg", *(name for name in OURS if name.startswith("ndcg_cut"))}
"""Measures that use the grades and know no lowest relevant one."""


@pytest.fixture(scope="module")
def published() -> Path:
    folder = os.environ.get(FOLDER_NAME)
    if not folder:
        pytest.skip(f"trec_eval's test files are not here: {FOLDER_NAME} does not say where")
    return Path(folder)


@pytest.mark.parametrize(
    ("qrels", "run", "output", "relevant_from", "depth"),
    [
        ("qrels.test", "results.test", "out.test", 1, None),
        ("qrels.test", "results.test", "out.test.a", 1, None),
        ("qrels.test", "results.test", "out.test.aq", 1, None),
        ("qrels.test", "results.trunc", "out.test.aqc", 1, None),
        ("qrels.test", "results.trunc", "out.test.aqcM", 1, 100),
        ("qrels.rel_level", "results.test", "out.test.aql", 2, None),
        ("qrels.test", "results.test", "out.test.meas_params", 1, None),
    ],
)
def test_published_outputs(
    published: Path, qrels: str, run: str, output: str, relevant_from: int, depth: int | None
) -> None:
    expected = read_output(published / output)
    names = {theirs: with_level(theirs, relevant_from) for theirs in OURS if ("all", theirs) in expected}

    found = measure(
        read_qrels(published / qrels), shorten(read_run(published / run), depth=depth), list(names.values())
    )

    compared = 0
    for theirs, ours in names.items():
        values = found.per_query[ours] | {"all": found.mean(ours)}
        for query_id, value in values.items():
            if (query_id, theirs) in expected:
                assert f"{value:.4f}" == expected[query_id, theirs], f"{theirs} of {query_id}"
                compared += 1
    assert compared >= len(names) >= 10


def with_level(theirs: str, relevant_from: int) -> str:
    """Return our name of a measure with the lowest relevance that counts."""
    family, at, cutoff = OURS[theirs].partition("@")
    return OURS[theirs] if relevant_from == 1 or theirs in GRADED else f"{family}(rel={relevant_from}){at}{cutoff}"


def read_output(path: Path) -> dict[tuple[str, str], str]:
    """Read what trec_eval printed: (query_id or "all", measure) -> value."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {(query_id, name): value for name, query_id, value in lines if name != "runid"}


def test_published_counts(published: Path) -> None:
    expected = read_output(published / "out.test")

    found = measure(read_qrels(published / "qrels.test"), read_run(published / "results.test"), list(COUNTS.values()))

    assert len(found.query_ids) == int(expected["all", "num_q"])
    for theirs, ours in COUNTS.items():
        assert found.values(ours).sum() == int(expected["all", theirs])


def test_the_example_of_pytrec_eval() -> None:
    """The README of github.com/cvangysel/pytrec_eval (Van Gysel and de Rijke, SIGIR 2018), computed by trec_eval."""
    qrels: Qrels = {"q1": {"d1": 0, "d2": 1, "d3": 0}, "q2": {"d2": 1, "d3": 1}}
    run: Run = {"q1": {"d1": 1.0, "d2": 0.0, "d3": 1.5}, "q2": {"d1": 1.5, "d2": 0.2, "d3": 0.5}}

    found = measure(qrels, run, ["AP", "nDCG"])

    assert found.per_query["nDCG"] == pytest.approx({"q1": 0.5, "q2": 0.6934264036172708})
    assert found.per_query["AP"] == pytest.approx({"q1": 0.3333333333333333, "q2": 0.5833333333333333})


def test_the_ndcg_example_of_wikipedia() -> None:
    """en.wikipedia.org/wiki/Discounted_cumulative_gain: DCG 6.861 and ideal DCG 8.740 at 6 give 0.785."""
    qrels: Qrels = {"q": {"D1": 3, "D2": 2, "D3": 3, "D4": 0, "D5": 1, "D6": 2, "D7": 3, "D8": 2}}
    run: Run = {"q": {f"D{rank}": float(-rank) for rank in range(1, 7)}}
    assert measure(qrels, run, ["nDCG@6"]).mean("nDCG@6") == pytest.approx(0.785, abs=5e-4)
