from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from distilrank.data.tokens import PairTokenizer
from distilrank.export import quantise as module
from distilrank.export.quantise import Recipe, file_name, half_bytes, products, quantise, weights_in_8_bits
from distilrank.export.ranges import Ranges, measure_ranges
from distilrank.runtime.pair_network import PairNetwork
from distilrank.runtime.session import open_session
from tests.tiny import tiny_export, tiny_pairs, tiny_tokenizer

VNNI = Recipe(arithmetic="avx512_vnni", embeddings=False)
PAIRS = tiny_pairs(40)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return onnx.load(tiny_export(tmp_path_factory.mktemp("exported")))


@pytest.fixture(scope="module")
def ranges(graph: onnx.ModelProto) -> Ranges:
    return measure_ranges(graph, tiny_tokenizer(), PAIRS)


def scores(graph: onnx.ModelProto, tokenizer: PairTokenizer | None = None, **options: Any) -> np.ndarray:
    network = PairNetwork(open_session(graph.SerializeToString()), tokenizer or tiny_tokenizer(), **options)
    return network.score(PAIRS)


def operators(graph: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in graph.graph.node}


def test_every_product_of_a_layer_is_found(graph: onnx.ModelProto) -> None:
    prefix = "bert.encoder.layer.1"
    found = products(graph)
    assert len(found) == 12
    value, matrix = found[f"{prefix}.intermediate.dense"]
    assert matrix.shape == (16, 32)
    # Query, key and value of a layer that reads all tokens have one input; of the last layer the query has its own.
    inputs = {name: found[f"bert.encoder.layer.{name}"][0] for name in ("0.attention.self.query",)}
    assert inputs["0.attention.self.query"] == found["bert.encoder.layer.0.attention.self.value"][0]
    assert found[f"{prefix}.attention.self.query"][0] != found[f"{prefix}.attention.self.value"][0]
    assert value != found[f"{prefix}.output.dense"][0]


