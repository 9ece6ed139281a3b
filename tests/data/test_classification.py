from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from distilrank.data.classification import read_examples, write_examples
from distilrank.data.lines import BadLines
from distilrank.errors import InputError
from distilrank.records import Example


def write(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / name).write_bytes(text.encode())
    return tmp_path / name


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("sentence\tlabel", "s\t1", Example(text="s", label=1)),
        (
            "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
            "1\t7\t8\ta\tb",
            Example(text="a", text_pair="b", label=1),
        ),
        (
            "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
            "4\t7\t8\ta\tb\t1",
            Example(text="a", text_pair="b", label=1, example_id="4"),
        ),
        (
            "genre\tfile\tyear\tid\tscore\tsentence1\tsentence2",
            "g\tf\t2012\t0001\t1.000\ta\tb",
            Example(text="a", text_pair="b", label=1.0, example_id="0001"),
        ),
        (
            "index\tpromptID\tsentence1_parse\tsentence1\tsentence2\tlabel1\tgold_label",
            "0\t1\t(x)\ta\tb\tneutral\tneutral",
            Example(text="a", text_pair="b", label=0, example_id="0"),
        ),
        (
            "index\tquestion\tsentence\tlabel",
            "5\ta\tb\tentailment",
            Example(text="a", text_pair="b", label=0, example_id="5"),
        ),
        ("qid\tlabel\tquestion\tsentence", "Q1\t1\ta\tb", Example(text="a", text_pair="b", label=1)),
        (
            "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment",
            "6\ta\tb\t4.5\tNEUTRAL",
            Example(text="a", text_pair="b", label=0, example_id="6"),
        ),
    ],
)
def test_the_columns_of_glue_are_known(tmp_path: Path, header: str, row: str, expected: Example) -> None:
    data = read_examples(write(tmp_path, "a.tsv", f"\ufeff{header}\r\n{row}\r\n"))
    assert data.examples == [expected]


def test_cola_has_no_header(tmp_path: Path) -> None:
    data = read_examples(write(tmp_path, "a.tsv", 'gj04\t1\t\tThey drank.\ngj04\t0\t*\tThey "drank.\n'))
    assert data.examples == [Example(text="They drank.", label=1), Example(text='They "drank.', label=0)]
    assert (data.kind, data.label_names) == ("classes", ("0", "1"))


def test_lone_quotation_marks_in_tsv_swallow_nothing(tmp_path: Path) -> None:
    text = 'sentence1\tsentence2\tlabel\n"open\tclose"\t1\n"both"\t""\t0\n'
    data = read_examples(write(tmp_path, "a.tsv", text))
    assert [(e.text, e.text_pair) for e in data.examples] == [('"open', 'close"'), ('"both"', '""')]


def test_csv_is_quoted(tmp_path: Path) -> None:
    text = 'text,label\r\n"a, ""b""\r\nc\td 😀",yes\r\n,no\r\n\r\nplain,yes\r\n'
    data = read_examples(write(tmp_path, "a.csv", text))
    assert [e.text for e in data.examples] == ['a, "b"\nc\td 😀', "", "plain"]
    assert data.label_names == ("no", "yes")


def test_a_quotation_mark_left_open_is_not_a_long_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\na,1\n"b,0\nc,1\n')
    with pytest.raises(InputError, match=r"line 4: is not CSV .*; look for a quotation mark that is left open"):
        read_examples(path)
    assert len(read_examples(path, bad=BadLines(allowed=1)).examples) == 1


def test_jsonl_with_every_kind_of_label(tmp_path: Path) -> None:
    def read(*labels: str, **options: Any) -> tuple[str, tuple[str, ...], list[Any]]:
        lines = "".join(f'{{"text": "t", "label": {label}}}\n' for label in labels)
        data = read_examples(write(tmp_path, "a.jsonl", lines), **options)
        return data.kind, data.label_names, [example.label for example in data.examples]

    assert read('"b"', '"a"') == ("classes", ("a", "b"), [1, 0])
    assert read("0", "2") == ("classes", ("0", "1", "2"), [0, 2])
    assert read("1", "1") == ("classes", ("0", "1"), [1, 1])
    assert read("1", "2") == ("classes", ("1", "2"), [0, 1])
    assert read("-1", "1") == ("classes", ("-1", "1"), [0, 1])
    assert read("true", "false") == ("classes", ("0", "1"), [1, 0])
    assert read("0.5", "1") == ("regression", (), [0.5, 1.0])
    assert read('"1"', '"0.0"') == ("regression", (), [1.0, 0.0])
    assert read("1", "0", kind="regression") == ("regression", (), [1.0, 0.0])
    assert read('["x", "z"]', '["y"]', "[]") == ("multi_label", ("x", "y", "z"), [(1, 0, 1), (0, 1, 0), (0, 0, 0)])
    assert read("[1, 0]", "[0, 0]") == ("multi_label", ("0", "1"), [(1, 0), (0, 0)])
    assert read("[0, 1]", label_names=["no", "yes"]) == ("multi_label", ("no", "yes"), [(0, 1)])


