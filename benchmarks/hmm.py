"""Thirty iterations of expectation maximisation of a Poisson HMM beside hmmlearn and dynamax.

Ten states, 100 trials of 140 bins of 100 units, all from the same start; what is compared is the
log-likelihood of the data after the last iteration. Beside hmmlearn there are no priors. dynamax sets its
parameters to modes of Dirichlet and Gamma distributions, which are NaN where an expected count is 0 (in
single precision: below 6e-8, the rounding of the 1 that it is added to); without priors a transition is that
rare after a few iterations. Beside dynamax both therefore have the same priors: 1 / states of a pseudo-count
for each entry of the initial distribution and of the transitions (a concentration of 1.1, dynamax's default),
and one bin's worth of the overall rates. Both count in single precision, as ours does when it learns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.harness import Case, Peer, installed, target
from cortseq.data import Data

N_STATES, N_TRIALS, N_TIME, N_UNITS, ITERATIONS = 10, 100, 140, 100, 30
TOLERANCE = 1e-9  # relative; hmmlearn and ours are in double precision
SINGLE = 1e-4  # dynamax: single precision
PRIOR = 1.0  # bins' worth of the overall rates in a state


def cases() -> Iterator[Case]:
    start, data = problem()
    yield case(start, data)
    yield case_with_priors(start, data)


def case(start: dict, data: Data) -> Case:
    """Greatest likelihood."""
    peer = Peer("hmmlearn", _hmmlearn(start, data.y), disagreement, TOLERANCE, target(20.0))
    return Case(_name(start), lambda: ours(start, data, 0.0), [peer])


def case_with_priors(start: dict, data: Data) -> Case:
    """Greatest posterior; `fit_em` of dynamax compiles at every call, so it is also compiled beforehand."""
    peers = [
        Peer("dynamax, compiled before", _dynamax(start, data.y, PRIOR, compiled=True), disagreement, SINGLE),
        Peer("dynamax", _dynamax(start, data.y, PRIOR), disagreement, SINGLE),
    ]
    return Case(f"{_name(start)}, prior", lambda: ours(start, data, PRIOR, np.float32), peers)


def _name(start: dict) -> str:
    return f"Poisson HMM of {len(start['initial'])} states, {ITERATIONS} iterations"


def ours(start: dict, data: Data, prior: float, precision: type = float) -> float:
    """Return the log-likelihood after the last iteration; `prior`: bins' worth of the overall rates."""
    from cortseq.models.hmm import em, hmm

    n_states = len(start["initial"])
    model = hmm.Hmm.model_construct(states=n_states)
    emission = hmm.states_of(data, prior)
    emission.overall = {"rate": data.y.mean((0, 1))}
    blocks, p = emission.blocks(data, n_states, precision), start
    for _ in range(ITERATIONS):
        p = model.maximise(emission, em.expected(emission, p, blocks, precision))
    return em.log_likelihood(emission, p, blocks, precision)


def problem():
    """A start that is not the truth, and counts of a sticky chain."""
    from cortseq.sources.synthetic import sample_chain

    rng = np.random.default_rng(0)
    even = np.full(N_STATES, 1 / N_STATES)
    transition = 0.8 * np.eye(N_STATES) + 0.2 * rng.dirichlet(np.ones(N_STATES), N_STATES)
    rates = rng.gamma(1.0, 0.5, (N_STATES, N_UNITS)) + 0.01
    y = rng.poisson(rates[sample_chain(rng, even, transition, N_TRIALS, N_TIME)])
    start = {
        "initial": even,
        "transition": rng.dirichlet(np.ones(N_STATES), N_STATES),
        "rate": y.mean((0, 1)) * rng.gamma(10, 0.1, (N_STATES, N_UNITS)),
    }
    return start, Data("counts", y, np.ones(y.shape[:2], bool), None, 0.02, N_UNITS, "poisson")


def disagreement(ours: float, theirs: float) -> float:
    """Relative difference of log-likelihoods."""
    return abs(ours - theirs) / abs(ours)


def _hmmlearn(start: dict, y: np.ndarray):
    if not installed("hmmlearn"):
        return None
    from hmmlearn.hmm import PoissonHMM

    rows, lengths = y.reshape(-1, y.shape[2]), [y.shape[1]] * len(y)

    def run():
        settings = {"n_iter": ITERATIONS, "tol": -np.inf, "init_params": ""}
        model = PoissonHMM(len(start["initial"]), lambdas_prior=0, lambdas_weight=0, **settings)
        model.startprob_, model.transmat_ = start["initial"], start["transition"]
        model.lambdas_ = start["rate"].copy()
        return model.fit(rows, lengths).score(rows, lengths)

    return run


def _dynamax(start: dict, y: np.ndarray, prior: float, compiled: bool = False):
    if not installed("dynamax"):
        return None
    import jax
    import jax.numpy as jnp
    from dynamax.hidden_markov_model import PoissonHMM

    n_states, n_units = start["rate"].shape
    model = PoissonHMM(
        n_states,
        n_units,
        initial_probs_concentration=1 + min(1.0, prior) / n_states,
        transition_matrix_concentration=1 + min(1.0, prior) / n_states,
        emission_prior_concentration=jnp.asarray(1 + prior * y.mean((0, 1)), jnp.float32),
        emission_prior_rate=prior,
    )
    params, properties = model.initialize(
        initial_probs=jnp.asarray(start["initial"], jnp.float32),
        transition_matrix=jnp.asarray(start["transition"], jnp.float32),
        emission_rates=jnp.asarray(start["rate"], jnp.float32),
    )
    emissions = jnp.asarray(y, jnp.float32)

    def learn(params, emissions):
        learned, _ = model.fit_em(params, properties, emissions, num_iters=ITERATIONS, verbose=False)
        return learned

    score = jax.jit(jax.vmap(model.marginal_log_prob, in_axes=(None, 0)))
    learn_now = jax.jit(learn) if compiled else learn

    def run() -> float:
        return float(np.asarray(score(learn_now(params, emissions), emissions), float).sum())

    return run
