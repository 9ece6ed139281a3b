"""What the study's numbers mean, question by question: whether the papers' claims held, and why that may be.

Prose about the results at scale ``cpu``. It names no number, so that none can go stale; the verdicts beside it are
computed.
"""

from __future__ import annotations

FINDINGS: dict[str, str] = {
    "Simplified TinyBERT: one step against two, and the hard label": (
        "So far the paper's order holds, one step with the hard label before TinyBERT's two, and both far before "
        "standard distillation and labels alone; it is the hard label that makes it, in one step or in two. But "
        "none of these differences between the layer-wise procedures is beyond chance, and no student beats its "
        "teacher, where the paper's did. Two reasons are likely. Two processor cores allow few training pairs: "
        "layer losses, which say something about every token, then matter most, and a student that has caught up "
        "with its teacher is far off. And the teacher here is itself a small network that learned from a "
        "bi-encoder's and BM25's scores first: the hard label, a passage with or without the answer, is a noisier "
        "signal than its."
    ),
    "A fifteenth of the operations": (
        "The claim does not hold at this scale, and on the questions the order of the procedures turns round: scores "
        "and labels alone teach this student more than layers do. It has nothing to copy from the teacher's layers, "
        "and is too far from them after a few hundred steps of general distillation for imitating them to pay; as many "
        "steps of the task do not teach a network of new weights to rank either way. "
        "It says what two cores can do in minutes, not what such a student can reach; the paper's had the general "
        "distillation of a whole Wikipedia behind it."
    ),
    "Documents by their best passage": (
        "On documents cut into passages the student keeps more of its teacher than on whole abstracts, which are "
        "longer than what it was trained on; the best passage of each is of the usual length."
    ),
    "BERT rankers under distillation: the procedure and the start": (
        "The paper's main claim holds: the procedure decides. Fine-tuning a distilled language model on labels alone "
        "stays far behind both procedures that have the ranker as a teacher. General distillation first is no gain at "
        "three layers, where every second layer of the ranker itself is as good a start, and is one at two, where less "
        "of the ranker is left to copy. The start decides more than the procedure: from random weights the same "
        "training ends far below BM25, and from a public checkpoint of all layers it keeps nearly all of the teacher."
    ),
    "Since then: scores instead of layers": (
        "Against the later paper, layer losses help here: one listwise objective is better with them than without. "
        "With few training pairs they teach more per pair than scores do; that "
        "they may hurt where pairs are plenty is not refuted."
    ),
    "Smaller still: eight bits and a trimmed vocabulary": (
        "Eight bits make the file a third of its size and a trimmed vocabulary takes off a little more; no loss is "
        "significant, alone or stacked. Words that are rare in Wikipedia are cut into pieces by the trimmed "
        "vocabulary, which shows, if anywhere, on questions of everyday language and on aerodynamics."
    ),
}
