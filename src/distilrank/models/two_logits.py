"""A ranker with two logits, as one with one that puts every list in the same order.

Rankers fine-tuned as two-class classifiers (monoBERT and most rankers of its time) rank by z_1 - z_0, the log odds of
"relevant". With z = W x + b that difference is one linear layer itself: (w_1 - w_0) x + (b_1 - b_0).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError
from distilrank.models.load import WARM, Head, load_model, name_labels, stored_label_names, stored_logits


@torch.no_grad()
def fold_two_logits(model: PreTrainedModel, *, relevant: int = 1) -> None:
    """Turn a two-logit classifier into a one-logit ranker, in place.

    Args:
        model: Its last layer is linear: BERT's, RoBERTa's, ELECTRA's, DistilBERT's, TinyBERT's with the ReLU.
        relevant: The class that means "relevant".

    Raises:
        ModelError: It has another number of logits, or ends in something else than a linear layer.
    """
    labels = len(stored_label_names(model.config))
    if labels != 2 or relevant not in (0, 1):
        raise ModelError(f"two logits can be folded into one, class 1 or 0 being relevant; this model has {labels}")
    last = linear_head(model)
    weight, bias = last.weight.double(), last.bias.double()
    last.weight = nn.Parameter((weight[relevant] - weight[1 - relevant])[None].to(last.weight.dtype))  # (1, width)
    last.bias = nn.Parameter((bias[relevant] - bias[1 - relevant])[None].to(last.bias.dtype))
    last.out_features = 1
    model.config.problem_type = None
    name_labels(model.config, None, num_labels=1)
    model.num_labels = 1  # type: ignore[assignment]


def linear_head(model: PreTrainedModel) -> nn.Linear:
    """Return the linear layer that gives the logits.

    Raises:
        ModelError: There is none.
    """
    last = getattr(model, "classifier", None)
    last = getattr(last, "out_proj", last)  # RoBERTa's and ELECTRA's heads have two layers
    if not isinstance(last, nn.Linear):
        raise ModelError(f"{type(model).__name__} does not end in a linear classifier")
    return last


def load_ranker(
    name_or_path: str | Path,
    *,
    head: Head | None = None,
    seed: int = 0,
    offline: bool = False,
) -> tuple[PreTrainedModel, PairTokenizer]:
    """Load a network with one logit: a head of two logits is folded, any other number gives way to a new head.

    Arguments as ``load_model``'s.
    """
    if head not in WARM and stored_logits(name_or_path, offline=offline) == 2:
        model, tokenizer = load_model(name_or_path, offline=offline)
        fold_two_logits(model)
        return model, tokenizer
    return load_model(name_or_path, num_labels=1, head=head, seed=seed, offline=offline)
