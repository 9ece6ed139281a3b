"""The shapes that a search tries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PretrainedConfig

from distilrank.errors import SettingsError
from distilrank.models.students import StudentShape, layers_to_copy, parse_shape
from distilrank.workflows.student import StudentSettings

MOST_DEPTHS = 5
"""Numbers of layers that are tried where no shape is named."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A student before it is trained.

    Attributes:
        name: ``layers/hidden`` of layers copied from the teacher; ``layers/hidden/feed-forward/heads`` of new weights.
        student: The same for whoever builds it.
    """

    name: str
    student: StudentSettings

    @property
    def arguments(self) -> tuple[str, str]:
        """The option of ``distil`` that makes it."""
        if self.student.shape is None:
            return "--layers", str(self.student.layers)
        return "--shape", self.student.shape

    @property
    def folder(self) -> str:
        """Its name as a folder's."""
        return self.name.replace("/", "-")


def shapes_of(texts: Sequence[str], teacher: PretrainedConfig) -> list[Shape]:
    """Return the shapes that are named, each once, or else the usual ones.

    These are the largest divisors of the teacher's layers: so many copied, and so many new ones of half its width. Most
    procedures compare layers and heads one by one, so the layers divide the teacher's, and the heads are as many.

    Args:
        texts: ``3`` or ``3/384``: as many of the teacher's layers, uniformly chosen, where 384 is its width. Another
            width, such as ``3/192``: new layers with the teacher's heads and its proportion of feed-forward to
            hidden width. ``3/192/768/12``: new layers, see ``parse_shape``.
        teacher: Its configuration.

    Raises:
        SettingsError: A text is none of these, or no network can have that shape.
    """
    if not texts:
        layers, half = teacher.num_hidden_layers, teacher.hidden_size // 2
        depths = [depth for depth in range(layers, 0, -1) if layers % depth == 0][:MOST_DEPTHS]
        narrow = [] if half % teacher.num_attention_heads else [f"{depth}/{half}" for depth in depths]
        texts = [*(str(depth) for depth in depths if depth < layers), *narrow]
    shapes = [_shape(text, teacher) for text in texts]
    return list({shape.name: shape for shape in shapes}.values())


def _shape(text: str, teacher: Any) -> Shape:
    parts = text.strip().split("/")
    if len(parts) in (1, 2) and all(part.isdecimal() for part in parts):
        layers, width = int(parts[0]), int(parts[-1]) if len(parts) == 2 else teacher.hidden_size
        if width == teacher.hidden_size:
            layers_to_copy(teacher.num_hidden_layers, layers, "uniform")
            return Shape(name=f"{layers}/{width}", student=StudentSettings(layers=layers))
        inner = getattr(teacher, "intermediate_size", 4 * teacher.hidden_size)
        feed_forward, heads = width * inner // teacher.hidden_size, teacher.num_attention_heads
        new = StudentShape(layers=layers, hidden=width, feed_forward=feed_forward, heads=heads)
    elif len(parts) == 4:
        new = parse_shape(text)
    else:
        raise SettingsError(
            f"{text!r} is no shape; give layers of the teacher such as 3, layers/hidden such as 3/192, or "
            "layers/hidden/feed-forward/heads such as 3/192/768/12"
        )
    return Shape(name=str(new), student=StudentSettings(shape=str(new)))
