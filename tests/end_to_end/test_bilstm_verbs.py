"""A BiLSTM from the command line to a folder that ranks, with and without vectors computed ahead, on tiny data."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.data.trec import read_run
from distilrank.models.bilstm import load_bilstm
from distilrank.models.load import load_model, stored_label_names
from distilrank.models.scorer import TorchScorer
from distilrank.runtime.siamese import SiameseNetwork
from distilrank.training.journal import read_events, read_steps
from distilrank.workflows import evaluate_classification
from tests.end_to_end.test_training_verbs import manifest_of, weights_of
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker
from tests.tiny import WORDS

SHORT = ("--shape", "5/7", "--steps", 6, "--batch-size", 8, "--max-tokens", 16, "--set", "trackers=[]")
RANDOM = ("--vectors", "random", "--set", "student.dimensions=6", "--set", "student.min_count=1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_ranker(tmp_path_factory.mktemp("models") / "teacher", layers=1)


@pytest.fixture(scope="module")
def ranker(data: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A siamese ranker distilled from the command line."""
    out = tmp_path_factory.mktemp("models") / "ranker"
    told = ("distil", "--procedure", "bilstm", "--teacher", teacher, "--data", data, "--triples", 20, "--out", out)
    assert distilrank(*told, *RANDOM, *SHORT, "--evaluate-every", 3) == 0
    return out


def labelled(path: Path, kind: str, *, pairs: bool) -> Path:
    """Two dozen labelled texts or pairs."""
    labels: dict[str, list[Any]] = {
        "classes": ["good", "bad", "fair"],
        "multi_label": [["new"], [], ["new", "loud"]],
        "regression": [0.5, 3.25, -1.0],
    }
    with path.open("w", encoding="utf-8") as file:
        for i in range(24):
            record = {"text": f"{WORDS[i]} red dog", "label": labels[kind][i % 3]}
            file.write(json.dumps(record | ({"text_pair": f"old {WORDS[i + 9]}"} if pairs else {})) + "\n")
    return path


