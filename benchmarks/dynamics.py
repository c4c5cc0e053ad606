"""Fixed points beside the minimisation of q by Adam, and a full Lyapunov spectrum beside JAX with QR at every step.

The peers are written here from their papers: q = 1/2 |F(s) - s|^2 minimised by Adam from all starts at once as
FixedPointFinder does it (Golub & Sussillo 2018, J Open Source Softw 3:1003), and Benettin's method as a scan of
exact Jacobians and QR factorisations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.harness import Case, Peer, installed, target

HIDDEN, STARTS, ITERATIONS = 128, 256, 3000
N, STEPS, WARM_UP = 200, 2000, 200
_SAME_POINT = 1e-2  # rms distance between a converged state of Adam's and the nearest of ours
_SAME_SPECTRUM = (
    0.01  # nats a step, mean over exponents: orbits of a chaotic map part by rounding, averages stay
)


def cases() -> Iterator[Case]:
    yield fixed_points()
    yield lyapunov(0.1, target(2.5))
    yield lyapunov(1.0, target(1.0))
    yield lyapunov_of_fit(0.1)


def fixed_points() -> Case:
    """h' = tanh(W h), a random part and three patterns that attract: stable points and saddles."""
    import torch

    from cortseq import dynamics

    rng = np.random.default_rng(0)
    patterns = rng.choice([-1.0, 1.0], (3, HIDDEN))
    w = 0.5 * rng.normal(size=(HIDDEN, HIDDEN)) / np.sqrt(HIDDEN) + 1.5 * patterns.T @ patterns / HIDDEN
    weights, starts = torch.from_numpy(w), rng.normal(0, 0.7, (STARTS, HIDDEN))

    def ours():
        return dynamics.fixed_points(lambda h: torch.tanh(h @ weights.T), starts, max_settling=0).states

    def adam():
        states = torch.from_numpy(starts).requires_grad_()
        optimiser = torch.optim.Adam([states], lr=0.05)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 1e-3 ** (1 / ITERATIONS))
        for _ in range(ITERATIONS):
            optimiser.zero_grad()
            q = 0.5 * (torch.tanh(states @ weights.T) - states).square().sum(1)
            q.sum().backward()
            optimiser.step()
            schedule.step()
        return states[q < 1e-12].detach().numpy()

    peer = Peer("q-minimisation, Adam", adam, _unmatched, 0.0, target(5.0))
    return Case(f"fixed points, {STARTS} starts, H={HIDDEN}", ours, [peer])


def _unmatched(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of Adam's converged states that are none of ours; 1 where none converged."""
    if not len(theirs):
        return 1.0
    apart = np.sqrt(((theirs[:, None] - ours) ** 2).mean(-1)).min(1)
    return float((apart > _SAME_POINT).mean())


def lyapunov(leak: float, wanted: float | None) -> Case:
    """h' = (1 - a) h + a J tanh(h), J ~ N(0, 2^2 / N), all exponents; a = 0.1 is Euler's step of the rate equation,
    a = 1 a map whose exponents lie so far apart that frames must be renewed at every other step."""
    import torch

    from cortseq import dynamics

    rng = np.random.default_rng(1)
    w, start = 2.0 * rng.normal(size=(N, N)) / np.sqrt(N), rng.normal(size=N)
    weights = torch.from_numpy(leak * w)

    def push(h, vectors):
        rate = torch.tanh(h)
        image = torch.addmm(vectors, weights, (1 - rate**2)[:, None] * vectors, beta=1 - leak)
        return (1 - leak) * h + weights @ rate, image

    flow = dynamics.Flow(lambda h: (1 - leak) * h + weights @ torch.tanh(h), N, push=push)

    def ours():
        return dynamics.lyapunov_spectrum(flow, start, None, STEPS, WARM_UP).exponents

    peer = Peer("JAX, QR at every step", _jax(leak, w, start), _mean_difference, _SAME_SPECTRUM, wanted)
    return Case(f"Lyapunov spectrum, N={N}, a={leak:g}, {STEPS} steps", ours, [peer])


def lyapunov_of_fit(leak: float) -> Case:
    """h' = (1 - a) h + a tanh(J h), as the open loop of a rate network, with the tangent that every fit brings."""
    from cortseq import dynamics, models
    from cortseq import recording as rec
    from cortseq.networks.untrained import untrained

    rng = np.random.default_rng(1)
    w, start = 2.0 * rng.normal(size=(N, N)) / np.sqrt(N), rng.normal(size=N)
    nothing = rec.from_counts(np.zeros((1, 2, 1), int), bin_width=0.02)
    fit = untrained(models.Rate(hidden=N, leak=leak), nothing, recurrent=w, bias=0.0)

    def ours():
        return dynamics.lyapunov_spectrum(fit.flow(0, "open"), start, None, STEPS, WARM_UP).exponents

    jax = _jax(leak, w, start, currents=True)
    peer = Peer("JAX, QR at every step", jax, _mean_difference, _SAME_SPECTRUM, None)
    return Case(f"Lyapunov spectrum of a fit, N={N}, a={leak:g}, {STEPS} steps", ours, [peer])


def _mean_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).mean())


def _jax(leak: float, w: np.ndarray, start: np.ndarray, currents: bool = False):
    """The map with tanh inside the sum over units, or outside (`currents`)."""
    if not installed("jax"):
        return None
    import jax
    import jax.numpy as jnp

    def moved(weights, h, frame):
        if currents:
            rate = jnp.tanh(weights @ h)
            return leak * rate, leak * (1 - rate**2)[:, None] * (weights @ frame)
        rate = jnp.tanh(h)
        return leak * weights @ rate, leak * weights @ ((1 - rate**2)[:, None] * frame)

    def orbit(weights, h, frame):
        def step(carry, _):
            h, frame = carry
            target, image = moved(weights, h, frame)
            frame, r = jnp.linalg.qr((1 - leak) * frame + image)
            return ((1 - leak) * h + target, frame), jnp.log(jnp.abs(jnp.diagonal(r)))

        return jax.lax.scan(step, (h, frame), None, length=WARM_UP + STEPS)[1]

    def run():
        with jax.enable_x64(True):
            frame = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)))[0]
            logs = compiled(*(jnp.asarray(a) for a in (w, start, frame)))
            return np.sort(np.asarray(logs)[WARM_UP:].mean(0))[::-1]

    compiled = jax.jit(orbit)
    return run