def test_labels_of_a_multi_label_table_are_parted_by_bars(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "text\tlabel\nt\tinsult|threat\nu\tinsult\n")
    data = read_examples(path, kind="multi_label")
    assert data.label_names == ("insult", "threat")
    assert [example.label for example in data.examples] == [(1, 1), (1, 0)]


def test_the_training_splits_names_decide_in_the_other_splits(tmp_path: Path) -> None:
    path = write(tmp_path, "dev.tsv", "text\tlabel\na\tneg\nb\tpos\nc\t0\nd\tneutral\n")
    with pytest.raises(InputError, match="line 5: label 'neutral' is not one of pos, neg; correct or remove the line"):
        read_examples(path, label_names=["pos", "neg"])
    bad = BadLines(allowed=1)
    data = read_examples(path, label_names=["pos", "neg"], bad=bad)
    assert [example.label for example in data.examples] == [1, 0, 0]
    assert (data.label_names, len(bad.skipped)) == (("pos", "neg"), 1)


def test_named_columns_go_before_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "sentence1\tsentence2\tlabel\tbody\tscore\nx\ty\t1\tz\t0.5\n")
    assert read_examples(path, text="body", label="score").examples == [Example(text="z", label=0.5)]
    assert read_examples(path, text="body", text_pair="sentence1").examples == [
        Example(text="z", text_pair="x", label=1)
    ]


def test_columns_of_a_file_without_header_are_numbered(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "pos\tfine\nneg\tbad\n")
    data = read_examples(path, text="2", label="1")
    assert [(example.text, example.label) for example in data.examples] == [("fine", 1), ("bad", 0)]
    with pytest.raises(InputError, match="line 1: has no column whose name is known in its first line"):
        read_examples(path)