def teacher_of(folder: Path, kind: str, names: list[str]) -> Path:
    """A random network with the labels of ``labelled``."""
    saved_ranker(folder, layers=1, num_labels=len(names))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["id2label"], config["problem_type"] = dict(enumerate(names)), kind
    config["label2id"] = {name: place for place, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


# --- rankers


def test_a_distilled_ranker_with_its_journal_card_and_manifest(
    ranker: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, tokenizer = load_bilstm(ranker)
    assert (model.config.siamese, model.config.hidden_size, model.config.fully_connected_size) == (True, 5, 7)
    assert tokenizer.max_tokens == 16
    steps = read_steps(ranker / "run" / "journal.jsonl")
    assert [tuple(step["terms"]) for step in steps] == [("mse",)] * 6
    assert [event["step"] for event in read_events(ranker / "run" / "journal.jsonl", "evaluate")] == [3, 6]
    weights = weights_of(ranker)
    assert manifest_of(ranker)["parameters"] == sum(value.size for value in weights.values())
    assert not np.array_equal(weights["embeddings.tuned.weight"], weights["embeddings.static.weight"])
    card = (ranker / "README.md").read_text(encoding="utf-8")
    for line in (
        "a BiLSTM that imitates logits (Tang et al. 2019, arXiv 1903.12136)",
        "reads at most 16 tokens of each text; the rest is cut off",
        "Its layout is distilrank's own",
        "With distilrank, without torch",
    ):
        assert line in card
    for absent in ("CrossEncoder", "from transformers"):
        assert absent not in card
    files = sorted((ranker / "onnx").iterdir())
    assert [path.name for path in files] == ["encoder.onnx", "head.onnx", "model.onnx"]
    before = [path.read_bytes() for path in files]
    assert distilrank("export", ranker) == 0
    assert [path.read_bytes() for path in files] == before
    told = ("export", ranker, "--precision", "int8", "--data", data)
    assert distilrank(*told) == 2
    assert "is a BiLSTM, whose time goes into its LSTM; keep it in fp32" in capsys.readouterr().err


def test_rank_and_evaluate_give_the_same_with_and_without_stored_vectors(
    ranker: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = data / "runs" / "train.trec.gz"
    found: dict[str, Any] = {}
    seen: list[str] = []
    encode = SiameseNetwork.encode

    def counted(self: Any, texts: Any) -> Any:
        seen.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(SiameseNetwork, "encode", counted)

    def outcome(name: str, *options: object) -> tuple[Any, Any, int]:
        seen.clear()
        out = tmp_path / f"{name}.trec"
        assert distilrank("rank", ranker, "--run", run, "--data", data, "--out-run", out, *options) == 0
        read = len(seen)
        told = ("evaluate", ranker, "--data", data, "--split", "dev", "--depth", 5, "--json", tmp_path / "found.json")
        assert distilrank(*told, *options) == 0
        written = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
        (own,) = (system["measures"] for system in written["systems"] if system["name"] == written["system"])
        return read_run(out), own, read

    found["without"] = outcome("without")
    elsewhere = tmp_path / "vectors"
    assert distilrank("encode", ranker, "--data", data, "--out", elsewhere, "--dtype", "float32") == 0
    passages = len((elsewhere / "ids.txt").read_text(encoding="utf-8").split())
    assert f"{elsewhere}: {passages} passages, " in capsys.readouterr().out
    found["named"] = outcome("named", "--passage-vectors", elsewhere)
    assert distilrank("encode", ranker, "--data", data) == 0
    assert (ranker / "passage-vectors" / "manifest.json").is_file()
    found["in the folder"] = outcome("own")
    scores, measures, read = found["without"]
    queries = len(scores)
    assert read > queries  # the passages too
    for name, tolerance in (("named", 1e-5), ("in the folder", 5e-3)):  # the latter are float16
        others, other_measures, read = found[name]
        assert read == queries
        assert others.keys() == scores.keys()
        for query_id, wanted in scores.items():
            assert others[query_id] == pytest.approx(wanted, abs=tolerance)
        assert name != "named" or other_measures == measures
    # Vectors of other weights are refused.
    one = elsewhere / "manifest.json"
    told = json.loads(one.read_text(encoding="utf-8"))
    told["made_by"]["weights"] = "0" * 64
    one.write_text(json.dumps(told), encoding="utf-8")
    options = ("--run", run, "--data", data, "--out-run", tmp_path / "never.trec", "--passage-vectors", elsewhere)
    assert distilrank("rank", ranker, *options) == 2
    assert "were made with other weights than this model's" in capsys.readouterr().err
    assert not (tmp_path / "never.trec").exists()


def test_a_cross_encoder_has_no_passage_vectors(
    teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distilrank("encode", teacher, "--data", data) == 2
    assert "holds a BertForSequenceClassification, not a BiLSTM" in capsys.readouterr().err
    told = ("rank", teacher, "--run", data / "runs" / "train.trec.gz", "--data", data, "--out-run", tmp_path / "out")
    assert distilrank(*told, "--passage-vectors", tmp_path) == 2
    assert "reads query and passage together, so it cannot use passage vectors" in capsys.readouterr().err


def test_a_stopped_distillation_goes_on_to_the_same_weights(
    ranker: Path, teacher: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distilrank.training.run_folder import RunFolder

    told = ("distil", "--procedure", "bilstm", "--teacher", teacher, "--data", data, "--triples", 20, *RANDOM, *SHORT)
    told = (*told, "--evaluate-every", 3, "--out", tmp_path / "stopped")
    save = RunFolder.save_checkpoint

    def stop(self: RunFolder, *given: Any) -> None:
        save(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_checkpoint", stop)
        assert distilrank(*told) == 130
    assert not (tmp_path / "stopped" / "config.json").exists()
    assert distilrank(*told) == 0
    for name, value in weights_of(ranker).items():
        np.testing.assert_array_equal(value, weights_of(tmp_path / "stopped")[name])
    # The same command once more does nothing, another one is refused.
    before = sorted(files_of(tmp_path / "stopped"))
    assert distilrank(*told) == 0
    assert distilrank(*told, "--seed", 3) == 2
    assert sorted(files_of(tmp_path / "stopped")) == before


# --- classifiers


@pytest.mark.parametrize(
    ("kind", "problem", "names", "pairs"),
    [
        ("classes", "single_label_classification", ["fair", "good", "bad"], False),
        ("classes", "single_label_classification", ["bad", "fair", "good"], True),
        ("multi_label", "multi_label_classification", ["loud", "new"], False),
        ("regression", "regression", ["LABEL_0"], True),
    ],
)
def test_classifiers(
    kind: str, problem: str, names: list[str], pairs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = partial(evaluate_classification.evaluate_classifiers, resamples=5)
    monkeypatch.setattr(evaluate_classification, "evaluate_classifiers", quick)
    file = labelled(tmp_path / "train.jsonl", kind, pairs=pairs)
    teacher, out = teacher_of(tmp_path / "teacher", problem, names), tmp_path / "student"
    told = ("distil", "--procedure", "bilstm", "--teacher", teacher, "--data", file, "--out", out)
    assert distilrank(*told, "--set", "alpha=0.25", *RANDOM, *SHORT) == 0
    assert set(read_steps(out / "run" / "journal.jsonl")[0]["terms"]) == {"hard", "mse"}
    model, tokenizer = load_model(out)
    assert (model.config.problem_type, stored_label_names(model.config)) == (problem, names)
    assert model.config.siamese == pairs
    logits = TorchScorer(model, tokenizer).logits(["red dog"], ["old city"] if pairs else None)
    assert logits.shape == (1, len(names))
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-classification" in card
    assert 'TorchScorer(*load_model("student"))' in card
    assert distilrank("evaluate", out, "--data", file, "--teacher", teacher, "--json", tmp_path / "found.json") == 0
    measured = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["systems"]
    assert [system["name"] for system in measured] == ["student", "teacher"]


def test_word_vectors_of_a_file_of_the_teacher_and_at_random(tmp_path: Path) -> None:
    file = labelled(tmp_path / "train.jsonl", "classes", pairs=False)
    teacher = teacher_of(tmp_path / "teacher", "single_label_classification", ["bad", "fair", "good"])
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("red 1 2 3\nzebra 4 5 6\nBlue 7 8 9\n", encoding="utf-8")
    told = ("distil", "--procedure", "bilstm", "--teacher", teacher, "--data", file, *SHORT)
    assert distilrank(*told, "--vectors", vectors, "--out", tmp_path / "file") == 0
    model, tokenizer = load_bilstm(tmp_path / "file")
    static = weights_of(tmp_path / "file")["embeddings.static.weight"]
    red, dog, zebra, blue = (tokenizer.encode([word])[0].input_ids[0] for word in ("red", "Dog", "zebra", "blue"))
    assert static[red].tolist() == [1, 2, 3]
    assert static[zebra].tolist() == [4, 5, 6]  # never trained on, and known all the same
    assert np.abs(static[dog]).max() <= 0.25
    assert blue == 1  # text is lower-cased, so that a vector of Blue is out of reach
    assert model.config.embedding_size == 3
    assert manifest_of(tmp_path / "file")["inputs"]["vectors"]["path"] == vectors.as_posix()
    assert distilrank(*told, "--set", "student.dimensions=16", "--out", tmp_path / "reduced") == 0
    reduced, tokenizer = load_bilstm(tmp_path / "reduced")
    own, theirs = load_model(teacher)
    assert tokenizer.encode(["red zz"])[0].input_ids == theirs.encode(["red zz"])[0].input_ids[1:-1]
    embedded = own.get_input_embeddings().weight.detach().numpy()
    static = weights_of(tmp_path / "reduced")["embeddings.static.weight"]
    # All components only turn the space: distances stay.
    np.testing.assert_allclose(
        np.linalg.norm(static[10] - static[11:40], axis=1),
        np.linalg.norm(embedded[10] - embedded[11:40], axis=1),
        rtol=1e-4,
    )
    assert reduced.config.vocab_size == own.config.vocab_size


def test_augmented_pairs_join_the_transfer_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("textblob")
    file = labelled(tmp_path / "train.jsonl", "classes", pairs=True)
    teacher = teacher_of(tmp_path / "teacher", "single_label_classification", ["bad", "fair", "good"])
    augmented, out = tmp_path / "augmented.jsonl", tmp_path / "student"
    rates = ("--set", "mask=0.5", "--set", "replace=0.5", "--set", "variants=3")
    assert distilrank("augment", "--data", file, "--method", "rules", "--out", augmented, *rates) == 0
    records = [json.loads(line) for line in augmented.read_text(encoding="utf-8").splitlines()]
    originals = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    added = [record for record in records if record not in originals]
    assert len(originals) == 24 < len(added) <= 72
    # The cycle: the first text only, the second only, both.
    for name, other in (("text", "text_pair"), ("text_pair", "text")):
        assert any(record[name] not in {o[name] for o in originals} and record[other] in {o[other] for o in originals}
                   for record in added)  # fmt: skip
    told = ("distil", "--procedure", "bilstm", "--teacher", teacher, "--data", file, "--augmented", augmented)
    assert distilrank(*told, "--out", out, "--set", "alpha=0.5", *RANDOM, *SHORT) == 0
    command = json.loads((out / "run" / "command.json").read_text(encoding="utf-8"))
    assert command["examples"] == len({(record["text"], record["text_pair"]) for record in records})
    assert sum(len(np.load(part)) for part in (out / "run" / "teacher").glob("*.npy")) == command["examples"]
    _, tokenizer = load_bilstm(out)
    assert tokenizer.encode(["[MASK]"])[0].input_ids == [2]
    assert (
        f"24 examples from train.jsonl and {command['examples'] - 24} augmented ones" in (out / "README.md").read_text()
    )
    single = tmp_path / "single.jsonl"
    single.write_text('{"text": "red"}\n', encoding="utf-8")
    told = (*told, "--augmented", single, *RANDOM, *SHORT)
    assert distilrank(*told, "--out", tmp_path / "never") == 2
    assert "holds single texts, but the data pairs of texts" in capsys.readouterr().err
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--vectors", "none.txt"), "there is no such file of word vectors; check the path, or give teacher or random"),
        (("--layers", 2), "the procedure bilstm has no --layers"),
        (("--shape", "3/384/1536/12"), "a BiLSTM has hidden/fully-connected, such as 150/200"),
        (("--shape", "0/7", "--vectors", "random"), "hidden is 0 but must be at least 1"),
        (("--set", "alpha=2"), "alpha is 2"),
        (("--set", "student.dimensions=17"), "dimensions is 17 but must lie between 1 and the teacher's 16"),
        (("--set", "student.hiden=9"), "hidden"),
        (("--procedure", "bilst", "--layers", 1), "did you mean 'bilstm'"),
    ],
)
def test_mistakes_end_with_code_2_and_leave_nothing(
    options: tuple[object, ...],
    problem: str,
    teacher: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = ("distil", "--procedure", "bilstm", "--teacher", teacher, "--data", data, "--steps", 1)
    assert distilrank(*told, "--out", tmp_path / "out", *options) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
