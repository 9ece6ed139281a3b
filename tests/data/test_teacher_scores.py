from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from distilrank.data.teacher_scores import ScoresInTheMaking, ScoreTable, Shard, TeacherScores
from distilrank.errors import InputError, ModelError, ResumeError, SettingsError

PAIRS = 23
DESCRIPTION = {"scores": "logit", "teacher": {"weights": "abc"}, "input": {"form": "groups", "ids": "given"}}


def rows(start: int = 0, stop: int = PAIRS) -> Shard:
    places = range(start, stop)
    return Shard(
        query_ids=[f"q{i // 5}" for i in places],
        doc_ids=[f"d{i} \u00e9" for i in places],
        scores=np.array([i / 7 - 1 for i in places], np.float32),
    )


def begin(folder: Path, *, shard_pairs: int = 10, pairs: int = PAIRS, **other: Any) -> ScoresInTheMaking:
    making = ScoresInTheMaking(folder, description={**DESCRIPTION, **other}, pairs=pairs, shard_pairs=shard_pairs)
    making.claim()
    return making


def complete(folder: Path) -> Path:
    making = begin(folder)
    for number in making.missing():
        making.write(number, rows(*making.bounds(number)))
    making.finish()
    return folder


def test_shards_are_fixed_and_read_back_in_order(tmp_path: Path) -> None:
    making = begin(tmp_path)
    assert [making.bounds(number) for number in range(len(making))] == [(0, 10), (10, 20), (20, 23)]
    scores = TeacherScores(complete(tmp_path))
    expected = rows()
    assert list(scores.rows()) == list(zip(expected.query_ids, expected.doc_ids, expected.scores.tolist(), strict=True))
    assert [len(shard.scores) for shard in scores.shards()] == [10, 10, 3]
    assert (len(scores), scores.meaning, scores.input["form"]) == (23, "logit", "groups")


def test_the_format_is_parquet_with_text_ids_and_float32(tmp_path: Path) -> None:
    complete(tmp_path)
    table = pyarrow.parquet.read_table(tmp_path / "scores-00002.parquet")
    assert [(field.name, str(field.type), field.nullable) for field in table.schema] == [
        ("query_id", "string", False), ("doc_id", "string", False), ("score", "float", False),
    ]  # fmt: skip
    assert table["doc_id"].to_pylist() == ["d20 \u00e9", "d21 \u00e9", "d22 \u00e9"]
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["verb"] == "teach"
    for shard, count in zip(manifest["shards"], (10, 10, 3), strict=True):
        data = (tmp_path / shard["file"]).read_bytes()
        assert (shard["pairs"], shard["sha256"]) == (count, hashlib.sha256(data).hexdigest())


def test_one_content_one_artefact_in_whatever_order_shards_come(tmp_path: Path) -> None:
    complete(tmp_path / "one")
    for number in (2, 0, 1):
        making = begin(tmp_path / "two")
        assert number in making.missing()
        making.write(number, rows(*making.bounds(number)))
    (tmp_path / "two" / ".scores-00001.parquet.1-a.tmp").write_text("torn")
    making = begin(tmp_path / "two")
    assert making.missing() == []
    making.finish()
    ours, theirs = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert ours == theirs
    assert TeacherScores(tmp_path / "one").identity == TeacherScores(tmp_path / "two").identity


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"teacher": {"weights": "xyz"}}, "teacher.weights was 'abc' and is 'xyz' now"),
        ({"input": {"form": "run", "ids": "given"}}, "input.form was 'groups' and is 'run' now"),
        ({"scores": "cosine"}, "scores was 'logit' and is 'cosine' now"),
        ({"pairs": 24}, "pairs was 23 and is 24 now"),
        ({"shard_pairs": 11}, "shard_pairs was 10 and is 11 now"),
    ],
)
def test_another_description_is_refused_by_its_first_difference(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    complete(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ResumeError, match=sentence):
        begin(tmp_path, **change)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_of_another_verb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"verb": "prepare"}', encoding="utf-8")
    with pytest.raises(InputError, match="was made by distilrank prepare, not teach"):
        begin(tmp_path)
    with pytest.raises(InputError, match="holds no teacher scores of format 1"):
        TeacherScores(tmp_path)


