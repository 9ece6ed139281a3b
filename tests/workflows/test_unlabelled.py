"""Queries without judgements: prepared, scored, learned from by their scores, and refused where labels are needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distilrank.data.beir import write_qrels
from distilrank.data.folder import RankingFolder
from distilrank.data.groups import GroupFile
from distilrank.data.passage_store import PassageStore
from distilrank.data.trec import read_run
from distilrank.errors import InputError, SettingsError
from distilrank.models.load import load_model
from distilrank.records import Passage, Query
from distilrank.workflows.prepare import Prepared, PrepareSettings, prepare_ranking
from distilrank.workflows.training_groups import GroupCounts, GroupSettings, groups_finding, unlabelled_groups
from tests.end_to_end.verbs import NOUNS, distilrank, saved_ranker, without_export

SETTINGS = PrepareSettings(unlabelled=True, groups=GroupSettings(negatives=4), max_tokens=32)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A collection and queries, tab-separated, and no judgements."""
    folder = tmp_path / "logs"
    folder.mkdir()
    passages = [f"d{i}\t{noun} {NOUNS[i - 1]} {NOUNS[i - 2]}" for i, noun in enumerate(NOUNS)]
    (folder / "collection.tsv").write_text("\n".join(passages) + "\n", encoding="utf-8")
    queries = [f"q{i}\twhere is {noun}" for i, noun in enumerate(NOUNS)]
    (folder / "queries.tsv").write_text("\n".join(queries) + "\n", encoding="utf-8")
    return folder


def prepared(logs: Path, **changes: Any) -> Prepared:
    settings = PrepareSettings(unlabelled=True, groups=GroupSettings(negatives=4), max_tokens=32, **changes)
    return prepare_ranking(logs, logs.with_name("out"), settings=settings, progress=False)


def finding(made: Prepared, check: str) -> dict[str, Any]:
    findings: Any = made.doctor["findings"]
    (found,) = [each for each in findings if each["check"] == check]
    return dict(found)


def test_a_folder_without_judgements_becomes_groups_of_candidates(logs: Path) -> None:
    made = prepared(logs)
    out = made.folder
    assert not (out / "qrels").exists() or not list((out / "qrels").iterdir())
    groups, run = GroupFile(out / "groups" / "train.jsonl"), read_run(out / "runs" / "train.trec.gz")
    assert [group.query_id for group in groups] == [f"q{i}" for i in range(len(NOUNS))]
    for group in groups:
        found = set(group.doc_ids) & set(run[group.query_id])
        assert len(group.passages) == len(set(group.doc_ids)) == 4
        assert group.relevance == (0.0,) * 4
        assert group.scores is None
        assert len(found) == min(4, len(run[group.query_id]))
    record = json.loads((out / "groups" / "train.jsonl").read_text().splitlines()[0])
    assert (record["pos"], len(record["neg"])) == ([], 4)
    # What the doctor says of it is true of it.
    said = finding(made, "training groups")
    assert said["level"] == "ok"
    assert f"{len(NOUNS)} groups of 4.0 unjudged candidates on average, for a teacher to score" in said["message"]
    assert finding(made, "queries without a relevant passage")["level"] == "ok"
    facts: Any = made.doctor["facts"]
    assert set(facts["splits"]["train"]) == {"queries", "candidates_per_query"}
    assert made.manifest["queries"] == {"train": len(NOUNS)}


def test_judged_splits_are_kept_apart(logs: Path) -> None:
    with open(logs / "queries.tsv", "a", encoding="utf-8") as file:
        file.write(f"again\tWhere is {NOUNS[1]}?\n")
    write_qrels({"q1": {"d1": 1}, "q2": {"d2": 1}}, logs / "qrels" / "validation.tsv")
    write_qrels({"q3": {"d3": 1}}, logs / "qrels" / "train.tsv")
    made = prepared(logs)
    folder = RankingFolder(made.folder)
    assert folder.splits == ["dev"]
    assert folder.qrels("dev") == {"q1": {"d1": 1}, "q2": {"d2": 1}}
    trained_on = [group.query_id for group in GroupFile(made.folder / "groups" / "train.jsonl")]
    assert trained_on == [f"q{i}" for i in range(len(NOUNS)) if i not in (1, 2)]
    assert set(GroupFile(made.folder / "groups" / "train.jsonl")[1].relevance) == {0.0}  # q3: its labels are not read
    (left_out,) = finding(made, "left out of splits")["examples"]  # what repeats a dev query's text
    assert left_out.startswith("again (train) has the text of q1 in dev")
    facts: Any = made.doctor["facts"]
    assert facts["splits"]["dev"]["judgements"] == 2


