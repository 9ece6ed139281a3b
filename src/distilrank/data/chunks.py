"""Text to the chunks that general distillation trains on: sentence pairs as in BERT's pre-training, nothing masked.

Documents become chunks as BERT's data generator makes them (Devlin et al. 2019, appendix A.2; TinyBERT's code does the
same): sentences are gathered up to a target length, mostly that of the longest chunk; the first of them, a random
number, are segment A; segment B is what follows, or, half the time, a run of sentences of another document. What is
too long loses tokens from either end at random.

The text is cut into shards of some million characters, each drawn from a generator of its own (seed, shard) and
written whole. So memory holds the text of two shards at most, a build that was broken off goes on after its last shard,
and chunk ``i`` is the same in every run. "Another document" is one of the same shard.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from distilrank.data.files import atomic_path, file_hash, read_json, write_json
from distilrank.data.plain_text import Document, read_documents
from distilrank.data.tokens import Encoded, PairTokenizer
from distilrank.errors import InputError, ResumeError, SettingsError

Ids: TypeAlias = NDArray[np.uint32]
"""Token ids in a row."""


@dataclass(frozen=True, kw_only=True)
class ChunkSettings:
    """How text becomes chunks.

    Attributes:
        max_tokens: Longest chunk, special tokens included (128: TinyBERT, section 4.2).
        short_seq_prob: Share of documents whose target length is drawn from 2 up to the longest (0.1: BERT).
        chunks: Stop after the shard in which there are this many. None: the whole text.
        shard_characters: Characters of text per shard.
        seed: Of all draws.
    """

    max_tokens: int = 128
    short_seq_prob: float = 0.1
    chunks: int | None = None
    shard_characters: int = 16_000_000
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name, least in (("max_tokens", 8), ("chunks", 1), ("shard_characters", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise SettingsError(f"{name} is {value} but must be at least {least}")
        if not 0 <= self.short_seq_prob <= 1:
            raise SettingsError(f"short_seq_prob is {self.short_seq_prob} but must lie between 0 and 1")


class Chunks(Sequence[Encoded]):
    """The chunks of a folder that `build_chunks` made, read from disk as they are asked for.

    Args:
        folder: With a ``chunks.json``.

    Raises:
        InputError: The folder holds no finished chunks.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "chunks.json").is_file():
            raise InputError("holds no chunks.json; build the chunks to their end first", path=folder)
        self.facts = read_json(self.folder / "chunks.json")
        self._ends: list[int] = list(accumulate(self.facts["shards"]))
        self._open = lru_cache(maxsize=64)(self._map)

    def __len__(self) -> int:
        return self._ends[-1]

    @overload
    def __getitem__(self, index: int) -> Encoded: ...
    @overload
    def __getitem__(self, index: slice) -> list[Encoded]: ...
    def __getitem__(self, index: int | slice) -> Encoded | list[Encoded]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        shard = bisect_right(self._ends, index)
        place = index - (self._ends[shard - 1] if shard else 0)
        tokens, ends = self._open(shard)
        start = int(ends[place - 1, 0]) if place else 0
        end, first = (int(value) for value in ends[place])
        ids = tokens[start:end].tolist()
        return Encoded(ids, [0] * first + [self.facts["second_segment"]] * (len(ids) - first))

    def _map(self, shard: int) -> tuple[Ids, NDArray[np.int64]]:
        tokens, ends = _shard_files(self.folder, shard)
        return np.load(tokens, mmap_mode="r"), np.load(ends, mmap_mode="r")


def build_chunks(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    tokenizer: PairTokenizer,
    settings: ChunkSettings,
    progress: Callable[[int], None] | None = None,
) -> Chunks:
    """Write the chunks of texts to a folder, going on where a build that was broken off stopped.

    ::

        building.json          which texts, which tokeniser, which settings
        shard-00000.tokens.npy uint32 token ids of all chunks, special tokens included
        shard-00000.ends.npy   (chunks, 2): where each ends in those, and how many of its tokens are of segment A
        chunks.json            chunks of each shard; it is there when the build is done

    Args:
        sources: Files of text.
        folder: Made when missing.
        tokenizer: Its limit on tokens does not matter.
        settings: How.
        progress: Called with the number of chunks so far, after each shard.

    Raises:
        InputError: A file cannot be read, or there are fewer than two documents.
        ResumeError: The folder holds the chunks of other texts, settings or another tokeniser.
    """
    folder = Path(folder)
    _claim(folder, sources, tokenizer, settings)
    if (folder / "chunks.json").is_file():
        return Chunks(folder)
    frame = _Frame.of(tokenizer)
    counts: list[int] = []
    documents = (each for source in sources for each in read_documents(source, longest=settings.shard_characters))
    for shard, group in enumerate(_shards(documents, characters=settings.shard_characters)):
        tokens_file, ends_file = _shard_files(folder, shard)
        if not ends_file.is_file():  # written last, so the shard is whole where it is there
            random = np.random.default_rng([settings.seed, shard])
            pieces = [[np.array(ids, np.uint32) for ids in tokenizer.pieces(document)] for document in group]
            pairs = document_pairs(pieces, room=settings.max_tokens - frame.size, settings=settings, random=random)
            tokens, ends = frame.joined(pairs)
            _save(tokens_file, tokens)
            _save(ends_file, ends)
        counts.append(len(np.load(ends_file, mmap_mode="r")))
        if progress is not None:
            progress(sum(counts))
        if settings.chunks is not None and sum(counts) >= settings.chunks:
            break
    write_json(folder / "chunks.json", {"chunks": sum(counts), "shards": counts, "second_segment": frame.second})
    return Chunks(folder)


