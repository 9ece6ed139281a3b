"""What a network answers to a batch: logits, and on request hidden states and attention scores.

Attention scores are taken before the softmax, as TinyBERT (Jiao et al. 2020, equation 7 and the note below
it) and Simplified TinyBERT (Chen et al. 2021) compare them. transformers returns probabilities, and only from
its slow eager path; so the scores are computed here from the outputs of the query and key projections of the
layers asked for, while the forward pass stays on fused attention.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distilrank.data.tokens import TokenArrays
from distilrank.errors import ModelError


@dataclass(frozen=True, slots=True)
class Batch:
    """A padded batch on a device: three int64 tensors of shape (batch, length)."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor

    @classmethod
    def from_arrays(cls, arrays: TokenArrays, device: torch.device | str = "cpu") -> Batch:
        """Move numpy arrays to a device."""
        return cls(
            torch.from_numpy(arrays.input_ids).to(device),
            torch.from_numpy(arrays.attention_mask).to(device),
            torch.from_numpy(arrays.token_type_ids).to(device),
        )

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""
        return Batch(self.input_ids.to(device), self.attention_mask.to(device), self.token_type_ids.to(device))

    def __len__(self) -> int:
        """Number of texts or pairs."""
        return int(self.input_ids.shape[0])


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network answered.

    Attributes:
        logits: Shape (batch, labels).
        hidden_states: Embedding output first, then one per layer, each (batch, length, hidden); empty when
            not asked for. Cells of padding hold values without meaning.
        attention_scores: One (batch, heads, length, length) per layer asked for, in the order asked:
            query . key / sqrt(head size), before the mask and the softmax.
        relation_states: Queries, keys and values of one layer, all heads side by side, each (batch, length, hidden);
            empty when not asked for.
    """

    logits: Tensor
    hidden_states: tuple[Tensor, ...] = ()
    attention_scores: tuple[Tensor, ...] = ()
    relation_states: tuple[Tensor, ...] = ()


def answer(
    model: PreTrainedModel,
    batch: Batch,
    *,
    hidden_states: bool = False,
    attention_layers: Sequence[int] = (),
    relation_layer: int | None = None,
) -> Answers:
    """Run a sequence classifier or ranker; gradients flow through everything returned.

    Args:
        model: A network of the BERT family (attention scores: BERT, RoBERTa, ELECTRA and their like).
        batch: On the model's device.
        hidden_states: Whether to keep the hidden states.
        attention_layers: Layers, from 1 as in the papers, whose attention scores are wanted.
        relation_layer: The layer, from 1, whose queries, keys and values are wanted. None: of no layer.

    Raises:
        ModelError: A layer is asked for that the network has not.
    """
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if takes_token_types(model):
        inputs["token_type_ids"] = batch.token_type_ids
    attentions = [self_attention(model, layer) for layer in attention_layers]
    related = [] if relation_layer is None else [self_attention(model, relation_layer)]
    with ExitStack() as stack:
        captured = [stack.enter_context(_captured_projections(module)) for module in attentions]
        states = [stack.enter_context(_captured_projections(module, names=QUERY_KEY_VALUE)) for module in related]
        output = model(**inputs, output_hidden_states=hidden_states, return_dict=True)
    scores = tuple(
        _scores(module, kept["query"], kept["key"]) for module, kept in zip(attentions, captured, strict=True)
    )
    return Answers(
        output.logits,
        tuple(output.hidden_states) if hidden_states else (),
        scores,
        tuple(kept[name] for kept in states for name in QUERY_KEY_VALUE),
    )


_CPU = torch.device("cpu")


def usual_device() -> torch.device:
    """Return where a network that is only read runs best: the graphics processor of this process when there is one.

    Of several processes on a machine, each has one of its own, numbered as torchrun and accelerate do.
    """
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else _CPU


def usual_batch_tokens(device: torch.device | str) -> int:
    """Return how many tokens run best at once: 2048 on a CPU, where more gain nothing, else 32768."""
    return 2048 if torch.device(device).type == "cpu" else 32768


def usual_padding(device: torch.device | str) -> int:
    """Return the number of which the padded lengths of a training's batches are multiples.

    On a CPU the kernels of every new shape are compiled and kept, at about 10 MB a shape, and a training meets hundreds
    of shapes (docs/decisions/0008). Multiples of 8 suit a GPU.
    """
    return 16 if torch.device(device).type == "cpu" else 8


def takes_token_types(model: PreTrainedModel) -> bool:
    """Tell whether the network reads ``token_type_ids`` (DistilBERT and ModernBERT do not)."""
    return "token_type_ids" in inspect.signature(model.forward).parameters


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """Return the transformer layers of a network of the BERT family.

    Raises:
        ModelError: The network keeps its layers in another way.
    """
    encoder: Any = getattr(model.base_model, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(
            f"{type(model).__name__} does not keep its layers as BERT does; "
            "layers can be read from and copied between networks like BERT, RoBERTa and ELECTRA only"
        )
    return layers


def self_attention(model: PreTrainedModel, layer: int) -> nn.Module:
    """Return the self-attention module of a layer, counted from 1.

    Raises:
        ModelError: There is no such layer, or its attention is not built as BERT's.
    """
    layers = encoder_layers(model)
    if not 1 <= layer <= len(layers):
        raise ModelError(f"layer {layer} was asked for, but {type(model).__name__} has layers 1 to {len(layers)}")
    module = getattr(getattr(layers[layer - 1], "attention", None), "self", None)
    if not isinstance(module, nn.Module) or not {*QUERY_KEY_VALUE, "num_attention_heads"} <= set(dir(module)):
        raise ModelError(f"{type(model).__name__} does not build its attention as BERT does; its scores cannot be read")
    return module


QUERY_KEY_VALUE = ("query", "key", "value")
"""What BERT calls the three projections of its attention."""


@contextmanager
def _captured_projections(
    attention: nn.Module, *, names: Sequence[str] = ("query", "key")
) -> Iterator[dict[str, Tensor]]:
    """Keep what the named projections put out during one forward pass, each (batch, length, hidden)."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            kept[name] = output

        return hook

    handles = [attention.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _scores(attention: nn.Module, query: Tensor, key: Tensor) -> Tensor:
    """Return the scaled dot products of queries and keys, split into heads."""
    heads = cast("int", attention.num_attention_heads)
    batch, length, width = query.shape
    head_size = width // heads
    query = query.view(batch, length, heads, head_size).transpose(1, 2)  # (batch, heads, length, head size)
    key = key.view(batch, length, heads, head_size).transpose(1, 2)
    scale: float = head_size**-0.5
    return torch.matmul(query, key.transpose(2, 3)) * scale  # (batch, heads, length, length)
