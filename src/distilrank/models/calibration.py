"""Make a ranker's logit mean a probability, without changing any order: Platt scaling, folded into the head.

For teachers: InfoNCE and listwise objectives leave a logit's offset and scale open, and a procedure that reads the
teacher's probabilities (the soft term of Simplified TinyBERT) then gets 0s and 1s, or the same number for every
passage. The two numbers are fitted by ``evaluation.platt``. What a finished ranker's scores mean to a user is kept
beside its weights instead, see ``runtime.calibration``.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from distilrank.errors import ModelError
from distilrank.models.cosine import BertForCosineRanking


@torch.no_grad()
def fold_into_head(model: PreTrainedModel, a: float, b: float) -> None:
    """Change a one-logit ranker in place so that its logit z becomes a z + b.

    Raises:
        ModelError: The head is not a linear classifier or the cosine head.
    """
    classifier = getattr(model, "classifier", None)
    classifier = getattr(classifier, "out_proj", classifier)  # RoBERTa's and ELECTRA's heads have two layers
    if isinstance(model, BertForCosineRanking):
        model.head.multiply(a)
        model.head.bias.mul_(a).add_(b)
    elif isinstance(classifier, nn.Linear) and classifier.out_features == 1:
        classifier.weight.mul_(a)
        classifier.bias.mul_(a).add_(b)
    else:
        raise ModelError(f"the head of {type(model).__name__} cannot be calibrated in place")