def test_a_score_that_is_not_finite_is_refused_and_not_kept(tmp_path: Path) -> None:
    making = begin(tmp_path)
    shard = rows(10, 20)
    shard.scores[3] = np.inf
    with pytest.raises(ModelError, match=r"gave inf to passage 'd13 \u00e9' of query 'q2'"):
        making.write(1, shard)
    assert making.missing() == [0, 1, 2]
    with pytest.raises(ValueError, match="shard 0 has 10 rows, not 9"):
        making.write(0, rows(0, 9))


def test_scores_that_are_not_whole_or_changed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no teacher scores; make some"):
        TeacherScores(tmp_path / "none")
    making = begin(tmp_path / "part")
    making.write(1, rows(10, 20))
    with pytest.raises(InputError, match="is not whole: 1 of 3 shards"):
        TeacherScores(tmp_path / "part")
    with pytest.raises(InputError, match="name one of part in it"):
        TeacherScores(tmp_path)
    whole = complete(tmp_path / "whole")
    path = whole / "scores-00001.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match=r"scores-00001.parquet: was changed"):
        TeacherScores(whole)


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    folder = complete(tmp_path / "scores")
    manifest = json.loads((folder / "manifest.json").read_text())
    shard = manifest["shards"][0]
    (folder / shard["file"]).rename(tmp_path / shard["file"])
    shard["file"] = f"../{shard['file']}"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="names shards outside its folder"):
        TeacherScores(folder)


def test_a_lost_shard_must_come_back_as_it_was(tmp_path: Path) -> None:
    complete(tmp_path)
    whole = (tmp_path / "manifest.json").read_bytes()
    for change in (0.0, 1.0):
        (tmp_path / "scores-00001.parquet").unlink()
        making = begin(tmp_path)
        assert making.missing() == [1]
        shard = rows(10, 20)
        making.write(
            1, Shard(query_ids=shard.query_ids, doc_ids=shard.doc_ids, scores=shard.scores + np.float32(change))
        )
        if change:
            with pytest.raises(ModelError, match="is not what it was"):
                making.finish()
        else:
            making.finish()
        assert (tmp_path / "manifest.json").read_bytes() == whole


def test_scores_are_found_by_their_ids(tmp_path: Path) -> None:
    table = ScoreTable(TeacherScores(complete(tmp_path)))
    expected = rows()
    for query_id, doc_id, score in zip(expected.query_ids, expected.doc_ids, expected.scores, strict=True):
        assert table.find(query_id, [doc_id]) == [score]
    found = table.find("q1", ["d9 \u00e9", "d4 \u00e9", "d5 \u00e9", "none"])
    np.testing.assert_array_equal(found, [expected.scores[9], np.nan, expected.scores[5], np.nan])
    assert table.find("q1", []).shape == (0,)


def test_of_rows_of_the_same_ids_the_first_counts(tmp_path: Path) -> None:
    making = begin(tmp_path, pairs=4, shard_pairs=2)
    for number, scores in enumerate(([1, 2], [3, 4])):
        making.write(number, Shard(query_ids=["q", "q"], doc_ids=["d", "e"], scores=np.array(scores, np.float32)))
    making.finish()
    assert ScoreTable(TeacherScores(tmp_path)).find("q", ["d", "e"]).tolist() == [1, 2]


def test_nothing_to_score_and_shards_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no pairs to score"):
        begin(tmp_path, pairs=0)
    with pytest.raises(SettingsError, match="shard_pairs is 0 but must be at least 1"):
        begin(tmp_path, shard_pairs=0)
    assert list(tmp_path.iterdir()) == []
