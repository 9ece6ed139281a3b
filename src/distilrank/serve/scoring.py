"""From a request's texts to its answer: limits, the queue, waiting, and what scores mean."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from distilrank.serve.batching import Batcher, Job, Pair
from distilrank.serve.bodies import CLIENT_GONE
from distilrank.serve.gate import Account
from distilrank.serve.logs import JsonLog
from distilrank.serve.metrics import Metrics
from distilrank.serve.models import Models, ServedModel
from distilrank.serve.refusals import Refusal
from distilrank.serve.settings import ServeSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Documents in order, best first.

    Attributes:
        model: The name that answered.
        places: Where each stood in the request, and its score.
        tokens: What the model read; None where nobody asked.
    """

    model: str
    places: list[tuple[int, float]]
    tokens: int | None


class Scoring:
    """Everything between a form and the queue.

    Args:
        models: What is served.
        batcher: The queue.
        settings: Limits and patience.
        metrics: Told of every request that was scored.
        log: Told of texts, if it is to hold any.
    """

    def __init__(
        self, models: Models, batcher: Batcher, settings: ServeSettings, metrics: Metrics, log: JsonLog
    ) -> None:
        self._models = models
        self._batcher = batcher
        self._settings = settings
        self._metrics = metrics
        self._log = log

    async def rank(
        self,
        request: Request,
        *,
        query: str,
        documents: Sequence[str],
        model: str | None,
        raw_scores: bool,
        top_n: int | None = None,
        max_tokens_per_doc: int | None = None,
        whole: bool = False,
        count_tokens: bool = False,
    ) -> Ranking:
        """Rank documents; equal scores keep the order given, and the order is by logit whatever is answered.

        Args:
            request: Whose client may leave.
            query: The query.
            documents: At least one.
            model: Its name; None is the default.
            raw_scores: Answer logits, not scores from 0 to 1.
            top_n: How many of the best; None is all.
            max_tokens_per_doc: Cut documents after so many tokens; None does not.
            whole: Refuse pairs that would be truncated.
            count_tokens: Say how many tokens were read.

        Raises:
            Refusal: It is too much, too late, or not for this model.
        """
        name, served = self._models.find(model)
        if served.classifier is not None:
            raise Refusal(422, f"the model {name} is a classifier; use /predict")
        self._check_count(documents, "documents")
        self._check_lengths([query], self._settings.max_query_chars, "the query")
        self._check_lengths(documents, self._settings.max_document_chars, "a document")
        if max_tokens_per_doc is not None and max_tokens_per_doc < served.max_tokens:
            documents = await asyncio.to_thread(served.shorten, documents, max_tokens_per_doc)
        pairs = [(query, document) for document in documents]
        scores, tokens = await self._score(request, name, served, pairs, whole=whole, count_tokens=count_tokens)
        logits = scores.reshape(len(pairs))
        shown = logits.astype(np.float64) if raw_scores else served.scores(logits)
        order = np.argsort(-logits, kind="stable")[:top_n]
        return Ranking(model=name, places=[(int(index), float(shown[index])) for index in order], tokens=tokens)

    async def classify(
        self, request: Request, *, pairs: Sequence[Pair], model: str | None, raw_scores: bool, whole: bool
    ) -> list[list[tuple[str, float]]]:
        """Return the labels of each pair with their probabilities (or logits), the likeliest first.

        Raises:
            Refusal: It is too much, too late, or not for this model.
        """
        name, served = self._models.find(model)
        classifier = served.classifier
        if classifier is None:
            raise Refusal(422, f"the model {name} is a ranker; use /rerank")
        self._check_count(pairs, "inputs")
        texts = [text for pair in pairs for text in pair if text is not None]
        self._check_lengths(texts, self._settings.max_document_chars, "a text")
        logits, _ = await self._score(request, name, served, pairs, whole=whole, count_tokens=False)
        shown = logits.astype(np.float64) if raw_scores else classifier.probabilities(logits)
        orders = np.argsort(-logits, axis=1, kind="stable")
        return [
            [(classifier.labels[place], float(row[place])) for place in order]
            for row, order in zip(shown, orders, strict=True)
        ]

    def _check_count(self, items: Sequence[object], what: str) -> None:
        if len(items) > self._settings.max_documents:
            raise Refusal(413, f"{len(items):,} {what}, more than the {self._settings.max_documents:,} of a request")

    def _check_lengths(self, texts: Sequence[str], longest: int, what: str) -> None:
        length = max(map(len, texts))
        if length > longest:
            raise Refusal(413, f"{what} has {length:,} characters, more than the {longest:,} that this server takes")

    async def _score(
        self,
        request: Request,
        name: str,
        served: ServedModel,
        pairs: Sequence[Pair],
        *,
        whole: bool,
        count_tokens: bool,
    ) -> tuple[NDArray[np.float32], int | None]:
        """Send pairs through the queue and wait for their rows; fill in what the log says."""
        await self._check_tokens(served, pairs, whole=whole)
        job = self._batcher.submit(served.scorer, pairs)
        account: Account = request.scope["state"]["account"]
        account.facts |= {"model": name, "pairs": len(pairs)}
        if self._log.texts:
            self._log("texts", request_id=account.request_id, pairs=pairs)
        try:
            counting = asyncio.to_thread(served.count_tokens, pairs) if count_tokens else _nothing()
            rows, counts = await asyncio.gather(self._wait(request, job), counting)
        finally:
            self._batcher.withdraw(job)
        queued, scored = job.started - job.submitted, job.finished - job.started
        account.facts |= {"queue_ms": round(1000 * queued, 2), "score_ms": round(1000 * scored, 2)}
        self._metrics.queue_seconds.observe(queued)
        self._metrics.score_seconds.observe(scored)
        self._metrics.pairs.labels(name).inc(len(pairs))
        return rows, None if counts is None else sum(counts)

    async def _check_tokens(self, served: ServedModel, pairs: Sequence[Pair], *, whole: bool) -> None:
        """Refuse what costs too many tokens; they are counted only where there may be too many."""
        if whole:
            longest = max(await asyncio.to_thread(served.count_tokens, pairs, truncated=False))
            if longest > served.max_tokens:
                raise Refusal(413, f"a pair has {longest:,} tokens, more than the {served.max_tokens:,} of the model")
        most = self._settings.max_request_tokens
        if len(pairs) * served.max_tokens > most:
            total = sum(await asyncio.to_thread(served.count_tokens, pairs))
            if total > most:
                raise Refusal(413, f"the request has {total:,} tokens, more than the {most:,} that this server takes")

    async def _wait(self, request: Request, job: Job) -> NDArray[np.float32]:
        """Wait for a job, but not for ever, nor for a client that has left."""
        answer = asyncio.wrap_future(job.answers)
        leaving = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait(
                (answer, leaving), timeout=self._settings.timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            leaving.cancel()
        if answer.done():
            return answer.result()
        if leaving.done() and not leaving.cancelled():
            raise Refusal(CLIENT_GONE, "the client left")
        raise Refusal(504, f"no answer within {self._settings.timeout_seconds:g} s", retry_after=1)


async def _disconnected(request: Request) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _nothing() -> None:
    """Count no tokens."""
