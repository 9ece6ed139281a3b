"""The ``README.md`` of a saved model: where it comes from, what it is worth and how to use it.

The header follows the model hub's metadata for rankers; the text adds what cards usually leave out: teacher, ancestry,
intervals, size and speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from distilrank import __version__
from distilrank.data.files import atomic_write_bytes, read_json, write_json
from distilrank.errors import InputError
from distilrank.workflows.ancestry import Ancestry

if TYPE_CHECKING:
    from distilrank.evaluation.intervals import Interval


MEASURED = "measured.json"
"""In a model's folder: what was measured after it was made, from which its card is written anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What a card says.

    Attributes:
        name: Heading, and how the usage examples call the folder.
        made_by: Procedure and objective, such as "Simplified TinyBERT (Chen et al. 2021)".
        data: What it was trained on, with sizes and licences, a sentence or two.
        classic: Whether ``CrossEncoder`` and ``AutoModelForSequenceClassification`` load it. A teacher with the
            warm cosine head and a BiLSTM are loaded by distilrank only.
        onnx: Whether the folder holds an export, which runs without torch.
        task: "text-ranking", "text-classification" for a classifier, or "feature-extraction" for an encoder.
        ancestry: What the weights it started from had seen. None: started at random or not known.
        base_model: Hub name or folder it started from; None takes the ancestry's.
        teacher: Name of the teacher, with a few words on it. None: not distilled.
        losses: Names of the terms of the loss, for the tags.
        training_examples: Number of training examples, for the tags. None: not stated.
        measures: Test set -> measure -> mean with its 95% interval.
        compared: System -> test set -> measure -> the same, for the systems beside it, such as BM25 and the teacher.
        parameters: Number of weights.
        megabytes: Size of the weights, in units of 1,000,000 bytes.
        ms_per_100_passages: Milliseconds to score 100 passages of one query, with ``machine`` saying where.
        machine: Such as "2 CPU cores, onnxruntime".
        max_tokens: Longest pair, in tokens; the rest of a passage is cut off.
        reads_apart: Whether that limits each text of a pair by itself.
        quantised: What its 8-bit files are worth, a sentence each.
        calibrated: What its probabilities are worth, a sentence; empty where it has none.
        command: The command that made it.
        seed: Of the training.
        language: ISO 639 code.
        licence: Of the weights, as the hub spells it; None takes the ancestry's, or leaves it out.
        limits: What a user should know before relying on it, a sentence each.
    """

    name: str
    made_by: str
    data: str
    classic: bool = True
    onnx: bool = True
    task: str = "text-ranking"
    ancestry: Ancestry | None = None
    base_model: str | None = None
    teacher: str | None = None
    losses: Sequence[str] = ()
    training_examples: int | None = None
    measures: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    compared: Mapping[str, Mapping[str, Mapping[str, Interval]]] = field(default_factory=dict)
    parameters: int | None = None
    megabytes: float | None = None
    ms_per_100_passages: float | None = None
    machine: str = ""
    max_tokens: int | None = None
    reads_apart: bool = False
    quantised: Sequence[str] = ()
    calibrated: str = ""
    command: str = ""
    seed: int | None = None
    language: str = "en"
    licence: str | None = None
    limits: Sequence[str] = ()


def write_model_card(folder: str | Path, card: ModelCard) -> None:
    """Write the card as ``README.md`` of a model folder, in the place of an older one."""
    atomic_write_bytes(Path(folder) / "README.md", model_card(card).encode())


def card_as_json(card: ModelCard) -> dict[str, object]:
    """Return what a manifest keeps of a card, so that measures can be added when they are known."""
    return {name: value for name, value in asdict(card).items() if name not in ("measures", "compared")}


def add_to_card(
    folder: str | Path,
    data: str,
    *,
    system: str,
    intervals: Mapping[str, Mapping[str, Interval]],
    ms_per_100_passages: float | None = None,
    machine: str = "",
) -> None:
    """Add what was measured on a test set to the card of a folder that distilrank made.

    Measures of other test sets stay: all of them are kept in ``measured.json``.

    Args:
        folder: With a manifest that holds the card.
        data: Name of the test set.
        system: The model's own name in ``intervals``.
        intervals: System -> measure -> mean with its 95% interval.
        ms_per_100_passages: As ``ModelCard``'s; None keeps what was measured before.
        machine: As ``ModelCard``'s.

    Raises:
        InputError: The folder has no such manifest.
    """
    folder = Path(folder)
    _require_card(folder)
    measured = _measured(folder)
    rows = {name: {each: value.as_dict() for each, value in found.items()} for name, found in intervals.items()}
    measured["sets"][data] = {"own": rows.pop(system), "compared": rows}
    if ms_per_100_passages is not None:
        measured["speed"] = {"ms_per_100_passages": ms_per_100_passages, "machine": machine}
    _rewrite(folder, measured)


def add_quantised_to_card(folder: str | Path, file: str, sentence: str | None) -> None:
    """Say on a model's card what an 8-bit file of it is worth; a folder that has no card of ours is left as it is.

    Args:
        folder: Of the model.
        file: Name of the file.
        sentence: What is said of it, without a full stop. None: the file is no more.
    """
    folder = Path(folder)
    if not isinstance(_card_of(folder), dict):
        return
    measured = _measured(folder)
    told = {**measured.get("quantised", {}), file: sentence}
    measured["quantised"] = {name: said for name, said in told.items() if said is not None}
    _rewrite(folder, measured)


def add_calibration_to_card(folder: str | Path, sentence: str) -> None:
    """Say on a model's card what its probabilities are worth; a folder without a card of ours is left as it is."""
    folder = Path(folder)
    if isinstance(_card_of(folder), dict):
        _rewrite(folder, {**_measured(folder), "calibrated": sentence})


