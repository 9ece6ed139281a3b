from __future__ import annotations

from math import log2

import pytest

from distilrank.errors import InputError
from distilrank.evaluation.measures import measure, measure_name, parse_measure, split_names
from distilrank.records import Qrels, Run

QRELS: Qrels = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"a": 1}}


def test_values_by_hand() -> None:
    run: Run = {"q1": {"c": 3.0, "b": 2.0, "a": 1.0}, "q2": {"x": 2.0, "a": 1.0}}

    found = measure(QRELS, run, ["nDCG@10", "RR@10", "RR(rel=2)@10", "AP", "R@1", "P@2"])

    ideal = 2 + 1 / log2(3)
    assert found.per_query["nDCG@10"]["q1"] == pytest.approx((1 / log2(3) + 2 / 2) / ideal)
    assert found.per_query["RR@10"] == {"q1": 0.5, "q2": 0.5}
    assert found.per_query["RR(rel=2)@10"] == pytest.approx({"q1": 1 / 3, "q2": 0.0})
    assert found.per_query["AP"] == pytest.approx({"q1": (1 / 2 + 2 / 3) / 2, "q2": 0.5})
    assert found.per_query["R@1"] == {"q1": 0.0, "q2": 0.0}
    assert found.per_query["P@2"] == {"q1": 0.5, "q2": 0.5}
    assert found.mean("AP") == pytest.approx((7 / 12 + 0.5) / 2)
    assert found.means()["P@2"] == 0.5


def test_cutoff_is_respected() -> None:
    run: Run = {"q2": {**{f"x{rank}": 100.0 - rank for rank in range(10)}, "a": 1.0}}
    found = measure({"q2": {"a": 1}}, run, ["RR@10", "RR@11", "RR"])
    assert [found.mean(name) for name in found.names] == pytest.approx([0.0, 1 / 11, 1 / 11])


@pytest.mark.parametrize("names", [["RR@10"], ["RR"], ["nDCG@10"], ["AP"], ["Judged@1"], ["P@1"]])
def test_all_measures_see_ties_broken_by_descending_doc_id(names: list[str]) -> None:
    tied: Run = {"q": {"a": 1.0, "c": 1.0, "b": 1.0}}
    untied: Run = {"q": {"c": 3.0, "b": 2.0, "a": 1.0}}
    other: Run = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}
    for qrels in ({"q": {"a": 1}}, {"q": {"c": 1}}):
        assert measure(qrels, tied, names).means() == measure(qrels, untied, names).means()
        assert measure(qrels, tied, names).means() != measure(qrels, other, names).means()


def test_neighbours_that_float32_would_tie_are_not_tied() -> None:
    run: Run = {"q": {"a": 16.000000001, "b": 16.0}}
    assert measure({"q": {"a": 1}}, run, ["RR"]).mean("RR") == 1.0


def test_judged_query_without_results_counts_as_zero() -> None:
    run: Run = {"q2": {"a": 1.0}, "q1": {}}
    found = measure(QRELS, run, ["RR@10", "AP", "nDCG@10"])
    assert found.without_results == ("q1",)
    assert found.means() == {"RR@10": 0.5, "AP": 0.5, "nDCG@10": 0.5}


def test_query_without_judgements_is_left_out_and_counted() -> None:
    run: Run = {"q1": {"a": 1.0}, "q2": {"a": 1.0}, "q3": {"a": 1.0}, "q4": {"a": 1.0}}
    found = measure({**QRELS, "q4": {}}, run, ["RR@10"])
    assert found.without_judgements == ("q3", "q4")
    assert found.query_ids == ("q1", "q2")
    assert found.mean("RR@10") == 1.0


def test_query_judged_without_anything_relevant_counts_as_zero() -> None:
    found = measure({"q1": {"a": 1}, "q2": {"a": 0}}, {"q1": {"a": 1.0}, "q2": {"a": 1.0}}, ["AP", "RR@10"])
    assert found.means() == {"AP": 0.5, "RR@10": 0.5}


def test_negative_relevance_is_not_relevant() -> None:
    found = measure({"q": {"spam": -2, "a": 1}}, {"q": {"spam": 2.0, "a": 1.0}}, ["RR@10", "nDCG@10", "AP"])
    assert found.means() == pytest.approx({"RR@10": 0.5, "nDCG@10": 1 / log2(3), "AP": 0.5})


