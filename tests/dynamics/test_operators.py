"""Operators on delays and the angle between them: closed forms, a rotated copy, brute force."""

import numpy as np
import pytest

from cortseq import dynamics
from cortseq.dynamics.operators import operator_angles
from cortseq.errors import CortseqError


def turned(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def orthogonal(n, rng):
    return np.linalg.qr(rng.normal(size=(n, n)))[0]


def linear(matrix, noise, trials, bins, rng):
    """Trials (trial, time, unit) of z' = matrix z + noise."""
    z = rng.normal(size=(trials, len(matrix)))
    out = []
    for _ in range(bins):
        out.append(z)
        z = z @ matrix.T + noise * rng.normal(size=z.shape)
    return np.stack(out, 1)


def test_a_rotated_copy_is_the_same():
    rng = np.random.default_rng(0)
    for n in (2, 5, 8):
        a, q = rng.normal(size=(n, n)) / np.sqrt(n), orthogonal(n, rng)
        assert dynamics.operator_angle(a, q @ a @ q.T) < 1e-3
        assert dynamics.operator_angle(a, 3 * a) < 1e-3  # speed of growth apart, directions alike


def test_closed_forms():
    """Two rotations of the plane differ by their angles; symmetric matrices by their sorted eigenvalues."""
    assert dynamics.operator_angle(turned(0.3), turned(0.8)) == pytest.approx(0.5, abs=1e-6)
    assert dynamics.operator_angle(turned(0.3), turned(-0.8)) == pytest.approx(0.5, abs=1e-6)  # a reflection
    a, b = np.array([3.0, 1.0, 0.5]), np.array([2.0, -1.0, 0.2])
    best = np.sort(a) @ np.sort(b) / np.linalg.norm(a) / np.linalg.norm(b)
    assert dynamics.operator_angle(np.diag(a), np.diag(b)) == pytest.approx(np.arccos(best), abs=1e-4)
    assert dynamics.operator_angle(np.eye(3), -np.eye(3)) == pytest.approx(np.pi)
    assert dynamics.operator_angle(np.eye(2), np.zeros((2, 2))) == pytest.approx(np.pi / 2)


def test_no_rotation_of_the_plane_does_better():
    rng = np.random.default_rng(4)
    angles = np.linspace(0, 2 * np.pi, 20_001)
    for _ in range(5):
        a, b = rng.normal(size=(2, 2, 2))
        every = np.concatenate(
            [turned(angles).transpose(2, 0, 1), turned(angles).transpose(2, 0, 1) * [1, -1]]
        )
        overlap = np.einsum("ij,sij->s", a, every @ b @ every.swapaxes(1, 2)).max()
        best = np.arccos(overlap / np.linalg.norm(a) / np.linalg.norm(b))
        assert dynamics.operator_angle(a, b) == pytest.approx(best, abs=1e-4)


def test_many_pairs_are_those_of_one_and_sizes_may_differ():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 4, 6, 6))
    many = operator_angles(list(a), list(b))
    assert many == pytest.approx(
        [dynamics.operator_angle(*pair) for pair in zip(a, b, strict=True)], abs=1e-3
    )
    filled = np.pad(a[0], (0, 2))
    assert dynamics.operator_angle(a[0], filled) < 1e-3


def test_the_operator_of_one_delay_is_the_matrix():
    rng = np.random.default_rng(3)
    matrix = 0.95 * turned(0.4)
    operator = dynamics.delay_operator(linear(matrix, 0.3, 200, 60, rng), delays=1)
    assert np.sort_complex(np.linalg.eigvals(operator)) == pytest.approx(
        np.sort_complex(np.linalg.eigvals(matrix)), abs=0.01
    )


def test_the_operator_leads_forward_in_time():
    """Of three numbers of which each drives the next: the transposed matrix is no rotation of it."""
    rng = np.random.default_rng(7)
    matrix = np.array([[0.6, 0.0, 0.0], [0.5, 0.3, 0.0], [0.0, 0.9, -0.4]])
    operator = dynamics.delay_operator(linear(matrix, 0.5, 300, 60, rng), delays=1)
    assert dynamics.operator_angle(operator, matrix) < 0.03
    assert dynamics.operator_angle(operator, matrix.T) > 0.1


def test_the_same_system_seen_by_other_units_is_near_and_another_rhythm_is_not():
    rng = np.random.default_rng(1)
    slow, fast = 0.98 * turned(0.2), 0.98 * turned(0.9)
    series = [linear(m, 0.2, 40, 80, rng) for m in (slow, slow, fast)]
    seen = [y @ orthogonal(2, rng).T + 0.05 * rng.normal(size=y.shape) for y in series]
    first, again, other = (dynamics.delay_operator(y) for y in seen)
    assert 5 * dynamics.operator_angle(first, again) < dynamics.operator_angle(first, other)


def test_missing_bins_and_ends_of_trials_are_not_reached_over():
    rng = np.random.default_rng(6)
    y = linear(0.9 * turned(0.5), 0.3, 30, 40, rng)
    cut = y.copy()
    cut[:, 20] = 1e6
    valid = np.ones(y.shape[:2], bool)
    valid[:, 20] = False
    halves = np.concatenate([y[:, :20], np.pad(y[:, 21:], ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)])
    assert dynamics.delay_operator(cut, valid) == pytest.approx(dynamics.delay_operator(halves), abs=1e-9)


@pytest.mark.parametrize(
    ("series", "why"),
    [
        (np.ones((3, 5, 2)), "long enough"),
        (np.ones((3, 50, 2)), "nothing varies"),
        (10.0 ** np.arange(300.0).reshape(3, 50, 2), "runs away"),
    ],
)
def test_what_has_no_operator_says_why(series, why):
    with pytest.raises(CortseqError, match=why):
        dynamics.delay_operator(series)
