"""Dynamics against answers known in closed form."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from cortseq import dynamics, store
from cortseq.dynamics import analyse
from cortseq.dynamics.shuffles import profile_kept
from cortseq.errors import CortseqError


def henon(s):
    return torch.stack([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]])


def tanh_network(weights, bias=0.0):
    w = torch.as_tensor(weights)
    return dynamics.Flow(lambda s: torch.tanh(s @ w.mT + bias), dim=len(w))


def rank_three(units_per_bit=4, gain=1.5):
    """Weights of a network that stores three bits, each as the common sign of some units."""
    bits = np.kron(np.eye(3), np.ones((units_per_bit, 1)))
    return gain / units_per_bit * bits @ bits.T


def test_import_leaves_torch_out():
    code = "import sys, cortseq.dynamics.analyse; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- flows and Jacobians ------------------------------------------------------------------------------


@pytest.mark.parametrize("in_place", [False, True])
def test_batched_equals_one_by_one(in_place):
    def assigning(s):
        out = torch.zeros(2, dtype=s.dtype)
        out[0] = 1 - 1.4 * s[0] ** 2 + s[1]
        out[1] = 0.3 * s[0] if s[0] > 0 else s[0] * 0.3
        return out

    flow = assigning if in_place else henon
    states = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 2)))
    assert torch.equal(dynamics.batched(flow)(states), torch.stack([henon(s) for s in states]))
    x = states[:, 0].numpy()
    expected = np.stack([np.stack([-2.8 * x, np.ones(5)], -1), [[0.3, 0.0]] * 5], 1)
    np.testing.assert_allclose(dynamics.jacobian(flow, states), expected, atol=1e-14)


def test_jacobian_of_linear_map_is_its_matrix():
    a = np.random.default_rng(0).normal(size=(7, 7))
    found = dynamics.jacobian(lambda s: torch.from_numpy(a) @ s, np.ones((3, 7)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.broadcast_to(a, (3, 7, 7)), atol=1e-14)
    assert dynamics.jacobian(lambda s: torch.from_numpy(a) @ s, np.ones(7)).shape == (7, 7)


def test_jacobian_against_formula_and_finite_differences():
    rng = np.random.default_rng(1)
    w = rng.normal(size=(20, 20)) / np.sqrt(20)
    flow, states, eps = tanh_network(w, 0.3), rng.normal(size=(4, 20)), 1e-6
    found = dynamics.jacobian(flow, states)
    analytic = (1 - np.tanh(states @ w.T + 0.3) ** 2)[:, :, None] * w
    np.testing.assert_allclose(found, analytic, atol=1e-12)
    step = torch.from_numpy(eps * np.eye(20))
    for state, j in zip(torch.from_numpy(states), found, strict=True):
        differences = (flow(state + step) - flow(state - step)).mT / (2 * eps)
        np.testing.assert_allclose(j, differences.numpy(), atol=1e-8)


def test_states_with_nan_are_refused():
    with pytest.raises(CortseqError, match="NaN"):
        dynamics.jacobian(henon, [np.nan, 0.0])


def constant_branch(s):
    return s**2 if s[0] > 0 else torch.ones(2)


def test_a_branch_that_returns_a_constant_has_no_slope():
    found = dynamics.jacobian(constant_branch, [[1.0, 2.0], [-1.0, 2.0]])
    np.testing.assert_array_equal(found, [[[2, 0], [0, 4]], np.zeros((2, 2))])
    assert found.dtype == np.float64


STARTS = np.random.default_rng(0).uniform(0.5, 1, (10, 3))
ANALYSES = {
    "jacobian": lambda flow, s: dynamics.jacobian(flow, s),
    "fixed_points": lambda flow, s: dynamics.fixed_points(flow, s),
    "lyapunov_spectrum": lambda flow, s: dynamics.lyapunov_spectrum(flow, s[:1], n_steps=20, warm_up=0),
    "leading_exponents": lambda flow, s: dynamics.leading_exponents(flow, s, 5, 0),
    "chaos_verdict": lambda flow, s: dynamics.chaos_verdict([flow] * 5, s, 5, 0),
}
FAULTS = {
    "another shape": (lambda s: s[:2], STARTS, "as many values as its state"),
    "numpy": (lambda s: np.tanh(s.numpy()), STARTS, "torch"),
    "a state it does not take": (lambda s: torch.eye(4, dtype=s.dtype) @ s, STARTS, "fails on a state"),
    "no states": (torch.tanh, STARTS[:0], "no states"),
}


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize("fault", FAULTS)
def test_maps_of_ones_own_are_refused_in_words(analysis, fault):
    flow, starts, message = FAULTS[fault]
    with pytest.raises(CortseqError, match=message):
        ANALYSES[analysis](flow, starts)


def test_results_say_which_map_they_are_of():
    for flow, name in ((torch.tanh, "own"), (dynamics.Flow(torch.tanh, 3, "open"), "open")):
        assert dynamics.fixed_points(flow, STARTS).map == name
        assert dynamics.lyapunov_spectrum(flow, STARTS[0], n_steps=20).map == name
        assert dynamics.chaos_verdict([flow] * 2, STARTS, 5, 0).map == name


# -- fixed points -------------------------------------------------------------------------------------


def test_fixed_points_of_a_scalar_tanh():
    found = dynamics.fixed_points(lambda s: torch.tanh(1.5 * s), np.linspace(-1, 1, 9)[:, None])
    h = 0.858559636640  # the root of h = tanh(1.5 h)
    np.testing.assert_allclose(found.states[:, 0], [0, -h, h], atol=1e-10)
    assert found.stable.tolist() == [False, True, True]
    np.testing.assert_allclose(found.eigenvalues[:, 0], [1.5, 1.5 * (1 - h**2), 1.5 * (1 - h**2)], atol=1e-9)
    assert found.eigenvalues.dtype == np.complex128
    assert found.n_converged == 9 and found.speeds.max() < 1e-12


@pytest.mark.parametrize("units_per_bit", [1, 4])
def test_fixed_points_of_a_three_bit_flip_flop(units_per_bit):
    """Each bit rests at 0 or at one of two values; the 2^3 corners are stable, k undecided bits leave
    k unstable directions."""
    n = 3 * units_per_bit
    starts = np.random.default_rng(0).uniform(-1, 1, (300, n))
    found = dynamics.fixed_points(tanh_network(rank_three(units_per_bit)), starts)
    units = found.states.reshape(-1, 3, units_per_bit)
    np.testing.assert_allclose(np.ptp(units, axis=-1), 0, atol=1e-10)
    assert len(np.unique(np.sign(units.mean(-1)[found.stable]), axis=0)) == found.stable.sum() == 8
    undecided = (np.abs(units.mean(-1)) < 1e-6).sum(1)
    assert np.array_equal((np.abs(found.eigenvalues) > 1).sum(1), undecided)
    assert np.array_equal(found.stable, undecided == 0)
    if units_per_bit == 1:
        assert len(found.states) == 27


def test_linear_map_has_one_fixed_point():
    a = np.array([[0.5, 0.2], [0.0, 0.9]])
    b = np.array([1.0, -2.0])
    starts = np.random.default_rng(0).normal(size=(10, 2))
    found = dynamics.fixed_points(lambda s: torch.from_numpy(a) @ s + torch.from_numpy(b), starts)
    np.testing.assert_allclose(found.states, [np.linalg.solve(np.eye(2) - a, b)], atol=1e-10)
    np.testing.assert_allclose(found.jacobians, [a], atol=1e-14)
    assert found.stable.all()


def test_henon_fixed_points():
    found = dynamics.fixed_points(henon, np.random.default_rng(0).uniform(-1, 1, (20, 2)))
    x = (-0.7 + np.array([1, -1]) * np.sqrt(0.49 + 5.6)) / 2.8
    np.testing.assert_allclose(found.states, np.stack([x, 0.3 * x], 1), atol=1e-10)
    assert not found.stable.any()


def test_no_fixed_point_is_reported_as_a_slow_point():
    """x' = x + 0.01 + x^2 has none; it is slowest at 0, with speed 0.01."""
    found = dynamics.fixed_points(lambda s: s + 0.01 + s**2, np.linspace(-0.5, 0.5, 8)[:, None])
    assert found.states.shape == (0, 1) and found.eigenvalues.shape == (0, 1) and found.n_converged == 0
    np.testing.assert_allclose(found.slow_speeds, 0.01, rtol=0.01)
    np.testing.assert_allclose(found.slow_states, 0, atol=0.02)


