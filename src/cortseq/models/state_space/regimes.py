"""Learning of a switching linear dynamical system: from a linear one to states, then both together.

A linear system is learned first. Its latents are cut into states by a hidden Markov model of linear
regressions, from several random starts; then states, latents and read-out are learned together by the
E-steps and M-steps of `variational`. The iterate with the best validation score is kept. The linear system,
as one whose states are all alike, is the first of them: learning never ends below it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.data import Data, Params
from cortseq.models.learning import CURVES, Run
from cortseq.models.state_space import em, latent, particles, switching, variational
from cortseq.models.state_space.latent import Posterior
from cortseq.models.state_space.readout import Readout
from cortseq.models.state_space.variational import Chain, Hidden
from cortseq.models.work import Size, Work

if TYPE_CHECKING:
    from cortseq.models.state_space.slds import Slds

_STARTS = 4  # random cuts of the latents
_ROUNDS = 5, 20  # iterations of each, and so many more
_PASSES = 30  # at most, until states and latents of new trials agree
_BINS = 20_000  # that random cuts are tried on
_FEW, _FEW_POINTS = 8, 64  # particles by which iterates are compared; of recurrent ones
FEW_DRAWS = 64  # by which iterates are compared


@dataclass(frozen=True)
class Climbed:
    """What one member learned.

    Attributes
    ----------
    p : parameters of the best iterate.
    curve : losses of every iterate (`CURVES`).
    card : how the climb ended.
    """

    p: Params
    curve: pd.DataFrame
    card: dict[str, Any]


def climb(
    model: Slds, readout: Readout, linear: Params, sets: tuple[Data, Data], run: Run, member: int
) -> Climbed:
    """Learn states from a linear system.

    Parameters
    ----------
    linear : parameters of the linear system.
    sets : training and validation trials.
    member : which random start.
    """
    n_events = [max(1, int(data.n_events().sum())) for data in sets]
    p = switching.of_linear(linear, model.states, model.recurrent)
    best, rows = (score(readout, p, sets[1]), 1, p), []
    rows.append((member, 1, np.nan, -best[0] / n_events[1], np.nan, 0.0, False))
    p, parts = start(model, readout, linear, sets, np.random.default_rng([run.seed, member]))
    before, passed, ending, still = -np.inf, (best[0], 1), "iterations", 0
    for epoch in range(2, model.iterations + 2):
        parts = [expected(readout, p, part) for part in parts]
        bound, found = sum(part.bound for part in parts), score(readout, p, sets[1])
        rows.append((member, epoch, -bound / n_events[0], -found / n_events[1], np.nan, 0.0, False))
        run.progress(f"{model.family} member {member} iteration {epoch}: validation {found:.1f} nats")
        best = max(best, (found, epoch, p), key=lambda each: each[0])
        if found > passed[0] + em.WORTH * n_events[1]:
            passed = found, epoch
        objective = bound + log_prior(readout, p)
        still = still + 1 if abs(objective - before) / n_events[0] < em.TOLERANCE else 0
        if still > 1:  # an approximate bound may turn once
            ending = "converged"
            break
        if epoch - max(passed[1], 2) >= model.patience:
            ending = "validation"
            break
        before = objective
        p, parts = step(readout, p, parts)
    card = {"iterations": epoch, "best_iteration": best[1], "ended_by": ending}
    return Climbed(best[2], pd.DataFrame(rows, columns=CURVES), card | {"converged": ending != "iterations"})


def score(readout: Readout, p: Params, data: Data) -> float:
    """Return log p(y) of trials by a filter with few particles and draws, nats."""
    n = _FEW_POINTS if switching.is_recurrent(p) else max(_FEW, len(p["offset"]))
    given = p | readout.common | {"particles": np.array(n)}
    return particles.log_prob(readout, given, data, drawn=not readout.is_gaussian)


def expected(readout: Readout, p: Params, part: Hidden) -> Hidden:
    """Return the E-step of some trials, which begins where the last one ended."""
    z = part.posterior.belief.mean
    return variational.expected(readout, p, part.data, part.chain.gamma, z)


def step(readout: Readout, p: Params, parts: list[Hidden]) -> tuple[Params, list[Hidden]]:
    """Return the parameters of the M-step in the basis of `em.step`: latents of mean 0 and covariance 1.

    The second are the trials with their likeliest paths in that basis.
    """
    mean, covariance = latent.pooled([(part.data, part.posterior) for part in parts])
    change = em.of_eigenvalues(lambda v: v**-0.5, covariance)
    moved = [replace(part, posterior=_moved(part.posterior, change, mean)) for part in parts]
    return switching.in_basis(maximise(readout, p, parts), change, mean), moved


def _moved(posterior: Posterior, change: np.ndarray, origin: np.ndarray) -> Posterior:
    z = (posterior.belief.mean - origin) @ change.T
    return replace(posterior, belief=replace(posterior.belief, mean=z))


def maximise(readout: Readout, p: Params, parts: list[Hidden]) -> Params:
    """Return parameters of greater expected log posterior density: the M-step."""
    seen = readout.maximise(p, [(part.data, part.posterior) for part in parts])
    return p | moves(readout.prior, p, parts) | seen


def moves(prior: float, p: Params, parts: list[Hidden]) -> Params:
    """Return the laws of states and of latents: the M-step without the read-out."""
    both = [variational.sums(part) for part in parts]
    first = em.sum_of([begun for _, begun in both]).regressed(prior, em.START)
    laws = []
    for k in range(len(p["offset"])):
        steps = em.sum_of([found[k] for found, _ in both]).regressed(prior, em.NOISE)
        laws.append(latent.law(*steps, *first))
    of_states = {name: np.stack([q[name] for q in laws]) for name in switching.OF_STATE}
    return laws[0] | of_states | variational.chain(p, parts)


def log_prior(readout: Readout, p: Params) -> float:
    """Return the log prior density but for a constant."""
    total = readout.log_prior(p)
    for k in range(len(p["offset"])):
        theta, noise, theta0, noise0 = latent.regressions(switching.of_state(p, k))
        total += latent.log_prior_regression(theta, noise, readout.prior, em.NOISE)
    total += latent.log_prior_regression(theta0, noise0, readout.prior, em.START)
    return total + float(np.log(p["initial"]).mean() + np.log(p["switch"]).mean(1).sum())


# -- the start ---------------------------------------------------------------------------------------


def start(
    model: Slds, readout: Readout, linear: Params, sets: tuple[Data, Data], rng: np.random.Generator
) -> tuple[Params, list[Hidden]]:
    """Return the parameters of the best of a few random starts, and the training trials with their states.

    The latents are those of the linear system and stay: states are learned as a hidden Markov model of linear
    regressions between them. Latents that one law has smoothed look as if there were one, so that with many
    rounds some states vanish: a cut is tried after few rounds and after more. The best is that with the best
    validation score.
    """
    numbers = sets[0].valid.shape[1] * model.latents**2
    parts, few = (
        [(data, known(readout, linear, data)) for data in switching.parts(trials, numbers)]
        for trials in (sets[0], _few(sets[0]))
    )
    best: tuple[float, Params] = (-np.inf, {})
    for _ in range(_STARTS):
        p = switching.of_linear(linear, model.states, model.recurrent)
        hidden = [Hidden(d, q, Chain(*_random(model.states, d, q, rng), 0.0)) for d, q in few]
        for more in _ROUNDS:
            for _ in range(more):
                p = p | moves(readout.prior, p, hidden)
                hidden = [replace(h, chain=variational.states(p, h.data, h.posterior)) for h in hidden]
            best = max(best, (score(readout, p, sets[1]), p), key=lambda each: each[0])
    return best[1], [Hidden(d, q, variational.states(best[1], d, q)) for d, q in parts]


def _few(data: Data) -> Data:
    """Return trials from all over the recording with not many more than _BINS bins."""
    return data.at(slice(None, None, max(1, data.valid.size // _BINS)))


def known(readout: Readout, linear: Params, data: Data) -> Posterior:
    """Return the latents of a linear system, each trial with covariances of its own."""
    return variational.known(readout.posterior(linear, data))


def _random(
    n: int, data: Data, posterior: Posterior, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of states (move, trial, state) and expected moves from k-means of steps.

    A step is a latent and the change to the next one, smoothed over bins.
    """
    from scipy.ndimage import gaussian_filter1d
    from sklearn.cluster import KMeans

    z = posterior.belief.mean
    steps = np.concatenate([z[:, :-1], np.diff(z, axis=1)], -1)
    inside = np.arange(1, z.shape[1]) < data.lengths[:, None]
    turned = steps @ rng.normal(size=(steps.shape[2], steps.shape[2]))
    label = np.zeros(inside.shape, int)
    x = gaussian_filter1d(turned, 1.5, axis=1)
    if inside.sum() >= n:
        found = KMeans(n, n_init=1, random_state=int(rng.integers(1 << 31)), max_iter=30).fit(x[inside])
        label[inside] = found.labels_
    gamma = (np.eye(n)[label] * inside[..., None]).swapaxes(0, 1)
    pairs = np.einsum("tri,trj->ij", gamma[:-1], gamma[1:])
    return np.ascontiguousarray(gamma), pairs


