"""What a sentence-transformers folder says of how its vectors are made and compared.

Read are ``modules.json``, the pooling's ``config.json`` (both its old form, one switch per mode, and its new one, a
name), ``sentence_bert_config.json`` (the token limit) and ``config_sentence_transformers.json`` (similarity, prompts).
A checkpoint without ``modules.json`` is taken for what sentence-transformers takes it for: mean pooling, cosine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers.utils.hub import cached_file

from distilrank.data.files import read_json
from distilrank.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class EncoderForm:
    """How a bi-encoder makes a vector of a text, and a score of two vectors.

    Attributes:
        pooling: "mean" over all tokens, or "cls", the first one.
        normalise: Whether vectors are made unit vectors, by which a dot product is a cosine.
        query_prompt: Put before every query.
        passage_prompt: Put before every passage.
        max_tokens: Longest text. None: what the tokeniser says.
    """

    pooling: Literal["mean", "cls"] = "mean"
    normalise: bool = True
    query_prompt: str = ""
    passage_prompt: str = ""
    max_tokens: int | None = None


def read_encoder_form(source: str | Path, *, offline: bool = False) -> EncoderForm:
    """Read the form of a bi-encoder from its folder, or from the hub.

    Raises:
        ModelError: It pools, or goes on from there, in a way that is not known here.
    """
    modules = _read(source, "modules.json", offline)
    if modules is None:
        return EncoderForm()
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        raise ModelError(
            f"{source} is made of {', '.join(kinds)}; a bi-encoder of Transformer, Pooling (, Normalize) can score"
        )
    settings = _read(source, "config_sentence_transformers.json", offline) or {}
    prompts = settings.get("prompts") or {}
    limit = (_read(source, "sentence_bert_config.json", offline) or {}).get("max_seq_length")
    return EncoderForm(
        pooling=_pooling(_read(source, f"{modules[1]['path']}/config.json", offline) or {}, source),
        normalise="Normalize" in kinds or settings.get("similarity_fn_name") != "dot",
        query_prompt=str(prompts.get("query") or ""),
        passage_prompt=str(prompts.get("document") or prompts.get("passage") or ""),
        max_tokens=None if limit is None else int(limit),
    )


def _pooling(config: dict[str, Any], source: str | Path) -> Literal["mean", "cls"]:
    names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    mode = config.get("pooling_mode")
    if mode is None:
        modes = [names.get(name, name) for name, on in config.items() if name.startswith("pooling_mode_") and on]
        mode = modes[0] if len(modes) == 1 else modes
    if mode == "mean":
        return "mean"
    if mode == "cls":
        return "cls"
    raise ModelError(f"{source} pools by {mode}; mean and cls are known")


def _read(source: str | Path, name: str, offline: bool) -> Any:
    """Return the content of a JSON file of a checkpoint; None when it has none of that name."""
    if isinstance(source, Path):
        path = source / name
        return read_json(path) if path.is_file() else None
    found = cached_file(
        source,
        name,
        local_files_only=offline,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else read_json(found)
