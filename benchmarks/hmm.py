"""Thirty iterations of expectation maximisation of a Poisson HMM beside hmmlearn and dynamax.

Ten states, 100 trials of 140 bins of 100 units, no priors, all from the same start; what is compared is the
log-likelihood of the data after the last iteration.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.harness import Case, Peer, installed, target
from cortseq.data import Data

N_STATES, N_TRIALS, N_TIME, N_UNITS, ITERATIONS = 10, 100, 140, 100, 30
TOLERANCE = 1e-9  # relative; hmmlearn and ours are in double precision
SINGLE = 1e-4  # dynamax: single precision


def cases() -> Iterator[Case]:
    yield case(*problem())


def case(start: dict, data: Data) -> Case:
    y = data.y
    n_states, n_units = start["rate"].shape

    def ours():
        from cortseq.models.hmm import em, hmm

        model = hmm.Hmm.model_construct(states=n_states)
        emission = hmm.states_of(data, 0.0)
        emission.overall = {"rate": np.zeros(n_units)}
        blocks, p = emission.blocks(data, n_states), start
        for _ in range(ITERATIONS):
            p = model.maximise(emission, em.expected(emission, p, blocks))
        return em.log_likelihood(emission, p, blocks)

    peers = [
        Peer("hmmlearn", _hmmlearn(start, y), disagreement, TOLERANCE, target(20.0)),
        Peer("dynamax", _dynamax(start, y), disagreement, SINGLE),
    ]
    return Case(f"Poisson HMM of {n_states} states, {ITERATIONS} iterations", ours, peers)


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


def _dynamax(start: dict, y: np.ndarray):
    if not installed("dynamax"):
        return None
    import jax.numpy as jnp
    from dynamax.hidden_markov_model import PoissonHMM

    n_states, n_units = start["rate"].shape
    emissions = jnp.asarray(y, jnp.float32)

    def run():
        model = PoissonHMM(
            n_states,
            n_units,
            initial_probs_concentration=1.0,
            transition_matrix_concentration=1.0,
            emission_prior_concentration=1.0,
            emission_prior_rate=0.0,
        )
        given = {
            "initial_probs": jnp.asarray(start["initial"]),
            "transition_matrix": jnp.asarray(start["transition"]),
            "emission_rates": jnp.asarray(start["rate"]),
        }
        params, properties = model.initialize(**given)
        params, _ = model.fit_em(params, properties, emissions, num_iters=ITERATIONS, verbose=False)
        return float(sum(model.marginal_log_prob(params, trial) for trial in emissions))

    return run
