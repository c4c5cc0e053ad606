"""Expectation maximisation of a linear dynamical system: exact for signals, Laplace's for counts.

The E-step gives the latents of whole trials; the M-step regresses each latent on the one before it and the
recording on the latents (Shumway & Stoffer 1982, J Time Ser Anal 3:253; Ghahramani & Hinton 1996, Toronto
CRG-TR-96-2; for counts Smith & Brown 2003, Neural Comput 15:965; Macke et al. 2011, NIPS 24:1350).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.data import Data, Params
from cortseq.models.hmm import squarem
from cortseq.models.learning import CURVES, Run
from cortseq.models.state_space import latent
from cortseq.models.state_space.latent import Belief, Posterior
from cortseq.models.state_space.readout import Readout
from cortseq.models.work import Size, Work

if TYPE_CHECKING:
    from cortseq.models.state_space.lds import Lds

_SMOOTH = 1.5  # bins, of the Gaussian by which the start smooths
NOISE, START = 0.1, 1.0  # variances about which the priors of Q and P_0 are, where latents have variance 1
_UNSURE = 0.1  # variance of the latents that the start takes for known but for this
# nats per event: an iteration that changes the training trials less is the last. The objective of counts
# is an approximation, which may fall a little while EM still climbs.
TOLERANCE = 1e-6
WORTH = 1e-4  # nats per event of the validation trials that are worth `patience` iterations


def scores(readout: Readout, data: Data, n_latents: int) -> np.ndarray:
    """Return a first guess of the latents, (trial, time, latent), with mean 0 and variance 1.

    Principal components of the smoothed recording; where it has fewer than twice as many features as there
    are latents, of so many bins before stacked (Takens' delays), and noise where even those do not suffice.
    """
    from scipy.ndimage import gaussian_filter1d

    total = gaussian_filter1d(readout.encoded(data), _SMOOTH, axis=1, mode="constant")
    weight = gaussian_filter1d(data.valid.astype(float), _SMOOTH, axis=1, mode="constant")[..., None]
    y = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)  # missing bins do not count
    stacked = [y]
    while len(stacked) * y.shape[2] < 2 * n_latents and len(stacked) < y.shape[1]:
        delayed = np.zeros_like(y)
        delayed[:, len(stacked) :] = y[:, : -len(stacked)]
        stacked.append(delayed)
    x = np.concatenate(stacked, -1)
    x = x - x[data.valid].mean(0)
    values, vectors = np.linalg.eigh(np.cov(x[data.valid].T, bias=True).reshape(x.shape[2], -1))
    kept = np.flatnonzero(values > 1e-9 * values[-1])[::-1][:n_latents]
    z = x @ (vectors[:, kept] / np.sqrt(values[kept]))
    lacking = n_latents - len(kept)
    noise = np.random.default_rng(0).normal(size=(*z.shape[:2], lacking))
    return np.concatenate([z, noise], -1)


def start(readout: Readout, train: Data, n_latents: int) -> Params:
    """Return start parameters: one M-step from the latents of `scores`."""
    z = scores(readout, train, n_latents)
    spread = np.tile(_UNSURE * np.eye(n_latents), (1, z.shape[1], 1, 1))
    belief = Belief(z, spread, np.zeros(len(z), int))
    posterior = Posterior(belief, np.zeros((1, z.shape[1] - 1, n_latents, n_latents)), 0.0)
    null = readout.begin(train)
    null["loading"] = np.zeros((len(null["level"]), n_latents))
    return maximise(readout, null, [(train, posterior)])


def maximise(readout: Readout, p: Params, parts: list[tuple[Data, Posterior]]) -> Params:
    """Return parameters of greater expected log posterior density: the M-step; arguments as of `Readout`."""
    both = [latent.sums(posterior, data) for data, posterior in parts]
    moves, starts = (sum_of([pair[k] for pair in both]) for k in (0, 1))
    steps = moves.regressed(readout.prior, NOISE)
    first = starts.regressed(readout.prior, START)
    return latent.law(*steps, *first) | readout.maximise(p, parts)


def sum_of(parts: list[latent.Sums]) -> latent.Sums:
    """Return sums over parts of the trials."""
    return latent.Sums(*(sum(getattr(s, k) for s in parts) for k in ("xx", "xz", "zz", "n")))


def log_prior(readout: Readout, p: Params) -> float:
    """Return the log prior density but for a constant; EM climbs its sum with the log-likelihood."""
    theta, noise, theta0, noise0 = latent.regressions(p)
    law = latent.log_prior_regression(theta, noise, readout.prior, NOISE)
    begun = latent.log_prior_regression(theta0, noise0, readout.prior, START)
    return law + begun + readout.log_prior(p)


class Path:
    """E-steps of training trials, each of which begins its search where the last one ended.

    Parameters
    ----------
    readout : of the recording.
    train : training trials.
    n_latents : of the system.
    """

    def __init__(self, readout: Readout, train: Data, n_latents: int):
        self.readout, self.parts = readout, readout.parts(train, n_latents)
        self.means: list[np.ndarray | None] = [None] * len(self.parts)

    def expected(self, p: Params) -> Expected:
        """Return the latents of all trials under `p`."""
        found = [self.readout.posterior(p, d, m) for d, m in zip(self.parts, self.means, strict=True)]
        self.means = [posterior.belief.mean for posterior in found]
        log_prob = sum(posterior.log_prob for posterior in found)
        return Expected(
            list(zip(self.parts, found, strict=True)), log_prob, log_prob + log_prior(self.readout, p)
        )


@dataclass(frozen=True)
class Expected:
    """What an E-step found.

    Attributes
    ----------
    parts : training trials with their latents.
    log_prob : log p(y) of them, nats; of counts its Laplace approximation.
    objective : log p(y) and the log prior together, which EM climbs.
    """

    parts: list[tuple[Data, Posterior]]
    log_prob: float
    objective: float


def climb(
    model: Lds, readout: Readout, sets: tuple[Data, Data], run: Run
) -> tuple[Params, pd.DataFrame, dict[str, Any]]:
    """Run EM; return the iterate that is best on validation, the curve, and how the climb ended.

    Parameters
    ----------
    sets : training and validation trials.
    """
    n_events = [max(1, int(data.n_events().sum())) for data in sets]
    p, path = start(readout, sets[0], model.latents), Path(readout, sets[0], model.latents)
    rows, best, before, gain = [], (-np.inf, 0, p), -np.inf, np.inf
    passed = (-np.inf, 0)  # the last score that was worth its iterations
    for epoch in range(1, model.iterations + 1):
        e = path.expected(p)
        score = float(np.nansum(validated(readout, p, sets[1])))
        rows.append((0, epoch, -e.log_prob / n_events[0], -score / n_events[1], np.nan, 0.0, False))
        said = f"{model.family} iteration {epoch}: validation {score:.1f} nats"
        run.progress(said, epoch / model.iterations)
        if score > best[0]:
            best = score, epoch, p
        if score > passed[0] + WORTH * n_events[1]:
            passed = score, epoch
        gain, before = (e.objective - before) / n_events[0], e.objective
        if abs(gain) < TOLERANCE or epoch - passed[1] >= model.patience:
            break
        p = ascend(readout, p, e, path)
    curve = pd.DataFrame(rows, columns=CURVES)
    curve["best"] = curve["epoch"] == best[1]
    ending = (
        "converged" if abs(gain) < TOLERANCE else "validation" if epoch < model.iterations else "iterations"
    )
    end = {"iterations": [epoch], "best_iteration": [best[1]], "ended_by": [ending]}
    end |= {"converged": [ending != "iterations"]}
    return canonical(readout, best[2], sets[0]), curve, end


def ascend(readout: Readout, p: Params, e: Expected, path: Path) -> Params:
    """Take two steps of EM, leap along them and take a third; without the leap where it is no ascent."""
    once = step(readout, p, e, path)
    middle = path.expected(once)
    twice = step(readout, once, middle, path)
    far = twice | _bound(squarem.leap(*(_free(each) for each in (p, once, twice))))
    there = path.expected(far)
    return step(readout, far, there, path) if there.objective >= middle.objective else twice


def step(readout: Readout, p: Params, e: Expected, path: Path) -> Params:
    """Return the parameters of the M-step, in the basis where the latents have mean 0 and covariance 1.

    The basis changes nothing that can be observed. It gives the priors their meaning, and keeps a direction
    in which EM only drifts from the leaps.
    """
    mean, covariance = latent.pooled(e.parts)
    change = of_eigenvalues(lambda v: v**-0.5, covariance)
    path.means = [None if z is None else (z - mean) @ change for z in path.means]
    return latent.in_basis(maximise(readout, p, e.parts), change, mean)


_MATRICES, _POSITIVE = ("noise", "start_noise"), ("sd",)  # whose logarithms have no bounds


def _free(p: Params) -> Params:
    """Return parameters without bounds, in which leaps are taken; dispersions have some and stay."""
    logs = {f"log {k}": of_eigenvalues(np.log, p[k]) for k in _MATRICES}
    logs |= {f"log {k}": np.log(p[k]) for k in _POSITIVE if k in p}
    plain = set(p) - {*_MATRICES, *_POSITIVE, "dispersion"}
    return {f"plain {k}": p[k] for k in sorted(plain)} | logs


def _bound(free: Params) -> Params:
    """Return the parameters that `_free` made free."""
    p = {k.removeprefix("plain "): v for k, v in free.items() if k.startswith("plain ")}
    p |= {k: of_eigenvalues(np.exp, free[f"log {k}"]) for k in _MATRICES}
    return p | {k: np.exp(free[f"log {k}"]) for k in _POSITIVE if f"log {k}" in free}


def of_eigenvalues(function: Any, matrix: np.ndarray) -> np.ndarray:
    """Return a function of a symmetric matrix (latent, latent), by its eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * function(values)) @ vectors.T)


