"""General distillation: a student of a language model, from which the students of all tasks start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedModel

from distilrank.data.tokens import Encoded, PairTokenizer
from distilrank.errors import SettingsError
from distilrank.models.frozen import frozen
from distilrank.procedures.tinybert.layers import LayerSettings, imitation, require_match
from distilrank.training.examples import split_chunks
from distilrank.training.loop import TrainingResult, train
from distilrank.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class GeneralDistillationSettings(LayerSettings):
    """General distillation (section 4.2, and the defaults of ``general_distill.py``).

    Attributes:
        training: Batch of 256 chunks, 5e-5, 3 epochs, 10% warm-up, weight decay 0.01.
    """

    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(epochs=3, batch_size=256))

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to learn."""
        super().__post_init__()
        if not self.imitates:
            raise SettingsError("every term has weight 0, so there is nothing to minimise")


def general_distil(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    chunks: Sequence[Encoded],
    *,
    teacher_tokenizer: PairTokenizer | None = None,
    settings: GeneralDistillationSettings,
    folder: Path,
    command: Mapping[str, object],
) -> TrainingResult:
    """Train the encoder of a student in place on plain text; pooler and head stay as they are.

    Args:
        student: Of any number of logits, which are not looked at.
        teacher: A language model's encoder, not fine-tuned; it is only read.
        tokenizer: The student's, for padding.
        chunks: Such as ``data.chunks.Chunks``, of at most ``settings.max_tokens`` tokens.
        teacher_tokenizer: The teacher's, to check that it gives the same ids. None: known to be the same.
        settings: How.
        folder: The run folder, resumed when it holds a part of the same run.
        command: What identifies the run besides the settings: teacher, texts and their hashes.

    Raises:
        ModelError: The two networks do not match: token ids or (for the attention term) head counts.
        SettingsError: Mapping, layer weights or ``max_tokens`` do not fit the two networks.
    """
    require_match(student, teacher, tokenizer, teacher_tokenizer, settings)
    projections, terms = imitation(student, teacher, settings, seed=settings.training.seed)
    with frozen(teacher, precision=settings.training.precision):
        return train(
            model=student,
            projections=projections,
            examples=chunks,
            split=lambda step: split_chunks(
                step,
                tokenizer=tokenizer,
                batch_tokens=settings.batch_tokens,
                device=student.device,
                length=settings.padded_length,
            ),
            loss_terms=terms,
            settings=settings.of_stage(settings.training),
            folder=folder,
            command=command,
            stage="general-distillation",
        )
