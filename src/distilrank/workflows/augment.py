"""``distilrank augment``: labelled texts with variants of them, for a teacher to label.

::

    OUT                    a .jsonl or .tsv file of examples, beside OUT.manifest.json; or
    OUT/train.jsonl        a folder as prepare makes it: the other splits and labels.json are copied
    .OUT.partial.jsonl     what a killed command had done; the same command goes on from there
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distilrank.augmentation import Augmenter, tinybert
from distilrank.augmentation.candidates import MaskedLanguageCandidates
from distilrank.augmentation.rules import RulesAugmenter, RulesSettings
from distilrank.augmentation.tagger import english_tagger
from distilrank.augmentation.tinybert import COPIES_OF_TASK, TinyBertAugmentation, TinyBertAugmenter
from distilrank.data.classification import table_row, write_examples_in_turn
from distilrank.data.differences import first_difference
from distilrank.data.files import file_hash, read_json, write_json, write_manifest
from distilrank.data.lines import BadLines
from distilrank.data.settings_files import as_json
from distilrank.data.word_vectors import read_word_vectors
from distilrank.errors import InputError, ResumeError, SettingsError, nearest
from distilrank.models.answers import usual_device
from distilrank.models.load import weights_identity
from distilrank.models.masked_language import load_masked_language_model
from distilrank.workflows.partial_augmentation import PartialAugmentation
from distilrank.workflows.progress import tracked
from distilrank.workflows.training_data import LabelledData, is_labelled
from distilrank.workflows.whole_folder import whole_folder

VERB = "augment"
_FILES = (".jsonl", ".tsv")
_OTHER_FILES = (".csv", ".json", ".parquet", ".txt")


@dataclass(frozen=True, kw_only=True)
class AugmentationSources:
    """What a method draws replacements from; which of these it needs is its own business.

    Attributes:
        mlm: Folder or hub name of a masked-language model. None: there is none.
        vectors: File of word vectors. None: there is none.
        offline: Whether to use only what is on this machine.
    """

    mlm: str | None = None
    vectors: Path | None = None
    offline: bool = False

    @property
    def identity(self) -> dict[str, object]:
        """What the sources are, by the hashes of their weights and bytes."""
        return {
            "mlm": None if self.mlm is None else weights_identity(self.mlm),
            "vectors": None if self.vectors is None else file_hash(self.vectors),
        }


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to augment.

    Attributes:
        settings: A frozen dataclass.
        build: Settings and sources -> what augments.
        of_task: Settings by task, as published.
        without_effect: Settings that change no result.
        paper: As the manifest names it.
    """

    settings: type[Any]
    build: Callable[[Any, AugmentationSources], Augmenter]
    of_task: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    without_effect: tuple[str, ...] = ()
    paper: str


def _tinybert(settings: TinyBertAugmentation, sources: AugmentationSources) -> Augmenter:
    if sources.vectors is None:
        problem = "tinybert takes neighbours of words from word vectors; name a word2vec or GloVe text file"
        raise InputError(f"{problem} with --vectors")
    model = None
    if sources.mlm is not None:
        network, tokenizer = load_masked_language_model(sources.mlm, offline=sources.offline)
        network.to(usual_device())  # type: ignore[arg-type]
        limited = tokenizer.with_max_tokens(min(settings.max_tokens or tokenizer.max_tokens, tokenizer.max_tokens))
        model = MaskedLanguageCandidates(
            network,
            limited,
            k=settings.k,
            whole_words="last" if settings.candidates == "original" else "first",
            original_beside=settings.candidates == "original",
            batch_tokens=settings.batch_tokens,
        )
    vectors = read_word_vectors(sources.vectors, limit=settings.vector_words)
    return TinyBertAugmenter(vectors, model, settings=settings)


def _rules(settings: RulesSettings, sources: AugmentationSources) -> Augmenter:
    if sources.mlm is not None or sources.vectors is not None:
        raise SettingsError("the method rules needs neither --mlm nor --vectors; leave them out")
    return RulesAugmenter(english_tagger(), settings)


METHODS: dict[str, Method] = {
    "tinybert": Method(
        settings=TinyBertAugmentation,
        build=_tinybert,
        of_task={task: {"copies": copies} for task, copies in COPIES_OF_TASK.items()},
        without_effect=tinybert.WITHOUT_EFFECT,
        paper="TinyBERT, Algorithm 1 (Jiao et al. 2020, arXiv 1909.10351)",
    ),
    "rules": Method(
        settings=RulesSettings,
        build=_rules,
        paper="three rules: masking, parts of speech, n-grams (Tang et al. 2019, arXiv 1903.12136)",
    ),
}


def method_named(name: str) -> Method:
    """Return a method by its name on the command line.

    Raises:
        SettingsError: There is none of that name.
    """
    if name not in METHODS:
        raise SettingsError(f"method {name!r} is unknown{nearest(name, METHODS)}; there are {', '.join(METHODS)}")
    return METHODS[name]


