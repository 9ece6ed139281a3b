from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from distilrank.augmentation.candidates import Blank, MaskedLanguageCandidates
from distilrank.augmentation.tinybert import TinyBertAugmentation, TinyBertAugmenter
from distilrank.cli.app import build_app, run
from distilrank.cli.augment import augment as verb
from distilrank.data.classification import read_examples
from distilrank.errors import InputError, ResumeError, SettingsError
from distilrank.models.save import save_model
from distilrank.records import Example
from distilrank.workflows.augment import AugmentationSources, Augmented, _tinybert, augment, settings_of_task
from tests.augmentation.networks import tiny_candidates, tiny_masked_model, tiny_vectors
from tests.tiny import tiny_tokenizer

TEXTS = ["the red dog", "what is a song", "old city bank", "moon and star", "the sea", "fast bird"]
READINGS: tuple[Literal["original", "changed"], ...] = ("original", "changed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Data, word vectors and a masked-language model, in the forms that users have."""
    lines = [f"{text}\t{('bad', 'good')[i % 2]}" for i, text in enumerate(TEXTS)]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    vectors = tiny_vectors()
    rows = (f"{word} {' '.join(map(str, row))}" for word, row in zip(vectors.words, vectors.vectors, strict=True))
    (tmp_path / "vectors.txt").write_text("\n".join(rows) + "\n")
    save_model(tiny_masked_model(), tiny_tokenizer(), tmp_path / "mlm")
    return tmp_path


def augmented(folder: Path, out: str = "out.jsonl", *, mlm: bool = True, **settings: Any) -> Augmented:
    return augment(
        "tinybert",
        data=folder / "train.tsv" if (folder / "train.tsv").exists() else folder,
        out=folder / out,
        settings=TinyBertAugmentation(**{"copies": 3, "examples_at_once": 2, **settings}),
        sources=AugmentationSources(
            mlm=str(folder / "mlm") if mlm else None, vectors=folder / "vectors.txt", offline=True
        ),
    )


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"train.tsv", "vectors.txt", "mlm"}


@pytest.mark.parametrize("candidates", ["original", "changed"])
def test_the_model_is_asked_as_the_reading_says(folder: Path, candidates: Literal["original", "changed"]) -> None:
    settings = TinyBertAugmentation(candidates=candidates, k=9)
    sources = AugmentationSources(mlm=str(folder / "mlm"), vectors=folder / "vectors.txt", offline=True)
    built = _tinybert(settings, sources)._model
    blanks = [Blank(tuple(text.split()), place) for text in TEXTS for place in range(len(text.split()))]
    wanted = {reading: tiny_candidates(TinyBertAugmentation(candidates=reading, k=9)) for reading in READINGS}
    assert built.fill(blanks) == wanted[candidates].fill(blanks)
    assert wanted["original"].fill(blanks) != wanted["changed"].fill(blanks)
    # Each of the two differences shows by itself.
    for changed in ({"whole_words": "first"}, {"original_beside": False}):
        usual = {"k": 9, "whole_words": "last", "original_beside": True}
        other = MaskedLanguageCandidates(tiny_masked_model(), tiny_tokenizer(), **{**usual, **changed})
        assert other.fill(blanks) != wanted["original"].fill(blanks)


@pytest.mark.parametrize("out", ["out.jsonl", "out.tsv", "out.jsonl.gz"])
def test_what_is_written_is_what_distil_reads(folder: Path, out: str) -> None:
    made = augmented(folder, out)
    data = read_examples(folder / out)
    assert data.label_names == ("bad", "good")
    assert len(data.examples) == made.examples > made.originals == 6
    originals = [example for example in data.examples if example.text in TEXTS]
    assert [example.text for example in originals] == TEXTS
    labels = {text: i % 2 for i, text in enumerate(TEXTS)}
    current = ""
    for example in data.examples:
        current = example.text if example.text in TEXTS else current
        assert example.label == labels[current]
    assert left(folder) == {out, f"{out}.manifest.json"}


def test_the_manifest_says_what_was_run_on_what(folder: Path) -> None:
    made = augmented(folder)
    manifest = json.loads((folder / "out.jsonl.manifest.json").read_text())
    assert manifest["verb"] == "augment"
    assert manifest["settings"]["method"] == "tinybert"
    assert manifest["settings"]["settings"]["copies"] == 3
    assert len(manifest["settings"]["mlm"]) == len(manifest["settings"]["vectors"]) == 64
    assert manifest["outputs"]["examples"]["path"] == "out.jsonl"
    assert (manifest["originals"], manifest["examples"]) == (6, made.examples)


def test_a_folder_keeps_its_other_splits(folder: Path) -> None:
    prepared = folder / "prepared"
    prepared.mkdir()
    (prepared / "labels.json").write_text('{"kind": "classes", "label_names": ["good", "bad"]}')
    (prepared / "train.jsonl").write_text('{"text": "the red dog", "label": "bad"}\n')
    (prepared / "dev.jsonl").write_text('{"text": "the sea", "label": "good"}\n')
    sources = AugmentationSources(vectors=folder / "vectors.txt")
    augment("tinybert", data=prepared, out=folder / "out", settings=TinyBertAugmentation(), sources=sources)
    made = folder / "out"
    assert {path.name for path in made.iterdir()} == {"train.jsonl", "dev.jsonl", "labels.json", "manifest.json"}
    assert (made / "dev.jsonl").read_bytes() == (prepared / "dev.jsonl").read_bytes()
    assert json.loads((made / "labels.json").read_text())["label_names"] == ["good", "bad"]
    assert {json.loads(line)["label"] for line in (made / "train.jsonl").read_text().splitlines()} == {"bad"}


