"""Wrong input to the training verbs: exit code 2, one sentence, and nothing left half-written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from distilrank.models.load import name_labels
from distilrank.models.save import save_model
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker
from tests.tiny import tiny_model, tiny_tokenizer

SHORT = ("--max-tokens", 32, "--steps", 1)


@dataclass(frozen=True)
class World:
    """Where everything is that a command may name; what is asked for first is made first."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def fine_tune(self, *options: object, data: str = "data") -> list[object]:
        return ["fine-tune", "--data", self / data, "--model", self / "teacher", *SHORT, *options]

    def distil(self, *options: object, data: str = "data", teacher: str = "teacher") -> list[object]:
        return ["distil", "--data", self / data, "--teacher", self / teacher, *SHORT, *options]

    def teach(self, *options: object, data: str = "data") -> list[object]:
        return ["teach", "--data", self / data, "--bi-encoder", self / "teacher", "--max-tokens", 32, *options]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("world"))
    data = prepared_ranking(world / "data")
    saved_ranker(world / "teacher")
    saved_ranker(world / "three logits", num_labels=3)
    save_model(tiny_model(), tiny_tokenizer(lowercase=False), world / "other tokens")
    for name, labels in (("no yes", ("no", "yes")), ("yes no", ("yes", "no"))):
        model = tiny_model(num_labels=2)
        name_labels(model.config, labels, num_labels=2)
        save_model(model, tiny_tokenizer(), world / name)
    shutil.copytree(world / "teacher", world / "no weights", ignore=shutil.ignore_patterns("*.safetensors"))

    for name, left_out in (("no groups", "groups"), ("no runs", "runs")):
        shutil.copytree(data, world / name, ignore=shutil.ignore_patterns(left_out))
    lines = (data / "groups" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    files = {
        "bad line.jsonl": [lines[0], lines[1][:-5], *lines[2:]],
        "empty.jsonl": [],
        "only positives.jsonl": [lines[0], json.dumps({"query": "q", "query_id": "q7", "pos": ["a"], "neg": []})],
        "no ids.jsonl": [json.dumps({"query": "q", "pos": ["a"], "neg": ["b"]})],
        "labelled.jsonl": [json.dumps({"text": f"red {i}", "label": ["no", "yes"][i % 2]}) for i in range(6)],
        "one label.jsonl": [json.dumps({"text": f"red {i}", "label": "yes"}) for i in range(6)],
        "numbers.jsonl": [json.dumps({"text": f"red {i}", "label": i / 4}) for i in range(6)],
        "unknown.yaml": ["temperatur: 2"],
        "wrong.toml": ["[training]", 'batch_size = "many"'],
    }
    for name, content in files.items():
        (world / name).write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    return world


Case = tuple[str, Callable[[World], list[object]], str]
BROKEN: list[Case] = [
    # what is read
    ("a folder that is not there", lambda w: w.fine_tune(data="none"), r"none: there is no such folder or file"),
    ("the same for distil", lambda w: w.distil("--layers", 2, data="none"), r"none: there is no such folder or file"),
    ("the same for teach", lambda w: w.teach(data="none"), r"none: there is no such folder; check the path"),
    (
        "no groups",
        lambda w: w.fine_tune(data="no groups"),
        r"no groups: holds no groups/train.jsonl; make it with: dis",
    ),
    ("groups that are not there", lambda w: w.fine_tune("--groups", w / "no"), r"no: there is no such file"),
    ("a bad line", lambda w: w.fine_tune(data="bad line.jsonl"), r"bad line.jsonl, line 2: is not JSON"),
    ("too many of them", lambda w: w.distil("--layers", 2, data="bad line.jsonl"), r"bad line.jsonl, line 2: is not"),
    ("an empty file", lambda w: w.fine_tune(data="empty.jsonl"), r"empty.jsonl: holds no examples"),
    (
        "no first stage for dev",
        lambda w: w.fine_tune(data="no runs"),
        r"has no first-stage run of split 'dev'; make one",
    ),
    (
        "no first stage for teach",
        lambda w: w.teach("--run", "BM25", data="no runs"),
        r"there is no run 'BM25'; give a TREC file",
    ),
    ("groups that teach nothing", lambda w: w.fine_tune(data="only positives.jsonl"), r"'q7' cannot be learned from"),
    ("one label for all", lambda w: w.fine_tune(data="one label.jsonl"), r"all examples have the label 'yes'"),
    # settings
    (
        "an unknown setting",
        lambda w: w.distil("--layers", 2, "--set", "harf=1"),
        r"'harf' is unknown; did you mean 'hard'",
    ),
    (
        "an unknown setting in a file",
        lambda w: w.distil("--layers", 2, "--settings", w / "unknown.yaml"),
        r"unknown.yaml: setting 'temperatur' is unknown; did you mean 'temperature'",
    ),
    (
        "a value of the wrong type in a file",
        lambda w: w.fine_tune("--settings", w / "wrong.toml"),
        r"wrong.toml: training.batch_size is 'many' but must be a whole number",
    ),
    ("no settings file", lambda w: w.fine_tune("--settings", w / "no.yaml"), r"no.yaml: there is no such file"),
    (
        "a value of the wrong type",
        lambda w: w.distil("--layers", 2, "--set", "mapping=1.5"),
        r"mapping is 1.5 but must",
    ),
    ("a value out of range", lambda w: w.distil("--layers", 2, "--set", "soft=-1"), r"soft is -1.0 but"),
    ("a name without a value", lambda w: w.fine_tune("--set", "scores"), r"--set wants name=value, not 'scores'"),
    (
        "an unknown procedure",
        lambda w: w.distil("--procedure", "standart"),
        r"'standart' is unknown; did you mean 'stand",
    ),
    (
        "an unknown objective",
        lambda w: w.fine_tune("--objective", "infonce"),
        r"'infonce' is unknown; did you mean 'info",
    ),
    (
        "gains that are not there",
        lambda w: w.fine_tune("--objective", "listwise", "--set", "gains=scores"),
        r"no pos_scores",
    ),
    (
        "longer than the network reads",
        lambda w: w.fine_tune("--max-tokens", 65),
        r"max_tokens is 65, but Bert.* for 64",
    ),
    (
        "the same for distil",
        lambda w: w.distil("--layers", 2, "--max-tokens", 65),
        r"max_tokens is 65, but Bert.* for 64",
    ),
    ("the same for teach", lambda w: w.teach("--max-tokens", 65), r"max_tokens is 65, but .* has positions for 64"),
    ("too few tokens", lambda w: w.distil("--layers", 2, "--max-tokens", 4), r"max_tokens is 4 but must be at least 8"),
    (
        "patience without dev",
        lambda w: w.fine_tune("--patience", 2, data="no ids.jsonl"),
        r"patience is set but nothing",
    ),
    ("no triples", lambda w: w.distil("--layers", 2, "--triples", 0), r"triples is 0 but must be at least 1"),
    ("nothing to score", lambda w: w.teach("--limit", 0), r"--limit is 0 but must be at least 1"),
    # the student
    (
        "a shape that is none",
        lambda w: w.distil("--shape", "3x384"),
        r"'3x384' is no student shape; give layers/hidden",
    ),
    ("a shape that cannot be", lambda w: w.distil("--shape", "2/10/20/4"), r"cannot split 10 states among 4 heads"),
    ("no student", lambda w: w.distil(), r"exactly one of a shape .* given: none"),
    (
        "two students",
        lambda w: w.distil("--layers", 2, "--shape", "2/8/16/4"),
        r"exactly one of .* given: shape, layers",
    ),
    (
        "layers that are no numbers",
        lambda w: w.distil("--copy-layers", "a,b"),
        r"--copy-layers is 'a,b' but must be num",
    ),
    (
        "layers the teacher has not",
        lambda w: w.distil("--copy-layers", "2,9"),
        r"must lie between 1 and 4, not \[2, 9\]",
    ),
    ("more layers than the teacher", lambda w: w.distil("--layers", 5), r"student of 5 layers cannot copy .* of 4"),
    (
        "layers that do not divide",
        lambda w: w.distil("--layers", 3),
        r"'uniform' needs .* student 3, teacher 4; name the",
    ),
    ("other heads", lambda w: w.distil("--shape", "2/12/24/3"), r"student has 3 attention heads and the teacher 4"),
    ("other tokens", lambda w: w.distil("--student", w / "other tokens"), r"different token ids"),
    (
        "labels in another order",
        lambda w: w.distil("--student", w / "yes no", data="labelled.jsonl", teacher="no yes"),
        r"labels of the student are ordered yes, no but those of the teacher no, yes",
    ),
    (
        "no such student",
        lambda w: w.distil("--student", w / "nobody"),
        r"there is no folder .*nobody; give a model fold",
    ),
    # the teacher
    (
        "no such teacher",
        lambda w: w.distil("--layers", 2, teacher="nobody"),
        r"there is no folder .*nobody; give a model",
    ),
    (
        "a teacher without weights",
        lambda w: w.distil("--layers", 2, teacher="no weights"),
        r"no weights cannot be loaded",
    ),
    ("a folder that is no model", lambda w: w.distil("--layers", 2, teacher="data"), r"data holds no config.json"),
    (
        "a classifier for groups",
        lambda w: w.distil("--layers", 2, teacher="three logits"),
        r"has 3 logits and a ranker has one, or two to be folded",
    ),
    (
        "a ranker for classes",
        lambda w: w.distil("--layers", 2, data="labelled.jsonl"),
        r"the teacher has 1 label\(s\) and no problem_type, but the data needs 2 and single_label_classification",
    ),
    (
        "a classifier for numbers",
        lambda w: w.distil("--layers", 2, data="numbers.jsonl", teacher="no yes"),
        r"the teacher has 2 label\(s\) .* the data needs 1 and regression",
    ),
    # filtering
    (
        "a threshold that is none",
        lambda w: w.distil("--layers", 2, "--filter-positives", 2),
        r"positives is 2.0 but must",
    ),
    (
        "nothing to tell documents by",
        lambda w: w.distil("--layers", 2, "--filter-positives", 0.5, data="no ids.jsonl"),
        r"query 'q'.* has no pos_ids|of query q has no pos_ids",
    ),
    (
        "nothing to filter",
        lambda w: w.distil("--layers", 2, "--filter-positives", 0.5, data="labelled.jsonl", teacher="no yes"),
        r"--filter-positives is for groups of passages",
    ),
]


@pytest.mark.parametrize(("told", "sentence"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_one_sentence_exit_code_2_and_nothing_left(
    told: Callable[[World], list[object]],
    sentence: str,
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(files_of(world.folder))
    assert distilrank(*told(world), "--out", tmp_path / "out") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert re.search(sentence, shown.err), shown.err
    assert list(tmp_path.iterdir()) == []
    assert sorted(files_of(world.folder)) == before


@pytest.mark.parametrize("verb", ["fine-tune", "distil"])
def test_a_folder_of_another_verb_is_left_as_it_is(verb: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(files_of(world / "data"))
    told = world.fine_tune() if verb == "fine-tune" else world.distil("--layers", 2)
    assert distilrank(*told, "--out", world / "data") == 2
    assert f"was made by distilrank prepare, not {verb}; give --out another folder" in capsys.readouterr().err
    assert sorted(files_of(world / "data")) == before


def test_a_folder_that_cannot_be_written(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    for told in (world.fine_tune(), world.distil("--layers", 2), world.teach()):
        assert distilrank(*told, "--out", tmp_path / "file" / "out") == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