def test_nothing_judged_is_refused() -> None:
    with pytest.raises(InputError, match="no query is judged"):
        measure({"q": {}}, {"q": {"a": 1.0}}, ["AP"])


def test_order_of_files_makes_no_difference() -> None:
    run: Run = {f"q{number}": {"a": 1.0, f"x{number}": float(number % 3)} for number in range(9)}
    qrels: Qrels = {query_id: {"a": 1} for query_id in run}
    turned = measure(dict(reversed(qrels.items())), dict(reversed(run.items())), ["RR@10"])
    found = measure(qrels, run, ["RR@10"])
    assert turned.query_ids == found.query_ids == tuple(sorted(run))
    assert turned.interval("RR@10") == found.interval("RR@10")


def test_query_ids_are_whatever_they_are() -> None:
    qrels: Qrels = {"ü 7": {"a": 1}, "": {"a": 1}}
    found = measure(qrels, {"ü 7": {"a": 1.0}}, ["AP"])
    assert found.per_query["AP"] == {"": 0.0, "ü 7": 1.0}


def test_two_gains_at_one_cutoff_are_not_mixed_up() -> None:
    """ir_measures 0.4.3 gives one's values for the other when asked for both at once, in some orders of hashing."""
    run: Run = {"q1": {"b": 2.0, "a": 1.0}}
    names = ["nDCG@10", "nDCG(gains={1:1,2:9})@10", "RR(rel=2)@10", "AP(rel=2)", "P(rel=2)@1"]

    found = measure({"q1": QRELS["q1"]}, run, names)

    assert found.mean("nDCG@10") == pytest.approx((1 + 2 / log2(3)) / (2 + 1 / log2(3)))
    assert found.values(found.names[1])[0] == pytest.approx((1 + 9 / log2(3)) / (9 + 1 / log2(3)))


def test_names_are_one_spelling() -> None:
    assert measure_name("MRR@10") == measure_name("RR(rel=1)@10") == measure_name(" RR@10 ") == "RR@10"
    assert measure_name("MAP(rel=2)") == "AP(rel=2)"
    assert measure(QRELS, {}, ["MRR@10", "RR@10"]).names == ("RR@10",)


def test_names_are_split_outside_parentheses() -> None:
    text = "nDCG@10 RR(rel=2)@10, AP(rel=2),nDCG(gains={0:0, 1:2})@5\tP@1"
    assert split_names(text) == ["nDCG@10", "RR(rel=2)@10", "AP(rel=2)", "nDCG(gains={0:0, 1:2})@5", "P@1"]
    assert split_names("  ") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nDGC@10", "did you mean 'nDCG'"),
        ("nDCG@ten", "cannot be read"),
        ("nDCG@10 AP", "cannot be read"),
        ("nDCG@10@5", "cannot be read"),
        ("AP(2)", "cannot be read"),
        ("", "cannot be read"),
        ("__import__('os')", "cannot be read"),
        ("nDCG(depth=3)", "unsupported params found"),
        ("nDCG(gains=3)@10", "invalid param gains=3"),
        ("SetF(beta='x')", "invalid param beta"),
        ("P", "lacks its cutoff: write P@ and a number"),
        ("IPrec", "lacks its recall"),
        ("nDCG@0", "cutoff 0; give a whole number from 1 up"),  # takes the process down in trec_eval's code
        ("nDCG@-1", "cutoff -1"),
        ("AP(rel=0)", "rel 0"),
        ("RR(rel=1.5)@10", "rel 1.5"),
        ("RBP(p=2.0)", "cannot be computed"),
    ],
)
def test_wrong_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_measure(name)
    assert message in str(refused.value)


def test_library_that_fails_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"nDCG\(gains=\{1:0.5\}\)@10' cannot be computed on this data"):
        measure(QRELS, {"q1": {"a": 1.0}}, ["nDCG(gains={1:0.5})@10"])


def test_a_measure_that_was_not_taken() -> None:
    with pytest.raises(KeyError, match="only AP"):
        measure(QRELS, {}, ["AP"]).values("RR@10")
