"""A ranker that starts where a bi-encoder left off: the scaled cosine of two mean-pooled parts.

The network reads ``[CLS] query [SEP] passage [SEP]`` together, so that query and passage attend to each other
from the first layer on, and then pools the two parts apart. Built from a sentence encoder it ranks well before
any training and learns from few pairs. It is meant for teachers: the layout is not the classic one, and no
other library loads it. Its own ``model_type`` makes those libraries say so, where "bert" would make them load
the encoder and put a random head on it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    BertPreTrainedModel,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions, SequenceClassifierOutput

from distilrank.errors import ModelError


class CosineRankingConfig(BertConfig):
    """A BERT configuration for ``BertForCosineRanking``."""

    model_type = "distilrank_bert_cosine"


class CosineHead(nn.Module):
    """``scale * cosine(mean of the query's states, mean of the passage's states) + bias``; both are learned."""

    initial_scale = 20.0

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), self.initial_scale))
        self.bias = nn.Parameter(torch.zeros(1))

    @torch.no_grad()
    def multiply(self, factor: float) -> None:
        """Multiply all of the logit but the bias."""
        self.scale.mul_(factor)

    def forward(self, states: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Return one logit per pair.

        Args:
            states: Last hidden states, shape (batch, length, hidden).
            attention_mask: 1 on tokens, 0 on padding, shape (batch, length).
            token_type_ids: 0 on the query with [CLS] and the first [SEP], 1 on the passage with the last
                [SEP], shape (batch, length).

        Returns:
            Logits, shape (batch, 1). A pair without passage tokens gets the bias.
        """
        states = states.float()
        valid = attention_mask.bool()
        query = mean_of(states, valid & (token_type_ids == 0))
        passage = mean_of(states, valid & (token_type_ids == 1))
        cosine = (unit(query) * unit(passage)).sum(dim=-1, keepdim=True)  # (batch, 1)
        return self.scale * cosine + self.bias


class BertForCosineRanking(BertPreTrainedModel):
    """BERT with a ``CosineHead``; one logit, no pooler."""

    config_class = CosineRankingConfig

    def __init__(self, config: CosineRankingConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.head = CosineHead()
        self.post_init()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, CosineHead):
            nn.init.constant_(module.scale, CosineHead.initial_scale)
            nn.init.zeros_(module.bias)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **options: Any,
    ) -> SequenceClassifierOutput:
        """Return logits of shape (batch, 1), and whatever else ``options`` ask of ``BertModel``."""
        attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        token_type_ids = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        options.pop("return_dict", None)
        output = self.read(input_ids, attention_mask, token_type_ids, **options)
        return SequenceClassifierOutput(
            logits=self.head(output.last_hidden_state, attention_mask, token_type_ids),
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    def read(
        self, input_ids: Tensor, attention_mask: Tensor, segments: Tensor, **options: Any
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Run the encoder on both texts together."""
        return self.bert(  # type: ignore[no-any-return]
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=segments, **options
        )


@torch.no_grad()
def ignore_segments(model: PreTrainedModel) -> None:
    """Make segment 1 embed as segment 0, in place: a sentence encoder has only ever seen the latter.

    Raises:
        ModelError: The network embeds no segments.
    """
    embedding = getattr(getattr(model.base_model, "embeddings", None), "token_type_embeddings", None)
    if not isinstance(embedding, nn.Embedding):
        raise ModelError(f"{type(model).__name__} embeds no segments, by which a cosine head tells query and passage")
    embedding.weight[1:] = embedding.weight[:1]


def mean_of(states: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen states, shape (batch, hidden); zeros where none is chosen."""
    weights = chosen.to(states.dtype).unsqueeze(-1)  # (batch, length, 1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def unit(vectors: Tensor) -> Tensor:
    """Return vectors of length 1; zeros stay zeros."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / lengths.clamp(min=1e-8)


AutoConfig.register(CosineRankingConfig.model_type, CosineRankingConfig)
AutoModelForSequenceClassification.register(CosineRankingConfig, BertForCosineRanking)
