"""More text to learn from: examples whose words are replaced, for the teacher to label.

``tinybert`` is TinyBERT's Algorithm 1 over a masked-language model (``candidates``) and word vectors. A way to augment
is an ``Augmenter``: it yields, for each example in turn, the example and its variants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from distilrank.records import Example


class Augmenter(Protocol):
    """Something that makes variants of examples."""

    def augment(self, examples: Sequence[Example], *, start: int = 0) -> Iterator[list[Example]]:
        """Yield, for each example from position ``start`` on, a list: the example as it is, then its variants.

        What an example becomes depends on all ``examples``, its position and the settings, not on ``start``.
        """
        ...
