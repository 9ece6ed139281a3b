from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from distilrank.data.tokens import PairTokenizer
from distilrank.export.channels import Channels, choose_channels
from distilrank.export.integers import half_bytes, weights_in_8_bits
from distilrank.export.products import products
from distilrank.export.quantise import Recipe, file_name, quantise
from distilrank.export.ranges import measure_ranges
from distilrank.runtime.pair_network import PairNetwork
from distilrank.runtime.session import open_session
from tests.tiny import tiny_export, tiny_pairs, tiny_tokenizer

VNNI = Recipe(arithmetic="avx512_vnni", embeddings=False)
PAIRS = tiny_pairs(40)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return onnx.load(tiny_export(tmp_path_factory.mktemp("exported")))


@pytest.fixture(scope="module")
def channels(graph: onnx.ModelProto) -> dict[str, Channels]:
    return channels_of(graph)


def channels_of(graph: onnx.ModelProto) -> dict[str, Channels]:
    return choose_channels(graph, measure_ranges(graph, tiny_tokenizer(), PAIRS), "avx512_vnni")


def untouched(channels: dict[str, Channels]) -> dict[str, Channels]:
    """As they came: nothing is evened out or taken apart."""
    none = np.zeros(0, np.int64)
    return {
        value: Channels(
            factors=np.ones_like(each.factors),
            apart=none,
            least=float((each.least * each.factors).min()),
            most=float((each.most * each.factors).max()),
            error=each.error,
        )
        for value, each in channels.items()
    }


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
def test_scores_stay_close(
    graph: onnx.ModelProto, channels: dict[str, Channels], activations: Any, arithmetic: Any
) -> None:
    small = quantise(graph, Recipe(arithmetic=arithmetic, activations=activations), channels)
    onnx.checker.check_model(small)
    before, after = scores(graph), scores(small)
    assert 1e-4 < np.abs(after - before).max() < (0.5 if arithmetic == "avx512" else 0.25) * before.std()
    assert np.corrcoef(before, after)[0, 1] > 0.99
    # None is left in fp32, and neither is its matrix.
    assert not products(small)
    matrices = {tensor.name for tensor in small.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    assert not any("attention" in name and name.endswith(".weight") and "Norm" not in name for name in matrices)


def test_standard_operators_only(graph: onnx.ModelProto, channels: dict[str, Channels]) -> None:
    for activations, kernel in (("static", "QuantizeLinear"), ("dynamic", "MatMulInteger")):
        small = quantise(graph, Recipe(arithmetic="arm64", activations=activations), channels)  # type: ignore[arg-type]
        assert kernel in operators(small)
        assert {node.domain for node in small.graph.node} == {""}


def test_dynamic_is_what_onnxruntime_makes_of_it(
    graph: onnx.ModelProto, channels: dict[str, Channels], tmp_path: Path
) -> None:
    """An oracle of another hand, which evens nothing out and leaves embeddings as they are."""
    recipe = Recipe(arithmetic="avx512_vnni", activations="dynamic", embeddings=False)
    ours = quantise(graph, recipe, untouched(channels))
    path = tmp_path / "theirs.onnx"
    quantize_dynamic(
        graph, path, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"],
        extra_options={"MatMulConstBOnly": True},
    )  # fmt: skip
    expected = scores(onnx.load(path))
    # Theirs divides by 127.5 where ours divides by 127, so that a rounding here and there falls otherwise.
    np.testing.assert_allclose(scores(ours), expected, atol=0.25 * np.abs(expected - scores(graph)).max())


@pytest.mark.parametrize("activations", ["static", "dynamic"])
def test_channels_apart_are_multiplied_in_fp32(
    graph: onnx.ModelProto, channels: dict[str, Channels], activations: Any
) -> None:
    recipe = Recipe(arithmetic="avx512_vnni", activations=activations, embeddings=False)
    exact = scores(graph)
    near = np.abs(scores(quantise(graph, recipe, channels)) - exact).mean()
    # All of them apart: every product is in fp32, whatever the scale of those that are together.
    apart = {
        value: dataclasses.replace(each, apart=np.arange(len(each.factors)), least=-1e-3, most=1e-3)
        for value, each in channels.items()
    }
    small = quantise(graph, recipe, apart)
    onnx.checker.check_model(small)
    np.testing.assert_allclose(scores(small), exact, atol=1e-5)
    # Two of each: those that are left are in 8 bits still, and the input is gathered once for query, key and value.
    two = {value: dataclasses.replace(each, apart=np.array([2, 5])) for value, each in channels.items()}
    small = quantise(graph, recipe, two)
    assert 0 < np.abs(scores(small) - exact).mean() < 1.5 * near
    gathered = [node for node in small.graph.node if node.op_type == "Gather" and node.output[0].endswith("_channels")]
    assert len(gathered) == len(channels) < len(products(graph))
    assert {matrix.shape[0] for _, matrix in products(small).values()} == {2}


def test_products_that_are_kept_stay_as_they_are(graph: onnx.ModelProto, channels: dict[str, Channels]) -> None:
    names = frozenset(products(graph))
    kept = quantise(graph, Recipe(arithmetic="avx512_vnni", embeddings=False, keep=names), channels)
    assert kept.SerializeToString() == graph.SerializeToString() or operators(kept) == operators(graph)
    np.testing.assert_array_equal(scores(kept), scores(graph))
    half = quantise(graph, Recipe(arithmetic="avx512_vnni", keep=names - {min(names)}), channels)
    assert sum(node.op_type == "QuantizeLinear" for node in half.graph.node) == 1


def test_embeddings_have_a_scale_per_word(graph: onnx.ModelProto, channels: dict[str, Channels]) -> None:
    small = quantise(graph, Recipe(arithmetic="avx512_vnni", keep=frozenset(products(graph))), channels)
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


def test_static_scores_do_not_depend_on_the_batch(graph: onnx.ModelProto, channels: dict[str, Channels]) -> None:
    static, dynamic = (
        quantise(graph, Recipe(arithmetic="avx512_vnni", activations=how), channels)  # type: ignore[arg-type]
        for how in ("static", "dynamic")
    )
    change = {}
    for name, made in {"static": static, "dynamic": dynamic}.items():
        change[name] = np.abs(scores(made, batch_tokens=1) - scores(made, batch_tokens=2000)).max()
    assert change["static"] <= 1e-5
    assert change["dynamic"] > 1e-3


def test_the_kernels_are_integer_ones(graph: onnx.ModelProto, channels: dict[str, Channels], tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(quantise(graph, VNNI, channels).SerializeToString(), options)
    made = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert made.count("MatMulIntegerToFloat") == 12
    assert made.count("MatMul") + made.count("FusedMatMul") == 4  # queries with keys, weights with values, twice


def test_products_in_half_bytes_become_floats_when_the_file_is_loaded(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    matrices = [random.normal(size=shape).astype(np.float32) for shape in ((32, 128), (128, 64), (64, 48))]
    given, wanted = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", units])
        for name, units in (("value-0", 32), ("value-3", 48))
    )
    nodes = [
        helper.make_node("MatMul", [f"value-{i}", f"matrix-{i}"], [f"value-{i + 1}"], name=f"product-{i}")
        for i in range(3)
    ]
    constants = [numpy_helper.from_array(matrix, f"matrix-{i}") for i, matrix in enumerate(matrices)]
    graph = helper.make_graph(nodes, "products", [given], [wanted], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    recipe = Recipe(arithmetic="avx512_vnni", activations="float", weight_bits=4)
    made = quantise(model, recipe, {})
    kinds = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert {name for name in kinds if name.startswith("matrix")} == {
        "matrix-0_packed", "matrix-0_scale", "matrix-1_packed", "matrix-1_scale",
        "matrix-2_quantized", "matrix-2_scale",  # 48 columns are not two times a whole number of groups
    }  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    assert {node.op_type for node in onnx.load(tmp_path / "loaded.onnx").graph.node} == {"MatMul"}
    rows = random.normal(size=(5, 32)).astype(np.float32)
    (found,) = session.run(None, {"value-0": rows})
    expected = rows.astype(np.float64)
    for matrix in matrices[:2]:
        packed, scales = half_bytes(matrix)
        numbers = np.concatenate([packed % 16, packed // 16], axis=1).astype(np.float64) - 8
        expected = expected @ (numbers * np.repeat(scales.astype(np.float64), 32, axis=1))
    whole, steps, _ = weights_in_8_bits(matrices[2], "avx512_vnni")
    expected = expected @ (whole.astype(np.float64) * steps)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


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