def test_queries_are_drawn_and_all_may_not_be_judged(logs: Path) -> None:
    assert len(GroupFile(prepared(logs, max_queries=5).folder / "groups" / "train.jsonl")) == 5
    write_qrels({f"q{i}": {"d1": 1} for i in range(len(NOUNS))}, logs / "qrels" / "test.tsv")
    with pytest.raises(InputError, match="all queries are judged in test; there is none to train on without labels"):
        prepare_ranking(logs, logs.with_name("other"), settings=SETTINGS, progress=False)
    assert not logs.with_name("other").exists()


def test_without_judgements_it_has_to_be_said(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert distilrank("prepare", "--data", logs, "--out", logs.with_name("out")) == 2
    assert "to learn from a teacher's scores alone, give --unlabelled" in capsys.readouterr().err
    assert distilrank("prepare", "--data", logs, "--unlabelled", "--resplit", "--out", logs.with_name("out")) == 2
    assert "unlabelled queries cannot be divided" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="unlabelled queries cannot be divided"):
        PrepareSettings(unlabelled=True, test_share=0.1)


def test_folders_prepared_before_are_still_finished(logs: Path) -> None:
    write_qrels({f"q{i}": {f"d{i}": 1} for i in range(9)}, logs / "qrels" / "train.tsv")
    told = {"settings": PrepareSettings(max_tokens=32), "progress": False}
    folder = prepare_ranking(logs, logs.with_name("out"), **told).folder  # type: ignore[arg-type]
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["settings"]["unlabelled"]  # which an older version did not write
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert prepare_ranking(logs, folder, **told).was_done  # type: ignore[arg-type]


def test_groups_of_candidates_by_hand(tmp_path: Path) -> None:
    texts = {"a": "one", "b": "two", "copy": "two", "c": "three", "d": "four", "e": "five"}
    store = PassageStore.build((Passage(i, text) for i, text in texts.items()), tmp_path / "p.sqlite")
    run = {"q1": {"a": 4.0, "b": 3.0, "copy": 2.0, "c": 1.0}, "q2": {"d": 1.0}, "q3": {}}
    counts = GroupCounts()
    groups = unlabelled_groups(
        run,
        queries={query_id: Query(query_id, query_id.upper()) for query_id in run},
        run=run,
        passages=store,
        settings=GroupSettings(negatives=3, skip_top=1),
        counts=counts,
    )
    first, *others = list(groups)
    assert (first.query_id, first.query, first.relevance) == ("q1", "Q1", (0.0, 0.0, 0.0))
    assert first.passages[:2] == ("two", "three")  # a is passed over, no text comes twice, a random one fills up
    assert first.doc_ids[2] in ("d", "e")
    assert others == []  # of q2, what may be taken is passed over; q3 has no candidate
    assert counts == GroupCounts(groups=1, negatives=3, random_negatives=1, without_negatives=2)
    message = groups_finding(GroupCounts(without_negatives=2)).message
    assert message == "no group could be made: no training query has a candidate"


def test_scores_take_the_place_of_labels(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_export(monkeypatch)
    data, teacher = prepared(logs).folder, saved_ranker(tmp_path / "teacher")
    assert distilrank("teach", "--data", data, "--teacher", teacher, "--out", tmp_path / "scores") == 0
    told = ("--data", data, "--scores", tmp_path / "scores", "--steps", 2, "--max-tokens", 32, "--set", "trackers=[]")
    # By a list of objectives over scores, and by fine-tuning.
    distilled = ("distil", "--procedure", "scores", "--teacher", teacher, "--layers", 2, *told)
    assert distilrank(*distilled, "--objective", "kl", "--out", tmp_path / "student") == 0
    assert load_model(tmp_path / "student")[0].config.num_labels == 1
    tuned = ("fine-tune", "--model", teacher, *told, "--set", "gains=scores", "--set", "calibration_groups=0")
    assert distilrank(*tuned, "--objective", "listwise", "--out", tmp_path / "tuned") == 0
    capsys.readouterr()
    # Whatever needs a label refuses, and leaves nothing behind.
    out = ("--out", tmp_path / "refused")
    standard = ("distil", "--procedure", "standard", "--teacher", teacher, "--layers", 2, *told, *out)
    for command in (
        standard,
        (*distilled, "--objective", "hard_bce", *out),
        (*distilled, "--objective", "kl", "--objective", "info_nce", *out),
        (*distilled, "--objective", "margin_mse", *out),
        (*tuned, "--objective", "bce", *out),
        (*tuned, "--objective", "info_nce", *out),
        ("fine-tune", "--model", teacher, *told, "--objective", "listwise", "--set", "calibration_groups=0", *out),
    ):
        assert distilrank(*command) == 2, command
        error = capsys.readouterr().err.strip()
        assert "no group has a relevant passage" in error, error
        assert "learn from labels" in error or "learns from labels" in error, error
        assert "error: " in error
        assert not (tmp_path / "refused" / "config.json").exists()
