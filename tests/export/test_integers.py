from __future__ import annotations

import numpy as np

from distilrank.export.integers import half_bytes, scale_and_zero, through_8_bits, weights_in_8_bits


def test_weights_by_hand() -> None:
    matrix = np.array([[1.27, -0.2], [0.3, 0.1]], np.float32)
    small, scales, zero = weights_in_8_bits(matrix, "avx512_vnni")
    np.testing.assert_allclose(scales, [0.01, 0.2 / 127], rtol=1e-5)
    assert small.tolist() == [[127, -127], [30, 64]]
    assert (small.dtype, zero.tolist()) == (np.int8, [0, 0])
    # Unsigned ones are the same numbers, shifted; seven bits are half as fine.
    shifted, same, zero = weights_in_8_bits(matrix, "avx2")
    assert (shifted.dtype, zero.tolist()) == (np.uint8, [128, 128])
    assert (shifted.astype(int) - 128).tolist() == small.tolist()
    np.testing.assert_array_equal(same, scales)
    coarse, _, _ = weights_in_8_bits(matrix, "avx512")
    assert coarse.tolist() == [[63, -63], [15, 32]]
    # One scale for all.
    small, scale, _ = weights_in_8_bits(matrix, "avx512_vnni", per_channel=False)
    assert small.tolist() == [[127, -20], [30, 10]]
    assert scale.shape == ()


def test_states_by_hand() -> None:
    scale, zero = scale_and_zero(-1.0, 4.1)
    np.testing.assert_allclose(scale, 0.02, rtol=1e-6)
    assert zero == 50
    states = np.array([[-1.0, -0.987, 0.0, 0.033, 4.1, 9.0, -3.0]], np.float32)
    # Between two steps it is the even one; outside it is the edge.
    np.testing.assert_allclose(
        through_8_bits(states, -1.0, 4.1), [[-1.0, -0.98, 0.0, 0.04, 4.1, 4.1, -1.0]], atol=0.011
    )
    # Nothing but zeros divides nothing by zero.
    assert not through_8_bits(np.zeros((2, 3), np.float32), 0.0, 0.0).any()


def test_two_units_in_a_byte_by_hand() -> None:
    table = np.zeros((1, 128), np.float32)
    table[0, 0], table[0, 1], table[0, 64], table[0, 127] = 7.0, -3.4, -1.0, 0.5
    packed, scales = half_bytes(table)
    # Groups of 32: the largest numbers 7, 0, 1 and 0.5 become 7.
    np.testing.assert_allclose(scales[0, [0, 2, 3]].astype(np.float64), [1.0, 1 / 7, 0.5 / 7], rtol=1e-3)
    assert packed.shape == (1, 64)
    assert packed[0, 0] == (7 + 8) + 16 * (-7 + 8)  # units 0 and 64
    assert packed[0, 1] == (-3 + 8) + 16 * 8
    assert packed[0, 63] == 8 + 16 * (7 + 8)
