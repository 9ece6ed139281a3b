"""``distilrank trim``: a model with the tokens that its user's text needs, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from transformers import PreTrainedModel

from distilrank.data.files import file_hash, read_json, write_manifest
from distilrank.data.lines import BadLines
from distilrank.data.tokens import PairTokenizer
from distilrank.data.vocabulary import (
    Respelling,
    choose_tokens,
    count_tokens,
    require_word_pieces,
    respelling,
    trim_tokenizer,
)
from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.export.onnx import export_onnx, require_libraries
from distilrank.models.bilstm import BiLstmForSequenceClassification
from distilrank.models.cosine import BertForCosineRanking
from distilrank.models.facts import count_parameters, weight_megabytes
from distilrank.models.load import (
    load_model,
    name_labels,
    quiet_transformers,
    read_config,
    resolve_source,
    stored_head,
    weights_identity,
)
from distilrank.models.masked_language import load_masked_language_model
from distilrank.models.relu_head import has_relu_head
from distilrank.models.save import save_model
from distilrank.models.vocabulary_rows import keep_rows
from distilrank.workflows.ancestry import Ancestry, known_ancestry
from distilrank.workflows.model_card import ModelCard, card_as_json, write_model_card
from distilrank.workflows.progress import counted
from distilrank.workflows.vocabulary_texts import find_texts, parted
from distilrank.workflows.whole_folder import is_done, whole_folder

VERB = "trim"
EXPORTED = ("text-ranking", "text-classification")
"""Tasks of models that have logits, and so an ONNX export."""
_NO_HEAD = 2
"""Labels in the configuration of a network without a head: transformers' own default."""


