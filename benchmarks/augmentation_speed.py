"""Speed of TinyBERT's augmentation: ours beside the published one-word-at-a-time way, on the same sentences.

The published way runs the masked-language model once for every word, one text at a time, its head over all positions,
and ranks the whole vocabulary. Here it is written again from that description, for both readings: ``original`` as the
authors' code works (candidates once per word, from the original sentence, which the model reads beside the masked one;
gradients are recorded, as there, and as a fairer measure are not), and ``changed`` as Algorithm 1 of the paper is
written (candidates for every word of every copy, from the sentence as it is by then; without gradients). Both ways get
the same random numbers, and every augmented sentence must be the same. Rounds alternate, so that a noisy machine hits
all alike; the ratio of medians is what counts.

    python benchmarks/augmentation_speed.py --mlm runs/minilm-mlm --out results/benchmarks/augmentation_speed.json
"""

from __future__ import annotations

import argparse
import random
import re
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from distilrank.augmentation.candidates import MaskedLanguageCandidates
from distilrank.augmentation.stop_words import STOP_WORDS
from distilrank.augmentation.tinybert import TinyBertAugmentation, TinyBertAugmenter
from distilrank.data.classification import read_examples
from distilrank.data.files import file_hash, library_versions, write_json
from distilrank.data.tokens import PairTokenizer
from distilrank.data.word_vectors import WordVectors, read_word_vectors
from distilrank.models.masked_language import load_masked_language_model
from distilrank.records import Example

Reading = Literal["original", "changed"]
Way = Callable[[list[Example]], list[list[str]]]


