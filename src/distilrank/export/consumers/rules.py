"""What consumers demand of a folder, by their documentation and source, for those that are not run here.

Each rule returns what is wrong, a clause each. Sources, as read in 2026: text-embeddings-inference 1.9 (its router
tells re-rankers from classifiers by the length of ``id2label``, and wants ``label2id``), vLLM's list of models for
scoring, Transformers.js 3 (file names by dtype), FlashRank 0.2.10 and fastembed 0.9.1 (their loaders).
"""

from __future__ import annotations

from distilrank.data.pickles import pickles_in
from distilrank.errors import ModelError
from distilrank.export.consumers.folder import ModelFolder

TEI_TYPES = ("bert", "camembert", "roberta", "xlm-roberta", "distilbert", "modernbert", "gte")
VLLM_ARCHITECTURES = (
    "BertForSequenceClassification",
    "RobertaForSequenceClassification",
    "XLMRobertaForSequenceClassification",
    "ModernBertForSequenceClassification",
    "GteNewForSequenceClassification",
)
ONE_FILE = 2_000_000_000
"""Bytes from which on an ONNX file has to be split, which browsers cannot load."""
KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


def folder_rules(folder: ModelFolder) -> list[str]:
    """What every consumer relies on."""
    problems = []
    limit = folder.tokenizer_config.get("model_max_length")
    if not isinstance(limit, int) or not 0 < limit < 1_000_000:
        problems.append(f"model_max_length in tokenizer_config.json is {limit}, not a number of tokens")
    names, numbers = folder.config.get("id2label") or {}, folder.config.get("label2id") or {}
    if len(names) != folder.labels or {str(number): name for name, number in numbers.items()} != dict(names):
        problems.append(f"id2label and label2id in config.json do not both name {folder.labels} labels")
    if not folder.has_weights and not folder.onnx.is_file():
        problems.append("there is neither model.safetensors nor onnx/model.onnx")
    problems += [f"{path.name} is a pickle, which can run code; remove it" for path in pickles_in(folder.path)]
    if folder.config.get("auto_map"):
        problems.append("auto_map in config.json names code to be run from the folder; remove it")
    return problems


def tei_rules(folder: ModelFolder) -> list[str]:
    """text-embeddings-inference: its own networks by safetensors, any by ONNX."""
    problems = _need(folder, "tokenizer.json", "config.json")
    if not folder.config.get("id2label") or not folder.config.get("label2id"):
        problems.append("config.json lacks id2label or label2id, so it is served as an embedder")
    if folder.config.get("model_type") not in TEI_TYPES and not folder.onnx.is_file():
        problems.append(f"it knows no {folder.config.get('model_type')!r}, and there is no onnx/model.onnx instead")
    if (folder.path / "modules.json").is_file():
        problems.append("modules.json describes a head of several modules, which it does not load")
    if folder.config.get("pad_token_id") is None:
        problems.append("config.json lacks pad_token_id")
    return problems


def vllm_rules(folder: ModelFolder) -> list[str]:
    """vLLM, ``--task score``."""
    problems = _need(folder, "model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")
    known = [name for name in folder.config.get("architectures") or () if name in VLLM_ARCHITECTURES]
    if not known:
        problems.append(f"it scores with none of {folder.config.get('architectures')}")
    return problems


def transformers_js_rules(folder: ModelFolder) -> list[str]:
    """Transformers.js with ``dtype: "fp32"``."""
    problems = _need(folder, "config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx")
    if folder.onnx.is_file() and folder.onnx.stat().st_size >= ONE_FILE:
        problems.append("onnx/model.onnx is too large for one file")
    if folder.config.get("model_type") is None:
        problems.append("config.json lacks model_type")
    return problems


def fastembed_rules(folder: ModelFolder) -> list[str]:
    """Fastembed's loader; before 0.9 it needs ``special_tokens_map.json`` too."""
    problems = _need(folder, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "onnx/model.onnx")
    if not folder.tokenizer_config.get("pad_token"):
        problems.append("tokenizer_config.json lacks pad_token")
    return problems + _graph_rules(folder)


def flashrank_rules(folder: ModelFolder) -> list[str]:
    """FlashRank's loader."""
    return [
        *fastembed_rules(folder),
        *([] if "pad_token_id" in folder.config else ["config.json lacks pad_token_id"]),
    ]


def _graph_rules(folder: ModelFolder) -> list[str]:
    """What those who run the file by itself rely on."""
    if not folder.onnx.is_file():
        return []
    try:
        names = {item.name for item in folder.session.get_inputs()}
    except ModelError as error:
        return [str(error)]
    outputs = folder.session.get_outputs()
    problems = []
    if not {"input_ids", "attention_mask"} <= names <= KNOWN_INPUTS:
        problems.append(f"onnx/model.onnx reads {', '.join(sorted(names))}")
    if len(outputs) != 1 or outputs[0].shape[-1] != folder.labels:
        problems.append(f"onnx/model.onnx does not give {folder.labels} logits alone")
    return problems


def _need(folder: ModelFolder, *names: str) -> list[str]:
    return [f"there is no {name}" for name in names if not (folder.path / name).is_file()]
