"""What may stand in the place of a word: a masked-language model's most probable words, many sentences at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from distilrank.data.tokens import Encoded, PairTokenizer, token_batches
from distilrank.data.words import Words
from distilrank.models.answers import Batch, usual_batch_tokens
from distilrank.models.masked_language import masked_logits

_TOO_CLOSE = 5e-4
"""Two logits nearer than this may change places with the batch they are computed in."""
_MOST_KEPT = 50_000
"""Answers that are remembered."""


@dataclass(frozen=True, slots=True)
class Blank:
    """A word of a sentence that is to be filled in.

    Attributes:
        words: The sentence.
        place: The masked word.
    """

    words: tuple[str, ...]
    place: int


class MaskedLanguageCandidates:
    """A masked-language model's candidates for single words.

    What a blank gets depends on the blank alone, not on those that it is filled in with: candidates are put in the
    order of their ids, and where the last one taken and the first one left out are too close to call in a batch,
    the blank is run again by itself.

    Args:
        model: With a masked-language head, in evaluation mode.
        tokenizer: Its tokeniser; ``max_tokens`` limits what the model reads of a sentence.
        k: Most probable tokens that are considered.
        whole_words: "first": the ``k`` most probable whole words. "last": the ``k`` most probable tokens, of which
            those that are whole words are kept, so that there may be fewer than ``k``.
        original_beside: Whether the model reads the whole sentence after the masked one, as its second segment.
        batch_tokens: Most tokens run at once, padding included. None: what suits the device.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PairTokenizer,
        *,
        k: int,
        whole_words: Literal["first", "last"],
        original_beside: bool,
        batch_tokens: int | None = None,
    ) -> None:
        self.words = Words(tokenizer)
        self._model = model
        self._tokenizer = tokenizer
        self._k = k
        self._first = whole_words == "first"
        self._beside = original_beside
        self._batch_tokens = batch_tokens or usual_batch_tokens(model.device)
        self._known: dict[Blank, tuple[str, ...]] = {}

    def fill(self, blanks: Sequence[Blank]) -> list[tuple[str, ...]]:
        """Return the candidates of each blank, the word that stands there included if it is probable enough."""
        if len(self._known) + len(blanks) > _MOST_KEPT:
            self._known.clear()
        new = [blank for blank in dict.fromkeys(blanks) if blank not in self._known]
        if new:
            self._known.update(zip(new, self._ask(new), strict=True))
        return [self._known[blank] for blank in blanks]

    def _ask(self, blanks: Sequence[Blank]) -> list[tuple[str, ...]]:
        encoded = [
            self.words.encode_masked(blank.words, blank.place, second=blank.words if self._beside else None)
            for blank in blanks
        ]
        answers: dict[int, tuple[str, ...]] = {}
        alone: list[int] = []
        lengths = [len(item) for item, _ in encoded]
        for batch in token_batches(lengths, max_batch_tokens=self._batch_tokens):
            ids, margins = self._most_probable([encoded[i] for i in batch])
            for place, row, margin in zip(batch, ids, margins, strict=True):
                answers[place] = self._as_words(row)
                if margin < _TOO_CLOSE and len(batch) > 1:
                    alone.append(place)
        for place in alone:
            answers[place] = self._as_words(self._most_probable([encoded[place]])[0][0])
        return [answers[place] for place in range(len(blanks))]

    @torch.no_grad()
    def _most_probable(self, encoded: Sequence[tuple[Encoded, int]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the ids of the ``k`` highest logits, (batch, k), and by how much the last one is ahead, (batch,)."""
        device = self._model.device
        batch = Batch.from_arrays(self._tokenizer.pad([item for item, _ in encoded]), device)
        places = torch.tensor([place for _, place in encoded], device=device)
        logits = masked_logits(self._model, batch, places).float()
        if self._first:
            words = torch.from_numpy(self.words.whole_words).to(device)
            logits[:, : len(words)].masked_fill_(~words, -torch.inf)
            logits[:, len(words) :] = -torch.inf
        k = min(self._k, logits.shape[1] - 1)
        best = logits.topk(k + 1, dim=1)
        margins = best.values[:, k - 1] - best.values[:, k]
        return best.indices[:, :k].cpu().numpy(), margins.cpu().numpy()

    def _as_words(self, ids: NDArray[np.int64]) -> tuple[str, ...]:
        whole = self.words.whole_words
        return tuple(self.words.word(int(i)) for i in np.sort(ids) if i < len(whole) and whole[i])