def _card_of(folder: Path) -> object:
    """Return the card that a folder's manifest keeps; None where there is none."""
    manifest = folder / "manifest.json"
    return read_json(manifest).get("card") if manifest.is_file() else None


def _require_card(folder: Path) -> None:
    if not isinstance(_card_of(folder), dict):
        raise InputError("holds no card to add to; only folders of fine-tune and distil do", path=folder)


def _measured(folder: Path) -> dict[str, Any]:
    """Return what has been measured of a model so far."""
    file = folder / MEASURED
    return read_json(file) if file.is_file() else {"sets": {}, "speed": {}}


def _rewrite(folder: Path, measured: Mapping[str, Any]) -> None:
    """Store what has been measured, and write the card anew with it."""
    from distilrank.evaluation.intervals import Interval

    write_json(folder / MEASURED, measured)
    kept: Any = _card_of(folder)

    def read(found: Mapping[str, Mapping[str, float]]) -> dict[str, Interval]:
        return {name: Interval(**value) for name, value in found.items()}

    compared: dict[str, dict[str, dict[str, Interval]]] = {}
    for name, sets in measured["sets"].items():
        for other, found in sets["compared"].items():
            compared.setdefault(other, {})[name] = read(found)
    ancestry = kept.pop("ancestry")
    told = {
        **kept,
        **measured["speed"],
        "quantised": list(measured.get("quantised", {}).values()),
        "calibrated": measured.get("calibrated", ""),
    }
    card = ModelCard(
        **told,
        ancestry=None if ancestry is None else Ancestry(**ancestry),
        measures={name: read(sets["own"]) for name, sets in measured["sets"].items()},
        compared=compared,
    )
    write_model_card(folder, card)


def model_card(card: ModelCard) -> str:
    """Return the card: a YAML header between ``---`` lines, then Markdown."""
    header = yaml.safe_dump(_header(card), sort_keys=False, allow_unicode=True, width=100)
    parts = [f"---\n{header}---", f"# {card.name}", _origin(card), _numbers(card), _size(card), _usage(card)]
    if card.limits:
        parts.append("## Limits\n\n" + "\n".join(f"- {limit}" for limit in card.limits))
    parts.append(f"Made with distilrank {__version__}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(card: ModelCard) -> dict[str, object]:
    ranker = card.task == "text-ranking"
    tags = ["distilrank"]
    if ranker and card.classic:
        tags = ["sentence-transformers", "cross-encoder", "reranker", *tags]
    if card.teacher is not None:
        tags.append("knowledge-distillation")
    if card.training_examples is not None:
        tags.append(f"dataset_size:{card.training_examples}")
    tags.extend(f"loss:{loss}" for loss in card.losses)
    library = "distilrank" if not card.classic else "sentence-transformers" if ranker else "transformers"
    header: dict[str, object] = {
        "language": card.language,
        "license": card.licence or (card.ancestry.licence if card.ancestry else None),
        "library_name": library,
        "pipeline_tag": card.task,
        "base_model": card.base_model or (card.ancestry.base_model if card.ancestry else None),
        "tags": tags,
        "metrics": list(dict.fromkeys(name for measures in card.measures.values() for name in measures)),
        "model-index": _model_index(card),
    }
    return {key: value for key, value in header.items() if value}


def _model_index(card: ModelCard) -> list[dict[str, object]]:
    kind = "cross-encoder-reranking" if card.task == "text-ranking" else card.task
    results = [
        {
            "task": {"type": kind, "name": kind.replace("-", " ").capitalize()},
            "dataset": {"name": data, "type": "unknown"},
            "metrics": [
                {"type": name, "name": name, "value": round(interval.mean, 4)} for name, interval in measures.items()
            ],
        }
        for data, measures in card.measures.items()
    ]
    return [{"name": card.name, "results": results}] if results else []


def _origin(card: ModelCard) -> str:
    lines = [f"- **Made by**: {card.made_by}"]
    if card.teacher is not None:
        lines.append(f"- **Teacher**: {card.teacher}")
    lines.append(f"- **Training data**: {card.data}")
    if card.ancestry is not None:
        lines.append(f"- **Ancestry**: {card.ancestry.trained_on}")
    if card.command:
        lines.append(f"- **Command**: `{card.command}`")
    if card.seed is not None:
        lines.append(f"- **Seed**: {card.seed}")
    return "## Where it comes from\n\n" + "\n".join(lines)


def _numbers(card: ModelCard) -> str:
    tables = []
    for data, measures in card.measures.items():
        rows = {card.name: measures, **{name: sets[data] for name, sets in card.compared.items() if data in sets}}
        table = [f"| {_cell(data)} | {' | '.join(measures)} |", "| --- |" + " ---: |" * len(measures)]
        for name, values in rows.items():
            cells = [_with_interval(values[measure]) if measure in values else "" for measure in measures]
            table.append(f"| {_cell(name)} | {' | '.join(cells)} |")
        tables.append("\n".join(table))
    parts = ["Mean over the test queries, with its 95% bootstrap interval.", *tables] if tables else []
    if card.calibrated:
        parts.append(f"Its scores as probabilities (`calibration.json`): {card.calibrated}.")
    return "\n\n".join(["## Measures", *parts]) if parts else ""


def _with_interval(value: Interval) -> str:
    return f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f})"