def test_eigenvalues_alone_do_not_make_a_point_stable():
    """s' = s/2, but 5 s where |s| > 1e-9: the Jacobian at 0 promises a stability that no copy finds."""
    starts = np.array([[0.0], [1.0], [-1.0]])
    found = dynamics.fixed_points(lambda s: torch.where(s.abs() > 1e-9, 5 * s, s / 2), starts)
    at_zero = np.abs(found.states[:, 0]) < 1e-12
    assert np.abs(found.eigenvalues[at_zero]).item() == 0.5
    assert not found.stable[at_zero].any()


def test_fixed_points_far_from_the_origin():
    """Two points a distance 2 apart at 1e8: squares of the states leave nothing of their difference."""
    centre, side = np.array([1e8, -1e8]), 0.957504024  # side = tanh(2 side)
    starts = centre + np.random.default_rng(0).choice([-0.5, 0.5], (40, 2))
    middle = torch.from_numpy(centre)
    found = dynamics.fixed_points(lambda s: middle + torch.tanh(2 * (s - middle)), starts)
    np.testing.assert_array_equal(np.sign(found.states - centre)[found.reached], np.sign(starts - centre))
    spread = np.sqrt(((starts - starts.mean(0)) ** 2).sum(1).mean())
    assert found.stable.sum() == 4
    np.testing.assert_allclose(found.distances[found.stable], np.sqrt(2) * (side - 0.5) / spread, rtol=1e-4)


