"""Haystack's own documents and pipelines, run with the adapter."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from distilrank.errors import SettingsError
from distilrank.runtime.pair_network import LongPassages
from distilrank.runtime.ranker import Ranker
from tests.adapters.conftest import QUERY, TEXTS

pytestmark = pytest.mark.slow

ONE_THREAD = {"threads": 1}


@pytest.fixture(scope="module")
def adapter() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
        pytest.importorskip("haystack", reason="haystack-ai is not installed; `make adapters` installs it")
        from distilrank.adapters import haystack

    return haystack


@pytest.fixture
def documents(adapter: Any) -> list[Any]:
    return [adapter.Document(id=f"d{place}", content=text, score=0.5) for place, text in enumerate(TEXTS)]


def ids(documents: Any) -> list[int]:
    return [int(document.id.removeprefix("d")) for document in documents]


def component(adapter: Any, folder: Path, **options: Any) -> Any:
    return adapter.DistilrankRanker(str(folder), **{"ranker_kwargs": ONE_THREAD, **options})


def test_the_best_documents_with_their_scores(
    adapter: Any, folder: Path, ranker: Ranker, documents: list[Any], order: list[int]
) -> None:
    raw = component(adapter, folder, scale_score=False)
    found = raw.run(query=QUERY, documents=documents)["documents"]
    assert ids(found) == order
    expected = [place.score for place in ranker.rank(QUERY, TEXTS)]
    assert [document.score for document in found] == expected
    assert [document.score for document in documents] == [0.5] * len(TEXTS)
    assert ids(raw.run(query=QUERY, documents=documents, top_k=2)["documents"]) == order[:2]
    assert raw.run(query=QUERY, documents=[]) == {"documents": []}
    scaled = component(adapter, folder, top_k=3).run(query=QUERY, documents=documents)["documents"]
    assert [document.score for document in scaled] == pytest.approx(
        [1 / (1 + math.exp(-logit)) for logit in expected[:3]]
    )


def test_a_threshold(adapter: Any, folder: Path, ranker: Ranker, documents: list[Any], order: list[int]) -> None:
    lowest = ranker.rank(QUERY, TEXTS)[3].score
    kept = component(adapter, folder, scale_score=False, score_threshold=lowest)
    assert ids(kept.run(query=QUERY, documents=documents)["documents"]) == order[:4]


def test_documents_of_one_id_count_once(adapter: Any, folder: Path, documents: list[Any], order: list[int]) -> None:
    found = component(adapter, folder).run(query=QUERY, documents=[*documents, *documents])["documents"]
    assert ids(found) == order


def test_meta_and_no_content(adapter: Any, folder: Path, ranker: Ranker) -> None:
    ours = component(adapter, folder, scale_score=False, meta_fields_to_embed=["title", "year", "none"])
    document = adapter.Document(content=None, meta={"title": "red queen", "year": 7, "none": None})
    (found,) = ours.run(query=QUERY, documents=[document])["documents"]
    assert found.score == ranker.score([(QUERY, "red queen\n7\n")])[0]


def test_in_a_pipeline_that_was_written_and_read_again(
    adapter: Any, folder: Path, documents: list[Any], order: list[int]
) -> None:
    from haystack import Pipeline
    from haystack.components.builders import PromptBuilder
    from haystack.components.joiners import DocumentJoiner

    pipeline = Pipeline()
    pipeline.add_component("join", DocumentJoiner())
    pipeline.add_component("rank", component(adapter, folder, top_k=3))
    prompt = PromptBuilder("{% for document in documents %}{{ document.id }} {% endfor %}", required_variables="*")
    pipeline.add_component("prompt", prompt)
    pipeline.connect("join.documents", "rank.documents")
    pipeline.connect("rank.documents", "prompt.documents")
    expected = " ".join(f"d{place}" for place in order[:3]) + " "
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["distilrank.adapters.haystack"])
    for each in (pipeline, again):
        told = each.run({"join": {"documents": documents}, "rank": {"query": QUERY}})
        assert told["prompt"]["prompt"] == expected


def test_options_of_the_ranker(adapter: Any, folder: Path, documents: list[Any]) -> None:
    long_passages = {"stride": 4, "budget_tokens": 480}
    split = component(adapter, folder, scale_score=False, ranker_kwargs={**ONE_THREAD, "long_passages": long_passages})
    found = split.run(query=QUERY, documents=documents[4:5])["documents"]
    expected = Ranker.load(folder, threads=1, long_passages=LongPassages(**long_passages))
    assert found[0].score == expected.score([(QUERY, TEXTS[4])])[0]
    assert split.ranker_kwargs["long_passages"] is long_passages
    with pytest.raises(SettingsError, match="top_k is 0"):
        split.run(query=QUERY, documents=documents, top_k=0)
