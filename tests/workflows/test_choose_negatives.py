"""``distilrank choose-negatives`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilrank.data.groups import GroupFile
from tests.end_to_end.verbs import distilrank, files_of
from tests.workflows.test_mix_scores import scored


def chosen_in(folder: Path) -> list[tuple[str, ...]]:
    return [group.passages for group in GroupFile(folder / "groups.jsonl")]


def test_hard_negatives_without_likely_false_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = scored(tmp_path / "scored.jsonl", [5.0, 1.0, 4.9, 3.0, 2.0], [1.0, 2.0, 3.0], [5.0, 0.0, 1.0])
    told = ("choose-negatives", "--data", file, "--margin", 1, "--negatives", 2)
    assert distilrank(*told, "--out", tmp_path / "hard") == 0
    assert chosen_in(tmp_path / "hard") == [("p0", "p3", "p4"), ("p0", "p1", "p2")]
    printed = capsys.readouterr().out
    assert "3 negatives removed as likely relevant, from 2 groups\n" in printed
    assert "1 groups left out: 0 without a relevant passage, 1 without a negative that is left\n" in printed
    assert f"{tmp_path / 'hard' / 'groups.jsonl'}: 2 groups with 4 negatives\n" in printed
    before = dict(files_of(tmp_path / "hard"))
    assert distilrank(*told, "--out", tmp_path / "hard") == 0
    assert capsys.readouterr().out == printed
    assert distilrank(*told, "--by", "mixed", "--out", tmp_path / "hard") == 2
    assert "by was 'teacher' and is now 'mixed'" in capsys.readouterr().err
    assert dict(files_of(tmp_path / "hard")) == before
    assert distilrank(*told, "--by", "mixed", "--out", tmp_path / "hard", "--overwrite") == 0
    assert chosen_in(tmp_path / "hard")[0] == ("p0", "p1", "p3")


def test_scores_of_a_folder(tmp_path: Path) -> None:
    groups = scored(tmp_path / "groups.jsonl", None)
    given = tmp_path / "given.jsonl"
    rows = [{"query_id": "q0", "doc_id": f"d{i}", "score": score} for i, score in enumerate((3.0, 1.0, 2.0))]
    given.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert distilrank("teach", "--scores-from", given, "--out", tmp_path / "scores") == 0
    told = ("choose-negatives", "--data", groups, "--scores", tmp_path / "scores", "--negatives", 1)
    assert distilrank(*told, "--out", tmp_path / "hard") == 0
    assert chosen_in(tmp_path / "hard") == [("p0", "p2")]


def test_what_cannot_be_chosen_from_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = scored(tmp_path / "bare.jsonl", None)
    raw = scored(tmp_path / "raw.jsonl", [-1.0, -2.0])
    false = scored(tmp_path / "false.jsonl", [1.0, 2.0])
    unlabelled = tmp_path / "unlabelled.jsonl"
    unlabelled.write_text(json.dumps({"query": "q", "pos": [], "neg": ["a", "b"], "neg_scores": [1, 2]}) + "\n")
    for told, problem in (
        ((bare,), "the group of query 'q0' has no scores to choose by"),
        ((raw, "--share", 0.9), "has the score -1, and a share of that means nothing; raw logits need --margin"),
        ((false, "--margin", 0), "none of 1 groups is left: 0 have no relevant passage, and 1 no negative"),
        ((unlabelled,), "none of 1 groups is left: 1 have no relevant passage"),
        ((false, "--negatives", 0), "negatives is 0"),
        ((tmp_path / "nobody",), "there is no such folder"),
    ):
        assert distilrank("choose-negatives", "--data", *told, "--out", tmp_path / "out") == 2
        error = capsys.readouterr().err.strip()
        assert problem in error
        assert "error: " in error
    assert not (tmp_path / "out").exists()
