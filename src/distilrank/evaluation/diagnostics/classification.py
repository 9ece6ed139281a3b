"""The data doctor for classification data: splits, labels and texts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from distilrank.data.tokens import PairTokenizer
from distilrank.evaluation.diagnostics.duplicates import near_duplicates, same_texts
from distilrank.evaluation.diagnostics.findings import EXAMPLES, Diagnosis, Finding
from distilrank.evaluation.diagnostics.labels import (
    balance_finding,
    class_counts,
    conflict_finding,
    order_finding,
    pair_text,
)
from distilrank.evaluation.diagnostics.lengths import Lengths, length_finding, measure_lengths
from distilrank.records import Example

EXAMPLES_MEASURED = 2_000
"""Examples whose length is measured, drawn by seed."""


def diagnose_classification(
    *,
    splits: Mapping[str, Sequence[Example]],
    label_names: Sequence[str],
    kind: str,
    tokenizer: PairTokenizer | None = None,
    max_tokens: int = 128,
    seed: int = 42,
) -> Diagnosis:
    """Look at labelled texts, or pairs of texts, that are about to be trained and measured on.

    Args:
        splits: Split -> examples, which are shown by their place from 1; the first split is the one trained on.
        label_names: Names of the classes; empty for regression.
        kind: "classes", "multi_label" or "regression".
        tokenizer: For lengths in tokens; None approximates them from words.
        max_tokens: The token limit of training.
        seed: Draws the examples whose length is measured.
    """
    texts = {
        split: {
            f"#{number} {example.example_id}".strip(): pair_text(example) for number, example in enumerate(examples, 1)
        }
        for split, examples in splits.items()
    }
    lengths = _lengths(next(iter(splits.values()), ()), tokenizer=tokenizer, max_tokens=max_tokens, seed=seed)
    findings = [
        _shared(texts),
        _near(texts),
        _empty(splits),
        _unlabelled(splits),
        conflict_finding(splits),
        order_finding(splits),
        *([] if kind == "regression" else [balance_finding(splits, label_names)]),
        *([length_finding(lengths, what="examples", advice="raise --max-tokens")] if lengths else []),
    ]
    facts: dict[str, object] = {
        "kind": kind,
        "label_names": list(label_names),
        "splits": {split: _split_facts(examples, label_names) for split, examples in splits.items()},
        "lengths": asdict(lengths) if lengths else None,
    }
    return Diagnosis(kind="classification", facts=facts, findings=tuple(findings))


def _shared(texts: Mapping[str, Mapping[str, str]]) -> Finding:
    pairs = same_texts(texts)
    return Finding.counting(
        "texts across splits",
        [
            f"{pair.first_split} {pair.first_id} and {pair.second_split} {pair.second_id}: "
            f"{texts[pair.first_split][pair.first_id][:80]!r}"
            for pair in pairs[:EXAMPLES]
        ],
        good="no text is in two splits",
        bad="{count} pairs of examples have the same text in two splits: measures on them would flatter",
        count=len(pairs),
    )


def _near(texts: Mapping[str, Mapping[str, str]]) -> Finding:
    pairs = near_duplicates(texts)
    return Finding.counting(
        "near-duplicate texts across splits",
        [
            f"{pair.first_split} {pair.first_id} {texts[pair.first_split][pair.first_id][:80]!r} and "
            f"{pair.second_split} {pair.second_id} {texts[pair.second_split][pair.second_id][:80]!r} "
            f"({pair.similarity:.2f})"
            for pair in pairs[:EXAMPLES]
        ],
        good="no two splits have texts that share 80% of their words",
        bad="{count} pairs of examples in two splits share at least 80% of their words: measures may flatter",
        level="note",
        count=len(pairs),
    )


def _empty(splits: Mapping[str, Sequence[Example]]) -> Finding:
    empty = [
        f"{split} #{number}"
        for split, examples in splits.items()
        for number, example in enumerate(examples, 1)
        if not example.text.strip() or (example.text_pair is not None and not example.text_pair.strip())
    ]
    return Finding.counting(
        "empty texts", empty, good="no text is empty", bad="{count} examples have an empty text: remove or correct them"
    )


def _unlabelled(splits: Mapping[str, Sequence[Example]]) -> Finding:
    counts = {split: sum(example.label is None for example in examples) for split, examples in splits.items()}
    without = [f"{split}: {count} of {len(splits[split])}" for split, count in counts.items() if count]
    return Finding.counting(
        "examples without a label",
        without,
        good="every example has a label",
        bad="{count} examples have no label: they can be distilled on, but neither trained nor measured",
        level="note",
        count=sum(counts.values()),
    )


def _split_facts(examples: Sequence[Example], label_names: Sequence[str]) -> dict[str, object]:
    """Return the size of a split and how its labels are distributed."""
    numbers = [example.label for example in examples if isinstance(example.label, float)]
    if numbers:
        spread = {"lowest": min(numbers), "mean": round(sum(numbers) / len(numbers), 4), "highest": max(numbers)}
        return {"examples": len(examples), "labels": spread}
    return {"examples": len(examples), "labels": class_counts(examples, label_names)}


def _lengths(
    examples: Sequence[Example], *, tokenizer: PairTokenizer | None, max_tokens: int, seed: int
) -> Lengths | None:
    """Measure a sample of the examples; None when there are none."""
    drawn = random.Random(seed).sample(list(examples), min(len(examples), EXAMPLES_MEASURED))
    if not drawn:
        return None
    pairs = (
        [example.text_pair or "" for example in drawn]
        if any(example.text_pair is not None for example in drawn)
        else None
    )
    return measure_lengths([example.text for example in drawn], pairs, tokenizer=tokenizer, limit=max_tokens)
