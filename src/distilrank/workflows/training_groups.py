"""Training groups: a query with its relevant passages and negatives sampled from the first stage.

What counts as what: a passage judged relevant is a positive, whether or not the first stage found it. A passage
judged and not relevant may be a negative wherever it stands. **A candidate that nobody judged is taken for a
negative**, which is sometimes wrong; ``skip_top`` passes over the highest of those, where most of the
mistaken ones are. A query with too few of them gets random passages of the collection that are neither judged nor
candidates. A copy of a positive's text is never a negative.

Without judgements a group holds candidates only, none of them known to be relevant: a teacher's scores have to say
which are.
"""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from distilrank.data.cut_passages import passages_of
from distilrank.data.passage_store import PassageStore
from distilrank.data.trec import ranking
from distilrank.errors import SettingsError
from distilrank.evaluation.diagnostics.findings import Finding, Level
from distilrank.records import Group, Passage, Qrels, Query, Run

_MANY_POSITIVES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """How training groups are made.

    Attributes:
        negatives: Negatives per group, at least 1.
        negatives_from: Sample from this many of the best candidates; None takes all there are.
        skip_top: Pass over this many of the best candidates unless they are judged.
        positives: Most positives per group: the highest judged, drawn by seed among equals; None takes all.
        relevant_from: Relevance from which a judgement makes a positive, at least 1.
        seed: Of the sampling; a query's negatives do not depend on other queries.
    """

    negatives: int = 7
    negatives_from: int | None = None
    skip_top: int = 0
    positives: int | None = None
    relevant_from: int = 1
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse settings that would make no group."""
        least = {
            "negatives": (self.negatives, 1),
            "skip_top": (self.skip_top, 0),
            "positives": (1 if self.positives is None else self.positives, 1),
            "relevant_from": (self.relevant_from, 1),
        }
        for name, (value, lowest) in least.items():
            if value < lowest:
                raise SettingsError(f"{name} is {value}, give at least {lowest}")
        if self.negatives_from is not None and self.negatives_from <= self.skip_top:
            raise SettingsError(
                f"negatives_from is {self.negatives_from} and skip_top {self.skip_top}, which leaves no candidates"
            )


@dataclass(slots=True)
class GroupCounts:
    """What became of the queries; counted while the groups are made.

    Attributes:
        groups: Groups made.
        positives: Positives in them.
        negatives: Negatives in them.
        without_positives: Queries left out because no passage judged relevant is in the collection.
        random_negatives: Negatives that are random passages, for want of candidates.
        without_negatives: Queries left out because the collection has nothing that could be a negative.
    """

    groups: int = 0
    positives: int = 0
    negatives: int = 0
    without_positives: int = 0
    random_negatives: int = 0
    without_negatives: int = 0


def training_groups(
    *,
    queries: Mapping[str, Query],
    qrels: Qrels,
    run: Run,
    passages: PassageStore,
    settings: GroupSettings,
    counts: GroupCounts,
    documents: bool = False,
) -> Iterator[Group]:
    """Yield one group per query of ``qrels`` that has both a positive and a negative.

    Args:
        queries: Texts of the queries.
        qrels: Judgements of the split trained on.
        run: First-stage candidates.
        passages: The collection.
        settings: How groups are made.
        counts: Filled while groups are made.
        documents: The judgements are of documents; every passage cut from a relevant one is a positive (to be
            filtered by a teacher, as Simplified TinyBERT does).
    """
    for query_id, own in qrels.items():
        judged = _judged_passages(own, passages) if documents else own
        candidates = ranking(run.get(query_id, {}))
        drawing = random.Random(f"{settings.seed} {query_id}")
        positives = passages.get_many(_positives(judged, settings, drawing))
        if not positives:
            counts.without_positives += 1
            continue
        pool = _pool(judged, candidates, settings)
        negatives = _draw(pool, positives, passages, settings.negatives, drawing)
        wanted = settings.negatives - len(negatives)
        avoided = {*judged, *candidates}
        fillers = _random_passages([*positives.values(), *negatives], avoided, passages, wanted, drawing)
        if not negatives and not fillers:
            counts.without_negatives += 1
            continue
        counts.groups += 1
        counts.positives += len(positives)
        counts.negatives += len(negatives) + len(fillers)
        counts.random_negatives += len(fillers)
        chosen = [*positives.values(), *negatives, *fillers]
        yield Group(
            query=queries[query_id].text,
            passages=tuple(passage.content for passage in chosen),
            relevance=tuple(float(judged[doc_id]) for doc_id in positives) + (0.0,) * (len(chosen) - len(positives)),
            query_id=query_id,
            doc_ids=tuple(passage.doc_id for passage in chosen),
        )


def unlabelled_groups(
    query_ids: Iterable[str],
    *,
    queries: Mapping[str, Query],
    run: Run,
    passages: PassageStore,
    settings: GroupSettings,
    counts: GroupCounts,
) -> Iterator[Group]:
    """Yield one group per query that has candidates: ``settings.negatives`` of these, filled up with random passages.

    Arguments as ``training_groups``'; the candidates count as negatives.
    """
    for query_id in query_ids:
        candidates = ranking(run.get(query_id, {}))
        drawing = random.Random(f"{settings.seed} {query_id}")
        chosen = _draw(_pool({}, candidates, settings), {}, passages, settings.negatives, drawing)
        if not chosen:
            counts.without_negatives += 1
            continue
        fillers = _random_passages(chosen, candidates, passages, settings.negatives - len(chosen), drawing)
        counts.groups += 1
        counts.negatives += len(chosen) + len(fillers)
        counts.random_negatives += len(fillers)
        yield Group(
            query=queries[query_id].text,
            passages=tuple(passage.content for passage in [*chosen, *fillers]),
            relevance=(0.0,) * (len(chosen) + len(fillers)),
            query_id=query_id,
            doc_ids=tuple(passage.doc_id for passage in [*chosen, *fillers]),
        )


def groups_finding(counts: GroupCounts) -> Finding:
    """Say how many groups there are and what they hold; a note when they are too large or queries were lost."""
    if counts.groups == 0:
        lacking = "a relevant passage in the collection" if counts.without_positives else "a candidate"
        message = f"no group could be made: no training query has {lacking}"
        return Finding(check="training groups", level="problem", message=message, count=counts.without_positives)
    positives, negatives = counts.positives / counts.groups, counts.negatives / counts.groups
    lost = counts.without_positives + counts.without_negatives
    message = f"{counts.groups:,} groups of {positives:.1f} positives and {negatives:.1f} negatives on average"
    if not counts.positives:
        message = f"{counts.groups:,} groups of {negatives:.1f} unjudged candidates on average, for a teacher to score"
    if counts.random_negatives:
        message += f"; {counts.random_negatives / counts.negatives:.1%} of the negatives are random passages"
    if lost:
        message += f"; {lost:,} queries have no group for want of a positive (or of anything else)"
    if positives > _MANY_POSITIVES:
        message += "; limit the positives with --positives, or have a teacher filter them"
    level: Level = "note" if lost or positives > _MANY_POSITIVES else "ok"
    return Finding(check="training groups", level=level, message=message, count=lost)


def _judged_passages(judged: Mapping[str, int], passages: PassageStore) -> dict[str, int]:
    """Give every passage of a judged document the document's relevance."""
    return {
        doc_id: relevance for document_id, relevance in judged.items() for doc_id in passages_of(document_id, passages)
    }


