"""Measures of a ranking against judgements, computed by ir_measures and named as it names them.

Two conventions are ours. Every run is first put in the project's one order (score descending, then ``doc_id``
descending, as trec_eval does), because the libraries behind ir_measures break ties in different ways. And a query that
is judged but has no results counts as zero, as with trec_eval's ``-c``: a system cannot gain by staying silent.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ir_measures
import numpy as np
from numpy.typing import NDArray

from distilrank.data.trec import ranking
from distilrank.errors import InputError, nearest
from distilrank.evaluation.intervals import Interval, mean_interval
from distilrank.records import Qrels, Run

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "AP")

_NAME_IN_LIST = re.compile(r"[^\s,(]+(?:\([^)]*\))?(?:@[^\s,]+)?")


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What a run scores on every measure and query.

    Attributes:
        per_query: measure name -> query_id -> value; the same queries, in sorted order, under every measure.
        without_results: Judged queries that the run does not hold; they are in ``per_query`` with the value for an
            empty ranking (zero).
        without_judgements: Queries of the run that nobody judged; they are left out.
    """

    per_query: Mapping[str, Mapping[str, float]]
    without_results: tuple[str, ...] = ()
    without_judgements: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The measures, in the order asked for."""
        return tuple(self.per_query)

    @property
    def query_ids(self) -> tuple[str, ...]:
        """The judged queries, sorted."""
        return tuple(next(iter(self.per_query.values()), {}))

    def values(self, name: str) -> NDArray[np.float64]:
        """Return the values of one measure, shape (queries,), in the order of ``query_ids``."""
        if name not in self.per_query:
            raise KeyError(f"{name} was not measured, only {', '.join(self.names)}")
        return np.fromiter(self.per_query[name].values(), dtype=np.float64)

    def mean(self, name: str) -> float:
        """Return the mean over the judged queries."""
        return float(np.mean(self.values(name)))

    def interval(self, name: str, *, seed: int = 0) -> Interval:
        """Return the mean with its 95% bootstrap interval over queries."""
        return mean_interval(self.values(name), seed=seed)

    def means(self) -> dict[str, float]:
        """Return the mean of every measure."""
        return {name: self.mean(name) for name in self.names}


def measure(qrels: Qrels, run: Run, names: Sequence[str]) -> Measures:
    """Measure a run.

    Args:
        qrels: Judgements; queries with an empty set of them count as not judged.
        run: Scores; which documents are tied and in what order they are held makes no difference.
        names: Measures as ir_measures writes them, as in ``["nDCG@10", "RR(rel=2)@10", "AP"]``.

    Raises:
        InputError: A measure is not known, or nothing is judged.
    """
    wanted = [parse_measure(name) for name in names]
    judged = {query_id: qrels[query_id] for query_id in sorted(qrels) if qrels[query_id]}
    if not judged:
        raise InputError("no query is judged, so there is nothing to measure: check the qrels file and the split")
    ranked = {query_id: _by_rank(run[query_id]) for query_id in judged if run.get(query_id)}
    return Measures(
        per_query={str(each): _values(each, judged, ranked) for each in wanted},
        without_results=tuple(query_id for query_id in judged if query_id not in ranked),
        without_judgements=tuple(sorted(query_id for query_id in run if query_id not in judged)),
    )


def _values(wanted: ir_measures.Measure, qrels: Qrels, run: Run) -> dict[str, float]:
    """Return query_id -> value of one measure."""
    # One measure at a time: asked for nDCG@10 and nDCG(gains={...})@10 at once, ir_measures 0.4.3 may give the values
    # of one under the name of the other. Queries go by numbers, because gdeval (ERR) takes no other names.
    numbers = {query_id: str(number) for number, query_id in enumerate(qrels, start=1)}
    judged = {numbers[query_id]: documents for query_id, documents in qrels.items()}
    ranked = {numbers[query_id]: documents for query_id, documents in run.items()}
    try:
        found = {each.query_id: float(each.value) for each in ir_measures.iter_calc([wanted], judged, ranked)}
    except Exception as error:  # half a dozen libraries, each with errors of its own
        raise InputError(f"measure {str(wanted)!r} cannot be computed on this data ({error})") from error
    return {query_id: found[number] for query_id, number in numbers.items()}


def _by_rank(scores: Mapping[str, float]) -> dict[str, float]:
    """Replace scores by whole numbers in the project's order, so that every library sees the same ranking."""
    order = ranking(scores)
    return {doc_id: float(len(order) - above) for above, doc_id in enumerate(order)}


def split_names(text: str) -> list[str]:
    """Split ``"nDCG@10 RR(rel=2)@10, AP"`` at the spaces and commas that are not inside parentheses."""
    return _NAME_IN_LIST.findall(text)


def measure_name(name: str) -> str:
    """Return the one spelling of a measure's name: ``MRR@10`` and ``RR(rel=1)@10`` are ``RR@10``."""
    return str(parse_measure(name))


def parse_measure(name: str) -> ir_measures.Measure:
    """Read one measure in ir_measures' notation.

    ir_measures' own ``parse_measure`` needs syntax tree classes that Python 3.14 removed, and fails with a traceback
    on a misspelt name.

    Raises:
        InputError: The name is not known, a parameter is wrong, or no installed library computes it.
    """
    try:
        node = ast.parse(name.strip(), mode="eval").body
        parameters: dict[str, object] = {}
        at = None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            at = ast.literal_eval(node.right)
            node = node.left
        if isinstance(node, ast.Call) and not node.args:
            parameters = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
            node = node.func
        if not isinstance(node, ast.Name):
            raise ValueError(name)
    except (SyntaxError, ValueError, TypeError) as error:
        raise InputError(f"measure {name!r} cannot be read; write it as nDCG@10, RR(rel=2)@10 or AP") from error
    return _known_measure(name, node.id, parameters, at)


def _known_measure(name: str, family: str, parameters: Mapping[str, object], at: object) -> ir_measures.Measure:
    known = ir_measures.measures.registry
    if family not in known:
        raise InputError(f"measure {name!r} is not known{nearest(family, known)}")
    found: ir_measures.Measure = known[family](**parameters)
    if at is not None:
        found = found @ at
    for parameter in ("cutoff", "rel"):
        value = found.params.get(parameter, 1)
        # Below 1, trec_eval's code takes the process down.
        if not isinstance(value, int) or value < 1:
            raise InputError(f"measure {name!r} has {parameter} {value!r}; give a whole number from 1 up")
    if not _is_computable(name, found):
        raise InputError(f"measure {name!r} cannot be computed by the libraries that are installed")
    return found


def _is_computable(name: str, found: ir_measures.Measure) -> bool:
    try:
        return bool(ir_measures.DefaultPipeline.supports(found))  # type: ignore[no-untyped-call]
    except AssertionError as error:  # how ir_measures refuses a parameter
        needed = found.SUPPORTED_PARAMS.get(found.AT_PARAM)
        if needed is not None and needed.required and found.AT_PARAM not in found.params:
            raise InputError(f"measure {name!r} lacks its {found.AT_PARAM}: write {name}@ and a number") from error
        raise InputError(f"measure {name!r} is wrong: {error}") from error
