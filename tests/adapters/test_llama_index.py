"""LlamaIndex' own nodes and query engine, run with the adapter."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from distilrank.runtime.ranker import Ranker
from tests.adapters.conftest import QUERY, TEXTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def adapter() -> Any:
    pytest.importorskip("llama_index.core", reason="llama-index-core is not installed; `make adapters` installs it")
    from distilrank.adapters import llama_index

    return llama_index


@pytest.fixture
def nodes(adapter: Any) -> list[Any]:
    from llama_index.core.schema import TextNode

    return [
        adapter.NodeWithScore(node=TextNode(id_=f"d{place}", text=text), score=float(-place))
        for place, text in enumerate(TEXTS)
    ]


def ids(nodes: Any) -> list[int]:
    return [int(node.node_id.removeprefix("d")) for node in nodes]


def test_the_best_nodes_with_their_scores(adapter: Any, ranker: Ranker, nodes: list[Any], order: list[int]) -> None:
    before = [node.model_dump() for node in nodes]
    postprocessor = adapter.DistilrankRerank(ranker=ranker, top_n=None)
    found = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    assert [node.model_dump() for node in nodes] == before
    assert ids(found) == order
    assert [node.score for node in found] == [place.score for place in ranker.rank(QUERY, TEXTS)]
    assert all(type(node.score) is float for node in found)
    two = adapter.DistilrankRerank(ranker=ranker).postprocess_nodes(nodes, adapter.QueryBundle(QUERY))
    assert ids(two) == order[:2]
    assert postprocessor.postprocess_nodes([], query_str=QUERY) == []
    assert ids(asyncio.run(postprocessor.apostprocess_nodes(nodes, query_str=QUERY))) == order


def test_scores_of_retrieval_are_kept_on_request(
    adapter: Any, ranker: Ranker, nodes: list[Any], order: list[int]
) -> None:
    keeping = adapter.DistilrankRerank(ranker=ranker, top_n=3, keep_retrieval_score=True)
    found = keeping.postprocess_nodes(nodes, query_str=QUERY)
    assert [node.node.metadata for node in found] == [{"retrieval_score": float(-place)} for place in order[:3]]
    assert all(node.node.metadata == {} for node in nodes)


def test_metadata_are_read_as_asked(adapter: Any, ranker: Ranker, nodes: list[Any]) -> None:
    for node in nodes:
        node.node.metadata["title"] = "red queen"
    (embedded,) = adapter.DistilrankRerank(ranker=ranker).postprocess_nodes(nodes[:1], query_str=QUERY)
    assert embedded.score == ranker.score([(QUERY, f"title: red queen\n\n{TEXTS[0]}")])[0]
    bare = adapter.DistilrankRerank(ranker=ranker, metadata_mode=adapter.MetadataMode.NONE)
    (node,) = bare.postprocess_nodes(nodes[:1], query_str=QUERY)
    assert node.score == ranker.score([(QUERY, TEXTS[0])])[0]


def test_in_a_query_engine(adapter: Any, ranker: Ranker, nodes: list[Any], order: list[int]) -> None:
    from llama_index.core.llms import MockLLM
    from llama_index.core.query_engine import RetrieverQueryEngine
    from llama_index.core.retrievers import BaseRetriever

    class Everything(BaseRetriever):
        def _retrieve(self, query_bundle: Any) -> list[Any]:
            return nodes

    engine = RetrieverQueryEngine.from_args(
        Everything(), llm=MockLLM(), node_postprocessors=[adapter.DistilrankRerank(ranker=ranker, top_n=3)]
    )
    assert ids(engine.query(QUERY).source_nodes) == order[:3]


def test_it_can_be_described(adapter: Any, ranker: Ranker) -> None:
    told = json.loads(adapter.DistilrankRerank(ranker=ranker, top_n=4).to_json())
    assert told["class_name"] == "DistilrankRerank"
    assert told["top_n"] == 4


def test_what_cannot_be_done_is_refused(adapter: Any, ranker: Ranker, nodes: list[Any]) -> None:
    with pytest.raises(ValueError, match="give query_str or query_bundle"):
        adapter.DistilrankRerank(ranker=ranker).postprocess_nodes(nodes)
    with pytest.raises(ValueError, match="top_n"):
        adapter.DistilrankRerank(ranker=ranker, top_n=0)
    with pytest.raises(ValueError, match="ranker"):
        adapter.DistilrankRerank(ranker="runs/student")
