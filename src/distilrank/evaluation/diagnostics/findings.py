"""What a check found, and how the whole diagnosis is printed and stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

Level = Literal["ok", "note", "problem"]
"""``note`` is worth knowing; ``problem`` makes measured quality wrong or loses data."""

EXAMPLES = 10
"""Most examples kept per finding: enough to look at, never the whole data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: What was looked at, in a few words.
        level: How bad it is.
        message: What was found, and what to do when it is not "ok".
        count: Things concerned (queries, ids, texts); 0 when all is well.
        examples: Some of them, readable.
    """

    check: str
    level: Level
    message: str
    count: int = 0
    examples: tuple[str, ...] = ()

    @classmethod
    def counting(
        cls,
        check: str,
        found: Sequence[str],
        *,
        good: str,
        bad: str,
        level: Level = "problem",
        count: int | None = None,
    ) -> Finding:
        """Return an "ok" when nothing was found, else a finding with the first few as examples.

        Args:
            check: What was looked at.
            found: A readable line for each thing found (or for the first of them, with ``count``).
            good: The message when nothing was found.
            bad: The message otherwise; ``{count}`` in it is replaced.
            level: Level when something was found.
            count: Things found; None counts ``found``.
        """
        count = len(found) if count is None else count
        if count == 0:
            return cls(check=check, level="ok", message=good)
        message = bad.replace("{count}", f"{count:,}")
        return cls(check=check, level=level, message=message, count=count, examples=tuple(found[:EXAMPLES]))

    def as_dict(self) -> dict[str, object]:
        """Return the fields by name, for JSON."""
        return {**asdict(self), "examples": list(self.examples)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All findings about a data set.

    Attributes:
        kind: "ranking" or "classification".
        facts: Sizes and other numbers, by name; JSON-able.
        findings: One per check, in the order they were made.
    """

    kind: str
    facts: Mapping[str, object] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that need attention."""
        return tuple(finding for finding in self.findings if finding.level == "problem")

    def with_findings(self, *findings: Finding) -> Diagnosis:
        """Return this diagnosis with more findings at its head."""
        return replace(self, findings=(*findings, *self.findings))

    def to_json(self) -> dict[str, object]:
        """Return what ``doctor.json`` holds."""
        return {
            "kind": self.kind,
            "facts": dict(self.facts),
            "findings": [finding.as_dict() for finding in self.findings],
        }
