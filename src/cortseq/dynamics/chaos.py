"""When a map may be called chaotic, and how far apart two runs of a sampled map get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import lazy
from cortseq.dynamics.intervals import half_width
from cortseq.dynamics.jacobians import SMALL, chunk_size, jacobian_tensor, push_each
from cortseq.errors import CortseqError
from cortseq.flow import Step, as_states, batched, checked, map_of, push_of
from cortseq.notebook import Drawn

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

FEWEST_STARTS = 10
FEWEST_SEEDS = 5
_FEWEST_CALM = 3  # seeds from which each may be said not to be chaotic, by its own starts
_GROWS = 1.25  # farthest of one quarter of the run over that of the quarter before, in an orbit without bound
_PERSISTS = 0.5  # of the growth of the first half is seen in the second where an exponent is one

Push = Callable[["torch.Tensor"], "torch.Tensor"]


def leading_exponents(
    flow: Step, states: ArrayLike, n_steps: int = 1000, warm_up: int = 500, seed: int = 0
) -> np.ndarray:
    """Return the largest Lyapunov exponent from each of many states at once, nats per step, (n,).

    Parameters
    ----------
    flow : torch float64 (d,) -> (d,).
    states : (n, d).
    seed : of the tangent vectors.

    Raises
    ------
    CortseqError : a trajectory leaves the finite numbers, no states, or a flow that does not map a torch
    tensor (d,) to one.
    """
    found = _follow(flow, states, n_steps, warm_up, seed)
    if found.stopped is not None:
        raise CortseqError(
            f"a trajectory left the finite numbers at step {found.stopped}",
            key="states",
            fix="a map that runs away has no exponents: start elsewhere or bound it",
        )
    return found.exponents


@dataclass(frozen=True)
class _Orbits:
    """Growth of tangent vectors along many orbits, and how far the orbits went.

    Attributes
    ----------
    growth : (2, n) ln |tangent vector|, nats, in either half of the run.
    farthest : (4, n) largest |component| of the states in every quarter of warm-up and run.
    stopped : the step at which one was not finite, or None.
    """

    growth: np.ndarray
    farthest: np.ndarray
    stopped: int | None
    n_steps: int

    @property
    def exponents(self) -> np.ndarray:
        """(n,) over the run, NaN where it was cut short."""
        return np.asarray(
            self.growth.sum(0) / self.n_steps if self.stopped is None else self.growth[0] * np.nan
        )

    @property
    def bounded(self) -> bool:
        """Whether every orbit is bounded.

        An orbit is not where it leaves the finite numbers, or grows by a quarter and more from each quarter
        of the run to the next.
        """
        grows = self.farthest[1:] / _GROWS > self.farthest[:-1]
        return self.stopped is None and not grows.all(0).any()


def _follow(flow: Step, states: Any, n_steps: int, warm_up: int, seed: int) -> _Orbits:
    """Follow one tangent vector along the orbit of every state.

    It has length 1 again after every step.
    """
    if n_steps < 2 or warm_up < 0:
        raise CortseqError("two steps or more, after a warm-up of 0 or more", value=(n_steps, warm_up))
    states = torch.atleast_2d(as_states(states))
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=states.shape))
    total = warm_up + n_steps
    growth = torch.zeros(2, len(states), dtype=torch.float64)
    farthest, stopped = torch.zeros(4, len(states), dtype=torch.float64), None
    with torch.no_grad():
        for t, (far, push) in zip(range(total), _pushes(flow, states)):
            vectors = push(vectors)
            size = vectors.norm(dim=1, keepdim=True)
            # a map such as relu(3 s) keeps tangent vectors finite on an orbit that is not
            if not (far + size.squeeze(1)).isfinite().all():
                stopped = t
                break
            vectors = torch.where(size > 0, vectors / size, 0.0)
            farthest[4 * t // total] = torch.maximum(farthest[4 * t // total], far)
            if t >= warm_up:
                growth[2 * (t - warm_up) // n_steps] += size.squeeze(1).log()
    return _Orbits(growth.numpy(), farthest.numpy(), stopped, n_steps)


def _pushes(flow: Step, states: torch.Tensor) -> Iterator[tuple[torch.Tensor, Push]]:
    """Yield for each step how far the states (n, d) are out, (n,), and its tangent map.

    The tangent map takes vectors (n, d) at the states before the step to their images (n, d).
    """
    n, d = states.shape
    push = _of_one(push_of(flow))
    together = push is None and d <= SMALL and map_of(flow) != "sampled"
    step, flow = batched(flow), checked(flow)
    while True:
        if together:  # Jacobians of many steps in one call: the calls are what costs
            path = [states]
            for _ in range(max(1, min(64, chunk_size(d) // n))):
                path.append(step(path[-1]))
            states, every = path.pop(), torch.cat(path)
            far = every.abs().amax(1).reshape(-1, n)
            for distances, jacobians in zip(
                far, jacobian_tensor(flow, every).reshape(-1, n, d, d), strict=True
            ):
                yield distances, partial(_applied, jacobians)
        else:
            moved: list[
                torch.Tensor
            ] = []  # the states that go with the images: one step, and one draw, for both
            yield states.abs().amax(1), partial(_pushed, push or partial(push_each, flow), states, moved)
            states = moved.pop()


def _of_one(push: Any) -> Any:
    """Return a tangent map of frames as one of single vectors (n, d)."""
    if push is None:
        return None

    def push_one(states: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        new, images = push(states, vectors.unsqueeze(-1))
        return new, images.squeeze(-1)

    return push_one


def _applied(jacobians: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return (jacobians @ vectors.unsqueeze(-1)).squeeze(-1)


def _pushed(push: Any, states: torch.Tensor, moved: list[Any], vectors: torch.Tensor) -> torch.Tensor:
    new, images = push(states, vectors)
    moved.append(new)
    return images


@dataclass(frozen=True, repr=False)
class ChaosVerdict(Drawn):
    """Whether a map is chaotic, with the exponents that say so.

    Attributes
    ----------
    chaotic : True, False, or None where the seeds do not agree or too little was looked at
    reason : why.
    exponents : (seed, start) largest, nats per step, NaN where an orbit left the finite numbers.
    low, high : 95 % interval of the mean over seeds.
    map : which map they are of, "own" for callables that are no `Flow`.
    """

    chaotic: bool | None
    reason: str
    exponents: np.ndarray
    low: float
    high: float
    map: str = "closed"


def chaos_verdict(
    flows: Sequence[Step], starts: ArrayLike, n_steps: int = 1000, warm_up: int = 500, seed: int = 0
) -> ChaosVerdict:
    """Judge whether the dynamics that several seeds share are chaotic.

    The seeds are members of a fit, or draws of a random network.

    Chaotic, all of: the closed loop, or a map of one's own; >= 5 seeds with >= 10 starts each; bounded
    orbits; the t interval of the largest exponent over seeds (each the mean of its starts) and every seed
    above ln(T) / T, T = `n_steps`; and in every seed the second half of the run grows by half as much as the
    first or more. A tangent vector of a map that is not chaotic may grow as t^p (shear between orbits that
    turn at different rates), which over a finite run is an exponent of p ln((warm_up + T) / warm_up) / T
    above 0: with a warm-up of T/4 or more the bound excludes p <= 3, with a shorter one the growth fades in
    the second half. Exponents below ln(T) / T need longer runs.

    Not chaotic: the same number of bounded orbits, with the interval and every seed below 0; an exponent of
    -inf counts as the lowest finite one of the seeds in the interval. Of three or four seeds this is said
    where the t interval of each seed over its own starts is below 0: of these seeds, not of others.

    No verdict: everything else. An orbit is not bounded where it leaves the finite numbers, or where in every
    quarter of warm-up and run its largest component exceeds that of the quarter before by a quarter and more:
    it grows all the time. A sampled map has no verdict: show `twin_divergence`.

    Parameters
    ----------
    flows : one per seed.
    starts : (start, d) for all, or (seed, start, d).

    Raises
    ------
    CortseqError : no flows, starts of another shape, or a flow that does not map a torch tensor (d,) to one.
    """
    starts = _starts(starts, len(flows))
    orbits = [_follow(flow, s, n_steps, warm_up, seed + i) for i, (flow, s) in enumerate(zip(flows, starts))]
    found = np.stack([o.exponents for o in orbits])
    low, high = _interval(found.mean(1))
    maps = sorted({map_of(flow) for flow in flows})
    verdict, reason = _judge(orbits, maps, low, high)
    return ChaosVerdict(verdict, reason, found, low, high, " and ".join(maps))


def _starts(starts: Any, n: int) -> np.ndarray:
    """Return (seed, start, d) of starts (start, d) or (seed, start, d)."""
    starts = np.asarray(starts, dtype=np.float64)
    if not n:
        raise CortseqError("there are no flows", key="flows", fix="give one per seed")
    if starts.ndim == 2:
        starts = np.broadcast_to(starts, (n, *starts.shape))
    if starts.ndim != 3 or len(starts) != n:
        raise CortseqError(
            f"starts are (start, d), or (seed, start, d) for {n} flows", key="starts", value=starts.shape
        )
    return np.asarray(starts)


def _judge(orbits: list[_Orbits], maps: list[str], low: float, high: float) -> tuple[bool | None, str]:
    """Return the verdict and its reason; see `chaos_verdict`."""
    means = np.array([o.exponents.mean() for o in orbits])
    first, second = np.array([o.growth.mean(1) for o in orbits]).T
    other = [name for name in maps if name not in ("closed", "own")]
    n_starts, n_steps = orbits[0].growth.shape[1], orbits[0].n_steps
    too_few = []
    if n_starts < FEWEST_STARTS:
        too_few.append(f"{n_starts} starts of at least {FEWEST_STARTS}")
    if len(orbits) < FEWEST_SEEDS:
        too_few.append(f"{len(orbits)} seeds of at least {FEWEST_SEEDS}")
    if other:
        return None, f"the {' and '.join(other)} map is not the closed loop"
    bounded = all(o.bounded for o in orbits)
    if too_few:
        calm = all(_interval(o.exponents)[1] < 0 for o in orbits)
        if bounded and calm and n_starts >= FEWEST_STARTS and len(orbits) >= _FEWEST_CALM:
            return False, f"the interval of each of {len(orbits)} seeds over its starts is below 0"
        return None, "too few: " + ", ".join(too_few)
    if not bounded:
        return None, "the orbit is not bounded: it leaves the finite numbers, or grows through the whole run"
    if high < 0 and means.max() < 0:
        return False, "the interval and every seed are below 0"
    if not (low > 0 and means.min() > 0):
        return None, "not identifiable: the interval holds 0 or members disagree"
    least = np.log(n_steps) / n_steps
    if min(low, means.min()) <= least:
        return None, f"not identifiable: above 0, but not above the {least:.2g} that {n_steps} steps can tell"
    if (second < _PERSISTS * first).any():
        return None, "not identifiable: growth fades in the second half of the run"
    return True, f"the interval and every seed are above {least:.2g}, in both halves of the run"


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Return 95 % t interval of the mean; -inf counts as the lowest finite value."""
    if len(values) < 2:
        return -np.inf, np.inf
    if np.isneginf(values).all():
        return -np.inf, -np.inf
    values = np.maximum(values, values[~np.isneginf(values)].min())
    half = half_width(values)
    return float(values.mean() - half), float(values.mean() + half)