class Killed(Exception):
    """As if somebody had pulled the plug."""


@pytest.mark.parametrize("torn", [b"", b'[["the r'])
def test_a_killed_run_goes_on_to_the_same_end(folder: Path, monkeypatch: pytest.MonkeyPatch, torn: bytes) -> None:
    augmented(folder, "whole.jsonl")
    whole, starts = TinyBertAugmenter.augment, []

    def broken(self: TinyBertAugmenter, examples: Sequence[Example], *, start: int = 0) -> Iterator[list[Example]]:
        for position, made in enumerate(whole(self, examples, start=start)):
            if position == 3:
                raise Killed
            yield made

    def watched(self: TinyBertAugmenter, examples: Sequence[Example], *, start: int = 0) -> Iterator[list[Example]]:
        starts.append(start)
        return whole(self, examples, start=start)

    monkeypatch.setattr(TinyBertAugmenter, "augment", broken)
    with pytest.raises(Killed):
        augmented(folder)
    assert not (folder / "out.jsonl").exists()
    with open(folder / ".out.jsonl.partial.jsonl", "ab") as file:
        file.write(torn)
    monkeypatch.setattr(TinyBertAugmenter, "augment", watched)
    with pytest.raises(ResumeError, match=r"\.out\.jsonl\.partial\.jsonl.*seed was 42 and is 1 now"):
        augmented(folder, seed=1)
    augmented(folder, examples_at_once=5)  # changes no result
    assert starts == [3]
    assert (folder / "out.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()
    assert ".out.jsonl.partial.jsonl" not in left(folder)


def test_a_run_killed_before_its_manifest_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("distilrank.workflows.augment.write_manifest", broken)
        with pytest.raises(Killed):
            augmented(folder)
    assert left(folder) == {"out.jsonl", ".out.jsonl.partial.jsonl"}
    assert not augmented(folder).was_done
    assert left(folder) == {"out.jsonl", "out.jsonl.manifest.json"}


def test_the_same_command_is_not_repeated_and_another_is_refused(folder: Path) -> None:
    first = augmented(folder)
    again = augmented(folder, batch_tokens=64)
    assert again.was_done
    assert again.examples == first.examples
    with pytest.raises(ResumeError, match=r"holds the result of another command: settings\.k was 15 and is 3 now"):
        augmented(folder, k=3)
    with pytest.raises(ResumeError, match="mlm was"):
        augmented(folder, mlm=False)


def test_what_something_else_made_is_left_alone(folder: Path) -> None:
    (folder / "out.jsonl").write_text("mine\n")
    with pytest.raises(InputError, match=r"out\.jsonl: exists and was not made by distilrank augment"):
        augmented(folder)
    assert (folder / "out.jsonl").read_text() == "mine\n"


def test_a_table_that_cannot_hold_the_texts_is_refused_before_the_work(folder: Path) -> None:
    (folder / "train.tsv").unlink()
    (folder / "train.jsonl").write_text('{"text": "a\\tb", "label": "x"}\n')
    sources = AugmentationSources(vectors=folder / "vectors.txt")
    with pytest.raises(InputError, match=r"out\.tsv: a table cannot hold 'a\\tb', which has a tab or a line end"):
        augment(
            "tinybert",
            data=folder / "train.jsonl",
            out=folder / "out.tsv",
            settings=TinyBertAugmentation(),
            sources=sources,
        )
    assert left(folder) == {"train.jsonl"}


def test_tasks_bring_their_published_settings() -> None:
    assert settings_of_task("tinybert", "cola") == {"copies": 30}
    assert settings_of_task("tinybert", None) == {}
    with pytest.raises(SettingsError, match="task 'sst-2' has no settings of its own; did you mean 'sst2'"):
        settings_of_task("tinybert", "sst-2")


def on_the_command_line(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["distilrank", "augment", *map(str, arguments)])
    return run(build_app({"augment": verb, "other": verb}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a word2vec or GloVe text file with --vectors"),
        (["--method", "tinybart"], "method 'tinybart' is unknown; did you mean 'tinybert'"),
        (["--vectors", "none.txt"], "none.txt"),
        (["--mlm", "nowhere/at/all"], "nowhere/at/all"),
        (["--set", "copys=3"], "setting 'copys' is unknown; did you mean 'copies'"),
        (["--method", "rules", "--task", "sst2"], "the method rules is the same for every task; leave --task out"),
        (["--method", "rules", "--vectors", "vectors.txt"], "the method rules needs neither --mlm nor --vectors"),
        (["--data", "none.tsv"], "none.tsv: there is no such folder or file"),
        (["--data", "."], "is data to rank; give a folder or a file of labelled texts"),
        (["--out", "out.csv"], "out.csv: cannot be written; name a .jsonl or .tsv file, or a folder"),
    ],
)
def test_mistakes_exit_with_2_and_leave_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    given = ["--data", folder / "train.tsv", "--out", folder / "out.jsonl", "--offline", *arguments]
    assert on_the_command_line(*given, monkeypatch=monkeypatch) == 2
    assert message in capsys.readouterr().err
    assert left(folder) == set()


def test_the_verb_from_end_to_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data", folder / "train.tsv", "--out", folder / "out.tsv", "--vectors", folder / "vectors.txt"]
    chosen = ["--mlm", folder / "mlm", "--task", "mnli", "--set", "candidates=original", "--seed", 3]
    assert on_the_command_line(*given, *chosen, "--offline", monkeypatch=monkeypatch) == 0
    settings = json.loads((folder / "out.tsv.manifest.json").read_text())["settings"]["settings"]
    assert (settings["copies"], settings["candidates"], settings["seed"]) == (10, "original", 3)
    assert "examples from 6" in capsys.readouterr().out
