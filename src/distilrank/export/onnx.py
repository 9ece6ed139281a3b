"""A ranker or classifier as ``onnx/model.onnx``: one file with the names and shapes other runtimes expect.

Inputs ``input_ids``, ``attention_mask`` and, where the network reads them, ``token_type_ids``, all int64 of
shape [batch, sequence] with both dynamic; output ``logits``, float32 of shape [batch, labels].
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distilrank.data.files import atomic_write_bytes
from distilrank.data.tokens import PairTokenizer, TokenArrays
from distilrank.errors import MissingExtraError, ModelError
from distilrank.export.bert_graph import bert_graph, is_plain_bert
from distilrank.export.bilstm_graph import encoder_graph, head_graph, model_graph
from distilrank.export.graph import OPSET
from distilrank.export.late_interaction_graph import is_late_interaction, late_interaction_graph
from distilrank.models.answers import Batch, answer, takes_token_types
from distilrank.models.bilstm import BiLstmForSequenceClassification

if TYPE_CHECKING:
    import onnx

PARITY = 1e-4
"""Largest allowed difference between a logit of torch and of ONNX."""

PARITY_SHAPES = ((1, 3), (1, 129), (2, 8), (3, 17), (7, 33))
"""Batch and length of the inputs compared: batch 1, odd lengths, and none that the export traced."""


def require_libraries() -> None:
    """Refuse to begin what ends in an export that cannot be made.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtraError(library, extra="export", purpose="to export to ONNX")


def export_onnx(model: PreTrainedModel, tokenizer: PairTokenizer, folder: str | Path) -> Path:
    """Write ``onnx/model.onnx`` with the weights inside, after comparing it with torch.

    Of a siamese ranker also its halves, ``onnx/encoder.onnx`` and ``onnx/head.onnx``, see ``bilstm_graph``.

    Args:
        model: A sequence classifier or ranker; it is only read.
        tokenizer: Its tokeniser, for the limit on tokens.
        folder: The model folder; an older export in it is replaced only by one that passes.

    Returns:
        Path of the file.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ModelError: A graph differs from torch by more than ``PARITY`` or answers the same to everything.
    """
    require_libraries()
    # A copy: moving to the CPU and switching to evaluation mode must not be seen outside.
    model = copy.deepcopy(model).cpu().float().eval()
    graph = _graph(model).SerializeToString()
    check_parity(model, graph, max_tokens=tokenizer.max_tokens)
    halves = {}
    if isinstance(model, BiLstmForSequenceClassification) and model.config.siamese and model.config.num_labels == 1:
        halves = {"encoder": encoder_graph(model).SerializeToString(), "head": head_graph(model).SerializeToString()}
        check_halves(model, **halves, max_tokens=tokenizer.max_tokens)
    return write_float(graph, Path(folder), halves)


def write_float(graph: bytes, folder: Path, halves: Mapping[str, bytes] | None = None) -> Path:
    """Write ``onnx/model.onnx`` and its halves; files that were made of or judged beside another one go."""
    path = folder / "onnx" / "model.onnx"
    if not (path.is_file() and path.read_bytes() == graph):
        stale = [path.with_name(name) for name in ("quality.json", "encoder.onnx", "head.onnx")]
        openvino = (folder / "openvino" / f"openvino_model.{suffix}" for suffix in ("xml", "bin"))
        for file in (*path.parent.glob("model_q*.onnx"), *stale, *openvino, folder / "calibration.json"):
            file.unlink(missing_ok=True)
        atomic_write_bytes(path, graph)
    # The encoder last: where there is one, there is a head.
    for name in sorted(halves or {}, reverse=True):
        atomic_write_bytes(path.with_name(f"{name}.onnx"), (halves or {})[name])
    return path


def _graph(model: PreTrainedModel) -> onnx.ModelProto:
    """Write the graph by hand where its family is known, else with torch's exporter."""
    if isinstance(model, BiLstmForSequenceClassification):
        return model_graph(model)
    if is_late_interaction(model):
        return late_interaction_graph(model)
    return bert_graph(model) if is_plain_bert(model) else _traced(model)


