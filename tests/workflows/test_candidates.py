from __future__ import annotations

import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from distilrank.data.folder import RankingFolder
from distilrank.data.passage_store import PassageStore
from distilrank.errors import InputError, SettingsError
from distilrank.evaluation.measures import measure
from distilrank.records import Passage, Query, Run
from distilrank.workflows import candidates
from distilrank.workflows.candidates import bm25_candidates, bm25_tag, estimate_bm25_memory


def store_of(texts: dict[str, str], path: Path) -> PassageStore:
    return PassageStore.build((Passage(doc_id, text) for doc_id, text in texts.items()), path / "passages.sqlite")


def search(store: PassageStore, *queries: str, **settings: Any) -> Run:
    asked = {str(number): Query(str(number), text) for number, text in enumerate(queries)}
    return bm25_candidates(store, asked, progress=False, **settings)


def by_formula(texts: dict[str, str], query: str, *, k1: float, b: float) -> dict[str, float]:
    """BM25 as Lucene computes it, term by term (Kamphuis et al. 2020)."""
    words = {doc_id: re.findall(r"\w+", text.lower()) for doc_id, text in texts.items()}
    mean = sum(map(len, words.values())) / len(words)
    scores = dict.fromkeys(texts, 0.0)
    for term in re.findall(r"\w+", query.lower()):
        holding = sum(term in own for own in words.values())
        idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        for doc_id, own in words.items():
            frequency = Counter(own)[term]
            scores[doc_id] += idf * frequency / (frequency + k1 * (1 - b + b * len(own) / mean))
    return {doc_id: score for doc_id, score in scores.items() if score > 0}


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.5, 0.75), (0.9, 0.0)])
def test_scores_are_those_of_the_formula(tmp_path: Path, k1: float, b: float) -> None:
    drawing = random.Random(2)
    words = [f"w{number}" for number in range(30)]
    texts = {f"d{n}": " ".join(drawing.choices(words, k=drawing.randint(1, 20))) for n in range(40)}
    store = store_of(texts, tmp_path)
    queries = ["w1 w2 w3", "w4 w4 w5", "w6", "unknown w7"]
    run = search(store, *queries, k1=k1, b=b, stemmer=None)
    for number, query in enumerate(queries):
        expected = by_formula(texts, query, k1=k1, b=b)
        assert run[str(number)] == pytest.approx(expected, rel=1e-5)
        assert list(run[str(number)].values()) == sorted(run[str(number)].values(), reverse=True)


def test_title_and_text_are_one_field(tmp_path: Path) -> None:
    passages = [Passage("a", "river", "bank"), Passage("b", "bank river"), Passage("c", "money")]
    store = PassageStore.build(passages, tmp_path / "p.sqlite")
    run = search(store, "bank")
    assert run["0"]["a"] == run["0"]["b"]


def test_the_english_analyser_stems_and_leaves_stop_words_out(tmp_path: Path) -> None:
    store = store_of({"a": "running dogs", "b": "the cat was of it"}, tmp_path)
    assert list(search(store, "Dog runs")["0"]) == ["a"]
    assert search(store, "the was of it")["0"] == {}
    unstemmed = search(store, "Dog runs", "the was of it", stemmer=None)
    assert (list(unstemmed["0"]), list(unstemmed["1"])) == ([], ["b"])


def test_equal_scores_at_the_cut_are_ordered_by_doc_id_descending(tmp_path: Path) -> None:
    names = random.Random(4).sample([f"d{number}" for number in range(100, 400)], 300)
    store = store_of(dict.fromkeys(names, "same words") | {"best": "same same"}, tmp_path)
    found = search(store, "same", depth=7, stemmer=None)["0"]
    assert list(found) == ["best", "d399", "d398", "d397", "d396", "d395", "d394"]


