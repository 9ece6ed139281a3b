"""From a checkpoint without a masked-language head and plain text to a masked-language model in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from distilrank.data.files import file_hash, write_manifest
from distilrank.data.plain_text import read_documents
from distilrank.data.settings_files import as_json
from distilrank.errors import InputError
from distilrank.models.facts import count_parameters
from distilrank.models.load import weights_identity
from distilrank.models.masked_language import load_masked_language_model
from distilrank.models.save import save_model
from distilrank.procedures.masked_language_head import (
    HIT_RATE,
    MaskedLanguageHeadSettings,
    fit_masked_language_head,
)
from distilrank.workflows.finish import RUN, Trained, decisive, finished

VERB = "fit-mlm-head"
_HOLD_OUT_EVERY = 20
_WORDS_PER_TOKEN = 0.7
_LONGEST_DOCUMENT = 1_000_000


def fit_mlm_head(
    started_from: str,
    *,
    text: Path,
    out: Path,
    settings: MaskedLanguageHeadSettings,
    offline: bool = False,
) -> Trained:
    """Fit a masked-language head on plain text and save encoder and head as one ``BertForMaskedLM`` folder.

    Args:
        started_from: Folder or hub name of the checkpoint.
        text: Plain text, or passages, as ``data.plain_text`` reads them.
        out: Folder of the model; the run's journal and checkpoints go to ``out/run``.
        settings: How.
        offline: Whether to use only what is on this machine.

    Raises:
        InputError: The text is too short to hold any of it out.
    """
    told = {"from": weights_identity(started_from), "settings": as_json(settings), "text": file_hash(text)}
    before = finished(out, verb=VERB, command=told)
    if before is not None:
        return before
    model, tokenizer = load_masked_language_model(
        started_from, new_head=True, seed=settings.training.seed, offline=offline
    )
    learned, held_out = learned_and_held_out(text, settings)
    result = fit_masked_language_head(
        model,
        tokenizer,
        learned,
        held_out=held_out,
        settings=settings,
        folder=out / RUN,
        command=decisive(told),
    )
    model.to("cpu")  # type: ignore[arg-type]
    save_model(model, tokenizer, out)
    parameters = count_parameters(model).total
    write_manifest(
        out,
        verb=VERB,
        settings=told,
        inputs={"text": text},
        outputs={"weights": out / "model.safetensors"},
        extra={"started_from": started_from, "parameters": parameters, HIT_RATE: result.best_value},
    )
    return Trained(folder=out, result=result, parameters=parameters)


def learned_and_held_out(text: Path, settings: MaskedLanguageHeadSettings) -> tuple[list[str], list[str]]:
    """Return the passages to learn from, no more than the run needs, and those to measure on: every twentieth.

    Raises:
        InputError: The text is too short to hold any of it out.
    """
    steps = settings.training.max_steps
    needed = None if steps is None else steps * settings.training.batch_size + settings.held_out
    learned: list[str] = []
    held_out: list[str] = []
    for number, passage in enumerate(islice(_passages(text, settings.max_tokens), needed)):
        is_out = number % _HOLD_OUT_EVERY == 0 and len(held_out) < settings.held_out
        (held_out if is_out else learned).append(passage)
    if not learned:
        raise InputError("holds too little text to learn from; give a longer one", path=text)
    return learned, held_out


def _passages(text: Path, max_tokens: int) -> Iterator[str]:
    """Yield runs of sentences of one document that fill about ``max_tokens`` tokens."""
    room = max(1, int(_WORDS_PER_TOKEN * max_tokens))
    for sentences in read_documents(text, longest=_LONGEST_DOCUMENT):
        gathered: list[str] = []
        words = 0
        for sentence in sentences:
            count = len(sentence.split())
            if gathered and words + count > room:
                yield " ".join(gathered)
                gathered, words = [], 0
            gathered.append(sentence)
            words += count
        yield " ".join(gathered)
