from __future__ import annotations

import pytest
import torch

from distilrank.errors import InputError
from distilrank.losses import hard_cross_entropy
from distilrank.models.answers import answer
from distilrank.records import Example
from distilrank.training.examples import split_chunks, split_examples
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer

TOKENIZER = tiny_tokenizer(max_tokens=40)
PAIRS = [
    Example(text=query, text_pair=passage, label=i % 2, example_id=str(i))
    for i, (query, passage) in enumerate(tiny_pairs(9))
]


def test_every_example_comes_once_with_its_label() -> None:
    parts = split_examples(PAIRS, tokenizer=TOKENIZER, batch_tokens=80)
    assert len(parts) > 2
    found = []
    for part in parts:
        batch, labels = part.content.batch, part.content.labels
        assert labels is not None
        assert labels.dtype == torch.int64
        assert part.examples == part.pairs == len(labels) == len(batch)
        assert part.tokens == int(batch.attention_mask.sum())
        assert batch.input_ids.numel() <= 80 or len(batch) == 1
        for ids, mask, label in zip(batch.input_ids, batch.attention_mask, labels, strict=True):
            found.append((tuple(ids[mask.bool()].tolist()), int(label)))
    encoded = TOKENIZER.encode([e.text for e in PAIRS], [e.text_pair or "" for e in PAIRS])
    assert sorted(found) == sorted((tuple(e.input_ids), p.label) for e, p in zip(encoded, PAIRS, strict=True))
    assert all(len(ids) <= 40 for ids, _ in found)


def test_a_fixed_length_counts_in_full() -> None:
    parts = split_examples(PAIRS, tokenizer=TOKENIZER, batch_tokens=120, length=40)
    assert {part.content.batch.input_ids.shape[1] for part in parts} == {40}
    assert [part.examples for part in parts] == [3, 3, 3]


def test_single_texts() -> None:
    (part,) = split_examples([Example(text="red dog"), Example(text="sea")], tokenizer=TOKENIZER)
    assert part.content.labels is None
    assert part.content.batch.token_type_ids.sum() == 0
    assert part.content.batch.attention_mask.sum(dim=1).tolist() == [4, 3]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([0, 2], torch.int64), ([0.5, 2.0], torch.float32), ([(1, 0), (0, 0)], torch.float32)],
)
def test_labels_of_all_kinds(labels: list[int | float | tuple[int, ...]], expected: torch.dtype) -> None:
    examples = [Example(text="red dog", label=label) for label in labels]
    (part,) = split_examples(examples, tokenizer=TOKENIZER)
    assert part.content.labels is not None
    assert part.content.labels.dtype == expected
    assert part.content.labels.tolist() == [list(label) if isinstance(label, tuple) else label for label in labels]


def test_small_batches_have_the_gradient_of_a_large_one() -> None:
    gradients = []
    for batch_tokens in (10_000, 100, 1):
        model = tiny_model(num_labels=2)
        parts = split_examples(PAIRS, tokenizer=TOKENIZER, batch_tokens=batch_tokens)
        for part in parts:
            assert part.content.labels is not None
            loss = hard_cross_entropy(answer(model, part.content.batch).logits, part.content.labels)
            (loss * part.examples / len(PAIRS)).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert len(parts) == 9
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=1e-4, atol=1e-6)
    assert gradients[0]["classifier.weight"].abs().max() > 1e-3


def test_a_teacher_of_another_tokenizer_reads_the_same_examples() -> None:
    # Its texts may be longer than the student's: both have to fit the limit on tokens.
    other = tiny_tokenizer(max_tokens=60, lowercase=False)
    pairs = [Example(text=e.text.upper(), text_pair=(e.text_pair or "") + " zebra" * 3, label=0) for e in PAIRS]
    parts = split_examples(pairs, tokenizer=TOKENIZER, teacher_tokenizer=other, batch_tokens=120)
    assert len(parts) > 2
    for part in parts:
        ours, theirs = part.content.batch, part.content.for_teacher
        assert theirs is part.content.other
        assert len(ours) == len(theirs) == part.examples
        assert max(ours.input_ids.numel(), theirs.input_ids.numel()) <= 120 or len(ours) == 1
        assert part.tokens == int(ours.attention_mask.sum())
    rows = sorted(
        (tuple(o[m.bool()].tolist()), tuple(t[n.bool()].tolist()))
        for part in parts
        for o, m, t, n in zip(
            part.content.batch.input_ids,
            part.content.batch.attention_mask,
            part.content.for_teacher.input_ids,
            part.content.for_teacher.attention_mask,
            strict=True,
        )
    )
    texts = [e.text for e in pairs], [e.text_pair or "" for e in pairs]
    encoded = zip(TOKENIZER.encode(*texts), other.encode(*texts), strict=True)
    assert rows == sorted((tuple(a.input_ids), tuple(b.input_ids)) for a, b in encoded)
    assert any(a != b for a, b in rows)
    (same,) = split_examples(PAIRS[:2], tokenizer=TOKENIZER)
    assert same.content.for_teacher is same.content.batch


def test_a_batch_has_room_for_the_longer_of_both_readings() -> None:
    short, long = tiny_tokenizer(max_tokens=12), tiny_tokenizer(max_tokens=60)
    texts = [Example(text="red dog", text_pair="sea " * 50, label=0)] * 4
    parts = split_examples(texts, tokenizer=short, teacher_tokenizer=long, batch_tokens=128)
    assert [part.content.for_teacher.input_ids.shape for part in parts] == [(2, 60)] * 2


def test_chunks_of_text_come_once() -> None:
    chunks = TOKENIZER.encode([e.text_pair or "" for e in PAIRS])
    parts = split_chunks(chunks, tokenizer=TOKENIZER, batch_tokens=60)
    assert len(parts) > 2
    found = []
    for part in parts:
        batch = part.content
        assert batch.input_ids.numel() <= 60 or len(batch) == 1
        assert part.examples == len(batch)
        assert part.tokens == int(batch.attention_mask.sum())
        found += [
            tuple(ids[mask.bool()].tolist()) for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)
        ]
    assert sorted(found) == sorted(tuple(chunk.input_ids) for chunk in chunks)


def test_mixtures_are_refused() -> None:
    with pytest.raises(InputError, match="example '7' has one text where the others have two"):
        split_examples([PAIRS[0], Example(text="a", example_id="7")], tokenizer=TOKENIZER)
    with pytest.raises(InputError, match="some examples have a label and some have none"):
        split_examples([Example(text="a", label=1), Example(text="b")], tokenizer=TOKENIZER)
