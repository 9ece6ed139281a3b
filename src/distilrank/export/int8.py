"""An 8-bit file beside ``onnx/model.onnx``, written only when it ranks as well.

Recipes are tried from the smallest file to larger ones, each judged on the user's queries, and the first that passes is
kept. What was tried, with numbers and reasons, is in ``onnx/quality.json``, which ``Ranker`` reads to choose a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from distilrank.data.files import atomic_write_bytes, file_hash, library_versions, read_json, write_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError
from distilrank.export.channels import Channels, choose_channels
from distilrank.export.products import products
from distilrank.export.quality import (
    MARGIN,
    MEASURE,
    Evaluate,
    Verdict,
    batch_change,
    judge,
    require_invariance,
    require_ranking,
)
from distilrank.export.quantise import Recipe, quantise
from distilrank.export.ranges import measure_ranges
from distilrank.runtime.cpu import Arithmetic, this_cpu
from distilrank.runtime.pair_network import PairNetwork
from distilrank.runtime.session import open_session

QUALITY = "quality.json"
"""In ``onnx``: what was tried and what was found."""

PAIRS_ALONE = 32
"""Scored one by one to see whether batch-mates matter."""

SENSITIVITY_PAIRS = 32
"""By which the products are put in the order of the harm that 8 bits do."""

EMBEDDINGS = "embeddings"
"""Their name among the parts that 8 bits may harm."""

SHARES_KEPT = (0.1, 0.25, 0.5)
"""Of the products that are left in fp32, in recipes after the first."""

LEAST_SAVING = 1 / 3
"""Of the float file's size: a fallback that saves less is not worth a second file."""

Method = Literal["auto", "static", "dynamic"]
"""``auto`` tries static scales first: they are as fast, and a score does not depend on the batch. For that reason alone
a larger static file comes before a dynamic one."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A recipe and what came of it."""

    recipe: Recipe
    verdict: Verdict
    bytes: int

    @property
    def megabytes(self) -> float:
        """Size of the file, in units of 1,000,000 bytes."""
        return self.bytes / 1e6

    def sentence(self) -> str:
        """Say it in a sentence without its full stop."""
        outcome = "passed" if self.verdict.passed else f"refused: {'; '.join(self.verdict.problems)}"
        doubt = f" ({self.verdict.doubt()})" if self.verdict.doubt() else ""
        return f"int8 ({self.recipe.described()}): {self.verdict.sentence()}; {outcome}{doubt}"


@dataclass(frozen=True, kw_only=True)
class Int8Export:
    """What ``export_int8`` found.

    Attributes:
        path: The file; None when no recipe passed.
        trials: In the order tried; the last is the one that passed, if any did.
    """

    path: Path | None
    trials: tuple[Trial, ...]


def export_int8(
    folder: str | Path,
    *,
    evaluate: Evaluate,
    pairs: Sequence[tuple[str, str]],
    margin: float = MARGIN,
    method: Method = "auto",
    arithmetic: Arithmetic | None = None,
    embeddings: bool = True,
    judged_on: str = "",
    say: Callable[[str], None] | None = None,
) -> Int8Export:
    """Quantise ``onnx/model.onnx`` of a ranker and keep the result if it ranks as well.

    Args:
        folder: Of a ranker with its float export.
        evaluate: Re-ranks judged queries with a scorer.
        pairs: Queries with passages to calibrate on, not those that are judged where that can be avoided.
        margin: Share of nDCG@10 that may be lost, and of the pairs of passages that may stand in another order.
        method: How activations are scaled.
        arithmetic: Of the processor that the file is for; None takes this machine's.
        embeddings: Whether word embeddings become 8 bits too.
        judged_on: What the queries are, for the record.
        say: Told what happens, a line each.

    Raises:
        ModelError: There is no float export, or it ranks nothing itself.
        InputError: There are no pairs to calibrate on.
    """
    folder, cpu = Path(folder), this_cpu()
    tell = say or (lambda line: None)
    if not pairs:
        raise InputError("there are no pairs to calibrate on; give data with candidates and judged queries")
    float_file = folder / "onnx" / "model.onnx"
    graph, tokenizer = load_graph(float_file), PairTokenizer.from_folder(folder)

    def scorer(content: bytes) -> PairNetwork:
        return PairNetwork(open_session(content), tokenizer)

    floating = scorer(graph.SerializeToString())
    alone = list(pairs[:PAIRS_ALONE])
    float_change = require_invariance(floating, alone)
    reference = evaluate(floating)
    require_ranking(reference)
    first = Recipe(arithmetic=arithmetic or cpu.arithmetic, embeddings=embeddings)
    channels = choose_channels(graph, measure_ranges(graph, tokenizer, pairs), first.arithmetic)
    path, float_bytes = float_file.with_name(first.file_name), float_file.stat().st_size
    trials: list[Trial] = []
    for recipe in _recipes(first, method, graph, channels, tokenizer, alone[:SENSITIVITY_PAIRS]):
        made = quantise(graph, recipe, channels).SerializeToString()
        if trials and len(made) > (1.0 - LEAST_SAVING) * float_bytes:
            sizes = f"{len(made) / 1e6:,.1f} MB of {float_bytes / 1e6:,.1f} MB in fp32"
            tell(f"int8 ({recipe.described()}): not tried, {sizes} is no saving")
            continue
        content, small = made, scorer(made)
        least_tau = max((each.verdict.kendall_tau for each in trials if each.verdict.loses_too_much), default=-1.0)
        verdict = judge(
            evaluate(small),
            reference,
            batch_change=batch_change(small, alone),
            margin=margin,
            most_swapped=margin,
            least_tau=least_tau,
        )
        trials.append(Trial(recipe=recipe, verdict=verdict, bytes=len(content)))
        tell(trials[-1].sentence())
        if verdict.passed:
            break
    passed = trials[-1].verdict.passed
    with suppress(FileNotFoundError):  # an older one was judged beside an older float file
        path.unlink()
    if passed:
        atomic_write_bytes(path, content)
    _record(
        float_file,
        path,
        trials,
        facts={
            "judged_on": {"data": judged_on, "cpu": cpu.as_dict()},
            "margin": margin,
            "fp32": {
                "file": float_file.name,
                "sha256": file_hash(float_file),
                MEASURE: reference.measures.interval(MEASURE).as_dict(),
                "batch_mates": float_change,
            },
        },
    )
    return Int8Export(path=path if passed else None, trials=tuple(trials))


