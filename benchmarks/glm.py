"""A coupled Poisson GLM of a population under a ridge, beside scikit-learn, glum and nemos.

Every unit's rate is regressed on the filtered past of all units, 50 trials of 1,000 bins, with one penalty
and hence one optimum:

    minimise  (1 / n) sum_t (exp(eta_t) - y_t eta_t) + 0.5 penalty |w|^2,   eta_t = b + w x_t,   b free

All start from zero weights. scikit-learn and glum fit one unit after another, so they are given `THEIRS` of
the units and their time counts for all. Ours and nemos fit all units at once; with a ridge nemos uses no
second derivatives, so it is given a tenth of the bins, single precision (its default) and `NEMOS_STEPS` steps
of L-BFGS, after which it has not converged: the column `equal to` says how far its weights are from the
optimum.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.harness import Case, Peer, installed, target

N_UNITS, N_FILTERS, HISTORY, N_TRIALS, N_TIME = 30, 6, 50, 50, 1000
PENALTY = 1e-3
THEIRS = 3  # units that are fitted by the peers that fit them one by one
OURS_STOP = 1e-4  # nats of the whole sum that a unit may still gain
NEMOS_STEPS, NEMOS_BINS = 200, 5_000
TOLERANCE = 1e-3  # of weights and intercepts, relative to the largest of their unit
UNFINISHED = 0.1  # of the same, where a peer stops at its largest number of steps
ASKED = {"scikit-learn, Newton": 10.0, "glum, IRLS": 10.0}

Fitted = tuple[np.ndarray, np.ndarray]  # weights (unit, feature), intercepts (unit,)


def cases() -> Iterator[Case]:
    x, y = problem()
    yield case(x, y)
    yield case_at_once(x[:NEMOS_BINS], y[:NEMOS_BINS])


def case(x: np.ndarray, y: np.ndarray) -> Case:
    """Ours and the peers that fit one unit at a time; features x (bin, feature), counts y (bin, unit)."""
    n_units = y.shape[1]
    some = min(THEIRS, n_units)
    counts = np.ascontiguousarray(y.T[:some], float)
    alone = {
        "scikit-learn, Newton": _scikit_learn(x, counts),
        "glum, IRLS": _glum(x, counts),
    }
    peers = [
        Peer(name, run, disagreement, TOLERANCE, target(ASKED[name]), times=n_units // some)
        for name, run in alone.items()
    ]
    return Case(_name(x, y), lambda: ours(x, y), peers)


def case_at_once(x: np.ndarray, y: np.ndarray) -> Case:
    """Ours and nemos, which fits all units at once."""
    nemos = Peer(f"nemos, {NEMOS_STEPS} steps", _nemos(x, y), disagreement, UNFINISHED)
    return Case(_name(x, y), lambda: ours(x, y), [nemos])


def ours(x: np.ndarray, y: np.ndarray) -> Fitted:
    """Return weights and intercepts from zero weights on, at one penalty."""
    from cortseq.models import regression
    from cortseq.observations.poisson import Poisson

    counts = np.ascontiguousarray(y.T, float)
    return next(regression.path(Poisson(len(counts)).loss, x, counts, [PENALTY], tolerance=OURS_STOP))


def _name(x: np.ndarray, y: np.ndarray) -> str:
    return f"coupled Poisson GLM, {len(x)} bins x {y.shape[1]} units"


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Features (bin, feature) and counts (bin, unit) of a population that excites and inhibits itself."""
    from cortseq.data import Data
    from cortseq.models.glm import Glm

    model = Glm(history=HISTORY, n_filters=N_FILTERS, past="counts")
    rng = np.random.default_rng(0)
    coupling = 0.15 * rng.normal(size=(N_UNITS, N_UNITS)) * (rng.random((N_UNITS, N_UNITS)) < 0.2)
    coupling -= 0.3 * np.eye(N_UNITS)
    rest = np.log(rng.uniform(0.05, 0.3, N_UNITS))
    y, trace = np.zeros((N_TRIALS, N_TIME, N_UNITS), int), np.zeros((N_TRIALS, N_UNITS))
    for t in range(N_TIME):
        y[:, t] = rng.poisson(np.exp(np.clip(rest + trace @ coupling.T, -7, 1)))
        trace = 0.8 * trace + y[:, t]
    data = Data("counts", y, np.ones(y.shape[:2], bool), None, 0.02, N_UNITS, "poisson")
    past = model.design({}, data)[..., : model.basis().shape[1] * N_UNITS]
    return np.ascontiguousarray(past.reshape(-1, past.shape[-1])), y.reshape(-1, N_UNITS)


def disagreement(ours: Fitted, theirs: Fitted) -> float:
    """Largest difference of weights and intercepts of the units that the peer fitted, relative; see above."""
    n = len(theirs[0])
    mine, other = (np.column_stack([weight[:n], bias[:n]]) for weight, bias in (ours, theirs))
    return float((np.abs(mine - other).max(1) / np.abs(mine).max(1)).max())


def objective(x: np.ndarray, y: np.ndarray, fitted: Fitted) -> np.ndarray:
    """Return what is minimised, (unit,), for features (bin, feature) and counts (bin, unit)."""
    weight, bias = fitted
    eta = x @ weight.T + bias
    return (np.exp(eta) - y[:, : len(weight)] * eta).mean(0) + 0.5 * PENALTY * (weight**2).sum(1)


def _one_by_one(regression: Callable[[], Any], x: np.ndarray, counts: np.ndarray) -> Callable[[], Fitted]:
    def run() -> Fitted:
        with _quiet():
            fits = [regression().fit(x, unit) for unit in counts]
        return np.stack([fit.coef_ for fit in fits]), np.array([fit.intercept_ for fit in fits])

    return run


def _scikit_learn(x: np.ndarray, counts: np.ndarray) -> Callable[[], Fitted]:
    from sklearn.linear_model import PoissonRegressor

    return _one_by_one(lambda: PoissonRegressor(alpha=PENALTY, solver="newton-cholesky"), x, counts)


def _glum(x: np.ndarray, counts: np.ndarray) -> Callable[[], Fitted] | None:
    if not installed("glum"):
        return None
    from glum import GeneralizedLinearRegressor

    settings = {"family": "poisson", "alpha": PENALTY, "l1_ratio": 0.0, "solver": "irls-ls"}
    return _one_by_one(lambda: GeneralizedLinearRegressor(**settings), x, counts)


def _nemos(x: np.ndarray, y: np.ndarray) -> Callable[[], Fitted] | None:
    if not installed("nemos"):
        return None
    with _quiet():
        from nemos.glm import PopulationGLM
    features = x.astype(np.float32)

    def run() -> Fitted:
        model = PopulationGLM(
            observation_model="Poisson",
            regularizer="Ridge",
            regularizer_strength=PENALTY,
            solver_name="LBFGS",
            solver_kwargs={"maxiter": NEMOS_STEPS},
        )
        with _quiet():
            model.fit(features, y)
        return np.asarray(model.coef_, float).T, np.asarray(model.intercept_, float)

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings: of other people's modules, and that the steps were used up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
