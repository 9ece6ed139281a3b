from __future__ import annotations

import gzip
import json
import lzma
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard

from distilrank.data import files
from distilrank.data.lines import read_lines
from distilrank.errors import InputError, MissingExtraError

TEXT = "alpha\tβeta\n𝄞 clef\n"


def packed(kind: str, data: bytes) -> bytes:
    zstd = zstandard.ZstdCompressor(write_checksum=True).compress
    pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstd}
    return pack[kind](data)


@pytest.mark.parametrize("kind", ["", ".gz", ".xz", ".zst"])
@pytest.mark.parametrize("name", ["a.tsv", "a.tsv{kind}"])
def test_every_packing_is_told_by_its_first_bytes_not_by_its_name(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name.format(kind=kind)
    path.write_bytes(packed(kind, b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()))
    with files.open_text(path) as file:
        assert file.read() == TEXT


@pytest.mark.parametrize("kind", [".gz", ".xz", ".zst"])
def test_files_packed_one_after_another_are_one_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a{kind}"
    path.write_bytes(packed(kind, b"one\n") + packed(kind, b"two\n"))
    with files.open_text(path) as file:
        assert file.read() == "one\ntwo\n"


@pytest.mark.parametrize("kind", [".gz", ".xz", ".zst"])
def test_a_large_packed_file_is_read_whole(tmp_path: Path, kind: str) -> None:
    data = b"".join(b"%d %d\n" % (number, number * number) for number in range(60_000))
    (tmp_path / f"a{kind}").write_bytes(packed(kind, data))
    with files.open_bytes(tmp_path / f"a{kind}") as file:
        assert file.read() == data


@pytest.mark.parametrize("kind", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("keep", [0.5, 0.97])
def test_a_cut_off_packed_file_is_an_error_and_not_a_short_file(tmp_path: Path, kind: str, keep: float) -> None:
    data = packed(kind, b"".join(os.urandom(8).hex().encode() + b"\n" for _ in range(20_000)))
    path = tmp_path / f"a{kind}"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(
        InputError, match=r"line \d+: the file is cut off or damaged .*; fetch or pack it again"
    ) as error:
        list(read_lines(path))
    assert error.value.path == path


@pytest.mark.parametrize("kind", [".gz", ".xz", ".zst"])
def test_a_damaged_packed_file_is_an_error(tmp_path: Path, kind: str) -> None:
    data = bytearray(packed(kind, b"".join(b"line %d\n" % number for number in range(2000))))
    for place in range(len(data) // 2, len(data) // 2 + 40):
        data[place] ^= 0xFF
    (tmp_path / f"a{kind}").write_bytes(data)
    with pytest.raises(InputError, match="cut off or damaged"):
        list(read_lines(tmp_path / f"a{kind}"))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.tsv: there is no such file"):
        files.open_text(tmp_path / "nowhere.tsv")
    with pytest.raises(InputError, match="is a folder where a file is expected"):
        files.open_bytes(tmp_path)


def test_zstd_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zst").write_bytes(packed(".zst", b"one\n"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'distilrank\[zstd\]'"):
        files.open_bytes(tmp_path / "a.zst")
    with pytest.raises(MissingExtraError), files.atomic_write(tmp_path / "b.zst"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["a.zst"]


@pytest.mark.parametrize("kind", ["", ".gz", ".xz", ".zst"])
def test_what_is_written_reads_back_and_is_the_same_bytes_at_any_time(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, now in (("a", 1e9), ("b", 2e9)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        with files.atomic_write(tmp_path / name / f"x.jsonl{kind}") as file:
            file.write(TEXT)
    with files.open_text(tmp_path / "a" / f"x.jsonl{kind}") as file:
        assert file.read() == TEXT
    first, second = (tmp_path / name / f"x.jsonl{kind}" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != TEXT.encode() or not kind


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    for name in ("a.txt", "b.gz", "c.zst"):
        with suppress(RuntimeError), files.atomic_write(tmp_path / name) as file:
            file.write("new")
            raise RuntimeError("stop")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_place_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written \(.+\); choose another place"):
        files.atomic_write_bytes(tmp_path / "file" / "a.txt", b"")
    with pytest.raises(InputError, match="cannot be written"), files.atomic_write(tmp_path / "file" / "b" / "a.txt"):
        pass


def test_a_killed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    script = f"""
        import os, signal
        from distilrank.data.files import atomic_write
        with atomic_write({str(path)!r}) as file:
            file.write("new" * 100_000)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_written_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    files.atomic_write_bytes(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_file_hash_is_sha256_of_the_bytes_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.file_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match="cannot be read"):
        files.file_hash(tmp_path / "b")


def test_json_keeps_order_and_refuses_nan(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"b": "é", "a": [1, 2.5]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8").startswith('{\n "b": "é",\n "a"')
    assert files.read_json(tmp_path / "a.json") == {"b": "é", "a": [1, 2.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_json_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(InputError, match=r"deep\.json: is nested too deeply"):
        files.read_json(tmp_path / "deep.json")


def test_bad_json_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{\n"a": 1,,\n}')
    with pytest.raises(InputError, match=r"a\.json, line 2: is not JSON"):
        files.read_json(tmp_path / "a.json")


def test_the_manifest_says_what_was_run_on_what_and_with_which_versions(tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text("abc")
    made = tmp_path / "out" / "made.txt"
    files.atomic_write_bytes(made, b"abc")
    files.write_manifest(
        tmp_path / "out",
        verb="prepare",
        settings={"depth": 100},
        inputs={"queries": tmp_path / "in.tsv"},
        outputs={"made": made},
        extra={"note": "x"},
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest["verb"] == "prepare"
    assert manifest["settings"] == {"depth": 100}
    assert manifest["versions"]["python"].split(".")[0] == "3"
    assert manifest["inputs"] == {"queries": {"path": (tmp_path / "in.tsv").as_posix(), "bytes": 3, "sha256": digest}}
    assert manifest["outputs"] == {"made": {"path": "made.txt", "bytes": 3, "sha256": digest}}
    assert manifest["note"] == "x"