@pytest.mark.parametrize("activations", ["static", "dynamic"])
@pytest.mark.parametrize("arithmetic", ["avx512_vnni", "avx512", "avx2", "arm64"])
def test_scores_stay_close(graph: onnx.ModelProto, ranges: Ranges, activations: Any, arithmetic: Any) -> None:
    small = quantise(graph, Recipe(arithmetic=arithmetic, activations=activations), ranges)
    onnx.checker.check_model(small)
    before, after = scores(graph), scores(small)
    assert 1e-4 < np.abs(after - before).max() < (0.5 if arithmetic == "avx512" else 0.25) * before.std()
    assert np.corrcoef(before, after)[0, 1] > 0.99
    # None is left in fp32, and neither is its matrix.
    assert not products(small)
    matrices = {tensor.name for tensor in small.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    assert not any("attention" in name and name.endswith(".weight") and "Norm" not in name for name in matrices)


def test_standard_operators_only(graph: onnx.ModelProto, ranges: Ranges) -> None:
    for activations, kernel in (("static", "QuantizeLinear"), ("dynamic", "MatMulInteger")):
        small = quantise(graph, Recipe(arithmetic="arm64", activations=activations), ranges)  # type: ignore[arg-type]
        assert kernel in operators(small)
        assert {node.domain for node in small.graph.node} == {""}


def test_dynamic_is_what_onnxruntime_makes_of_it(
    graph: onnx.ModelProto, ranges: Ranges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An oracle of another hand, which evens nothing out and leaves embeddings as they are."""
    monkeypatch.setattr(
        module, "_smoothing", lambda chosen, ranges: {v: np.ones(len(m), np.float32) for v, m in chosen.values()}
    )
    ours = quantise(graph, Recipe(arithmetic="avx512_vnni", activations="dynamic", embeddings=False), ranges)
    path = tmp_path / "theirs.onnx"
    quantize_dynamic(
        graph, path, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"],
        extra_options={"MatMulConstBOnly": True},
    )  # fmt: skip
    expected = scores(onnx.load(path))
    # Theirs divides by 127.5 where ours divides by 127, so that a rounding here and there falls otherwise.
    np.testing.assert_allclose(scores(ours), expected, atol=0.25 * np.abs(expected - scores(graph)).max())


def test_weights_by_hand() -> None:
    matrix = np.array([[1.27, -0.2], [0.3, 0.1]], np.float32)
    small, scales, zero = weights_in_8_bits(matrix, VNNI)
    np.testing.assert_allclose(scales, [0.01, 0.2 / 127], rtol=1e-5)
    assert small.tolist() == [[127, -127], [30, 64]]
    assert (small.dtype, zero.tolist()) == (np.int8, [0, 0])
    # Unsigned ones are the same numbers, shifted; seven bits are half as fine.
    shifted, same, zero = weights_in_8_bits(matrix, Recipe(arithmetic="avx2"))
    assert (shifted.dtype, zero.tolist()) == (np.uint8, [128, 128])
    assert (shifted.astype(int) - 128).tolist() == small.tolist()
    np.testing.assert_array_equal(same, scales)
    coarse, _, _ = weights_in_8_bits(matrix, Recipe(arithmetic="avx512"))
    assert coarse.tolist() == [[63, -63], [15, 32]]
    # One scale for all.
    small, scale, _ = weights_in_8_bits(matrix, Recipe(arithmetic="avx512_vnni", per_channel=False))
    assert small.tolist() == [[127, -20], [30, 10]]
    assert scale.shape == ()


def test_ranges_are_of_tokens_and_not_of_padding(graph: onnx.ModelProto) -> None:
    tokenizer = tiny_tokenizer()
    together, alone = measure_ranges(graph, tokenizer, PAIRS[:6]), {}
    for pair in PAIRS[:6]:
        for value, (least, most) in measure_ranges(graph, tokenizer, [pair]).items():
            before = alone.get(value, (least, most))
            alone[value] = (np.minimum(before[0], least), np.maximum(before[1], most))
    assert set(together) == {value for value, _ in products(graph).values()}
    for value, (least, most) in together.items():
        np.testing.assert_allclose(least, alone[value][0], atol=1e-5)
        np.testing.assert_allclose(most, alone[value][1], atol=1e-5)


def test_a_large_channel_does_not_crush_the_others(
    ranges: Ranges, graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same network with one channel of a layer norm a hundred times larger, and its weights as much smaller."""
    stretched = onnx.ModelProto()
    stretched.CopyFrom(graph)
    value, _ = products(graph)["bert.encoder.layer.0.intermediate.dense"]
    node = next(node for node in stretched.graph.node if node.name == "bert.encoder.layer.0.intermediate.dense")
    weight = next(tensor for tensor in stretched.graph.initializer if tensor.name == node.input[1])
    factor = np.ones(16, np.float32)
    factor[3] = 100.0
    matrix = onnx.numpy_helper.to_array(weight) / factor[:, None]
    weight.CopyFrom(onnx.numpy_helper.from_array(matrix, weight.name))
    stretched.graph.initializer.append(onnx.numpy_helper.from_array(factor, "stretch"))
    place = list(stretched.graph.node).index(node)
    node.input[0] = "stretched"
    stretched.graph.node.insert(place, onnx.helper.make_node("Mul", [value, "stretch"], ["stretched"]))
    measured = measure_ranges(stretched, tiny_tokenizer(), PAIRS)
    exact = scores(graph)
    np.testing.assert_allclose(scores(stretched), exact, atol=1e-4)
    error = np.abs(scores(quantise(stretched, VNNI, measured)) - exact).mean()
    usual = np.abs(scores(quantise(graph, VNNI, ranges)) - exact).mean()
    monkeypatch.setattr(
        module, "_smoothing", lambda chosen, ranges: {v: np.ones(len(m), np.float32) for v, m in chosen.values()}
    )
    crushed = np.abs(scores(quantise(stretched, VNNI, measured)) - exact).mean()
    assert error < 2 * usual
    assert error < 0.5 * crushed


def test_products_that_are_kept_stay_as_they_are(graph: onnx.ModelProto, ranges: Ranges) -> None:
    names = frozenset(products(graph))
    kept = quantise(graph, Recipe(arithmetic="avx512_vnni", embeddings=False, keep=names), ranges)
    assert kept.SerializeToString() == graph.SerializeToString() or operators(kept) == operators(graph)
    np.testing.assert_array_equal(scores(kept), scores(graph))
    half = quantise(graph, Recipe(arithmetic="avx512_vnni", keep=names - {min(names)}), ranges)
    assert sum(node.op_type == "QuantizeLinear" for node in half.graph.node) == 1


def test_embeddings_have_a_scale_per_word(graph: onnx.ModelProto, ranges: Ranges) -> None:
    small = quantise(graph, Recipe(arithmetic="avx512_vnni", keep=frozenset(products(graph))), ranges)
    tables = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in small.graph.initializer}
    name = "bert.embeddings.word_embeddings.weight"
    assert name not in tables
    original = next(onnx.numpy_helper.to_array(t) for t in graph.graph.initializer if t.name == name)
    assert tables[f"{name}_quantized"].dtype == np.int8
    back = tables[f"{name}_quantized"] * tables[f"{name}_scale"]
    assert np.all(np.abs(back - original) <= np.abs(original).max(axis=1, keepdims=True) / 127 * 0.51)
    difference = np.abs(scores(small) - scores(graph)).max()
    assert 0 < difference < 0.05 * scores(graph).std()


def test_files_are_named_as_sentence_transformers_looks_for_them() -> None:
    assert [file_name(each) for each in ("arm64", "avx512", "avx512_vnni", "avx2")] == [
        "model_qint8_arm64.onnx", "model_qint8_avx512.onnx", "model_qint8_avx512_vnni.onnx", "model_quint8_avx2.onnx",
    ]  # fmt: skip


def test_static_scores_do_not_depend_on_the_batch(graph: onnx.ModelProto, ranges: Ranges) -> None:
    static, dynamic = (
        quantise(graph, Recipe(arithmetic="avx512_vnni", activations=how), ranges)  # type: ignore[arg-type]
        for how in ("static", "dynamic")
    )
    change = {}
    for name, made in {"static": static, "dynamic": dynamic}.items():
        change[name] = np.abs(scores(made, batch_tokens=1) - scores(made, batch_tokens=2000)).max()
    assert change["static"] <= 1e-5
    assert change["dynamic"] > 1e-3


def test_the_kernels_are_integer_ones(graph: onnx.ModelProto, ranges: Ranges, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(quantise(graph, VNNI, ranges).SerializeToString(), options)
    made = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert made.count("MatMulIntegerToFloat") == 12
    assert made.count("MatMul") + made.count("FusedMatMul") == 4  # queries with keys, weights with values, twice


def test_two_units_in_a_byte_by_hand() -> None:
    table = np.zeros((1, 128), np.float32)
    table[0, 0], table[0, 1], table[0, 64], table[0, 127] = 7.0, -3.4, -1.0, 0.5
    packed, scales = half_bytes(table)
    # Groups of 32: the largest numbers 7, 0, 1 and 0.5 become 7.
    np.testing.assert_allclose(scales[0, [0, 2, 3]].astype(np.float64), [1.0, 1 / 7, 0.5 / 7], rtol=1e-3)
    assert packed.shape == (1, 64)
    assert packed[0, 0] == (7 + 8) + 16 * (-7 + 8)  # units 0 and 64
    assert packed[0, 1] == (-3 + 8) + 16 * 8
    assert packed[0, 63] == 8 + 16 * (7 + 8)


@pytest.mark.parametrize("units", [64, 128])
def test_a_table_of_half_bytes_is_unpacked_where_it_is_read(units: int) -> None:
    random = np.random.default_rng(0)
    table = random.normal(size=(200, units)).astype(np.float32)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    states = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["batch", "sequence", units])
    node = helper.make_node("Gather", ["table", "input_ids"], ["states"], name="words")
    graph = helper.make_graph([node], "look-up", [ids], [states], [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    recipe = Recipe(arithmetic="avx512_vnni", activations="float", embedding_bits=4)
    session = onnxruntime.InferenceSession(quantise(model, recipe, {}).SerializeToString())
    wanted = random.integers(0, 200, (3, 7))
    (found,) = session.run(None, {"input_ids": wanted})
    packed, scales = half_bytes(table)
    numbers = np.concatenate([packed % 16, packed // 16], axis=1).astype(np.float32) - 8
    expected = numbers * np.repeat(scales.astype(np.float32), 32, axis=1)
    np.testing.assert_allclose(found, expected[wanted], rtol=1e-6)
    assert np.abs(expected - table).max() < np.abs(table).max() / 7
