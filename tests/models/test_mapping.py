from __future__ import annotations

import pytest

from distilrank.errors import SettingsError
from distilrank.models.mapping import layer_mapping
from distilrank.models.students import layers_to_copy


@pytest.mark.parametrize(
    ("rule", "student", "teacher", "expected"),
    [
        # TinyBERT, section 4.1: g(m) = 3m for 4 layers and 2m for 6; Simplified TinyBERT: 4, 8, 12 for 3.
        ("uniform", 4, 12, (3, 6, 9, 12)),
        ("uniform", 6, 12, (2, 4, 6, 8, 10, 12)),
        ("uniform", 3, 12, (4, 8, 12)),
        ("uniform", 6, 6, (1, 2, 3, 4, 5, 6)),
        # Its table 4: top g(m) = m + N - M, bottom g(m) = m.
        ("top", 4, 12, (9, 10, 11, 12)),
        ("bottom", 4, 12, (1, 2, 3, 4)),
        ((12, 1, 1), 3, 12, (12, 1, 1)),
        ([2], 1, 2, (2,)),
    ],
)
def test_rules(rule: str | tuple[int, ...], student: int, teacher: int, expected: tuple[int, ...]) -> None:
    assert layer_mapping(rule, student_layers=student, teacher_layers=teacher) == expected


@pytest.mark.parametrize("student", [4, 5])
def test_where_the_layers_do_not_divide_the_advice_is_what_copying_would_take(student: int) -> None:
    advice = ", ".join(map(str, layers_to_copy(6, student, "uniform")))
    with pytest.raises(SettingsError, match=rf"student {student}, teacher 6; .* as in mapping: \[{advice}\]"):
        layer_mapping("uniform", student_layers=student, teacher_layers=6)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("middle", "must be uniform, top, bottom or a list"),
        ((1,), "one teacher layer from 1 to 4 for each of 2"),
        ((0, 1), r"\[0, 1\] but must name"),
        ((4, 5), r"\[4, 5\] but must name"),
    ],
)
def test_what_is_no_mapping_is_refused(rule: str | tuple[int, ...], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        layer_mapping(rule, student_layers=2, teacher_layers=4)


@pytest.mark.parametrize("rule", ["uniform", "top", "bottom"])
def test_a_student_deeper_than_its_teacher_needs_a_list(rule: str) -> None:
    with pytest.raises(SettingsError, match="student 4, teacher 2"):
        layer_mapping(rule, student_layers=4, teacher_layers=2)
    assert layer_mapping((1, 1, 2, 2), student_layers=4, teacher_layers=2) == (1, 1, 2, 2)
