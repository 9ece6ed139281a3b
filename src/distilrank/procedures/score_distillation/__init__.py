"""Distillation of scores: a student learns from a teacher's scores of a query's passages, by a list of objectives.

    L = sum_k w_k L_k,  each L_k one word of ``OBJECTIVES``

1. the student starts from layers of the teacher, from a shape or from a checkpoint;
2. batches are of whole groups, a query with its passages;
3. the teacher's scores are those that stand in the groups where all have them, so that a teacher that is large, slow
   or gone is asked once for many trainings; else the teacher, in evaluation mode, scores each batch;
4. objectives over the scores compare lists, hard ones read the labels of the groups, and those over layers run a
   teacher of the same token ids beside the student; all are weighted, added and minimised together.

This is no single paper's procedure: what each objective is, who wrote it and what it needs stands in ``OBJECTIVES`` and
docs/losses.md. Every objective averages a group's valid items first, then groups (docs/decisions/0005).

``mse`` and ``margin_mse`` fit the scores as numbers: they want raw logits on both sides, and a teacher squashed by a
sigmoid teaches flat margins. ``bce`` reads the teacher's logits as log-odds. For ``kl`` differences count, and their
scale may be changed by the temperature. All others over scores read nothing but the teacher's order.
"""

from __future__ import annotations

from distilrank.procedures.score_distillation.objectives import OBJECTIVES, Objective, OverLayers, OverLists
from distilrank.procedures.score_distillation.over_lists import Lists
from distilrank.procedures.score_distillation.task import ScoreDistillationSettings, distil, loss_terms

__all__ = [
    "OBJECTIVES",
    "Lists",
    "Objective",
    "OverLayers",
    "OverLists",
    "ScoreDistillationSettings",
    "distil",
    "loss_terms",
]
