"""The BiLSTM of Tang et al. (2019, arXiv 1903.12136): one layer over word embeddings, for texts and for pairs of texts.

Single texts (figure 1): word embeddings -> BiLSTM -> both final hidden states side by side -> linear, ReLU -> dropout
-> linear. Pairs (figure 2): one BiLSTM reads both texts apart, h1 and h2 are joined to [h1, h2, h1 * h2, |h1 - h2|],
and the same head follows. A text's vector does not depend on the other text, so that a ranker's passages can be
encoded ahead of any query.

It reads what every network here reads, so that training, scoring and saving know nothing of it: a pair is one row of
token ids, whose ``token_type_ids`` tell the two texts (``PairTokenizer.for_texts_apart``). Padding is never read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError, SettingsError


class BiLstmConfig(PretrainedConfig):
    """Sizes of a ``BiLstmForSequenceClassification``.

    Args:
        vocab_size: Words, with [PAD] and the other special ones.
        embedding_size: Of one channel.
        channels: 2 for a static and a tuned copy of the embeddings side by side (Kim 2014), 1 for tuned ones alone.
        hidden_size: Of one direction of the LSTM.
        fully_connected_size: Of the layer between LSTM and logits.
        dropout: Before the last layer.
        siamese: Whether it reads pairs.
        options: Of every configuration, such as ``id2label``.
    """

    model_type = "distilrank_bilstm"

    def __init__(
        self,
        vocab_size: int = 3,
        embedding_size: int = 300,
        channels: int = 2,
        hidden_size: int = 150,
        fully_connected_size: int = 200,
        dropout: float = 0.1,
        siamese: bool = False,
        **options: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.channels = channels
        self.hidden_size = hidden_size
        self.fully_connected_size = fully_connected_size
        self.dropout = dropout
        self.siamese = siamese
        super().__init__(**{"pad_token_id": 0, **options})


class WordEmbeddings(nn.Module):
    """The channels of word embeddings side by side; the static one is never trained."""

    def __init__(self, config: BiLstmConfig) -> None:
        super().__init__()
        size = (config.vocab_size, config.embedding_size)
        self.tuned = nn.Embedding(*size, padding_idx=config.pad_token_id)
        self.static = nn.Embedding(*size, padding_idx=config.pad_token_id) if config.channels == 2 else None
        if self.static is not None:
            self.static.weight.requires_grad_(False)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return (batch, length, channels * embedding size)."""
        tuned: Tensor = self.tuned(input_ids)
        if self.static is None:
            return tuned
        # Detached as well: loading makes parameters that want a gradient.
        return torch.cat([self.static(input_ids).detach(), tuned], dim=-1)


