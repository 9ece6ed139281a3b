"""How good a masked-language head is that `distilrank fit-mlm-head` fitted, on the passages that it held out.

The hit rate at 15 is the share of words of one piece, each masked by itself, that are among the 15 most probable
tokens (what fit-mlm-head tells masks several words of a passage at once, as in training). Marks of punctuation and
words like "the" are easy, so it is told for other words too, and beside it what comes of always answering the 15 most
frequent tokens.

    python benchmarks/masked_language_head.py --out results/masked_language_head/minilm-l6.json
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest

from distilrank.augmentation.stop_words import STOP_WORDS
from distilrank.data.files import library_versions, read_json, write_json
from distilrank.data.words import Words
from distilrank.models.answers import Batch
from distilrank.models.masked_language import load_masked_language_model, masked_logits
from distilrank.procedures.masked_language_head import MaskedLanguageHeadSettings
from distilrank.training.settings import TrainingSettings
from distilrank.workflows.fit_mlm_head import learned_and_held_out

K = 15


def main() -> None:
    """Measure and print the hit rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlm", type=Path, default=Path("runs/minilm-mlm"), help="folder that fit-mlm-head made")
    parser.add_argument("--text", type=Path, default=Path("../shared/data/wikipedia_2015_26k/passages.tsv.xz"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file")
    options = parser.parse_args()
    command = f"distilrank fit-mlm-head --model minilm-l6 --text {options.text} --out {options.mlm}"
    if not (options.mlm / "manifest.json").is_file() or not options.text.is_file():
        print(f"{options.mlm} or {options.text} is not there; make the first with: {command}")
        return
    torch.set_num_threads(options.threads)
    manifest = read_json(options.mlm / "manifest.json")
    settings = manifest["settings"]["settings"]
    training = {name: settings["training"][name] for name in ("max_steps", "batch_size", "seed", "precision")}
    chosen = MaskedLanguageHeadSettings(
        max_tokens=settings["max_tokens"],
        masked_share=settings["masked_share"],
        held_out=settings["held_out"],
        training=TrainingSettings(**training),
    )
    learned, held_out = learned_and_held_out(options.text, chosen)
    hits, usual, content = measure(options.mlm, learned, held_out, chosen)
    rates = {"all words": np.ones_like(content), "neither stop words, numbers nor marks": content}
    facts = {name: {"words": int(of.sum()), **rate(hits[of], usual[of])} for name, of in rates.items()}
    print(f"{options.mlm}: hit rate at {K} on {len(held_out)} held-out passages, {len(learned)} learned from")
    for name, numbers in facts.items():
        low, high = numbers["interval_95"]
        print(
            f"  {name:40} {numbers['hit_rate']:.3f} ({low:.3f} to {high:.3f}) of {numbers['words']} words; "
            f"the {K} most frequent tokens: {numbers['most_frequent']:.3f}"
        )
    if options.out:
        changed = f"--steps {training['max_steps']} --set training.precision={training['precision']}"
        record = {
            "commands": [f"{command} {changed}", f"python benchmarks/masked_language_head.py --out {options.out}"],
            "seed": training["seed"],
            "k": K,
            "held_out_passages": len(held_out),
            "hit_rates": facts,
            "told_by_fit_mlm_head": manifest["hit_rate@15"],
            "settings": settings,
            "text": manifest["settings"]["text"],
            "started_from": manifest["settings"]["from"],
            "versions": library_versions(),
        }
        write_json(options.out, record)


def measure(
    folder: Path, learned: list[str], held_out: list[str], settings: MaskedLanguageHeadSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask a share of the words of one piece, one at a time.

    Returns:
        Three bool arrays over these words: whether the head's most probable tokens hold the word, whether the most
        frequent tokens do, and whether the word is neither a stop word nor anything but letters.
    """
    model, tokenizer = load_masked_language_model(folder, offline=True)
    limited = tokenizer.with_max_tokens(settings.max_tokens)
    words = Words(limited)
    counts = Counter(piece for ids in limited.pieces(learned) for piece in ids)
    frequent = {piece for piece, _ in counts.most_common(K)}
    hits, usual, content = [], [], []
    for text in held_out:
        sentence = words.split(text)[: settings.max_tokens // 2]
        whole = [place for place, word in enumerate(sentence) if words.is_whole(word)]
        places = whole[:: round(1 / settings.masked_share)]
        if not places:
            continue
        encoded = [words.encode_masked(sentence, place) for place in places]
        batch = Batch.from_arrays(limited.pad([item for item, _ in encoded]))
        with torch.no_grad():
            best = masked_logits(model, batch, torch.tensor([at for _, at in encoded])).topk(K, dim=1).indices
        for place, row in zip(places, best.tolist(), strict=True):
            (piece,) = words.pieces(sentence[place])
            hits.append(piece in row)
            usual.append(piece in frequent)
            content.append(sentence[place].isalpha() and sentence[place] not in STOP_WORDS)
    return np.array(hits), np.array(usual), np.array(content)


def rate(hits: np.ndarray, usual: np.ndarray) -> dict[str, object]:
    """Return a share, its 95% interval, and what the most frequent tokens would have hit."""
    interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(0.95, method="wilson")
    return {
        "hit_rate": float(hits.mean()),
        "interval_95": [float(interval.low), float(interval.high)],
        "most_frequent": float(usual.mean()),
    }


if __name__ == "__main__":
    main()
