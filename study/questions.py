"""What the study asks, and what will count as an answer: written before any result was seen.

What stands as published is from abstracts or papers that were read, or from secondary texts, and then it says so.
"""

from __future__ import annotations

from study.cells import Question
from study.plan import HEADLINE_SETS, RANKING_SETS, TASKS

_BETTER = (
    "One system is better than another if the paired randomisation test over queries, each averaged over its seeds, "
    "gives p < 0.05 after Holm's correction on TREC DL 2019 or openqa dev, and the other set does not contradict it."
)
_CLASSIFIED = (
    "On SST-2, with three seeds, better is p < 0.05 of the paired t-test over seeds after Holm's correction; on the "
    "other tasks one seed is told and nothing is called better."
)

QUESTIONS = (
    Question(
        name="Simplified TinyBERT: one step against two, and the hard label",
        asks="Is one step with the hard label better than TinyBERT's two without, than each simplification alone, than "
        "standard distillation and than plain fine-tuning?",
        published="The abstract: both simplifications boost TinyBERT, and the student of a fifteenth of the operations "
        "significantly outperforms BERT-Base on document ranking (arXiv 2009.07531).",
        systems=("teacher", "simplified", "one_soft", "two_hard", "two_soft", "tinybert", "standard", "labels"),
        against=("teacher", "tinybert", "standard", "labels"),
        sets=HEADLINE_SETS,
        reading=_BETTER + " A student is better than its teacher if it is significantly so on one set and not worse "
        "on any.",
    ),
    Question(
        name="A fifteenth of the operations",
        asks="What does a student of 2 layers and 168 units keep, and does the order of the procedures change?",
        published="See above: the 15 times smaller student outperforms its teacher.",
        systems=("teacher", "simplified_small", "tinybert_small", "standard_small", "labels_small"),
        against=("teacher", "tinybert_small", "labels_small"),
        sets=RANKING_SETS,
        reading=_BETTER,
    ),
    Question(
        name="Documents by their best passage",
        asks="Judged on documents that are cut into passages, does the student keep what it keeps on passages?",
        published="Simplified TinyBERT was measured on documents with MaxP (arXiv 2009.07531).",
        systems=("teacher", "simplified"),
        against=("teacher",),
        sets=("documents_maxp", "documents_firstp", "cranfield"),
        reading="The share kept by MaxP lies within the interval of the share kept on whole abstracts.",
        kept_as_on="cranfield",
    ),
    Question(
        name="BERT rankers under distillation: the procedure and the start",
        asks="Which of Ranker Distill, LM Distill + Fine-Tuning and LM Distill + Ranker Distill is best at 3 and at 2 "
        "layers, and how much does the start decide?",
        published='The abstract: "it is crucial to use a proper distillation procedure, which produces up to nine '
        "times "
        'speedup while preserving state-of-the-art performance" (arXiv 2007.11088). The body could not be read.',
        systems=(
            "teacher",
            "lm_ranker_3",
            "lm_tuned_3",
            "ranker_3",
            "from_random",
            "from_public",
            "lm_ranker_2",
            "lm_tuned_2",
            "ranker_2",
        ),
        against=("lm_ranker_3", "lm_ranker_2"),
        sets=RANKING_SETS,
        reading=_BETTER + " The procedure matters if two of the three differ so.",
    ),
    Question(
        name="TinyBERT for a ranker: without each of its parts",
        asks="What is lost without a term, a stage, general distillation, or the uniform mapping?",
        published="On GLUE dev, average of four tasks, 75.6 whole: without the transformer's layers 56.3, attention "
        "71.0, "
        "hidden states 72.9, predictions 73.5, embeddings 74.1, general distillation 72.5; top mapping 70.9, bottom "
        "71.3 "
        "(arXiv 1909.10351, section 4.4).",
        systems=(
            "tinybert",
            "tinybert_no_layers",
            "tinybert_attention",
            "tinybert_hidden",
            "tinybert_predictions",
            "tinybert_embedding",
            "tinybert_no_general",
            "tinybert_top",
            "tinybert_bottom",
        ),
        against=("tinybert",),
        sets=RANKING_SETS,
        reading=_BETTER + " The paper's order holds if the layers are the largest loss.",
    ),
    Question(
        name="Classification: the papers' own tasks",
        asks="What do the students of TinyBERT (with and without augmentation) and of Simplified TinyBERT keep on "
        "GLUE's "
        "tasks, beside standard distillation and labels alone?",
        published="On GLUE dev without augmentation 68.4 of 75.6 on average (arXiv 1909.10351, section 4.4).",
        systems=("teacher", "tinybert", "tinybert_plain", "simplified", "standard", "labels"),
        against=("labels", "tinybert_plain"),
        sets=TASKS,
        reading=_CLASSIFIED,
    ),
    Question(
        name="BiLSTM: the teacher, the transfer set and its rules",
        asks="Is the distilled BiLSTM better than the same network on labels, and which of the three rules does it "
        "need?",
        published="On GLUE test, as secondary texts give it: SST-2 90.7 distilled, 86.7 on labels. The paper has no "
        "ablation of the rules (arXiv 1903.12136).",
        systems=(
            "teacher",
            "bilstm_distilled_all",
            "bilstm_distilled",
            "bilstm_distilled_mask",
            "bilstm_distilled_replace",
            "bilstm_distilled_ngram",
            "bilstm_labels",
        ),
        against=("bilstm_labels", "bilstm_distilled"),
        sets=("sst2", "mrpc"),
        reading=_CLASSIFIED,
    ),
    Question(
        name="BiLSTM as a ranker",
        asks="What does a siamese BiLSTM lose, whose passages are read ahead?",
        published="Not in the paper.",
        systems=("teacher", "simplified", "bilstm", "bilstm_labels"),
        against=("simplified", "bilstm_labels"),
        sets=RANKING_SETS,
        reading=_BETTER,
    ),
    Question(
        name="Since then: scores instead of layers",
        asks="Are objectives of scores alone as good as the layer losses, and do layer losses hurt a ranker?",
        published='The abstract: "the distillation objectives of intermediate Transformer layers may hurt" document '
        "ranking (arXiv 2302.04112).",
        systems=(
            "teacher",
            "simplified",
            "kl_layers",
            "kl",
            "margin_mse",
            "mse",
            "ranknet",
            "info_nce",
            "adr_mse",
            "lambda_loss",
        ),
        against=("simplified", "kl"),
        sets=RANKING_SETS,
        reading=_BETTER + " Layer losses hurt if kl_layers is worse than kl.",
    ),
    Question(
        name="Smaller still: eight bits and a trimmed vocabulary",
        asks="What do int8 and vocabulary trimming cost and save, alone and stacked?",
        published="Not in the papers.",
        systems=("simplified", "int8", "trimmed", "trimmed_int8"),
        against=("simplified",),
        sets=HEADLINE_SETS,
        reading="A form costs nothing if the interval of its difference from the same seed's student lies within "
        "0.01 nDCG@10.",
        margin=0.01,
    ),
)
