"""From a teacher folder, prepared data and a transfer set to a distilled BiLSTM in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedModel

from distilrank.data.files import file_hash
from distilrank.data.lines import BadLines
from distilrank.data.settings_files import as_json
from distilrank.data.tokens import PairTokenizer
from distilrank.data.triples import SampledPairs
from distilrank.data.word_tokens import choose_words, split_words, word_tokenizer
from distilrank.data.word_vectors import read_word_vectors
from distilrank.errors import InputError
from distilrank.models.bilstm import BiLstmForSequenceClassification, new_bilstm
from distilrank.models.load import load_model, name_labels, stored_label_names, weights_identity
from distilrank.models.scorer import TorchScorer
from distilrank.models.siamese_scorer import SiameseScorer
from distilrank.models.word_rows import random_rows, rows_from_teacher, rows_from_vectors
from distilrank.procedures import bilstm
from distilrank.procedures.bilstm import BiLstmSettings
from distilrank.records import Example
from distilrank.workflows.ancestry import known_ancestry
from distilrank.workflows.distil import VERB, open_for_teacher
from distilrank.workflows.finish import RUN, Trained, decisive, finish, finished
from distilrank.workflows.model_card import ModelCard
from distilrank.workflows.training_data import PROBLEM_TYPES, DevSettings, LabelledData, RankingData, transfer_set

FROM_TEACHER, RANDOM = "teacher", "random"
"""Where word embeddings come from when they come from no file."""
MOST_VECTORS = 500_000
"""Words that are read of a vector file, which has the most frequent ones first."""


def distil_bilstm(
    *,
    teacher: str,
    data: Path,
    out: Path,
    settings_for: Callable[[bool], BiLstmSettings],
    dev: DevSettings,
    vectors: str = FROM_TEACHER,
    augmented: Sequence[Path] = (),
    triples: int | None = None,
    groups: Path | None = None,
    command: str = "",
    offline: bool = False,
    bad: BadLines | None = None,
) -> Trained:
    """Distil a teacher into a BiLSTM and save it.

    Args:
        teacher: Folder or hub name.
        data: A folder that ``prepare`` made, a JSONL file of groups, or labelled texts.
        out: Folder of the student; the run's journal and checkpoints go to ``out/run``.
        settings_for: Whether the data is pairs -> settings of the procedure, whose defaults differ.
        dev: How to judge a ranker on the way, when the folder has a dev split.
        vectors: A file of word vectors, "teacher" for the teacher's vocabulary and embeddings in fewer dimensions,
            or "random".
        augmented: Files of examples, as ``augment`` writes them, which join the data in the transfer set.
        triples: How many triples are drawn for a ranker. None: two for each group.
        groups: Groups to train on instead of the folder's own.
        command: The command line, for the card.
        offline: Whether to use only what is on this machine.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: A file is missing or bad, or the augmented examples are of another kind than the data.
    """
    if vectors not in (FROM_TEACHER, RANDOM) and not Path(vectors).is_file():
        problem = f"there is no such file of word vectors; check the path, or give {FROM_TEACHER} or {RANDOM}"
        raise InputError(problem, path=vectors)
    teacher_model, teacher_tokenizer = load_model(teacher, offline=offline)
    source = open_for_teacher(data, teacher_model, groups=groups, filter_positives=None, bad=bad)
    pairs = isinstance(source, RankingData) or source.train.examples[0].text_pair is not None
    settings = settings_for(pairs)
    told: dict[str, object] = {
        "procedure": "bilstm",
        "teacher": weights_identity(teacher),
        "vectors": vectors if vectors in (FROM_TEACHER, RANDOM) else file_hash(vectors),
        "augmented": [file_hash(file) for file in augmented],
        "settings": as_json(settings),
        "triples": triples,
        "judged_by": as_json(dev) if isinstance(source, RankingData) and source.folder is not None else None,
        **source.identity,
    }
    before = finished(out, verb=VERB, command=told)
    if before is not None:
        return before
    own = _own_examples(source, triples=triples, seed=settings.training.seed)
    examples = transfer_set(own, augmented, bad=bad)
    student, tokenizer = _student(vectors, teacher_model, teacher_tokenizer, examples, settings, siamese=pairs)
    names = stored_label_names(teacher_model.config)
    name_labels(student.config, names, num_labels=len(names))
    judge: Callable[[], Mapping[str, float]] | None
    if isinstance(source, LabelledData):
        student.config.problem_type = PROBLEM_TYPES[source.train.kind]
        judge = source.judge(TorchScorer(student, tokenizer))
    else:
        judge = source.judge(SiameseScorer(student, tokenizer), dev)
    result = bilstm.distil(
        student,
        teacher_model,
        tokenizer,
        examples,
        teacher_tokenizer=teacher_tokenizer,
        settings=settings,
        folder=out / RUN,
        command=decisive(told),
        evaluate=judge,
    )
    card = ModelCard(
        name=out.name,
        made_by="a BiLSTM that imitates logits (Tang et al. 2019, arXiv 1903.12136)",
        data=f"{len(own):,} examples from {data.name} and {len(examples) - len(own):,} augmented ones",
        classic=False,
        reads_apart=True,
        task="text-classification" if isinstance(source, LabelledData) else "text-ranking",
        ancestry=known_ancestry(teacher),
        teacher=Path(teacher).name,
        training_examples=len(examples),
        command=command,
        seed=settings.training.seed,
    )
    files = {f"augmented {number}": path for number, path in enumerate(augmented, start=1)}
    if vectors not in (FROM_TEACHER, RANDOM):
        files["vectors"] = Path(vectors)
    inputs = {"data": source.file, **files}
    return finish(
        student, tokenizer, out, verb=VERB, result=result, card=card, command=told, inputs=inputs, started_from=teacher
    )


def _own_examples(source: LabelledData | RankingData, *, triples: int | None, seed: int) -> Sequence[Example]:
    """Return the data's own part of the transfer set; of a ranker's groups, pairs drawn from them."""
    if isinstance(source, LabelledData):
        return source.train.examples
    count = 2 * len(source.groups) if triples is None else triples
    return SampledPairs(source.groups, triples=count, seed=seed)


def _student(
    vectors: str,
    teacher: PreTrainedModel,
    teacher_tokenizer: PairTokenizer,
    examples: Sequence[Example],
    settings: BiLstmSettings,
    *,
    siamese: bool,
) -> tuple[BiLstmForSequenceClassification, PairTokenizer]:
    """Return the untrained student and its tokeniser."""
    shape, seed = settings.student, settings.training.seed
    if vectors == FROM_TEACHER:
        rows = rows_from_teacher(teacher, shape.dimensions)
        tokenizer = teacher_tokenizer.for_texts_apart().with_max_tokens(settings.max_tokens)
    else:
        found = None if vectors == RANDOM else read_word_vectors(vectors, limit=MOST_VECTORS)
        known = () if found is None else found.words
        words = choose_words(
            (text for example in examples for text in (example.text, example.text_pair or "")),
            [word for word in known if split_words(word, lowercase=shape.lowercase) == [word]],
            size=shape.vocabulary_size,
            min_count=shape.min_count,
            lowercase=shape.lowercase,
        )
        if found is None:
            rows = random_rows(words, shape.dimensions, seed=seed)
        else:
            rows = rows_from_vectors(words, found, seed=seed)
        tokenizer = word_tokenizer(words, max_tokens=settings.max_tokens, lowercase=shape.lowercase)
    student = new_bilstm(
        rows,
        num_labels=len(stored_label_names(teacher.config)),
        siamese=siamese,
        channels=shape.channels,
        hidden=shape.hidden,
        fully_connected=shape.fully_connected,
        dropout=shape.dropout,
        pad_id=tokenizer.pad_id,
        seed=seed,
    )
    return student, tokenizer
