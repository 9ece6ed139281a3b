from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel

from distilrank.data import chunks as chunks_module
from distilrank.data.chunks import Chunks, ChunkSettings, _other_than, build_chunks, document_pairs
from distilrank.data.tokens import Encoded, PairTokenizer
from distilrank.errors import InputError, ResumeError, SettingsError

WORDS = 1000
CLS, SEP = WORDS + 1, WORDS + 2


def number_tokenizer(*, roberta: bool = False) -> PairTokenizer:
    """Word "7" has id 7; "a" is what the template is found out by."""
    vocabulary = {**{str(i): i for i in range(WORDS)}, "a": WORDS, "[CLS]": CLS, "[SEP]": SEP}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pair = "[CLS] $A [SEP] [SEP] $B [SEP]" if roberta else "[CLS] $A [SEP] $B:1 [SEP]:1"
    special = [("[CLS]", CLS), ("[SEP]", SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair=pair, special_tokens=special)
    return PairTokenizer(tokenizer, max_tokens=16)


def write_text(path: Path, documents: int = 9, *, seed: int = 1) -> Path:
    """Document d is the numbers from 100 d on, in sentences of 1 to 12."""
    draw = random.Random(seed)
    blocks = []
    for document in range(documents):
        numbers = [str(100 * document + place) for place in range(draw.randint(40, 100))]
        lines = []
        while numbers:
            size = draw.randint(1, 12)
            lines.append(" ".join(numbers[:size]))
            numbers = numbers[size:]
        blocks.append("\n".join(lines))
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return path


def settings(**changes: object) -> ChunkSettings:
    return ChunkSettings(**{"max_tokens": 24, "shard_characters": 600, **changes})  # type: ignore[arg-type]


def segments(chunk: Encoded) -> tuple[list[int], list[int]]:
    """A and B without special tokens, after checking how they are framed."""
    first = chunk.token_type_ids.count(0)
    a, b = chunk.input_ids[:first], chunk.input_ids[first:]
    assert chunk.token_type_ids == [0] * len(a) + [1] * len(b)
    assert (a[0], a[-1], b[-1]) == (CLS, SEP, SEP)
    return a[1:-1], b[:-1]


def built(tmp_path: Path, name: str = "chunks", **changes: object) -> Chunks:
    text = write_text(tmp_path / "text.txt")
    return build_chunks([text], tmp_path / name, tokenizer=number_tokenizer(), settings=settings(**changes))


def test_chunks_are_pairs_of_consecutive_runs_of_whole_text(tmp_path: Path) -> None:
    chunks = built(tmp_path)
    for chunk in chunks:
        assert len(chunk) <= 24
        for segment in segments(chunk):
            assert segment, "neither is empty"
            assert segment == list(range(segment[0], segment[0] + len(segment)))
            assert segment[0] // 100 == segment[-1] // 100, "no segment crosses documents"


def test_half_of_the_second_segments_are_of_another_document_of_the_shard() -> None:
    draw = np.random.default_rng(3)
    documents = [
        [np.arange(1000 * d + 4 * s, 1000 * d + 4 * s + 4, dtype=np.uint32) for s in range(60)] for d in range(60)
    ]
    same = [
        a[0] // 1000 == b[0] // 1000 for a, b in document_pairs(documents, room=20, settings=settings(), random=draw)
    ]
    assert len(same) > 1000
    # A chunk of a single sentence (short targets, ends of documents) always takes another document's.
    assert 0.42 < np.mean(same) < 0.53


def test_nothing_is_lost_but_what_is_too_long() -> None:
    # Sentences of two tokens and room for all of a target: each token of a document is in just one segment A or B.
    draw = np.random.default_rng(3)
    documents = [[np.array([100 * d + 2 * s, 100 * d + 2 * s + 1], np.uint32) for s in range(20)] for d in range(5)]
    pairs = list(document_pairs(documents, room=16, settings=settings(short_seq_prob=0.0), random=draw))
    seen: list[int] = []
    for a, b in pairs:
        seen += [*a, *(b if b[0] == a[-1] + 1 else [])]
    whole = [token for document in documents for sentence in document for token in sentence]
    assert set(seen) == set(whole)
    assert len(seen) == len(whole)
    assert all(len(a) + len(b) <= 16 for a, b in pairs)


def test_short_targets_have_their_share() -> None:
    def mean_length(share: float) -> float:
        draw = np.random.default_rng(5)
        documents = [[np.arange(3, dtype=np.uint32)] * 60 for _ in range(100)]
        pairs = document_pairs(documents, room=60, settings=settings(short_seq_prob=share), random=draw)
        return float(np.mean([len(a) + len(b) for a, b in pairs]))

    assert mean_length(0.0) > mean_length(0.1) > mean_length(1.0)
    assert mean_length(1.0) < 25


def test_tokens_are_taken_off_both_ends_of_the_longer_segment() -> None:
    draw = np.random.default_rng(2)
    a, b = np.arange(30, dtype=np.uint32), np.arange(100, 106, dtype=np.uint32)
    fronts = []
    for _ in range(200):
        short, other = chunks_module._shortened(a, b, room=20, random=draw)
        assert (len(short), list(other)) == (14, list(b))
        assert list(short) == list(range(short[0], short[0] + 14))
        fronts.append(int(short[0]))
    assert 7 < np.mean(fronts) < 9  # 16 tokens, half of them from the front
    assert [len(part) for part in chunks_module._shortened(a, a, room=20, random=draw)] == [10, 10]


def test_a_template_of_another_family_is_kept(tmp_path: Path) -> None:
    text = write_text(tmp_path / "text.txt")
    tokenizer = number_tokenizer(roberta=True)
    for chunk in build_chunks([text], tmp_path / "chunks", tokenizer=tokenizer, settings=settings()):
        assert set(chunk.token_type_ids) == {0}
        places = [place for place, token in enumerate(chunk.input_ids) if token == SEP]
        assert chunk.input_ids[0] == CLS
        assert places[1] == places[0] + 1
        assert places[2] == len(chunk) - 1 < 24


def test_chunks_are_read_by_position_slice_and_from_the_end(tmp_path: Path) -> None:
    chunks = built(tmp_path)
    assert len(chunks.facts["shards"]) > 2
    whole = list(chunks)
    assert len(whole) == len(chunks) == sum(chunks.facts["shards"])
    assert chunks[1:5] == whole[1:5]
    assert chunks[-1] == whole[-1]
    assert [chunks[i] for i in (4, 0, 3)] == [whole[i] for i in (4, 0, 3)]
    with pytest.raises(IndexError):
        chunks[len(chunks)]


def test_one_seed_one_result(tmp_path: Path) -> None:
    once, again, other = built(tmp_path, "a"), built(tmp_path, "b"), built(tmp_path, "c", seed=43)
    assert list(once) == list(again)
    assert list(once) != list(other)


@pytest.mark.parametrize("place", range(4))
def test_another_document_is_any_but_the_same(place: int) -> None:
    draw = np.random.default_rng(1)
    drawn = np.bincount([_other_than(place, 4, draw) for _ in range(3000)], minlength=4)
    assert drawn[place] == 0
    assert all(900 < count < 1100 for other, count in enumerate(drawn) if other != place)


def test_each_shard_draws_anew(tmp_path: Path) -> None:
    document = "\n".join(" ".join(str(7 * line + place) for place in range(7)) for line in range(15))
    (tmp_path / "text.txt").write_text("\n\n".join([document] * 4) + "\n", encoding="utf-8")
    made = settings(shard_characters=len(document))
    build_chunks([tmp_path / "text.txt"], tmp_path / "chunks", tokenizer=number_tokenizer(), settings=made)
    shards = [path.read_bytes() for path in sorted((tmp_path / "chunks").glob("*.tokens.npy"))]
    assert len(shards) == 2
    assert shards[0] != shards[1]


def test_a_build_that_was_broken_off_goes_on_to_the_same_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(built(tmp_path, "whole"))
    save, saved = chunks_module._save, []

    def broken(path: Path, values: np.ndarray) -> None:
        if len(saved) == 3:  # the tokens of the second shard are written, its ends are not
            raise KeyboardInterrupt
        saved.append(path.name)
        save(path, values)

    monkeypatch.setattr(chunks_module, "_save", broken)
    with pytest.raises(KeyboardInterrupt):
        built(tmp_path, "stopped")
    with pytest.raises(InputError, match="build the chunks to their end"):
        Chunks(tmp_path / "stopped")
    written: list[str] = []
    monkeypatch.setattr(chunks_module, "_save", lambda path, values: (written.append(path.name), save(path, values)))
    assert list(built(tmp_path, "stopped")) == whole
    assert written[:2] == ["shard-00001.tokens.npy", "shard-00001.ends.npy"]
    written.clear()
    assert list(built(tmp_path, "stopped")) == whole
    assert written == []


def test_the_text_is_read_as_a_stream_and_only_as_far_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = write_text(tmp_path / "text.txt", documents=9)
    read: list[int] = []
    documents = chunks_module.read_documents

    def watched(path: Path, *, longest: int) -> Iterator[list[str]]:
        for document in documents(path, longest=longest):
            read.append(len(document))
            yield document

    monkeypatch.setattr(chunks_module, "read_documents", watched)
    chunks = build_chunks(
        [text], tmp_path / "few", tokenizer=number_tokenizer(), settings=settings(chunks=5, shard_characters=200)
    )
    assert len(chunks) >= 5
    assert len(chunks.facts["shards"]) == 1
    assert len(read) < 7


def test_a_folder_of_other_text_settings_or_tokeniser_is_refused(tmp_path: Path) -> None:
    built(tmp_path)
    with pytest.raises(ResumeError, match="holds chunks made with other settings"):
        built(tmp_path, seed=7)
    with pytest.raises(ResumeError, match="holds chunks made with other tokenizer"):
        build_chunks(
            [tmp_path / "text.txt"], tmp_path / "chunks", tokenizer=number_tokenizer(roberta=True), settings=settings()
        )
    write_text(tmp_path / "text.txt", seed=2)
    with pytest.raises(ResumeError, match="holds chunks made with other texts"):
        build_chunks([tmp_path / "text.txt"], tmp_path / "chunks", tokenizer=number_tokenizer(), settings=settings())


def test_a_last_document_by_itself_joins_the_shard_before(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("1 2 3\n4 5 6\n\n101 102\n103\n\n201 202\n203\n", encoding="utf-8")
    chunks = build_chunks([text], tmp_path / "c", tokenizer=number_tokenizer(), settings=settings(shard_characters=12))
    assert len(chunks.facts["shards"]) == 1
    assert {token for chunk in chunks for token in chunk.input_ids} >= {1, 101, 201}


def test_one_document_alone_and_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("1 2 3\n4 5 6\n", encoding="utf-8")
    with pytest.raises(InputError, match="blank lines between documents"):
        build_chunks([text], tmp_path / "c", tokenizer=number_tokenizer(), settings=settings())
    with pytest.raises(InputError, match="no text is given"):
        build_chunks([], tmp_path / "d", tokenizer=number_tokenizer(), settings=settings())
    with pytest.raises(SettingsError, match=r"short_seq_prob is 1\.5 but must lie between 0 and 1"):
        ChunkSettings(short_seq_prob=1.5)
    with pytest.raises(SettingsError, match="max_tokens is 7 but must be at least 8"):
        ChunkSettings(max_tokens=7)
