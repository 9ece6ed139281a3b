"""What the command line prints and leaves with when something is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer

from distilrank import __version__
from distilrank.cli.app import build_app, run
from distilrank.errors import DistilrankError, InputError, ResumeError


def call(verb: Callable[..., None], *arguments: str) -> int:
    app = build_app({"work": verb, "other-work": verb})
    return run(lambda: app(list(arguments)))


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        r"""Read [CLS] tokens.

        Examples:
        \b
          distilrank work
          distilrank work --again
        """
        raise error

    return work


def fine(count: int = 1) -> None:
    """Do it."""
    print(f"did {count}")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("has two columns instead of three", path="triples.tsv", line=7), "triples.tsv, line 7: has two"),
        (ResumeError("the folder holds another run"), "the folder holds another run"),
        (DistilrankError("first\n  second"), "first second"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence_and_exit_code_2(
    error: DistilrankError, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(raising(error), "work") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {sentence}")
    assert printed.err.count("\n") == 1


def test_missing_library_names_its_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(raising(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")), "work") == 2
    assert "torch is needed" in (message := capsys.readouterr().err)
    assert "pip install 'distilrank[train]'" in message


@pytest.mark.parametrize(
    "fault",
    [
        ModuleNotFoundError("No module named 'distilrank.gone'", name="distilrank.gone"),
        ZeroDivisionError("ours"),
        OSError("no file in it"),
    ],
)
def test_our_own_faults_keep_their_traceback(fault: Exception) -> None:
    with pytest.raises(type(fault)):
        call(raising(fault), "work")


def test_file_that_cannot_be_opened_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(raising(PermissionError(13, "Permission denied", "runs/student")), "work") == 2
    assert capsys.readouterr().err == "error: runs/student: permission denied\n"


def test_interrupt_is_130() -> None:
    assert call(raising(KeyboardInterrupt()), "work") == 130


def test_exit_code_of_a_verb_is_kept() -> None:
    assert call(raising(typer.Exit(3)), "work") == 3


def test_success_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(fine, "work", "--count", "5") == 0
    assert capsys.readouterr().out == "did 5\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["wrk"], "wrk"),
        (["work", "--cuont", "5"], "--cuont"),
        (["work", "--count", "many"], "--count"),
        (["work", "left-over"], "left-over"),
    ],
)
def test_wrong_usage_is_2_and_names_the_word(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(fine, *arguments) == 2
    assert named in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(fine, "--version") == 0
    assert capsys.readouterr().out == f"distilrank {__version__}\n"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_verbs_in_order(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(fine, option) == 0
    shown = capsys.readouterr().out
    assert 0 < shown.index("  work") < shown.index("  other-work")


def test_help_shows_square_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(raising(ZeroDivisionError()), "work", "-h") == 0
    assert "Read [CLS] tokens." in capsys.readouterr().out


def test_help_keeps_the_lines_of_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(raising(ZeroDivisionError()), "work", "-h") == 0
    assert "  Examples:\n    distilrank work\n    distilrank work --again\n" in capsys.readouterr().out
