"""``distilrank mix-scores`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distilrank.data.groups import GroupFile
from tests.end_to_end.verbs import distilrank, files_of


def scored(path: Path, *scores: list[float] | None) -> Path:
    """A file of groups: a positive and negatives each, with scores."""
    path.parent.mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number, own in enumerate(scores):
        count = 3 if own is None else len(own)
        row = {"query_id": f"q{number}", "query": f"query {number}", "pos": ["p0"], "pos_ids": ["d0"]}
        row |= {"neg": [f"p{i}" for i in range(1, count)], "neg_ids": [f"d{i}" for i in range(1, count)]}
        if own is not None:
            row |= {"pos_scores": own[:1], "neg_scores": own[1:]}
        rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def scores_of(path: Path) -> list[tuple[float, ...] | None]:
    return [group.scores for group in GroupFile(path)]


@pytest.fixture
def teachers(tmp_path: Path) -> tuple[Path, Path]:
    """A bi-encoder's cosines and a cross-encoder's logits, which agree on the first query and not on the second."""
    bi = scored(tmp_path / "bi.jsonl", [0.5, 0.3, 0.1], [0.2, 0.4, 0.3])
    cross = scored(tmp_path / "cross.jsonl", [8.0, -2.0, -7.0], [6.0, -6.0, 0.0])
    return bi, cross


def test_two_teachers_are_mixed_and_compared(
    tmp_path: Path, teachers: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    told = ("mix-scores", *teachers, "--scale", "min-max", "--weight", 1, "--weight", 3)
    assert distilrank(*told, "--out", tmp_path / "mix") == 0
    first, second = scores_of(tmp_path / "mix" / "groups.jsonl")
    assert first == pytest.approx([1.0, (0.5 + 3 * (1 / 3)) / 4, 0.0])
    assert second == pytest.approx([3 / 4, 1 / 4, (0.5 + 3 * 0.5) / 4])
    printed = capsys.readouterr().out
    assert "bi and cross: Kendall's tau 0.000, the same passage best 50.0% (2 groups)\n" in printed
    assert "cross and the mix: Kendall's tau 1.000, the same passage best 100.0% (2 groups)\n" in printed
    assert f"{tmp_path / 'mix' / 'groups.jsonl'}: 2 scored groups\n" in printed
    # What else a group holds stays.
    for before, after in zip(GroupFile(teachers[0]), GroupFile(tmp_path / "mix" / "groups.jsonl"), strict=True):
        assert (after.query_id, after.passages, after.doc_ids) == (before.query_id, before.passages, before.doc_ids)
        assert after.relevance == before.relevance
    # Again: nothing is done. With another scale, or other scores: refused, unless told to replace it.
    before_files = dict(files_of(tmp_path / "mix"))
    assert distilrank(*told, "--out", tmp_path / "mix") == 0
    assert capsys.readouterr().out == printed
    assert distilrank(*told, "--per", "all", "--out", tmp_path / "mix") == 2
    assert "per was 'query' and is now 'all'" in capsys.readouterr().err
    scored(teachers[1], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert distilrank(*told, "--out", tmp_path / "mix") == 2
    assert "input teacher cross is another file" in capsys.readouterr().err
    assert dict(files_of(tmp_path / "mix")) == before_files
    assert distilrank(*told, "--per", "all", "--out", tmp_path / "mix", "--overwrite") == 0


def test_a_teacher_is_dropped_at_will(tmp_path: Path, teachers: tuple[Path, Path]) -> None:
    told = ("mix-scores", *teachers, "--scale", "none")
    assert distilrank(*told, "--weight", 0, "--weight", 2, "--out", tmp_path / "mix") == 0
    assert scores_of(tmp_path / "mix" / "groups.jsonl") == scores_of(teachers[1])


def test_folders_of_scores_are_teachers_too(tmp_path: Path, teachers: tuple[Path, Path]) -> None:
    groups = scored(tmp_path / "groups.jsonl", None, None)
    folders = []
    for file in teachers:
        rows = [
            {"query_id": group.query_id, "doc_id": doc_id, "score": score}
            for group in GroupFile(file)
            for doc_id, score in zip(group.doc_ids, group.scores or (), strict=True)
        ]
        given = tmp_path / f"{file.stem}-given.jsonl"
        given.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        folders.append(tmp_path / "scores" / file.stem)
        assert distilrank("teach", "--scores-from", given, "--out", folders[-1]) == 0
    assert distilrank("mix-scores", *folders, "--groups", groups, "--out", tmp_path / "a") == 0
    assert distilrank("mix-scores", *teachers, "--out", tmp_path / "b") == 0
    mixed, expected = (scores_of(tmp_path / name / "groups.jsonl") for name in "ab")
    for ours, theirs in zip(mixed, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert distilrank("mix-scores", folders[0], teachers[1], "--groups", groups, "--out", tmp_path / "c") == 0


def test_two_teachers_of_one_name_are_told_apart(
    tmp_path: Path, teachers: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = scored(tmp_path / "other" / "bi.jsonl", [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert distilrank("mix-scores", teachers[0], other, "--out", tmp_path / "mix") == 0
    assert f"{teachers[0]} and {other}: " in capsys.readouterr().out


def test_what_cannot_be_mixed_is_refused(
    tmp_path: Path, teachers: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bi, cross = teachers
    one, bare = scored(tmp_path / "one.jsonl", [1.0, 2.0, 3.0]), scored(tmp_path / "bare.jsonl", None, None)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "manifest.json").write_text("{}")
    for told, problem in (
        ((bi,), "one teacher alone cannot be mixed"),
        ((bi, one), "bi has 2 groups and one 1; score the same groups"),
        ((bi, bare), "the group of query 'q0' of bare has no scores; make them with: distilrank teach"),
        ((bi, cross, "--weight", 1), "1 weights for 2 teachers"),
        ((bi, cross, "--weight", 0, "--weight", 0), "the weights are 0, 0"),
        ((bi, tmp_path / "folder"), "holds scores without texts; name the groups that were scored with --groups"),
        ((bi, tmp_path / "nobody.jsonl"), "nobody.jsonl"),
    ):
        assert distilrank("mix-scores", *told, "--out", tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert problem in error
        assert error.startswith("error: ")
    assert not (tmp_path / "out").exists()
