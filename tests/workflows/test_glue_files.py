"""Small excerpts in the forms of GLUE's files and its kin: what is read of them, and which split is measured.

The sentences are ours; columns, quotation marks and spaces are those of the files.
"""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from distilrank.data.classification import read_examples
from distilrank.data.files import read_json
from distilrank.models.load import name_labels
from distilrank.models.save import save_model
from distilrank.records import Example
from distilrank.workflows import evaluate_classification
from tests.end_to_end.verbs import distilrank
from tests.tiny import tiny_model, tiny_tokenizer


class Excerpt(NamedTuple):
    """The head of a file, and what it holds."""

    text: str
    kind: str
    names: tuple[str, ...]
    first: Example
    labels: list[Any]
    name: str = "train.tsv"


EXCERPTS = {
    "SST-2": Excerpt(
        "sentence\tlabel\nit 's a warm and funny film . \t1\ndull from start to end \t0\nnot `` bad '' at all \t1\n",
        *("classes", ("0", "1"), Example(text="it 's a warm and funny film . ", label=1), [1, 0, 1]),
        name="train.tsv.gz",
    ),
    "MRPC": Excerpt(
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
        '1\t702\t703\tThe mayor, who called it "a triumph," left.\tThe mayor left and called it "a triumph."\r\n'
        '0\t704\t705\t"We lost $ 5 million, he said.\tThe company gained $ 5 million.\r\n',
        *("classes", ("0", "1")),
        Example(
            text='The mayor, who called it "a triumph," left.',
            text_pair='The mayor left and called it "a triumph."',
            label=1,
        ),
        [1, 0],
    ),
    "RTE": Excerpt(
        "index\tsentence1\tsentence2\tlabel\n0\tNo ship has come in.\tA ship has come in.\tnot_entailment\n"
        "1\tA ship came in at dawn.\tA ship came in.\tentailment\n",
        *("classes", ("entailment", "not_entailment")),
        Example(text="No ship has come in.", text_pair="A ship has come in.", label=1, example_id="0"),
        [1, 0],
    ),
    "CoLA": Excerpt(
        "gj04\t1\t\tOur friends will buy it.\ngj04\t0\t*\tThey bought it all themselves it.\nks08\t1\t\tShe left.\n",
        *("classes", ("0", "1"), Example(text="Our friends will buy it.", label=1), [1, 0, 1]),
    ),
    "STS-B": Excerpt(
        "genre\tfile\tyear\tid\tscore\tsentence1\tsentence2\n"
        "main-captions\tMSRvid\t2012test\t0001\t5.000\tA plane lands.\tAn air plane lands.\n"
        'main-news\tMSRpar\t2012test\t0002\t3.250\t"It lands, he said.\tIt is landing.\n',
        *("regression", ()),
        Example(text="A plane lands.", text_pair="An air plane lands.", label=5.0, example_id="0001"),
        [5.0, 3.25],
    ),
    "SICK": Excerpt(
        "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
        "1\tTwo dogs run\tTwo animals run\t4.5\tENTAILMENT\n2\tA man sits\tNo man sits\t3.3\tCONTRADICTION\n"
        "3\tA man sits\tA dog runs\t1\tNEUTRAL\n",
        *("classes", ("CONTRADICTION", "ENTAILMENT", "NEUTRAL")),
        Example(text="Two dogs run", text_pair="Two animals run", label=1, example_id="1"),
        [1, 0, 2],
    ),
    "Twitter-PPDB": Excerpt(
        "label\tsentence1\tsentence2\n1\tthe mayor has left town\tmayor leaves town\n"
        "0\tthe mayor has left town\tbulbs or seeds ? how metaphors work\n",
        *("classes", ("0", "1")),
        Example(text="the mayor has left town", text_pair="mayor leaves town", label=1),
        [1, 0],
        name="train.tsv.gz",
    ),
}


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    content = text.encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder / name


@pytest.mark.parametrize("task", EXCERPTS)
def test_every_form_is_read_without_naming_columns(task: str, tmp_path: Path) -> None:
    excerpt = EXCERPTS[task]
    data = read_examples(write(tmp_path, excerpt.name, excerpt.text))
    assert (data.kind, data.label_names) == (excerpt.kind, excerpt.names)
    assert data.examples[0] == excerpt.first
    assert [example.label for example in data.examples] == excerpt.labels


def test_sick_has_two_labels(tmp_path: Path) -> None:
    data = read_examples(write(tmp_path, "train.tsv", EXCERPTS["SICK"].text), label="relatedness_score")
    assert (data.kind, [example.label for example in data.examples]) == ("regression", [4.5, 3.3, 1.0])


def test_what_is_measured_is_said_and_a_test_without_labels_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RTE as GLUE gives it: train and dev with labels, a test without."""
    few = partial(evaluate_classification.evaluate_classifiers, resamples=10)
    monkeypatch.setattr(evaluate_classification, "evaluate_classifiers", few)
    raw, out = tmp_path / "raw", tmp_path / "rte"
    rows = [f"{n}\tship {n} came in\tship {n} came\t{('entailment', 'not_entailment')[n % 2]}" for n in range(12)]
    head = "index\tsentence1\tsentence2"
    write(raw, "train.tsv", "\n".join([f"{head}\tlabel", *rows[:8], ""]))
    write(raw, "dev.tsv", "\n".join([f"{head}\tlabel", *rows[8:], ""]))
    write(raw, "test.tsv", f"{head}\n0\tship 99 came in\tship 99 came\n")
    assert distilrank("prepare", "--data", raw, "--out", out) == 0
    assert read_json(out / "manifest.json")["examples"] == {"train": 8, "dev": 4, "test": 1}
    model = tiny_model(num_labels=2)
    name_labels(model.config, ("entailment", "not_entailment"), num_labels=2)
    save_model(model, tiny_tokenizer(), tmp_path / "model")
    capsys.readouterr()
    for data in (out, raw):
        assert distilrank("evaluate", tmp_path / "model", "--data", data, "--threads", 1) == 2
        problem = capsys.readouterr().err
        assert f"{data / 'test'}" in problem
        assert "has no labels to measure against; measure another split, such as --split dev" in problem
        assert distilrank("evaluate", tmp_path / "model", "--data", data, "--split", "dev", "--threads", 1) == 0
        shown = capsys.readouterr()
        assert "4 examples" in shown.out
        assert f"note: measured on {data / 'dev'}" in shown.err
