"""Settings dataclasses from YAML or TOML files and from ``name=value`` on the command line.

Keys are checked against the dataclass, values against its annotations; what does not fit is refused with the nearest
known name. A nested dataclass (``training``) is a table of the file; on the command line its settings may be named
with or without the prefix, ``training.seed=1`` or ``seed=1``. Without it, all tables of one kind are set, such as those
of a procedure's stages. A ``Mapping`` is a table whose keys are the user's own names.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from distilrank.data.files import open_text
from distilrank.errors import InputError, SettingsError, nearest

S = TypeVar("S")


def read_settings(
    kind: type[S],
    path: str | Path | None = None,
    *,
    changes: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    start: Mapping[str, Any] | None = None,
) -> S:
    """Build a settings dataclass: its defaults, then ``start``, the file, ``given`` and ``changes``, the last one wins.

    Args:
        kind: A frozen dataclass, possibly with dataclasses in it.
        path: A ``.yaml``, ``.yml`` or ``.toml`` file. None: no file.
        changes: ``name=value`` each; the value is read as YAML, so ``mapping=[2,4,6]`` is a list.
        given: Dotted name -> value, None for "not given".
        start: Dotted name -> value.

    Raises:
        SettingsError: A name is unknown, or a value of the wrong type or out of range.
        InputError: The file cannot be read.
    """
    tree: dict[str, Any] = {}
    for name, value in (start or {}).items():
        _put(tree, kind, name, value)
    if path is not None:
        found = _read_tree(Path(path))
        _build(kind, found, path, prefix="")  # so that only what is wrong in the file is said to be wrong there
        tables = {name: {**tree[name], **found[name]} for name in _nested(kind) if name in tree and name in found}
        tree = {**tree, **found, **tables}
    for name, value in (given or {}).items():
        if value is not None:
            _put(tree, kind, name, value)
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise SettingsError(f"--set wants name=value, not {change!r}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise SettingsError(f"--set {change!r} holds no value that can be read; quote it as in YAML") from None
        _put(tree, kind, name.strip(), value)
    return _build(kind, tree, None, prefix="")


def as_json(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as JSON values."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(settings))))


def fit_value(value: Any, hint: Any, name: str) -> Any:
    """Return a value as an annotation wants it; a text that it does not take is read as YAML.

    Args:
        value: From a file or the command line.
        hint: The annotation.
        name: Of the setting, for the message.

    Raises:
        SettingsError: It does not fit.
    """
    try:
        return _fitting(value, hint, name, None)
    except SettingsError:
        if not isinstance(value, str):
            raise
        with suppress(yaml.YAMLError, SettingsError):
            return _fitting(yaml.safe_load(value), hint, name, None)
        raise


def _read_tree(path: Path) -> dict[str, Any]:
    try:
        with open_text(path) as file:
            text = file.read()
        tree = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text; convert it to UTF-8", path=path) from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot be parsed ({' '.join(str(error).split())}); mend it", path=path) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError("holds no settings; write one 'name: value' per line", path=path)
    return tree


def _put(tree: dict[str, Any], kind: type, name: str, value: Any) -> None:
    """Set a dotted name; a bare name that only nested dataclasses have is set there, in all that are of one kind."""
    table, _, rest = name.partition(".")
    nested = _nested(kind)
    if rest and table in nested:
        tree = tree.setdefault(table, {})
        kind, name = nested[table], rest
    elif name not in _names(kind):
        places = [place for place, inner in nested.items() if name in _names(inner)]
        if not places:
            raise _unknown(name, [*_names(kind), *(n for inner in nested.values() for n in _names(inner))], None)
        for place in places:
            if nested[place] is nested[places[0]]:
                tree.setdefault(place, {})[name] = value
        return
    tree[name] = value


def _build(kind: type[S], tree: Mapping[str, Any], path: str | Path | None, *, prefix: str) -> S:
    hints, nested = get_type_hints(kind), _nested(kind)
    values: dict[str, Any] = {}
    for name, value in tree.items():
        if name not in hints:
            inner_names = [f"{table}.{inner}" for table, kind_of in nested.items() for inner in _names(kind_of)]
            known = [f"{prefix}{known}" for known in (*_names(kind), *inner_names)]
            raise _unknown(f"{prefix}{name}", known, path)
        if name in nested:
            if not isinstance(value, dict):
                raise SettingsError(f"{prefix}{name} is {value!r} but must be a table of settings", path=path)
            base = _default(kind, name)
            inner = {**{f.name: getattr(base, f.name) for f in dataclasses.fields(base)}, **value}
            values[name] = _build(nested[name], inner, path, prefix=f"{prefix}{name}.")
        else:
            values[name] = _fitting(value, hints[name], f"{prefix}{name}", path)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name not in values and field.default is dataclasses.MISSING is field.default_factory:
            raise SettingsError(f"{prefix}{field.name} is missing; give it", path=path)
    try:
        return kind(**values)
    except SettingsError as error:
        if path is None or error.path is not None:
            raise
        raise SettingsError(str(error), path=path) from None


def _fitting(value: Any, hint: Any, name: str, path: str | Path | None) -> Any:
    """Return ``value`` as the annotation wants it: lists become tuples, whole numbers floats, tables dataclasses."""
    named = get_origin(hint) is Mapping
    if named or dataclasses.is_dataclass(hint):
        table = {} if value is None else value
        if not isinstance(table, dict):
            raise SettingsError(f"{name} is {value!r} but must be a table", path=path)
        if not named:
            return _build(hint, table, path, prefix=f"{name}.")
        return {str(key): _fitting(item, get_args(hint)[1], f"{name}.{key}", path) for key, item in table.items()}
    tables = get_args(hint)[0] if get_origin(hint) is tuple else None
    if dataclasses.is_dataclass(tables) and isinstance(value, list | tuple):
        names = [f"{name}[{place}]" for place in range(len(value))]
        pairs = zip(value, names, strict=True)
        return tuple(v if type(v) is tables else _fitting(v, tables, own, path) for v, own in pairs)
    for choice in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        matched, fitted = _matched(value, choice)
        if matched:
            return fitted
    raise SettingsError(f"{name} is {value!r} but must be {_spoken(hint)}", path=path)


def _matched(value: Any, hint: Any) -> tuple[bool, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is type(None):
        return value is None, None
    if origin is Literal:
        return value in arguments, value
    if origin in (tuple, list):
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            return False, None
        fitted = [_matched(item, arguments[0]) for item in items]
        return all(matched for matched, _ in fitted), origin(item for _, item in fitted)
    if hint is Path:
        return isinstance(value, str), Path(str(value))
    if hint is float and isinstance(value, str):  # YAML reads 1e-4 as a text, for want of a dot
        try:
            return True, float(value)
        except ValueError:
            return False, None
    if hint is float:
        return (True, float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else (False, None)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, hint), value


def _spoken(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_spoken(choice) for choice in arguments)
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (tuple, list):
        return f"a list of {_spoken(arguments[0])}"
    names = {
        Path: "a path",
        int: "a whole number",
        float: "a number",
        str: "a text",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(hint, str(hint))


def _nested(kind: type) -> dict[str, type]:
    return {name: hint for name, hint in get_type_hints(kind).items() if dataclasses.is_dataclass(hint)}  # type: ignore[misc]


def _names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _default(kind: type, name: str) -> Any:
    field = next(field for field in dataclasses.fields(kind) if field.name == name)
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def _unknown(name: str, known: Sequence[str], path: str | Path | None) -> SettingsError:
    listed = ", ".join(dict.fromkeys(known))  # two stages have the same ones
    return SettingsError(f"setting {name!r} is unknown{nearest(name, known)}; there are {listed}", path=path)
