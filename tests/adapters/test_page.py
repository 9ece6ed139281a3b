"""The examples of docs/adapters.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("example", EXAMPLES, ids=re.findall(r"^## (\w+)$", PAGE, flags=re.MULTILINE)[: len(EXAMPLES)])
def test_an_example(
    example: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in re.findall(r"^(?:from|import) (?!distilrank)(\w+)", example, flags=re.MULTILINE):
        pytest.importorskip(library, reason=f"{library} is not installed; `make adapters` installs it")
    if "adapters.mteb" in example:
        pytest.importorskip("mteb", reason="mteb is not installed; `make adapters` installs it")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "student").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    exec(compile(example, "docs/adapters.md", "exec"), {})
    assert capsys.readouterr().out.count("\n") >= 2
