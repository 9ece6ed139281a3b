from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilrank.cli.app import build_app, run
from distilrank.cli.serve import serve
from distilrank.runtime.shipped import default_folder
from distilrank.serve import server
from distilrank.serve.keys import ApiKeys
from distilrank.serve.settings import ServeSettings

Asked = dict[str, Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the server would be started with."""
    found: Asked = {}
    monkeypatch.setattr(server, "run_server", lambda folders, **options: found.update(folders=folders, **options))
    return found


def code(*arguments: str) -> int:
    app = build_app({"serve": serve, "other": serve})
    return run(lambda: app(["serve", *arguments]))


def test_models_and_settings_reach_the_server(asked: Asked, tmp_path: Path) -> None:
    settings = tmp_path / "serve.yaml"
    settings.write_text("queue_pairs: 2000\nworkers: 3\nprecision: fp32\n")
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    arguments = ["runs/student", "b=runs/other", "--port", "0", "--watch", "2", "--workers", "2", "--log-texts"]
    more = ["--settings", str(settings), "--set", "timeout_seconds=5", "--keys-file", str(keys), "--host", "::"]
    assert code(*arguments, *more) == 0
    assert asked["folders"] == {"student": Path("runs/student"), "b": Path("runs/other")}
    assert (asked["host"], asked["port"]) == ("::", 0)
    assert asked["settings"] == ServeSettings(
        queue_pairs=2000, workers=2, precision="fp32", timeout_seconds=5.0, watch_seconds=2.0, log_texts=True
    )
    assert asked["keys"].accept("Bearer secret")


def test_without_a_folder_it_serves_the_ranker_that_comes_along(asked: Asked) -> None:
    assert code() == 0
    assert asked["folders"] == {"default": default_folder()}


def test_defaults(asked: Asked) -> None:
    assert code("runs/student") == 0
    assert (asked["host"], asked["port"], asked["settings"]) == ("127.0.0.1", 8080, ServeSettings())
    assert isinstance(asked["keys"], ApiKeys)
    assert not asked["keys"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a/x", "b/x"], "two models are called 'x'"),
        (["x", "--set", "queue_pair=3"], "did you mean 'queue_pairs'"),
        (["x", "--workers", "0"], "workers is 0, give at least 1"),
        (["x", "--keys-from", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE holds no API key"),
    ],
)
def test_what_is_wrong_is_said(
    asked: Asked, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert code(*arguments) == 2
    assert said in capsys.readouterr().err
    assert not asked
