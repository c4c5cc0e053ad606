"""Loops of sets of points whose topology is known, and of a ring attractor."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import xarray as xr
from untrained import untrained

from cortseq import dynamics, models
from cortseq.dynamics import laboratory, summary, topology
from cortseq.dynamics.laboratory import shape
from cortseq.errors import CortseqError

with_ripser = pytest.mark.skipif(find_spec("ripser") is None, reason="ripser is not installed")


def circle(rng, n, radius=1.0, centre=0.0, noise=0.05, d=2):
    angle, points = rng.uniform(0, 2 * np.pi, n), noise * rng.normal(size=(n, d))
    points[:, 0] += radius * np.cos(angle) + centre
    points[:, 1] += radius * np.sin(angle)
    return points


def disc(rng, n):
    points = rng.normal(size=(n, 2))
    return points / np.linalg.norm(points, axis=1, keepdims=True) * np.sqrt(rng.uniform(size=(n, 1)))


def sphere(rng, n):
    points = rng.normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def clumps(rng, corners, n=100):
    return np.concatenate([0.15 * rng.normal(size=(n, 2)) + corner for corner in corners])


def torus(rng, n):
    a, b = rng.uniform(0, 2 * np.pi, (2, n))
    return np.column_stack([np.cos(a), np.sin(a), np.cos(b), np.sin(b)])


def doughnut(rng, n):
    a, b = rng.uniform(0, 2 * np.pi, (2, n))
    return np.column_stack([(2 + np.cos(b)) * np.cos(a), (2 + np.cos(b)) * np.sin(a), np.sin(b)])


SHAPES = {
    "ring": (1, lambda rng: circle(rng, 1000)),
    "wide ring": (1, lambda rng: circle(rng, 1000, noise=0.2)),
    "ring in noise of 32 dimensions": (1, lambda rng: circle(rng, 1000, noise=0.1, d=32)),
    "ring of 60 points": (1, lambda rng: circle(rng, 60, noise=0.03)),
    "figure of eight": (2, lambda rng: np.concatenate([circle(rng, 500, centre=c) for c in (-1, 1)])),
    "unequal eight": (2, lambda rng: np.concatenate([circle(rng, 500, 1, -1), circle(rng, 500, 0.5, 0.5)])),
    "torus": (2, lambda rng: torus(rng, 3000)),
    "doughnut": (2, lambda rng: doughnut(rng, 3000)),
    "disc": (0, lambda rng: disc(rng, 1000)),
    "sphere": (0, lambda rng: sphere(rng, 2000)),
    "blob": (0, lambda rng: rng.normal(size=(1000, 5))),
    "blob of 32 dimensions": (0, lambda rng: rng.normal(size=(1000, 32))),
    "line": (
        0,
        lambda rng: np.linspace(0, 1, 100)[:, None] * rng.normal(size=4) + 0.01 * rng.normal(size=(100, 4)),
    ),
    "two clusters": (0, lambda rng: clumps(rng, [(0, 0), (4, 0)])),
    "corners of a square": (0, lambda rng: clumps(rng, [(0, 0), (0, 3), (3, 0), (3, 3)])),
    "few points": (0, lambda rng: rng.normal(size=(15, 2))),
}


@with_ripser
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_loops_of_known_shapes(name, seed):
    count, draw = SHAPES[name]
    found = dynamics.loops(draw(np.random.default_rng(seed)))
    assert found.count == count, (found.bars[:3], found.births[:3], found.null)
    assert (np.diff(found.bars) <= 0).all() and len(found.births) == len(found.bars)


@with_ripser
def test_the_bar_of_a_circle_is_known():
    """60 points: from the side of their polygon to that of the regular triangle, in units of the radius."""
    angle = 2 * np.pi * np.arange(60) / 60
    found = dynamics.loops(np.column_stack([np.cos(angle), np.sin(angle)]))
    assert found.count == 1 and found.points == 60
    assert found.births[0] == pytest.approx(2 * np.sin(np.pi / 60), rel=1e-6)
    assert found.births[0] + found.bars[0] == pytest.approx(np.sqrt(3), rel=1e-6)


@with_ripser
@pytest.mark.parametrize(("corners", "count"), [(8, 1), (12, 1)])
def test_corners_of_a_polygon_with_twins(corners, count):
    """Points that were found twice change nothing."""
    angle = 2 * np.pi * np.arange(corners) / corners
    points = np.column_stack([np.cos(angle), np.sin(angle)])
    once, twice = dynamics.loops(points), dynamics.loops(np.concatenate([points, points]))
    assert once.count == twice.count == count and once.points == twice.points == corners
    assert once.null == twice.null


@with_ripser
def test_a_rotation_and_a_scale_change_nothing():
    points = circle(np.random.default_rng(3), 300, noise=0.1)
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(6, 6)))[0][:2]
    one, other = dynamics.loops(points), dynamics.loops(7.0 * points @ turn + 3.0)
    assert one.count == other.count == 1
    np.testing.assert_allclose(one.bars[0], other.bars[0], rtol=1e-5)


@with_ripser
def test_a_cloud_without_structure_seldom_has_a_loop():
    counts = [dynamics.loops(np.random.default_rng(s).normal(size=(60, 2)), s).count for s in range(100)]
    assert np.count_nonzero(counts) <= 10


@with_ripser
def test_slow_points_of_a_ring_attractor_make_one_loop():
    """The radius relaxes to 1, the angle stays; against a line, whose slow points make none."""

    def ring(s):
        r = torch.sqrt(s[0] ** 2 + s[1] ** 2)
        return torch.cat([s[:2] * (1 + 0.4 * (1 - r) / r), 0.3 * s[2:]])

    starts = np.random.default_rng(0).normal(size=(60, 5))
    points = dynamics.slow_points(dynamics.fixed_points(ring, starts))
    assert dynamics.loops(points).count == 1
    line = dynamics.fixed_points(lambda s: s * torch.tensor([1.0, 0.5, 0.5, 0.5, 0.5]).double(), starts)
    assert len(line.states) > topology.FEWEST and dynamics.loops(dynamics.slow_points(line)).count == 0


def test_few_points_make_no_loop_and_ask_for_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "ripser", None)
    found = dynamics.loops(np.random.default_rng(0).normal(size=(7, 3)))
    assert found.count == 0 and found.points == 7 and np.isnan(found.null) and not len(found.bars)
    assert dynamics.loops(np.ones((30, 3))).points == 1
    with pytest.raises(CortseqError, match="finite"):
        dynamics.loops(np.full((9, 2), np.nan))


def test_without_ripser_it_is_said_what_to_install(monkeypatch, counts):
    monkeypatch.setitem(sys.modules, "ripser", None)
    with pytest.raises(CortseqError, match=r"needs the package ripser -- pip install 'cortseq\[topology\]'"):
        dynamics.loops(np.random.default_rng(0).normal(size=(9, 2)))
    fit = untrained(models.Rate(hidden=4), counts, members=2)
    found = laboratory.examine(
        fit, counts, np.arange(20), np.arange(20, 40), "", 1, lambda *_: None, [shape.loops_of_states]
    )
    table = summary.summarise(found).set_index("quantity")
    assert table.loc["loops of states", "verdict"].startswith("not done: needs the package ripser")
    assert "'cortseq[topology]'" in table.loc["loops of states", "verdict"]


@with_ripser
def test_the_table_counts_loops_of_slow_points_near_the_data(counts):
    """Slow points on a ring within the visited states of one member, far from those of the other."""
    fit = untrained(models.Rate(hidden=4), counts, members=2, seed=1)
    subject = laboratory.Subject(fit, counts, np.arange(20), np.arange(20, 40))
    states = subject.visited(0, 1000)
    axes = np.linalg.svd(states - states.mean(0), full_matrices=False)[2][:2]
    angle = 2 * np.pi * np.arange(24)[:, None] / 24
    ring = states.mean(0) + 0.5 * states.std() * (np.cos(angle) * axes[0] + np.sin(angle) * axes[1])
    given = xr.Dataset({"slow_points": (("member", "slow", "dim"), np.stack([ring, ring + 1e3]))})
    found = shape.loops_of_states(subject, given)[0]
    assert found["slow_loops"][1].tolist() == [1, 0]
    assert found["visited_loops"][1].tolist() == [
        dynamics.loops(subject.visited(member, 1000)).count for member in range(2)
    ]