def test_distances_are_to_every_visited_state():
    """Not to the few that the search begins with: a point that was visited has distance 0."""
    starts, visited = np.full((4, 2), 3.0), np.array([[0.0, 0.0], [3.0, 3.0], [-3.0, -3.0]])
    found = dynamics.fixed_points(lambda s: 0.5 * s, starts, visited=visited)
    assert len(found.states) == 1 and found.distances[0] < 1e-9
    assert dynamics.fixed_points(lambda s: 0.5 * s, starts + np.eye(4, 2)).distances[0] > 3


def test_a_sampled_flow_has_no_fixed_points():
    with pytest.raises(CortseqError, match="closed"):
        dynamics.fixed_points(dynamics.Flow(henon, 2, "sampled"), np.zeros((2, 2)))


# -- spectra ------------------------------------------------------------------------------------------


def test_radius_abscissa_and_non_normality():
    a = np.array([[0.0, 3.0], [0.0, -2.0]])
    assert dynamics.spectral_radius(a) == pytest.approx(2)
    assert dynamics.spectral_abscissa(a) == pytest.approx(0, abs=1e-12)
    assert dynamics.henrici(a) == pytest.approx(3)
    assert dynamics.numerical_abscissa(a) == pytest.approx(-1 + np.sqrt(1 + 9 / 4))
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    assert dynamics.henrici(rotation) < 1e-12
    assert dynamics.numerical_abscissa(rotation) == pytest.approx(dynamics.spectral_abscissa(rotation))


def test_time_constants_and_frequencies():
    values = [np.exp(-0.02 / 0.5), np.exp(-0.02 / 0.1 + 2j * np.pi * 8 * 0.02), 1.0, -0.5, 0.0, 1.1]
    modes = dynamics.time_constants_and_frequencies(values, bin_width=0.02)
    expected = [0.5, 0.1, np.inf, 0.02 / np.log(2), 0.0, -0.02 / np.log(1.1)]
    np.testing.assert_allclose(modes.time_constants, expected)
    np.testing.assert_allclose(modes.frequencies, [0, 8, 0, 25, 0, 0], atol=1e-12)


