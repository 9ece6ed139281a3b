from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from distilrank.errors import InputError
from distilrank.serve import keys as module
from distilrank.serve.keys import ApiKeys, read_keys


def test_any_of_the_keys_is_accepted_and_nothing_else() -> None:
    keys = ApiKeys(["first", "second"])
    assert keys
    assert keys.accept("Bearer first")
    assert keys.accept("bearer  second ")
    for wrong in (
        "",
        "first",
        "Bearer",
        "Bearer ",
        "Bearer firs",
        "Bearer first second",
        "Basic first",
        "Bearer é\udcff",
    ):
        assert not keys.accept(wrong)
    assert not ApiKeys([])
    assert not ApiKeys([]).accept("Bearer ")


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    compare_digest = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return compare_digest(a, b)

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    keys = ApiKeys(["a", "bb", "ccc"])
    keys.accept("Bearer a")
    keys.accept("Bearer something else that is long")
    keys.accept("Basic a")
    assert compared == [(32, 32)] * 9


def test_no_key_is_kept(tmp_path: Path) -> None:
    assert "secret" not in repr(vars(ApiKeys(["secret"])))


def test_keys_come_from_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    path.write_text("one\r\n\n  two \n")
    monkeypatch.setenv("SOME_KEYS", "three\n")
    assert not read_keys()
    assert read_keys(path=path).accept("Bearer two")
    assert read_keys(variable="SOME_KEYS").accept("Bearer three")
    with pytest.raises(InputError, match="not both"):
        read_keys(variable="SOME_KEYS", path=path)


def test_keys_that_cannot_work_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, strange = tmp_path / "empty", tmp_path / "strange"
    empty.write_text(" \n")
    strange.write_text("with space\n")
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(InputError, match="NOT_SET holds no API key"):
        read_keys(variable="NOT_SET")
    with pytest.raises(InputError, match="empty holds no API key"):
        read_keys(path=empty)
    with pytest.raises(InputError, match="no header can carry"):
        read_keys(path=strange)
    with pytest.raises(InputError, match="no such file"):
        read_keys(path=tmp_path / "nothing")
