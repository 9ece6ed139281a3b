"""Every consumer asked in turn."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from distilrank.export.consumers import rules, run
from distilrank.export.consumers.folder import TOLERANCE, ModelFolder
from distilrank.export.consumers.transformers_js import run_transformers_js, transformers_js_version

How = Literal["run", "by rule", "not for it"]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A consumer and what it makes of a folder.

    Attributes:
        consumer: Its name, with its version where it was run.
        how: Whether it was run, checked by its written rules, or is not meant for such a folder.
        problems: What is wrong, a clause each; none where all is well.
        note: What else is to be said.
    """

    consumer: str
    how: How
    problems: tuple[str, ...] = ()
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True, kw_only=True)
class _Consumer:
    """Somebody who loads folders.

    Attributes:
        name: As its package is called.
        library: To import; None for what does not run under Python.
        version: Returns its version, or None where it is not installed, for what does not run under Python.
        run: Runs it; None where that is not done here.
        rules: Of its loader, where it is not run.
        truncates_alike: Whether it cuts long pairs off as transformers does.
        by_onnx: Whether the ONNX file is enough for it.
        own_layouts: Whether it takes networks that only distilrank knows, by their ONNX file.
        classifiers: Whether it takes networks of several labels.
    """

    name: str
    library: str | None = None
    version: Callable[[], str | None] | None = None
    run: Callable[[ModelFolder], run.Logits] | None = None
    rules: Callable[[ModelFolder], list[str]] | None = None
    truncates_alike: bool = True
    by_onnx: bool = True
    own_layouts: bool = True
    classifiers: bool = True


CONSUMERS = (
    _Consumer(name="transformers", library="transformers", run=run.run_transformers, by_onnx=False, own_layouts=False),
    _Consumer(
        name="sentence-transformers",
        library="sentence_transformers",
        run=run.run_sentence_transformers,
        by_onnx=False,
        own_layouts=False,
    ),
    _Consumer(name="onnxruntime", library="onnxruntime", run=run.run_onnxruntime),
    _Consumer(
        name="fastembed",
        library="fastembed",
        run=run.run_fastembed,
        rules=rules.fastembed_rules,
        classifiers=False,
    ),
    _Consumer(
        name="flashrank",
        library="flashrank",
        run=run.run_flashrank,
        rules=rules.flashrank_rules,
        classifiers=False,
    ),
    _Consumer(name="text-embeddings-inference", rules=rules.tei_rules),
    _Consumer(name="vLLM", rules=rules.vllm_rules, by_onnx=False, own_layouts=False, classifiers=False),
    _Consumer(
        name="Transformers.js",
        version=transformers_js_version,
        run=run_transformers_js,
        rules=rules.transformers_js_rules,
        truncates_alike=False,  # the last [SEP] is cut off with the rest
        own_layouts=False,
    ),
)


def check_consumers(folder: ModelFolder) -> Iterator[Checked]:
    """Yield what each consumer makes of a folder, the rules for all of them first."""
    yield Checked(consumer="the folder itself", how="by rule", problems=tuple(rules.folder_rules(folder)))
    for consumer in CONSUMERS:
        yield _check(consumer, folder)


def _check(consumer: _Consumer, folder: ModelFolder) -> Checked:
    if folder.own_layout and not consumer.own_layouts:
        note = f"only distilrank knows {folder.config.get('model_type')}; its ONNX file runs elsewhere"
        return Checked(consumer=consumer.name, how="not for it", note=note)
    if not folder.has_weights and not consumer.by_onnx:
        return Checked(consumer=consumer.name, how="not for it", note="there is an ONNX file alone; it reads weights")
    if folder.labels > 1 and not consumer.classifiers:
        return Checked(consumer=consumer.name, how="not for it", note="it takes rankers, which have one logit")
    version = _version(consumer)
    if consumer.run is not None and version is not None:
        return _run(consumer.run, f"{consumer.name} {version}", folder, truncates_alike=consumer.truncates_alike)
    note = "" if consumer.run is None else "not installed"
    problems: Sequence[str] = consumer.rules(folder) if consumer.rules else ()
    return Checked(consumer=consumer.name, how="by rule", problems=tuple(problems), note=note)


def _version(consumer: _Consumer) -> str | None:
    if consumer.version is not None:
        return consumer.version()
    if consumer.library is None or importlib.util.find_spec(consumer.library) is None:
        return None
    return importlib.metadata.version(consumer.name)


def _run(
    runs: Callable[[ModelFolder], run.Logits], name: str, folder: ModelFolder, *, truncates_alike: bool
) -> Checked:
    """Run a consumer and compare its logits; whatever it raises is what is wrong."""
    otherwise = folder.reads_apart or not truncates_alike
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            difference = folder.difference(runs(folder), whole_only=otherwise)
    except Exception as error:  # it is somebody else's code
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        return Checked(consumer=name, how="run", problems=(f"it fails: {reason}",))
    if not difference <= TOLERANCE:
        said = f"its logits differ from distilrank's by up to {difference:.2g}, more than {TOLERANCE:g}"
        return Checked(consumer=name, how="run", problems=(said,))
    truncated = "; long pairs are truncated otherwise there" if otherwise else ""
    return Checked(consumer=name, how="run", note=f"logits equal to {difference:.1g}{truncated}")