def dale_matrix(rng, n, fraction=0.8, sigma=(0.5, 2.0)):
    """Balanced within every row up to its variance; columns of one sign."""
    signs = np.where(np.arange(n) < fraction * n, 1.0, -1.0)
    scale = np.where(signs > 0, *sigma) / np.sqrt(n)
    entries = rng.gamma(1.0, 1.0, (n, n)) * scale  # variance scale^2
    return signs * entries * (1 - np.eye(n)), signs


def test_bulk_radius():
    rng = np.random.default_rng(0)
    n = 400
    w = rng.normal(0, 1.3 / np.sqrt(n), (n, n))
    assert dynamics.bulk_radius(w) == pytest.approx(1.3, rel=0.01)
    assert dynamics.bulk_radius(w) == pytest.approx(dynamics.spectral_radius(w), rel=0.06)
    w, signs = dale_matrix(rng, n)
    assert dynamics.bulk_radius(w, signs) == pytest.approx(np.sqrt(0.8 * 0.25 + 0.2 * 4), rel=0.03)
    centred = w - w.mean(1, keepdims=True)  # zero row sums confine the eigenvalues
    assert dynamics.bulk_radius(w, signs) == pytest.approx(dynamics.spectral_radius(centred), rel=0.1)


def test_planted_outlier_is_found():
    rng = np.random.default_rng(0)
    n = 80
    u = rng.normal(size=n) / np.sqrt(n)
    found = dynamics.outliers(
        rng.normal(0, 1 / np.sqrt(n), (n, n)) + 2.5 * np.outer(u, u), n_permutations=200
    )
    assert found.is_outlier.sum() == 1
    assert found.p_values[0] == 1 / 201
    assert abs(found.eigenvalues[0] - 2.5 * u @ u) < 0.4


def test_outliers_false_positive_rate():
    """Pure bulks, with and without Dale's law: about 5 % of matrices have an outlier at p < 0.05."""
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        w, signs = (rng.normal(size=(20, 20)), None) if seed % 2 else dale_matrix(rng, 20)
        hits += dynamics.outliers(w, signs, n_permutations=59, seed=seed).is_outlier.any()
    assert hits <= 9  # 99.7 % of Binomial(60, 0.05)


def test_outliers_where_rows_sum_to_zero():
    """Shuffles that keep the sums are exact, and see what shuffles that break them overlook."""
    from benchmarks.outliers import measure

    kind, rows = "Dale's law, rows sum to zero", "entries of a row"
    assert measure(kind, rows, 0.0, draws=60, n=30, permutations=59, seed=1).found <= 9 / 60
    planted = [
        measure(kind, null, 1.8, draws=12, n=80, permutations=39, seed=1).found for null in (rows, "entries")
    ]
    assert planted[0] > planted[1] + 0.25


def test_gains_of_units_are_no_outliers():
    """Unequal gains pass for structure where entries are exchanged, and do not where the profile stays."""
    from benchmarks.outliers import measure

    found = {
        null: measure(
            "independent, units of unequal gain", null, 0.0, 30, n=16, permutations=39, seed=2
        ).found
        for null in ("entries", "profile")
    }
    assert found["profile"] <= 5 / 30 < found["entries"]  # 99.7 % of Binomial(30, 0.05)


@pytest.mark.parametrize("signs", [None, np.repeat([1.0, -1.0], [9, 3])])
def test_the_profile_null_keeps_the_profile(signs):
    """Of entries +-r_i c_j only the signs change places; under Dale's law nothing is left to exchange."""
    rng = np.random.default_rng(0)
    gains = np.outer(np.exp(rng.normal(size=12)), np.exp(rng.normal(size=12)))
    w = gains * (rng.choice([-1.0, 1.0], (12, 12)) if signs is None else signs)
    w[4] = 0.0  # a unit without input
    classes = np.ones(12) if signs is None else signs
    groups = [np.flatnonzero(~np.eye(12, dtype=bool) & (classes == sign)) for sign in np.unique(classes)]
    shuffled = next(profile_kept(w, groups, rng))
    np.testing.assert_allclose(np.abs(shuffled), np.abs(w), rtol=1e-6)
    assert ((np.sign(shuffled) != np.sign(w)).sum() > 20) == (signs is None)