def _positives(judged: Mapping[str, int], settings: GroupSettings, drawing: random.Random) -> list[str]:
    """Return the positives in the order judged: all, or the highest judged of them."""
    relevant = [doc_id for doc_id, relevance in judged.items() if relevance >= settings.relevant_from]
    if settings.positives is None or len(relevant) <= settings.positives:
        return relevant
    # Sorting is stable: equals stay in the order drawn.
    best = sorted(drawing.sample(relevant, len(relevant)), key=lambda doc_id: -judged[doc_id])
    kept = set(best[: settings.positives])
    return [doc_id for doc_id in relevant if doc_id in kept]


def _pool(judged: Mapping[str, int], candidates: Sequence[str], settings: GroupSettings) -> list[str]:
    """Return what may be a negative, the first stage's best first, then what was judged but not found."""
    reach = candidates[: settings.negatives_from]
    pool = [
        doc_id
        for place, doc_id in enumerate(reach)
        if (judged[doc_id] < settings.relevant_from if doc_id in judged else place >= settings.skip_top)
    ]
    found = set(reach)
    return pool + [
        doc_id for doc_id, relevance in judged.items() if relevance < settings.relevant_from and doc_id not in found
    ]


def _draw(
    pool: Sequence[str], positives: Mapping[str, Passage], passages: PassageStore, count: int, drawing: random.Random
) -> list[Passage]:
    """Draw at most ``count`` passages from the pool, each text once and none of a positive, in the pool's order."""
    taken = {passage.content for passage in positives.values()}
    chosen: dict[str, Passage] = {}
    order = drawing.sample(pool, len(pool))
    for start in range(0, len(order), 2 * count):
        for doc_id, passage in passages.get_many(order[start : start + 2 * count]).items():
            if len(chosen) < count and passage.content not in taken:
                taken.add(passage.content)
                chosen[doc_id] = passage
        if len(chosen) == count:
            break
    return [chosen[doc_id] for doc_id in pool if doc_id in chosen]


def _random_passages(
    chosen: Sequence[Passage], avoided: Container[str], passages: PassageStore, count: int, drawing: random.Random
) -> list[Passage]:
    """Draw ``count`` passages from the whole collection, or fewer when it is too small to find them by chance."""
    taken = {passage.content for passage in chosen}
    found: list[Passage] = []
    for _ in range(20 * count):
        if len(found) == count:
            break
        passage = passages.position(drawing.randrange(len(passages)))
        if passage.doc_id not in avoided and passage.content not in taken:
            taken.add(passage.content)
            found.append(passage)
    return found
