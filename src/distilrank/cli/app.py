"""From verbs to a command line, and what becomes of an error."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from distilrank import __version__
from distilrank.cli.missing import as_missing_extra
from distilrank.errors import DistilrankError


def build_app(verbs: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """Build the application: one command per verb, in the order given, and the options that stand before a verb.

    Help is plain text, not rich markup: ``[CLS]`` in a docstring is to be read, not to be taken for a style.
    """
    app = typer.Typer(
        name="distilrank",
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_before_the_verb)
    for name, verb in verbs.items():
        app.command(name, help=help_text(verb))(verb)
    return app


def help_text(verb: Callable[..., None]) -> str:
    r"""Return a verb's docstring with its examples kept line by line.

    The parser refills paragraphs, except those that start with a backspace character. Docstrings may mark examples
    with a line that holds ``\b``; they need not.
    """
    lines = [line for line in (inspect.getdoc(verb) or "").splitlines() if line.strip() != r"\b"]
    return "\n".join(f"\b\n{line}" if line.rstrip() in ("Example:", "Examples:") else line for line in lines)


def run(app: Callable[[], object]) -> int:
    """Call the application and turn what the user can mend into one sentence; return the exit code.

    Usage errors (2) and Ctrl-C (130) are typer's own doing. Anything unexpected passes through with its traceback.
    """
    try:
        app()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except DistilrankError as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        missing = as_missing_extra(error)
        if missing is None:
            raise
        return _refuse(str(missing))
    except OSError as error:
        if error.filename is None or error.strerror is None:
            raise
        return _refuse(f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}")
    return 0


def _refuse(sentence: str) -> int:
    print(f"error: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"distilrank {__version__}")
        raise typer.Exit


def _before_the_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Distil a large cross-encoder into a small, fast re-ranker on your own data, and prove what it kept.

    prepare -> fine-tune -> distil -> evaluate -> rank; "distilrank VERB -h" explains one of them.
    """