def check_parity(model: PreTrainedModel, graph: bytes, *, max_tokens: int) -> float:
    """Compare an ONNX graph with the network it came from.

    Args:
        model: The network, on the CPU, in evaluation mode.
        graph: The serialised graph.
        max_tokens: Inputs are no longer than this.

    Returns:
        The largest difference between two logits.

    Raises:
        ModelError: It is more than ``PARITY``, or the graph answers the same to every input.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    differences, answers = [], []
    for seed, (batch, length) in enumerate(PARITY_SHAPES):
        arrays = _random_arrays(model, batch, min(length, max_tokens), seed=seed)
        (exported,) = session.run(["logits"], {name: _named(arrays)[name] for name in names})
        with torch.inference_mode():
            expected = answer(model, Batch.from_arrays(arrays)).logits.numpy()
        differences.append(np.abs(exported - expected).max())
        answers.append(exported)
    difference = float(np.max(differences))
    # Written so that a difference that is no number fails too.
    if not difference <= PARITY:
        raise ModelError(
            f"the ONNX graph differs from torch by {difference:.2g} in a logit, more than {PARITY:g}, "
            "and was not written; export with another version of torch"
        )
    if np.ptp(np.concatenate(answers), axis=0).max() == 0.0:
        raise ModelError("the model gives every input the same logits, so it ranks nothing; train it before exporting")
    return difference


def check_halves(model: BiLstmForSequenceClassification, *, encoder: bytes, head: bytes, max_tokens: int) -> float:
    """Compare the halves of a siamese network with torch; the largest difference between two logits.

    Raises:
        ModelError: It is more than ``PARITY``.
    """
    import onnxruntime

    both = [onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]) for graph in (encoder, head)]
    difference = 0.0
    for seed, (batch, length) in enumerate(PARITY_SHAPES):
        vectors, expected = [], []
        for text in (0, 1):
            arrays = _random_arrays(model, batch, min(length, max_tokens), seed=2 * seed + text)
            inputs = {"input_ids": arrays.input_ids, "attention_mask": arrays.attention_mask}
            vectors.append(both[0].run(["vector"], inputs)[0])
            with torch.inference_mode():
                counts = torch.from_numpy(arrays.attention_mask.sum(axis=1))
                expected.append(model.encode(torch.from_numpy(arrays.input_ids), counts))
        (logits,) = both[1].run(["logits"], {"first": vectors[0], "second": vectors[1]})
        with torch.inference_mode():
            wanted = model.compare(*expected).numpy()
        difference = float(np.maximum(difference, np.abs(logits - wanted).max()))  # keeps what is no number
    if not difference <= PARITY:
        raise ModelError(
            f"the halves of the ONNX graph differ from torch by {difference:.2g} in a logit, more than {PARITY:g}, "
            "and were not written; export with another version of onnxruntime"
        )
    return difference


class _Network(nn.Module):
    """The network behind the three inputs, with nothing but logits coming out."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, **segments, return_dict=True)
        return output.logits  # type: ignore[no-any-return]


def _traced(model: PreTrainedModel) -> onnx.ModelProto:
    """Export with torch's exporter.

    Inputs go by name: by position, two in the wrong order give a valid but wrong graph.
    """
    arrays = _random_arrays(model, 2, 6, seed=0)
    inputs = {name: torch.from_numpy(array) for name, array in _named(arrays).items()}
    if not takes_token_types(model):
        del inputs["token_type_ids"]
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    with _quiet_exporter():
        program = torch.onnx.export(
            _Network(model),
            kwargs=inputs,
            input_names=list(inputs),
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=dict.fromkeys(inputs, sizes),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ModelError(f"{type(model).__name__} could not be exported to ONNX")
    return _cleaned(program.model_proto)


def _cleaned(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what no runtime needs: stack traces with this machine's paths, and shapes that break quantisation.

    ``onnxruntime.quantization`` fails on the shapes torch's exporter notes for values inside the graph, and
    infers them itself when they are absent.
    """
    del graph.graph.value_info[:]
    for function in graph.functions:
        del function.value_info[:]
    for node in [*graph.graph.node, *(node for function in graph.functions for node in function.node)]:
        del node.metadata_props[:]
        node.doc_string = ""
    del graph.graph.metadata_props[:]
    return graph


def _random_arrays(model: PreTrainedModel, batch: int, length: int, *, seed: int) -> TokenArrays:
    """Return pairs of random tokens, the rows of different lengths and padded."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, int(model.config.vocab_size), (batch, length))
    ends = np.maximum(2, length - np.arange(batch))[:, None]
    positions = np.arange(length)[None, :]
    mask = (positions < ends).astype(np.int64)
    # A network that knows a single segment (RoBERTa) would index past its embedding.
    segments = int(getattr(model.config, "type_vocab_size", 0)) > 1 or bool(getattr(model.config, "siamese", False))
    types = ((positions >= ends // 2) & (positions < ends)).astype(np.int64) * segments
    return TokenArrays(np.where(mask, ids, int(model.config.pad_token_id or 0)), mask, types)


def _named(arrays: TokenArrays) -> dict[str, Any]:
    """Return the arrays under the names of the graph's inputs."""
    return {
        "input_ids": arrays.input_ids,
        "attention_mask": arrays.attention_mask,
        "token_type_ids": arrays.token_type_ids,
    }


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide the exporter's notes about itself; what it writes is compared with torch anyway."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
