"""A ranker that is the bi-encoder it comes from at first: late interaction of two texts that are read apart.

``BertForCosineRanking`` lets query and passage attend to each other from the first layer on, which a sentence encoder
has never seen, so that it loses a part of what it knew and has to learn it again. Here the two stand in one input,
as every consumer of a cross-encoder sends them, but each attends to itself alone and has positions of its own. What is
compared are their tokens: every token of the query looks for the passage's most similar one (MaxSim of ColBERT,
Khattab and Zaharia 2020, arXiv 2004.12832, equation 3), beside the cosine of the two means that the encoder was trained
with. The first attends to words, the second to the sense of the whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from distilrank.models.cosine import BertForCosineRanking, CosineHead, CosineRankingConfig, unit


class LateInteractionConfig(CosineRankingConfig):
    """A BERT configuration for ``BertForLateInteraction``."""

    model_type = "distilrank_bert_late_interaction"


class LateInteractionHead(CosineHead):
    """``scale * cosine of the means + match_scale * weighted mean of the query tokens' best matches + bias``.

    The weight of a query's token is a softmax over ``importance . state``; with ``importance`` zero, where it starts,
    all weigh the same.
    """

    initial_scale = 10.0
    initial_match_scale = 20.0

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.match_scale = nn.Parameter(torch.full((1,), self.initial_match_scale))
        self.importance = nn.Parameter(torch.zeros(hidden))

    @torch.no_grad()
    def multiply(self, factor: float) -> None:
        """Multiply all of the logit but the bias."""
        super().multiply(factor)
        self.match_scale.mul_(factor)

    def forward(self, states: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Return one logit per pair; arguments, shapes and a pair without passage tokens as ``CosineHead``'s."""
        means = super().forward(states, attention_mask, token_type_ids)
        states, valid = states.float(), attention_mask.bool()
        query, passage = valid & (token_type_ids == 0), valid & (token_type_ids == 1)
        directions = unit(states)
        with torch.autocast(states.device.type, enabled=False):  # which would round cosines to two digits
            alike = directions @ directions.transpose(1, 2)  # (batch, length, length), cosines of tokens
            weights = (states @ self.importance).masked_fill(~query, -torch.inf).softmax(dim=1)
        best = alike.masked_fill(~passage[:, None, :], -1.0).amax(dim=2)  # (batch, length)
        matched = (weights * best).sum(dim=1, keepdim=True)  # (batch, 1)
        return means + self.match_scale * matched * passage.any(dim=1, keepdim=True)


class BertForLateInteraction(BertForCosineRanking):
    """BERT that reads query and passage apart, with a ``LateInteractionHead``; one logit, no pooler."""

    config_class = LateInteractionConfig

    def __init__(self, config: LateInteractionConfig) -> None:
        super().__init__(config)
        self.head = LateInteractionHead(config.hidden_size)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LateInteractionHead):
            nn.init.constant_(module.scale, LateInteractionHead.initial_scale)
            nn.init.constant_(module.match_scale, LateInteractionHead.initial_match_scale)
            nn.init.zeros_(module.importance)

    def read(
        self, input_ids: Tensor, attention_mask: Tensor, segments: Tensor, **options: Any
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Run the encoder on both texts apart."""
        return self.bert(  # type: ignore[no-any-return]
            input_ids=input_ids,
            attention_mask=visible(attention_mask, segments),
            position_ids=own_positions(attention_mask, segments),
            token_type_ids=torch.zeros_like(input_ids),  # the only segment that a sentence encoder has seen
            **options,
        )


def visible(attention_mask: Tensor, segments: Tensor) -> Tensor:
    """Return which token (column) each token (row) attends to: those of its own text, (batch, 1, length, length) bool.

    Args:
        attention_mask: 1 on tokens, 0 on padding, (batch, length).
        segments: 0 on the query, 1 on the passage, (batch, length). Padding counts as the text that it is marked as.
    """
    same = segments[:, :, None] == segments[:, None, :]
    return (same & attention_mask.bool()[:, None, :])[:, None]


def own_positions(attention_mask: Tensor, segments: Tensor) -> Tensor:
    """Return the position of every token in its own text, from 0, (batch, length); arguments as ``visible``'s.

    The passage's first token takes the place of the [CLS] that the encoder knows there; padding has positions without
    meaning.
    """
    places = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    queries = (attention_mask.bool() & (segments == 0)).sum(dim=1, keepdim=True)
    return (places - queries * segments).clamp(min=0)


AutoConfig.register(LateInteractionConfig.model_type, LateInteractionConfig)
AutoModelForSequenceClassification.register(LateInteractionConfig, BertForLateInteraction)
