"""From a language model and plain text to a general student, from which the students of any task start.

The folder that is left holds an encoder without a head, as ``AutoModel`` saves it; ``load_model`` gives it the head
that a task needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedModel

from distilrank.data.chunks import Chunks, ChunkSettings, build_chunks
from distilrank.data.files import file_hash
from distilrank.data.settings_files import as_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError
from distilrank.models.load import load_model, name_labels, weights_identity
from distilrank.procedures.tinybert import GeneralDistillationSettings, general_distil
from distilrank.workflows.finish import RUN, Making, Trained, decisive
from distilrank.workflows.progress import counted
from distilrank.workflows.student import StudentSettings

VERB = "general-distil"
NO_HEAD = 2
"""Labels in the configuration of a network without a head: transformers' own default."""


def distil_generally(
    texts: Sequence[Path],
    *,
    teacher: str,
    out: Path,
    student: StudentSettings,
    settings: GeneralDistillationSettings,
    chunking: ChunkSettings,
    chunks: Path | None = None,
    command: str = "",
    offline: bool = False,
    shown: bool = True,
) -> Trained:
    """Distil a language model into a general student by TinyBERT's first phase, and save its encoder.

    Args:
        texts: Files of plain text or passages; see ``data.plain_text``.
        teacher: Folder, hub name or alias of a language model, not fine-tuned.
        out: Folder of the student; the run's journal and checkpoints go to ``out/run``.
        student: What it is at the start.
        settings: Of the procedure.
        chunking: How the text becomes chunks; ``max_tokens`` is that of ``settings``. Where it has no number of chunks
            and the steps are given, no more chunks are made than these read.
        chunks: Folder of the chunks, which several runs may share. None: ``out/run/chunks``.
        command: The command line, for the card.
        offline: Whether to use only what is on this machine.
        shown: Whether to show progress on standard error.

    Raises:
        InputError: No text is given, or a file of it is missing or bad.
    """
    if not texts:
        raise InputError("no text is given; name at least one file of it with --text")
    training = settings.training
    needed = None if training.max_steps is None else training.max_steps * training.batch_size
    chunking = replace(chunking, max_tokens=settings.max_tokens, chunks=chunking.chunks or needed)
    told: dict[str, object] = {
        "texts": [file_hash(text) for text in texts],
        "teacher": weights_identity(teacher),
        "student": student.identity,
        "chunking": as_json(chunking),
        "settings": as_json(settings),
    }
    making = Making(
        verb=VERB,
        out=out,
        told=told,
        started_from=student.start or teacher,
        teacher=teacher,
        command=command,
        seed=training.seed,
    )
    before = making.done_before()
    if before is not None:
        return before
    teacher_model, teacher_tokenizer = load_model(teacher, offline=offline)
    network, tokenizer = student.build(teacher_model, teacher_tokenizer, seed=training.seed, offline=offline)
    examples = _chunks(texts, chunks or out / RUN / "chunks", tokenizer, chunking, shown=shown)
    result = general_distil(
        network,
        teacher_model,
        tokenizer,
        examples,
        teacher_tokenizer=teacher_tokenizer,
        settings=settings,
        folder=out / RUN,
        command=decisive(told),
    )
    encoder: PreTrainedModel = getattr(network, network.base_model_prefix)
    name_labels(encoder.config, None, num_labels=NO_HEAD)
    return making.finish(
        encoder,
        tokenizer.with_max_tokens(settings.max_tokens),
        result,
        made_by="TinyBERT's general distillation (Jiao et al. 2020, arXiv 1909.10351)",
        examples=f"sentence pairs from {', '.join(text.name for text in texts)}",
        count=len(examples),
        inputs={f"text {number}": text for number, text in enumerate(texts, start=1)},
        task="feature-extraction",
        onnx=False,
    )


def _chunks(
    texts: Sequence[Path], folder: Path, tokenizer: PairTokenizer, settings: ChunkSettings, *, shown: bool
) -> Chunks:
    """Build the chunks, or open those that the same command built."""
    with counted("chunks of text", shown=shown) as count:
        return build_chunks(texts, folder, tokenizer=tokenizer, settings=settings, progress=count)
