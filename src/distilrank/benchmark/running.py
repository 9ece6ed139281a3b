"""A model opened by what runs it, in the process that is measured; nothing is imported but what that one needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distilrank.benchmark.entry import Entry, Runner

if TYPE_CHECKING:
    from distilrank.benchmark.texts import Pairs


@dataclass(frozen=True, kw_only=True)
class Running:
    """A model that is ready.

    Attributes:
        score: Pairs of one query -> a score each, by which they are ranked.
        computed_tokens: How many tokens it has computed so far, padding included.
    """

    score: Callable[[Pairs], Any]
    computed_tokens: Callable[[], int]


class CountingSession:
    """A session of onnxruntime that counts the tokens it is given."""

    def __init__(self, session: Any) -> None:
        self._session, self.tokens = session, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, outputs: Any, inputs: dict[str, Any], *options: Any) -> Any:
        """As onnxruntime's."""
        self.tokens += inputs["input_ids"].size
        return self._session.run(outputs, inputs, *options)


def open_entry(entry: Entry) -> Running:
    """Open a model."""
    return RUNNERS[entry.runner](entry)


def _counting(owner: Any, name: str) -> Callable[[], int]:
    """Have the session that is called so in its owner count tokens; return what tells how many."""
    session = CountingSession(getattr(owner, name))
    setattr(owner, name, session)
    return lambda: session.tokens


def _counting_network(network: Any) -> Callable[[], int]:
    """Have a torch network count tokens; return what tells how many.

    Its word embeddings count: sentence-transformers calls the network in a way that passes by its hooks.
    """
    counted = [0]

    def count(module: object, arguments: tuple[Any, ...]) -> None:
        counted[0] += arguments[0].numel()

    network.get_input_embeddings().register_forward_pre_hook(count)
    return lambda: counted[0]


def _distilrank(entry: Entry) -> Running:
    from distilrank.runtime.ranker import Ranker

    ranker = Ranker.load(
        entry.folder, threads=entry.threads, batch_tokens=entry.batch_tokens, precision=entry.precision
    )
    network: Any = ranker._network
    return Running(
        score=ranker.score,
        computed_tokens=_counting(network, "_encoder" if hasattr(network, "_encoder") else "_session"),
    )


def _torch(entry: Entry) -> Running:
    import torch

    from distilrank.models.load import load_model
    from distilrank.models.scorer import TorchScorer

    torch.set_num_threads(entry.threads)
    model, tokenizer = load_model(entry.folder, offline=True)
    scorer = TorchScorer(model, tokenizer, batch_tokens=entry.batch_tokens)
    return Running(score=scorer.score, computed_tokens=_counting_network(model))


def _sentence_transformers(entry: Entry) -> Running:
    import torch

    from distilrank.export.peers import open_sentence_transformers

    torch.set_num_threads(entry.threads)
    model = open_sentence_transformers(entry.folder)

    def score(pairs: Pairs) -> Any:
        return model.predict(list(pairs), show_progress_bar=False)

    return Running(score=score, computed_tokens=_counting_network(model.model))


def _fastembed(entry: Entry) -> Running:
    from distilrank.export.peers import open_fastembed

    (file,) = entry.network_files
    model = open_fastembed(entry.folder, file, threads=entry.threads)
    return Running(
        score=lambda pairs: list(model.rerank_pairs(list(pairs))),
        computed_tokens=_counting(model.model, "model"),
    )


def _flashrank(entry: Entry) -> Running:
    from distilrank.export.peers import flashrank_scores, open_flashrank

    (file,) = entry.network_files
    ranker = open_flashrank(entry.folder, file, threads=entry.threads)
    return Running(
        score=lambda pairs: flashrank_scores(ranker, pairs[0][0], [passage for _, passage in pairs]),
        computed_tokens=_counting(ranker, "session"),
    )


RUNNERS: dict[Runner, Callable[[Entry], Running]] = {
    "distilrank": _distilrank,
    "torch": _torch,
    "sentence-transformers": _sentence_transformers,
    "fastembed": _fastembed,
    "flashrank": _flashrank,
}
