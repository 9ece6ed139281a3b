"""Options of ``distilrank distil`` as a mapping: from a text or a file, merged, checked, and given to ``distil``."""

from __future__ import annotations

import inspect
import io
import shlex
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any, get_type_hints

from distilrank.cli.command_line import command_line_is
from distilrank.cli.distil import distil
from distilrank.data.settings_files import fit_value
from distilrank.errors import SettingsError, nearest
from distilrank.workflows.compare import Cell

Options = dict[str, object]

_INSTEAD = ({"shape", "layers", "copy_layers", "student"}, {"epochs", "steps"})
"""Of each of these, one replaces the others."""
_OURS = ("out", "seed")


def parse_options(text: str) -> Options:
    """Read ``--name value --flag``; what comes several times becomes a list.

    Raises:
        SettingsError: A value stands without a name, or a quote is not closed.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SettingsError(f"the options {text!r} cannot be read ({error}); quote them as in a shell") from None
    found: dict[str, list[object]] = {}
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise SettingsError(f"the options {text!r} have {word!r} without a name; write --name value")
        name, equals, value = word.removeprefix("--").partition("=")
        if not equals:
            flag = not words or words[0].startswith("--")
            found.setdefault(name, []).append(True if flag else words.pop(0))
        else:
            found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def merged(common: Mapping[str, object], own: Mapping[str, object]) -> Options:
    """Return a system's options and the common ones that they do not replace; of ``set`` both are kept."""
    first, second = ({name.replace("-", "_"): value for name, value in each.items()} for each in (common, own))
    gone = {name for family in _INSTEAD if family & second.keys() for name in family}
    result = {name: value for name, value in first.items() if name not in gone}
    for name, value in second.items():
        result[name] = [*_listed(result.get(name, ())), *_listed(value)] if name == "set" else value
    return result


def checked(options: Mapping[str, object], *, system: str) -> list[str]:
    """Return options as arguments of ``distil``.

    Args:
        options: By their names, with hyphens or underscores.
        system: Whose they are, for the message.

    Raises:
        SettingsError: ``distil`` has no such option, or its value does not fit.
    """
    hints = _hints()
    known = [name.removesuffix("_") for name in hints if name not in _OURS]
    arguments: list[str] = []
    for name, value in options.items():
        if value is None:
            continue
        plain = name.replace("-", "_")
        if plain in _OURS:
            raise SettingsError(
                f"system {system!r} has the option {name!r}, which compare itself chooses; leave it out"
            )
        if plain not in known:
            raise SettingsError(
                f"system {system!r} has the option {name!r}, which distil has not{nearest(plain, known)}"
            )
        fitted = fit_value(value, hints[_parameter(plain)], f"the option {name} of system {system}")
        flag = f"--{plain.replace('_', '-')}"
        if fitted is True:
            arguments.append(flag)
        elif fitted is not None and fitted is not False:
            arguments += [word for each in _listed(fitted) for word in (flag, str(each))]
    return arguments


def train(cell: Cell) -> None:
    """Run ``distil`` for a cell, as its command line would.

    What it prints is left out: the folder holds it all.
    """
    hints = _hints()
    options = parse_options(shlex.join(cell.arguments[1:]))
    given: dict[str, Any] = {}
    for name, value in options.items():
        parameter = _parameter(name.replace("-", "_"))
        given[parameter] = fit_value(value, hints[parameter], name)
    with command_line_is(cell.arguments), redirect_stdout(io.StringIO()):
        distil(**given)


def _hints() -> dict[str, Any]:
    """Return the parameters of ``distil`` with their annotations."""
    hints = get_type_hints(distil)
    return {name: hints[name] for name in inspect.signature(distil).parameters}


def _parameter(option: str) -> str:
    return "set_" if option == "set" else option


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]