def settings_of_task(method: str, task: str | None) -> Mapping[str, object]:
    """Return the settings published for a task; none without a task.

    Raises:
        SettingsError: None are known for it.
    """
    known = method_named(method).of_task
    if task is None:
        return {}
    if not known:
        raise SettingsError(f"the method {method} is the same for every task; leave --task out")
    if task not in known:
        problem = f"task {task!r} has no settings of its own{nearest(task, known)}"
        raise SettingsError(f"{problem}; there are {', '.join(known)}, or leave --task out")
    return known[task]


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """What the verb leaves behind.

    Attributes:
        out: The file or folder.
        originals: Examples before.
        examples: Examples now, the originals included.
        was_done: Whether the same command had finished before.
    """

    out: Path
    originals: int
    examples: int
    was_done: bool


def augment(
    name: str,
    *,
    data: Path,
    out: Path,
    settings: Any,
    sources: AugmentationSources,
    command: str = "",
    bad: BadLines | None = None,
) -> Augmented:
    """Augment labelled texts or pairs and write them in the form that ``distil`` reads.

    Args:
        name: A key of ``METHODS``.
        data: A folder that ``prepare`` made of classification data (its train split is augmented), or one file.
        out: A ``.jsonl`` or ``.tsv`` file, packed or not, or else a folder.
        settings: Of the method.
        sources: What it draws from.
        command: The command line, for the manifest.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: Something is wrong with the data or with what stands in ``out``.
        ResumeError: ``out`` was made, or begun, by another command.
    """
    method = method_named(name)
    if not is_labelled(data):
        raise InputError("is data to rank; give a folder or a file of labelled texts or pairs", path=data)
    if not _is_file(out) and set(out.suffixes) & set(_OTHER_FILES):
        raise InputError("cannot be written; name a .jsonl or .tsv file, or a folder", path=out)
    labelled = LabelledData.open(data, bad=bad)
    originals = labelled.train.examples
    told = {"method": name, "settings": as_json(settings), **sources.identity, **labelled.identity}
    partial = PartialAugmentation(out.with_name(f".{out.name}.partial.jsonl"), _decisive(told, method))
    if ".tsv" in out.suffixes:
        for example in originals:  # before hours of work, not after
            table_row(example, out, label_names=labelled.train.label_names)
    before = _finished(out, partial, method)
    if before is not None:
        partial.remove()
        return Augmented(out=out, originals=len(originals), examples=before, was_done=True)
    done = partial.done()
    if done < len(originals):
        augmenter = method.build(settings, sources)
        partial.extend(tracked(augmenter.augment(originals, start=done), "augmenting", total=len(originals) - done))
    facts = {"paper": method.paper, "command": command, "originals": len(originals)}
    inputs = {"data": labelled.train_file, **({} if sources.vectors is None else {"vectors": sources.vectors})}

    def write(train: Path, folder: Path, manifest: str) -> int:
        count = write_examples_in_turn(partial.examples(originals), train, label_names=labelled.train.label_names)
        extra = {**facts, "examples": count}
        outputs = {"examples": train}
        write_manifest(folder, verb=VERB, settings=told, inputs=inputs, outputs=outputs, extra=extra, name=manifest)
        return count

    if _is_file(out):
        count = write(out, out.parent, _manifest(out).name)
    else:
        with whole_folder(out) as folder:
            _copy_the_rest(labelled, data, folder)
            count = write(folder / "train.jsonl", folder, _manifest(out).name)
    partial.remove()
    return Augmented(out=out, originals=len(originals), examples=count, was_done=False)


def _is_file(out: Path) -> bool:
    return any(suffix in _FILES for suffix in out.suffixes)


def _manifest(out: Path) -> Path:
    return out.with_name(f"{out.name}.manifest.json") if _is_file(out) else out / "manifest.json"


def _decisive(told: Mapping[str, Any], method: Method) -> dict[str, Any]:
    """Return what makes a command another one, as JSON values: all of it but the settings without effect."""
    content: dict[str, Any] = json.loads(json.dumps(told))
    for name in method.without_effect:
        content["settings"].pop(name, None)
    return content


def _finished(out: Path, partial: PartialAugmentation, method: Method) -> int | None:
    """Return how many examples the same command has left in ``out``; None when there is something to do."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not _manifest(out).is_file():
        if partial.path.exists():  # killed after the examples were written and before the manifest was
            return None
        raise InputError(f"exists and was not made by distilrank {VERB}; give --out another name", path=out)
    manifest = read_json(_manifest(out))
    if manifest.get("verb") != VERB:
        raise InputError(f"was made by distilrank {manifest.get('verb')}; give --out another name", path=out)
    difference = first_difference(_decisive(manifest["settings"], method), partial.command)
    if difference:
        raise ResumeError(f"{out} holds the result of another command: {difference}; give --out another name")
    return int(manifest["examples"])


def _copy_the_rest(labelled: LabelledData, data: Path, folder: Path) -> None:
    """Put the other splits, as they are, and the labels beside the augmented train split."""
    names = {"kind": labelled.train.kind, "label_names": list(labelled.train.label_names)}
    write_json(folder / "labels.json", names)
    for split in ("dev.jsonl", "test.jsonl"):
        if data.is_dir() and (data / split).is_file():
            shutil.copyfile(data / split, folder / split)
