from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from distilrank.data.beir import write_corpus, write_qrels, write_queries
from distilrank.data.files import file_hash, read_json, write_json
from distilrank.data.trec import write_run
from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.save import save_model
from distilrank.records import Passage, Qrels, Query
from distilrank.runtime.calibration import Temperature, read_calibration
from distilrank.runtime.ranker import Ranker
from distilrank.workflows.calibrate import CalibrateSettings, calibrate
from tests.end_to_end.verbs import distilrank
from tests.tiny import WORDS, tiny_export, tiny_model, tiny_tokenizer

QUERIES = {f"q{i:02}": f"what is {WORDS[i]} {WORDS[i + 20]}" for i in range(20)}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "student"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    tiny_export(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, student: Path) -> Path:
    """Candidates that are relevant with the probability sigmoid((z - centre) / spread / 0.4); one of each unjudged."""
    folder = tmp_path_factory.mktemp("data") / "judged"
    draw = random.Random(0)
    texts = {f"d{i}": " ".join(draw.choices(WORDS, k=6)) for i in range(15)}
    write_corpus((Passage(doc_id, text) for doc_id, text in texts.items()), folder / "corpus.jsonl")
    write_queries([Query(query_id, text) for query_id, text in QUERIES.items()], folder / "queries.jsonl")
    ranker = Ranker.load(student)
    scores = ranker.score([(query, text) for query in QUERIES.values() for text in texts.values()])
    chances = expit((scores - scores.mean()) / scores.std() / 0.4)
    drawn = iter(np.random.default_rng(0).random(len(scores)) < chances)
    qrels: Qrels = {query_id: {doc_id: 2 * int(next(drawn)) for doc_id in texts} for query_id in QUERIES}
    for judged in qrels.values():
        del judged["d14"]
    write_qrels(qrels, folder / "qrels" / "dev.tsv")
    run = {query_id: {doc_id: float(-place) for place, doc_id in enumerate(texts)} for query_id in QUERIES}
    write_run(run, folder / "runs" / "given.dev.trec", tag="given")
    return folder


@pytest.fixture
def folder(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(shutil.copytree(student, tmp_path / "student"))


def test_the_file_holds_the_fit_and_how_it_did_on_queries_held_out(folder: Path, data: Path) -> None:
    made = calibrate(folder, data=str(data), settings=CalibrateSettings(precision_wanted=0.8))
    assert (made.queries, made.pairs) == (20, 280)  # without those that nobody judged
    assert made.after.calibration_error < 0.1 < made.before.calibration_error
    assert made.after.brier < made.before.brier
    assert made.threshold is not None
    assert made.threshold.precision.mean >= 0.8
    stored = read_json(folder / "calibration.json")
    assert stored["weights"] == file_hash(folder / "onnx" / "model.onnx")
    assert stored["fitted_on"]["data"] == "judged, dev"
    assert stored["fitted_on"]["settings"]["unjudged"] == "left-out"
    assert sum(each["pairs"] for each in stored["fitted_on"]["after"]["bins"]) == 280
    assert stored["fitted_on"]["threshold"]["wanted"] == 0.8
    assert read_calibration(folder) == made.calibration
    assert isinstance(made.calibration, Temperature)


def test_what_nobody_judged_can_count_as_not_relevant(folder: Path, data: Path) -> None:
    made = calibrate(folder, data=str(data), settings=CalibrateSettings(unjudged="not-relevant"))
    assert made.pairs == 300
    with pytest.raises(InputError, match="0 relevant and 280 other candidates"):
        calibrate(folder, data=str(data), settings=CalibrateSettings(rel=3))


def test_the_card_says_it(folder: Path, data: Path) -> None:
    from distilrank.workflows.model_card import ModelCard, card_as_json

    write_json(folder / "manifest.json", {"card": card_as_json(ModelCard(name="small", made_by="us", data="some"))})
    calibrate(folder, data=str(data), settings=CalibrateSettings())
    card = (folder / "README.md").read_text()
    assert "calibrated by temperature on judged, dev (20 queries, 280 candidates, " in card


def test_nothing_is_written_where_it_cannot_be_done(folder: Path, data: Path) -> None:
    with pytest.raises(InputError, match="--method temperature needs fewer"):
        calibrate(folder, data=str(data), settings=CalibrateSettings(method="isotonic"))
    assert not (folder / "calibration.json").exists()
    shutil.rmtree(folder / "onnx")
    with pytest.raises(ModelError, match="run: distilrank export"):
        calibrate(folder, data=str(data), settings=CalibrateSettings())


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="rel is 0"):
        CalibrateSettings(rel=0)
    for wanted in (0.0, 1.1, float("nan")):
        with pytest.raises(SettingsError, match="precision_wanted"):
            CalibrateSettings(precision_wanted=wanted)


def test_the_verb_and_rank(folder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "passages.txt").write_text("the cat\nblue sea\nred dog\n")
    asked = ("rank", folder, "--query", "red dog", "--passages", tmp_path / "passages.txt")
    assert distilrank(*asked, "--probabilities") == 2
    assert "is not calibrated; run: distilrank calibrate" in capsys.readouterr().err
    assert distilrank("calibrate", folder, "--data", data, "--precision-wanted", "0.7") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{folder / 'calibration.json'}\tcalibrated by temperature on judged, dev (20 queries, ")
    assert "expected calibration error" in out
    assert "share that is relevant" in out
    assert "\nthreshold 0." in out
    assert distilrank(*asked) == distilrank(*asked, "--probabilities") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    plain, calibrated = lines[:3], lines[3:]
    assert [line[2:] for line in plain] == [line[2:] for line in calibrated]
    ranker = Ranker.load(folder)
    shown = ranker.probabilities(np.array([float(line[1]) for line in plain]))
    np.testing.assert_allclose([float(line[1]) for line in calibrated], shown, atol=2e-4)
    assert distilrank(*asked, "--probabilities", "--json") == 0
    results = json.loads(capsys.readouterr().out)["results"]
    scores = np.array([result["score"] for result in results])
    np.testing.assert_allclose([result["probability"] for result in results], ranker.probabilities(scores), atol=1e-6)
    run = ("--run", tmp_path / "passages.txt", "--data", data, "--out-run", tmp_path / "out.trec")
    assert distilrank("rank", folder, *run, "--probabilities") == 2
    assert "without --query or --probabilities" in capsys.readouterr().err
    assert distilrank("calibrate", folder, "--data", data, "--threads", "0") == 2
