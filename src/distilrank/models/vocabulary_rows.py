"""The rows of a network's embeddings that belong to the tokens of a smaller vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distilrank.errors import ModelError


@torch.no_grad()
def keep_rows(model: PreTrainedModel, kept: Sequence[int]) -> None:
    """Leave a network the embeddings of some tokens, in place; what it answers about these is the same to the bit.

    A masked-language head loses the same rows of its matrix, which stays tied where it was, and of its bias.

    Args:
        model: With one table of token embeddings.
        kept: Ids of the tokens, ascending, the special ones among them; the i-th gets the id i.

    Raises:
        ModelError: The network keeps its embeddings otherwise.
    """
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    if not isinstance(table, nn.Embedding) or not isinstance(head, nn.Linear | None):
        raise ModelError(f"{type(model).__name__} does not embed its tokens as BERT does, so they cannot be trimmed")
    rows = torch.tensor(list(kept), device=table.weight.device)
    place = {number: i for i, number in enumerate(kept)}
    tied = head is not None and head.weight is table.weight
    table.weight = _chosen(table.weight, rows)
    table.num_embeddings = len(kept)
    table.padding_idx = None if table.padding_idx is None else place[table.padding_idx]
    if head is not None:
        head.weight = table.weight if tied else _chosen(head.weight, rows)
        head.out_features = len(kept)
        if head.bias is not None:
            head.bias = _chosen(head.bias, rows)
        model.set_output_embeddings(head)  # which makes the family's second name of the bias follow
    model.config.vocab_size = len(kept)
    for name, value in model.config.to_dict().items():
        if name.endswith("_token_id") and isinstance(value, int):
            setattr(model.config, name, place.get(value))


def _chosen(weight: Tensor, rows: Tensor) -> nn.Parameter:
    return nn.Parameter(weight[rows].clone(), requires_grad=weight.requires_grad)
