"""A folder's float ONNX file as OpenVINO's intermediate representation, where its consumers look for it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.data.tokens import PairTokenizer, TokenArrays
from distilrank.errors import MissingExtraError, ModelError
from distilrank.runtime.folder import network_file, require_folder
from distilrank.runtime.openvino_session import FILE, OpenVinoSession
from distilrank.runtime.session import named_inputs, open_session

PARITY = 1e-4
"""Largest allowed difference between a logit of onnxruntime and of OpenVINO, both in fp32."""

LENGTHS = (1, 2, 3, 7, 16, 33, 129, 600)
"""In words, of the second texts that are compared: odd ones, and one that is longer than any limit."""

BATCH_TOKENS = (1, 1024)
"""Each pair by itself, and several together."""


def export_openvino(folder: str | Path) -> Path:
    """Write ``openvino/openvino_model.xml`` and ``.bin``, after comparing their logits with onnxruntime's.

    Args:
        folder: Of a model with its float export.

    Returns:
        Path of the ``.xml``.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelError: There is no float export, OpenVINO cannot read it, or logits differ by more than ``PARITY``.
    """
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("openvino", extra="openvino", purpose="to export to OpenVINO") from None
    folder = require_folder(folder)
    source, target = network_file(folder, "fp32"), folder / FILE
    tokenizer = PairTokenizer.from_folder(folder)
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent) as temporary:
        made = Path(temporary) / target.name
        try:
            # Not convert_model, which reports its use to OpenVINO's makers where openvino-telemetry is installed.
            graph = openvino.Core().read_model(source)
            openvino.save_model(graph, made, compress_to_fp16=False)
            session = OpenVinoSession(made)
        except RuntimeError as error:  # all of OpenVINO's
            raise ModelError(f"OpenVINO cannot take {source} ({str(error).strip().splitlines()[-1]})") from error
        check_parity(session, open_session(source), tokenizer)
        del graph, session  # they hold the files open
        for suffix in (".bin", ".xml"):  # the .xml last: where there is one, there are weights
            os.replace(made.with_suffix(suffix), target.with_suffix(suffix))
    return target


def check_parity(session: Any, reference: Any, tokenizer: PairTokenizer) -> float:
    """Return the largest difference between two sessions' logits on random words.

    Raises:
        ModelError: It is more than ``PARITY``.
    """
    random, words = np.random.default_rng(0), sorted(tokenizer.backend.get_vocab())
    texts = [" ".join(random.choice(words, 5)) for _ in LENGTHS]
    seconds = [" ".join(random.choice(words, length)) for length in LENGTHS]
    difference = 0.0
    for batch_tokens in BATCH_TOKENS:
        for _, arrays in tokenizer.batches(texts, seconds, batch_tokens=batch_tokens):
            ours, theirs = (_logits(each, arrays) for each in (session, reference))
            difference = float(np.maximum(difference, np.abs(ours - theirs).max()))  # keeps what is no number
    if not difference <= PARITY:
        raise ModelError(
            f"OpenVINO's logits differ from onnxruntime's by {difference:.2g}, more than {PARITY:g}, and its files "
            "were not written; run the model with onnxruntime"
        )
    return difference


def _logits(session: Any, arrays: TokenArrays) -> NDArray[np.float32]:
    (found,) = session.run(["logits"], named_inputs(session, arrays))
    return np.asarray(found)
