"""Make a ranker's logit mean a probability, without changing any order: Platt scaling, folded into the head.

Platt (1999), "Probabilistic Outputs for Support Vector Machines": p(relevant) = sigmoid(a z + b). InfoNCE and listwise
objectives leave a logit's offset and scale open, and a procedure that reads the teacher's probabilities (the soft
term of Simplified TinyBERT) then gets 0s and 1s, or the same number for every passage.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from distilrank.errors import ModelError
from distilrank.models.cosine import BertForCosineRanking


def fit_platt(logits: Tensor, relevant: Tensor) -> tuple[float, float]:
    """Return a > 0 and b that minimise the cross entropy, positives and negatives weighing the same in total.

    The balance makes sigmoid(a z + b) the probability for a pair drawn as often relevant as not, as training triples
    are. Platt's smoothed targets (n+1)/(n+2) keep a finite where the classes are parted.

    Args:
        logits: (pairs,).
        relevant: (pairs,), bool, with at least one of each.

    Raises:
        ModelError: All pairs are relevant or none, or the ranker does not put the relevant ones higher.
    """
    worse = ModelError("the ranker gives relevant passages no higher scores than others, so it cannot be calibrated")
    positives, negatives = int(relevant.sum()), int((~relevant).sum())
    if not positives or not negatives:
        raise ModelError(f"calibration needs relevant and other passages, but there are {positives} and {negatives}")
    z = logits.double()
    centre, spread = z.mean(), z.std()
    if spread <= 1e-6 * centre.abs().clamp(min=1.0):  # noise of fp32 logits that are all the same
        raise worse
    target = torch.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2)).double()
    weight = torch.where(relevant, 0.5 / positives, 0.5 / negatives).double()
    parameters = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = functional.binary_cross_entropy_with_logits(
            parameters[0] * (z - centre) / spread + parameters[1], target, weight, reduction="sum"
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    slope, offset = parameters.detach().tolist()
    a = slope / float(spread)
    if not a > 0:
        raise worse
    return a, offset - a * float(centre)


@torch.no_grad()
def fold_into_head(model: PreTrainedModel, a: float, b: float) -> None:
    """Change a one-logit ranker in place so that its logit z becomes a z + b.

    Raises:
        ModelError: The head is not a linear classifier or the cosine head.
    """
    classifier = getattr(model, "classifier", None)
    classifier = getattr(classifier, "out_proj", classifier)  # RoBERTa's and ELECTRA's heads have two layers
    if isinstance(model, BertForCosineRanking):
        model.head.scale.mul_(a)
        model.head.bias.mul_(a).add_(b)
    elif isinstance(classifier, nn.Linear) and classifier.out_features == 1:
        classifier.weight.mul_(a)
        classifier.bias.mul_(a).add_(b)
    else:
        raise ModelError(f"the head of {type(model).__name__} cannot be calibrated in place")
