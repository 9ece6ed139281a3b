"""BM25's runs of TREC Deep Learning against what Anserini publishes for them, computed with trec_eval ``-c``.

The numbers stand in Anserini's repository (castorini/anserini, src/main/resources/regression/dl19-passage.yaml and
dl21-passage.yaml, "BM25 (default)"; its recall on DL 2019 counts grade 1 as relevant).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from distilrank.cli.app import build_app, run
from distilrank.cli.evaluate import evaluate

PUBLISHED = {
    "trec_dl19": {"nDCG@10": 0.5058, "R@100": 0.4531},
    "trec_dl21": {"nDCG@10": 0.4458, "AP(rel=2)@100": 0.1357, "RR(rel=2)@100": 0.5060, "R(rel=2)@100": 0.3261},
}
QUERIES = {"trec_dl19": 43, "trec_dl21": 53}


@pytest.mark.parametrize("collection", PUBLISHED)
def test_published_baselines(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collection: str
) -> None:
    data, expected = shared_data / collection, PUBLISHED[collection]
    given = ["--data", data, "--run", data / "runs" / "BM25.trec.gz", "--measures", " ".join(expected)]
    arguments = ["distilrank", "evaluate", *map(str, given), "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", arguments)

    # A second verb, for with only one typer leaves the verb's name out.
    assert run(build_app({"evaluate": evaluate, "other": lambda: None})) == 0

    found = json.loads((tmp_path / "out.json").read_text())
    (system,) = found["systems"]
    assert f"{system['measures']['nDCG@10']['mean']:.4f}" == f"{expected['nDCG@10']:.4f}"
    # The runs come by way of castorini/rank_llm, where equal scores may stand in another order: a fifth decimal.
    assert {name: interval["mean"] for name, interval in system["measures"].items()} == pytest.approx(
        expected, abs=6e-5
    )
    for name, interval in system["measures"].items():
        assert interval["low"] < interval["mean"] < interval["high"]
        assert len(found["per_query"][name]["BM25"]) == QUERIES[collection]