def validated(readout: Readout, p: Params, data: Data) -> np.ndarray:
    """Return log p(y_t | y_<t), (trial, time), NaN in missing bins."""
    return data.masked(readout.log_prob(readout.common | p, data, readout.filtered(p, data).predicted))


def canonical(readout: Readout, p: Params, train: Data) -> Params:
    """Return the same model in the basis where latents have covariance 1 and loadings are orthogonal.

    Latents are ordered by the variance of eta that they explain; the largest loading of each is positive.
    """
    parts = readout.parts(train, len(p["offset"]))
    mean, covariance = latent.pooled([(part, readout.posterior(p, part)) for part in parts])
    low = np.linalg.cholesky(covariance)
    _, _, right = np.linalg.svd(p["loading"] @ low, full_matrices=True)
    change = right @ np.linalg.inv(low)
    loading = p["loading"] @ np.linalg.inv(change)
    largest = loading[np.abs(loading).argmax(0), np.arange(len(change))]
    return latent.in_basis(p, np.where(largest < 0, -1.0, 1.0)[:, None] * change, mean)


def arithmetic(latents: int, size: Size) -> Work:
    """Return how much arithmetic an iteration takes over the training and validation bins (`Model.work`)."""
    bins = float(size.learned + size.valid * size.bins)
    return {
        "fit": 1.0,
        "bin": bins,
        "latent": bins * latents**3,
        "emission": bins * size.features * latents**2,
    }
