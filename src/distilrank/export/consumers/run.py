"""Consumers that are installed, run on a folder as their users run them; each returns the logits of ``PAIRS``.

Those that are no dependency of distilrank are imported by their name: they are here only where a user has them.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distilrank.errors import ModelError
from distilrank.export.consumers.folder import PAIRS, PASSAGES, QUERY, ModelFolder
from distilrank.models.load import quiet_transformers

Logits = NDArray[Any]


def run_transformers(folder: ModelFolder) -> Logits:
    """``AutoTokenizer`` and ``AutoModelForSequenceClassification``, one padded batch."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = str(folder.path)
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(source, local_files_only=True).eval()
    batch = tokenizer([QUERY] * len(PASSAGES), list(PASSAGES), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return np.asarray(model(**batch).logits.float().numpy())


def run_sentence_transformers(folder: ModelFolder) -> Logits:
    """``CrossEncoder(folder).predict`` with the activation that the folder asks for.

    Raises:
        ModelError: ``rank`` does not order by these scores.
    """
    library: Any = importlib.import_module("sentence_transformers")
    with quiet_transformers():
        model = library.CrossEncoder(str(folder.path), device="cpu", local_files_only=True)
    scores = np.asarray(model.predict(PAIRS, show_progress_bar=False), np.float64)
    if folder.labels == 1:
        ranked = [int(place["corpus_id"]) for place in model.rank(QUERY, list(PASSAGES), show_progress_bar=False)]
        if not np.all(np.diff(scores[ranked]) <= 1e-6):
            raise ModelError("CrossEncoder.rank does not order by the scores of CrossEncoder.predict")
    return scores


def run_onnxruntime(folder: ModelFolder) -> Logits:
    """The file and ``tokenizer.json``, with nothing of distilrank's between them."""
    tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
    tokenizer.enable_truncation(int(folder.tokenizer_config["model_max_length"]))
    tokenizer.enable_padding(pad_id=int(folder.config.get("pad_token_id") or 0))
    encoded = tokenizer.encode_batch(PAIRS)
    arrays = {
        "input_ids": np.array([each.ids for each in encoded], np.int64),
        "attention_mask": np.array([each.attention_mask for each in encoded], np.int64),
        "token_type_ids": np.array([each.type_ids for each in encoded], np.int64),
    }
    names = [item.name for item in folder.session.get_inputs()]
    return np.asarray(folder.session.run(["logits"], {name: arrays[name] for name in names})[0])


def run_fastembed(folder: ModelFolder) -> Logits:
    """``TextCrossEncoder`` with the folder as a model of the user's own."""
    described: Any = importlib.import_module("fastembed.common.model_description")
    cross_encoder: Any = importlib.import_module("fastembed.rerank.cross_encoder").TextCrossEncoder
    name = f"local/{folder.path.resolve()}"
    if name.lower() not in {model["model"].lower() for model in cross_encoder.list_supported_models()}:
        source = described.ModelSource(hf=name)
        cross_encoder.add_custom_model(model=name, sources=source, model_file="onnx/model.onnx")
    model = cross_encoder(name, specific_model_path=str(folder.path), local_files_only=True)
    return np.array(list(model.rerank(QUERY, PASSAGES)))


def run_flashrank(folder: ModelFolder) -> Logits:
    """``Ranker.rerank``, whose list of models has to be told of the folder.

    Its scores are sigmoids in float32, which tell large logits apart in vain; those that agree as far as they can are
    returned as the logits expected.
    """
    module: Any = importlib.import_module("flashrank.Ranker")
    path = folder.path.resolve()
    known = path.name in module.model_file_map
    with _as_it_was(), np.errstate(over="ignore"):
        module.model_file_map.setdefault(path.name, "onnx/model.onnx")
        try:
            ranker = module.Ranker(path.name, cache_dir=str(path.parent), log_level="WARNING")
            texts = [{"id": place, "text": passage} for place, passage in enumerate(PASSAGES)]
            ranked = ranker.rerank(module.RerankRequest(query=QUERY, passages=texts))
        finally:
            if not known:
                del module.model_file_map[path.name]
    scores = {each["id"]: float(each["score"]) for each in ranked}
    probabilities = np.array([scores[place] for place in range(len(PASSAGES))])
    expected = folder.logits[:, 0].astype(np.float64)
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    return np.where(np.abs(probabilities - 1 / (1 + np.exp(-expected))) < 1e-6, expected, logits)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Put the root logger back as it was: FlashRank configures it."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