def arithmetic(model: Slds, size: Size) -> Work:
    """Return how much arithmetic an iteration takes over the training and validation bins (`Model.work`)."""
    bins = float(size.members * (size.learned + size.valid * size.bins))
    n = model.latents
    return {
        "fit": float(size.members),
        "bin": bins,
        "latent": bins * model.states * n**3,
        "emission": bins * model.states * size.features * n**2,
    }


def segmented(readout: Readout, p: Params, data: Data, out: np.ndarray) -> None:
    """Write p(s_t = k | the whole trial) to `out` (trial, time, state); bin 0 has no state."""
    n, first = p["offset"].shape[0], 0
    for part in switching.parts(data, data.valid.shape[1] * p["offset"].shape[1] ** 2):
        inside = (np.arange(1, part.valid.shape[1])[:, None] < part.lengths)[..., None]
        gamma, before = inside * np.full(n, 1 / n), -np.inf
        z = np.zeros((len(part.y), part.valid.shape[1], p["offset"].shape[1]))
        for _ in range(_PASSES):
            found = variational.expected(readout, p, part, gamma, z)
            gamma, z = found.chain.gamma, found.posterior.belief.mean
            if found.bound - before < 1e-3 * len(part.y):
                break
            before = found.bound
        rows = slice(first, first + len(part.y))
        out[rows, 1:] = np.where(inside, gamma, np.nan).swapaxes(0, 1)
        first = rows.stop
