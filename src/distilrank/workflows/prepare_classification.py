"""``distilrank prepare`` for classification: labelled texts or pairs, split, looked at, and in one form.

::

    OUT/<split>.jsonl              {"id"?, "text", "text_pair"?, "label"?}, classes by name
    OUT/labels.json                {"kind", "label_names"}: hand both to ``read_examples``
    OUT/doctor.json, OUT/manifest.json
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from distilrank.data.classification import ClassificationData, read_examples, write_examples
from distilrank.data.files import file_hash, write_json, write_manifest
from distilrank.data.hub import PREFIX, labelled_splits, read_hub_examples
from distilrank.data.labels import Kind
from distilrank.data.lines import BadLines
from distilrank.data.named import is_named
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, SettingsError
from distilrank.evaluation.diagnostics import diagnose_classification
from distilrank.evaluation.diagnostics.labels import pair_text
from distilrank.workflows.prepare import VERB, Prepared
from distilrank.workflows.splits import TRAIN, LeftOut, divide, left_out_finding, sample_in_order, separate
from distilrank.workflows.whole_folder import is_done, whole_folder

_FILE = re.compile(r"(train|dev|validation|valid|val|test)\.(tsv|csv|jsonl|txt)(\.gz|\.xz|\.zst)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationSettings:
    """How classification data is prepared.

    Attributes:
        text: Column of the text; None: a known name.
        text_pair: Column of the second text; None: a known name, or none when ``text`` is given.
        label: Column of the label; None: a known name.
        kind: What labels are; None: told from them.
        dev_share: Share of the training examples that becomes dev where there is no dev file; 0 for none.
        test_share: The same for a split called test.
        max_examples: Most examples per split, drawn by seed; None takes all.
        max_tokens: The token limit that lengths are compared with.
        seed: Of splits, of sampled examples and of the doctor's samples.
    """

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    kind: Kind | None = None
    dev_share: float = 0.1
    test_share: float = 0.0
    max_examples: int | None = None
    max_tokens: int = 128
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        if self.max_examples is not None and self.max_examples < 1:
            raise SettingsError(f"max_examples is {self.max_examples}, give at least 1")
        if self.max_tokens < 8:
            raise SettingsError(f"max_tokens is {self.max_tokens}, give at least 8")


def is_classification(data: str | Path) -> bool:
    """Tell classification data from ranking data.

    A folder holds files called after splits, and no queries. Of the hub it is what is named with a configuration, as
    GLUE's tasks are (``hf:nyu-mll/glue:qnli``): ranking collections there have none to choose.
    """
    if is_named(data):
        return str(data).startswith(PREFIX) and ":" in str(data).removeprefix(PREFIX)
    names = [path.name for path in Path(data).iterdir()]
    return any(map(_FILE.fullmatch, names)) and not any(name.startswith("queries") for name in names)


def classification_files(folder: str | Path) -> dict[str, Path]:
    """Return split -> file of a folder of classification data (train.tsv, dev.csv, ...); empty for other folders."""
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).iterdir()):
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        split = match[1] if match[1] in (TRAIN, "test") else "dev"
        if split in found:
            raise InputError(f"and {found[split].name} are both the {split} split; keep one of the two", path=path)
        found[split] = path
    return {split: found[split] for split in (TRAIN, "dev", "test") if split in found}


def prepare_classification(
    data: str | Path,
    out: str | Path,
    *,
    settings: ClassificationSettings | None = None,
    tokenizer: str | Path | None = None,
    skip_bad: int = 0,
    overwrite: bool = False,
    offline: bool = False,
) -> Prepared:
    """Prepare classification data.

    Texts that two splits share are left out of train (or of dev, when a test has them). A split other than train
    without a column of labels is kept without labels.

    Args:
        data: A folder with train.tsv, .csv or .jsonl, and dev and test if there are any; or ``hf:OWNER/NAME[:CONFIG]``.
        out: The folder to make. It appears whole or not at all; finished by the same command, it is left alone.
        settings: See ``ClassificationSettings``; None takes the defaults.
        tokenizer: A model folder whose tokeniser measures lengths; None approximates them from words.
        skip_bad: Bad lines that may be skipped, over all files.
        overwrite: Replace a folder that another ``prepare`` made.
        offline: Whether to use only what of the hub is on this machine.

    Raises:
        InputError: Something is wrong with the data or with what stands in ``out``; nothing is left behind.
        OfflineError: A dataset of the hub could not be fetched.
        ResumeError: ``out`` was made by another command.
    """
    settings = settings or ClassificationSettings()
    out, bad = Path(out), BadLines(skip_bad)
    inputs = {} if is_named(data) else classification_files(data)
    if TRAIN not in inputs and not is_named(data):
        raise InputError("has no training split; expected train.tsv, train.csv or train.jsonl", path=data)
    tokenizer_name = None if tokenizer is None else str(tokenizer)
    recorded = {**asdict(settings), "tokenizer": tokenizer_name, "skip_bad": skip_bad}
    if is_named(data):
        recorded["data"] = str(data)
    hashes = {name: file_hash(path) for name, path in inputs.items()}
    if is_done(out, verb=VERB, settings=recorded, inputs=hashes, overwrite=overwrite):
        return Prepared.open(out, was_done=True)
    counter = None if tokenizer is None else PairTokenizer.from_folder(tokenizer)
    with whole_folder(out) as partial:
        read = _read_hub(str(data), settings, bad, offline) if is_named(data) else _read_files(inputs, settings, bad)
        splits, left_out = _splits(read, settings)
        facts = _write(partial, splits, left_out, settings, counter)
        made = {path.name: path for path in sorted(partial.iterdir())}
        extra = {**facts, "skipped": [str(error) for error in bad.skipped]}
        write_manifest(partial, verb=VERB, settings=recorded, inputs=inputs, outputs=made, extra=extra)
    return Prepared.open(out, was_done=False)


def _read_files(
    files: dict[str, Path], settings: ClassificationSettings, bad: BadLines
) -> dict[str, ClassificationData]:
    """Read the splits that are there, the classes of all as train has them."""
    train = _read(files[TRAIN], settings, bad, None)
    return {split: train if split == TRAIN else _read(path, settings, bad, train) for split, path in files.items()}


def _read_hub(
    name: str, settings: ClassificationSettings, bad: BadLines, offline: bool
) -> dict[str, ClassificationData]:
    """Read the splits that the hub has, the classes of all as train has them."""
    read: dict[str, ClassificationData] = {}
    for split, theirs in labelled_splits(name, offline=offline).items():
        train = read.get(TRAIN)
        read[split] = read_hub_examples(
            name,
            split=theirs,
            text=settings.text,
            text_pair=settings.text_pair,
            label=settings.label,
            label_names=train.label_names if train and train.label_names else None,
            kind=train.kind if train else settings.kind,
            bad=bad,
            offline=offline,
        )
    return read


def _splits(
    read: dict[str, ClassificationData], settings: ClassificationSettings
) -> tuple[dict[str, ClassificationData], list[LeftOut]]:
    """Take missing splits out of train, and take out what splits share."""
    train = read[TRAIN]
    examples = {f"{split} #{n}": example for split in read for n, example in enumerate(read[split].examples, 1)}
    texts = {key: pair_text(example) for key, example in examples.items()}
    members: dict[str, Sequence[str]] = {
        split: [f"{split} #{n}" for n in range(1, len(own.examples) + 1)] for split, own in read.items()
    }
    shares = {"dev": settings.dev_share, "test": settings.test_share}
    missing = {split: share for split, share in shares.items() if split not in members}
    divided = divide(members[TRAIN], texts, shares=missing, seed=settings.seed)
    kept, left_out = separate({**members, **divided}, texts)
    splits = {
        split: replace(
            read.get(split, train),
            examples=[examples[key] for key in sample_in_order(own, settings.max_examples, seed=settings.seed)],
        )
        for split, own in kept.items()
    }
    return splits, left_out


def _read(
    path: Path, settings: ClassificationSettings, bad: BadLines, train: ClassificationData | None
) -> ClassificationData:
    """Read one file with the training split's classes; one without labels is read without, unless it is train."""

    def read(*, labelled: bool) -> ClassificationData:
        return read_examples(
            path,
            text=settings.text,
            text_pair=settings.text_pair,
            label=settings.label if labelled else None,
            label_names=None if train is None else train.label_names,
            kind=settings.kind if train is None else train.kind,
            labelled=labelled,
            bad=bad,
        )

    try:
        return read(labelled=True)
    except InputError as error:
        # A problem of the whole file, not of a line of it: the column of labels may be all that is missing.
        if train is None or error.line is not None:
            raise
        try:
            return read(labelled=False)
        except InputError:
            raise error from None


def _write(
    partial: Path,
    splits: dict[str, ClassificationData],
    left_out: Sequence[LeftOut],
    settings: ClassificationSettings,
    tokenizer: PairTokenizer | None,
) -> dict[str, object]:
    """Write everything but the manifest, and return what the manifest says about it."""
    train = splits[TRAIN]
    diagnosis = diagnose_classification(
        splits={split: own.examples for split, own in splits.items()},
        label_names=train.label_names,
        kind=train.kind,
        tokenizer=tokenizer,
        max_tokens=settings.max_tokens,
        seed=settings.seed,
    )
    write_json(partial / "doctor.json", diagnosis.with_findings(left_out_finding(left_out)).to_json())
    write_json(partial / "labels.json", {"kind": train.kind, "label_names": list(train.label_names)})
    for split, own in splits.items():
        write_examples(own, partial / f"{split}.jsonl")
    return {"kind": "classification", "examples": {split: len(own.examples) for split, own in splits.items()}}
