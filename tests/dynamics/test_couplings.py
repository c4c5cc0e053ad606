"""Analyses of matrices that are not symmetric, of states that are not isotropic, and units of what they say."""

import numpy as np
import pytest
import xarray as xr
from families import flowing, small
from scipy.special import ndtr
from untrained import untrained

from cortseq import dynamics, models
from cortseq.dynamics import summary
from cortseq.dynamics.structure import structure
from cortseq.theory import balanced, binary, continual


@pytest.mark.parametrize("family", flowing())
def test_jacobians_of_fits_against_finite_differences(family, counts):
    """Row i is the derivative of component i: no network here has a symmetric matrix."""
    fit = untrained(small(family, hidden=4), counts)
    flow = fit.flow(0, "open")
    state = fit.states(counts, [0]).values[0, 0, 5] + 0.05
    found = dynamics.jacobian(flow, state)
    step = 1e-6
    import torch

    for j in range(len(state)):
        move = np.zeros(len(state))
        move[j] = step
        ahead, behind = (flow(torch.from_numpy(state + s * move)).numpy() for s in (1, -1))
        assert np.allclose(found[:, j], (ahead - behind) / (2 * step), atol=1e-6)
    assert not np.allclose(found, found.T, atol=1e-3)


def test_distances_of_fixed_points_are_in_spreads_of_the_starts():
    """h' = h / 2 about a point 3 to the side of starts: the same in any unit."""
    rng = np.random.default_rng(0)
    starts = rng.normal(size=(40, 2))
    spread = np.sqrt(((starts - starts.mean(0)) ** 2).sum(1).mean())
    for scale in (0.01, 1.0, 100.0):
        import torch

        at = torch.tensor([9.0, 0.0], dtype=torch.float64) * scale
        found = dynamics.fixed_points(lambda s, at=at: at + (s - at) / 2, scale * starts)
        nearest = np.linalg.norm(starts - [9.0, 0.0], axis=1).min()
        assert found.distances == pytest.approx([nearest / spread], rel=1e-6)


def test_the_dimension_of_a_covariance_that_is_not_diagonal():
    """Eigenvalues 3 and 1: (3 + 1)^2 / (9 + 1)."""
    assert dynamics.participation_ratio([[2.0, 1.0], [1.0, 2.0]]) == pytest.approx(1.6)


def test_classes_of_weights_are_those_of_columns():
    rng = np.random.default_rng(1)
    w = rng.normal(0, 0.1, (60, 60)) + np.where(np.arange(60) < 45, 0.3, -0.9)
    found = structure(w, np.arange(60) < 45)
    assert found.block[0, :45] == pytest.approx(w[:, :45].mean()) and found.block[0, 45:] == pytest.approx(
        w[:, 45:].mean()
    )
    assert found.rank == 0


def test_balanced_rates_cancel_the_external_input():
    """Row: to, column: from. J m + E = 0."""
    j, e = np.array([[1.0, -2.0], [0.8, -1.5]]), np.array([0.6, 0.4])
    m = balanced.balanced_rates(j, e)
    assert np.allclose(j @ m + e, 0) and not np.allclose(m @ j + e, 0)


def test_a_balanced_state_solves_its_equations():
    """m = Phi((u - threshold) / sd), u = sqrt(K) (J m + E), sd^2 = J^2 m (1 - m): partners are on or off."""
    j, e, threshold = np.array([[1.0, -2.0], [1.0, -1.8]]), np.array([0.3, 0.24]), np.array([1.0, 0.7])
    found = balanced.balanced_state(j, e, threshold, 100)
    m = found.rates
    u = 10 * (j @ m + e)
    sd = np.sqrt(j**2 @ (m * (1 - m)))
    assert np.allclose(found.mean, u) and np.allclose(found.sd, sd)
    assert np.allclose(m, ndtr((u - threshold) / sd), atol=1e-9)


