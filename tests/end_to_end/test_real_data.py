"""Each procedure by one command on real text: its terms fall, and a teacher of the opposite opinion ruins the student.

In small, for one core, on SST-2: MiniLM-L6 teachers after some dozens of steps, one that tells praise from blame and
one that ranks praise before blame, and students of 3 layers. A student agrees with its teacher when it decides, or
orders sentences, as the teacher does.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.stats import kendalltau

from distilrank.data.classification import read_examples
from distilrank.data.files import open_text
from distilrank.data.groups import GroupFile, write_groups
from distilrank.models.load import load_model
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from distilrank.models.students import student_from_layers
from distilrank.records import Group
from distilrank.training.journal import read_steps
from tests.end_to_end.verbs import distilrank, without_export

pytestmark = pytest.mark.slow

HOW = ("--precision", "bf16", "--max-tokens", 48, "--set", "trackers=[]", "--set", "dropout=0")
STUDENT = (*HOW, "--batch-size", 32, "--learning-rate", "3e-4")
BILSTM = ("--shape", "150/200", "--max-tokens", 48, "--set", "student.vocabulary_size=5000", "--set", "trackers=[]")
LAYERS = {"embedding", "hidden", "attention"}


@pytest.fixture(autouse=True)
def _no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    without_export(monkeypatch)


@pytest.fixture(scope="module")
def made(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences and groups of them, two teachers and their opposites, a general student, and one of layers alone."""
    folder = tmp_path_factory.mktemp("made")
    for split, name, count in (("train", "train.tsv.gz", 3000), ("dev", "dev.tsv", 320)):
        with open_text(shared_data / "sst2" / name) as file:
            (folder / f"{split}.tsv").write_text("".join(islice(file, 1 + count)), encoding="utf-8")
        write_groups(groups_of(folder / f"{split}.tsv"), folder / f"{split}.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        without_export(patch)
        told = ("fine-tune", "--model", "minilm-l6", *HOW, "--learning-rate", "1e-4", "--batch-size")
        assert distilrank(*told, 32, "--steps", 75, "--data", folder / "train.tsv", "--out", folder / "classifier") == 0
        assert distilrank(*told, 4, "--steps", 75, "--data", folder / "train.jsonl", "--out", folder / "ranker") == 0
    for name in ("classifier", "ranker"):
        negate(folder / name, folder / f"negated-{name}")
    text = shared_data / "wikipedia_2015_26k" / "passages.tsv.xz"
    told = ("general-distil", "--text", text, "--layers", 3, "--steps", 40, *STUDENT)
    assert distilrank(*told, "--out", folder / "general") == 0
    language_model, tokenizer = load_model("minilm-l6", num_labels=1)
    save_model(student_from_layers(language_model, (2, 4, 6), num_labels=1, seed=1), tokenizer, folder / "layers")
    (folder / "vectors.txt.gz").symlink_to(shared_data / "word_vectors" / "w2v_wiki_books_100d.txt.gz")
    return folder


def groups_of(file: Path) -> list[Group]:
    """Four sentences of praise, which are relevant, and four of blame for each group."""
    examples = read_examples(file).examples
    praise, blame = ([example.text for example in examples if example.label == label] for label in (1, 0))
    return [
        Group(
            query="who liked the film",
            passages=(*praise[at : at + 4], *blame[at : at + 4]),
            relevance=(1.0,) * 4 + (0.0,) * 4,
        )
        for at in range(0, min(len(praise), len(blame)) - 3, 4)
    ]


def negate(teacher: Path, folder: Path) -> None:
    """Copy a model folder, with the opposite of every logit."""
    shutil.copytree(teacher, folder, ignore=shutil.ignore_patterns("run", "onnx"))
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = -weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def decisions(model: Path, made: Path) -> NDArray[np.int64]:
    texts = [example.text for example in read_examples(made / "dev.tsv").examples]
    return TorchScorer(*load_model(model), precision="bf16").logits(texts).argmax(axis=1)


def orders(model: Path, made: Path) -> list[NDArray[np.float32]]:
    """A ranker's scores of the passages of each group that was held out."""
    network, tokenizer = load_model(model)
    groups = GroupFile(made / "dev.jsonl")
    pairs = [(group.query, passage) for group in groups for passage in group.passages]
    return np.split(TorchScorer(network, tokenizer, precision="bf16").score(pairs), len(groups))


def agreement(student: Path, teacher: Path, made: Path) -> float:
    """Share of equal decisions (0.5 by chance) of classifiers, mean Kendall's tau (0 by chance) of rankers."""
    if teacher.name == "classifier":
        return float((decisions(student, made) == decisions(teacher, made)).mean())
    both = zip(orders(student, made), orders(teacher, made), strict=True)
    return float(np.mean([kendalltau(ours, theirs).statistic for ours, theirs in both]))


def falling(run: Path, terms: set[str], *, copied: bool = True) -> None:
    """The mean of each term over the last tenth of the steps lies below that over the first.

    The embeddings of a student that has its teacher's are as they should be from the start, and stay near.
    """
    steps = read_steps(run / "journal.jsonl")
    assert set(steps[0]["terms"]) == terms
    tenth = len(steps) // 10
    assert tenth >= 2
    for term in terms:
        values = [step["terms"][term] for step in steps]
        if term == "embedding" and copied:
            assert max(values) < 0.03
        else:
            assert np.mean(values[-tenth:]) < np.mean(values[:tenth]), term


@dataclass(frozen=True)
class Way:
    """A procedure by one command.

    Attributes:
        teacher: Which one.
        told: Options; names of folders stand in braces.
        terms: Run folder -> the terms of its journal.
        least: Agreement with the teacher that the student reaches.
        most: Agreement that is left where the teacher had the opposite opinion.
        without_labels: Options that leave the labels out, which would hold against that teacher.
    """

    teacher: str
    told: tuple[object, ...]
    terms: Mapping[str, set[str]]
    least: float
    most: float
    without_labels: tuple[str, ...] = ()


WAYS = {
    "standard": Way(
        "classifier",
        ("--procedure", "standard", "--student", "{general}", "--steps", 40, *STUDENT),
        {"run": {"soft", "hard"}},
        least=0.75,
        most=0.35,
        without_labels=("--set", "alpha=1"),
    ),
    "simplified_tinybert": Way(
        "classifier",
        ("--procedure", "simplified_tinybert", "--student", "{general}", "--steps", 40, *STUDENT),
        {"run": LAYERS | {"soft", "hard"}},
        least=0.75,
        most=0.35,
        without_labels=("--set", "hard=0"),
    ),
    "tinybert": Way(
        "classifier",
        ("--procedure", "tinybert", "--student", "{general}", "--steps", 30, *STUDENT),
        {"run/layers": LAYERS, "run/answers": {"soft"}},
        least=0.75,
        most=0.35,
    ),
    "bilstm": Way(
        "classifier",
        ("--procedure", "bilstm", "--vectors", "{vectors}", "--batch-size", 50, "--steps", 150, *BILSTM),
        {"run": {"mse"}},
        least=0.65,
        most=0.4,
    ),
    "ranker distill": Way(
        "ranker",
        ("--procedure", "bert_rankers", "--student", "{layers}", "--steps", 40, "--triples", 640, *STUDENT),
        {"run": LAYERS | {"soft"}},
        least=0.4,
        most=-0.3,
    ),
    "lm distill and ranker distill": Way(
        "ranker",
        ("--procedure", "bert_rankers", "--student", "{general}", "--steps", 40, "--triples", 640, *STUDENT),
        {"run": LAYERS | {"soft"}},
        least=0.4,
        most=-0.3,
    ),
}


def distil(way: Way, made: Path, teacher: str, out: Path, *more: str) -> Path:
    """Run one command."""
    data = made / {"classifier": "train.tsv", "ranker": "train.jsonl"}[way.teacher]
    places = {"general": made / "general", "layers": made / "layers", "vectors": made / "vectors.txt.gz"}
    told = (str(part).format(**places) for part in way.told)
    assert distilrank("distil", "--teacher", made / teacher, "--data", data, "--out", out, *told, *more) == 0
    return out


@pytest.mark.parametrize("name", WAYS)
def test_terms_fall_and_the_opposite_teacher_ruins_the_student(made: Path, tmp_path: Path, name: str) -> None:
    way = WAYS[name]
    student = distil(way, made, way.teacher, tmp_path / "student")
    for run, terms in way.terms.items():
        falling(student / run, terms)
    ruined = distil(way, made, f"negated-{way.teacher}", tmp_path / "ruined", *way.without_labels)
    agreements = [agreement(model, made / way.teacher, made) for model in (student, ruined)]
    assert agreements[0] >= way.least
    assert agreements[1] <= way.most


def test_general_distillation(made: Path, shared_data: Path, tmp_path: Path) -> None:
    falling(made / "general" / "run", LAYERS)
    text = shared_data / "wikipedia_2015_26k" / "passages.tsv.xz"
    told = ("general-distil", "--text", text, "--shape", "2/192/768/12", "--steps", 30, *STUDENT)
    assert distilrank(*told, "--out", tmp_path / "narrow") == 0
    falling(tmp_path / "narrow" / "run", LAYERS, copied=False)


def test_lm_distill_and_fine_tuning_asks_no_teacher(made: Path, tmp_path: Path) -> None:
    way = WAYS["lm distill and ranker distill"]
    weights = []
    for teacher in ("ranker", "negated-ranker"):
        student = distil(way, made, teacher, tmp_path / teacher, "--set", "task=fine_tuning")
        falling(student / "run", {"hard"})
        weights.append(load_file(student / "model.safetensors"))
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
