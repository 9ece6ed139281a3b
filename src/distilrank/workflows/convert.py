"""From a ranker or classifier in another form to a folder that every consumer loads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from distilrank.data.files import file_hash
from distilrank.errors import InputError, SettingsError
from distilrank.models.cosine import BertForCosineRanking
from distilrank.models.facts import count_parameters
from distilrank.models.load import load_model, resolve_source, stored_label_names
from distilrank.models.open_checkpoint import BIN, open_checkpoint
from distilrank.models.refit_head import Refit, refit_head
from distilrank.models.relu_head import has_relu_head
from distilrank.models.two_logits import fold_two_logits
from distilrank.workflows.ancestry import known_ancestry
from distilrank.workflows.model_card import ModelCard
from distilrank.workflows.model_folder import write_model_folder
from distilrank.workflows.training_data import LabelledData, RankingData, is_labelled
from distilrank.workflows.whole_folder import is_done, whole_folder

VERB = "convert"


@dataclass(frozen=True, kw_only=True)
class ConvertSettings:
    """How to convert.

    Attributes:
        head: "relu" or "plain" where the folder does not say which it has; "cosine" or "late_interaction" make a ranker
            of a bi-encoder's checkpoint. None: the folder says it, and the head stays.
        relevant: Which of two logits is that of "relevant".
        keep_classes: Leave two logits as they are: those of a classifier.
        texts: Most texts or pairs a head is refitted on, the first ones.
    """

    head: Literal["relu", "plain", "cosine", "late_interaction"] | None = None
    relevant: int = 1
    keep_classes: bool = False
    texts: int = 10_000

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.relevant not in (0, 1):
            raise SettingsError(f"relevant is {self.relevant} but must be 0 or 1")
        if self.texts < 1:
            raise SettingsError(f"texts is {self.texts} but must be at least 1")


def convert(
    folder: Path,
    out: Path,
    *,
    settings: ConvertSettings,
    data: Path | None = None,
    command: str = "",
    overwrite: bool = False,
) -> list[str]:
    """Convert a folder into one with one logit per pair, the classic head where that can be, and ONNX beside it.

    Two logits are folded into their difference, exactly. A head with a ReLU stays one, exactly in ONNX; given texts,
    it is refitted to the classic head, which loses what is stated.

    Args:
        folder: Of the ranker or classifier; it is only read.
        out: Of the result; it appears whole or not at all.
        settings: How.
        data: A folder that ``prepare`` made, a JSONL file of groups or labelled texts, to refit a ReLU head on. None:
            the head stays.
        command: The command line, for the card.
        overwrite: Whether the result of another ``convert`` may be replaced.

    Returns:
        What was done, a sentence without its full stop each; empty when it was done before.

    Raises:
        ModelError: The folder cannot be opened, or there is ``data`` but no ReLU in its head.
        InputError: ``out`` holds something else, or there are too few texts.
    """
    if out.resolve() == folder.resolve():
        raise InputError("is the folder to be converted; give --out another one", path=out)
    source = None if data is None else LabelledData.open(data) if is_labelled(data) else RankingData.open(data)
    place = folder if folder.is_dir() else Path(resolve_source(str(folder)))
    weights = next((path for path in (place / "model.safetensors", place / BIN) if path.is_file()), None)
    inputs = {} if weights is None else {"weights": weights}
    told = {**asdict(settings), "data": None if source is None else source.identity}
    hashes = {name: file_hash(path) for name, path in inputs.items()}
    if is_done(out, verb=VERB, settings=told, inputs=hashes, overwrite=overwrite):
        return []
    done: list[str] = []
    head = settings.head
    if head == "cosine" or head == "late_interaction":
        model, tokenizer = load_model(str(folder), head=head)
        done.append(f"the warm head {head} on the encoder as it was; nothing has been trained")
    else:
        model, tokenizer = open_checkpoint(folder, head=head)
    names = stored_label_names(model.config)
    if len(names) == 2 and not settings.keep_classes:
        fold_two_logits(model, relevant=settings.relevant)
        done.append(f"two logits folded into one: relevant is class {settings.relevant}, {names[settings.relevant]!r}")
    refit: Refit | None = None
    if source is not None:
        refit = refit_head(model, tokenizer, *_texts(source, most=settings.texts))
        done.append(str(refit))
    elif has_relu_head(model):
        done.append("the head has a ReLU: exact in onnx/model.onnx and with distilrank, wrong in other libraries")
    card = ModelCard(
        name=out.name,
        made_by="distilrank convert",
        data="none: converted, not trained",
        classic=not (has_relu_head(model) or isinstance(model, BertForCosineRanking)),
        task="text-ranking" if model.config.num_labels == 1 else "text-classification",
        ancestry=known_ancestry(str(folder)),
        base_model=None if known_ancestry(str(folder)) else folder.name,
        parameters=count_parameters(model).total,
        max_tokens=tokenizer.max_tokens,
        command=command,
        limits=[f"{sentence[:1].upper()}{sentence[1:]}." for sentence in done],
    )
    extra = {"started_from": str(folder), "loss": None if refit is None else asdict(refit)}
    with whole_folder(out) as partial:
        write_model_folder(partial, model, tokenizer, card, verb=VERB, settings=told, inputs=inputs, extra=extra)
    return done or ["nothing had to be changed; saved in the usual form with onnx/model.onnx"]


def _texts(source: LabelledData | RankingData, *, most: int) -> tuple[list[str], list[str] | None]:
    """Return the first texts, or pairs, of prepared data."""
    if isinstance(source, LabelledData):
        examples = source.train.examples[:most]
        pairs = None if examples[0].text_pair is None else [example.text_pair or "" for example in examples]
        return [example.text for example in examples], pairs
    together = ((group.query, passage) for group in source.groups for passage in group.passages)
    queries, passages = zip(*islice(together, most), strict=True)
    return list(queries), list(passages)