def test_passages_that_share_no_word_are_no_candidates(tmp_path: Path) -> None:
    store = store_of({"a": "one", "b": "two", "c": ""}, tmp_path)
    # ln(1 + 2.5 / 1.5) x 1 / (1 + 0.9 (0.6 + 0.4 x 1 / (2 / 3))): the empty passage counts in the mean length.
    assert search(store, "two", "nothing of this", "", stemmer=None) == {
        "0": {"b": pytest.approx(0.4716, abs=1e-4)},
        "1": {},
        "2": {},
    }


@pytest.mark.parametrize("texts", [{"a": "", "b": " "}, {"a": "the of"}])
def test_a_collection_without_words_gives_no_candidates(tmp_path: Path, texts: dict[str, str]) -> None:
    assert search(store_of(texts, tmp_path), "any query") == {"0": {}}


def test_a_collection_that_does_not_fit_is_refused_with_advice(tmp_path: Path) -> None:
    store = store_of({f"d{number}": f"word{number} and more" for number in range(50)}, tmp_path)
    with pytest.raises(InputError, match=r"BM25 over 50 passages would take about 0\.\d MB .*--run SPLIT=FILE"):
        search(store, "word1", memory_limit_bytes=1000)
    assert search(store, "word1", memory_limit_bytes=10_000_000)["0"]


def test_the_limit_is_the_memory_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of({"a": "one"}, tmp_path)
    monkeypatch.setattr(candidates, "available_memory", lambda: 100)
    with pytest.raises(InputError, match=r"0\.0 MB may be used"):
        search(store, "one")
    monkeypatch.setattr(candidates, "available_memory", lambda: None)
    assert search(store, "one")["0"]


def test_the_estimate_follows_the_size_of_the_collection(tmp_path: Path) -> None:
    drawing = random.Random(5)

    def estimate(count: int, words: int) -> int:
        texts = (" ".join(f"w{int(drawing.paretovariate(0.6)) % 5000}" for _ in range(words)) for _ in range(count))
        passages = (Passage(str(number), text) for number, text in enumerate(texts))
        store = PassageStore.build(passages, tmp_path / f"{count}-{words}.sqlite")
        return estimate_bm25_memory(store, stemmer=None)

    small, large, long = estimate(3000, 20), estimate(9000, 20), estimate(3000, 60)
    # Three times the texts: three times the postings, and a vocabulary that grows more slowly.
    assert 2.0 * small < large < 3.1 * small
    assert 1.5 * small < long < 3.1 * small


def test_an_empty_collection_needs_nothing(tmp_path: Path) -> None:
    assert estimate_bm25_memory(store_of({}, tmp_path)) == 0


@pytest.mark.parametrize("settings", [{"depth": 0}, {"k1": -1.0}, {"b": 1.5}])
def test_settings_out_of_range_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        search(store_of({"a": "one"}, tmp_path), "one", **settings)


def test_the_tag_names_analyser_k1_and_b() -> None:
    assert bm25_tag() == "bm25s-english-k0.9b0.4"
    assert bm25_tag(k1=1.2, b=0.75, stemmer=None) == "bm25s-unstemmed-k1.2b0.75"


@pytest.mark.parametrize(
    ("name", "ndcg", "recall"),
    [("nfcorpus", 0.3204, 0.2461), ("cranfield", 0.3518, 0.7212), ("vaswani_npl", 0.4412, 0.6226)],
)
def test_quality_on_real_collections(shared_data: Path, tmp_path: Path, name: str, ndcg: float, recall: float) -> None:
    folder = RankingFolder(shared_data / name, cache=tmp_path)
    qrels = folder.qrels("test")
    run = bm25_candidates(folder.passages, {query_id: folder.queries[query_id] for query_id in qrels}, progress=False)
    measures = measure(qrels, run, ["nDCG@10", "R@100"])
    assert measures.mean("nDCG@10") == pytest.approx(ndcg, abs=5e-4)
    assert measures.mean("R@100") == pytest.approx(recall, abs=5e-4)
