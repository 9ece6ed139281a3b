"""A siamese BiLSTM as the student of ``distil --procedure scores``, on tiny data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank import Ranker
from distilrank.data.files import read_json
from distilrank.data.groups import GroupFile, write_groups
from distilrank.models.bilstm import load_bilstm
from distilrank.models.siamese_scorer import SiameseScorer
from distilrank.runtime.siamese import SiameseNetwork
from distilrank.training.journal import read_events, read_steps
from distilrank.training.run_folder import RunFolder
from tests.bilstms import saved_bilstm
from tests.end_to_end.test_training_verbs import manifest_of, weights_of
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker
from tests.tiny import tiny_pairs

SHORT = ("--max-tokens", 16, "--batch-size", 8, "--learning-rate", "2e-2", "--set", "trackers=[]")
BOTH = ("--objective", "kl", "--objective", "margin_mse")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_ranker(tmp_path_factory.mktemp("models") / "teacher", layers=1)


@pytest.fixture(scope="module")
def bilstm(data: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the procedure of that name makes, read in 40 words of each text."""
    out = tmp_path_factory.mktemp("models") / "bilstm"
    told = ("--vectors", "random", "--set", "student.dimensions=6", "--set", "student.min_count=1", "--shape", "5/7")
    short = ("--triples", 20, "--steps", 2, "--batch-size", 8, "--max-tokens", 40, "--set", "trackers=[]")
    given = ("--teacher", teacher, "--data", data, "--out", out)
    assert distilrank("distil", "--procedure", "bilstm", *given, *told, *short) == 0
    return out


Distil = Callable[..., int]


@pytest.fixture(scope="module")
def distil(data: Path, teacher: Path, bilstm: Path) -> Distil:
    """Run the verb, from that student unless told otherwise."""

    def run(out: Path, *more: object, student: Path = bilstm, procedure: str = "scores", steps: int = 3) -> int:
        given = ("--teacher", teacher, "--data", data, "--student", student, "--out", out, "--steps", steps)
        return distilrank("distil", "--procedure", procedure, *given, *SHORT, *more)

    return run


