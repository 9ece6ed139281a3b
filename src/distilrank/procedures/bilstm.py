"""BERT into a single-layer BiLSTM: the student imitates the teacher's logits on a large transfer set.

Tang, Lu, Liu, Mou, Vechtomova, Lin: "Distilling Task-Specific Knowledge from BERT into Simple Neural Networks", 2019,
https://arxiv.org/abs/1903.12136.

    L = alpha * CE(y, softmax(z_S)) + (1 - alpha) * ||z_T - z_S||^2          (alpha = 0 was best)

1. the teacher is fine-tuned and frozen; the student is a BiLSTM over word embeddings, siamese for pairs
   (``models.bilstm``);
2. the transfer set is the training set and what three rules make of it (``augmentation.rules``), without labels;
3. the teacher gives its logits for the whole transfer set, once;
4. the student is trained on them by AdaDelta; the weights with the best accuracy on dev are kept.

A text without a label has the teacher's decision for one when alpha > 0. A ranker's one logit is compared as it is, and
so are the numbers of a regression. The paper could be consulted in secondary texts only, beside its code. Departures:
the squared norm is divided by the number of logits, as in the code; the code adds CE with weight 1 unless told
otherwise, and leaves n-gram sampling off; dropout acts in the siamese form too, where the code leaves it out.
Learning rate 1.0 and the batch of 256 pairs are how the paper is remembered, not checked; the code's configurations
have 5e-4, and 16 for pairs. ``soft`` and ``kl`` are the code's alternatives to the squared error (its MNLI script has
``kl`` with temperature 3); ours carry T^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer, token_batches
from distilrank.errors import ModelError, SettingsError
from distilrank.losses import class_logits, hard_loss, kl_divergence, logit_mse, soft_loss, two_class_logits
from distilrank.models.answers import Batch, answer, usual_device
from distilrank.models.bilstm import BiLstmForSequenceClassification
from distilrank.models.matching import require_same_labels
from distilrank.models.scorer import TorchScorer
from distilrank.records import Example
from distilrank.teaching.logits import teacher_logits
from distilrank.training.loop import TrainingResult, train
from distilrank.training.microbatch import MicroBatch
from distilrank.training.settings import TrainingSettings, require_sizes

Objective = Literal["mse", "soft", "kl"]


def _adadelta(batch_size: int) -> TrainingSettings:
    """Return the training that the module's docstring describes."""
    return TrainingSettings(
        optimiser="adadelta",
        learning_rate=1.0,
        schedule="constant",
        warmup_share=0.0,
        weight_decay=0.0,
        max_grad_norm=None,  # the code's limit of 30,000 is none
        epochs=30,
        batch_size=batch_size,
    )


@dataclass(frozen=True, kw_only=True)
class BiLstmStudent:
    """What the student is; the defaults are the model of SST-2 (``birnn_sst2_150.json``).

    Attributes:
        hidden: Of one direction of the LSTM; 150 or 300 in the paper.
        fully_connected: Width of the layer before the logits; 200 or 400 in the paper.
        channels: 2 for static and tuned embeddings side by side, 1 for tuned ones.
        dimensions: Of one channel where no vector file gives them.
        vocabulary_size: Most words.
        min_count: How often a word without a vector has to be seen to be in the vocabulary.
        lowercase: Whether text is put in lower case.
        dropout: Before the logits.
    """

    hidden: int = 150
    fully_connected: int = 200
    channels: int = 2
    dimensions: int = 300
    vocabulary_size: int = 50_000
    min_count: int = 2
    lowercase: bool = True
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True)
class BiLstmSettings:
    """How to distil into a BiLSTM that reads single texts.

    Attributes:
        alpha: Weight of the cross entropy with labels, from 0 (the teacher's logits only; section 4.2) to 1.
        objective: How logits are compared: "mse" (equation 3), "soft" or "kl".
        temperature: Of "soft" and "kl".
        max_tokens: Most words of a text, of each of a pair's by itself.
        batch_tokens: Most words run at once, padding included; changes no result.
        student: What the student is.
        training: AdaDelta with rho 0.95, 30 epochs, batch of 50. ``evaluate_every``: each epoch when not given.
    """

    alpha: float = 0.0
    objective: Objective = "mse"
    temperature: float = 1.0
    max_tokens: int = 256
    batch_tokens: int = 32_768
    student: BiLstmStudent = field(default_factory=BiLstmStudent)
    training: TrainingSettings = field(default_factory=lambda: _adadelta(50))

    def __post_init__(self) -> None:
        """Refuse shares outside [0, 1] and sizes that make no sense."""
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=self.temperature)
        if not 0 <= self.alpha <= 1:
            raise SettingsError(f"alpha is {self.alpha} but must lie between 0 and 1")
        if self.objective not in get_args(Objective):
            raise SettingsError(f"objective is {self.objective!r} but must be one of {', '.join(get_args(Objective))}")
        if self.objective == "mse" and self.temperature != 1:
            raise SettingsError(f"temperature is {self.temperature}, but mse has none; give objective soft or kl")


