from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from distilrank.cli.command_line import command_line, command_line_is
from distilrank.cli.distil_options import checked, merged, parse_options
from distilrank.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("--layers 3", {"layers": "3"}),
        ("--set a=1 --layers=3 --set 'b=[1, 2]'", {"set": ["a=1", "b=[1, 2]"], "layers": "3"}),
        ("--offline --steps 5", {"offline": True, "steps": "5"}),
        ("--steps 5 --offline", {"steps": "5", "offline": True}),
        ("--learning-rate -1", {"learning-rate": "-1"}),
    ],
)
def test_options_are_read(text: str, expected: Mapping[str, object]) -> None:
    assert parse_options(text) == expected


@pytest.mark.parametrize(("text", "words"), [("3", "have '3' without a name"), ("--a 'b", "No closing quotation")])
def test_what_is_no_options(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_options(text)


def test_a_systems_own_options_replace_the_common_ones() -> None:
    common = {"layers": 3, "copy": "last", "steps": 100, "batch-size": 8, "set": ["a=1"]}
    assert merged(common, {}) == {"layers": 3, "copy": "last", "steps": 100, "batch_size": 8, "set": ["a=1"]}
    assert merged(common, {"batch_size": 4, "layers": 2})["batch_size"] == 4
    assert merged(common, {"set": "b=2"})["set"] == ["a=1", "b=2"]
    assert merged({}, {"set": "b=2"}) == {"set": ["b=2"]}
    assert merged({"objective": ["kl"]}, {"objective": ["mse"]}) == {"objective": ["mse"]}
    for own in ({"shape": "1/8/16/4"}, {"student": "runs/x"}, {"copy-layers": "1,2"}):
        found = merged(common, own)
        assert "layers" not in found
        assert found[next(iter(own)).replace("-", "_")] == next(iter(own.values()))
    assert "steps" not in merged(common, {"epochs": 2})
    assert merged({"epochs": 2}, {"steps": 3}) == {"steps": 3}
    # What is read is not changed.
    assert common["set"] == ["a=1"]


def test_options_become_arguments() -> None:
    options = {"layers": "3", "set": ["a=1", "b=2"], "offline": True, "learning_rate": 1e-4, "groups": "x.jsonl"}
    assert checked(options, system="s") == [
        *("--layers", "3", "--set", "a=1", "--set", "b=2", "--offline", "--learning-rate", "0.0001"),
        *("--groups", "x.jsonl"),
    ]
    assert checked({"offline": False, "layers": None}, system="s") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": 3}, "system 's' has the option 'layer', which distil has not; did you mean 'layers'?"),
        ({"layers": "x"}, "the option layers of system s is 'x' but must be a whole number"),
        ({"copy": "middle"}, "must be uniform or first or last"),
        ({"out": "x"}, "has the option 'out', which compare itself chooses"),
        ({"seed": 1}, "has the option 'seed', which compare itself chooses"),
    ],
)
def test_wrong_options_are_refused(options: Mapping[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("?", r"\?")):
        checked(options, system="s")


def test_the_command_line_is_the_cells_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["distilrank", "compare", "--out", "x"])
    assert command_line() == "distilrank compare --out x"
    with command_line_is(["distil", "--set", "a b=1"]):
        assert command_line() == "distilrank distil --set 'a b=1'"
    assert command_line() == "distilrank compare --out x"