class BiLstmForSequenceClassification(PreTrainedModel):
    """A single-layer BiLSTM with a head of one hidden layer; see the module."""

    config_class = BiLstmConfig

    def __init__(self, config: BiLstmConfig) -> None:
        super().__init__(config)
        self.embeddings = WordEmbeddings(config)
        self.lstm = nn.LSTM(
            config.channels * config.embedding_size, config.hidden_size, batch_first=True, bidirectional=True
        )
        features = (8 if config.siamese else 2) * config.hidden_size
        self.fully_connected = nn.Linear(features, config.fully_connected_size)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.fully_connected_size, int(config.num_labels or 0))
        self.post_init()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw new weights as torch does, not with BERT's standard deviation of 0.02."""
        if isinstance(module, nn.LSTM | nn.Linear):
            module.reset_parameters()
        else:
            super()._init_weights(module)  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings that are trained."""
        return self.embeddings.tuned

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **options: Any,
    ) -> SequenceClassifierOutput:
        """Return logits of shape (batch, labels).

        Args:
            input_ids: (batch, length); of a pair the first text's words, then the second's.
            attention_mask: 1 on words, 0 on padding, which stands at the end.
            token_type_ids: 1 on the words of second texts, else 0.
            options: Of other networks; none is known here.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if not self.config.siamese:
            return SequenceClassifierOutput(logits=self.head(self.encode(input_ids, mask.sum(dim=1))))
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        first, second = (mask * (1 - types)).sum(dim=1), (mask * types).sum(dim=1)  # words of each, (batch,)
        parts = (torch.zeros_like(first), first), (first, second)
        vectors = [self.encode(self._part(input_ids, start, count), count) for start, count in parts]
        return SequenceClassifierOutput(logits=self.compare(*vectors))

    def encode(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Return one vector per text: the final hidden states of both directions, (batch, 2 * hidden).

        Args:
            input_ids: (batch, length).
            lengths: (batch,), words of each text; a text without any reads as one [PAD].
        """
        if input_ids.shape[1] == 0:  # not one word in the whole batch
            input_ids = functional.pad(input_ids, (0, 1), value=int(self.config.pad_token_id or 0))
        last = lengths.clamp(min=1) - 1  # (batch,)
        states = self.embeddings(input_ids[:, : int(last.max()) + 1])  # (batch, length, channels * embedding size)
        places = (last[:, None] - torch.arange(states.shape[1], device=states.device)).clamp(min=0)
        backwards = states.gather(1, places[:, :, None].expand_as(states))  # the last word first, padding at the end
        return torch.cat([self._final(states, last, ""), self._final(backwards, last, "_reverse")], dim=-1)

    def _final(self, states: Tensor, last: Tensor, direction: Literal["", "_reverse"]) -> Tensor:
        """Return the hidden state of one direction after each text's last word, (batch, hidden).

        Each direction runs over padded texts that start at their first word for it, so that padding comes after all
        that is read. Packed sequences give the same, but on a CPU the time of their backward pass grows with the square
        of the length.
        """
        names = (f"{kind}_l0{direction}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        weights = [getattr(self.lstm, name) for name in names]
        zero = states.new_zeros(1, states.shape[0], self.lstm.hidden_size)
        hidden, _, _ = torch.lstm(states, (zero, zero), weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.shape[2]))[:, 0]

    def _part(self, input_ids: Tensor, start: Tensor, count: Tensor) -> Tensor:
        """Return ``count`` ids of each row from ``start`` on, (batch, length), with padding after them."""
        if input_ids.shape[1] == 0:
            return input_ids
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        chosen = input_ids.gather(1, (start[:, None] + places).clamp(max=input_ids.shape[1] - 1))
        return chosen.masked_fill(places >= count[:, None], self.config.pad_token_id)

    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the logits of pairs from their texts' vectors, each (batch, 2 * hidden)."""
        return self.head(torch.cat([first, second, first * second, (first - second).abs()], dim=-1))

    def head(self, features: Tensor) -> Tensor:
        """Return logits, (batch, labels)."""
        logits: Tensor = self.output(self.dropout(self.fully_connected(features).relu()))
        return logits


AutoConfig.register(BiLstmConfig.model_type, BiLstmConfig)
AutoModelForSequenceClassification.register(BiLstmConfig, BiLstmForSequenceClassification)


def new_bilstm(
    vectors: NDArray[np.float32],
    *,
    num_labels: int,
    siamese: bool,
    channels: int = 2,
    hidden: int = 150,
    fully_connected: int = 200,
    dropout: float = 0.1,
    pad_id: int = 0,
    seed: int = 0,
) -> BiLstmForSequenceClassification:
    """Return a BiLSTM with new weights over given word embeddings, in evaluation mode.

    Args:
        vectors: (words, embedding size), the embeddings of all channels; the row of padding becomes zeros.
        num_labels: Number of logits.
        siamese: Whether it reads pairs.
        channels: See ``BiLstmConfig``.
        hidden: Of one direction of the LSTM.
        fully_connected: Width of the layer between LSTM and logits.
        dropout: Before the last layer.
        pad_id: Of padding.
        seed: Of the new weights.

    Raises:
        SettingsError: A size is out of range.
    """
    sizes = {"hidden": hidden, "fully_connected": fully_connected, "labels": num_labels}
    for name, size in sizes.items():
        if size < 1:
            raise SettingsError(f"{name} is {size} but must be at least 1")
    if channels not in (1, 2):
        raise SettingsError(f"channels is {channels} but must be 1 (tuned) or 2 (static and tuned)")
    config = BiLstmConfig(
        vocab_size=vectors.shape[0],
        embedding_size=vectors.shape[1],
        channels=channels,
        hidden_size=hidden,
        fully_connected_size=fully_connected,
        dropout=dropout,
        siamese=siamese,
        num_labels=num_labels,
        pad_token_id=pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BiLstmForSequenceClassification(config)
    rows = torch.from_numpy(np.array(vectors, dtype=np.float32))
    rows[pad_id] = 0.0
    with torch.no_grad():
        for table in (model.embeddings.tuned, model.embeddings.static):
            if table is not None:
                table.weight.copy_(rows)
    model.train(False)
    return model


def load_bilstm(folder: str | Path) -> tuple[BiLstmForSequenceClassification, PairTokenizer]:
    """Load a saved BiLSTM, in evaluation mode, and its tokeniser.

    Raises:
        ModelError: The folder holds no BiLSTM.
    """
    from distilrank.models.load import load_model  # which imports this module to know its layout

    model, tokenizer = load_model(Path(folder), offline=True)
    if not isinstance(model, BiLstmForSequenceClassification):
        raise ModelError(f"{folder} holds a {type(model).__name__}, not a BiLSTM")
    return model, tokenizer
