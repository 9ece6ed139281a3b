"""``python -m study``: see the package's docstring; ``make study SCALE=cpu`` runs it all."""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from distilrank.data.files import atomic_write, read_json, write_json
from distilrank.runtime.folder import usable_cores
from study.cells import Cell
from study.plan import SCALES, Plan
from study.plan_page import plan_page
from study.run import CellError, Study
from study.speed import SPEED, measure_speed
from study.tables import results_page


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; return 1 when a cell failed or gave other numbers, else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("plan", "run", "speed", "tables", "repeat"))
    parser.add_argument("cells", nargs="*", help="names of cells in their order, with * for any text; all by default")
    parser.add_argument("--scale", choices=tuple(SCALES), default="smoke")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/study"))
    parser.add_argument("--results", type=Path, default=Path("results/study"))
    parser.add_argument("--teacher", type=Path, default=Path("study/teacher"))
    parser.add_argument("--page", type=Path, help="the page that plan and tables write; printed otherwise")
    parser.add_argument("--jobs", type=int, default=usable_cores(), help="cells at once, a processor each")
    options = parser.parse_intermixed_args(arguments)  # names of cells may stand behind options
    runs = options.runs / options.scale
    plan = Plan(scale=SCALES[options.scale], data=options.data, runs=runs, teacher=options.teacher)
    results = options.results / options.scale
    if options.verb == "plan":
        return _write(plan_page(plan), options.page)
    if options.verb == "speed":
        return _measure_speed(plan, results / SPEED)
    if options.verb == "tables":
        return _write(results_page(plan, results), options.page)
    study = Study(plan, results, jobs=max(1, options.jobs) if plan.scale.one_thread else 1)
    wanted = options.cells or ["*"]
    if options.verb == "repeat":
        return _repeat(study, wanted)
    chosen = list(dict.fromkeys(cell for each in wanted for cell in study.cells.values() if fnmatch(cell.name, each)))
    return run_cells(study, chosen)


def _measure_speed(plan: Plan, path: Path) -> int:
    """Write how fast networks are, once."""
    if path.is_file():
        print("measured before; remove the file to measure again")
    else:
        exported = plan.folder(f"simplified-{plan.scale.seeds[0]}")
        has_int8 = any(exported.glob("onnx/model_q*"))
        int8, scale = exported if has_int8 else None, plan.scale
        write_json(path, measure_speed(plan.teacher, texts=scale.timed, int8=int8, stand_in=scale.stand_in))
    print(path)
    return 0


def run_cells(study: Study, chosen: Sequence[Cell]) -> int:
    """Run cells, as many at once as there are jobs, and say how each ended."""
    ended = itertools.count(1)

    def run(cell: Cell) -> bool:
        began, told = time.perf_counter(), "done before"
        if not study.is_done(cell):
            try:
                study.run(cell)
            except CellError as error:
                print(f"{next(ended)}/{len(chosen)}  error: {error}", file=sys.stderr, flush=True)
                return False
            told = f"{(time.perf_counter() - began) / 60:.1f} min"
        print(f"{next(ended)}/{len(chosen)}  {cell.name}: {told}", flush=True)
        return True

    with ThreadPoolExecutor(study.jobs) as pool:
        return 0 if all(list(pool.map(run, chosen))) else 1


def _repeat(study: Study, wanted: Sequence[str]) -> int:
    """Run cells again from their seeds and compare every number per query; two drawn at random by default."""
    trained = [name for name, cell in study.cells.items() if cell.judged_on and cell.commands and study.is_done(cell)]
    names = random.sample(trained, min(2, len(trained))) if list(wanted) == ["*"] else list(wanted)
    different = 0
    for name in names:
        cell = study.cells[name]
        with tempfile.TemporaryDirectory(prefix="study-") as folder, set_aside(study.plan.folder(name)):
            Study(study.plan, Path(folder)).run(cell)
            for test_set in cell.judged_on:
                file = f"{name}.{test_set}.json"
                same = _numbers(study.results / file) == _numbers(Path(folder) / file)
                different += not same
                print(f"{name} on {test_set}: {'the same numbers' if same else 'OTHER NUMBERS'}")
    return 1 if different or not names else 0


@contextmanager
def set_aside(folder: Path) -> Iterator[None]:
    """Have a folder out of the way, and put it back in the place of what was made there meanwhile."""
    aside = folder.with_name(f"{folder.name}.aside")
    if folder.is_dir():
        folder.rename(aside)
    try:
        yield
    finally:
        if aside.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)


def _numbers(file: Path) -> object:
    """Return a result's values, per query where it has them."""
    content = read_json(file)
    return content.get("per_query") or content["systems"]


def _write(page: str, path: Path | None) -> int:
    if path is None:
        print(page, end="")
        return 0
    with atomic_write(path) as file:
        file.write(page)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
