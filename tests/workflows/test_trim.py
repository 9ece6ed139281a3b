"""``distilrank trim`` from the command line to folders that other libraries load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer, models
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from distilrank.data.beir import write_qrels, write_queries
from distilrank.data.folder import RankingFolder
from distilrank.data.tokens import PairTokenizer
from distilrank.models.load import load_model, load_tokenizer
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.records import Query
from distilrank.runtime.ranker import Ranker
from tests.bilstms import saved_bilstm
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker, without_export
from tests.tiny import VOCABULARY, tiny_config, tiny_model, tiny_tokenizer

TEXT = "the river is in the city.\nthe old king and the queen.\n\nwater and stone.\nwhere is the bread?\n"
PAIRS = [("where is the king?", "the old king is in the city."), ("bread", "water and bread."), ("the queen", "stone")]
SIZE = len(VOCABULARY)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_export(monkeypatch)


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def tokens_of(folder: Path) -> set[str]:
    return set((folder / "vocab.txt").read_text(encoding="utf-8").split("\n")) - {""}


def by_transformers(folder: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = tokenizer([a for a, _ in pairs], [b for _, b in pairs], padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs).logits.numpy()  # type: ignore[no-any-return]


def test_a_ranker_scores_kept_text_the_same_wherever_it_is_loaded(
    tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranker, out = saved_ranker(tmp_path / "ranker"), tmp_path / "small"
    assert distilrank("trim", ranker, "--text", text, "--reserve", 0, "--out", out) == 0
    printed = capsys.readouterr().out
    # transformers and sentence-transformers: equal to the bit; without torch: within what an export may differ.
    np.testing.assert_array_equal(by_transformers(out, PAIRS), by_transformers(ranker, PAIRS))
    whole, small = CrossEncoder(str(ranker)), CrossEncoder(str(out))
    np.testing.assert_array_equal(small.predict(PAIRS), whole.predict(PAIRS))
    scores = TorchScorer(*load_model(ranker)).score(PAIRS)
    np.testing.assert_array_equal(TorchScorer(*load_model(out)).score(PAIRS), scores)
    np.testing.assert_allclose(Ranker.load(out).score(PAIRS), scores, atol=1e-4, rtol=0)
    assert np.ptp(scores) > 0.01
    # Other text is spelt with letters.
    assert load_tokenizer(out, offline=True).backend.encode("wine", add_special_tokens=False).tokens == [
        "w",
        "##i",
        "##n",
        "##e",
    ]
    # Sizes: embeddings are the only difference, and they are 16 wide.
    kept = len(tokens_of(out))
    before = sum(p.numel() for p in load_model(ranker)[0].parameters())
    after = before - 16 * (SIZE - kept)
    assert sum(p.numel() for p in load_model(out)[0].parameters()) == after
    sizes = f"{before:,} to {after:,} parameters, {before * 4e-6:.1f} to {after * 4e-6:.1f} MB"
    sizes = f"vocabulary trimmed from {SIZE} to {kept} tokens: {sizes}"
    assert f"{out}: {sizes}\n" in printed
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"- {sizes[:1].upper()}{sizes[1:]}." in card
    assert f"{after:,} parameters" in card
    assert "Made by**: vocabulary trimming" in card
    assert f"trim {ranker} --text" in card
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "config.json"):
        assert (out / name).is_file()
    assert json.loads((out / "config.json").read_text())["vocab_size"] == kept


def test_what_held_out_text_loses_is_said_and_then_counted(
    tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["the river" if number % 20 else "wine qq" for number in range(41)]  # 0, 20 and 40 are held out
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    told = ("trim", saved_ranker(tmp_path / "ranker"), "--text", tmp_path / "text.txt", "--reserve", 0)
    assert distilrank(*told, "--out", tmp_path / "out") == 0
    # Held-out "wine" would have been spelt with letters; "qq" was already.
    assert manifest_of(tmp_path / "out")["held_out"] == {"sentences": {"words": 6, "respelt": 3, "unknown": 0}}
    sentence = (
        "of the words of held-out sentences, 3 of 6 (50.00%) have other, smaller pieces than before, "
        "and 0 of 6 (0.00%) became unknown"
    )
    assert f"\n{sentence}\n" in capsys.readouterr().out
    assert f"- O{sentence[1:]}." in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "wine" in tokens_of(tmp_path / "out")


def test_again_nothing_is_done_and_otherwise_it_is_refused(
    tmp_path: Path, text: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ("trim", saved_ranker(tmp_path / "ranker"), "--text", text, "--out", tmp_path / "out")
    assert distilrank(*told, "--reserve", 2) == 0
    printed, before = capsys.readouterr().out, dict(files_of(tmp_path / "out"))
    assert distilrank(*told, "--reserve", 2) == 0
    assert capsys.readouterr().out == printed
    assert distilrank(*told, "--reserve", 3) == 2
    assert "reserve was 2 and is now 3" in capsys.readouterr().err
    text.write_text("other text", encoding="utf-8")
    assert distilrank(*told, "--reserve", 2) == 2
    assert "input text 1 is another file" in capsys.readouterr().err
    assert dict(files_of(tmp_path / "out")) == before
    assert distilrank(*told, "--reserve", 3, "--overwrite") == 0
    assert manifest_of(tmp_path / "out")["settings"]["reserve"] == 3


def test_queries_of_a_test_are_not_looked_at(tmp_path: Path, data: Path, quick: None) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    ranker = saved_ranker(tmp_path / "ranker")
    queries = [*RankingFolder(folder).queries.values(), Query("t1", "the"), Query("u1", "a"), Query("u2", "and")]
    write_queries(queries, folder / "queries.jsonl")
    write_qrels({"t1": {"d1": 1}}, folder / "qrels" / "test.tsv")
    assert distilrank("trim", ranker, "--data", folder, "--reserve", 0, "--out", tmp_path / "out") == 0
    kept = tokens_of(tmp_path / "out")
    assert {"and", "is", "water"} <= kept  # a query that nobody judged, queries that are trained on, passages
    assert "the" not in kept
    assert set(manifest_of(tmp_path / "out")["held_out"]) == {"queries", "passages"}
    assert {"collection", "queries.jsonl"} <= set(manifest_of(tmp_path / "out")["inputs"])


def test_groups_and_labelled_texts_are_text_too(tmp_path: Path, data: Path, quick: None) -> None:
    ranker = saved_ranker(tmp_path / "ranker", num_labels=2)
    told = ("trim", ranker, "--reserve", 0)
    (tmp_path / "groups.jsonl").write_text(json.dumps({"query": "the king", "pos": ["wine"], "neg": ["salt"]}) + "\n")
    assert distilrank(*told, "--data", tmp_path / "groups.jsonl", "--out", tmp_path / "a") == 0
    assert {"the", "king", "wine", "salt"} <= tokens_of(tmp_path / "a")
    rows = ["sentence1\tsentence2\tlabel", *(f"the king\twine {i}\t{i % 2}" for i in range(4))]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n")
    assert distilrank(*told, "--data", tmp_path / "pairs.tsv", "--out", tmp_path / "b") == 0
    assert {"the", "king", "wine"} <= tokens_of(tmp_path / "b")
    assert "salt" not in tokens_of(tmp_path / "b")
    assert "pipeline_tag: text-classification" in (tmp_path / "b" / "README.md").read_text(encoding="utf-8")
    # A prepared folder brings its dev split along; a test split is left alone.
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    (prepared / "labels.json").write_text(json.dumps({"label_names": ["0", "1"], "kind": "classes"}))
    for split, word in (("train", "stone"), ("dev", "music"), ("test", "song")):
        (prepared / f"{split}.jsonl").write_text(
            "".join(json.dumps({"text": word, "label": label}) + "\n" for label in ("0", "1"))
        )
    assert distilrank(*told, "--data", prepared, "--out", tmp_path / "c") == 0
    assert {"stone", "music"} <= tokens_of(tmp_path / "c")
    assert "song" not in tokens_of(tmp_path / "c")


def test_encoders_and_masked_language_models_keep_their_form(tmp_path: Path, text: Path, quick: None) -> None:
    classifier = tiny_model()
    save_model(classifier.base_model, tiny_tokenizer(), tmp_path / "encoder")
    torch.manual_seed(0)
    save_model(AutoModelForMaskedLM.from_config(tiny_config()), tiny_tokenizer(), tmp_path / "mlm")
    for name, architecture in (("encoder", "BertModel"), ("mlm", "BertForMaskedLM")):
        assert distilrank("trim", tmp_path / name, "--text", text, "--out", tmp_path / "small" / name) == 0
        config = json.loads((tmp_path / "small" / name / "config.json").read_text(encoding="utf-8"))
        assert config["architectures"] == [architecture]
        assert not (tmp_path / "small" / name / "onnx").exists()
    trimmed = load_model(tmp_path / "small" / "encoder")[0].base_model.state_dict()
    for name, weight in load_model(tmp_path / "encoder")[0].base_model.state_dict().items():
        if name != "embeddings.word_embeddings.weight":
            torch.testing.assert_close(trimmed[name], weight, rtol=0, atol=0)


def test_students_start_from_what_was_trimmed(tmp_path: Path, data: Path, quick: None) -> None:
    teacher, small = saved_ranker(tmp_path / "teacher"), tmp_path / "small"
    assert distilrank("trim", teacher, "--data", data, "--reserve", 0, "--out", small) == 0
    kept = len(tokens_of(small))
    assert kept < SIZE
    told = ("--data", data, "--steps", 1, "--max-tokens", 32, "--set", "trackers=[]")
    # By its layers, with all terms; and as a checkpoint beside the whole teacher, from the scores alone.
    assert distilrank("distil", "--teacher", small, "--layers", 2, *told, "--out", tmp_path / "layers") == 0
    alone = ("--procedure", "standard", "--teacher", teacher, "--student", small)
    assert distilrank("distil", *alone, *told, "--out", tmp_path / "student") == 0
    for name in ("layers", "student"):
        assert load_model(tmp_path / name)[0].config.vocab_size == len(tokens_of(tmp_path / name)) == kept
    # Trimmed once more, its card says where it comes from.
    assert distilrank("trim", tmp_path / "student", "--data", data, "--out", tmp_path / "twice") == 0
    card = (tmp_path / "twice" / "README.md").read_text(encoding="utf-8")
    assert "standard distillation (Hinton et al. 2015, arXiv 1503.02531); then vocabulary trimming" in card
    assert "**Teacher**: teacher" in card


def test_what_cannot_be_trimmed_is_refused(
    tmp_path: Path, text: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    ranker, bilstm = saved_ranker(tmp_path / "ranker"), saved_bilstm(tmp_path / "bilstm")
    level = Tokenizer(models.WordLevel({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    save_model(tiny_model(), PairTokenizer(level, max_tokens=48), tmp_path / "words")
    (tmp_path / "blank.txt").write_text(" \n\n")
    out = ("--out", tmp_path / "out")
    for told, problem in (
        ((tmp_path / "words", "--text", text, *out), "its tokenizer is WordLevel, and only the vocabulary"),
        ((bilstm, "--text", text, *out), "is a BiLSTM, whose vocabulary is chosen when it is made"),
        ((ranker, *out), "no text is given to choose tokens by; name a folder with --data or a file with --text"),
        ((ranker, "--text", tmp_path / "blank.txt", *out), "the texts hold no word to choose tokens by"),
        ((ranker, "--text", tmp_path / "nobody.txt", *out), "nobody.txt: cannot be read"),
        ((ranker, "--text", text, "--min-count", 0, *out), "min_count is 0"),
        ((ranker, "--text", text, "--reserve", -1, *out), "reserve -1"),
        ((ranker, "--text", text, "--out", ranker), "is the folder to be trimmed"),
    ):
        assert distilrank("trim", *told) == 2
        error = capsys.readouterr().err.strip()
        assert problem in error
        assert error.startswith("error: ")
        assert "\n" not in error
    assert not (tmp_path / "out").exists()
