"""When a map may be called chaotic, and how far apart two runs of a sampled map get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import lazy
from cortseq.dynamics.flow import Step, as_states, batched
from cortseq.dynamics.jacobians import SMALL, chunk_size, jacobian_tensor, push_each
from cortseq.errors import CortseqError

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

FEWEST_STARTS = 10
FEWEST_SEEDS = 5


def leading_exponents(
    flow: Step, states, n_steps: int = 1000, warm_up: int = 500, seed: int = 0
) -> np.ndarray:
    """The largest Lyapunov exponent from each of many states at once, nats per step, (n,).

    Parameters
    ----------
    flow : torch float64 (d,) -> (d,). states : (n, d). seed : of the tangent vectors.
    """
    states = torch.atleast_2d(as_states(states))
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=states.shape))
    total = torch.zeros(len(states), dtype=torch.float64)
    with torch.no_grad():
        for t, push in zip(range(warm_up + n_steps), _pushes(flow, states)):
            vectors = push(vectors)
            size = vectors.norm(dim=1, keepdim=True)
            if not size.isfinite().all():
                raise CortseqError(f"a trajectory left the finite numbers at step {t}")
            vectors = torch.where(size > 0, vectors / size, 0.0)
            if t >= warm_up:
                total += size.squeeze(1).log()
    return (total / n_steps).numpy()


def _pushes(flow: Step, states: torch.Tensor) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """For each step what it does to tangent vectors (n, d), one per state."""
    n, d = states.shape
    step = batched(flow)
    together = d <= SMALL and getattr(flow, "map", "") != "sampled"
    while True:
        if together:  # Jacobians of many steps in one call: the calls are what costs
            path = [states]
            for _ in range(max(1, min(64, chunk_size(d) // n))):
                path.append(step(path[-1]))
            states = path.pop()
            for jacobians in jacobian_tensor(flow, torch.cat(path)).reshape(-1, n, d, d):
                yield partial(_applied, jacobians)
        else:
            yield partial(_pushed, flow, states)
            states = step(states)


def _applied(jacobians: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return (jacobians @ vectors.unsqueeze(-1)).squeeze(-1)


def _pushed(flow: Step, states: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return push_each(flow, states, vectors)[1]


@dataclass(frozen=True)
class ChaosVerdict:
    """chaotic : True, False, or None where the seeds do not agree or too little was looked at; reason : why.

    exponents (seed, start): largest, nats per step. low, high : 95 % interval of the mean over seeds.
    """

    chaotic: bool | None
    reason: str
    exponents: np.ndarray
    low: float
    high: float


def chaos_verdict(
    flows: Sequence[Step], starts, n_steps: int = 1000, warm_up: int = 500, seed: int = 0
) -> ChaosVerdict:
    """Whether the dynamics that several seeds (members of a fit, draws of a random network) share are chaotic.

    Chaotic: closed loop, >= 5 seeds with >= 10 starts each, the t interval of the largest exponent over seeds
    (each the mean of its starts) above 0, and no seed at or below 0. Not chaotic: the same with the interval
    below 0. Everything else is no verdict. A sampled map has none: show `twin_divergence`.

    Parameters
    ----------
    flows : one per seed. starts : (start, d) for all, or (seed, start, d).
    """
    starts = np.asarray(starts, dtype=np.float64)
    starts = np.broadcast_to(starts, (len(flows), *starts.shape[-2:]))
    found = np.stack(
        [
            leading_exponents(flow, s, n_steps, warm_up, seed + i)
            for i, (flow, s) in enumerate(zip(flows, starts, strict=True))
        ]
    )
    means = found.mean(1)
    low, high = _interval(means)
    open_maps = {name for name in (getattr(flow, "map", "closed") for flow in flows) if name != "closed"}
    too_few = []
    if found.shape[1] < FEWEST_STARTS:
        too_few.append(f"{found.shape[1]} starts of at least {FEWEST_STARTS}")
    if len(flows) < FEWEST_SEEDS:
        too_few.append(f"{len(flows)} seeds of at least {FEWEST_SEEDS}")
    if open_maps:
        verdict, reason = None, f"the {' and '.join(sorted(open_maps))} map is not the closed loop"
    elif too_few:
        verdict, reason = None, "too few: " + ", ".join(too_few)
    elif low > 0 and means.min() > 0:
        verdict, reason = True, "the interval and every seed are above 0"
    elif high < 0 and means.max() < 0:
        verdict, reason = False, "the interval and every seed are below 0"
    else:
        verdict, reason = None, "not identifiable: the interval holds 0 or seeds disagree"
    return ChaosVerdict(verdict, reason, found, low, high)


def _interval(values: np.ndarray) -> tuple[float, float]:
    from scipy.stats import t

    if len(values) < 2:
        return -np.inf, np.inf
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


@dataclass(frozen=True)
class TwinDivergence:
    """distances (twin, time), before the first step and after each one; slope : of the mean ln distance
    against time up to the first step where half of the twins are apart by `saturation`, nats per step (-inf:
    the twins met).
    """

    distances: np.ndarray
    slope: float


def twin_divergence(
    flow_of: Callable[[int], Step],
    states,
    distance: float = 1e-6,
    n_steps: int = 100,
    saturation: float = 1e-2,
    seed: int = 0,
) -> TwinDivergence:
    """How fast two runs with common noise part, of a map whose draws have no derivative.

    Both twins take step t with `flow_of(seed + t)`, so their random numbers begin alike at every step. For a
    deterministic map the slope is the largest Lyapunov exponent, while distances are small.

    Parameters
    ----------
    flow_of : seed -> flow, such as `lambda s: fit.flow(0, "sampled", seed=s)`; `lambda s: flow` for a map
    without noise. states : (n, d) starts, best on the attractor. distance : at the start.
    """
    states = torch.atleast_2d(as_states(states))
    moves = torch.from_numpy(np.random.default_rng(seed).normal(size=states.shape))
    twins = states + distance * moves / moves.norm(dim=1, keepdim=True)
    apart = [np.full(len(states), distance)]
    with torch.no_grad():
        for t in range(n_steps):
            # one by one: a batch would draw each row from another part of the stream
            states, twins = (
                torch.stack([flow_of(seed + t)(state) for state in group]) for group in (states, twins)
            )
            apart.append((states - twins).norm(dim=1).numpy())
    distances = np.stack(apart, 1)
    return TwinDivergence(distances, _slope(distances, saturation))


def _slope(distances: np.ndarray, saturation: float) -> float:
    reached = np.flatnonzero(np.median(distances, 0) >= saturation)
    end = reached[0] + 1 if len(reached) else distances.shape[1]
    if (distances[:, :end] == 0).any(1).mean() > 0.5:
        return float("-inf")
    with np.errstate(divide="ignore"):
        logs = np.log(distances[:, :end])
    logs = logs[np.isfinite(logs).all(1)].mean(0)
    return float(np.polyfit(np.arange(end), logs, 1)[0]) if end > 1 else float("nan")