def _cell(text: str) -> str:
    """Keep a name from ending its table cell or row."""
    return " ".join(text.replace("|", "\\|").split())


def _size(card: ModelCard) -> str:
    lines = []
    if card.parameters is not None:
        lines.append(f"- {card.parameters:,} parameters")
    if card.megabytes is not None:
        lines.append(f"- {card.megabytes:,.1f} MB of weights")
    if card.ms_per_100_passages is not None:
        where = f" ({card.machine})" if card.machine else ""
        lines.append(f"- {card.ms_per_100_passages:,.1f} ms for 100 passages{where}")
    if card.max_tokens is not None:
        of = "of each text" if card.reads_apart else "of a pair"
        lines.append(f"- reads at most {card.max_tokens} tokens {of}; the rest is cut off")
    lines += [f"- {sentence}" for sentence in card.quantised]
    return "## Size and speed\n\n" + "\n".join(lines) if lines else ""


_DISTILRANK = """With distilrank, without torch:

```python
from distilrank import Ranker

ranker = Ranker.load("{folder}")
for passage in ranker.rank("why is the sky blue", passages, top_k=10):
    print(passage.rank, passage.score, passage.passage)
```"""

_DISTILRANK_TORCH = """With distilrank:

```
distilrank rank "{folder}" --query "why is the sky blue" --passages passages.txt --top-k 10
```"""

_CLASSIFIER_TORCH = """With distilrank:

```python
from distilrank.models.load import load_model
from distilrank.models.scorer import TorchScorer

classifier = TorchScorer(*load_model("{folder}"))
logits = classifier.logits(texts)  # of pairs: logits(texts, second_texts)
```"""

_CROSS_ENCODER = """With sentence-transformers:

```python
from sentence_transformers import CrossEncoder

model = CrossEncoder("{folder}")
scores = model.predict([("why is the sky blue", passage) for passage in passages])  # raw logits
```"""

_TRANSFORMERS = """With transformers:

```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForSequenceClassification.from_pretrained("{folder}").eval()
batch = tokenizer({inputs}, padding=True, truncation=True, return_tensors="pt")
with torch.inference_mode():
    logits = model(**batch).logits
```"""


_ENCODER = """It is an encoder without a head, from which students of any task start:

```
distilrank distil --student "{folder}" --teacher TEACHER --data DATA --out STUDENT
distilrank fine-tune --model "{folder}" --data DATA --out MODEL
```

With transformers:

```python
from transformers import AutoModel

encoder = AutoModel.from_pretrained("{folder}")
```"""


def _usage(card: ModelCard) -> str:
    ranker = card.task == "text-ranking"
    folder = card.name.replace("\\", "/").replace('"', "")
    if card.task == "feature-extraction":
        return "## How to use it\n\n" + _ENCODER.format(folder=folder)
    examples = [_DISTILRANK if card.onnx else _DISTILRANK_TORCH] if ranker else []
    if not ranker and not card.classic:
        examples.append(_CLASSIFIER_TORCH)
    if ranker and card.classic:
        examples.append(_CROSS_ENCODER)
    if card.classic:
        examples.append(_TRANSFORMERS)
    inputs = '["why is the sky blue"] * len(passages), passages' if ranker else "texts"
    note = (
        ""
        if card.classic
        else "\n\nIts layout is distilrank's own, so other libraries do not load it; "
        "distil it into a student of the classic layout for them."
    )
    return "## How to use it\n\n" + "\n\n".join(examples).format(folder=folder, inputs=inputs) + note
