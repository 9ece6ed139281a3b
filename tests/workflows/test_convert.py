"""``distilrank convert`` from the command line to a folder that ranks without torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel

from distilrank.models.load import load_model
from distilrank.models.relu_head import use_relu_head
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.runtime.ranker import Ranker
from tests.end_to_end.verbs import distilrank, files_of, saved_ranker
from tests.models.test_open_checkpoint import as_tinybert_saves
from tests.tiny import tiny_config, tiny_model, tiny_pairs, tiny_tokenizer

PAIRS = tiny_pairs(20)


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("groups") / "groups.jsonl"
    pairs = iter(tiny_pairs(120, seed=5, lengths=(3, 8, 15)))
    rows = [{"query": query, "pos": [passage], "neg": [next(pairs)[1]]} for query, passage in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def two_logits(folder: Path) -> np.ndarray:
    """Log odds of class 1 by the two logits of a folder."""
    logits = TorchScorer(*load_model(folder)).logits(*zip(*PAIRS, strict=True))
    return logits[:, 1] - logits[:, 0]


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_two_logits_become_one_with_equal_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two, one = saved_ranker(tmp_path / "two", num_labels=2), tmp_path / "one"
    assert distilrank("convert", two, "--out", one) == 0
    assert "two logits folded into one: relevant is class 1, 'LABEL_1'" in capsys.readouterr().out
    assert "Two logits folded into one" in card_of(one)
    expected = two_logits(two)
    np.testing.assert_allclose(TorchScorer(*load_model(one)).score(PAIRS), expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(Ranker.load(one).score(PAIRS), expected, atol=1e-4, rtol=0)
    assert np.ptp(expected) > 0.01
    # Again: nothing is done. Otherwise: refused, unless told to replace it.
    before = dict(files_of(one))
    assert distilrank("convert", two, "--out", one) == 0
    assert distilrank("convert", two, "--out", one, "--relevant", 0) == 2
    assert "relevant was 1 and is now 0" in capsys.readouterr().err
    assert dict(files_of(one)) == before
    assert distilrank("convert", two, "--out", one, "--relevant", 0, "--overwrite") == 0
    np.testing.assert_allclose(TorchScorer(*load_model(one)).score(PAIRS), -expected, atol=1e-6, rtol=0)


def test_a_relu_head_stays_and_is_exact_in_onnx(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = as_tinybert_saves(tmp_path / "tiny")
    use_relu_head(model)
    logits = TorchScorer(model, tiny_tokenizer()).logits(*zip(*PAIRS, strict=True))
    assert distilrank("convert", tmp_path / "tiny", "--out", tmp_path / "out") == 0
    assert "the head has a ReLU: exact in onnx/model.onnx" in capsys.readouterr().out
    scores = Ranker.load(tmp_path / "out").score(PAIRS)
    np.testing.assert_allclose(scores, logits[:, 1] - logits[:, 0], atol=1e-4, rtol=0)
    np.testing.assert_allclose(TorchScorer(*load_model(tmp_path / "out")).score(PAIRS), scores, atol=1e-4, rtol=0)
    assert "wrong in other libraries" in card_of(tmp_path / "out")
    assert "library_name: distilrank" in card_of(tmp_path / "out")
    # As a classifier it keeps both.
    told = ("convert", tmp_path / "tiny", "--out", tmp_path / "classes", "--keep-classes")
    assert distilrank(*told) == 0
    kept = TorchScorer(*load_model(tmp_path / "classes")).logits(*zip(*PAIRS, strict=True))
    np.testing.assert_allclose(kept, logits, atol=1e-6, rtol=0)
    assert "pipeline_tag: text-classification" in card_of(tmp_path / "classes")


def test_with_texts_the_head_is_refitted_and_the_loss_stated(
    tmp_path: Path, groups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_tinybert_saves(tmp_path / "tiny", fit_dense=False)
    told = ("convert", tmp_path / "tiny", "--head", "relu", "--data", groups)
    assert distilrank(*told, "--out", tmp_path / "out", "--texts", 100) == 0
    loss = json.loads((tmp_path / "out" / "manifest.json").read_text())["loss"]
    stated = f"refitted head misses the exact logits by {loss['error']:.3g} (root mean square, 20 held-out texts)"
    assert stated in capsys.readouterr().out
    assert stated in card_of(tmp_path / "out")
    # Classic: what transformers makes of it is what it is.
    plain, _ = load_model(tmp_path / "out")
    assert type(plain.classifier).__name__ == "Linear"
    scores = TorchScorer(plain, tiny_tokenizer()).score(PAIRS)
    np.testing.assert_allclose(Ranker.load(tmp_path / "out").score(PAIRS), scores, atol=1e-4, rtol=0)
    # Too few texts, and a head that has nothing to refit: nothing is written.
    assert distilrank(*told, "--out", tmp_path / "few", "--texts", 10) == 2
    assert "10 texts are too few" in capsys.readouterr().err
    save_model(tiny_model(), tiny_tokenizer(), tmp_path / "usual")
    assert distilrank("convert", tmp_path / "usual", "--data", groups, "--out", tmp_path / "few") == 2
    assert "no head with a ReLU" in capsys.readouterr().err
    assert not (tmp_path / "few").exists()


def test_what_cannot_be_converted_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_tinybert_saves(tmp_path / "tiny", fit_dense=False)
    for told, problem in (
        ((tmp_path / "tiny", "--out", tmp_path / "out"), "say --head relu or --head plain"),
        ((tmp_path / "tiny", "--out", tmp_path / "tiny", "--head", "relu"), "is the folder to be converted"),
        ((tmp_path / "nobody", "--out", tmp_path / "out"), "there is no folder"),
        ((tmp_path / "tiny", "--out", tmp_path / "out", "--head", "relu", "--relevant", 2), "relevant is 2"),
        ((tmp_path / "tiny", "--out", tmp_path / "out", "--head", "relu", "--texts", 0), "texts is 0"),
    ):
        assert distilrank("convert", *told) == 2
        assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_to_change_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ranker = saved_ranker(tmp_path / "ranker")
    assert distilrank("convert", ranker, "--out", tmp_path / "out") == 0
    assert "nothing had to be changed" in capsys.readouterr().out
    np.testing.assert_allclose(
        Ranker.load(tmp_path / "out").score(PAIRS), TorchScorer(*load_model(ranker)).score(PAIRS), atol=1e-4
    )


@pytest.mark.parametrize("head", ["cosine", "late_interaction"])
def test_a_bi_encoder_becomes_a_ranker(head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    BertModel(tiny_config()).save_pretrained(tmp_path / "encoder")
    tiny_tokenizer().save(tmp_path / "encoder")
    assert distilrank("convert", tmp_path / "encoder", "--head", head, "--out", tmp_path / "ranker") == 0
    assert "nothing has been trained" in capsys.readouterr().out
    expected, tokenizer = load_model(tmp_path / "encoder", head=head)  # type: ignore[arg-type]
    pairs = tiny_pairs(5)
    wanted = TorchScorer(expected, tokenizer).score(pairs)
    np.testing.assert_allclose(Ranker.load(tmp_path / "ranker").score(pairs), wanted, atol=1e-4)
    assert "AutoModelForSequenceClassification" not in (tmp_path / "ranker" / "README.md").read_text()
