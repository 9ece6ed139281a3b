"""What a student is before it is trained."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedModel

from distilrank.data.settings_files import as_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError, SettingsError
from distilrank.models.bilstm import BiLstmForSequenceClassification
from distilrank.models.load import load_model, name_labels, stored_label_names, weights_identity
from distilrank.models.students import (
    STUDENT_SHAPES,
    CopyRule,
    layers_to_copy,
    parse_shape,
    student_from_layers,
    student_from_shape,
)


@dataclass(frozen=True, kw_only=True)
class StudentSettings:
    """What the student is before it is trained: exactly one of the four.

    Attributes:
        shape: layers/hidden/feed-forward/heads, such as 3/384/1536/12; weights are drawn at random.
        layers: How many layers of the teacher it starts from ...
        copy: ... and which: "uniform", "first", "last".
        copy_layers: The teacher's layers themselves, from 1.
        start: Folder or hub name of a checkpoint.
    """

    shape: str | None = None
    layers: int | None = None
    copy: CopyRule = "uniform"
    copy_layers: tuple[int, ...] | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        """Refuse none and several."""
        given = [name for name in ("shape", "layers", "copy_layers", "start") if getattr(self, name) is not None]
        if len(given) != 1:
            shapes = ", ".join(STUDENT_SHAPES)
            raise SettingsError(
                "say what the student is with exactly one of a shape (such as "
                f"{shapes}), a number of the teacher's layers, a list of them, or a checkpoint; given: "
                f"{', '.join(given) or 'none'}"
            )

    def build(
        self,
        teacher: PreTrainedModel,
        tokenizer: PairTokenizer,
        *,
        seed: int,
        offline: bool = False,
        bilstm: bool = False,
    ) -> tuple[PreTrainedModel, PairTokenizer]:
        """Return the untrained student with the teacher's labels, and its tokeniser.

        Args:
            teacher: It is only read.
            tokenizer: The teacher's; the student's too unless it has its own checkpoint.
            seed: Of new weights.
            offline: Whether to use only what is on this machine.
            bilstm: Whether it may be a BiLSTM.

        Raises:
            ModelError: It is a BiLSTM and may be none, or the checkpoint cannot be loaded.
        """
        names = stored_label_names(teacher.config)
        labels = len(names)
        if self.start is not None:
            student, tokenizer = load_model(self.start, num_labels=labels, head="classic", seed=seed, offline=offline)
            if isinstance(student, BiLstmForSequenceClassification) and not bilstm:
                raise ModelError(
                    f"{self.start} is a BiLSTM, which --procedure bilstm makes and only --procedure scores trains "
                    "further"
                )
            if stored_label_names(student.config) == [f"LABEL_{i}" for i in range(labels)]:
                name_labels(student.config, names, num_labels=labels)
            return student, tokenizer
        if self.shape is not None:
            shape = parse_shape(self.shape)
            return student_from_shape(teacher.config, shape, num_labels=labels, seed=seed), tokenizer
        chosen = self.copy_layers or layers_to_copy(teacher.config.num_hidden_layers, self.layers or 0, self.copy)
        return student_from_layers(teacher, chosen, num_labels=labels, seed=seed), tokenizer

    @property
    def identity(self) -> dict[str, object]:
        """What the student is at the start, its checkpoint by the hash of the weights."""
        start = None if self.start is None else weights_identity(self.start)
        return {**as_json(self), "start": start}
