"""What docs/serving.md says is so."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

from distilrank.serve.settings import ServeSettings
from tests.serve.serving import FakeRanker, serving

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_every_setting_is_told_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (\S[^|]*?) \| ", PAGE.split("## Settings")[1], flags=re.MULTILINE))
    defaults = {each.name: str(each.default) for each in fields(ServeSettings)}
    assert told == {**defaults, "threads": "tuned, or all cores"}


def test_every_command_is_answered() -> None:
    asked = re.findall(r"curl http://127\.0\.0\.1:8080(\S+) .*?-d '(.*?)'", PAGE, flags=re.DOTALL)
    assert len(asked) == 2
    with serving() as server:
        for path, body in asked:
            assert server.post(path, json.loads(body)).status_code == 200


def test_every_path_is_there() -> None:
    told = set(re.findall(r"`(?:GET|POST) (/[\w/.]*)`", PAGE))
    with serving({"student": FakeRanker()}) as server:
        described = set(server.client.get("/openapi.json").json()["paths"])
    assert told - {"/openapi.json"} == described
