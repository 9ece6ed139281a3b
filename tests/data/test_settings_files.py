from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from distilrank.data.settings_files import as_json, fit_value, read_settings
from distilrank.errors import InputError, SettingsError


@dataclass(frozen=True, kw_only=True)
class Loop:
    learning_rate: float = 5e-5
    batch_size: int = 8
    max_steps: int | None = None
    trackers: tuple[str, ...] = ("tensorboard",)
    schedule: Literal["linear", "constant"] = "linear"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise SettingsError(f"batch_size is {self.batch_size} but must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Settings:
    mapping: str | tuple[int, ...] = "uniform"
    alpha: float = 0.5
    masked: bool = True
    name: str = ""
    training: Loop = field(default_factory=lambda: Loop(batch_size=64))


def written(folder: Path, text: str, name: str = "settings.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_stand() -> None:
    assert read_settings(Settings) == Settings()
    assert read_settings(Settings).training.batch_size == 64


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.yaml",
            "mapping: [2, 4, 6]\nalpha: 1e-3\nmasked: false\ntraining:\n  max_steps: 7\n  schedule: constant\n",
        ),
        (
            "a.toml",
            'mapping = [2, 4, 6]\nalpha = 1e-3\nmasked = false\n[training]\nmax_steps = 7\nschedule = "constant"\n',
        ),
        ("a.yml", '{"mapping": [2, 4, 6], "alpha": 1e-3, "masked": no, training: {max_steps: 7, schedule: constant}}'),
    ],
)  # fmt: skip
def test_yaml_and_toml_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    expected = Settings(
        mapping=(2, 4, 6), alpha=1e-3, masked=False, training=Loop(batch_size=64, max_steps=7, schedule="constant")
    )
    assert read_settings(Settings, written(tmp_path, text, name)) == expected


@pytest.mark.parametrize("text", ["", "# nothing\n", "training: {}\n"])
def test_a_file_may_leave_everything_out(tmp_path: Path, text: str) -> None:
    assert read_settings(Settings, written(tmp_path, text)) == Settings()


def test_later_sources_go_first(tmp_path: Path) -> None:
    path = written(tmp_path, "alpha: 0.1\nname: file\ntraining:\n  batch_size: 1\n  max_steps: 1\n")
    found = read_settings(
        Settings,
        path,
        given={"name": "option", "training.batch_size": 2, "training.max_steps": None},
        changes=["training.batch_size=3", "learning_rate=1"],
    )
    assert found == Settings(alpha=0.1, name="option", training=Loop(batch_size=3, max_steps=1, learning_rate=1.0))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("mapping=[1,2]", Settings(mapping=(1, 2))),
        ("mapping=top", Settings(mapping="top")),
        ("alpha=1", Settings(alpha=1.0)),
        ("alpha=2e-1", Settings(alpha=0.2)),  # YAML takes it for a text, for want of a dot
        ("name=a=b", Settings(name="a=b")),
        ("trackers=wandb", Settings(training=Loop(batch_size=64, trackers=("wandb",)))),
        ("trackers=[]", Settings(training=Loop(batch_size=64, trackers=()))),
        ("training.max_steps=null", Settings()),
        (" max_steps = 4", Settings(training=Loop(batch_size=64, max_steps=4))),
    ],
)
def test_set_on_the_command_line(change: str, expected: Settings) -> None:
    found = read_settings(Settings, changes=[change])
    assert found == expected
    assert type(found.alpha) is float


