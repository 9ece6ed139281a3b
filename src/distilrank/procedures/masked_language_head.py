"""A masked-language head for a checkpoint that has none: BERT's prediction head, fitted on plain text.

The head is BERT's (Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 3.1 and its code): a dense layer,
GELU and a layer norm, then the word embeddings as the matrix of the output layer (tied, and left as they are) and a
bias per token. The bias starts as the logarithm of the token's share of the text, so that no step is spent on learning
what is frequent. The encoder's layers learn with the head: one that was trained to embed whole sentences knows next to
nothing of single words, so that a head alone has little to read (``learned_layers: 0`` fits only that).

1. of every text 15% of the tokens, at least one, are masked, drawn anew at each step;
2. the encoder reads the text, the head the masked places only;
3. minimised is the cross entropy of the true tokens, averaged over a text's masked tokens, then over texts.

A departure: every chosen token becomes [MASK] (BERT leaves 10% and replaces 10% at random, so that an encoder is of use
without the mask; this one is asked about [MASK] only). How good the head is, is said by the hit rate at 15: the share
of held-out words of one piece that are among the 15 most probable tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from distilrank.data.tokens import TEXTS_AT_ONCE, Encoded, PairTokenizer, token_batches
from distilrank.data.words import Words
from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.answers import Batch, encoder_layers, usual_batch_tokens, usual_padding
from distilrank.models.matching import require_positions
from distilrank.training.loop import TrainingResult, train
from distilrank.training.microbatch import MicroBatch
from distilrank.training.settings import TrainingSettings, require_sizes

HIT_RATE = "hit_rate@15"


@dataclass(frozen=True, kw_only=True)
class MaskedLanguageHeadSettings:
    """How to fit the head.

    Attributes:
        learned_layers: How many of the encoder's last layers learn too. None: all; 0: only the head is fitted.
        masked_share: Share of a text's tokens that are masked (15% in BERT, section 3.1).
        max_tokens: Longest text; short ones are enough for the words of sentences.
        batch_tokens: Most tokens run at once, padding included; changes no result. None: what suits the device.
        held_out: Texts that are kept for the hit rate.
        training: Ours: 1,000 steps of 32 texts at 1e-3, without dropout, since no text is seen twice.
    """

    learned_layers: int | None = None
    masked_share: float = 0.15
    max_tokens: int = 64
    batch_tokens: int | None = None
    held_out: int = 200
    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(
            max_steps=1000, batch_size=32, learning_rate=1e-3, dropout=0.0, evaluate_every=250
        )
    )

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=1.0)
        if self.learned_layers is not None and self.learned_layers < 0:
            raise SettingsError(f"learned_layers is {self.learned_layers} but must not be negative")
        if not 0 < self.masked_share < 1:
            raise SettingsError(f"masked_share is {self.masked_share} but must lie between 0 and 1")
        if self.held_out < 1:
            raise SettingsError(f"held_out is {self.held_out} but must be at least 1")


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """Texts with masked tokens.

    Attributes:
        batch: Token ids with masks in them, (batch, length).
        masked: (batch, length) bool, where.
        wanted: (masked,) int64, the ids that stood there, row by row.
    """

    batch: Batch
    masked: Tensor
    wanted: Tensor


def fit_masked_language_head(
    model: PreTrainedModel,
    tokenizer: PairTokenizer,
    texts: Sequence[str],
    *,
    held_out: Sequence[str],
    settings: MaskedLanguageHeadSettings,
    folder: Path,
    command: Mapping[str, object],
) -> TrainingResult:
    """Fit the head of a BERT in place, and the layers that learn with it; embeddings are left as they are.

    Args:
        model: A ``BertForMaskedLM``.
        tokenizer: Its tokeniser, with a mask token.
        texts: To learn from.
        held_out: To measure the hit rate on; the best one decides which weights are kept.
        settings: How.
        folder: The run folder, resumed when it holds a part of the same run.
        command: What identifies the run besides the settings: checkpoint, text and their hashes.

    Raises:
        ModelError: The network is not built as BERT, or its vocabulary has no mask.
        InputError: There is nothing to learn from or to measure on.
        SettingsError: The network has no positions for ``max_tokens``, or fewer layers than are to learn.
    """
    if model.config.model_type != "bert":
        raise ModelError(f"heads are fitted to BERT networks only, and this is {model.config.model_type!r}")
    require_positions(model, settings.max_tokens)
    limited = tokenizer.with_max_tokens(settings.max_tokens)
    words = Words(limited)
    model.base_model.requires_grad_(False)  # the output layer's matrix too, which is that of the embeddings
    for layer in _learned_layers(model, settings.learned_layers):
        layer.requires_grad_(True)
    with torch.no_grad():
        model.get_output_embeddings().bias.copy_(log_shares(limited, texts, size=model.config.vocab_size))
    measure = hit_rate_measure(model, limited, held_out, settings=settings)
    return train(
        model=model,
        examples=texts,
        split=lambda step: _split(step, limited, words, settings, model.device),
        loss_terms=lambda batch: loss_terms(model, batch),
        settings=settings.training,
        folder=folder,
        command=command,
        evaluate=lambda: {HIT_RATE: measure()},
        stage="masked-language-head",
    )


def _learned_layers(model: PreTrainedModel, count: int | None) -> list[nn.Module]:
    """Return the encoder's layers that learn, the last ``count``; None: all."""
    layers = list(encoder_layers(model))
    if count is not None and count > len(layers):
        raise SettingsError(f"learned_layers is {count}, but the encoder has {len(layers)}")
    return layers if count is None else layers[len(layers) - count :]


