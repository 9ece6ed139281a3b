from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.load import name_labels
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.workflows.glue_submission import write_submission
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer


def classifier(folder: Path, names: tuple[str, ...]) -> tuple[Path, TorchScorer]:
    model, tokenizer = tiny_model(num_labels=len(names)), tiny_tokenizer()
    name_labels(model.config, names, num_labels=len(names))
    save_model(model, tokenizer, folder)
    return folder, TorchScorer(model, PairTokenizer(tokenizer._tokenizer, max_tokens=48))


def test_file(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


test_file.__test__ = False  # type: ignore[attr-defined]


def written(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]


def test_classes_are_written_by_glues_own_names(tmp_path: Path) -> None:
    model, scorer = classifier(tmp_path / "model", ("neutral", "contradiction", "entailment"))
    pairs = [(query, passage) for query, passage in tiny_pairs(9, lengths=(5, 12)) if passage]
    rows = [f"{100 + i}\t{query}\t{passage}" for i, (query, passage) in enumerate(pairs)]
    data = test_file(tmp_path / "test.tsv", "index\tsentence1\tsentence2", rows)
    file = write_submission(model, data, tmp_path / "out", task="MNLI-mm", shown=False)
    assert file == tmp_path / "out" / "MNLI-mm.tsv"
    header, *lines = written(file)
    assert header == ["index", "prediction"]
    best = scorer.logits([q for q, _ in pairs], [p for _, p in pairs]).argmax(axis=1)
    names = ["neutral", "contradiction", "entailment"]
    assert lines == [[str(100 + i), names[place]] for i, place in enumerate(best)]
    assert len({prediction for _, prediction in lines}) > 1


def test_two_classes_of_any_names_are_numbered_and_lines_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distilrank.workflows.glue_submission.AT_ONCE", 4)
    model, scorer = classifier(tmp_path / "model", ("negative", "positive"))
    texts = [query for query, _ in tiny_pairs(11)]
    data = test_file(tmp_path / "test.tsv", "sentence\tlabel", [f"{text}\t-1" for text in texts])
    (_, *lines) = written(write_submission(model, data, tmp_path / "out", task="sst2", shown=False))
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["SST-2.tsv"]
    assert lines == [[str(i), str(best)] for i, best in enumerate(scorer.logits(texts).argmax(axis=1))]


def test_numbers_stay_between_0_and_5(tmp_path: Path) -> None:
    model, scorer = classifier(tmp_path / "model", ("LABEL_0",))
    pairs = tiny_pairs(30, lengths=(3, 9))
    rows = [f"{i}\t{query}\t{passage}" for i, (query, passage) in enumerate(pairs)]
    data = test_file(tmp_path / "test.tsv", "index\tsentence1\tsentence2", rows)
    (_, *lines) = written(write_submission(model, data, tmp_path / "out", task="STS-B", shown=False))
    numbers = scorer.logits([q for q, _ in pairs], [p for _, p in pairs])[:, 0]
    assert numbers.min() < 0
    np.testing.assert_allclose([float(value) for _, value in lines], np.clip(numbers, 0, 5), atol=6e-4)


def test_what_is_not_the_tasks_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    model, _ = classifier(tmp_path / "model", ("LABEL_0", "LABEL_1"))
    data = test_file(tmp_path / "test.tsv", "index\tsentence", ["0\tred dog"])
    with pytest.raises(SettingsError, match="task 'MNLI' is unknown; did you mean 'MNLI-m'"):
        write_submission(model, data, tmp_path / "out", task="MNLI", shown=False)
    with pytest.raises(ModelError, match="predicts LABEL_0, LABEL_1, but RTE wants entailment, not_entailment"):
        write_submission(model, data, tmp_path / "out", task="RTE", shown=False)
    with pytest.raises(ModelError, match="but STS-B wants one number"):
        write_submission(model, data, tmp_path / "out", task="STS-B", shown=False)
    with pytest.raises(InputError, match="there is no such file"):
        write_submission(model, tmp_path / "none.tsv", tmp_path / "out", task="CoLA", shown=False)
    assert not (tmp_path / "out").exists()
