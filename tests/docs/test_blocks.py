"""Every block of code in the README and the documentation: run on tiny data, or at least read by the command line."""

from __future__ import annotations

import ast
import functools
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from distilrank.cli.app import build_app
from distilrank.cli.verbs import VERBS
from tests.docs.pages import PAGES, ROOT, SHELL, Block, blocks, name_of, our_arguments, outside_blocks, words
from tests.docs.world import build_world, copy_world
from tests.end_to_end.verbs import distilrank
from tests.serve.serving import FakeClassifier, serving

# Commands and blocks that are not run here. (page or "*", what stands in it) -> why; "" stands for all of the page.
ONLY_READ = {
    ("*", "distilrank serve"): "it does not return: tests/serve and tests/cli/test_serve.py run it",
    ("README.md", "from sentence_transformers"): "tests/export and `distilrank check` compare it",
    ("docs/adapters.md", ""): "tests/adapters/test_page.py runs it, where the frameworks are",
    ("docs/how_to/gpu_and_cluster.md", ""): "needs GPUs or a cluster, as docs/scale.md",
    ("docs/how_to/llm_scores.md", "--endpoint"): "needs a server; tests/teaching has one of its own",
    ("docs/parity.md", ""): "needs clones of the authors' code; tests/published holds what came of it",
    ("docs/performance.md", ""): "measures for minutes; tests/benchmark and tests/cli run `bench`",
    ("docs/scale.md", ""): "needs GPUs or several machines; tests/end_to_end/test_launch.py starts two processes",
    ("docs/serving.md", "import cohere"): "needs Cohere's client; tests/serve sends what it sends",
    ("docs/teach.md", "--endpoint"): "needs the network; tests/teaching has a server of its own",
    ("docs/teach.md", "--engine ray"): "needs Ray; tests/teaching runs it",
}
SLOW = {
    "docs/augmentation.md": "six trainings",
    "docs/tutorial.md": "8-bit files are tried one by one",
    "docs/choosing_a_student.md": "a dozen trainings",
    "docs/how_to/student_by_budget.md": "a dozen trainings",
    "docs/export.md": "8-bit files are tried one by one, and the consumers are imported",
    "docs/how_to/export_and_serve.md": "as above",
}
GIVEN = {
    "docs/choosing_a_student.md": ["distilrank teach --data runs/data --teacher runs/teacher --out runs/scores"],
    "docs/augmentation.md": [
        "distilrank general-distil --text plain.txt --teacher minilm-l6 --layers 3 --out runs/general",
        "distilrank prepare --data data/sst2 --out runs/sst2",
        "distilrank fine-tune --model minilm-l6 --data runs/sst2 --out runs/sst2-teacher",
    ],
}
TRAINING = ("general-distil", "fine-tune", "fit-mlm-head", "distil", "search")
STEPS, BATCH = 2, 4
SYSTEM = ("mkdir", "cp", "head", "ls", "cat")  # run as they are
# Looked at below (make, pip, curl), or nothing that could be checked here.
OTHERS = ("make", "pip", "curl", "export", "git", "docker", "python", "accelerate", "torchrun", "ray", "kill")


def why_only_read(page: str, text: str) -> str | None:
    """Why a command or a block is not run; None when it is."""
    return next((why for (of, part), why in ONLY_READ.items() if of in ("*", page) and part in text), None)


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def shell_commands() -> list[tuple[Block, str]]:
    return [(block, line) for block in all_blocks() if block.language in SHELL for line in block.commands()]


@functools.cache
def command_line() -> dict[str, Any]:
    return typer.main.get_command(build_app(VERBS)).commands  # type: ignore[attr-defined,no-any-return]


def parse(arguments: list[str]) -> None:
    """Have the real command line read arguments."""
    verb, *rest = arguments
    assert verb in command_line(), f"{verb} is no verb"
    command_line()[verb].make_context(verb, rest)


def test_code_stands_in_blocks_that_say_their_language() -> None:
    for block in all_blocks():
        assert block.language in (*SHELL, "python", "text", "json", "yaml"), (
            f"{block.name} is {block.language or 'bare'}"
        )
    for page in PAGES:
        hidden = re.search(
            r"^ {4,}(distilrank|pip|make|docker|curl|>>>|from \w+ import) .*", outside_blocks(page), re.MULTILINE
        )
        assert hidden is None, f"{name_of(page)} has a command outside of a block: {hidden and hidden[0]}"


