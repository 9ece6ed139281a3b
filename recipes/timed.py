"""How long a recipe takes from its first line to its last, on the processors that it was given.

    DATA=../shared/data OUT=runs/timed python recipes/timed.py recipes/tinybert/sst2_cpu.sh --out times.json

The recipe must have nothing behind it: what it finds finished it does not do again. Whatever sets it up (DATA, OUT,
SEEDS, ...) is set as for the recipe alone, and written down with the times.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from distilrank.data.files import library_versions, write_json

SETTINGS = ("SEEDS", "TEACHER", "RANKER", "TASKS", "STEPS", "PRECISION")
"""Variables that change what a recipe does, of those that recipes share."""


def main() -> int:
    """Run the recipe, and write its times once it has ended well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="write the times to this JSON file")
    options = parser.parse_args()
    out = Path(os.environ["OUT"]) if "OUT" in os.environ else None
    if out is not None and out.exists() and any(out.iterdir()):
        print(f"{out} holds an earlier run, whose steps would not be done again: name another folder", file=sys.stderr)
        return 2
    begun = time.perf_counter()
    code = subprocess.run(["bash", str(options.recipe)], check=False).returncode
    seconds = time.perf_counter() - begun
    if code:
        print(f"{options.recipe} ended with exit code {code}: no times are written", file=sys.stderr)
        return code
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {
        "recipe": str(options.recipe),
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "processors": len(os.sched_getaffinity(0)),
        "minutes": round(seconds / 60, 2),
        "processor_minutes": round((used.ru_utime + used.ru_stime) / 60, 2),
        "versions": library_versions(),
    }
    write_json(options.out, facts)
    print(f"{options.recipe}: {facts['minutes']} minutes on {facts['processors']} processors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
