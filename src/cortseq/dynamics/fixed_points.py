"""Fixed points: states that a flow maps onto themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import notebook
from cortseq._lazy import blas, lapack, lazy
from cortseq.dynamics.jacobians import chunk_size, jacobian_tensor
from cortseq.errors import CortseqError
from cortseq.flow import Step, as_states, batched, checked, map_of

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
else:
    torch = lazy("torch")

_HALVINGS = 4
_STALLED = 0.98  # a step that leaves more than this of the speed is slow ...
_PATIENCE = 6  # ... and so many of them in a row end the search
_SETTLED = 1e-2
_COPIES = 4
_RETURNED = 0.1
_FAR = 1e3  # spread of the starts over 1 + the norm of a state, above which it is no scale of that state
_SHOWN = 12  # points in the table of a notebook


@dataclass(frozen=True, repr=False)
class FixedPoints:
    """Fixed points that a search found, sorted by norm, n >= 0, and slow points.

    Attributes
    ----------
    states : (n, d).
    speeds : (n,) |F(s) - s|.
    jacobians : (n, d, d).
    eigenvalues : (n, d) complex128, largest modulus first.
    stable : (n,) bool.
    distances : (n,) to the nearest visited state (start, where no others were given), in units of their
        rms spread.
    slow_states : (k, d) where the search ended at a minimum of the speed that is no fixed point.
    slow_speeds : (k,) speeds there.
    n_converged : starts from which the search itself reached a fixed point.
    n_starts : all starts.
    typical_speed : median speed at the starts.
    reached : (n_starts,) position of the point that the search from each start reached, -1 where none.
    settled : (n_starts,) position of the point that it reached from where the flow took the start, -1 where
        none.
    map : which map they are of, "own" for a callable that is no `Flow`.
    """

    states: np.ndarray
    speeds: np.ndarray
    jacobians: np.ndarray
    eigenvalues: np.ndarray
    stable: np.ndarray
    distances: np.ndarray
    slow_states: np.ndarray
    slow_speeds: np.ndarray
    n_converged: int
    n_starts: int
    typical_speed: float
    reached: np.ndarray
    settled: np.ndarray
    map: str = "closed"

    def __repr__(self) -> str:
        """Return how many there are, in a line."""
        found = ", ".join(f"{name} {value}" for name, value in self._facts().items())
        return f"FixedPoints of the {self.map} map: {found}"

    def _repr_html_(self) -> str:
        columns = ("norm", "stable", "largest |λ|", "distance to data", "speed")
        norms = np.linalg.norm(self.states, axis=1)
        moduli = np.abs(self.eigenvalues).max(1, initial=0.0)
        values = zip(norms, self.stable, moduli, self.distances, self.speeds, strict=True)
        lines = [(f"{a:.3g}", "yes" if b else "no", *(f"{x:.3g}" for x in rest)) for a, b, *rest in values]
        left = f"<p>{len(lines) - _SHOWN} more</p>" if len(lines) > _SHOWN else ""
        table = notebook.rows(columns, lines[:_SHOWN]) + left if lines else ""
        return notebook.facts(f"Fixed points of the {self.map} map", self._facts()) + table

    def _facts(self) -> dict[str, int | str]:
        stable = int(self.stable.sum())
        return {
            "stable": stable,
            "unstable": len(self.states) - stable,
            "slow": len(self.slow_states),
            "starts that converged": f"{self.n_converged} of {self.n_starts}",
        }

    def plot(self, visited: Any = None) -> Figure:
        """Draw the points in the plane of two principal components, and their eigenvalues.

        Parameters
        ----------
        visited : (..., d) states, such as `fit.states(recording)[0]`: they give the plane, and are drawn in
            grey; None: the plane of the points themselves.
        """
        import cortseq

        return cortseq.plot(self, visited)

    def saturation(self) -> np.ndarray:
        """Return expected number of distinct points that 1, 2, ... n_starts of the starts reach, (n_starts,).

        Rarefaction: sum_i 1 - C(n - n_i, m) / C(n, m), with n_i starts that lead to point i, by the search
        from them or from where the flow took them: with all starts these are all the points found. A curve
        that still rises at its end says that more starts would find more points. Hurlbert 1971, Ecology
        52:577.
        """
        from scipy.special import gammaln

        n, at = self.n_starts, np.arange(len(self.states))
        counts = ((self.reached[:, None] == at) | (self.settled[:, None] == at)).sum(0)
        m = np.arange(1, n + 1)[:, None]
        left = n - counts
        with np.errstate(invalid="ignore"):
            log_missed = gammaln(left + 1) - gammaln(left - m + 1) - gammaln(n + 1) + gammaln(n - m + 1)
        return np.asarray(np.where(m <= left, 1 - np.exp(log_missed), 1.0).sum(1))


def fixed_points(
    flow: Step,
    starts: Any,
    tolerance: float = 1e-9,
    max_steps: int = 100,
    distinct: float = 1e-4,
    max_settling: int = 200,
    perturbation: float = 1e-3,
    max_returns: int = 1000,
    seed: int = 0,
    visited: Any = None,
) -> FixedPoints:
    """Find roots of F(s) - s by Levenberg-Marquardt from all starts at once.

    Minimises q = 1/2 |F(s) - s|^2 with exact Jacobians and step halving, then polishes with Newton steps.
    The starts are also left to settle under the flow, so that no attractor they lead to is missed; where
    they do not come to rest, the mean of their second half is one more start: it lies inside the cycle.
    A point is stable when all eigenvalues lie inside the unit circle *and* copies moved by `perturbation`
    in random directions come back when simulated. Sussillo & Barak 2013, Neural Comput 25:626.

    Parameters
    ----------
    flow : torch float64 (d,) -> (d,).
    starts : (n, d), best drawn from visited states.
    tolerance : speed of a fixed point, `distinct` : least distance between two, `perturbation` : size of the
        test of stability; all three in units of the rms spread of the starts. Where that is larger than 1000
        times 1 + |s|, as of starts that run away, the speed is in units of the latter.
    max_steps, max_settling, max_returns : of the search, of the settling, of the test of stability.
    seed : of the perturbations.
    visited : (m, d) states that `distances` are measured to; None: `starts`.

    Raises
    ------
    CortseqError : a sampled flow, which has no fixed points, no starts, starts that are not finite, or a flow
    that does not map a torch tensor (d,) to one.
    """
    map = map_of(flow)
    if map == "sampled":
        raise CortseqError("a sampled map has no fixed points", key="map", fix='take the "closed" flow')
    starts = torch.atleast_2d(as_states(starts))
    spread = rms_spread(starts.numpy())
    step, flow = batched(flow), checked(flow)
    with torch.no_grad():
        typical = float((step(starts) - starts).norm(dim=1).median())
        goal = _settled(step, starts, max_settling, _SETTLED * spread)
        calm = goal.isfinite().all(1)
        every = torch.cat([starts, goal[calm]])
        found, ends = _search(flow, step, every, (tolerance, spread), distinct * spread, max_steps)
        slow = ~_is_at_rest(found, ends, tolerance, spread)
        points = found[~slow]
        points = points[_distinct(_apart(points, points), ends[~slow], distinct * spread)]
        points, speeds = _polish(flow, step, points)
        points = points[_distinct(_apart(points, points), speeds, distinct * spread)]
        points = points[_order(points.numpy(), distinct * spread)]
        speeds = (step(points) - points).norm(dim=1)
        jacobians = jacobian_tensor(flow, points)
        eigenvalues = sorted_eigenvalues(jacobians.numpy())
        inside = torch.from_numpy(np.abs(eigenvalues).max(1, initial=0) < 1)
        stable = inside.clone()
        stable[inside] = _returns(step, points[inside], perturbation * spread, max_returns, seed)
        states = starts if visited is None else torch.atleast_2d(as_states(visited))
        apart = _apart(points, states).amin(1) / rms_spread(states.numpy())
    at_point = _at(found, points, ~slow)
    reached, settled = at_point[: len(starts)], np.full(len(starts), -1)
    settled[calm.numpy()] = at_point[len(starts) :]
    slow &= ends.isfinite()
    kept = _distinct(_apart(found[slow], found[slow]), ends[slow], distinct * spread)
    return FixedPoints(
        points.numpy(),
        speeds.numpy(),
        jacobians.numpy(),
        eigenvalues,
        stable.numpy(),
        apart.numpy(),
        found[slow][kept].numpy(),
        ends[slow][kept].numpy(),
        int((reached >= 0).sum()),
        len(starts),
        typical,
        reached,
        settled,
        map,
    )


def _at(ends: torch.Tensor, points: torch.Tensor, converged: torch.Tensor) -> np.ndarray:
    """Return for each end of the search the position of its point, (n,), -1 where it has not converged.

    ends : (n, d). points : (k, d). converged : (n,) bool.
    """
    found = np.full(len(ends), -1)
    if converged.any():
        found[converged.numpy()] = _apart(ends[converged], points).argmin(1).numpy()
    return found


def rms_spread(states: np.ndarray) -> float:
    """Return root mean squared distance of states (n, d) to their mean; 1 where they do not spread."""
    spread = float(np.sqrt(((states - states.mean(0)) ** 2).sum(1).mean()))
    return spread if spread > 1e-12 * (1 + np.abs(states).max()) else 1.0


def sorted_eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """Return eigenvalues (n, d) complex128 of (n, d, d), largest modulus first."""
    values = np.linalg.eigvals(matrices).astype(np.complex128)
    order = np.lexsort((-values.imag, -values.real, -np.abs(values).round(12)), axis=-1)
    return np.take_along_axis(values, order, -1)


def _settled(step: Step, states: torch.Tensor, n_steps: int, slow: float) -> Any:
    """Return where the flow takes the states, (n, d); not finite where it runs away.

    The last state where the flow comes nearly to rest, else the mean of where it goes on.
    """
    total = torch.zeros_like(states)
    for i in range(n_steps):
        states = step(states)
        total += states * (i >= n_steps // 2)
    at_rest = (step(states) - states).norm(dim=1, keepdim=True) < slow
    return torch.where(at_rest, states, total / max(n_steps - n_steps // 2, 1))


def _is_at_rest(states: torch.Tensor, speeds: torch.Tensor, tolerance: float, spread: float) -> torch.Tensor:
    """Return whether states (n, d) with these speeds (n,) count as fixed points, (n,); see `fixed_points`."""
    return speeds <= tolerance * (_FAR * (1 + states.norm(dim=1))).clamp(max=spread)


def _search(
    flow: Step,
    step: Step,
    starts: torch.Tensor,
    rest: tuple[float, float],
    distance: float,
    max_steps: int,
) -> Any:
    """Return states (n, d) and speeds (n,) where the search from each start ends.

    `rest` : tolerance and spread of `_is_at_rest`, at which it ends. `distance` : of starts that have met.
    """
    states = starts.clone()
    speeds = (step(states) - states).norm(dim=1).nan_to_num(nan=torch.inf)
    damping = torch.full_like(speeds, 1e-2)
    stalled = torch.zeros(len(states), dtype=torch.int64)
    leader = torch.arange(len(states))
    for _ in range(max_steps):
        # starts that met go on as one: most end in few places, and Jacobians are what costs
        alive, place = leader.unique(return_inverse=True)
        apart = _apart(states[alive], states[alive])
        kept = _distinct(apart, speeds[alive], distance)
        leader, alive = alive[kept][apart[:, kept].argmin(1)][place], alive[kept]
        moves = ~_is_at_rest(states[alive], speeds[alive], *rest)
        active = alive[moves & (stalled[alive] < _PATIENCE)]
        if not len(active):
            break
        for part in active.split(chunk_size(states.shape[1])):
            new, speed, damping[part] = _descend(flow, step, states[part], damping[part])
            stalled[part] = torch.where(speed > _STALLED * speeds[part], stalled[part] + 1, 0)
            states[part], speeds[part] = new, speed
    return states[leader], speeds[leader]


def _descend(flow: Step, step: Step, states: torch.Tensor, damping: torch.Tensor) -> Any:
    """Take one damped step (A'A + mu) p = -A'r, r = F(s) - s, A = dF/ds - 1.

    Returns states (n, d), speeds (n,) and the next mu (n,).

    Of several mu (with none, about the last one) and of p, p/2, p/4 ... the best is taken: one Jacobian
    costs as much as dozens of evaluations of the flow.
    """
    n, d = states.shape
    a = jacobian_tensor(flow, states) - torch.eye(d, dtype=states.dtype)
    mus = torch.stack([torch.full_like(damping, 1e-14), damping / 10, damping, damping * 10])
    tried = [states]
    for move in torch.from_numpy(_moves(a.numpy(), (step(states) - states).numpy(), mus.numpy())):
        tried += [states - move * 0.5**i for i in range(_HALVINGS)]
    flat = torch.cat(tried)
    speeds = (step(flat) - flat).norm(dim=1).reshape(-1, n).nan_to_num(nan=torch.inf)
    best = speeds.argmin(0)
    every = torch.arange(n)
    chosen = mus[((best - 1) // _HALVINGS).clamp(1), every]
    damping = torch.where(best == 0, damping * 100, chosen).clamp(1e-12, 1e6)
    return torch.stack(tried)[best, every], speeds[best, every], damping


def _moves(a: np.ndarray, residuals: np.ndarray, mus: np.ndarray) -> np.ndarray:
    """Return p of (A'A + mu) p = A'r for each of several mu (mu, n), (mu, n, d).

    a (n, d, d), residuals (n, d). NaN where A'A + mu is singular.
    """
    moves = np.full((len(mus), *residuals.shape), np.nan)
    for i, (matrix, residual) in enumerate(zip(a, residuals, strict=True)):
        normal, slope = blas.dsyrk(1.0, matrix.T), matrix.T @ residual
        diagonal = np.einsum("ii->i", normal)  # a view
        undamped = diagonal.copy()
        for j, mu in enumerate(mus[:, i]):
            diagonal[:] = undamped + mu
            _, move, singular = lapack.dposv(normal, slope)
            if not singular:
                moves[j, i] = move
    return moves


def _polish(flow: Step, step: Step, points: torch.Tensor, n_steps: int = 3) -> Any:
    """Take Newton steps to rounding, each only where it helps; points and their speeds."""
    eye = torch.eye(points.shape[1], dtype=points.dtype)
    speeds = (step(points) - points).norm(dim=1)
    for _ in range(n_steps):
        direction, singular = torch.linalg.solve_ex(
            jacobian_tensor(flow, points) - eye, step(points) - points
        )
        new = points - direction
        speed = (step(new) - new).norm(dim=1)
        better = (singular == 0) & (speed < speeds)
        points, speeds = torch.where(better.unsqueeze(1), new, points), torch.where(better, speed, speeds)
    return points, speeds


def _apart(a: torch.Tensor, b: torch.Tensor) -> Any:
    """Return distances (n, m) of states (n, d) and (m, d).

    From differences: products lose what is far from the origin.
    """
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _distinct(apart: torch.Tensor, speeds: torch.Tensor, distance: float) -> list[int]:
    """Return positions of points further apart than `distance`, the slowest of each cluster.

    apart (n, n) : distances of the points; speeds (n,).
    """
    near = (apart <= distance).numpy()
    taken = np.zeros(len(near), bool)
    kept: list[int] = []
    for i in speeds.argsort(stable=True).tolist():
        if not taken[i]:
            kept.append(i)
            taken |= near[i]
    return kept


def _order(points: np.ndarray, grain: float) -> np.ndarray:
    """By norm, then by coordinates; rounded, so that the order is the same on every machine."""
    keys = np.column_stack([np.linalg.norm(points, axis=1), points])
    return np.lexsort((keys / grain).round().T[::-1])


def _returns(step: Step, points: torch.Tensor, size: float, max_steps: int, seed: int) -> Any:
    """Return whether all perturbed copies of each point come back to a tenth of their first distance.

    Copies that are still on their way at `max_steps` count as returned when they are nearer than at first.
    """
    n, d = points.shape
    generator = torch.Generator().manual_seed(seed)
    moves = torch.randn(_COPIES, n, d, dtype=points.dtype, generator=generator)
    homes = points.expand(_COPIES, n, d).reshape(-1, d)
    states = homes + (size * moves / moves.norm(dim=-1, keepdim=True)).reshape(-1, d)
    apart = torch.full((len(homes),), size, dtype=points.dtype)
    away = torch.arange(len(homes))
    for i in range(max_steps):
        if not len(away):
            break
        states = step(states)
        if i % 10 == 9 or i == max_steps - 1:
            apart[away] = (states - homes[away]).norm(dim=1)
            on = apart[away] > _RETURNED * size
            away, states = away[on], states[on]
    return (apart < size).reshape(_COPIES, n).all(0)
