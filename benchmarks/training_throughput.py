"""Training throughput of Simplified TinyBERT: ours beside the published way, on the same pairs and networks.

The published way pads every pair to 256 tokens, runs fp32 with attention written out (its scores before the softmax
are returned, not computed again) and takes the losses over all cells. Ours buckets by length, keeps fused attention
and computes scores for the mapped layers only. The teacher's forward pass is included on both sides. Rounds alternate,
so that a noisy machine hits both alike; the ratio of medians is what counts.

    python benchmarks/training_throughput.py --data ../shared/data/trec_dl19 --run BM25 --out results/benchmarks/x.json
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AttentionInterface

from distilrank.data.files import library_versions, write_json
from distilrank.data.folder import RankingFolder
from distilrank.data.tokens import PairTokenizer
from distilrank.data.trec import read_run
from distilrank.models.answers import Answers, answer
from distilrank.models.frozen import frozen
from distilrank.models.load import load_model
from distilrank.models.mapping import layer_mapping
from distilrank.models.projections import Projections
from distilrank.models.students import student_from_layers
from distilrank.procedures.simplified_tinybert import SimplifiedTinyBertSettings, loss_terms
from distilrank.records import Example
from distilrank.training.cpu_speed import cpu_speed
from distilrank.training.examples import LabelledBatch, split_examples

PAIRS = 64
LENGTH = 256
PUBLISHED_PAIRS = 8


def attention_with_scores(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, Tensor]:
    """Attention as BERT's authors wrote it, giving the scores before the softmax in the place of probabilities."""
    scores = query @ key.transpose(-1, -2) * (scaling or query.shape[-1] ** -0.5)
    masked = scores if attention_mask is None else scores + attention_mask
    probabilities = torch.nn.functional.dropout(masked.softmax(-1), p=dropout, training=module.training)
    return (probabilities @ value).transpose(1, 2).contiguous(), scores


AttentionInterface.register("with_scores", attention_with_scores)


def read_pairs(folder: Path, *, collection: Path | None, run: str, split: str, count: int) -> list[Example]:
    """Draw candidate pairs of a first-stage run."""
    data = RankingFolder(folder, collection=collection)
    candidates = [(q, d) for q, found in read_run(data.runs(split)[run]).items() for d in found if q in data.queries]
    chosen = random.Random(0).sample(candidates, count)
    texts = data.passages.get_many([doc_id for _, doc_id in chosen])
    return [
        Example(text=data.queries[query_id].text, text_pair=texts[doc_id].content, label=i % 2)
        for i, (query_id, doc_id) in enumerate(chosen)
    ]


def published_answers(model: torch.nn.Module, batch: LabelledBatch, layers: Sequence[int]) -> Answers:
    """Run a network with its attention written out; scores of all layers come with it."""
    inputs = batch.batch
    output = model(
        input_ids=inputs.input_ids,
        attention_mask=inputs.attention_mask,
        token_type_ids=inputs.token_type_ids,
        output_hidden_states=True,
        output_attentions=True,
    )
    return Answers(output.logits, tuple(output.hidden_states), tuple(output.attentions[i - 1] for i in layers))


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/trec_dl19"))
    parser.add_argument("--collection", type=Path)
    parser.add_argument("--run", default="BM25")
    parser.add_argument("--split", default="test")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"{options.data} is not there; give a folder of ranking data with --data")
        return
    torch.set_num_threads(options.threads)
    examples = read_pairs(
        options.data, collection=options.collection, run=options.run, split=options.split, count=PAIRS * options.rounds
    )
    teacher, tokenizer = load_model("minilm-l6", num_labels=1, head="classic")
    student = student_from_layers(teacher, (2, 4, 6), num_labels=1, seed=0).train()
    limited = tokenizer.with_max_tokens(LENGTH)
    ours = SimplifiedTinyBertSettings(max_tokens=LENGTH)
    ways = {
        "published way, fp32": lambda part: _published(student, teacher, part, limited),
        "distilrank, fp32": lambda part: _ours(student, teacher, part, limited, ours, bf16=False),
        "distilrank, bf16": lambda part: _ours(student, teacher, part, limited, ours, bf16=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    lengths = [len(item) for item in limited.encode([e.text for e in examples], [str(e.text_pair) for e in examples])]
    with frozen(teacher):
        for turn in range(-1, options.rounds):  # the first is for warming up
            part = examples[max(turn, 0) * PAIRS : (max(turn, 0) + 1) * PAIRS]
            for name, way in ways.items():
                rate = _rate(way, part)
                if turn >= 0:
                    rates[name].append(rate)
                student.zero_grad()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    base = medians["published way, fp32"]
    print(
        f"{options.data.name}: {len(examples)} pairs of {statistics.mean(lengths):.0f} tokens on average, "
        f"{options.threads} threads"
    )
    for name, rate in medians.items():
        print(f"  {name:22} {rate:7.1f} pairs/s   {rate / base:4.2f} times")
    if options.out:
        facts = {
            "command": "python benchmarks/training_throughput.py",
            "data": options.data.name,
            "mean_tokens": statistics.mean(lengths),
            "threads": options.threads,
            "pairs_per_second": rates,
            "times_published": {name: rate / base for name, rate in medians.items()},
            "versions": library_versions(),
        }
        write_json(options.out, facts)


def _rate(way: Callable[[list[Example]], None], part: list[Example]) -> float:
    began = time.perf_counter()
    way(part)
    return len(part) / (time.perf_counter() - began)


def _ours(
    student: torch.nn.Module,
    teacher: torch.nn.Module,
    part: list[Example],
    tokenizer: PairTokenizer,
    settings: SimplifiedTinyBertSettings,
    *,
    bf16: bool,
) -> None:
    for model in (student, teacher):
        model.set_attn_implementation("sdpa")
    mapping = layer_mapping("uniform", student_layers=3, teacher_layers=6)
    projections = Projections(student_width=384, teacher_width=384)
    with cpu_speed(student, bf16=bf16):  # as the training loop does
        for micro in split_examples(part, tokenizer=tokenizer):
            batch = micro.content
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                with torch.no_grad():
                    wanted = answer(teacher, batch.batch, hidden_states=True, attention_layers=mapping)
                given = answer(student, batch.batch, hidden_states=True, attention_layers=(1, 2, 3))
                terms = loss_terms(given, wanted, batch, projections, mapping, settings)
            (sum(terms.values()) * micro.examples / len(part)).backward()
        for parameter in student.parameters():
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.to_dense()


def _published(
    student: torch.nn.Module, teacher: torch.nn.Module, part: list[Example], tokenizer: PairTokenizer
) -> None:
    for model in (student, teacher):
        model.set_attn_implementation("with_scores")
    settings = SimplifiedTinyBertSettings(max_tokens=LENGTH, as_published=True)
    mapping = layer_mapping("uniform", student_layers=3, teacher_layers=6)
    projections = Projections(student_width=384, teacher_width=384, as_published=True)
    for micro in split_examples(part, tokenizer=tokenizer, batch_tokens=PUBLISHED_PAIRS * LENGTH, length=LENGTH):
        batch = micro.content
        with torch.no_grad():
            wanted = published_answers(teacher, batch, mapping)
        given = published_answers(student, batch, (1, 2, 3))
        terms = loss_terms(given, wanted, batch, projections, mapping, settings)
        (sum(terms.values()) * micro.examples / len(part)).backward()


if __name__ == "__main__":
    main()
