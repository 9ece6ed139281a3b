"""``distilrank average`` from the command line: means of weights, and refusals of what has no mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distilrank.models.load import load_model
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.runtime.ranker import Ranker
from tests.bilstms import tiny_bilstm, tiny_word_tokenizer
from tests.end_to_end.verbs import distilrank, files_of, saved_ranker
from tests.tiny import tiny_pairs

PAIRS = tiny_pairs(10)


def changed(folder: Path, out: Path, seed: int) -> Path:
    """The same network with other weights."""
    model, tokenizer = load_model(folder)
    torch.manual_seed(seed)
    model.load_state_dict(
        {name: weight + 0.1 * torch.randn_like(weight) for name, weight in model.state_dict().items()}
    )
    save_model(model, tokenizer, out)
    return out


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_every_weight_is_the_mean_by_the_shares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = saved_ranker(tmp_path / "first")
    others = [changed(first, tmp_path / f"other-{seed}", seed) for seed in (1, 2)]
    half, uneven = tmp_path / "half", tmp_path / "uneven"
    assert distilrank("average", first, others[0], "--out", half) == 0
    weights = [weights_of(folder) for folder in (first, *others)]
    for name, weight in weights_of(half).items():
        torch.testing.assert_close(weight, (weights[0][name] + weights[1][name]) / 2, atol=1e-7, rtol=0)
        assert not torch.equal(weight, weights[0][name])
    options = ["--weight", 1, "--weight", 0, "--weight", 3, "--out", uneven]
    assert distilrank("average", first, *others, *options) == 0
    for name, weight in weights_of(uneven).items():
        torch.testing.assert_close(weight, 0.25 * weights[0][name] + 0.75 * weights[2][name], atol=1e-7, rtol=0)
    # What one of them was never trained to read, nobody reads.
    settings = json.loads((others[0] / "tokenizer_config.json").read_text())
    (others[0] / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 20}))
    shorter = tmp_path / "shorter"
    assert distilrank("average", first, others[0], "--out", shorter) == 0
    assert load_model(shorter)[1].max_tokens == 20 < load_model(half)[1].max_tokens
    # It is a ranker like any other: exported, described, and loaded by the class that it has.
    expected = TorchScorer(*load_model(half)).score(PAIRS)
    np.testing.assert_allclose(Ranker.load(half).score(PAIRS), expected, atol=1e-4, rtol=0)
    assert "Its weights are 0.25 of first, 0 of other-1, 0.75 of other-2." in (uneven / "README.md").read_text()
    before = dict(files_of(half))
    assert distilrank("average", first, others[0], "--out", half) == 0
    assert distilrank("average", first, others[1], "--out", half) == 2
    assert "was made by another command: input weights 2 is another file" in capsys.readouterr().err
    assert dict(files_of(half)) == before


def test_a_late_interaction_ranker_and_a_bilstm_stay_what_they_are(tmp_path: Path) -> None:
    assert distilrank("convert", "minilm-l6", "--head", "late_interaction", "--out", tmp_path / "warm") == 0
    bilstm = tmp_path / "bilstm"
    save_model(tiny_bilstm(num_labels=1), tiny_word_tokenizer(), bilstm)
    for folder in (tmp_path / "warm", bilstm):
        other, out = changed(folder, tmp_path / f"{folder.name}-other", 1), tmp_path / f"{folder.name}-mean"
        assert distilrank("average", folder, other, "--out", out) == 0
        whole, mean = json.loads((folder / "config.json").read_text()), json.loads((out / "config.json").read_text())
        assert mean["model_type"] == whole["model_type"]
        ours, theirs = weights_of(folder), weights_of(other)
        for name, weight in weights_of(out).items():
            torch.testing.assert_close(weight, (ours[name] + theirs[name]) / 2)


def test_what_has_no_mean_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ranker = saved_ranker(tmp_path / "ranker")

    def refused(*arguments: object) -> str:
        assert distilrank("average", *arguments, "--out", tmp_path / "out") == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "give at least two models" in refused(ranker)
    same = changed(ranker, tmp_path / "same", 1)
    assert "2 models and 1 weights" in refused(ranker, same, "--weight", 1)
    assert "weights are 2.0, -1.0" in refused(ranker, same, "--weight", 2, "--weight", -1)
    assert "weights are 0.0, 0.0" in refused(ranker, same, "--weight", 0, "--weight", 0)
    assert "nothing holds no model.safetensors" in refused(ranker, tmp_path / "nothing")
    deeper = saved_ranker(tmp_path / "classes", num_labels=2)
    assert "weights of other shapes than" in refused(ranker, deeper)
    other_names = changed(deeper, tmp_path / "names", 1)
    named = json.loads((other_names / "config.json").read_text())
    named |= {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}
    (other_names / "config.json").write_text(json.dumps(named))
    assert "other labels than" in refused(deeper, other_names)
    heads = changed(ranker, tmp_path / "heads", 1)
    config = json.loads((heads / "config.json").read_text())
    (heads / "config.json").write_text(
        json.dumps({**config, "num_attention_heads": config["num_attention_heads"] // 2})
    )
    assert "another network than" in refused(ranker, heads)
    words = changed(ranker, tmp_path / "words", 1)
    text = (words / "tokenizer.json").read_text()
    content = json.loads(text)
    vocabulary = content["model"]["vocab"]
    pieces = sorted(vocabulary, key=vocabulary.get)
    content["model"]["vocab"] = {piece: place for place, piece in enumerate([*pieces[:5], *pieces[:4:-1]])}
    (words / "tokenizer.json").write_text(json.dumps(content))
    assert "another tokeniser than" in refused(ranker, words)
    before = dict(files_of(same))
    assert distilrank("average", ranker, same, "--out", same) == 2
    assert "is one of the folders to be averaged" in capsys.readouterr().err
    assert dict(files_of(same)) == before
