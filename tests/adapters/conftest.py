"""A tiny ranker for the adapters, and texts among which two are equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.models.save import save_model
from distilrank.runtime.ranker import Ranker
from tests.tiny import tiny_export, tiny_model, tiny_tokenizer

QUERY = "who is the king of the red city"
TEXTS = (
    "a blue river",
    "the king of the old city is a red bird",
    "",
    "a blue river",
    "war and peace and music " * 12,  # longer than the network reads
    "bread wine salt",
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ranker's folder."""
    folder = tmp_path_factory.mktemp("adapters") / "student"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    tiny_export(folder)
    return folder


@pytest.fixture(scope="session")
def ranker(folder: Path) -> Ranker:
    """What the adapters are given."""
    return Ranker.load(folder, threads=1)


@pytest.fixture(scope="session")
def order(ranker: Ranker) -> list[int]:
    """Places of ``TEXTS``, best first; the two equal texts stand in the order given."""
    places = [place.index for place in ranker.rank(QUERY, TEXTS)]
    assert places.index(0) + 1 == places.index(3)
    assert places != sorted(places)
    return places