def test_every_reason_still_has_a_block() -> None:
    texts = [(block.page, line) for block, line in shell_commands()]
    texts += [(block.page, block.text) for block in all_blocks() if block.language == "python"]
    for of, part in ONLY_READ:
        assert any(of in ("*", page) and part in text for page, text in texts), (of, part)
    assert {*SLOW, *GIVEN} <= {page for page, _ in texts}


def test_every_command_is_understood_by_its_verb() -> None:
    for block, line in shell_commands():
        arguments = our_arguments(line)
        try:
            if arguments is not None:
                parse(arguments)
        except Exception as error:
            pytest.fail(f"{block.name}: {line}: {error}")


def test_every_command_in_a_sentence_has_options_that_exist() -> None:
    for page in PAGES:
        if page.parent.name == "decisions":
            continue  # they also tell of what was not done
        for span in re.findall(r"`distilrank ([a-z][^`]*)`", outside_blocks(page)):
            arguments = shlex.split(" ".join(span.split()).replace("...", ""))
            try:
                parse(arguments)
            except Exception as error:
                if type(error).__name__ != "MissingParameter":  # a sentence need not say all
                    pytest.fail(f"{name_of(page)}: distilrank {span}: {error}")


def test_every_other_command_is_there() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for block, line in shell_commands():
        told = [word for word in words(line) if "=" not in word or not word.split("=")[0].isupper()]
        if our_arguments(line) is not None or not told:
            continue
        tool = Path(told[0]).name
        assert tool in (*SYSTEM, *OTHERS), f"{block.name}: {line}"
        if tool == "make":
            assert told[1] in targets, f"{block.name}: {line}"
        if tool == "python" and told[1].endswith(".py"):
            assert (ROOT / told[1]).is_file(), f"{block.name}: {line}"
        for named in re.findall(r"distilrank\[([\w,-]+)\]", line):
            assert {*named.split(",")} <= {*extras}, f"{block.name}: {line}"


def test_the_server_answers_every_request() -> None:
    asked = [(block, words(line)) for block, line in shell_commands() if line.startswith("curl ")]
    assert asked
    with serving() as rankers, serving({"classifier": FakeClassifier()}) as classifiers:
        for block, told in asked:
            path = re.sub(r"^https?://[^/]+", "", next(word for word in told if word.startswith("http")))
            server = classifiers if path == "/predict" else rankers
            if "-d" in told:
                answer = server.post(path, json.loads(told[told.index("-d") + 1]))
            else:
                answer = server.client.get(path)
            assert answer.status_code == 200, f"{block.name}: {answer.text}"


def shortened(arguments: list[str]) -> list[str]:
    """A command with few steps where it trains, and with demands that random networks on a busy machine can meet."""
    few = [re.sub(r"(--steps )\d+", rf"\g<1>{STEPS}", word) for word in arguments]
    few = [re.sub(r"^\d+ ms", "9000 ms", word) for word in few] + (
        ["--margin", "0.5"] if few[0] in ("export", "pack") else []
    )
    for i, word in enumerate(few[:-1]):
        if word == "--steps":
            few[i + 1] = str(STEPS)
    if few[0] in TRAINING:
        few += [] if "--steps" in few else ["--steps", str(STEPS)]
        few += ["--set", "calibration_groups=0"] if few[0] == "fine-tune" else []  # nothing is learned in two steps
        few += [] if "--batch-size" in few or few[0] == "search" else ["--batch-size", str(BATCH)]
    return few


def run_command(line: str, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = our_arguments(line)
    if arguments is not None:
        told = shortened(arguments)
        code = distilrank(*told)
        assert code == 0, f"distilrank {shlex.join(told)} ends with {code}: {capfd.readouterr().err[-2000:]}"
    elif Path(words(line)[0]).name in SYSTEM:
        subprocess.run(line, shell=True, check=True)


TO_RUN = [page for page in PAGES if any(block.language in ("bash", "python") for block in blocks(page))]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        build_world(folder)
    return folder


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] * (name_of(page) in SLOW), id=name_of(page).removeprefix("docs/"))
        for page in TO_RUN
        if (name_of(page), "") not in ONLY_READ
    ],
)
def test_the_blocks_of_a_page_run(
    page: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    copy_world(world, tmp_path, page.read_text(encoding="utf-8"), monkeypatch)
    for line in GIVEN.get(name_of(page), ()):
        run_command(line, capfd)
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.language == "python" and why_only_read(block.page, block.text) is None:
            exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), names)
        elif block.language == "bash":
            for line in block.commands():
                if why_only_read(block.page, line) is None:
                    run_command(line, capfd)


def test_python_that_is_only_read_is_python() -> None:
    for block in all_blocks():
        if block.language == "python":
            ast.parse(block.text)
