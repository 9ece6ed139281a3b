"""Tensors in, scalar out: the terms that procedures add up; knows no model and no data.

Every function averages over an example's valid cells first and then over examples, so that padding,
batching, accumulation and the number of processes have no effect on it. Student comes first and teacher
second; the teacher is detached inside. Halves (bf16, fp16) are computed in fp32, fp32 and fp64 as they come.
The ``as_published_*`` functions keep the normalisation of the authors' code instead, for comparison.
"""

from __future__ import annotations

from distilrank.losses.attention import as_published_attention_loss, attention_loss
from distilrank.losses.hard import hard_cross_entropy, multi_label_cross_entropy, regression_mse
from distilrank.losses.hidden_states import as_published_hidden_state_loss, hidden_state_loss
from distilrank.losses.listwise import graded_listwise, info_nce, listwise_kl
from distilrank.losses.logits import kl_divergence, logit_mse
from distilrank.losses.pairwise import lambda_loss, margin_mse, ranknet
from distilrank.losses.patience import pkd_loss
from distilrank.losses.permutations import list_mle
from distilrank.losses.pointwise import binary_cross_entropy, grouped_bce, score_bce, score_mse
from distilrank.losses.problems import hard_loss, soft_loss
from distilrank.losses.ranks import adr_mse, reciprocal_ranks
from distilrank.losses.relations import relation_loss
from distilrank.losses.soft import as_published_soft_cross_entropy, soft_binary_cross_entropy, soft_cross_entropy
from distilrank.losses.two_class import class_logits, two_class_logits

__all__ = [
    "adr_mse",
    "as_published_attention_loss",
    "as_published_hidden_state_loss",
    "as_published_soft_cross_entropy",
    "attention_loss",
    "binary_cross_entropy",
    "class_logits",
    "graded_listwise",
    "grouped_bce",
    "hard_cross_entropy",
    "hard_loss",
    "hidden_state_loss",
    "info_nce",
    "kl_divergence",
    "lambda_loss",
    "list_mle",
    "listwise_kl",
    "logit_mse",
    "margin_mse",
    "multi_label_cross_entropy",
    "pkd_loss",
    "ranknet",
    "reciprocal_ranks",
    "regression_mse",
    "relation_loss",
    "score_bce",
    "score_mse",
    "soft_binary_cross_entropy",
    "soft_cross_entropy",
    "soft_loss",
    "two_class_logits",
]
