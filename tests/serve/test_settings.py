from __future__ import annotations

from typing import Any

import pytest

from distilrank.errors import SettingsError
from distilrank.serve.settings import ServeSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"threads": 0},
        {"batch_pairs": 0},
        {"max_requests": 0},
        {"max_body_bytes": 0},
        {"max_json_depth": 0},
        {"max_documents": 5000},
        {"queue_seconds": 0.0},
        {"timeout_seconds": float("nan")},
        {"batch_wait_ms": -1.0},
        {"watch_seconds": -1.0},
    ],
)
def test_what_could_never_serve_is_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(SettingsError, match=f"{name} is "):
        ServeSettings(**wrong)


def test_defaults_stand() -> None:
    assert ServeSettings().max_documents == 1000
    assert ServeSettings(max_documents=5000, queue_pairs=5000).queue_pairs == 5000
