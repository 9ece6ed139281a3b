"""TinyBERT: a small transformer from a big one in two phases, on plain text and on a task.

Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu: "TinyBERT: Distilling BERT for Natural Language Understanding", Findings
of EMNLP 2020, https://arxiv.org/abs/1909.10351. With g(m) the teacher layer that student layer m imitates, equation 11:

    L = sum_{m=0..M+1} lambda_m L_m;  L_0 = MSE(E_S W_e, E_T);  L_{M+1} = CE(z_T / t, z_S / t)
    L_m = MSE(H_S^m W_h, H_T^g(m)) + 1/h sum_i MSE(A_S^m,i, A_T^g(m),i)   for 1 <= m <= M, A before the softmax

1. general distillation (``general``): L_0 ... L_M against a language model, on sentence pairs of plain text;
2. task distillation (``task``): the layers stage, L_0 ... L_M against the fine-tuned teacher, at a constant rate;
3. the answers stage: L_{M+1}; numbers (STS-B) learn from the labels of the original examples instead.

Both stages of the task read its examples with their augmented variants (``distilrank.augmentation``). What is not in
the paper follows the authors' code; the SQuAD experiments are left out. Departures: each term averages an example's
valid cells, then examples (the code averages over padding too); the soft term sums over classes and carries t^2;
AdamW with bias correction; the teacher is in evaluation mode (the code left its dropout on); the last short batch is
trained on. ``as_published`` brings back the code's normalisation and optimiser. See docs/decisions/0005.
"""

from __future__ import annotations

from distilrank.procedures.tinybert.general import GeneralDistillationSettings, general_distil
from distilrank.procedures.tinybert.layers import LayerSettings, layer_terms
from distilrank.procedures.tinybert.task import TASKS, TinyBertSettings, answer_terms, distil

__all__ = [
    "TASKS",
    "GeneralDistillationSettings",
    "LayerSettings",
    "TinyBertSettings",
    "answer_terms",
    "distil",
    "general_distil",
    "layer_terms",
]
