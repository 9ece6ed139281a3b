"""Consumers that are installed, run on a folder as their users run them; each returns the logits of ``PAIRS``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distilrank.errors import ModelError
from distilrank.export.consumers.folder import PAIRS, PASSAGES, QUERY, ModelFolder
from distilrank.export.peers import flashrank_scores, open_fastembed, open_flashrank, open_sentence_transformers
from distilrank.models.load import quiet_transformers

Logits = NDArray[Any]


def run_transformers(folder: ModelFolder) -> Logits:
    """``AutoTokenizer`` and ``AutoModelForSequenceClassification``, one padded batch."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = str(folder.path)
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_pretrained(
            source, local_files_only=True, trust_remote_code=False
        ).eval()
    batch = tokenizer([QUERY] * len(PASSAGES), list(PASSAGES), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return np.asarray(model(**batch).logits.float().numpy())


def run_sentence_transformers(folder: ModelFolder) -> Logits:
    """``CrossEncoder(folder).predict`` with the activation that the folder asks for.

    Raises:
        ModelError: ``rank`` does not order by these scores.
    """
    model = open_sentence_transformers(folder.path)
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
    return np.array(list(open_fastembed(folder.path, folder.onnx).rerank(QUERY, PASSAGES)))


def run_flashrank(folder: ModelFolder) -> Logits:
    """``Ranker.rerank``.

    Its scores are sigmoids in float32, which tell large logits apart in vain; those that agree as far as they can are
    returned as the logits expected.
    """
    with np.errstate(over="ignore"):
        probabilities = flashrank_scores(open_flashrank(folder.path, folder.onnx), QUERY, PASSAGES)
    expected = folder.logits[:, 0].astype(np.float64)
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    return np.where(np.abs(probabilities - 1 / (1 + np.exp(-expected))) < 1e-6, expected, logits)
