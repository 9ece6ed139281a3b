from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilrank.data.classification import read_examples
from distilrank.data.files import read_json
from distilrank.errors import InputError, ResumeError, SettingsError
from distilrank.workflows.prepare import Prepared
from distilrank.workflows.prepare_classification import (
    ClassificationSettings,
    is_classification,
    prepare_classification,
)


def pairs(path: Path, numbers: range, *, label: str | None = "label") -> None:
    names = ["index", "sentence1", "sentence2", *([label] if label else [])]
    lines = ["\t".join(names)]
    for n in numbers:
        values = [
            str(n),
            f"first text {n}",
            f"second text {n}",
            *(["entailment" if n % 3 else "other"] if label else []),
        ]
        lines.append("\t".join(values))
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    pairs(tmp_path / "data" / "train.tsv", range(40))
    return tmp_path / "data"


def prepare(data: Path, **options: Any) -> Prepared:
    settings = ClassificationSettings(**options.pop("settings", {}))
    return prepare_classification(data, options.pop("out", data.parent / "out"), settings=settings, **options)


def level(prepared: Prepared, check: str) -> str:
    findings: Any = prepared.doctor["findings"]
    (found,) = [finding["level"] for finding in findings if finding["check"] == check]
    return str(found)


def test_train_alone_is_split(data: Path) -> None:
    prepared = prepare(data, settings={"test_share": 0.2})
    assert sorted(path.name for path in prepared.folder.iterdir()) == [
        "dev.jsonl",
        "doctor.json",
        "labels.json",
        "manifest.json",
        "test.jsonl",
        "train.jsonl",
    ]
    assert prepared.manifest["examples"] == {"train": 28, "dev": 4, "test": 8}
    labels = read_json(prepared.folder / "labels.json")
    assert labels == {"kind": "classes", "label_names": ["entailment", "other"]}
    read = {
        split: read_examples(prepared.folder / f"{split}.jsonl", label_names=labels["label_names"], kind="classes")
        for split in ("train", "dev", "test")
    }
    together = sorted((example for own in read.values() for example in own.examples), key=lambda e: int(e.example_id))
    assert [(e.text, e.text_pair, e.label) for e in together] == [
        (f"first text {n}", f"second text {n}", int(n % 3 == 0)) for n in range(40)
    ]


def test_a_split_that_is_there_is_kept_and_train_loses_what_it_shares(data: Path) -> None:
    pairs(data / "validation.tsv", range(35, 50))
    prepared = prepare(data)
    assert prepared.manifest["examples"] == {"train": 35, "dev": 15}
    assert level(prepared, "left out of splits") == "note"
    assert level(prepared, "texts across splits") == "ok"


def test_a_test_without_labels_is_kept_without(data: Path) -> None:
    pairs(data / "test.tsv", range(50, 60), label=None)
    prepared = prepare(data, settings={"dev_share": 0.0})
    assert prepared.manifest["examples"] == {"train": 40, "test": 10}
    assert level(prepared, "examples without a label") == "note"
    read = read_examples(prepared.folder / "test.jsonl", labelled=False)
    assert [example.label for example in read.examples] == [None] * 10


def test_a_bad_line_in_a_test_is_no_missing_column(data: Path) -> None:
    pairs(data / "test.tsv", range(50, 60))
    with (data / "test.tsv").open("a", encoding="utf-8") as file:
        file.write("99\tone\ttwo\tsurprise\n")
    with pytest.raises(InputError, match=r"test\.tsv, line 12"):
        prepare(data)
    assert [path.name for path in data.parent.iterdir()] == ["data"]
    skipped: Any = prepare(data, skip_bad=1).manifest["skipped"]
    assert len(skipped) == 1


def test_columns_by_name(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = "".join(f"{n},{n % 2},review number {n}\n" for n in range(20))
    (data / "train.csv").write_text(f"row,stars,body\n{rows}", encoding="utf-8")
    prepared = prepare(data, settings={"text": "body", "label": "stars"})
    assert prepared.manifest["examples"] == {"train": 18, "dev": 2}
    with pytest.raises(InputError, match="no column"):
        prepare(data, out=tmp_path / "other", settings={"text": "bodies"})


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = "".join(f"a {n}\tb {n}\t{n / 8}\n" for n in range(20))
    (data / "train.tsv").write_text(f"sentence1\tsentence2\tscore\n{rows}", encoding="utf-8")
    prepared = prepare(data)
    assert read_json(prepared.folder / "labels.json") == {"kind": "regression", "label_names": []}
    train = read_examples(prepared.folder / "train.jsonl", kind="regression")
    assert {example.label for example in train.examples} <= {n / 8 for n in range(20)}


def test_sorted_labels_are_reported(data: Path) -> None:
    lines = (data / "train.tsv").read_text(encoding="utf-8").splitlines()
    ordered = [lines[0], *sorted(lines[1:], key=lambda line: line.split("\t")[-1])]
    (data / "train.tsv").write_text("\n".join(ordered) + "\n", encoding="utf-8")
    assert level(prepare(data), "label order") == "note"


def test_a_limit_on_examples(data: Path) -> None:
    assert prepare(data, settings={"max_examples": 3}).manifest["examples"] == {"train": 3, "dev": 3}


def test_a_repeated_command_returns_at_once_and_another_is_refused(data: Path) -> None:
    assert not prepare(data).was_done
    assert prepare(data).was_done
    with pytest.raises(ResumeError, match=r"dev_share was 0\.1 and is now 0\.2"):
        prepare(data, settings={"dev_share": 0.2})


def test_two_files_of_one_split_are_refused(data: Path) -> None:
    pairs(data / "dev.tsv", range(3))
    pairs(data / "validation.tsv", range(3))
    with pytest.raises(InputError, match=r"both the dev split"):
        prepare(data)


def test_without_train_there_is_nothing_to_prepare(tmp_path: Path) -> None:
    pairs(tmp_path / "data" / "test.tsv", range(3))
    with pytest.raises(InputError, match="no training split"):
        prepare(tmp_path / "data")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train.tsv"], True),
        (["test.jsonl.gz", "readme.txt"], True),
        (["train.tsv", "queries.jsonl"], False),
        (["corpus.jsonl"], False),
        (["training.tsv", "train.tsv.bak"], False),
    ],
)
def test_classification_is_told_by_the_files(tmp_path: Path, names: list[str], expected: bool) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert is_classification(tmp_path) == expected


@pytest.mark.parametrize("settings", [{"max_examples": 0}, {"max_tokens": 2}])
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        ClassificationSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "train"), [("mrpc", 3668), ("cola", 8533), ("stsb", 5734)])
def test_real_files(shared_data: Path, tmp_path: Path, name: str, train: int) -> None:
    examples: Any = prepare_classification(shared_data / name, tmp_path / "out").manifest["examples"]
    assert examples["train"] == train
