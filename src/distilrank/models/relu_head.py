"""The classifier of the TinyBERT family: a ReLU between pooler and classifier.

The authors' students are trained as ``W relu(pooled) + b``; transformers computes ``W pooled + b`` and loads such
weights without a word, giving other logits. Networks with this head are marked in their config
(``"distilrank_head": "relu"``), and ``load_model`` puts the ReLU back.
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers import PreTrainedModel

from distilrank.errors import ModelError

MARK = "relu"


class ReluLinear(nn.Linear):
    """A linear layer that reads only what is positive."""

    def forward(self, input: Tensor) -> Tensor:
        """Return W relu(x) + b; the last dimension changes from in_features to out_features."""
        return super().forward(input.relu())


def has_relu_head(model: PreTrainedModel) -> bool:
    """Tell whether a ReLU stands before the classifier."""
    return isinstance(getattr(model, "classifier", None), ReluLinear)


def use_relu_head(model: PreTrainedModel) -> None:
    """Put a ReLU before the classifier, in place, and mark the config; the weights stay.

    Raises:
        ModelError: The classifier is not a single linear layer.
    """
    classifier = getattr(model, "classifier", None)
    if isinstance(classifier, ReluLinear):
        return
    if not isinstance(classifier, nn.Linear):
        raise ModelError(f"{type(model).__name__} has no linear classifier that a ReLU could stand before")
    classifier.__class__ = ReluLinear  # the same parameters under the same names
    model.config.distilrank_head = MARK