@dataclass(frozen=True, kw_only=True)
class TrimSettings:
    """Which tokens are kept; see ``choose_tokens``.

    Attributes:
        min_count: How often a token has to be seen in the text.
        reserve: Tokens that are kept in any case, the first ones of the vocabulary.
    """

    min_count: int = 1
    reserve: int = 2_000

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.min_count < 1 or self.reserve < 0:
            raise SettingsError(f"min_count is {self.min_count} and reserve {self.reserve}; give at least 1 and 0")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a model is."""

    tokens: int
    parameters: int

    @property
    def megabytes(self) -> float:
        """Size of the weights in fp32, in units of 1,000,000 bytes."""
        return self.parameters * 4 / 1e6


@dataclass(frozen=True, kw_only=True)
class Trimmed:
    """What ``trim`` leaves behind.

    Attributes:
        folder: Of the model.
        before: Its size with the whole vocabulary.
        after: Its size now.
        held_out: Kind of text -> what becomes of the words of texts of that kind which were not counted. (They are
            counted afterwards, so the vocabulary that was saved lacks a little less.)
    """

    folder: Path
    before: Size
    after: Size
    held_out: Mapping[str, Respelling]

    def sentences(self) -> list[str]:
        """Return the sizes and what is lost, a sentence without its full stop each."""
        lost = [
            f"of the words of held-out {kind}, {_share(found.respelt, found.words)} have other, smaller pieces than "
            f"before, and {_share(found.unknown, found.words)} became unknown"
            for kind, found in self.held_out.items()
        ]
        return [
            f"vocabulary trimmed from {self.before.tokens:,} to {self.after.tokens:,} tokens: "
            f"{self.before.parameters:,} to {self.after.parameters:,} parameters, {self.before.megabytes:,.1f} to "
            f"{self.after.megabytes:,.1f} MB",
            *lost,
        ]


def trim(
    name: str,
    out: Path,
    *,
    settings: TrimSettings,
    data: Path | None = None,
    texts: tuple[Path, ...] = (),
    command: str = "",
    offline: bool = False,
    overwrite: bool = False,
    bad: BadLines | None = None,
) -> Trimmed:
    """Save a model without the tokens that a text does not need: the same logits wherever none is missing.

    Args:
        name: A ranker, classifier, encoder or masked-language model with a WordPiece tokeniser: a folder, a hub name
            or an alias.
        out: Of the result; it appears whole or not at all.
        settings: Which tokens are kept.
        data: Prepared data whose texts are counted; see ``find_texts``.
        texts: Files of text that are counted.
        command: The command line, for the card.
        offline: Whether to use only what is on this machine.
        overwrite: Whether the result of another ``trim`` may be replaced.
        bad: How many bad lines may be skipped.

    Raises:
        ModelError: The model cannot be trimmed.
        InputError: There is no text, or ``out`` holds something else.
    """
    if out.resolve() == Path(name).resolve():
        raise InputError("is the folder to be trimmed; give --out another one", path=out)
    found, inputs = find_texts(data, texts, bad=bad)
    told = {"model": weights_identity(name), **asdict(settings)}
    hashes = {each: file_hash(path) for each, path in inputs.items()}
    if is_done(out, verb=VERB, settings=told, inputs=hashes, overwrite=overwrite):
        return _opened(out)
    model, tokenizer, task = _load(name, offline=offline)
    if task in EXPORTED:
        require_libraries()  # better known before the counting than after
    before = _size(model)
    trimmed, kept, held_out = _choose(tokenizer, found, settings)
    keep_rows(model, kept)
    made = Trimmed(folder=out, before=before, after=_size(model), held_out=held_out)
    with whole_folder(out) as partial:
        _write(partial, model, trimmed, made, name=name, task=task, told=told, inputs=inputs, command=command)
    return made


def _load(name: str, *, offline: bool) -> tuple[PreTrainedModel, PairTokenizer, str | None]:
    """Return a network, its tokeniser and its task as cards call it; None for a masked-language model."""
    with quiet_transformers():
        architectures = read_config(resolve_source(name), offline=offline).architectures or []
    task: str | None = None
    if any(architecture.endswith("ForMaskedLM") for architecture in architectures):
        model, tokenizer = load_masked_language_model(name, offline=offline)
    else:
        labels = len(stored_head(name, offline=offline))
        task = "text-ranking" if labels == 1 else "text-classification"
        model, tokenizer = load_model(name, offline=offline)
        if not labels:
            task, model = "feature-extraction", getattr(model, model.base_model_prefix)
            name_labels(model.config, None, num_labels=_NO_HEAD)
    if isinstance(model, BiLstmForSequenceClassification):
        raise ModelError(
            f"{name} is a BiLSTM, whose vocabulary is chosen when it is made: trim its teacher and distil from that"
        )
    try:
        require_word_pieces(tokenizer)
    except ModelError as error:
        raise ModelError(f"{name} cannot be trimmed: {error}") from None
    return model, tokenizer, task


def _choose(
    tokenizer: PairTokenizer, texts: Mapping[str, Iterable[str]], settings: TrimSettings
) -> tuple[PairTokenizer, list[int], dict[str, Respelling]]:
    """Return the trimmed tokeniser, the ids kept, and what a vocabulary without the held-out texts lacks in them."""
    chosen = {"min_count": settings.min_count, "reserve": settings.reserve}
    held_out: dict[str, list[str]] = {kind: [] for kind in texts}
    seen = count_tokens(tokenizer, ())
    for kind, own in texts.items():
        with counted(f"counting tokens of {kind}") as show:
            seen += count_tokens(tokenizer, _shown(parted(own, held_out[kind]), show))
    partly = trim_tokenizer(tokenizer, choose_tokens(tokenizer, seen, **chosen))
    lost = {kind: respelling(tokenizer, partly, own) for kind, own in held_out.items() if own}
    for own in held_out.values():
        seen += count_tokens(tokenizer, own)
    if not seen.any():
        raise InputError("the texts hold no word to choose tokens by; check --data and --text")
    kept = choose_tokens(tokenizer, seen, **chosen)
    return trim_tokenizer(tokenizer, kept), kept, lost


def _shown(texts: Iterable[str], show: Callable[[int], None]) -> Iterator[str]:
    """Yield the texts and show now and then how many there were."""
    for number, text in enumerate(texts):
        if number % 1_000 == 0:
            show(number)
        yield text


def _size(model: PreTrainedModel) -> Size:
    return Size(tokens=int(model.config.vocab_size), parameters=count_parameters(model).total)


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / max(1, whole):.2%})"


def _write(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PairTokenizer,
    made: Trimmed,
    *,
    name: str,
    task: str | None,
    told: Mapping[str, object],
    inputs: Mapping[str, Path],
    command: str,
) -> None:
    """Write weights, tokeniser, the export of a ranker or classifier, card and manifest."""
    save_model(model, tokenizer, folder)
    outputs = {"weights": folder / "model.safetensors"}
    exported = task in EXPORTED
    if exported:
        outputs["onnx"] = export_onnx(model, tokenizer, folder)
    extra: dict[str, object] = {
        "started_from": name,
        "parameters": made.after.parameters,
        "size": {"before": asdict(made.before), "after": asdict(made.after)},
        "held_out": {kind: asdict(found) for kind, found in made.held_out.items()},
    }
    if task is not None:
        former = _card(name, model, task)
        how = "vocabulary trimming (distilrank trim)"
        card = replace(
            former,
            name=made.folder.name,
            made_by=f"{former.made_by}; then {how}" if former.made_by else how,
            onnx=exported,
            parameters=made.after.parameters,
            megabytes=weight_megabytes(folder),
            max_tokens=tokenizer.max_tokens,
            command=command,
            limits=[*former.limits, *(f"{each[:1].upper()}{each[1:]}." for each in made.sentences())],
        )
        write_model_card(folder, card)
        extra["card"] = card_as_json(card)
    write_manifest(folder, verb=VERB, settings=told, inputs=inputs, outputs=outputs, extra=extra)


def _card(name: str, model: PreTrainedModel, task: str) -> ModelCard:
    """Return the card that the model had, without what was measured; a new one, made by nobody, where it had none."""
    manifest = Path(name) / "manifest.json"
    kept = read_json(manifest).get("card") if manifest.is_file() else None
    if isinstance(kept, dict):
        before = kept.pop("ancestry")
        return ModelCard(**kept, ancestry=None if before is None else Ancestry(**before))
    ancestry = known_ancestry(name)
    return ModelCard(
        name="",
        made_by="",
        data="none: trimmed, not trained",
        classic=not (has_relu_head(model) or isinstance(model, BertForCosineRanking)),
        task=task,
        ancestry=ancestry,
        base_model=None if ancestry else Path(name).name,
    )


def _opened(folder: Path) -> Trimmed:
    """Return what the manifest of a finished folder says."""
    manifest = read_json(folder / "manifest.json")
    size = manifest["size"]
    held_out = {kind: Respelling(**found) for kind, found in manifest["held_out"].items()}
    return Trimmed(folder=folder, before=Size(**size["before"]), after=Size(**size["after"]), held_out=held_out)
