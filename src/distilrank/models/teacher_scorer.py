"""A cross-encoder that only scores, millions of pairs: the same logits as a ``TorchScorer``'s, sooner.

What it does differently:

- the last layer is computed for [CLS] alone where the head reads nothing else (``first_token``);
- bf16 is not autocast, which leaves what lies between matrix products in fp32: the weights themselves are bf16, all
  but the end of the last layer and the head;
- on a CPU, threads run batches side by side, each on one thread, instead of sharing every product. No thread waits
  for another, and a score does not depend on their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer, TokenArrays
from distilrank.models.answers import Batch, answer, usual_batch_tokens
from distilrank.models.first_token import compute_first_token_only, reads_first_token
from distilrank.models.load import stored_label_names
from distilrank.models.scorer import TorchScorer


class TeacherScorer(TorchScorer):
    """Scores with a torch network that will never be trained again.

    Args:
        model: A ranker with one logit; it is changed, and can only score afterwards.
        tokenizer: Its tokeniser.
        batch_tokens: Limit on the padded tokens of a batch; None takes what suits the device.
        precision: Of the network.
        device: Where it runs.
        threads: On a CPU, how many batches run side by side.

    Attributes:
        tokens: Tokens run so far, padding included.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PairTokenizer,
        *,
        batch_tokens: int | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
        device: torch.device | str = "cpu",
        threads: int = 1,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, precision=precision)
        model.eval()
        self._autocast = precision == "bf16" and not reads_first_token(model)
        if reads_first_token(model):
            compute_first_token_only(model, bf16=precision == "bf16")
        model.to(device)  # type: ignore[arg-type]
        self._threads = threads if torch.device(device).type == "cpu" else 1
        self.tokens = 0

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Return the raw logits of texts or pairs of texts, shape (texts, labels)."""
        logits = np.empty((len(texts), len(stored_label_names(self.model.config))), np.float32)
        batch_tokens = self.batch_tokens or usual_batch_tokens(self.model.device)
        batches = self.tokenizer.batches(texts, text_pairs, batch_tokens=batch_tokens)
        with _one_thread_each(self.model.device), ThreadPoolExecutor(self._threads) as pool:
            running: list[tuple[NDArray[np.intp], Future[NDArray[np.float32]]]] = []
            for indices, arrays in batches:
                self.tokens += arrays.input_ids.size
                running.append((indices, pool.submit(self._run, arrays)))
                if len(running) > self._threads:  # so that no more batches wait than can soon be run
                    _take(running, logits)
            while running:
                _take(running, logits)
        return logits

    def _run(self, arrays: TokenArrays) -> NDArray[np.float32]:
        device = self.model.device
        if device.type == "cpu":
            torch.set_num_threads(1)  # OpenMP keeps the number for each thread
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=self._autocast)
        with torch.inference_mode(), autocast:
            found: NDArray[np.float32] = (
                answer(self.model, Batch.from_arrays(arrays, device)).logits.float().cpu().numpy()
            )
        return found


def _take(running: list[tuple[NDArray[np.intp], Future[NDArray[np.float32]]]], logits: NDArray[np.float32]) -> None:
    indices, future = running.pop(0)
    logits[indices] = future.result()


@contextmanager
def _one_thread_each(device: torch.device) -> Iterator[None]:
    """Have products on a CPU run on one thread, and on as many as before afterwards."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        if device.type == "cpu":
            torch.set_num_threads(threads)