def _claim(folder: Path, sources: Sequence[str | Path], tokenizer: PairTokenizer, settings: ChunkSettings) -> None:
    """Make the folder that of these texts, settings and tokeniser."""
    if not sources:
        raise InputError("no text is given; name at least one file of it")
    texts = [file_hash(source) for source in sources]
    wanted = {"texts": texts, "settings": asdict(settings), "tokenizer": tokenizer.identity}
    file = folder / "building.json"
    if not any(folder.glob("shard-*")):
        write_json(file, wanted)
        return
    found = read_json(file)
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ResumeError(f"{folder} holds chunks made with other {name}; give another folder")


def _shard_files(folder: Path, shard: int) -> tuple[Path, Path]:
    return folder / f"shard-{shard:05}.tokens.npy", folder / f"shard-{shard:05}.ends.npy"


def _save(path: Path, values: NDArray[np.generic]) -> None:
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        np.save(file, values)


def _shards(documents: Iterable[Document], *, characters: int) -> Iterator[list[Document]]:
    """Group documents into shards of at least so many characters and at least two documents.

    Raises:
        InputError: There are fewer than two documents.
    """
    held: list[Document] = []
    group: list[Document] = []
    size = 0
    for document in documents:
        if size >= characters and len(group) > 1:
            if held:
                yield held
            held, group, size = group, [], 0
        group.append(document)
        size += sum(map(len, document))
    if len(group) < 2:  # segment B may have to come from another document
        held, group = held + group, []
    if len(held) + len(group) < 2:
        raise InputError(
            "the text has fewer than two documents, and sentence pairs need two; put one sentence on a line, and blank "
            "lines between documents"
        )
    yield from filter(None, (held, group))


def document_pairs(
    documents: Sequence[list[Ids]], *, room: int, settings: ChunkSettings, random: np.random.Generator
) -> Iterator[tuple[Ids, Ids]]:
    """Yield the segments A and B of all chunks of a shard; neither is empty.

    Args:
        documents: Two or more, each a list of the token ids of its sentences.
        room: Most tokens of A and B together.
        settings: ``short_seq_prob`` is read.
        random: Of all draws.
    """
    documents = [kept for pieces in documents if (kept := [sentence for sentence in pieces if len(sentence)])]
    for place, document in enumerate(documents):
        target = room
        if random.random() < settings.short_seq_prob:
            target = int(random.integers(2, room + 1))
        start = 0
        while start < len(document):
            end, size = start, 0
            while end < len(document) and size < target:
                size += len(document[end])
                end += 1
            middle = start + 1 if end - start < 2 else int(random.integers(start + 1, end))
            a, b = np.concatenate(document[start:middle]), np.concatenate([*document[middle:end], _NOTHING])
            if len(documents) > 1 and (not len(b) or random.random() < 0.5):
                other = documents[_other_than(place, len(documents), random)]
                b, end = _run_of(other, tokens=target - len(a), random=random), middle
            if len(b):
                yield _shortened(a, b, room=room, random=random)
            start = end


_NOTHING = np.array([], np.uint32)


def _other_than(place: int, count: int, random: np.random.Generator) -> int:
    """Return a number below ``count`` that is not ``place``, all of them equally likely."""
    drawn = int(random.integers(count - 1))
    return drawn + (drawn >= place)


def _run_of(document: list[Ids], *, tokens: int, random: np.random.Generator) -> Ids:
    """Return consecutive sentences from a random one on, until there are so many tokens; at least one sentence."""
    start = end = int(random.integers(len(document)))
    size = 0
    while end < len(document) and (end == start or size < tokens):
        size += len(document[end])
        end += 1
    return np.concatenate(document[start:end])


def _shortened(a: Ids, b: Ids, *, room: int, random: np.random.Generator) -> tuple[Ids, Ids]:
    """Take tokens off the longer segment, from its front or its back at random, until both fit."""
    bounds = [[0, len(a)], [0, len(b)]]
    while (excess := sum(end - start for start, end in bounds) - room) > 0:
        for front in random.random(excess) < 0.5:
            longer = bounds[0] if bounds[0][1] - bounds[0][0] > bounds[1][1] - bounds[1][0] else bounds[1]
            longer[0 if front else 1] += 1 if front else -1
    return a[slice(*bounds[0])], b[slice(*bounds[1])]


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """The special tokens around two segments, as a tokeniser's own template puts them.

    Attributes:
        before: [CLS].
        between: [SEP]; two of them for RoBERTa.
        after: [SEP].
        second: Segment number of B and what is after it.
    """

    before: list[int]
    between: list[int]
    after: list[int]
    second: int

    @classmethod
    def of(cls, tokenizer: PairTokenizer) -> _Frame:
        """Find out by an example."""
        (probe,) = tokenizer.pieces(["a"])
        (pair,) = tokenizer.with_max_tokens(32).encode(["a"], ["a"])
        ids, size = pair.input_ids, len(probe)
        places = [start for start in range(len(ids)) if ids[start : start + size] == probe]
        first, second = places[0], places[-1]
        return cls(
            before=ids[:first],
            between=ids[first + size : second],
            after=ids[second + size :],
            second=pair.token_type_ids[-1],
        )

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return len(self.before) + len(self.between) + len(self.after)

    def joined(self, pairs: Iterable[tuple[Ids, Ids]]) -> tuple[Ids, NDArray[np.int64]]:
        """Return all chunks in a row, and for each where it ends and how many tokens its first segment has."""
        tokens: list[Ids] = []
        ends, end = [], 0
        before, between, after = (np.array(ids, np.uint32) for ids in (self.before, self.between, self.after))
        for a, b in pairs:
            tokens += [before, a, between, b, after]
            end += self.size + len(a) + len(b)
            ends.append((end, len(before) + len(a) + len(between)))
        return np.concatenate([*tokens, _NOTHING]), np.array(ends, np.int64).reshape(-1, 2)