def test_a_planted_part_stands_out_of_its_profile():
    rng = np.random.default_rng(0)
    u = rng.normal(size=60)
    w = rng.normal(size=(60, 60)) / np.sqrt(60) + 2.5 * np.outer(u, u) / (u @ u)
    found = dynamics.outliers(np.exp(rng.normal(size=60)) * w, n_permutations=59, null="profile")
    assert found.is_outlier.sum() == 1


@pytest.mark.parametrize("settings", [{"null": "signs"}, {"null": "profile", "keep_row_sums": True}])
def test_nulls_that_do_not_exist_are_refused(settings):
    with pytest.raises(CortseqError, match='null is "entries" or "profile"'):
        dynamics.outliers(np.eye(4), **settings)


def test_dale_classes_are_kept_apart():
    """Balance between the classes is no outlier when the signs are known."""
    w, signs = dale_matrix(np.random.default_rng(3), 60, sigma=(0.2, 1.6))
    known = dynamics.outliers(w, signs, n_permutations=100)
    assert not known.is_outlier.any()
    assert known.bulk_radius == dynamics.bulk_radius(w, signs) != dynamics.bulk_radius(w)


def test_shuffles_keep_the_diagonal():
    """Constant off-diagonal entries leave nothing to shuffle: p is 1 although one eigenvalue is large."""
    w = np.full((10, 10), 0.3)
    np.fill_diagonal(w, np.arange(10.0))
    found = dynamics.outliers(w, n_permutations=20)
    assert found.p_values[0] == 1 and not found.is_outlier.any()


def test_signs_of_another_length_are_refused():
    with pytest.raises(CortseqError, match="4 values"):
        dynamics.outliers(np.eye(4), signs=np.ones(3))


def test_structure_is_a_function_of_the_package():
    w = np.random.default_rng(0).normal(size=(40, 40)) / np.sqrt(40)
    found = dynamics.structure(w + 4 / 40)
    assert isinstance(found, dynamics.Structure)
    np.testing.assert_allclose(found.block + found.low_rank + found.residual, w + 4 / 40, atol=1e-12)


@pytest.mark.parametrize(
    ("inputs", "starts", "what"),
    [(np.ones((5, 2)), STARTS, "join trials"), (np.ones((30, 2)), STARTS[[0, 0]], "draw")],
)
def test_what_shows_no_echo_state_is_refused_with_advice(inputs, starts, what):
    with pytest.raises(CortseqError, match=what):
        dynamics.echo_state_test(lambda s, x: torch.tanh(s + x.sum()), inputs, starts)


# -- dimension and Lyapunov exponents -----------------------------------------------------------------


def test_participation_ratio():
    assert dynamics.participation_ratio(np.eye(6)) == pytest.approx(6)
    assert dynamics.participation_ratio(np.diag([4.0, 0, 0])) == pytest.approx(1)
    assert dynamics.participation_ratio(np.diag([2.0, 1.0])) == pytest.approx(9 / 5)
    assert dynamics.participation_ratio(np.cov([[1.0], [2.0], [4.0]], rowvar=False)) == 1  # of one unit


def test_henon_exponents():
    found = dynamics.lyapunov_spectrum(henon, np.zeros(2), n_steps=20_000)
    np.testing.assert_allclose(found.exponents, [0.4192, -1.6232], atol=0.01)
    assert found.exponents.sum() == pytest.approx(np.log(0.3), abs=1e-10)  # log |det J| everywhere
    assert (np.abs(found.exponents - [0.4192, -1.6232]) < 4 * found.standard_errors).all()
    assert (found.standard_errors < 0.01).all()


