from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from distilrank.data.passage_vectors import PassageVectors, vectors_identity, write_passage_vectors
from distilrank.data.tokens import TokenArrays
from distilrank.errors import ModelError
from distilrank.export import onnx as module
from distilrank.export.bilstm_graph import encoder_graph, model_graph
from distilrank.export.onnx import check_halves, check_parity, export_onnx
from distilrank.models.answers import Batch, answer
from distilrank.models.bilstm import BiLstmForSequenceClassification
from distilrank.models.scorer import TorchScorer
from distilrank.models.siamese_scorer import SiameseScorer
from distilrank.records import Passage
from distilrank.runtime.pair_network import PairNetwork
from distilrank.runtime.ranker import Ranker
from distilrank.runtime.session import open_session
from distilrank.runtime.siamese import SiameseNetwork
from distilrank.workflows.scorers import load_scorer
from tests.bilstms import saved_bilstm, tiny_bilstm, tiny_word_tokenizer
from tests.tiny import tiny_pairs

PAIRS = [*tiny_pairs(40, lengths=(5, 0, 30, 1, 12)), ("", "red dog"), ("", "")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = saved_bilstm(tmp_path_factory.mktemp("models") / "ranker")
    export_onnx(tiny_bilstm(), tiny_word_tokenizer(), folder)
    return folder


def logits_of(model: BiLstmForSequenceClassification, arrays: TokenArrays) -> NDArray[np.float32]:
    session = open_session(model_graph(model).SerializeToString(), threads=1)
    names = [item.name for item in session.get_inputs()]
    return session.run(["logits"], {name: getattr(arrays, name) for name in names})[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("siamese", "labels"), [(True, 1), (True, 3), (False, 2)])
def test_logits_are_torchs(siamese: bool, labels: int, channels: int) -> None:
    """At any batch and length, with texts that are empty, one by one and all of them."""
    model = tiny_bilstm(num_labels=labels, siamese=siamese, channels=channels)
    tokenizer = tiny_word_tokenizer()
    firsts, seconds = map(list, zip(*PAIRS, strict=True))
    encoded = tokenizer.encode(firsts, seconds if siamese else None)
    empty = tokenizer.encode(["", ""], ["", ""] if siamese else None)
    for rows in (encoded[:1], encoded[1:2], encoded[:7], encoded, empty):
        for length in (None, 44):
            arrays = tokenizer.pad(rows, length=length)
            with torch.inference_mode():
                expected = answer(model, Batch.from_arrays(arrays)).logits.numpy()
            np.testing.assert_allclose(logits_of(model, arrays), expected, atol=1e-5)


def test_padding_never_reaches_the_backward_direction() -> None:
    model, tokenizer = tiny_bilstm(), tiny_word_tokenizer()
    rows = tokenizer.encode(["red dog", "the old city by the sea"], ["a cat", "war"])
    narrow, wide = tokenizer.pad(rows), tokenizer.pad(rows, length=40)
    wide.input_ids[wide.attention_mask == 0] = 7  # whatever stands there
    np.testing.assert_allclose(logits_of(model, narrow), logits_of(model, wide), atol=1e-6)
    alone = np.concatenate([logits_of(model, tokenizer.pad([row])) for row in rows])
    np.testing.assert_allclose(logits_of(model, narrow), alone, atol=1e-6)


def test_names_and_shapes_are_those_that_servers_look_for(folder: Path) -> None:
    graph = onnx.load(folder / "onnx" / "model.onnx")
    onnx.checker.check_model(graph)
    assert [value.name for value in graph.graph.input] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [value.name for value in graph.graph.output] == ["logits"]
    assert {node.domain for node in graph.graph.node} == {""}
    single = model_graph(tiny_bilstm(siamese=False))
    assert [value.name for value in single.graph.input] == ["input_ids", "attention_mask"]


def test_the_folder_ranks_by_its_halves_as_torch_does(folder: Path) -> None:
    expected = TorchScorer(tiny_bilstm(), tiny_word_tokenizer()).score(PAIRS)
    ranker = Ranker.load(folder, threads=1)
    np.testing.assert_allclose(ranker.score(PAIRS), expected, atol=1e-5)
    assert ranker.score([]).shape == (0,)
    # A server that knows nothing of halves runs the whole.
    whole = PairNetwork(open_session(folder / "onnx" / "model.onnx"), tiny_word_tokenizer(), batch_tokens=60)
    np.testing.assert_allclose(whole.score(PAIRS), expected, atol=1e-5)
    assert np.ptp(expected) > 0.01


class Counting(SiameseNetwork):
    """Notes what it encodes."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded = [*getattr(self, "encoded", []), *texts]
        return super().encode(texts)


def test_each_text_is_read_once_and_stored_passages_not_at_all(folder: Path, tmp_path: Path) -> None:
    tokenizer = tiny_word_tokenizer()
    halves = [open_session(folder / "onnx" / f"{half}.onnx", threads=1) for half in ("encoder", "head")]
    pairs = [*PAIRS, *PAIRS[:5], ("the old city", PAIRS[0][1])]
    expected = SiameseScorer(tiny_bilstm(), tokenizer).score(pairs)
    counting = Counting(*halves, tokenizer)
    np.testing.assert_allclose(counting.score(pairs), expected, atol=1e-5)
    assert sorted(counting.encoded) == sorted([*{query for query, _ in pairs}, *{passage for _, passage in pairs}])
    # Half of the passages were read ahead, by torch.
    texts = list(dict.fromkeys(passage for _, passage in pairs))
    known = texts[::2]
    identity = vectors_identity(folder, tokenizer)
    write_passage_vectors(
        tmp_path / "vectors",
        {f"d{i}": Passage(f"d{i}", text) for i, text in enumerate(known)},
        SiameseScorer(tiny_bilstm(), tokenizer).encode,
        width=10,
        identity=identity,
        collection="",
        dtype="float32",
    )
    vectors = PassageVectors(tmp_path / "vectors", identity=identity)
    counting = Counting(*halves, tokenizer, vectors=vectors)
    np.testing.assert_allclose(counting.score(pairs), expected, atol=1e-5)
    assert not set(counting.encoded) & set(known) - {query for query, _ in pairs}
    named = Ranker.load(folder, passage_vectors=tmp_path / "vectors")
    np.testing.assert_allclose(named.score(pairs), expected, atol=1e-5)
    assert isinstance(load_scorer(folder, passage_vectors=tmp_path / "vectors"), Ranker)


def test_vectors_of_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    write_passage_vectors(
        tmp_path, {"d": Passage("d", "red")}, lambda texts: np.zeros((len(texts), 10), np.float32),
        width=10, identity={"weights": "others"}, collection="",
    )  # fmt: skip
    with pytest.raises(ModelError, match="were made with other weights"):
        Ranker.load(folder, passage_vectors=tmp_path)


def test_what_differs_from_torch_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = tiny_bilstm(), tiny_bilstm(seed=1)
    assert check_parity(model, model_graph(model).SerializeToString(), max_tokens=20) <= 1e-5
    with pytest.raises(ModelError, match="differs from torch by"):
        check_parity(model, model_graph(other).SerializeToString(), max_tokens=20)
    monkeypatch.setattr(module, "encoder_graph", lambda model: encoder_graph(other))
    with pytest.raises(ModelError, match="the halves of the ONNX graph differ from torch by"):
        export_onnx(model, tiny_word_tokenizer(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_halves_are_compared_with_torch() -> None:
    model = tiny_bilstm()
    halves = {
        "encoder": encoder_graph(model).SerializeToString(),
        "head": module.head_graph(model).SerializeToString(),
    }
    assert check_halves(model, **halves, max_tokens=20) <= 1e-5


def test_only_siamese_rankers_have_halves(tmp_path: Path) -> None:
    for name, options in (("labels", {"num_labels": 3}), ("single", {"siamese": False})):
        export_onnx(tiny_bilstm(**options), tiny_word_tokenizer(), tmp_path / name)  # type: ignore[arg-type]
        assert [path.name for path in (tmp_path / name / "onnx").iterdir()] == ["model.onnx"]


def test_windows_and_vectors_are_for_those_who_use_them(folder: Path) -> None:
    from distilrank.runtime.pair_network import LongPassages

    with pytest.raises(ModelError, match="takes no windows of long passages"):
        Ranker.load(folder, long_passages=LongPassages())
