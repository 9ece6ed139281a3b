"""docs/results.md: tables and verdicts for each question, from the results of its cells and from nothing else."""

from __future__ import annotations

from pathlib import Path

from distilrank.data.files import read_json
from study.costs import cost_table, costs
from study.findings import FINDINGS
from study.glance import at_a_glance
from study.markdown import question_tables
from study.measured import measured
from study.plan import Plan
from study.questions import QUESTIONS
from study.run import FACTS
from study.speed import SPEED, published_speed_ups
from study.verdicts import verdicts

NOT_MEASURED = "Not measured yet."
NOTHING_TO_TELL = "Nothing is called better: too few seeds, or no baseline yet."


def results_page(plan: Plan, results: Path) -> str:
    """Return the page: what was asked, what was published, and what was found so far."""
    cells = [cell for cell in plan.cells() if cell.judged_on]
    done = sum((results / f"{cell.name}{FACTS}").is_file() for cell in cells)
    lines = [
        "# Results of the study",
        "",
        f"Written by `python -m study tables --scale {plan.scale.name}` from the files in "
        f"`results/study/{plan.scale.name}`;",
        "no number is typed by hand. What was asked, and how an answer would be read, was [planned before](study.md);",
        "what follows by that reading is computed too.",
        f"Judged so far: {done} of {len(cells)} systems and seeds.",
    ]
    if plan.scale.name == "smoke":
        lines += [
            "",
            "**This is the smoke scale: a few steps of everything, to see that it runs. Its numbers say nothing.**",
        ]
    speed = read_json(results / SPEED) if (results / SPEED).is_file() else {}
    found = costs(plan, results, speed)
    lines += ["", "## At a glance", "", *(at_a_glance(results, found) or [NOT_MEASURED])]
    for question in QUESTIONS:
        lines += ["", f"## {question.name}", "", question.asks, "", f"Published: {question.published}", ""]
        lines += [f"How it is read: {question.reading}"]
        tables = measured(question, results)
        if not tables:
            lines += ["", NOT_MEASURED]
            continue
        lines += [
            "",
            "By that reading:",
            "",
            *(f"- {line}" for line in verdicts(question, tables) or [NOTHING_TO_TELL]),
        ]
        if question.name in FINDINGS and plan.scale.name == "cpu":
            lines += ["", FINDINGS[question.name]]
        lines += ["", *question_tables(question, tables)]
    lines += ["", "## Published speed-ups", "", *(published_speed_ups(speed) if speed else [NOT_MEASURED])]
    lines += ["", "## Cost and size", "", *(cost_table(found) if found else [NOT_MEASURED])]
    return "\n".join(lines) + "\n"
