"""Models of a few thousand weights, built on the spot: offline, fast, the same every time."""

from __future__ import annotations

import functools
import random
import string
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.export.onnx import export_onnx

WORDS = (
    "the a of and to in is what where who how old city river capital bank water red blue green fast slow small "
    "large dog cat bird tree stone music song year king queen war peace food bread wine salt sea sky sun moon star"
).split()

VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
    *string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase), *string.digits, ".", "?",
    *(word for word in WORDS if len(word) > 1),
]  # fmt: skip


def tiny_tokenizer(*, max_tokens: int = 48, lowercase: bool = True) -> PairTokenizer:
    """WordPiece over ``VOCABULARY``, with BERT's normaliser and template."""
    tokenizer = Tokenizer(WordPiece({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PairTokenizer(tokenizer, max_tokens=max_tokens)


def tiny_config(model_type: str = "bert", *, layers: int = 2, hidden: int = 16, num_labels: int = 1) -> BertConfig:
    """A network small enough to train in a test, with weights large enough to tell inputs apart."""
    config = AutoConfig.for_model(
        model_type,
        vocab_size=len(VOCABULARY),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=0,
        num_labels=num_labels,
    )
    if model_type == "electra":
        config.embedding_size = hidden // 2
    return config


def tiny_model(
    model_type: str = "bert", *, layers: int = 2, hidden: int = 16, num_labels: int = 1, seed: int = 0
) -> PreTrainedModel:
    """A sequence classifier with random weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = tiny_config(model_type, layers=layers, hidden=hidden, num_labels=num_labels)
        return AutoModelForSequenceClassification.from_config(config).eval()


def tiny_pairs(count: int, *, seed: int = 0, lengths: Sequence[int] = (0, 1, 5, 12, 30)) -> list[tuple[str, str]]:
    """Queries and passages of many lengths, some of them empty and some too long for 48 tokens."""
    chosen = random.Random(seed)

    def text(length: int) -> str:
        return " ".join(chosen.choices(WORDS, k=length))

    return [(text(chosen.choice((1, 3, 7))), text(lengths[i % len(lengths)])) for i in range(count)]


def tiny_export(folder: Path) -> Path:
    """Put the export of ``tiny_model()`` into a folder; exporting takes seconds, so it is done once a process."""
    path = folder / "onnx" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(_tiny_graph())
    return path


@functools.cache
def _tiny_graph() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return export_onnx(tiny_model(), tiny_tokenizer(), folder).read_bytes()
