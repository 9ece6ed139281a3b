"""Masked-language models: loaded with their head, or refused, and asked for one masked word per sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError
from distilrank.models.answers import Batch, takes_token_types
from distilrank.models.load import (
    load_tokenizer,
    loading_error,
    position_limit,
    quiet_transformers,
    read_config,
    resolve_source,
)


def load_masked_language_model(
    name_or_path: str | Path, *, new_head: bool = False, seed: int = 0, offline: bool = False
) -> tuple[PreTrainedModel, PairTokenizer]:
    """Load a network that fills in masked tokens, and its tokeniser.

    Args:
        name_or_path: A Hugging Face folder, a name on the hub, or ``minilm-l6``.
        new_head: Whether a checkpoint without a masked-language head gets an untrained one.
        seed: Initialises the head when it is new.
        offline: Whether to use only what is on this machine.

    Returns:
        The network with fp32 weights, in evaluation mode, on the CPU, and its tokeniser.

    Raises:
        ModelError: The checkpoint is missing or broken, its family has no such head, or it holds none.
        OfflineError: It would have to be downloaded, and may not or could not.
    """
    source = resolve_source(name_or_path)
    with quiet_transformers():
        config = read_config(source, offline=offline)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                model, report = AutoModelForMaskedLM.from_pretrained(
                    source,
                    config=config,
                    dtype=torch.float32,
                    local_files_only=offline,
                    trust_remote_code=False,
                    use_safetensors=True,
                    output_loading_info=True,
                )
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                raise loading_error(source, error, offline=offline) from error
        tokenizer = load_tokenizer(source, offline=offline)
    missing = sorted(str(key) for key in report["missing_keys"])
    prefix = f"{model.base_model_prefix}."
    if lacking := [key for key in missing if key.startswith(prefix)]:
        raise ModelError(
            f"{source} lacks {len(lacking)} of the weights that its config.json describes, such as {lacking[0]}"
        )
    if missing and not new_head:
        raise ModelError(
            f"{name_or_path} has no masked-language head ({missing[0]} is missing); fit one on plain text with: "
            f"distilrank fit-mlm-head --model {name_or_path} --text FILE --out DIR, "
            "or leave --mlm out, which takes word vectors for every word"
        )
    return model.eval(), tokenizer.with_max_tokens(min(tokenizer.max_tokens, position_limit(model.config)))


def masked_logits(model: PreTrainedModel, batch: Batch, places: Tensor) -> Tensor:
    """Return what a masked-language model answers at one place of each text, (batch, vocabulary).

    The head, which costs as much as several layers, is run on these places only.

    Args:
        model: With a masked-language head.
        batch: On the model's device.
        places: (batch,) int64, the position asked for in each row.
    """

    def keep_places(module: Any, inputs: Any, output: Any) -> Any:
        rows = torch.arange(len(places), device=places.device)
        output.last_hidden_state = output.last_hidden_state[rows, places].unsqueeze(1)  # (batch, 1, hidden)
        return output

    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if takes_token_types(model):
        inputs["token_type_ids"] = batch.token_type_ids
    handle = model.base_model.register_forward_hook(keep_places)
    try:
        logits: Tensor = model(**inputs, return_dict=True).logits[:, 0]
    finally:
        handle.remove()
    return logits
