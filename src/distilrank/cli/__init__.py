"""The command line: one verb = parse, call one function, print.

Leaves with exit code 0, or 2 when the user can mend what is wrong (one sentence on standard error), or 130 when
interrupted, or 1 with a traceback when distilrank itself is at fault.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line with the arguments of this process, and leave with its exit code."""
    # Here, so that one verb can be imported without the rest.
    from distilrank.cli.app import build_app, run
    from distilrank.cli.verbs import VERBS

    raise SystemExit(run(build_app(VERBS)))
