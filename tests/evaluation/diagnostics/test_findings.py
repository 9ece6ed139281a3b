from __future__ import annotations

import json

from distilrank.evaluation.diagnostics.findings import EXAMPLES, Diagnosis, Finding


def test_nothing_found_is_ok() -> None:
    finding = Finding.counting("a check", [], good="all well", bad="{count} wrong")
    assert (finding.level, finding.message, finding.count, finding.examples) == ("ok", "all well", 0, ())


def test_what_was_found_is_counted_and_a_few_are_shown() -> None:
    found = [str(number) for number in range(1234)]
    finding = Finding.counting("a check", found, good="all well", bad="{count} wrong")
    assert (finding.level, finding.message, finding.count) == ("problem", "1,234 wrong", 1234)
    assert finding.examples == tuple(found[:EXAMPLES])


def test_a_count_may_be_larger_than_the_examples() -> None:
    finding = Finding.counting("a check", ["x"], good="all well", bad="{count} wrong", level="note", count=50)
    assert (finding.level, finding.message, finding.count) == ("note", "50 wrong", 50)


def test_a_diagnosis_is_json_and_knows_its_problems() -> None:
    bad = Finding(check="b", level="problem", message="wrong", count=1, examples=("x",))
    diagnosis = Diagnosis(kind="ranking", facts={"n": 1}, findings=(Finding(check="a", level="ok", message="good"),))
    diagnosis = diagnosis.with_findings(bad)
    assert diagnosis.problems == (bad,)
    assert json.loads(json.dumps(diagnosis.to_json())) == {
        "kind": "ranking",
        "facts": {"n": 1},
        "findings": [
            {"check": "b", "level": "problem", "message": "wrong", "count": 1, "examples": ["x"]},
            {"check": "a", "level": "ok", "message": "good", "count": 0, "examples": []},
        ],
    }
