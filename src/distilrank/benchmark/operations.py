"""Multiply-adds that a network takes for a pair, by formula.

BERT (Devlin et al. 2019, section 3, over the products of Vaswani et al. 2017, sections 3.2 and 3.3), for n tokens,
hidden size h, feed-forward size f, L layers and c logits::

    a layer     4 n h^2 + 2 n h f + 2 n^2 h   query, key, value, output; feed-forward in and out; scores and their use
    the head    h^2 + h c                     pooler and logits

A last layer that is computed for [CLS] alone (``export.bert_graph``) takes 2 n h^2 + 2 h^2 + 2 h f + 2 n h.

BiLSTM (Tang et al. 2019, section 3.1, with the four gates of an LSTM as torch.nn.LSTM writes them), for n words of
both texts together, d numbers a word, u units in each direction, m in the fully connected layer and c logits::

    both ways   8 n u (d + u)
    the head    8 u m + m c                   of pairs, which joins h1, h2, h1 * h2 and |h1 - h2|; of texts 2 u m + m c

Embeddings are looked up. Norms, softmax and activations take little, and nobody counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIKE_BERT = ("bert", "camembert", "roberta", "xlm-roberta")
"""Networks with BERT's layers and a head of the same size."""


def multiply_adds(
    config: Mapping[str, Any], tokens: Sequence[int], *, last_layer_for_one: bool = False
) -> NDArray[np.float64] | None:
    """Return the multiply-adds of each pair, (pairs,); None for a network that no formula here fits.

    Args:
        config: Content of ``config.json``.
        tokens: Of each pair; padding counts if it is computed.
        last_layer_for_one: Whether the last layer of a BERT is computed for its first token alone.
    """
    counts = np.asarray(tokens, np.float64)
    labels = len(config.get("id2label") or {}) or 1
    if config.get("model_type") in LIKE_BERT:
        return _bert(config, counts, labels, last_layer_for_one=last_layer_for_one)
    if config.get("model_type") == "distilrank_bilstm":
        return _bilstm(config, counts, labels)
    return None


def _bert(
    config: Mapping[str, Any], tokens: NDArray[np.float64], labels: int, *, last_layer_for_one: bool
) -> NDArray[np.float64]:
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    layer = 4 * tokens * hidden**2 + 2 * tokens * hidden * inner + 2 * tokens**2 * hidden
    last = 2 * tokens * hidden**2 + 2 * hidden**2 + 2 * hidden * inner + 2 * tokens * hidden
    whole = int(config["num_hidden_layers"]) - last_layer_for_one
    return np.asarray(whole * layer + last_layer_for_one * last + hidden**2 + hidden * labels)


def _bilstm(config: Mapping[str, Any], words: NDArray[np.float64], labels: int) -> NDArray[np.float64]:
    width, units = int(config["channels"]) * int(config["embedding_size"]), int(config["hidden_size"])
    joined = int(config["fully_connected_size"])
    features = (8 if config["siamese"] else 2) * units
    return np.asarray(8 * words * units * (width + units) + features * joined + joined * labels)