def load_graph(path: Path) -> onnx.ModelProto:
    """Read a float export.

    Raises:
        ModelError: There is none, it is broken, or it is no ranker's.
    """
    if not path.is_file():
        raise ModelError(f"{path.parent.parent} holds no onnx/model.onnx; run: distilrank export {path.parent.parent}")
    try:
        graph = onnx.load(path)
    except Exception as error:  # protobuf's own
        raise ModelError(f"{path} cannot be read; run: distilrank export {path.parent.parent}") from error
    if path.with_name("encoder.onnx").is_file():
        raise ModelError(f"{path.parent.parent} is a BiLSTM, whose time goes into its LSTM; keep it in fp32")
    labels = graph.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    if labels != 1:
        raise ModelError(f"8 bits are judged by rankings, and {path} has {labels} logits, not one; keep it in fp32")
    if not products(graph):
        raise ModelError(f"{path} has no matrix products to quantise; keep it in fp32")
    return graph


def _recipes(
    first: Recipe,
    method: Method,
    graph: onnx.ModelProto,
    channels: Mapping[str, Channels],
    tokenizer: PairTokenizer,
    pairs: Sequence[tuple[str, str]],
) -> Iterator[Recipe]:
    """Yield recipes by the size of their files; what costs time is found out when it is first needed.

    Embeddings are by far the largest part of a small model, so they stay in fp32 last of all, and only where they
    suffer more than any product does.
    """
    first = replace(first, activations="dynamic" if method == "dynamic" else "static")
    yield first
    worst = _most_harmed(first, graph, channels, tokenizer, pairs)
    harmed = [name for name in worst if name != EMBEDDINGS]
    for share in SHARES_KEPT:
        yield replace(first, keep=frozenset(harmed[: max(1, round(share * len(harmed)))]))
    if worst[0] == EMBEDDINGS:
        yield replace(first, embeddings=False)
    if method == "auto":
        yield replace(first, activations="dynamic")


def _most_harmed(
    recipe: Recipe,
    graph: onnx.ModelProto,
    channels: Mapping[str, Channels],
    tokenizer: PairTokenizer,
    pairs: Sequence[tuple[str, str]],
) -> list[str]:
    """Return the products and the embeddings, first what changes the scores most when it alone has 8 bits."""
    names = frozenset(products(graph))

    def scores(content: onnx.ModelProto) -> NDArray[np.float32]:
        return PairNetwork(open_session(content.SerializeToString()), tokenizer).score(pairs)

    expected = scores(graph)
    harm = {}
    for name in sorted(names) + [EMBEDDINGS] * recipe.embeddings:
        alone = replace(recipe, keep=names - {name}, embeddings=name == EMBEDDINGS)
        harm[name] = float(np.abs(scores(quantise(graph, alone, channels)) - expected).mean())
    return sorted(harm, key=lambda name: -harm[name])


def _record(float_file: Path, path: Path, trials: Sequence[Trial], *, facts: Mapping[str, Any]) -> None:
    """Write ``quality.json``; what it says of files for other processors stays if they are of the same float file."""
    record = float_file.with_name(QUALITY)
    before = read_json(record) if record.is_file() else {}
    same = before.get("fp32", {}).get("sha256") == facts["fp32"]["sha256"]
    files = {name: known for name, known in before.get("files", {}).items() if same and name != path.name}
    if trials[-1].verdict.passed:
        files[path.name] = {
            "arithmetic": trials[-1].recipe.arithmetic,
            "judged_on": facts["judged_on"]["cpu"]["arithmetic"],
            "bytes": path.stat().st_size,
            "sha256": file_hash(path),
        }
    told = [
        {
            "file": path.name,
            "activations": trial.recipe.activations,
            "per_channel": trial.recipe.per_channel,
            "embeddings": trial.recipe.embeddings,
            "kept_in_fp32": sorted(trial.recipe.keep),
            "bytes": trial.bytes,
            **trial.verdict.as_dict(),
        }
        for trial in trials
    ]
    write_json(record, {**facts, "files": files, "tried": told, "versions": library_versions()})
