"""``distilrank prepare`` of GLUE's tasks by name, against folders that the datasets library reads as if on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distilrank.data.classification import read_examples
from distilrank.data.files import read_json
from distilrank.data.hub import labelled_splits
from distilrank.errors import InputError
from distilrank.workflows.prepare_classification import is_classification
from tests.end_to_end.verbs import distilrank

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()
    return tmp_path / "hub"


def publish(folder: Path, config: str, splits: Rows, classes: tuple[str, ...]) -> str:
    """Write a dataset as GLUE's are: string columns, and a label with the names of its classes."""
    folder.mkdir(parents=True)
    texts = [column for column in splits["train"][0] if column not in ("label", "idx")]
    lines = ["---", "dataset_info:", f"- config_name: {config}", "  features:"]
    lines += [line for column in texts for line in (f"  - name: {column}", "    dtype: string")]
    lines += ["  - name: label", "    dtype:", "      class_label:", "        names:"]
    lines += [f"          '{place}': {name}" for place, name in enumerate(classes)]
    lines += ["  - name: idx", "    dtype: int32", "configs:", f"- config_name: {config}", "  data_files:"]
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        lines += [f"  - split: {split}", f"    path: {split}.jsonl"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return f"hf:{folder}:{config}"


def rows(columns: tuple[str, str], labels: list[int], *, of: str) -> list[dict[str, Any]]:
    first, second = columns
    return [{first: f"{of} {n} a", second: f"{of} {n} b", "label": x, "idx": n} for n, x in enumerate(labels)]


@pytest.mark.parametrize(
    ("config", "columns", "classes", "dev", "test"),
    [
        ("qnli", ("question", "sentence"), ("entailment", "not_entailment"), "validation", "test"),
        ("qqp", ("question1", "question2"), ("not_duplicate", "duplicate"), "validation", "test"),
        # Not in the order of the alphabet, and with two of each split.
        (
            "mnli",
            ("premise", "hypothesis"),
            ("entailment", "neutral", "contradiction"),
            "validation_matched",
            "test_matched",
        ),
    ],
)
def test_tasks_of_glue_by_name(
    hub: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: str,
    columns: tuple[str, str],
    classes: tuple[str, ...],
    dev: str,
    test: str,
) -> None:
    splits = {
        "train": rows(columns, [0, len(classes) - 1, 1, 0] * 3, of="train"),
        dev: rows(columns, [1, 0], of="dev"),
        test: rows(columns, [-1, -1, -1], of="test"),
    }
    if config == "mnli":
        splits |= {"validation_mismatched": rows(columns, [0] * 5, of="other")}
    name = publish(hub / "glue", config, splits, classes)
    assert distilrank("prepare", "--data", name, "--out", tmp_path / "out", "--offline") == 0
    assert "train" in capsys.readouterr().out
    out = tmp_path / "out"
    assert read_json(out / "labels.json") == {"kind": "classes", "label_names": list(classes)}
    train = read_examples(out / "train.jsonl", label_names=classes).examples
    assert [example.label for example in train] == [0, len(classes) - 1, 1, 0] * 3
    assert (train[1].text, train[1].text_pair, train[1].example_id) == ("train 1 a", "train 1 b", "1")
    assert [example.label for example in read_examples(out / "dev.jsonl", label_names=classes).examples] == [1, 0]
    unlabelled = read_examples(out / "test.jsonl", labelled=False).examples
    assert [example.text for example in unlabelled] == ["test 0 a", "test 1 a", "test 2 a"]
    assert "label" not in (out / "test.jsonl").read_text()
    # Done before: at once. Of another dataset: refused.
    assert distilrank("prepare", "--data", name, "--out", out, "--offline") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert distilrank("prepare", "--data", "hf:nobody/nothing:qqp", "--out", out, "--offline") == 2
    assert "nothing:qqp" in capsys.readouterr().err


def test_what_cannot_be_fetched_is_said_and_leaves_nothing(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert distilrank("prepare", "--data", "hf:nyu-mll/glue:qnli", "--out", out, "--offline") == 2
    assert "hf:nyu-mll/glue:qnli is not in the cache, and --offline forbids to fetch it" in capsys.readouterr().err
    assert not out.exists()


def test_a_dataset_without_train_is_refused(hub: Path) -> None:
    name = publish(hub / "glue", "ax", {"train": rows(("premise", "hypothesis"), [0], of="x")}, ("yes", "no"))
    readme = hub / "glue" / "README.md"
    readme.write_text(readme.read_text().replace("split: train", "split: test"))
    with pytest.raises(InputError, match="has the splits test but no train split"):
        labelled_splits(name, offline=True)


def test_a_configuration_tells_labelled_texts_from_collections() -> None:
    assert is_classification("hf:nyu-mll/glue:mnli")
    assert not is_classification("hf:BeIR/nfcorpus")
    assert not is_classification("ir_datasets:beir/nfcorpus")
