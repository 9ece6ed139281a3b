"""What a search may spend, what its students cost, and which of them nobody beats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from distilrank.errors import SettingsError
from distilrank.evaluation.intervals import Interval, mean_interval
from distilrank.runtime.folder import Precision

Vocabulary = Literal["whole", "trimmed"]
VOCABULARIES: tuple[Vocabulary, ...] = ("whole", "trimmed")

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*ms\s+per\s+100(?:\s+passages)?", re.IGNORECASE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*MB", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Most that a student may take; None: any.

    Attributes:
        ms_per_100: Milliseconds to score 100 pairs.
        megabytes: Size of the files that are deployed, in units of 1,000,000 bytes.
    """

    ms_per_100: float | None = None
    megabytes: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``20 ms per 100 passages, 25 MB``: one or both, in any order.

        Raises:
            SettingsError: It says something else, nothing, zero, or one of them twice.
        """
        found: dict[str, float] = {}
        for part in map(str.strip, text.split(",")):
            time, size = _TIME.fullmatch(part), _SIZE.fullmatch(part)
            name, match = ("ms_per_100", time) if time else ("megabytes", size)
            if match is None or name in found or not float(match[1]) > 0:
                problem = "comes twice" if match is not None and name in found else "is no limit"
                raise SettingsError(
                    f"the budget {text!r} cannot be used: {part!r} {problem}; "
                    'give milliseconds, megabytes or both, such as "20 ms per 100 passages, 25 MB"'
                )
            found[name] = float(match[1])
        return cls(**found)

    def share(self, ms_per_100: float, megabytes: float) -> float:
        """Return the share of the limit that is nearest or exceeded most; what is above 1 does not fit."""
        spent = ((ms_per_100, self.ms_per_100), (megabytes, self.megabytes))
        return max(value / limit for value, limit in spent if limit is not None)

    def __str__(self) -> str:
        """Return it as it is written."""
        time = None if self.ms_per_100 is None else f"{self.ms_per_100:g} ms per 100 passages"
        size = None if self.megabytes is None else f"{self.megabytes:g} MB"
        return ", ".join(each for each in (time, size) if each)


@dataclass(frozen=True, kw_only=True)
class Form:
    """A student in one vocabulary and precision.

    Attributes:
        shape: Name of its shape.
        vocabulary: Whole, or trimmed to the user's text.
        precision: Of the network's file.
        ms_per_100: Milliseconds to score 100 pairs in the runtime.
        megabytes: Size of the files that the runtime reads, in units of 1,000,000 bytes.
        steps: It was trained for. None: it is not trained.
        per_query: Judged query -> value of the measure; empty where it is not trained.
    """

    shape: str
    vocabulary: Vocabulary
    precision: Precision
    ms_per_100: float
    megabytes: float
    steps: int | None = None
    per_query: Mapping[str, float] = field(default_factory=dict)

    def fits(self, budget: Budget) -> bool:
        """Tell whether it is within a budget."""
        return budget.share(self.ms_per_100, self.megabytes) <= 1.0

    @property
    def mean(self) -> float:
        """Mean over the queries."""
        return float(np.mean(list(self.per_query.values())))

    @property
    def interval(self) -> Interval:
        """The mean with its 95% interval over queries."""
        return mean_interval(np.array([self.per_query[query_id] for query_id in sorted(self.per_query)]))

    @property
    def name(self) -> str:
        """Shape, vocabulary and precision in a few words."""
        return f"{self.shape} {self.precision}{', trimmed' if self.vocabulary == 'trimmed' else ''}"

    def cost(self) -> str:
        """Return time and size."""
        return f"{self.ms_per_100:.1f} ms and {self.megabytes:.1f} MB"


def pareto_front(forms: Sequence[Form]) -> list[Form]:
    """Return the trained forms that no other beats: none is as good, as fast and as small, and better in one of them.

    Returns:
        The fastest first.
    """
    places = {id(form): (-form.mean, form.ms_per_100, form.megabytes) for form in forms}

    def beaten(form: Form) -> bool:
        own = places[id(form)]
        return any(place != own and all(a <= b for a, b in zip(place, own, strict=True)) for place in places.values())

    return sorted((form for form in forms if not beaten(form)), key=lambda form: form.ms_per_100)


def best_form(forms: Sequence[Form]) -> Form:
    """Return the best; of equals one with the whole vocabulary, which knows words that the text lacks, or the fastest.

    Args:
        forms: Trained ones, at least one.
    """
    return max(forms, key=lambda form: (form.mean, form.vocabulary == "whole", -form.ms_per_100))
