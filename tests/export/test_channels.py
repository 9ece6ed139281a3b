from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from distilrank.export.channels import APART, EXPONENTS, WORTH, Channels, choose_channels, evened, multipliers
from distilrank.export.products import products
from distilrank.export.quantise import Recipe, quantise
from distilrank.export.ranges import ROWS, Range, measure_ranges
from tests.tiny import tiny_export, tiny_pairs, tiny_tokenizer

CHANNELS, COLUMNS = 512, 24
VNNI = Recipe(arithmetic="avx512_vnni")


def one_product(matrix: np.ndarray) -> onnx.ModelProto:
    """A graph of one product."""
    states = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["rows", matrix.shape[0]])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, ["rows", matrix.shape[1]])
    node = helper.make_node("MatMul", ["states", "matrix"], ["result"], name="product")
    graph = helper.make_graph([node], "one", [states], [result], [numpy_helper.from_array(matrix, "matrix")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def sample(*, largest: float, few: int) -> tuple[np.ndarray, np.ndarray]:
    """States (300, channels) of which a few channels are ``largest`` times the rest, and a matrix."""
    random = np.random.default_rng(0)
    states = random.normal(size=(300, CHANNELS)).astype(np.float32)
    states[:, random.permutation(CHANNELS)[:few]] *= largest
    return states, random.normal(size=(CHANNELS, COLUMNS)).astype(np.float32)


def chosen_of(states: np.ndarray, matrix: np.ndarray) -> Channels:
    seen = Range(least=states.min(axis=0), most=states.max(axis=0), rows=states)
    return choose_channels(one_product(matrix), {"states": seen}, "avx512_vnni")["states"]


def error_of(states: np.ndarray, matrix: np.ndarray, channels: Channels) -> float:
    """By running the quantised graph: another way than the search's."""
    small = quantise(one_product(matrix), VNNI, {"states": channels})
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    (made,) = onnxruntime.InferenceSession(small.SerializeToString(), options).run(None, {"states": states})
    exact = states.astype(np.float64) @ matrix
    return float(np.square(made - exact).mean() / np.square(exact).mean())


@pytest.mark.parametrize(("largest", "few"), [(1.0, 0), (60.0, 8)])
def test_the_error_is_that_of_the_graph_that_is_written(largest: float, few: int) -> None:
    states, matrix = sample(largest=largest, few=few)
    chosen = chosen_of(states, matrix)
    np.testing.assert_allclose(chosen.error, error_of(states, matrix, chosen), rtol=2e-2)


def test_what_is_chosen_has_the_least_error() -> None:
    states, matrix = sample(largest=8.0, few=100)
    chosen = chosen_of(states, matrix)
    assert not chosen.apart.size  # a hundred large ones: taking 16 of them apart leaves too many
    largest, rows = np.abs(states).max(axis=0), np.abs(matrix).max(axis=1)
    for exponent in EXPONENTS:
        factors = largest**exponent / rows ** (1 - exponent)
        factors = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
        even = states / factors
        other = dataclasses.replace(chosen, factors=factors, least=float(even.min()), most=float(even.max()))
        assert chosen.error <= 1.02 * error_of(states, matrix, other)


def test_a_few_large_channels_are_taken_apart_and_many_are_not() -> None:
    usual = chosen_of(*sample(largest=1.0, few=0))
    states, matrix = sample(largest=60.0, few=8)
    chosen = chosen_of(states, matrix)
    assert not usual.apart.size
    assert chosen.apart.size == APART
    assert chosen.apart.tolist() == sorted(chosen.apart.tolist())
    assert set(np.argsort(-np.abs(states).max(axis=0))[:8]) <= set(chosen.apart.tolist())
    assert chosen.error < 2 * usual.error
    kept = np.delete(np.arange(CHANNELS), chosen.apart)
    assert chosen.least == pytest.approx(float((states / chosen.factors)[:, kept].min()))
    assert chosen.most == pytest.approx(float((states / chosen.factors)[:, kept].max()))
    together = evened(matrix, chosen.factors, chosen.apart)
    assert not together[chosen.apart].any()
    assert not multipliers(chosen)[chosen.apart].any()
    np.testing.assert_allclose((multipliers(chosen)[:, None] * together)[kept], matrix[kept], rtol=1e-5)
    assert 0 < WORTH < 1


def test_zeros_alone_are_no_error() -> None:
    chosen = chosen_of(np.zeros((5, CHANNELS), np.float32), np.zeros((CHANNELS, COLUMNS), np.float32))
    assert chosen.error == 0.0
    assert np.isfinite(chosen.factors).all()


def test_ranges_are_of_tokens_and_not_of_padding(tmp_path: Path) -> None:
    graph, tokenizer, pairs = onnx.load(tiny_export(tmp_path)), tiny_tokenizer(), tiny_pairs(40)[:6]
    together = measure_ranges(graph, tokenizer, pairs)
    one_by_one = [measure_ranges(graph, tokenizer, [pair]) for pair in pairs]
    assert set(together) == {value for value, _ in products(graph).values()}
    for value, seen in together.items():
        alone = [each[value] for each in one_by_one]
        np.testing.assert_allclose(seen.least, np.min([each.least for each in alone], axis=0), atol=1e-5)
        np.testing.assert_allclose(seen.most, np.max([each.most for each in alone], axis=0), atol=1e-5)
        rows = np.concatenate([each.rows for each in alone])  # few enough that all are kept
        assert len(seen.rows) == len(rows) <= ROWS
        np.testing.assert_allclose(np.sort(seen.rows, axis=0), np.sort(rows, axis=0), atol=1e-5)


def test_the_sample_is_drawn_from_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, tokenizer, pairs = onnx.load(tiny_export(tmp_path)), tiny_tokenizer(), tiny_pairs(40)[:8]
    whole = measure_ranges(graph, tokenizer, pairs)
    monkeypatch.setattr("distilrank.export.ranges.ROWS", 7)
    monkeypatch.setattr("distilrank.export.ranges.BATCH_TOKENS", 64)
    few = measure_ranges(graph, tokenizer, pairs)
    value = products(graph)["bert.encoder.layer.0.output.dense"][0]
    assert few[value].rows.shape == (7, 32)
    np.testing.assert_allclose(few[value].most, whole[value].most, atol=1e-5)
    monkeypatch.setattr("distilrank.export.ranges.ROWS", ROWS)
    of_each = [measure_ranges(graph, tokenizer, [pair])[value].rows for pair in pairs]
    drawn_from = [
        next(at for at, rows in enumerate(of_each) if np.abs(rows - row).max(axis=1).min() < 1e-4)
        for row in few[value].rows
    ]
    assert len(set(drawn_from)) > 2
