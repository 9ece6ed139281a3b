"""distilrank: a large cross-encoder distilled into a small, fast re-ranker, with proof of what it kept.

>>> from distilrank import Ranker                           # doctest: +SKIP
>>> ranker = Ranker.load("runs/student")                    # doctest: +SKIP
>>> ranker.rank("why is the sky blue", passages, top_k=3)   # doctest: +SKIP

Importing this package loads neither torch nor onnxruntime: public names are fetched when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distilrank.runtime.ranker import Ranker

__version__ = "0.1.0"

__all__ = ["Ranker", "__version__"]


def __getattr__(name: str) -> object:
    """Fetch ``Ranker`` on first use, so that ``import distilrank`` stays light."""
    if name == "Ranker":
        from distilrank.runtime.ranker import Ranker

        return Ranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, fetched or not."""
    return sorted({*globals(), *__all__})