@dataclass(frozen=True, repr=False)
class TwinDivergence(Drawn):
    """Distances of twin trajectories and the rate at which they part.

    Attributes
    ----------
    distances : (twin, time), before the first step and after each one
    slope : of the mean ln distance against time up to the first step where half of the twins are apart by
        `saturation`, nats per step (-inf: the twins met).
    """

    distances: np.ndarray
    slope: float


def twin_divergence(
    flow_of: Callable[[int], Step],
    states: Any,
    distance: float = 1e-6,
    n_steps: int = 100,
    saturation: float = 1e-2,
    seed: int = 0,
) -> TwinDivergence:
    """Measure how fast two runs with common noise part.

    For maps whose draws have no derivative.

    Both twins take step t with `flow_of(seed + t)`, so their random numbers begin alike at every step. For a
    deterministic map the slope is the largest Lyapunov exponent, while distances are small.

    Parameters
    ----------
    flow_of : seed -> flow, such as `lambda s: fit.flow(0, "sampled", seed=s)`; `lambda s: flow` for a map
        without noise.
    states : (n, d) starts, best on the attractor.
    distance : at the start.
    """
    states = torch.atleast_2d(as_states(states))
    moves = torch.from_numpy(np.random.default_rng(seed).normal(size=states.shape))
    twins = states + distance * moves / moves.norm(dim=1, keepdim=True)
    apart = [np.full(len(states), distance)]
    with torch.no_grad():
        for t in range(n_steps):
            # one by one: a batch would draw each row from another part of the stream, and round otherwise
            states, twins = (
                torch.stack([_moved(flow_of(seed + t), state) for state in group])
                for group in (states, twins)
            )
            apart.append((states - twins).norm(dim=1).numpy())
    distances = np.stack(apart, 1)
    return TwinDivergence(distances, _slope(distances, saturation))


def _moved(flow: Step, state: torch.Tensor) -> torch.Tensor:
    """Return the state (d,) after a step, by the recorded form of the flow where it has one."""
    many: Step | None = getattr(flow, "many", None)
    return flow(state) if many is None else many(state)


def _slope(distances: np.ndarray, saturation: float) -> float:
    reached = np.flatnonzero(np.median(distances, 0) >= saturation)
    end = reached[0] + 1 if len(reached) else distances.shape[1]
    if (distances[:, :end] == 0).any(1).mean() > 0.5:
        return float("-inf")
    with np.errstate(divide="ignore"):
        logs = np.log(distances[:, :end])
    logs = logs[np.isfinite(logs).all(1)].mean(0)
    return float(np.polyfit(np.arange(end), logs, 1)[0]) if end > 1 else float("nan")
