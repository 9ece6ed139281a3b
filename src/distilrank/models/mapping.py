"""Which teacher layer a student layer imitates: g(m) of TinyBERT (Jiao et al. 2020, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from distilrank.errors import SettingsError


def layer_mapping(rule: str | Sequence[int], *, student_layers: int, teacher_layers: int) -> tuple[int, ...]:
    """Return g(1), ..., g(M): for each student layer the teacher layer, counted from 1.

    The embeddings are always mapped to the embeddings, g(0) = 0.

    Args:
        rule: "uniform" is g(m) = m * N / M, "top" g(m) = m + N - M, "bottom" g(m) = m; or the teacher layers
            themselves, one for each student layer.
        student_layers: M.
        teacher_layers: N.

    Raises:
        SettingsError: The rule is unknown, M does not divide N for "uniform", or the list does not fit.
    """
    m, n = student_layers, teacher_layers
    if isinstance(rule, str):
        if m > n:
            raise SettingsError(
                f"mapping {rule!r} needs a teacher of at least as many layers: student {m}, teacher {n}"
            )
        if rule == "uniform":
            if n % m:
                near = ", ".join(str((2 * i * n + m) // (2 * m)) for i in range(1, m + 1))  # rounded half up
                raise SettingsError(
                    f"mapping 'uniform' needs a number of teacher layers that the student's divides: student {m}, "
                    f"teacher {n}; name the teacher layers, as in mapping: [{near}]"
                )
            return tuple(i * n // m for i in range(1, m + 1))
        if rule == "top":
            return tuple(i + n - m for i in range(1, m + 1))
        if rule == "bottom":
            return tuple(range(1, m + 1))
        raise SettingsError(f"mapping is {rule!r} but must be uniform, top, bottom or a list of teacher layers")
    layers = tuple(rule)
    if len(layers) != m or not all(1 <= layer <= n for layer in layers):
        raise SettingsError(
            f"mapping is {list(layers)} but must name one teacher layer from 1 to {n} for each of {m} student layers"
        )
    return layers