KNOWN = "mapping, alpha, masked, name, training"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("alhpa: 0.1\n", f"setting 'alhpa' is unknown; did you mean 'alpha'?; there are {KNOWN}"),
        ("learning_rate: 1\n", "setting 'learning_rate' is unknown; did you mean 'training.learning_rate'?"),
        ("training:\n  batchsize: 1\n", "setting 'training.batchsize' is unknown; did you mean 'training.batch_size'?"),
        ("zzz: 1\n", "setting 'zzz' is unknown; there are"),
        ("3: 1\n", "setting '3' is unknown"),
        ("training: 3\n", "training is 3 but must be a table of settings"),
        ("training:\n", "training is None but must be a table of settings"),
        ("alpha: much\n", "alpha is 'much' but must be a number"),
        ("alpha: true\n", "alpha is True but must be a number"),
        ("masked: 1\n", "masked is 1 but must be true or false"),
        ("name: 1\n", "name is 1 but must be a text"),
        ("mapping: [a]\n", "mapping is ['a'] but must be a text or a list of a whole number"),
        ("training:\n  batch_size: 1.5\n", "training.batch_size is 1.5 but must be a whole number"),
        ("training:\n  batch_size: false\n", "training.batch_size is False but must be a whole number"),
        ("training:\n  max_steps: x\n", "training.max_steps is 'x' but must be a whole number or null"),
        ("training:\n  schedule: cosine\n", "training.schedule is 'cosine' but must be linear or constant"),
        ("training:\n  batch_size: 0\n", "batch_size is 0 but must be at least 1"),
        ("- alpha\n", "holds no settings; write one 'name: value' per line"),
        ("alpha: [\n", "cannot be parsed"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {problem}')}"):
        read_settings(Settings, path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_settings(Settings, tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be parsed"):
        read_settings(Settings, written(tmp_path, "alpha: 1", "a.toml"))
    (tmp_path / "b.yaml").write_bytes(b"alpha: \xff\xfe\n")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_settings(Settings, tmp_path / "b.yaml")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("alpha", "--set wants name=value, not 'alpha'"),
        ("alhpa=1", "setting 'alhpa' is unknown; did you mean 'alpha'?"),
        ("training.batchsize=1", "did you mean 'training.batch_size'?"),
        ("batchsize=1", "setting 'batchsize' is unknown; did you mean 'batch_size'?"),
        ("alpha=", "alpha is None but must be a number"),
        ("alpha=x", "alpha is 'x' but must be a number"),
        ("mapping=[1", "--set 'mapping=[1' holds no value that can be read"),
        ("batch_size=0", "batch_size is 0 but must be at least 1"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_not_blamed_on_the_file(tmp_path: Path, change: str, problem: str) -> None:
    for path in (None, written(tmp_path, "alpha: 0.5\n")):
        with pytest.raises(SettingsError) as caught:
            read_settings(Settings, path, changes=[change])
        assert problem in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


def test_a_file_that_is_wrong_is_told_before_it_is_changed(tmp_path: Path) -> None:
    path = written(tmp_path, "training: 3\n")
    with pytest.raises(SettingsError, match="training is 3"):
        read_settings(Settings, path, changes=["training.batch_size=1"])


def test_as_json() -> None:
    found: dict[str, Any] = as_json(Settings(mapping=(1, 2)))
    assert json.loads(json.dumps(found)) == found
    assert found["mapping"] == [1, 2]
    assert found["training"]["batch_size"] == 64


@dataclass(frozen=True, kw_only=True)
class Other:
    batch_size: int = 1


@dataclass(frozen=True, kw_only=True)
class Stages:
    alpha: float = 0.5
    first: Loop = field(default_factory=lambda: Loop(batch_size=64))
    other: Other = field(default_factory=Other)
    second: Loop = field(default_factory=Loop)


def test_a_bare_name_sets_all_tables_of_one_kind() -> None:
    found = read_settings(Stages, given={"max_steps": 3}, changes=["batch_size=5", "second.batch_size=6"])
    assert (found.first.max_steps, found.second.max_steps) == (3, 3)
    assert (found.first.batch_size, found.second.batch_size, found.other.batch_size) == (5, 6, 1)


def test_the_start_gives_way_to_the_file_and_the_file_to_what_is_given(tmp_path: Path) -> None:
    path = written(tmp_path, "first: {batch_size: 3}\nsecond: {max_steps: 9}\n")
    start = {"first.batch_size": 2, "first.max_steps": 4, "alpha": 0.25}
    found = read_settings(Stages, path, start=start, given={"second.max_steps": 7})
    assert (found.first.batch_size, found.first.max_steps, found.second.max_steps) == (3, 4, 7)
    assert found.alpha == 0.25
    assert read_settings(Stages, path, start=start, given={"alpha": 0.75}).alpha == 0.75


@dataclass(frozen=True, kw_only=True)
class Named:
    options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    loops: Mapping[str, Loop] = field(default_factory=dict)


def test_tables_of_the_users_own_names(tmp_path: Path) -> None:
    text = "options: {a: {layers: 3, set: [x, y]}, b: }\nloops: {fast: {max_steps: 3}, usual: }\n"
    found = read_settings(Named, written(tmp_path, text))
    assert found.options == {"a": {"layers": 3, "set": ["x", "y"]}, "b": {}}
    assert found.loops == {"fast": Loop(max_steps=3), "usual": Loop()}
    for wrong, words in (
        ("loops: {fast: {steps: 3}}", "setting 'loops.fast.steps' is unknown; did you mean 'loops.fast.max_steps'?"),
        ("loops: {fast: {batch_size: 0}}", "batch_size is 0 but must be at least 1"),
        ("loops: [fast]", "loops is ['fast'] but must be a table"),
        ("options: {a: 3}", "options.a is 3 but must be a table"),
    ):
        path = written(tmp_path, wrong)
        with pytest.raises(SettingsError, match=re.escape(words)) as refused:
            read_settings(Named, path)
        assert refused.value.path == path


def test_a_value_fits_an_annotation() -> None:
    assert fit_value("3", int | None, "--layers") == 3
    assert fit_value("3", str | None, "--copy-layers") == "3"
    assert fit_value("x", Path | None, "--groups") == Path("x")
    assert fit_value(["a", "b"], list[str] | None, "--set") == ["a", "b"]
    assert fit_value("a", list[str] | None, "--set") == ["a"]
    assert fit_value("[1, 2]", tuple[int, ...], "--seeds") == (1, 2)
    assert fit_value("1e-4", float | None, "--learning-rate") == 1e-4
    for value, hint, words in (
        ("three", int | None, "--x is 'three' but must be a whole number or null"),
        ("[1", int, "--x is '[1' but must be a whole number"),
        (3, Path | None, "--x is 3 but must be a path or null"),
        (3, list[str] | None, "--x is 3 but must be a list of a text or null"),
    ):
        with pytest.raises(SettingsError, match=re.escape(words)):
            fit_value(value, hint, "--x")
