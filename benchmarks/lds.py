"""The E-step of a linear dynamical system beside dynamax: latents of all bins given all bins, and log p(y).

Eight latents, 100 trials of 140 bins of 40 channels with independent noise, all without gaps. The M-steps are
not compared: dynamax estimates a full covariance of the channels, ours a diagonal one. dynamax is compiled
beforehand, in double precision as ours is. Ours works out covariances once, since they are the same in all
trials without gaps; dynamax does so in every trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.harness import Case, Peer, installed
from cortseq.data import Data, Params

N_LATENTS, N_TRIALS, N_TIME, N_CHANNELS = 8, 100, 140, 40
TOLERANCE = 1e-7  # relative; dynamax adds 1e-9 to the diagonals that it divides by


def cases() -> Iterator[Case]:
    yield case(*problem())


def case(p: Params, data: Data) -> Case:
    """One E-step."""
    peer = Peer("dynamax, compiled before", _dynamax(p, data.y), disagreement, TOLERANCE)
    return Case(
        f"E-step of {len(p['offset'])} latents, {data.y.shape[2]} channels", lambda: ours(p, data), [peer]
    )


def problem() -> tuple[Params, Data]:
    """A stable system, and standardised noise for data: the arithmetic does not depend on them."""
    rng = np.random.default_rng(0)
    transition = 0.95 * np.linalg.qr(rng.normal(size=(N_LATENTS, N_LATENTS)))[0]
    p = {
        "transition": transition,
        "offset": np.zeros(N_LATENTS),
        "drive": np.zeros((N_LATENTS, 0)),
        "noise": 0.1 * np.eye(N_LATENTS),
        "start_mean": np.zeros(N_LATENTS),
        "start_drive": np.zeros((N_LATENTS, 0)),
        "start_noise": np.eye(N_LATENTS),
        "loading": rng.normal(size=(N_CHANNELS, N_LATENTS)),
        "level": rng.normal(size=N_CHANNELS),
        "sd": rng.uniform(0.3, 1, N_CHANNELS),
    }
    y = rng.normal(size=(N_TRIALS, N_TIME, N_CHANNELS))
    return p, Data("signal", y, np.ones(y.shape[:2], bool), None, 0.02, N_CHANNELS)


def ours(p: Params, data: Data) -> tuple[float, np.ndarray]:
    """Return log p(y) of all trials and the means of their latents."""
    from cortseq.models.state_space.signals import Signals

    readout = Signals(1.0, skip=False)
    readout.common = {"centre": np.zeros(data.n_features), "scale": np.ones(data.n_features)}
    posterior = readout.posterior(p, data)
    return posterior.log_prob, posterior.belief.mean


def disagreement(ours: tuple[float, np.ndarray], theirs: tuple[float, np.ndarray]) -> float:
    """Relative difference of log-likelihoods, or that of the latents where it is larger."""
    means = np.abs(ours[1] - theirs[1]).max() / np.abs(ours[1]).max()
    return float(max(abs(ours[0] - theirs[0]) / abs(ours[0]), means))


def _dynamax(p: Params, y: np.ndarray) -> Callable[[], tuple[float, np.ndarray]] | None:
    if not installed("dynamax"):
        return None
    import jax
    import jax.numpy as jnp
    from dynamax.linear_gaussian_ssm import LinearGaussianSSM

    with jax.enable_x64(True):
        model = LinearGaussianSSM(len(p["offset"]), y.shape[2])
        given = {
            "initial_mean": p["start_mean"],
            "initial_covariance": p["start_noise"],
            "dynamics_weights": p["transition"],
            "dynamics_bias": p["offset"],
            "dynamics_covariance": p["noise"],
            "emission_weights": p["loading"],
            "emission_bias": p["level"],
            "emission_covariance": np.diag(p["sd"] ** 2),
        }
        arrays = {k: jnp.asarray(v) for k, v in given.items()}
        params, _ = model.initialize(jax.random.PRNGKey(0), **arrays)
        smooth = jax.jit(jax.vmap(model.smoother, in_axes=(None, 0)))
        emissions = jnp.asarray(y)

    def run() -> tuple[float, np.ndarray]:
        with jax.enable_x64(True):
            found = jax.block_until_ready(smooth(params, emissions))
            return float(found.marginal_loglik.sum()), np.asarray(found.smoothed_means)

    return run