def test_exponents_of_a_linear_map_are_its_log_moduli():
    rates = np.array([0.1, 0.9, 0.5, 0.2, 0.7])
    flow = dynamics.Flow(lambda s: torch.from_numpy(rates) * s, dim=5)
    every = dynamics.lyapunov_spectrum(flow, np.ones(5), n_steps=200, warm_up=100)
    np.testing.assert_allclose(every.exponents, np.log(np.sort(rates)[::-1]), atol=1e-8)
    leading = dynamics.lyapunov_spectrum(flow, np.ones(5), n_exponents=2, n_steps=200, warm_up=100)
    np.testing.assert_allclose(leading.exponents, np.log([0.9, 0.7]), atol=1e-8)


def test_few_exponents_equal_the_first_of_many():
    w = np.random.default_rng(0).normal(0, 1.5 / np.sqrt(12), (12, 12))
    start = np.random.default_rng(1).normal(size=12)
    many = dynamics.lyapunov_spectrum(tanh_network(w), start, n_steps=300, warm_up=300)
    few = dynamics.lyapunov_spectrum(tanh_network(w), start, n_exponents=2, n_steps=300, warm_up=300)
    np.testing.assert_allclose(few.exponents, many.exponents[:2], atol=1e-3)


def triple(s):
    return torch.relu(3 * s)  # its tangent vectors stay finite on an orbit that does not


@pytest.mark.parametrize(
    "flow",
    [
        lambda s: s**2,
        triple,
        dynamics.Flow(triple, 200, "sampled"),
        dynamics.Flow(triple, 200, push=lambda s, v: (triple(s), 3 * v)),
    ],
    ids=["tangents", "Jacobians", "products", "push"],
)
def test_diverging_trajectory_is_an_error(flow):
    with pytest.raises(CortseqError, match="finite"):
        dynamics.lyapunov_spectrum(flow, np.full(200, 3.0), 2, n_steps=1000, warm_up=0)


@pytest.mark.parametrize("dim", [3, 200])
def test_diverging_trajectories_have_no_leading_exponents(dim):
    with pytest.raises(CortseqError, match="finite"):
        dynamics.leading_exponents(triple, np.ones((2, dim)), 500, 200)


@pytest.mark.parametrize("map", ["open", "closed", "sampled"])
def test_exponents_of_a_fitted_models_maps(any_recording, map):
    """Few exponents (products) and many (Jacobians) by either route; a sampled tangent is F_h alone."""
    from cortseq import models

    fit = models.registry()["rate"](hidden=5, epochs=1).fit(any_recording, range(20), range(20, 30))
    flow = fit.flow(0, map)
    start = 0.1 * np.ones(flow.dim)
    found = dynamics.lyapunov_spectrum(flow, start, n_exponents=2, n_steps=200, warm_up=200)
    assert np.isfinite(found.exponents).all() and found.exponents[0] < 0.5
    if map != "sampled":
        every = dynamics.lyapunov_spectrum(flow, start, n_steps=200, warm_up=200)
        np.testing.assert_allclose(every.exponents[:2], found.exponents, atol=0.02)


# -- the whole ----------------------------------------------------------------------------------------


