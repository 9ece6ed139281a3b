"""Where a framework is not installed, its adapter says how to get it."""

from __future__ import annotations

import importlib
import sys

import pytest

import distilrank.adapters
from distilrank.errors import MissingExtraError

FRAMEWORKS = [
    ("haystack", "haystack", "haystack"),
    ("langchain", "langchain_core", "langchain"),
    ("llama_index", "llama_index", "llama-index"),
    ("mteb", "mteb", "mteb"),
    ("pyterrier", "pyterrier", "pyterrier"),
]


@pytest.mark.parametrize(("adapter", "library", "extra"), FRAMEWORKS)
def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, adapter: str, library: str, extra: str) -> None:
    monkeypatch.delitem(sys.modules, f"distilrank.adapters.{adapter}", raising=False)
    for loaded in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"^{library} is needed .*: pip install 'distilrank\[{extra}\]'$"):
        importlib.import_module(f"distilrank.adapters.{adapter}")


def test_the_package_itself_needs_none() -> None:
    assert distilrank.adapters.__doc__
