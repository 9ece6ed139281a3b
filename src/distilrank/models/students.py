"""New student networks: by shape, or by copying chosen layers of a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from distilrank.errors import ModelError, SettingsError, nearest
from distilrank.models.answers import encoder_layers
from distilrank.models.load import classic_config, name_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentShape:
    """Size of a transformer encoder.

    Attributes:
        layers: Number of transformer layers.
        hidden: Width of the hidden states.
        feed_forward: Inner width of the feed-forward blocks.
        heads: Attention heads per layer; divides ``hidden``.
    """

    layers: int
    hidden: int
    feed_forward: int
    heads: int

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        if min(self.layers, self.hidden, self.feed_forward, self.heads) < 1:
            raise SettingsError(f"the sizes of the student shape {self} must be positive")
        if self.hidden % self.heads:
            raise SettingsError(f"the student shape {self} cannot split {self.hidden} states among {self.heads} heads")

    def __str__(self) -> str:
        """Return ``layers/hidden/feed_forward/heads``."""
        return f"{self.layers}/{self.hidden}/{self.feed_forward}/{self.heads}"


STUDENT_SHAPES: dict[str, StudentShape] = {
    "4/312/1200/12": StudentShape(layers=4, hidden=312, feed_forward=1200, heads=12),
    "6/768/3072/12": StudentShape(layers=6, hidden=768, feed_forward=3072, heads=12),
    "3/384/1536/12": StudentShape(layers=3, hidden=384, feed_forward=1536, heads=12),
}
"""Shapes of the papers: TinyBERT-4 and TinyBERT-6 (Jiao et al. 2020, section 4.1; the latter also in Chen et al.
2021), and the 3-layer student of Simplified TinyBERT (Chen et al. 2021, section 3)."""

CopyRule = Literal["uniform", "first", "last"]


def parse_shape(text: str) -> StudentShape:
    """Read ``layers/hidden/feed_forward/heads``, such as ``3/384/1536/12``.

    Raises:
        SettingsError: Not four positive whole numbers, or heads that do not divide the hidden size.
    """
    parts = text.strip().split("/")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        raise SettingsError(
            f"{text!r} is no student shape; give layers/hidden/feed_forward/heads, such as 3/384/1536/12"
            + nearest(text, STUDENT_SHAPES)
        )
    layers, hidden, feed_forward, heads = map(int, parts)
    return StudentShape(layers=layers, hidden=hidden, feed_forward=feed_forward, heads=heads)


def layers_to_copy(teacher_layers: int, student_layers: int, rule: CopyRule) -> tuple[int, ...]:
    """Return the teacher layer (from 1) that each student layer starts from.

    Args:
        teacher_layers: N, the teacher's layers.
        student_layers: M, the student's; at most N.
        rule: "uniform" is g(m) = m * N / M (Jiao et al. 2020, section 4.1), rounded to the nearest layer
            where M does not divide N; "first" and "last" take M consecutive layers.
    """
    if not 1 <= student_layers <= teacher_layers:
        raise SettingsError(f"a student of {student_layers} layers cannot copy from a teacher of {teacher_layers}")
    counted = range(1, student_layers + 1)
    if rule == "uniform":
        # m * N / M rounded half up, in whole numbers.
        return tuple((2 * m * teacher_layers + student_layers) // (2 * student_layers) for m in counted)
    if rule == "first":
        return tuple(counted)
    if rule == "last":
        return tuple(teacher_layers - student_layers + m for m in counted)
    raise SettingsError(f"{rule!r} is no rule for copying layers" + nearest(str(rule), ("uniform", "first", "last")))


def student_from_shape(
    teacher_config: PretrainedConfig, shape: StudentShape, *, num_labels: int, seed: int
) -> PreTrainedModel:
    """Return a freshly initialised sequence classifier of a shape.

    Args:
        teacher_config: Gives the family, vocabulary, positions, dropout and, when ``num_labels`` agrees, the
            names of the labels.
        shape: The student's size.
        num_labels: Number of logits.
        seed: Initialises all weights.
    """
    config = classic_config(teacher_config)
    for name in ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads"):
        if not hasattr(config, name):
            raise ModelError(f"a {config.model_type!r} network cannot be built by shape; it has no {name}")
    config.num_hidden_layers = shape.layers
    config.hidden_size = shape.hidden
    config.intermediate_size = shape.feed_forward
    config.num_attention_heads = shape.heads
    return _initialised(config, num_labels=num_labels, seed=seed)


def student_from_layers(
    teacher: PreTrainedModel, layers: Sequence[int], *, num_labels: int, seed: int
) -> PreTrainedModel:
    """Return a sequence classifier that starts from chosen layers of a teacher.

    Embeddings, the layers and, where both have one of the same shape, pooler and head are copied; what is left is
    new. A teacher with another head than the family's own (``BertForCosineRanking``) gives a classic student too.

    Args:
        teacher: A network of the BERT family; it is only read.
        layers: The teacher layer, from 1, that each student layer starts from, in the student's order.
        num_labels: Number of logits.
        seed: Initialises what is new.
    """
    sources = encoder_layers(teacher)
    if not layers or not all(1 <= layer <= len(sources) for layer in layers):
        raise SettingsError(f"layers to copy must lie between 1 and {len(sources)}, not {list(layers)}")
    config = classic_config(teacher.config)
    config.num_hidden_layers = len(layers)
    student = _initialised(config, num_labels=num_labels, seed=seed)
    for source, target in zip(layers, encoder_layers(student), strict=True):
        _copy(sources[source - 1], target)
    # ELECTRA projects narrow embeddings; BERT has a pooler.
    for name in ("embeddings", "embeddings_project", "pooler"):
        source_part, target_part = (getattr(model.base_model, name, None) for model in (teacher, student))
        if isinstance(source_part, nn.Module) and isinstance(target_part, nn.Module):
            _copy(source_part, target_part)
    head = getattr(teacher, "classifier", None)
    if (
        isinstance(head, nn.Module)
        and teacher.config.num_labels == num_labels
        and type(head) is type(student.classifier)
    ):
        _copy(head, student.classifier)
    return student


def _initialised(config: PretrainedConfig, *, num_labels: int, seed: int) -> PreTrainedModel:
    """Return a fresh fp32 sequence classifier in evaluation mode."""
    name_labels(config, None, num_labels=num_labels)
    config.dtype = torch.float32
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    model.eval()
    return model


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Copy weights between two modules of one shape."""
    target.load_state_dict(source.state_dict())