def test_dissect(tmp_path):
    rng = np.random.default_rng(0)
    matrices = [rank_three(), 0.5 * rank_three()]
    states = np.sign(rng.normal(size=(20, 6, 3))).repeat(4, -1) * rng.uniform(0.2, 1, (20, 6, 12))
    states[3, 4:] = np.nan
    found = analyse.dissect(
        [tanh_network(w) for w in matrices],
        states,
        matrices,
        None,
        bin_width=0.02,
        seed=1,
        n_permutations=39,
        label=np.arange(20.0),
        label_name="angle",
    )
    store.write(found, tmp_path / "d.zarr.zip")
    found = store.read(tmp_path / "d.zarr.zip")
    assert found.attrs["map"] == "closed (mean)" and found.attrs["label_name"] == "angle"
    assert found.stable.sel(member=0).sum() == 8
    # the second network is contracting: 0 alone, padded with NaN
    assert found.attrs["n_points"][1] == 1 and found.stable.sel(member=1, point=0) == 1
    assert found.fixed_points.sel(member=1)[1:].isnull().all()
    np.testing.assert_allclose(found.jacobian_eigenvalues_real.sel(member=1, point=0)[:3], 0.75, atol=1e-9)
    np.testing.assert_allclose(found.weight_eigenvalues_real.sel(member=0)[:3], 1.5, atol=1e-9)
    p = dynamics.outliers(matrices[1], n_permutations=39, seed=2, null="profile").p_values
    np.testing.assert_array_equal(found.outlier_p.sel(member=1), p)
    assert "signs" not in found
    back = found.projected @ found.components + found["mean"]
    inside = found.explained.sum().item()
    residual = ((back - found.states) ** 2).sum() / ((found.states - found["mean"]) ** 2).sum()
    assert residual.item() == pytest.approx(1 - inside, abs=1e-6)
    assert found.projected.isnull().any("component").sum() == 2


def test_dissect_fit_uses_each_members_own_states(counts, tmp_path):
    from cortseq import models

    side = np.where(np.arange(40) % 2, "left", "right")
    counts = counts.assign_coords(side=("trial", side))
    fit = models.registry()["dale"](hidden=6, epochs=2).fit(counts, range(20), range(20, 30), members=2)
    found = analyse.dissect_fit(fit, counts, np.arange(30, 40), "side", n_permutations=19, n_starts=8)
    store.write(found, tmp_path / "d.zarr.zip")
    found = store.read(tmp_path / "d.zarr.zip")
    assert found.attrs["family"] == "dale" and found.label.values.tolist() == side[30:].tolist()
    assert found.sizes["member"] == 2 and found.sizes["dim"] == 6 and found.sizes["trial"] == 10
    assert (np.sign(found.weights).where(found.weights != 0) * found.signs.values >= 0).sum() == 2 * 30
    visited = fit.states(counts, np.arange(30, 40)).values
    for member in range(2):
        flow = fit.flow(member)
        points = found.fixed_points.sel(member=member).dropna("point").values
        flat = visited[member].reshape(-1, 6)
        spread = np.sqrt(((flat - flat.mean(0)) ** 2).sum(1).mean())
        nearest = np.linalg.norm(points[:, None] - flat, axis=-1).min(1) / spread
        assert np.allclose(found.distance.sel(member=member).dropna("point"), nearest)
        for point in torch.from_numpy(points):
            assert torch.linalg.norm(flow(point) - point) < 1e-6 * found.attrs["state_spread"][member]


def test_the_unstable_point_inside_a_cycle_is_found():
    """A rotation that grows near the origin and saturates: starts on the cycle never come to rest."""
    angle = 0.3
    turn = torch.tensor(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float64
    )
    centre = torch.tensor([2.0, -1.0], dtype=torch.float64)

    def flow(s):
        return centre + torch.tanh(1.5 * turn @ (s - centre))

    starts = [s + centre.numpy() for s in np.random.default_rng(0).normal(size=(6, 2))]
    found = dynamics.fixed_points(flow, np.array(starts))
    assert np.allclose(found.states[0], centre, atol=1e-9) and not found.stable[0]


def test_a_flows_own_tangent_gives_the_exponents_of_automatic_differentiation():
    w = torch.from_numpy(np.random.default_rng(5).normal(0, 0.5, (12, 12)))

    def push(h, vectors):
        new = torch.tanh(w @ h)
        return new, (1 - new**2)[:, None] * (w @ vectors)

    own = dynamics.Flow(lambda h: torch.tanh(w @ h), 12, push=push)
    start = np.linspace(-1, 1, 12)
    by_hand = dynamics.lyapunov_spectrum(own, start, n_steps=300, warm_up=50)
    automatic = dynamics.lyapunov_spectrum(own.function, start, n_steps=300, warm_up=50)
    np.testing.assert_allclose(by_hand.exponents, automatic.exponents, atol=1e-9)