def log_shares(tokenizer: PairTokenizer, texts: Sequence[str], *, size: int) -> Tensor:
    """Return the logarithm of each token's share of the texts, (size,); each counts once more than it occurs."""
    counts = np.ones(size)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        for ids in tokenizer.pieces(texts[start : start + TEXTS_AT_ONCE]):
            np.add.at(counts, ids, 1)
    return torch.from_numpy(np.log(counts / counts.sum()))


def loss_terms(model: PreTrainedModel, batch: MaskedBatch) -> dict[str, Tensor]:
    """Compute the cross entropy of the masked tokens, averaged over those of a text, then over texts."""
    logits = _masked_logits(model, batch)
    each = cross_entropy(logits.float(), batch.wanted, reduction="none")  # (masked,)
    share = batch.masked.sum(dim=1, keepdim=True).expand_as(batch.masked)[batch.masked]
    return {"masked_tokens": (each / share).sum() / len(batch.batch)}


def _masked_logits(model: PreTrainedModel, batch: MaskedBatch) -> Tensor:
    """Return the head's answers at the masked places, (masked, vocabulary)."""
    read = batch.batch
    hidden = model.base_model(
        input_ids=read.input_ids, attention_mask=read.attention_mask, token_type_ids=read.token_type_ids
    ).last_hidden_state
    logits: Tensor = model.cls(hidden[batch.masked])  # type: ignore[operator]
    return logits


def _split(
    texts: Sequence[str],
    tokenizer: PairTokenizer,
    words: Words,
    settings: MaskedLanguageHeadSettings,
    device: torch.device,
) -> list[MicroBatch[MaskedBatch]]:
    encoded = [item for item in tokenizer.encode(texts) if len(item) > 2]
    places = [
        1 + torch.randperm(len(item) - 2)[: _count(len(item) - 2, settings.masked_share)].numpy() for item in encoded
    ]
    parts = []
    limit, multiple = settings.batch_tokens or usual_batch_tokens(device), usual_padding(device)
    for batch in token_batches(map(len, encoded), max_batch_tokens=limit, multiple=multiple):
        content = _masked([encoded[i] for i in batch], [places[i] for i in batch], tokenizer, words.mask_id, device)
        tokens = sum(len(encoded[i]) for i in batch)
        parts.append(MicroBatch(content=content, examples=len(batch), pairs=len(batch), tokens=tokens))
    return parts


def _count(tokens: int, share: float) -> int:
    return max(1, round(share * tokens))


def _masked(
    encoded: Sequence[Encoded],
    places: Sequence[NDArray[np.int64]],
    tokenizer: PairTokenizer,
    mask_id: int,
    device: torch.device,
) -> MaskedBatch:
    arrays = tokenizer.pad(encoded, multiple=usual_padding(device))
    masked = np.zeros(arrays.input_ids.shape, np.bool_)
    for row, chosen in enumerate(places):
        masked[row, chosen] = True
    wanted = torch.from_numpy(arrays.input_ids[masked]).to(device)
    arrays.input_ids[masked] = mask_id
    return MaskedBatch(Batch.from_arrays(arrays, device), torch.from_numpy(masked).to(device), wanted)


def hit_rate_measure(
    model: PreTrainedModel,
    tokenizer: PairTokenizer,
    texts: Sequence[str],
    *,
    settings: MaskedLanguageHeadSettings,
    k: int = 15,
) -> Callable[[], float]:
    """Return a function that measures, with the model as it is then, how often the word is among ``k`` tokens.

    Of each text's words of one piece the settings' share is masked, the same ones each time.

    Raises:
        InputError: No text has such a word.
    """
    words = Words(tokenizer)
    chosen: list[tuple[Encoded, NDArray[np.int64]]] = []
    for number, item in enumerate(tokenizer.encode(texts)):
        single = _single_pieces(item, words)
        random = np.random.default_rng([settings.training.seed, number])
        if len(single):
            count = _count(len(single), settings.masked_share)
            chosen.append((item, random.choice(single, size=count, replace=False)))
    if not chosen:
        raise InputError("no held-out text has a word that the vocabulary knows; give more text")
    batches = token_batches([len(item) for item, _ in chosen], max_batch_tokens=usual_batch_tokens("cpu"))

    @torch.no_grad()
    def measure() -> float:
        hits = count = 0
        for batch in batches:
            pairs = [chosen[i] for i in batch]
            encoded, places = [item for item, _ in pairs], [place for _, place in pairs]
            content = _masked(encoded, places, tokenizer, words.mask_id, model.device)
            best = _masked_logits(model, content).topk(k, dim=1).indices
            hits += int((best == content.wanted.unsqueeze(1)).sum())
            count += len(content.wanted)
        return hits / count

    return measure


def _single_pieces(item: Encoded, words: Words) -> NDArray[np.int64]:
    """Return where in an encoded text words of one piece stand."""
    ids = np.array(item.input_ids)
    begins = words.whole_words[ids]
    ends = np.append(begins[1:], True)
    ends[-2] = True  # the last word stands before the closing special token
    return np.flatnonzero(begins & ends)
