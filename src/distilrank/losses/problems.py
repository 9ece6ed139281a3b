"""Which loss a problem asks for, by the name of its kind in a model's configuration (``problem_type``).

None and "single_label_classification" are classes, and a ranker's one logit is two of them, [0, z];
"multi_label_classification" is any number of labels at once; "regression" is a number.
"""

from __future__ import annotations

from torch import Tensor

from distilrank.losses.hard import hard_cross_entropy, multi_label_cross_entropy, regression_mse
from distilrank.losses.soft import soft_binary_cross_entropy, soft_cross_entropy
from distilrank.losses.two_class import class_logits

REGRESSION = "regression"
MULTI_LABEL = "multi_label_classification"


def hard_loss(logits: Tensor, labels: Tensor, *, problem: str | None = None) -> Tensor:
    """Compare logits with labels.

    Args:
        logits: (batch, labels).
        labels: (batch,) int64 classes, (batch, labels) of 0 and 1, or (batch,) numbers, as ``problem`` says.
        problem: See the module.

    Returns:
        Scalar: the mean over examples.
    """
    if problem == REGRESSION:
        return regression_mse(logits[:, 0], labels)
    if problem == MULTI_LABEL:
        return multi_label_cross_entropy(logits, labels)
    return hard_cross_entropy(class_logits(logits), labels)


def soft_loss(student: Tensor, teacher: Tensor, *, problem: str | None = None, temperature: float = 1.0) -> Tensor:
    """Compare the student's logits with the teacher's.

    Args:
        student: (batch, labels).
        teacher: (batch, labels); detached.
        problem: See the module.
        temperature: T > 0; divides both logits. It does not concern numbers, which are compared as they are.

    Returns:
        Scalar: the mean over examples.
    """
    if problem == REGRESSION:
        return regression_mse(student[:, 0], teacher[:, 0].detach())
    if problem == MULTI_LABEL:
        return soft_binary_cross_entropy(student, teacher, temperature=temperature)
    return soft_cross_entropy(class_logits(student), class_logits(teacher), temperature=temperature)
