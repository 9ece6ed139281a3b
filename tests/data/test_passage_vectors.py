from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from distilrank.data import passage_vectors
from distilrank.data.passage_vectors import PassageVectors, text_keys, write_passage_vectors
from distilrank.errors import InputError, ModelError, ResumeError
from distilrank.records import Passage

PASSAGES = {f"d{i}": Passage(f"d{i}", f"text {i} naïve 東京", title="" if i % 2 else "title") for i in range(10)}
IDENTITY = {"weights": "abc", "limit on words": 20}


@pytest.fixture(autouse=True)
def four_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passage_vectors, "AT_ONCE", 4)


def vector(text: str) -> list[float]:
    return [len(text), sum(map(ord, text)) / 1000, text.startswith("title")]


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.array([vector(text) for text in texts], np.float32)


def write(folder: Path, **changes: Any) -> int:
    told = {"width": 3, "identity": IDENTITY, "collection": "hash", "dtype": "float32", **changes}
    return write_passage_vectors(folder, told.pop("passages", PASSAGES), told.pop("encode", encode), **told)


def test_vectors_are_found_by_the_texts_they_were_made_of(tmp_path: Path) -> None:
    done: list[int] = []
    assert write(tmp_path, progress=done.append) == 10
    assert done == [4, 8, 10]
    vectors = PassageVectors(tmp_path, identity=IDENTITY)
    assert len(vectors) == 10
    contents = [passage.content for passage in PASSAGES.values()]
    assert contents[0] == "title text 0 naïve 東京"
    wanted = [contents[7], "not there", contents[0], contents[9], "", contents[7]]
    rows = vectors.find(wanted)
    assert rows.tolist() == [7, -1, 0, 9, -1, 7]
    np.testing.assert_array_equal(vectors.rows(rows[rows >= 0]), encode([contents[i] for i in (7, 0, 9, 7)]))
    assert vectors.find([]).tolist() == []
    assert (tmp_path / "ids.txt").read_text(encoding="utf-8").split() == list(PASSAGES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.txt", "keys.npy", "manifest.json", "vectors.npy"]


def test_keys_are_64_bits_of_each_text() -> None:
    keys = text_keys(["a", "b", "a", ""])
    assert keys.dtype == np.uint64
    assert keys[0] == keys[2]
    assert len(set(keys.tolist())) == 3
    assert len(set(text_keys([str(i) for i in range(10_000)]).tolist())) == 10_000
    # So that vectors of another machine are found: blake2b with a digest of 8 bytes, read as a little-endian number.
    assert text_keys(["abc"]).tolist() == [0x5995D533D814BBD8]


def test_half_precision_is_stored_in_half_the_space(tmp_path: Path) -> None:
    write(tmp_path / "half", dtype="float16")
    assert np.load(tmp_path / "half" / "vectors.npy").dtype == np.float16
    found = PassageVectors(tmp_path / "half", identity={}).rows(np.arange(10))
    assert found.dtype == np.float32
    expected = encode([passage.content for passage in PASSAGES.values()])
    np.testing.assert_array_equal(found, expected.astype(np.float16).astype(np.float32))


def test_a_killed_run_goes_on_and_is_no_whole_set_before(tmp_path: Path) -> None:
    calls: list[int] = []

    def killed(texts: Sequence[str]) -> NDArray[np.float32]:
        calls.append(len(texts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(texts)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, encode=killed)
    with pytest.raises(InputError, match="distilrank encode"):
        PassageVectors(tmp_path, identity=IDENTITY)
    for other in ({"dtype": "float16"}, {"collection": "another"}, {"identity": {"weights": "other"}}):
        with pytest.raises(ResumeError, match="a part of other passage vectors"):
            write(tmp_path, **other)
    write(tmp_path, encode=killed)
    assert calls == [4, 4, 4, 2]  # the first four were kept
    write(tmp_path / "whole")
    for name in ("vectors.npy", "keys.npy", "ids.txt", "manifest.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    # The same command again does nothing.
    assert write(tmp_path, encode=killed) == 10
    assert len(calls) == 4


def test_vectors_of_another_network_are_refused_and_made_anew(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ModelError, match=r"other weights than this model's \(abc and def\); make them anew"):
        PassageVectors(tmp_path, identity={**IDENTITY, "weights": "def"})
    with pytest.raises(ModelError, match=r"other limit on words .*\(20 and 30\)"):
        PassageVectors(tmp_path, identity={**IDENTITY, "limit on words": 30})
    write(tmp_path, identity={"weights": "def"}, encode=lambda texts: encode(texts) + 1)
    vectors = PassageVectors(tmp_path, identity={"weights": "def"})
    assert vectors.rows(vectors.find([PASSAGES["d3"].content])).tolist() == [
        [value + 1 for value in encode([PASSAGES["d3"].content])[0].tolist()]
    ]
    assert json.loads((tmp_path / "manifest.json").read_text())["made_by"] == {"weights": "def"}


def test_a_collection_of_no_passages_has_no_vectors(tmp_path: Path) -> None:
    assert write(tmp_path, passages={}) == 0
    assert PassageVectors(tmp_path, identity=IDENTITY).find(["a", "b"]).tolist() == [-1, -1]
