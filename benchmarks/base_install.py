"""The base install weighed: how large it is, that it ranks without torch, and how long its first score takes.

Makes a fresh virtual environment, installs distilrank into it with nothing else named (the versions of
constraints.txt), weighs it, checks that torch and transformers are not there, ranks with it, and takes the time from
the start of a process to the first score, in fresh processes (their files are in the system's cache after the first).
With ``--serve`` an environment with the extra "serve" is weighed too, which is what the serving image holds.

    python benchmarks/base_install.py runs/openqa/simplified-1 --serve --out results/benchmarks/base_install.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from distilrank.benchmark.entry import Entry
from distilrank.benchmark.process import cold_starts
from distilrank.benchmark.size import megabytes
from distilrank.data.files import library_versions, write_json
from distilrank.runtime.folder import machine, network_file

ROOT = Path(__file__).resolve().parents[1]
MOST_MEGABYTES = 350.0
MOST_SECONDS = 1.5
QUERY = "why is the sky blue"
PASSAGES = "Bread is baked from flour.\nThe sky is blue because air scatters blue light more.\nBlue whales sing.\n"


def make_environment(folder: Path, extra: str = "") -> Path:
    """Make a virtual environment with distilrank; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    subprocess.run([*install, "--constraint", str(ROOT / "constraints.txt"), f"{ROOT}{extra}"], check=True)
    return python


def weigh(folder: Path) -> dict[str, Any]:
    """Return the megabytes of an environment, and of the largest packages in it."""
    packages = next(folder.glob("lib/python*/site-packages"))
    sizes = {each.name: megabytes(_files(each)) for each in packages.iterdir() if each.is_dir()}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:6]
    return {
        "megabytes": megabytes(_files(folder)),
        "largest": {name: round(sizes[name], 1) for name in largest},
    }


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def has(python: Path, library: str) -> bool:
    """Tell whether an environment has a library."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({library!r}) is None)"
    return subprocess.run([str(python), "-c", code], check=False).returncode == 0


def rank(python: Path, student: Path, threads: int) -> float:
    """Rank three passages from the shell as a user would; return the seconds that it took."""
    command = [str(python), "-m", "distilrank", "rank", str(student), "--query", QUERY, "--json"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--threads", str(threads)], input=PASSAGES, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - began
    results = json.loads(done.stdout)["results"]
    if len(results) != 3:
        raise SystemExit(f"3 passages were given, {len(results)} were ranked")
    return seconds


def measure(student: Path, python: Path, *, starts: int, threads: int) -> dict[str, Any]:
    """Rank without torch, and take the time to the first score."""
    present = [library for library in ("torch", "transformers") if has(python, library)]
    if present:
        raise SystemExit(f"{' and '.join(present)} came with the base install")
    rank(python, student, threads)  # the first compiles what Python has not compiled yet
    shell = [rank(python, student, threads) for _ in range(starts)]
    entry = Entry(name="base install", folder=student, precision="auto", threads=threads, python=str(python))
    seconds = cold_starts(entry, starts)
    return {
        "file": network_file(student, "auto").name,
        "file_megabytes": megabytes([network_file(student, "auto")]),
        "cold_start_seconds": statistics.median(seconds),
        "cold_starts": [round(each, 3) for each in seconds],
        "rank_from_the_shell_seconds": statistics.median(shell),
    }


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", type=Path, nargs="?", default=Path("runs/openqa/simplified-1"))
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve", action="store_true", help="weigh an environment with the extra serve too")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> int:
    """Measure and print; return 1 where a limit is passed."""
    options = parse()
    if not options.student.is_dir():
        print(f"{options.student} is not there; give a student that was exported with --precision int8")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        python = make_environment(Path(temporary) / "base")
        base = weigh(Path(temporary) / "base")
        found = measure(options.student, python, starts=options.starts, threads=options.threads)
        serve = None
        if options.serve:
            make_environment(Path(temporary) / "serve", "[serve]")
            serve = weigh(Path(temporary) / "serve")
    print(f"base install: {base['megabytes']:.0f} MB of {MOST_MEGABYTES:.0f}; {base['largest']}")
    if serve is not None:
        print(f"with [serve]: {serve['megabytes']:.0f} MB")
    print(
        f"first score of {found['file']} after {found['cold_start_seconds']:.2f} s of {MOST_SECONDS:g} "
        f"(median of {options.starts}); distilrank rank takes {found['rank_from_the_shell_seconds']:.2f} s"
    )
    within = base["megabytes"] <= MOST_MEGABYTES and found["cold_start_seconds"] <= MOST_SECONDS
    if options.out is not None:
        facts = {
            "benchmark": "base_install",
            "command": shlex.join(["python", "benchmarks/base_install.py", *sys.argv[1:]]),
            "machine": machine(),
            "versions": {**library_versions(), "onnxruntime": importlib.metadata.version("onnxruntime")},
            "threads": options.threads,
            "limits": {"megabytes": MOST_MEGABYTES, "cold_start_seconds": MOST_SECONDS},
            "within_limits": within,
            "base": base,
            "serve": serve,
            **found,
        }
        write_json(options.out, facts)
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
