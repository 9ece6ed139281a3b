"""LangChain's own reranker and retriever, run with the adapter."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from distilrank.runtime.ranker import Ranker
from tests.adapters.conftest import QUERY, TEXTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def adapter() -> Any:
    pytest.importorskip("langchain_core", reason="langchain-core is not installed; `make adapters` installs it")
    from distilrank.adapters import langchain

    return langchain


@pytest.fixture
def documents(adapter: Any) -> list[Any]:
    return [
        adapter.Document(id=f"d{place}", page_content=text, metadata={"place": place})
        for place, text in enumerate(TEXTS)
    ]


def places(documents: Any) -> list[int]:
    return [document.metadata["place"] for document in documents]


def test_scores_are_the_rankers(adapter: Any, ranker: Ranker) -> None:
    from langchain_core.cross_encoders import BaseCrossEncoder

    encoder = adapter.DistilrankCrossEncoder(ranker)
    assert isinstance(encoder, BaseCrossEncoder)
    pairs = [(QUERY, text) for text in TEXTS]
    scores = encoder.score(pairs)
    assert scores == ranker.score(pairs).tolist()
    assert {type(score) for score in scores} == {float}
    assert encoder.score([]) == []


def test_in_cross_encoder_reranker(adapter: Any, ranker: Ranker, documents: list[Any], order: list[int]) -> None:
    compressors = pytest.importorskip("langchain_classic.retrievers.document_compressors")
    reranker = compressors.CrossEncoderReranker(model=adapter.DistilrankCrossEncoder(ranker), top_n=4)
    assert places(reranker.compress_documents(documents, QUERY)) == order[:4]


def test_in_a_retriever(adapter: Any, ranker: Ranker, documents: list[Any], order: list[int]) -> None:
    retrievers = pytest.importorskip("langchain_classic.retrievers")
    from langchain_core.retrievers import BaseRetriever

    class Everything(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
            return documents

    retriever = retrievers.ContextualCompressionRetriever(
        base_retriever=Everything(), base_compressor=adapter.DistilrankReranker(ranker=ranker)
    )
    assert places(retriever.invoke(QUERY)) == order[:3]
    assert places(asyncio.run(retriever.ainvoke(QUERY))) == order[:3]


def test_the_best_documents_with_their_scores(
    adapter: Any, ranker: Ranker, documents: list[Any], order: list[int]
) -> None:
    before = copy.deepcopy(documents)
    found = adapter.DistilrankReranker(ranker=ranker, top_n=None).compress_documents(documents, QUERY)
    assert documents == before
    assert places(found) == order
    expected = [place.score for place in ranker.rank(QUERY, TEXTS)]
    assert [document.metadata["relevance_score"] for document in found] == expected
    assert [(document.id, document.page_content) for document in found] == [(f"d{i}", TEXTS[i]) for i in order]
    two = adapter.DistilrankReranker(ranker=ranker, top_n=2).compress_documents(documents, QUERY)
    assert two == found[:2]
    assert adapter.DistilrankReranker(ranker=ranker).compress_documents([], QUERY) == []


@pytest.mark.parametrize("given", [{"top_n": 0}, {"ranker": "runs/student"}, {"top_k": 3}])
def test_wrong_arguments_are_refused(adapter: Any, ranker: Ranker, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        adapter.DistilrankReranker(**{"ranker": ranker, **given})
