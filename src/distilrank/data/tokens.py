"""Text to token ids and padded arrays, for training, torch and ONNX alike; needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distilrank.errors import InputError, ModelError, SettingsError


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one text or pair, truncated and not padded.

    ``token_type_ids`` is 0 for the first text with its special tokens and 1 for the second (BERT), or 0
    throughout where the family knows no segments (RoBERTa).
    """

    input_ids: list[int]
    token_type_ids: list[int]

    def __len__(self) -> int:
        """Number of tokens, special tokens included."""
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class TokenArrays:
    """A padded batch: three int64 arrays of shape (batch, length); the mask is 1 on tokens, 0 on padding."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]


class PairTokenizer:
    """A ``tokenizers`` tokeniser with the one truncation rule of this project and padding to numpy arrays.

    Pairs become ``[CLS] a [SEP] b [SEP]`` (or whatever the tokeniser's own template says); what is longer
    than ``max_tokens`` loses tokens from the end of the longer text first, as transformers' ``longest_first``.
    ``for_texts_apart`` returns one that encodes and truncates the two texts of a pair each by itself.

    Args:
        tokenizer: It is copied; truncation and padding stored in it are ignored.
        max_tokens: Limit on tokens per encoded text or pair, special tokens included.
        pad_id: Id that fills padded positions.
        config: Content of a ``tokenizer_config.json`` to be kept when saving; None derives one.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        pad_id: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        # A pair costs three special tokens, and tokenizers panics below that.
        if max_tokens < 8:
            raise SettingsError(f"max_tokens is {max_tokens}, give at least 8")
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens, strategy="longest_first")
        self.max_tokens = max_tokens
        self.pad_id = pad_id
        self.config: dict[str, Any] = dict(config) if config is not None else {}

    @classmethod
    def from_folder(cls, folder: str | Path, max_tokens: int | None = None) -> PairTokenizer:
        """Read ``tokenizer.json`` and ``tokenizer_config.json`` of a model folder.

        Args:
            folder: A Hugging Face model folder.
            max_tokens: Limit on tokens; None takes the folder's ``model_max_length`` (512 when that is missing
                or the "no limit" of 1e30 that transformers writes).

        Raises:
            ModelError: The folder holds no readable ``tokenizer.json``.
        """
        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"{folder} holds no tokenizer.json; save the model's fast tokenizer there")
        try:
            tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelError(f"{path} cannot be read as a tokenizer ({error}); save it again") from error
        config = _read_config(Path(folder) / "tokenizer_config.json")
        if max_tokens is None:
            stored = config.get("model_max_length")
            max_tokens = int(stored) if isinstance(stored, int | float) and stored < 1_000_000 else 512
        return cls(tokenizer, max_tokens=max_tokens, pad_id=_pad_id(tokenizer, config), config=config)

    @property
    def backend(self) -> Tokenizer:
        """A copy of the ``tokenizers`` tokeniser, without truncation and padding."""
        bare = Tokenizer.from_str(self._tokenizer.to_str())
        bare.no_truncation()
        return bare

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, added tokens included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def identity(self) -> str:
        """What tells one tokeniser from another, whatever their limits: a hash of all it does to a text."""
        return hashlib.sha256(self._bare.to_str().encode()).hexdigest()

    @cached_property
    def _bare(self) -> Tokenizer:
        """``backend``, made once."""
        return self.backend

    def with_max_tokens(self, max_tokens: int) -> PairTokenizer:
        """Return the same tokeniser with another limit on tokens."""
        return PairTokenizer(self._tokenizer, max_tokens=max_tokens, pad_id=self.pad_id, config=self.config)

    def for_texts_apart(self) -> PairTokenizer:
        """Return the same vocabulary for networks that read texts apart, such as a BiLSTM; kept when it is saved.

        No special tokens are added, a pair is the first text's tokens with type 0 and the second's with type 1, and
        ``max_tokens`` limits each text by itself, so that a text's tokens do not depend on the other text.
        """
        described = json.loads(self._tokenizer.to_str())
        described["post_processor"] = None
        bare = Tokenizer.from_str(json.dumps(described))
        config = {**self.config, TEXTS_APART: True}
        return PairTokenizer(bare, max_tokens=self.max_tokens, pad_id=self.pad_id, config=config)

    def encode(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[Encoded]:
        """Encode texts, or pairs of texts, truncated to ``max_tokens`` and not padded.

        Args:
            texts: First texts (queries).
            text_pairs: Second texts (passages), as many as ``texts``; None encodes single texts.
        """
        if text_pairs is None:
            batch: list[Any] = list(texts)
        else:
            if len(texts) != len(text_pairs):
                raise ValueError(f"{len(texts)} texts but {len(text_pairs)} second texts")
            batch = list(zip(texts, text_pairs, strict=True))
        if text_pairs is not None and self.config.get(TEXTS_APART):
            both = zip(self.encode(texts), self.encode(text_pairs), strict=True)
            return [Encoded(a.input_ids + b.input_ids, [0] * len(a) + [1] * len(b)) for a, b in both]
        encodings = self._tokenizer.encode_batch_fast(batch)
        return [Encoded(encoding.ids, encoding.type_ids) for encoding in encodings]

    def windows(self, texts: Sequence[str], text_pairs: Sequence[str], *, stride: int) -> list[list[Encoded]]:
        """Encode pairs whose second text may be too long, cut into overlapping windows of ``max_tokens`` each.

        Every window holds the first text whole. A pair whose first text leaves less than a quarter of the window, or
        less than two strides, is truncated like any other, into one window.

        Args:
            texts: First texts (queries).
            text_pairs: Second texts (passages).
            stride: Tokens that a window shares with the one before it.

        Returns:
            Per pair at least one window, in the order of the text.

        Raises:
            ModelError: The tokeniser reads texts apart.
        """
        if self.config.get(TEXTS_APART):
            raise ModelError("a network that reads texts apart reads a passage once and whole; it takes no windows")
        cut = [[encoded] for encoded in self.encode(texts, text_pairs)]
        long = [place for place, (encoded,) in enumerate(cut) if len(encoded) == self.max_tokens]
        whole = self._bare.encode_batch_fast([(texts[place], text_pairs[place]) for place in long])
        for place, encoding in zip(long, whole, strict=True):
            ids, types = encoding.ids, encoding.type_ids
            second = [number for number, text in enumerate(encoding.sequence_ids) if text == 1]
            if not second:
                continue
            # What stands around the second text, its first text and special tokens, stands around every window.
            start, end = second[0], second[-1] + 1
            room = self.max_tokens - (len(ids) - (end - start))
            if room <= max(self.max_tokens // 4, 2 * stride):
                continue
            # Not by the tokeniser's own overflow, whose later windows lose their token types (tokenizers 0.23).
            cut[place] = [
                Encoded(
                    ids[:start] + ids[first : min(first + room, end)] + ids[end:],
                    types[:start] + types[first : min(first + room, end)] + types[end:],
                )
                for first in range(start, max(end - stride, start + 1), room - stride)
            ]
        return cut

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts, whole and without special tokens."""
        return [encoding.ids for encoding in self._bare.encode_batch_fast(list(texts), add_special_tokens=False)]

    def pad(self, encoded: Sequence[Encoded], *, length: int | None = None, multiple: int = 1) -> TokenArrays:
        """Pad on the right into arrays of shape (batch, length).

        Args:
            encoded: At least one encoded text.
            length: Padded length; None takes the longest of the batch. Shorter than that is refused.
            multiple: Where no length is given, the next multiple of this, but not beyond ``max_tokens``.
        """
        if not encoded:
            raise ValueError("an empty batch cannot be padded")
        longest = max(len(item) for item in encoded)
        if length is None:
            length = max(longest, min(-(-longest // multiple) * multiple, self.max_tokens))
        if length < longest:
            raise ValueError(f"cannot pad to {length} tokens: the longest text has {longest}")
        shape = (len(encoded), length)
        arrays = TokenArrays(
            np.full(shape, self.pad_id, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        )
        for row, item in enumerate(encoded):
            arrays.input_ids[row, : len(item)] = item.input_ids
            arrays.attention_mask[row, : len(item)] = 1
            arrays.token_type_ids[row, : len(item)] = item.token_type_ids
        return arrays

    def batches(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None, *, batch_tokens: int
    ) -> Iterator[tuple[NDArray[np.intp], TokenArrays]]:
        """Encode, sort by length and pad: the batches in which any number of texts are scored.

        Args:
            texts: First texts (queries).
            text_pairs: Second texts (passages); None for single texts.
            batch_tokens: Limit on the padded tokens of a batch.

        Yields:
            Positions in ``texts`` and the batch of those texts; every position once.
        """
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            chosen = slice(start, start + TEXTS_AT_ONCE)
            encoded = self.encode(texts[chosen], None if text_pairs is None else text_pairs[chosen])
            for indices in token_batches(map(len, encoded), max_batch_tokens=batch_tokens):
                yield np.array(indices) + start, self.pad([encoded[index] for index in indices])

    def save(self, folder: str | Path) -> None:
        """Write the tokeniser files that Hugging Face, FlashRank, fastembed and TEI look for.

        ``tokenizer.json``, ``tokenizer_config.json`` with a real ``model_max_length``, and the two that
        transformers 5 no longer writes but light runtimes still need: ``special_tokens_map.json`` and, for
        WordPiece, ``vocab.txt``.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        described = json.loads(self._bare.to_str())
        config = self._full_config(described)
        special = {name: config[name] for name in SPECIAL_TOKENS if name in config}
        _write(folder / "tokenizer.json", self._bare.to_str(pretty=False))
        _write(folder / "tokenizer_config.json", json.dumps(config, ensure_ascii=False, indent=1))
        _write(folder / "special_tokens_map.json", json.dumps(special, ensure_ascii=False, indent=1))
        if described["model"]["type"] == "WordPiece":
            vocabulary = sorted(described["model"]["vocab"].items(), key=lambda item: item[1])
            _write(folder / "vocab.txt", "".join(f"{token}\n" for token, _ in vocabulary))

    def _full_config(self, described: Mapping[str, Any]) -> dict[str, Any]:
        """Return the ``tokenizer_config.json``: the one read, completed, or one derived from the tokeniser."""
        config = {**self.config, "model_max_length": self.max_tokens}
        if described["model"]["type"] == "WordPiece":
            normalizer = described.get("normalizer") or {}
            config.setdefault("tokenizer_class", "BertTokenizer")
            # transformers 5 rebuilds a BertTokenizer from these instead of reading the normaliser.
            if normalizer.get("type") == "BertNormalizer":
                config["do_lower_case"] = normalizer["lowercase"]
                config["strip_accents"] = normalizer["strip_accents"]
                config["tokenize_chinese_chars"] = normalizer["handle_chinese_chars"]
            vocabulary = described["model"]["vocab"]
            for name, token in SPECIAL_TOKENS.items():
                if token in vocabulary:
                    config.setdefault(name, token)
        config.setdefault("tokenizer_class", "PreTrainedTokenizerFast")
        # Where the tokeniser once came from: a path of another machine, or a name that is no longer true.
        for stale in ("name_or_path", "special_tokens_map_file", "tokenizer_file"):
            config.pop(stale, None)
        return {name: _content(value) if name in SPECIAL_TOKENS else value for name, value in config.items()}


TEXTS_AT_ONCE = 4096
"""Bounds the memory of token ids, which Python keeps at some 30 bytes each, whatever a caller hands over."""

TEXTS_APART = "distilrank_texts_apart"
"""In ``tokenizer_config.json``: the texts of a pair are encoded each by itself."""

SPECIAL_TOKENS = {
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "bos_token": "<s>",
    "eos_token": "</s>",
}
"""Names in ``tokenizer_config.json`` -> the token BERT (RoBERTa for the last two) uses."""


def token_batches(
    lengths: Iterable[int], *, max_batch_tokens: int, max_batch: int | None = None, multiple: int = 1
) -> list[list[int]]:
    """Group items of similar length so that little padding is computed.

    Args:
        lengths: Tokens of each item.
        max_batch_tokens: Limit on the padded size of a batch, longest length x items; an item longer than
            this stands alone.
        max_batch: Limit on items in a batch; None sets none.
        multiple: Lengths will be padded to multiples of this.

    Returns:
        Batches of indices into ``lengths``, longest first (so that memory runs out at once or never); items
        of equal length keep their order.
    """
    lengths = list(lengths)
    if max_batch_tokens < 1 or (max_batch is not None and max_batch < 1):
        raise ValueError(f"limits must be positive, not {max_batch_tokens} tokens and {max_batch} items")
    batches: list[list[int]] = []
    capacity = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if capacity == 0:
            batches.append([])
            padded = -(-max(1, lengths[index]) // multiple) * multiple
            capacity = max(1, max_batch_tokens // padded)
            capacity = capacity if max_batch is None else min(capacity, max_batch)
        batches[-1].append(index)
        capacity -= 1
    return batches


def _read_config(path: Path) -> dict[str, Any]:
    """Read a JSON object, or return an empty one when there is no such file."""
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error}); save the tokenizer again", path=path) from error
    if not isinstance(config, dict):
        raise InputError("should hold a JSON object; save the tokenizer again", path=path)
    return config


def _content(token: Any) -> Any:
    """Return the text of a special token, which some versions write as an object."""
    return token.get("content") if isinstance(token, dict) else token


def _pad_id(tokenizer: Tokenizer, config: Mapping[str, Any]) -> int:
    """Return the id of the padding token: the one configured, BERT's, RoBERTa's, or 0."""
    for token in (_content(config.get("pad_token")), "[PAD]", "<pad>"):
        if isinstance(token, str) and (found := tokenizer.token_to_id(token)) is not None:
            return int(found)
    return 0


def _write(path: Path, text: str) -> None:
    """Write UTF-8 with newline characters only; atomicity is the caller's (a whole folder is renamed)."""
    path.write_text(text, encoding="utf-8", newline="\n")
