from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from distilrank.data.files import file_hash
from distilrank.errors import ModelError
from distilrank.export.onnx import write_float
from distilrank.models.save import save_model
from distilrank.runtime.calibration import Isotonic, Temperature, as_json, read_calibration, require_calibration
from distilrank.runtime.ranker import Ranker
from distilrank.serve.models import load_served
from tests.tiny import tiny_export, tiny_model, tiny_tokenizer

SURE = Temperature(temperature=0.5, shift=1.0)
CURVE = Isotonic(logits=(-1.0, 0.0, 3.0), values=(0.1, 0.1, 0.7))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "student"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    tiny_export(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "student"))


def write(folder: Path, **content: Any) -> None:
    weights = file_hash(folder / "onnx" / "model.onnx")
    (folder / "calibration.json").write_text(json.dumps({"weights": weights, **content}))


def test_numbers_by_hand() -> None:
    np.testing.assert_allclose(SURE.probabilities(np.array([1.0, 1.5, 0.0])), [0.5, expit(1.0), expit(-2.0)])
    np.testing.assert_allclose(CURVE.probabilities(np.array([-9.0, -0.5, 1.0, 3.0, 9.0])), [0.1, 0.1, 0.3, 0.7, 0.7])


@pytest.mark.parametrize("calibration", [SURE, CURVE])
def test_no_order_changes(calibration: Temperature | Isotonic) -> None:
    logits = np.sort(np.random.default_rng(0).normal(0, 3, 200)).astype(np.float32)
    found = calibration.probabilities(logits)
    assert np.all(np.diff(found) >= 0)
    assert 0 <= found.min() < found.max() <= 1


@pytest.mark.parametrize("calibration", [SURE, CURVE])
def test_what_is_written_is_read(calibration: Temperature | Isotonic, folder: Path) -> None:
    assert read_calibration(folder) is None
    write(folder, **as_json(calibration))
    assert read_calibration(folder) == calibration


def test_a_ranker_gives_probabilities_and_ranks_as_before(folder: Path) -> None:
    plain = Ranker.load(folder).rank("red dog", ["the cat", "blue sea", "red dog"])
    with pytest.raises(ModelError, match=rf"is not calibrated; run: distilrank calibrate {folder} --data DATA"):
        Ranker.load(folder).probabilities(np.zeros(2))
    write(folder, **as_json(SURE))
    ranker = Ranker.load(folder)
    assert ranker.rank("red dog", ["the cat", "blue sea", "red dog"]) == plain
    scores = np.array([place.score for place in plain], np.float32)
    np.testing.assert_allclose(ranker.probabilities(scores), expit(2 * (scores - 1.0)), atol=1e-7)


def test_a_server_answers_probabilities(folder: Path) -> None:
    logits = np.array([-3.0, 0.5], np.float32)
    np.testing.assert_allclose(load_served(folder).scores(logits), expit(logits), atol=1e-7)
    write(folder, **as_json(SURE))
    served = load_served(folder)
    assert served.calibration == SURE
    np.testing.assert_allclose(served.scores(logits), expit(2 * (logits - 1.0)), atol=1e-7)


def test_other_weights_are_not_what_was_calibrated(folder: Path) -> None:
    write(folder, weights="0" * 64, **as_json(SURE))
    with pytest.raises(ModelError, match=r"calibration\.json was made for other weights"):
        require_calibration(folder)
    write(folder, **as_json(SURE))
    write_float(b"other", folder)
    assert not (folder / "calibration.json").exists()


def test_8_bit_files_without_the_float_one_are_known_by_what_they_were_made_of(folder: Path) -> None:
    write(folder, **as_json(SURE))
    sha256 = file_hash(folder / "onnx" / "model.onnx")
    (folder / "onnx" / "model.onnx").unlink()
    (folder / "onnx" / "quality.json").write_text(json.dumps({"fp32": {"sha256": sha256}}))
    assert read_calibration(folder) == SURE
    (folder / "onnx" / "quality.json").write_text(json.dumps({"fp32": {"sha256": "other"}}))
    with pytest.raises(ModelError, match="other weights"):
        read_calibration(folder)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"method": "platt"}, "method should be temperature or isotonic"),
        ({"method": "temperature", "temperature": 0.0, "shift": 0.0}, "temperature should be a number above 0"),
        ({"method": "temperature", "temperature": -1.0, "shift": 0.0}, "temperature should be a number above 0"),
        ({"method": "temperature", "temperature": True, "shift": 0.0}, "temperature should be a number above 0"),
        ({"method": "temperature", "temperature": 1.0, "shift": float("nan")}, "and shift a number"),
        ({"method": "temperature", "temperature": 10**400, "shift": 0}, "is broken"),
        ({"method": "temperature", "temperature": 1.0}, "'shift'"),
        ({"method": "isotonic", "logits": [], "values": []}, "as many numbers, at least one"),
        ({"method": "isotonic", "logits": [1.0, 2.0], "values": [0.5]}, "as many numbers, at least one"),
        ({"method": "isotonic", "logits": "12", "values": "01"}, "as many numbers, at least one"),
        ({"method": "isotonic", "logits": [1.0, 1.0], "values": [0.1, 0.2]}, "logits should rise"),
        ({"method": "isotonic", "logits": [1.0, 2.0], "values": [0.3, 0.2]}, "values never fall"),
        ({"method": "isotonic", "logits": [1.0, 2.0], "values": [0.3, 1.2]}, "from 0 to 1"),
        ({"method": "isotonic", "logits": 3, "values": 4}, "is broken"),
    ],
)
def test_what_is_broken_is_refused(content: dict[str, Any], problem: str, folder: Path) -> None:
    write(folder, **content)
    with pytest.raises(ModelError, match=problem):
        read_calibration(folder)
    (folder / "calibration.json").write_text("[]")
    with pytest.raises(ModelError, match="should hold a JSON object"):
        read_calibration(folder)