def test_unlabelled_examples_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "index\tsentence\n0\ta\n")
    with pytest.raises(InputError, match="has no column of labels whose name is known; it has 'index', 'sentence'"):
        read_examples(path)
    data = read_examples(path, labelled=False, label_names=["no", "yes"])
    assert data.examples == [Example(text="a", example_id="0")]
    assert data.label_names == ("no", "yes")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "text\tlabel\na\t1\nb\tx\t0\n", "line 3: has 3 columns where the first line has 2"),
        ("a.tsv", "text\tlabel\na\t1\nb\n", "line 3: has 1 columns where the first line has 2"),
        ("a.tsv", "text\tlabel\na\t1\nb\t\n", "line 3: 'label' is missing"),
        ("a.tsv", "text\tlabel\na\t0.5\nb\tnan\n", "line 3: label 'nan' is not a finite number"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"label": 1}\n', "line 2: 'text' is missing or not a string"),
        (
            "a.jsonl",
            '{"text": "a", "label": 1}\n{"text": 5, "label": 1}\n',
            "line 2: 'text' is missing or not a string",
        ),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n', "line 2: 'label' is missing"),
        ("a.jsonl", '{"text": "a", "label": 1}\nnot json\n', "line 2: is not JSON"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": {}}\n', "line 2: label {} is not one of 0, 1"),
    ],
)
def test_bad_lines_say_what_is_wrong_and_may_be_skipped(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(InputError, match=message):
        read_examples(path)
    bad = BadLines(allowed=1)
    assert [example.text for example in read_examples(path, bad=bad).examples] == ["a"]
    assert len(bad.skipped) == 1


@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        ("a.tsv", "", {}, "holds no examples"),
        ("a.tsv", "text\tlabel\n", {}, "holds no examples"),
        ("a.parquet", "", {}, r"is neither \.tsv, \.csv nor \.jsonl"),
        ("a.tsv", "text\tlabel\na\t1\n", {"text": "txet"}, "has no column 'txet'"),
        ("a.tsv", "text\tlabel\na\t1\n", {"label": "lable"}, "has no column 'lable'; .*did you mean 'label'"),
        ("a.tsv", "text\tlabel\na\t1\n", {"text_pair": "text"}, "give that of the first too"),
        ("a.tsv", "text\ttext\tlabel\na\tb\t1\n", {}, "has two columns of one name"),
        ("a.jsonl", '{"x": "a", "label": 1}\n', {}, "has no column whose name is known; it has 'x', 'label'"),
    ],
)
def test_files_that_cannot_be_understood_are_refused(
    tmp_path: Path, name: str, text: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_examples(write(tmp_path, name, text), **options)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    lines = {
        "classes": '{"id": "7", "text": "a\\n😀", "text_pair": "", "label": "yes"}\n'
        '{"text": "b", "text_pair": "c", "label": "no"}\n',
        "regression": '{"text": "a", "label": 0.25}\n{"text": "b", "label": 2}\n',
        "multi_label": '{"text": "a", "label": ["x", "y"]}\n{"text": "b", "label": []}\n',
    }
    for kind, text in lines.items():
        data = read_examples(write(tmp_path, "a.jsonl", text))
        assert data.kind == kind
        write_examples(data, tmp_path / "b.jsonl.gz")
        assert gzip.decompress((tmp_path / "b.jsonl.gz").read_bytes()).count(b"\n") == 2
        assert read_examples(tmp_path / "b.jsonl.gz", label_names=data.label_names or None) == data


@pytest.mark.parametrize(
    ("name", "options", "kind", "labels", "texts"),
    [
        ("cola/train.tsv", {}, "classes", {0: 2528, 1: 6023}, ("Our friends won't", "Herman hammered", "Gilgamesh")),
        ("cola/dev.tsv", {}, "classes", {0: 322, 1: 721}, None),
        ("mrpc/train.tsv", {}, "classes", {0: 1323, 1: 2753}, ("Amrozi accused", "He said the", "The 30-year bond")),
        ("rte/train.tsv", {}, "classes", {0: 1249, 1: 1241}, ("No Weapons of", "Only a week after", "Turkey is")),
        ("rte/dev.tsv", {}, "classes", {0: 146, 1: 131}, None),
        ("sst2/train.tsv.gz", {}, "classes", {0: 29780, 1: 37569}, ("when are bears", "a bonus ", "too bland and ")),
        ("sst2/dev.tsv", {}, "classes", {0: 428, 1: 444}, None),
        ("stsb/train.tsv", {}, "regression", 5749, ("A plane is taking", "A person is throwing", "Putin spokesman")),
        ("stsb/dev.tsv", {}, "regression", 1500, None),
        ("stsb/test.tsv", {}, "regression", 1379, None),
        (
            "sick/train.tsv",
            {},
            "classes",
            {0: 665, 1: 1299, 2: 2536},
            ("A group of kids", "A person is riding", "Three"),
        ),
        ("sick/train.tsv", {"label": "relatedness_score"}, "regression", 4500, None),
        ("sick/test.tsv", {}, "classes", {0: 720, 1: 1414, 2: 2793}, None),
        ("twitter_ppdb/train.tsv.gz", {}, "classes", {0: 31033, 1: 11167}, ("how the", "clinton is", "we asked 15")),
        ("wikiqa/train.tsv.gz", {}, "classes", {0: 7632, 1: 1040}, None),
    ],
)
def test_real_files_count_first_tenth_and_last(
    shared_data: Path,
    name: str,
    options: dict[str, Any],
    kind: str,
    labels: dict[int, int] | int,
    texts: tuple[str, str, str] | None,
) -> None:
    data = read_examples(shared_data / name, **options)
    assert data.kind == kind
    assert labels == (len(data.examples) if kind == "regression" else Counter(e.label for e in data.examples))
    if texts is not None:
        for place, start in zip((0, 9, -1), texts, strict=True):
            assert data.examples[place].text.startswith(start)
    if name == "stsb/train.tsv":
        assert data.examples[2001].text.startswith('"Then the captain')
