"""The commands in the papers' pages and the guides run as they stand, on tiny data and with few steps."""

from __future__ import annotations

import random
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from distilrank.models import load
from distilrank.models.save import save_model
from tests.end_to_end.verbs import distilrank, prepared_ranking, without_export
from tests.tiny import WORDS, tiny_config, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ("several_teachers", "teach", "trimming", "unlabelled")
PAGES = [*sorted((ROOT / "docs" / "papers").glob("*.md")), *(ROOT / "docs" / f"{guide}.md" for guide in GUIDES)]
TRAINING = ("general-distil", "fine-tune", "fit-mlm-head", "distil")
SHORT = ("--steps", "2", "--batch-size", "4")


def commands(page: Path) -> list[list[str]]:
    """The distilrank commands of a page's bash blocks, as arguments."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    told = [shlex.split(line, comments=True) for line in lines if line.strip()]
    assert all(words[0] == "distilrank" for words in told if words), f"{page.name} has a command that is not ours"
    return [words[1:] for words in told if words]


def shortened(arguments: list[str]) -> list[str]:
    """A command with few steps where it trains and says nothing of them."""
    trains = arguments[0] in TRAINING and "--steps" not in arguments
    return [*arguments, *SHORT] if trains else arguments


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages take as given, and tiny checkpoints under the names of big ones."""
    draw = random.Random(1)
    monkeypatch.chdir(tmp_path)
    without_export(monkeypatch)
    torch.manual_seed(1)
    config = tiny_config(layers=6, hidden=24)
    config.num_attention_heads, config.max_position_embeddings = 12, 256
    for name in ("minilm-l6", "runs/teacher"):
        save_model(
            load.AutoModelForSequenceClassification.from_config(config), tiny_tokenizer(max_tokens=256), tmp_path / name
        )
    monkeypatch.setitem(load.ALIASES, "minilm-l6", str(tmp_path / "minilm-l6"))
    sentences = [" ".join(draw.choices(WORDS, k=7)) + "." for _ in range(96)]
    Path("plain.txt").write_text(
        "\n\n".join("\n".join(sentences[i : i + 12]) for i in range(0, 96, 12)), encoding="utf-8"
    )
    for file in ("train", "dev"):
        rows = [f"{' '.join(draw.choices(WORDS, k=6))}\t{label}" for label in (0, 1) * 6]
        path = Path("data", "sst2", f"{file}.tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    vectors = [f"{word} " + " ".join(f"{draw.uniform(-1, 1):.3f}" for _ in range(4)) for word in dict.fromkeys(WORDS)]
    Path("vectors.txt").write_text("\n".join(vectors) + "\n", encoding="utf-8")
    prepared_ranking(tmp_path / "runs" / "data")
    (tmp_path / "runs" / "data-raw").rename(tmp_path / "data" / "docs")
    shutil.copytree(Path("data", "docs"), Path("data", "logs"), ignore=shutil.ignore_patterns("qrels"))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_examples_of_a_page_run(page: Path, world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = commands(page)
    assert told, f"{page.name} has no example"
    for arguments in told:
        code = distilrank(*shortened(arguments))
        for export in world.glob("runs/*/onnx/model.onnx"):
            export.unlink()  # it is empty, and without it the weights are read
        assert code == 0, f"distilrank {shlex.join(arguments)} ends with {code}: {capfd.readouterr().err[-2000:]}"