@dataclass(frozen=True, kw_only=True)
class BiLstmPairSettings(BiLstmSettings):
    """How to distil into a siamese BiLSTM: as for single texts, with a batch of 256 pairs."""

    training: TrainingSettings = field(default_factory=lambda: _adadelta(256))


@dataclass(frozen=True, slots=True)
class TransferBatch:
    """Texts or pairs with what the teacher said about them.

    Attributes:
        batch: Word ids, (batch, length).
        teacher: The teacher's logits, (batch, labels); zeros where labels alone are learnt from.
        labels: As the losses over labels want them; where an example has none, the teacher's decision.
    """

    batch: Batch
    teacher: Tensor
    labels: Tensor


def distil(
    student: BiLstmForSequenceClassification,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    examples: Sequence[Example],
    *,
    teacher_tokenizer: PairTokenizer,
    settings: BiLstmSettings,
    folder: Path,
    command: Mapping[str, object],
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """Train the student in place; the teacher is only read.

    Args:
        student: With as many logits as the teacher; siamese for pairs.
        teacher: Fine-tuned.
        tokenizer: The student's.
        examples: The transfer set, with or without labels.
        teacher_tokenizer: The teacher's, with its own limit on tokens.
        settings: How.
        folder: The run folder, resumed when it holds a part of the same run; the teacher's logits lie in ``teacher``.
        command: What identifies the run besides the settings: teacher, data and their hashes.
        evaluate: Measures of the student as it is, higher is better; the first one decides which step is best.

    Raises:
        ModelError: The two networks do not match in labels, or the student's form does not fit the examples.
        ResumeError: The folder belongs to another command.
    """
    require_same_labels(student, teacher)
    require_form(student, examples)
    teacher.to(usual_device())  # type: ignore[arg-type]
    if settings.alpha < 1 or any(example.label is None for example in examples):
        scorer = TorchScorer(teacher, teacher_tokenizer, precision=settings.training.precision)
        logits = teacher_logits(scorer, examples, folder=folder / "teacher", command=command)
    else:  # labels alone: nothing of the teacher is read
        logits = np.zeros((len(examples), int(student.config.num_labels or 0)), np.float32)
    limited = tokenizer.with_max_tokens(settings.max_tokens)
    problem = student.config.problem_type
    training = settings.training
    if evaluate is not None and training.evaluate_every is None:
        training = replace(training, evaluate_every=math.ceil(len(examples) / training.batch_size))
    return train(
        model=student,
        examples=range(len(examples)),
        split=lambda step: split_transfer(
            [examples[position] for position in step],
            logits[step],
            tokenizer=limited,
            batch_tokens=settings.batch_tokens,
            device=student.device,
            problem=problem,
        ),
        loss_terms=lambda batch: loss_terms(
            answer(student, batch.batch).logits, batch.teacher, batch.labels, settings, problem=problem
        ),
        settings=training,
        folder=folder,
        command=command,
        evaluate=evaluate,
        stage="bilstm",
    )


def require_form(student: BiLstmForSequenceClassification, examples: Sequence[Example]) -> None:
    """Refuse pairs for a student of single texts, and the other way round.

    Raises:
        ModelError: Saying what the student reads.
    """
    pairs = {example.text_pair is not None for example in examples}
    if pairs - {student.config.siamese}:
        reads = "pairs of texts (siamese)" if student.config.siamese else "single texts"
        raise ModelError(f"the student reads {reads}, and there are examples of the other kind")


def loss_terms(
    student: Tensor, teacher: Tensor, labels: Tensor, settings: BiLstmSettings, *, problem: str | None = None
) -> dict[str, Tensor]:
    """Compute the two terms of L, weighted; their sum is what is minimised.

    Args:
        student: Logits, (batch, labels).
        teacher: Logits, (batch, labels).
        labels: See ``TransferBatch``.
        settings: Weights and objective.
        problem: The student's ``problem_type``; None: classes, or a ranker's one logit.
    """
    terms: dict[str, Tensor] = {}
    if settings.alpha > 0:
        terms["hard"] = settings.alpha * hard_loss(student, labels, problem=problem)
    if settings.alpha < 1:
        terms[settings.objective] = (1 - settings.alpha) * _distil_loss(student, teacher, settings, problem)
    return terms


def _distil_loss(student: Tensor, teacher: Tensor, settings: BiLstmSettings, problem: str | None) -> Tensor:
    if settings.objective == "mse" or problem == "regression":
        return logit_mse(student, teacher)
    if settings.objective == "soft":
        return soft_loss(student, teacher, problem=problem, temperature=settings.temperature)
    if problem == "multi_label_classification":  # each label is the two classes [0, z]
        ours, theirs = two_class_logits(student.flatten()), two_class_logits(teacher.flatten())
    else:
        ours, theirs = class_logits(student), class_logits(teacher)
    return kl_divergence(ours, theirs, temperature=settings.temperature)


def teacher_labels(logits: Tensor, *, problem: str | None = None) -> Tensor:
    """Return the teacher's decisions as labels.

    Args:
        logits: (batch, labels).
        problem: See ``loss_terms``.

    Returns:
        Classes, (batch,) int64, where a ranker's are 1 above a logit of 0; (batch, labels) of 0 and 1 for several
        labels at once; (batch,) numbers for regression.
    """
    if problem == "regression":
        return logits[:, 0].clone()  # the labels that are known will be written into it
    if problem == "multi_label_classification":
        return (logits > 0).float()
    return class_logits(logits).argmax(dim=1)


def split_transfer(
    examples: Sequence[Example],
    logits: NDArray[np.float32],
    *,
    tokenizer: PairTokenizer,
    batch_tokens: int,
    device: torch.device | str = "cpu",
    problem: str | None = None,
) -> list[MicroBatch[TransferBatch]]:
    """Cut a step's examples into micro-batches of similar length.

    Args:
        examples: Texts or pairs, not both.
        logits: The teacher's, (examples, labels).
        tokenizer: The student's; decides the limit on words.
        batch_tokens: Most words of a micro-batch, padding included.
        device: Where the tensors go.
        problem: See ``loss_terms``.
    """
    pairs = None if examples[0].text_pair is None else [str(example.text_pair) for example in examples]
    encoded = tokenizer.encode([example.text for example in examples], pairs)
    teacher = torch.from_numpy(logits)
    labels = teacher_labels(teacher, problem=problem)
    for row, example in enumerate(examples):
        if example.label is not None:
            labels[row] = torch.as_tensor(example.label)
    micro_batches = []
    for positions in token_batches(map(len, encoded), max_batch_tokens=batch_tokens):
        batch = Batch.from_arrays(tokenizer.pad([encoded[i] for i in positions]), device)
        content = TransferBatch(batch, teacher[positions].to(device), labels[positions].to(device))
        tokens = sum(len(encoded[i]) for i in positions)
        micro_batches.append(MicroBatch(content=content, examples=len(positions), pairs=len(positions), tokens=tokens))
    return micro_batches
