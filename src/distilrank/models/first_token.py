"""A cross-encoder's last layer for the first token alone, all that its head reads; and the layers before it in bf16.

BERT's pooler and the heads of RoBERTa and ELECTRA read the state of [CLS] and no other. In the last layer, then, only
keys and values are needed of the other tokens: of 12 hidden^2 products a token, 2 hidden^2 remain. The logits are the
same; a network of 6 layers needs a seventh less work.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from distilrank.models.answers import encoder_layers, self_attention

_READ_THE_FIRST_TOKEN = frozenset(
    f"{family}ForSequenceClassification" for family in ("Bert", "Camembert", "Electra", "Roberta", "XLMRoberta")
)


def reads_first_token(model: PreTrainedModel) -> bool:
    """Tell whether the head of a network reads the first token's state alone, from layers built as BERT's."""
    return type(model).__name__ in _READ_THE_FIRST_TOKEN and model.config._attn_implementation == "sdpa"


def compute_first_token_only(model: PreTrainedModel, *, bf16: bool = False) -> None:
    """Make a network compute its last layer for the first token alone, in place; it can only score from then on.

    Args:
        model: One that ``reads_first_token``.
        bf16: Whether embeddings, the layers before the last, and the last one's keys and values become bf16. What is
            left of the last layer and the head stay fp32, so that logits are not rounded to 8 bits.
    """
    layers = encoder_layers(model)
    last, attention = layers[-1], self_attention(model, len(layers))
    if bf16:
        model.base_model.embeddings.to(torch.bfloat16)
        widening = getattr(model.base_model, "embeddings_project", None)  # ELECTRA's, where embeddings are narrower
        if isinstance(widening, nn.Module):
            widening.to(torch.bfloat16)
        for module in (*layers[:-1], attention.key, attention.value):
            module.to(torch.bfloat16)
    last.forward = MethodType(_last_layer, last)


def _last_layer(layer: Any, states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    """Return the first token's state, (batch, 1, hidden) fp32, of states (batch, length, hidden)."""
    attention = layer.attention.self
    batch, length, _hidden = states.shape
    heads, size = attention.num_attention_heads, attention.attention_head_size
    first = states[:, :1].float()
    query = attention.query(first).view(batch, 1, heads, size).transpose(1, 2)  # (batch, heads, 1, size)
    key = attention.key(states).view(batch, length, heads, size).transpose(1, 2)  # (batch, heads, length, size)
    value = attention.value(states).view(batch, length, heads, size).transpose(1, 2)
    mask = None if attention_mask is None else attention_mask[:, :, :1]
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.float()
    attended = functional.scaled_dot_product_attention(query, key.float(), value.float(), attn_mask=mask)
    attended = attended.transpose(1, 2).reshape(batch, 1, heads * size)
    state: Tensor = layer.attention.output(attended, first)
    return layer.output(layer.intermediate(state), state)  # type: ignore[no-any-return]