@pytest.fixture(scope="module")
def trained(distil: Distil, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "trained"
    assert distil(out, *BOTH, "--evaluate-every", 2) == 0
    return out


def test_it_leaves_what_the_procedure_bilstm_leaves(trained: Path, bilstm: Path) -> None:
    model, tokenizer = load_bilstm(trained)
    assert (model.config.siamese, model.config.hidden_size, tokenizer.max_tokens) == (True, 5, 16)
    journal = trained / "run" / "journal.jsonl"
    assert [tuple(step["terms"]) for step in read_steps(journal)] == [("kl", "margin_mse")] * 3
    assert [event["step"] for event in read_events(journal, "evaluate")] == [2, 3]
    ours, theirs = (
        {name for name, _ in files_of(folder) if not name.startswith("run/")} for folder in (trained, bilstm)
    )
    assert ours == theirs
    assert ours > {"onnx/encoder.onnx", "onnx/head.onnx", "onnx/model.onnx", "tokenizer.json", "README.md"}
    told = manifest_of(trained)
    assert (told["started_from"], told["settings"]["procedure"]) == (str(bilstm), "scores")
    card = (trained / "README.md").read_text(encoding="utf-8")
    for line in (
        "distillation of a teacher's scores (kl, margin_mse)",
        "reads at most 16 tokens of each text; the rest is cut off",
        "Its layout is distilrank's own",
    ):
        assert line in card
    for absent in ("CrossEncoder", "from transformers"):
        assert absent not in card


def test_it_starts_from_the_folders_weights_and_never_moves_the_static_words(trained: Path, bilstm: Path) -> None:
    before, after = weights_of(bilstm), weights_of(trained)
    unmoved = [name for name, value in after.items() if np.array_equal(value, before[name])]
    assert unmoved == ["embeddings.static.weight"]
    for name, value in after.items():  # three steps of 0.02
        assert np.abs(value - before[name]).max() < 0.1


def test_the_saved_folder_ranks_as_the_network_does(trained: Path) -> None:
    pairs = tiny_pairs(12)
    ranker = Ranker.load(trained)
    assert isinstance(ranker._network, SiameseNetwork)
    expected = SiameseScorer(*load_bilstm(trained)).score(pairs)
    np.testing.assert_allclose(ranker.score(pairs), expected, atol=1e-4)
    assert np.ptp(expected) > 1e-2


def test_a_negated_teacher_teaches_the_opposite(distil: Distil, data: Path, tmp_path: Path) -> None:
    groups = list(GroupFile(data / "groups" / "train.jsonl"))
    found = {}
    for sign in (1, -1):
        scored = tmp_path / f"{sign}.jsonl"
        write_groups((replace(g, scores=tuple(sign * (6 * r - 3) for r in g.relevance)) for g in groups), scored)
        out = tmp_path / f"student{sign}"
        assert distil(out, *BOTH, "--groups", scored, steps=40) == 0
        scorer = SiameseScorer(*load_bilstm(out))
        right = []
        for group in groups:
            own, *others = scorer.score([(group.query, passage) for passage in group.passages])
            assert group.relevance[0] > max(group.relevance[1:])
            right += [own > other for other in others]
        found[sign] = np.mean(right)
    assert found[1] > 0.75
    assert found[-1] < 0.25


def test_a_stopped_training_goes_on_to_the_same_weights(
    trained: Path, distil: Distil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "stopped"
    told = (*BOTH, "--evaluate-every", 2)
    save = RunFolder.save_checkpoint

    def stop(self: RunFolder, *given: Any) -> None:
        save(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_checkpoint", stop)
        assert distil(out, *told) == 130
    assert not (out / "config.json").exists()
    assert distil(out, *told) == 0
    for name, value in weights_of(trained).items():
        np.testing.assert_array_equal(value, weights_of(out)[name])
    # The same command once more does nothing, another student is another command.
    before = sorted(files_of(out))
    assert distil(out, *told) == 0
    assert distil(out, *told, student=saved_bilstm(tmp_path / "other")) == 2
    assert sorted(files_of(out)) == before


def test_a_head_of_other_labels_is_drawn_anew_and_the_rest_kept(distil: Distil, tmp_path: Path) -> None:
    two = saved_bilstm(tmp_path / "two", num_labels=2)
    assert distil(tmp_path / "out", "--objective", "mse", student=two, steps=1) == 0
    before, after = weights_of(two), weights_of(tmp_path / "out")
    assert after["output.weight"].shape == (1, 7)
    for name in ("lstm.weight_ih_l0", "fully_connected.weight", "embeddings.tuned.weight"):
        assert np.abs(after[name] - before[name]).max() < 0.05


def test_compare_sets_it_beside_a_small_bert(data: Path, teacher: Path, bilstm: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common = "--procedure scores --objective kl --layers 1 --steps 2 --max-tokens 16 --batch-size 8 --set trackers=[]"
    told = ("compare", "--teacher", teacher, "--data", data, "--split", "dev", "--seeds", 1, "--common", common)
    systems = ("--system", "bert:", "--system", f"siamese: --student {bilstm} --learning-rate 2e-2")
    assert distilrank(*told, *systems, "--out", out) == 0
    found = read_json(out / "comparison.json")
    assert list(found["tests"]["dev"]["nDCG@10"]["systems"])[1:] == ["teacher", "bert", "siamese"]
    assert found["costs"]["siamese"]["ms_per_100"] > 0
    assert found["costs"]["siamese"]["parameters"] == manifest_of(bilstm)["parameters"]


# --- refusals, none of which leaves a folder


@pytest.mark.parametrize("name", ["embedding", "hidden", "attention", "relations", "pkd"])
def test_objectives_over_layers_have_nothing_to_compare(
    name: str, distil: Distil, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(tmp_path / "out", "--objective", "kl", "--objective", name) == 2
    sentence = f"the student is a BiLSTM, which has none of the layers that {name} would compare; keep to objectives"
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("procedure", ["simplified_tinybert", "tinybert", "bert_rankers", "standard"])
def test_no_other_procedure_takes_it(
    procedure: str, distil: Distil, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(tmp_path / "out", procedure=procedure) == 2
    sentence = "is a BiLSTM, which --procedure bilstm makes and only --procedure scores trains further"
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_bilstm_of_single_texts_is_no_ranker(
    distil: Distil, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(tmp_path / "out", student=saved_bilstm(tmp_path / "single", siamese=False)) == 2
    sentence = "but the student is a BiLSTM of single texts; give a siamese one"
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
