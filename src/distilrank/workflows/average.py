"""``distilrank average``: the weighted mean of the weights of models that started from the same checkpoint.

A model that was trained on little data wins there and loses elsewhere. Half-way between it and what it started from it
often keeps what it won and gets back what it lost (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models",
arXiv 2109.01903, equation 1); the mean of several seeds is often better than each ("Model soups", arXiv 2203.05482).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.files import file_hash, read_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.bilstm import BiLstmConfig, BiLstmForSequenceClassification, load_bilstm
from distilrank.models.cosine import BertForCosineRanking
from distilrank.models.facts import count_parameters
from distilrank.models.load import stored_label_names
from distilrank.models.matching import same_tokens
from distilrank.models.open_checkpoint import open_checkpoint
from distilrank.models.relu_head import has_relu_head
from distilrank.workflows.ancestry import known_ancestry
from distilrank.workflows.model_card import ModelCard
from distilrank.workflows.model_folder import write_model_folder
from distilrank.workflows.whole_folder import is_done, whole_folder

VERB = "average"
NOT_CLASSIC = (BertForCosineRanking, BiLstmForSequenceClassification)
ALIKE = ("model_type", "num_attention_heads", "hidden_act", "siamese")
"""Of a configuration: what decides how weights are used and cannot be seen in their shapes."""


def shares_of(weights: Sequence[float], models: int) -> list[float]:
    """Return what each model counts for, summing to 1.

    Args:
        weights: One for each model, or none: all count the same.
        models: How many there are.

    Raises:
        SettingsError: There are more or fewer weights, one is below 0, or none is above.
    """
    given = list(weights) or [1.0] * models
    if len(given) != models:
        raise SettingsError(
            f"there are {models} models and {len(given)} weights; give --weight once for each, in order"
        )
    if not all(isfinite(weight) and weight >= 0 for weight in given) or not sum(given) > 0:
        raise SettingsError(f"weights are {', '.join(map(str, given))}; give numbers of at least 0, one of them above")
    return [weight / sum(given) for weight in given]


def average(
    folders: Sequence[Path], out: Path, *, weights: Sequence[float] = (), command: str = "", overwrite: bool = False
) -> bool:
    """Make a model whose weights are the weighted means of several models'.

    Args:
        folders: Of rankers or classifiers of one shape and tokeniser, at least two; the first gives everything that is
            no weight, but the result reads no more tokens than any of them.
        out: Folder of the result; it appears whole or not at all.
        weights: See ``shares_of``.
        command: The command line, for the card.
        overwrite: Whether the result of another ``average`` may be replaced.

    Returns:
        Whether anything had to be done.

    Raises:
        ModelError: A folder cannot be opened, or is of another network or tokeniser than the first.
        InputError: ``out`` holds something else, or is one of the folders.
        SettingsError: There is one model, or the weights are none.
    """
    if len(folders) < 2:
        raise SettingsError("give at least two models")
    shares = shares_of(weights, len(folders))
    if out.resolve() in {folder.resolve() for folder in folders}:
        raise InputError("is one of the folders to be averaged; give --out another one", path=out)
    inputs = {f"weights {number}": folder / "model.safetensors" for number, folder in enumerate(folders, start=1)}
    for folder, path in zip(folders, inputs.values(), strict=True):
        if not path.is_file():
            raise ModelError(f"{folder} holds no model.safetensors; give the folder of a saved model")
    told = {"shares": shares}
    hashes = {name: file_hash(path) for name, path in inputs.items()}
    if is_done(out, verb=VERB, settings=told, inputs=hashes, overwrite=overwrite):
        return False
    model, tokenizer = _open(folders[0])
    mean = {name: shares[0] * weight for name, weight in _floats(model).items()}
    for folder, share in zip(folders[1:], shares[1:], strict=True):
        other, its_tokenizer = _open(folder)
        difference = _difference(model, other)
        if not difference and not same_tokens(tokenizer, its_tokenizer):
            difference = "another tokeniser"
        if difference:
            raise ModelError(f"{folder} has {difference} than {folders[0]}; average models of one start and shape")
        tokenizer = tokenizer.with_max_tokens(min(tokenizer.max_tokens, its_tokenizer.max_tokens))
        for name, weight in _floats(other).items():
            mean[name] += share * weight
    model.load_state_dict(mean, strict=False)
    named = ", ".join(f"{share:.3g} of {folder.resolve().name}" for folder, share in zip(folders, shares, strict=True))
    ancestry = known_ancestry(str(folders[0]))
    card = ModelCard(
        name=out.name,
        made_by="distilrank average",
        data="none: averaged, not trained",
        classic=not (has_relu_head(model) or isinstance(model, NOT_CLASSIC)),
        reads_apart=isinstance(model, BiLstmForSequenceClassification),
        task="text-ranking" if model.config.num_labels == 1 else "text-classification",
        ancestry=ancestry,
        base_model=None if ancestry else folders[0].name,
        parameters=count_parameters(model).total,
        max_tokens=tokenizer.max_tokens,
        command=command,
        limits=[f"Its weights are {named}."],
    )
    with whole_folder(out) as partial:
        extra = {"started_from": str(folders[0])}
        write_model_folder(partial, model, tokenizer, card, verb=VERB, settings=told, inputs=inputs, extra=extra)
    return True


def _open(folder: Path) -> tuple[PreTrainedModel, PairTokenizer]:
    if read_json(folder / "config.json").get("model_type") == BiLstmConfig.model_type:
        return load_bilstm(folder)
    return open_checkpoint(folder)


def _difference(model: PreTrainedModel, other: PreTrainedModel) -> str:
    """Return in which way another network cannot be averaged with the first; empty where it can."""
    if any(getattr(model.config, name, None) != getattr(other.config, name, None) for name in ALIKE):
        return "another network"
    shapes = ({name: weight.shape for name, weight in each.state_dict().items()} for each in (model, other))
    if next(shapes) != next(shapes):
        return "weights of other shapes"
    return "other labels" if stored_label_names(model.config) != stored_label_names(other.config) else ""


def _floats(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.state_dict().items() if weight.is_floating_point()}