class OneWordAtATime:
    """TinyBERT's augmentation with a forward pass per word: nothing is batched, and nothing is remembered.

    Args:
        model: With a masked-language head.
        tokenizer: Its tokeniser.
        vectors: For words of several pieces.
        settings: Those that ours gets too.
        gradients: Whether forward passes are recorded for a backward pass that never comes.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PairTokenizer,
        vectors: WordVectors,
        *,
        settings: TinyBertAugmentation,
        gradients: bool,
    ) -> None:
        self.model = model
        self.backend = tokenizer.backend
        self.vectors = vectors
        lengths = np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
        self.directions = vectors.vectors / np.where(lengths == 0, 1, lengths)
        self.settings = settings
        self.gradients = gradients
        self.tokens = [self.backend.id_to_token(i) for i in range(self.backend.get_vocab_size())]

    def augment(self, examples: Sequence[Example]) -> list[list[str]]:
        """Return each sentence and its variants."""
        return [self._variants(example.text, position) for position, example in enumerate(examples)]

    def _variants(self, text: str, position: int) -> list[str]:
        normalised = self.backend.normalizer.normalize_str(text)
        words = [word for word, _ in self.backend.pre_tokenizer.pre_tokenize_str(normalised)]
        draws = np.random.default_rng([self.settings.seed, position, 0]).random((self.settings.copies, len(words), 2))
        if self.settings.candidates == "original":
            found = [self._candidates(words, i) if self._is_content(word) else [] for i, word in enumerate(words)]
            made = [self._replace(words, found, draw) for draw in draws]
        else:
            made = [self._go_through(words, draw) for draw in draws]
        return list(dict.fromkeys([text, *(variant for variant in made if variant != " ".join(words))]))

    @staticmethod
    def _is_content(word: str) -> bool:
        return word not in STOP_WORDS and re.fullmatch("[a-z]+", word) is not None

    def _replace(self, words: Sequence[str], found: Sequence[Sequence[str]], draw: NDArray[np.float64]) -> str:
        made = list(words)
        for i, candidates in enumerate(found):
            p, choice = draw[i]
            if candidates and p <= self.settings.threshold:
                made[i] = candidates[int(choice * len(candidates))]
        return " ".join(made)

    def _go_through(self, words: Sequence[str], draw: NDArray[np.float64]) -> str:
        made = list(words)
        for i in range(len(words)):
            candidates = self._candidates(made, i, word=words[i])
            p, choice = draw[i]
            if candidates and p <= self.settings.threshold:
                made[i] = candidates[int(choice * len(candidates))]
        return " ".join(made)

    def _candidates(self, words: Sequence[str], place: int, *, word: str | None = None) -> list[str]:
        word = words[place] if word is None else word
        pieces = self.backend.encode(word, add_special_tokens=False).tokens
        if len(pieces) == 1 and pieces[0] != "[UNK]":
            return self._filled_in(" ".join([*words[:place], "[MASK]", *words[place + 1 :]]), " ".join(words))
        return self._nearest(word)

    def _filled_in(self, masked: str, whole: str) -> list[str]:
        beside = self.settings.candidates == "original"
        encoded = self.backend.encode(masked, whole) if beside else self.backend.encode(masked)
        place = encoded.tokens.index("[MASK]")
        with torch.set_grad_enabled(self.gradients):
            logits = self.model(
                input_ids=torch.tensor([encoded.ids]), token_type_ids=torch.tensor([encoded.type_ids])
            ).logits[0, place]  # fmt: skip
        ranked = logits.argsort(descending=True)
        if beside:  # the K most probable tokens, of which parts of words are dropped
            kept = [i for i in ranked[: self.settings.k].tolist() if self._is_word(i)]
        else:
            kept = [i for i in ranked[: 50 * self.settings.k].tolist() if self._is_word(i)][: self.settings.k]
        return [self.tokens[i] for i in sorted(kept)]

    def _is_word(self, token_id: int) -> bool:
        token = self.tokens[token_id]
        return not token.startswith("##") and not (token.startswith("[") and len(token) > 1)

    def _nearest(self, word: str) -> list[str]:
        row = self.vectors.index.get(word)
        if row is None:
            return []
        ranked = np.argsort(-(self.directions @ self.directions[row]))
        return [self.vectors.words[i] for i in ranked[: self.settings.k + 1] if i != row][: self.settings.k]


def ours(model: Any, tokenizer: PairTokenizer, vectors: WordVectors, settings: TinyBertAugmentation) -> Way:
    """Return our way; what it remembers lasts for one round."""

    def augment(examples: list[Example]) -> list[list[str]]:
        once = settings.candidates == "original"
        candidates = MaskedLanguageCandidates(
            model, tokenizer, k=settings.k, whole_words="last" if once else "first", original_beside=once
        )
        made = TinyBertAugmenter(vectors, candidates, settings=settings).augment(examples)
        return [[example.text for example in variants] for variants in made]

    return augment


def measure(ways: dict[str, Way], examples: Sequence[Example], *, rounds: int) -> dict[str, list[float]]:
    """Return examples per second of each way by round, all on the same examples of that round.

    Raises:
        SystemExit: Two ways made different sentences.
    """
    rates: dict[str, list[float]] = {name: [] for name in ways}
    size = len(examples) // rounds
    for turn in range(-1, rounds):  # the first is for warming up
        part = list(examples[:4] if turn < 0 else examples[turn * size : (turn + 1) * size])
        made = {}
        for name, way in ways.items():
            began = time.perf_counter()
            made[name] = way(part)
            if turn >= 0:
                rates[name].append(len(part) / (time.perf_counter() - began))
        first, *others = made.values()
        for lists in others:
            for one, other in zip(first, lists, strict=True):
                if one != other:
                    raise SystemExit(f"the ways made different sentences of {one[0]!r}: {set(one) ^ set(other)}")
    return rates


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sst2/train.tsv.gz"))
    parser.add_argument("--vectors", type=Path, default=Path("../shared/data/word_vectors/w2v_wiki_books_100d.txt.gz"))
    parser.add_argument("--mlm", type=Path, default=Path("runs/minilm-mlm"))
    parser.add_argument("--original", type=int, default=48, help="sentences for the reading of the code")
    parser.add_argument("--changed", type=int, default=8, help="sentences for the reading of the paper")
    parser.add_argument("--rounds", type=int, default=3, help="for the reading of the code; two for the paper's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file")
    options = parser.parse_args()
    for path in (options.data, options.vectors):
        if not path.is_file():
            print(f"{path} is not there; name labelled sentences with --data and word vectors with --vectors")
            return
    if not options.mlm.is_dir():
        print(f"{options.mlm} is not there; make it with: distilrank fit-mlm-head --text FILE --out {options.mlm}")
        return
    torch.set_num_threads(options.threads)
    examples = random.Random(0).sample(read_examples(options.data).examples, max(options.original, options.changed))
    vectors = read_word_vectors(options.vectors)
    model, tokenizer = load_masked_language_model(options.mlm, offline=True)
    counts: dict[Reading, int] = {"original": options.original, "changed": options.changed}
    results = {}
    for reading, count in counts.items():
        settings = TinyBertAugmentation(candidates=reading)
        recorded = (True, False) if reading == "original" else (False,)
        ways: dict[str, Way] = {}
        for gradients in recorded:
            name = "one word at a time" + ("" if gradients else ", no gradients")
            published = OneWordAtATime(model, tokenizer, vectors, settings=settings, gradients=gradients)
            ways[name] = published.augment
        ways["distilrank"] = ours(model, tokenizer, vectors, settings)
        rates = measure(ways, examples[:count], rounds=options.rounds if reading == "original" else 2)
        results[reading] = summary(reading, rates, examples[:count], settings)
    if options.out:
        facts = {
            "benchmark": "augmentation_speed",
            "command": shlex.join(["python", "benchmarks/augmentation_speed.py", *sys.argv[1:]]),
            "data": {"sentences": file_hash(options.data), "vectors": file_hash(options.vectors)},
            "mlm": file_hash(options.mlm / "model.safetensors"),
            "threads": options.threads,
            "readings": results,
            "identical_sentences": True,
            "versions": library_versions(),
        }
        write_json(options.out, facts)


def summary(
    reading: Reading, rates: dict[str, list[float]], examples: Sequence[Example], settings: TinyBertAugmentation
) -> dict[str, object]:
    """Print one reading's rates, and return them for the record."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    times = {name: medians["distilrank"] / rate for name, rate in medians.items() if name != "distilrank"}
    words = statistics.mean(len(example.text.split()) for example in examples)
    print(
        f"candidates={reading}: {len(examples)} sentences of {words:.1f} words on average, "
        f"{settings.copies} copies, the same sentences made"
    )
    for name, rate in medians.items():
        beside = f"   distilrank is {times[name]:4.1f} times as fast" if name in times else ""
        print(f"  {name:33} {rate:7.2f} examples/s{beside}")
    return {
        "sentences": len(examples),
        "mean_words": words,
        "copies": settings.copies,
        "examples_per_second": rates,
        "times_one_word_at_a_time": times,
    }


if __name__ == "__main__":
    main()
