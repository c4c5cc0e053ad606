"""Line and ring attractors, and how many starts a search needs."""

import numpy as np
import pytest
import torch

from cortseq import dynamics
from cortseq.errors import CortseqError


def rotated(d: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0])


def line(d: int = 6):
    """Everything decays but one direction, along which nothing moves."""
    basis = rotated(d, 1)
    rates = torch.linspace(0.2, 0.7, d, dtype=torch.float64)
    rates[0] = 1.0
    return lambda s: basis @ (rates * (basis.T @ s))


def ring(d: int = 5):
    """A circle of radius 1 in a plane: the radius relaxes, the angle stays, the rest decays."""
    basis = rotated(d, 2)

    def step(s):
        z = basis.T @ s
        r = torch.sqrt(z[0] ** 2 + z[1] ** 2)
        return basis @ torch.cat([z[:2] * (1 + 0.4 * (1 - r) / r), 0.3 * z[2:]])

    return step


@pytest.mark.parametrize(("flow", "closed"), [(line(), False), (ring(), True)])
def test_a_line_of_fixed_points_is_found_and_a_ring_is_closed(flow, closed):
    d = 6 if not closed else 5
    starts = np.random.default_rng(0).normal(size=(40, d))
    points = dynamics.fixed_points(flow, starts)
    found = dynamics.line_attractor(flow, dynamics.slow_points(points))
    assert found.holds and found.closed is closed, found.reason
    assert np.abs(found.neutral - 1).max() < 1e-6 and found.alignment.min() > 0.95
    if closed:
        assert found.length == pytest.approx(2 * np.pi, rel=0.15)


def test_a_point_that_was_found_twice_changes_no_line():
    points = np.linspace(-1, 1, 9)[:, None] * rotated(6, 1)[:, 0].numpy()
    twice = dynamics.line_attractor(line(), points.repeat(2, 0))
    once = dynamics.line_attractor(line(), points)
    assert once.holds and twice.holds and twice.length == pytest.approx(2)
    np.testing.assert_allclose(points.repeat(2, 0)[twice.chain], points[once.chain])


def test_corners_of_a_flip_flop_are_no_line():
    flow = lambda s: torch.tanh(2.0 * s)  # noqa: E731
    points = dynamics.fixed_points(flow, np.random.default_rng(0).normal(size=(60, 3)))
    found = dynamics.line_attractor(flow, dynamics.slow_points(points))
    assert not found.holds and found.reason


def test_two_points_are_no_line():
    found = dynamics.line_attractor(lambda s: 0.5 * s, np.zeros((2, 3)))
    assert not found.holds and "2 slow points" in found.reason
    same = dynamics.line_attractor(lambda s: 0.5 * s, np.ones((8, 3)))
    assert not same.holds and "8 slow points, 1 of them different" in same.reason
    assert not dynamics.line_attractor(lambda s: 0.5 * s, np.ones((0, 3))).holds
    with pytest.raises(CortseqError, match="finite"):
        dynamics.line_attractor(lambda s: s, np.full((6, 3), np.nan))


def test_saturation_is_the_mean_over_orders_of_the_starts():
    """Against drawing subsets: each corner of tanh(2 s) is reached by the starts in its quadrant."""
    starts = np.random.default_rng(3).normal(size=(24, 2))
    points = dynamics.fixed_points(lambda s: torch.tanh(2.0 * s), starts)
    curve, rng = points.saturation(), np.random.default_rng(0)
    assert (points.reached >= 0).sum() == points.n_converged
    both = np.stack([points.reached, points.settled])
    for m in (1, 5, 24):
        subsets = [np.unique(both[:, rng.choice(24, m, replace=False)]) for _ in range(4000)]
        assert curve[m - 1] == pytest.approx(np.mean([(s >= 0).sum() for s in subsets]), abs=0.05)
    assert (np.diff(curve) >= -1e-12).all()


def test_saturation_counts_points_that_only_settling_finds():
    """Starts near 0 search their way to 0 and settle at +-.9575, fixed points of tanh(2 s): three in all."""
    starts = np.array([[1e-3], [2e-3], [-1e-3], [1.5e-3]])
    points = dynamics.fixed_points(lambda s: torch.tanh(2.0 * s), starts)
    low, middle, high = np.argsort(points.states[:, 0])
    assert len(points.states) == 3 and (points.reached == middle).all()
    assert points.settled.tolist() == [high, high, low, high]
    assert points.saturation() == pytest.approx([2, 2.5, 2.75, 3])


def test_starts_that_run_away_settle_nowhere():
    """s' = 5 s (1 + s^2): 0 is its only fixed point, and the flow takes every other state to infinity."""
    points = dynamics.fixed_points(lambda s: 5.0 * s * (1 + s**2), np.array([[0.1], [-0.2], [0.3]]))
    assert (points.reached == 0).all() and (points.settled == -1).all()
    assert points.saturation() == pytest.approx([1, 1, 1])
