from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from distilrank.data.word_vectors import WordVectors
from distilrank.errors import SettingsError
from distilrank.models.word_rows import random_rows, rows_from_teacher, rows_from_vectors
from tests.tiny import tiny_model


def test_words_have_the_files_vectors_and_the_others_random_ones() -> None:
    vectors = WordVectors(("city", "The"), np.array([[5.0, 6.0], [7.0, 8.0]], np.float32))
    rows = rows_from_vectors(["the", "city"], vectors, seed=3)
    assert rows.shape == (5, 2)
    assert rows.dtype == np.float32
    assert rows[4].tolist() == [5.0, 6.0]
    assert np.abs(rows[:4]).max() <= 0.25
    assert len({tuple(row) for row in rows.tolist()}) == 5  # [UNK] and [MASK] have their own
    np.testing.assert_array_equal(rows, rows_from_vectors(["the", "city"], vectors, seed=3))
    assert not np.array_equal(rows[:3], rows_from_vectors(["the", "city"], vectors, seed=4)[:3])


def test_random_rows_are_uniform() -> None:
    rows = random_rows(["a"] * 2000, 50, seed=1)
    assert abs(rows.mean()) < 0.005
    assert rows.std() == pytest.approx(0.5 / 12**0.5, rel=0.02)


def test_the_teachers_embeddings_are_reduced_as_scikit_learns_pca_does() -> None:
    teacher = tiny_model(seed=4)
    weight = teacher.get_input_embeddings().weight.detach().double().numpy()
    rows = rows_from_teacher(teacher, 5)
    assert rows.shape == (len(weight), 5)
    expected = PCA(5, svd_solver="full").fit_transform(weight)
    np.testing.assert_allclose(np.abs(rows), np.abs(expected), atol=1e-4)
    np.testing.assert_array_equal(rows, rows_from_teacher(teacher, 5))
    # All components only turn and move the space: distances between words stay.
    whole = rows_from_teacher(teacher, 16)
    np.testing.assert_allclose(
        np.linalg.norm(whole[5] - whole[6:], axis=1), np.linalg.norm(weight[5] - weight[6:], axis=1), rtol=1e-4
    )


def test_signs_of_components_are_decided() -> None:
    teacher = tiny_model(seed=4)
    weight = teacher.get_input_embeddings().weight.detach().double().numpy()
    centred = weight - weight.mean(axis=0)
    components = np.linalg.lstsq(centred, rows_from_teacher(teacher, 3).astype(float), rcond=None)[0]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=0)[None], axis=0)
    assert (largest > 0).all()


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="dimensions is 17 but must lie between 1 and the teacher's 16"):
        rows_from_teacher(tiny_model(), 17)
    with pytest.raises(SettingsError, match="dimensions is 0"):
        random_rows(["a"], 0, seed=0)
