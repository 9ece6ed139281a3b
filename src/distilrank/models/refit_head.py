"""A head without the ReLU in the place of one with it, by least squares on what both give for real texts.

W relu(p) + b is no linear function of the pooled output p, so this is the one conversion that costs something. Where
the entries of p are near -1 or 1, as those of a trained pooler often are, it costs little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError
from distilrank.models.relu_head import ReluLinear
from distilrank.models.scorer import TorchScorer

HELD_OUT = 5
"""Every how-manieth text is measured on instead of fitted to."""


@dataclass(frozen=True, kw_only=True)
class Refit:
    """What the new head lost, on texts that it was not fitted to.

    Attributes:
        texts: Number of these texts.
        error: Root mean squared difference of the logits.
        spread: Standard deviation of the old head's logits, to judge the error by.
    """

    texts: int
    error: float
    spread: float

    def __str__(self) -> str:
        """Return the loss as a sentence without its full stop."""
        return (
            f"the refitted head misses the exact logits by {self.error:.3g} (root mean square, {self.texts:,} held-out "
            f"texts), which vary by {self.spread:.3g} (standard deviation)"
        )


@torch.no_grad()
def refit_head(
    model: PreTrainedModel, tokenizer: PairTokenizer, texts: Sequence[str], text_pairs: Sequence[str] | None = None
) -> Refit:
    """Replace a ReLU head by the plain one that gives nearly the same logits, in place.

    Args:
        model: With the ReLU head.
        tokenizer: Its tokeniser.
        texts: Texts (queries) such as the model will read, more than 2.5 times as many as the pooled output is wide.
        text_pairs: Second texts (passages); None for single texts.

    Raises:
        ModelError: The model has no ReLU head.
        InputError: There are too few texts.
    """
    head = getattr(model, "classifier", None)
    if not isinstance(head, ReluLinear):
        raise ModelError(f"{type(model).__name__} has no head with a ReLU to be refitted")
    pooled, logits = _read(model, head, tokenizer, texts, text_pairs)
    held_out = torch.arange(len(pooled)) % HELD_OUT == HELD_OUT - 1
    if int((~held_out).sum()) < 2 * (head.in_features + 1):
        raise InputError(
            f"{len(texts):,} texts are too few to refit a head that reads {head.in_features} numbers; "
            f"give at least {5 * (head.in_features + 1) // 2 + HELD_OUT:,}"
        )
    inputs = torch.cat([pooled, torch.ones(len(pooled), 1, dtype=pooled.dtype)], dim=1)  # (texts, width + 1)
    solution = torch.linalg.lstsq(inputs[~held_out], logits[~held_out], driver="gelsd").solution  # (width + 1, labels)
    missed = inputs[held_out] @ solution - logits[held_out]
    head.weight.copy_(solution[:-1].T)
    head.bias.copy_(solution[-1])
    head.__class__ = nn.Linear  # type: ignore[assignment]
    del model.config.distilrank_head
    return Refit(
        texts=int(held_out.sum()),
        error=float(missed.square().mean().sqrt()),
        spread=float(logits[held_out].std(dim=0).square().mean().sqrt()),
    )


def _read(
    model: PreTrainedModel,
    head: nn.Module,
    tokenizer: PairTokenizer,
    texts: Sequence[str],
    text_pairs: Sequence[str] | None,
) -> tuple[Tensor, Tensor]:
    """Return what the head reads and gives, (texts, width) and (texts, labels) in fp64, in whatever order."""
    read: list[Tensor] = []
    given: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        read.append(inputs[0].double().cpu())
        given.append(output.double().cpu())

    handle = head.register_forward_hook(keep)
    try:
        TorchScorer(model, tokenizer).logits(texts, text_pairs)
    finally:
        handle.remove()
    return torch.cat(read), torch.cat(given)