def test_binary_units_hear_the_units_of_their_row(monkeypatch):
    """Unit 1 is on and drives unit 0; nothing drives unit 1 but its own input."""
    monkeypatch.setattr(binary, "_run", binary._run.py_func)  # compiling takes longer than four updates
    partner = np.array([[[0], [1]], [[0], [1]]], np.int32)  # (unit, population, K)
    strengths = np.array([[0.0, 1.0], [0.0, 0.0]])
    external = np.tile([0.0, 1.0], (5, 1))
    states = binary.simulate(partner, strengths, external, [0.5, 0.5], [0, 1], 4, 0, False)
    assert states[-1].tolist() == [1, 1]
    states = binary.simulate(partner, strengths.T, external, [0.5, 0.5], [0, 1], 4, 0, False)
    assert states[-1].tolist() == [0, 1]


def test_transfer_by_hand():
    found = continual.transfer([[0.5, 0.0, 0.1], [0.3, 0.8, 0.2], [0.2, 0.7, 0.9]])
    assert found.acc == pytest.approx(0.6)
    assert found.bwt == pytest.approx(((0.2 - 0.5) + (0.7 - 0.8)) / 2)
    assert np.allclose(found.forgetting[2], [0.3, 0.1, 0.0])


def test_the_slowest_time_constant_is_in_seconds():
    found = xr.Dataset(
        {
            "nearest_eigenvalues_real": (("member", "dim"), np.array([[0.6, 0.5], [0.9, 0.1]])),
            "nearest_eigenvalues_imag": (("member", "dim"), np.array([[0.6, 0.0], [0.0, 0.0]])),
            "nearest_radius": ("member", np.array([0.85, 0.9])),
        },
        attrs={"bin_width": 0.05, "track": "counts"},
    )
    table = summary.summarise(found).set_index("quantity")
    expected = [-0.05 / np.log(np.hypot(0.6, 0.6)), -0.05 / np.log(0.9)]
    assert table.loc["slowest time constant, nearest point", "value"] == pytest.approx(np.mean(expected))
    assert table.loc["slowest time constant, nearest point", "unit"] == "s"


def test_the_penalty_of_a_decoder_is_judged_on_trials_left_out():
    """Many features and few trials of noise: fitted to themselves the weakest penalty is best, left out the strongest."""
    from cortseq.dynamics.ridge import ridge

    rng = np.random.default_rng(2)
    x, y, groups = rng.normal(size=(60, 40)), rng.normal(size=(60, 1)), np.repeat(np.arange(10), 6)
    weak, strong = (ridge(x, y, [p], groups)[0] for p in (1e-8, 1e4))
    assert np.allclose(ridge(x, y, [1e-8, 1e4], groups)[0], strong) and not np.allclose(
        weak, strong, atol=0.01
    )


def test_the_conditional_exponent_leaves_the_first_quarter_out(counts):
    """The growth of a tangent vector over the last three quarters of a trial, step by step."""
    from cortseq.dynamics.driven import driven

    fit = untrained(models.Rate(hidden=5, leak=0.3, gain=1.5), counts)
    found = dynamics.conditional_exponents(fit, counts, [3])[0, 0]
    loop = driven(fit, counts, 0, [3])
    import torch

    v = torch.from_numpy(np.random.default_rng([0, 0]).normal(size=(1, 5)))
    logs = []
    for t in range(15):
        v = loop.push(loop.states[:, t], loop.inputs[:, t], v)[1]
        logs.append(float(v.norm().log()))
        v = v / v.norm()
    assert found == pytest.approx(np.mean(logs[3:]), abs=1e-12) and found != pytest.approx(
        np.mean(logs), abs=1e-6
    )


def test_a_linear_map_is_judged_on_the_trials_that_were_left_out():
    """Two sets of states that have nothing to do with each other: nothing is told on other trials."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(6, 8, 20)), rng.normal(size=(6, 8, 3))
    found = dynamics.linear_map(a, b, [0, 1, 2], [3, 4, 5], penalties=[1e-8])
    assert found.r2 < 0 < dynamics.linear_map(a, b, [0, 1, 2], [0, 1, 2], penalties=[1e-8]).r2


def test_the_warm_up_does_not_count():
    """s' = s / 2: ln 1/2 a step, whatever the warm-up."""
    found = dynamics.leading_exponents(lambda s: 0.5 * s, np.ones((3, 2)), n_steps=40, warm_up=30)
    assert found == pytest.approx(np.log(0.5))
