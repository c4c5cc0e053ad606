"""Whether a driven network forgets where it started: the echo-state property."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import lazy, xr
from cortseq.dynamics.driven import DrivenStep, driven
from cortseq.dynamics.jacobians import push_each
from cortseq.errors import CortseqError
from cortseq.flow import as_states, checked
from cortseq.matrices import spectral_radius, square
from cortseq.notebook import Drawn, Shown

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_MET = 1e-9  # of the starts' own distance: nothing but rounding keeps two states apart
_FEWEST_STEPS = 20


@dataclass(frozen=True, repr=False)
class EchoState(Drawn):
    """Result of `echo_state_test`.

    Attributes
    ----------
    holds : bool.
    slope : conditional Lyapunov exponent, nats per step.
    distance : the largest between any two states at the end.
    distances : (time,) the same before the first input and after each one.
    """

    holds: bool
    slope: float
    distance: float
    distances: np.ndarray


def echo_state_test(flow_with_input: DrivenStep, inputs: Any, starts: Any, seed: int = 0) -> EchoState:
    """Test whether all starts end on one trajectory under this input.

    The slope is the growth rate of small differences along the driven trajectories, over the second half of
    the input, mean over starts. It is local: with two attractors it is negative and the property fails. So it
    `holds` when the slope is below -ln(T)/T for T inputs, the rate at which T steps shrink a difference to
    1/T, *and* the states have met (to 1e-9 of where they began), or are still meeting, at half the rate of
    the slope or faster. A rotation never holds; a contraction slower than that rate needs a longer input to
    be told from one. Jaeger 2001, GMD report 148; Wainrib & Galtier 2016, Neural Netw 76:39.

    Parameters
    ----------
    flow_with_input : torch float64 (d,), (m,) -> (d,).
    inputs : (time, m), at least 20.
    starts : (n, d), n >= 2; 20 and more say something.
    seed : of the tangent vectors.

    Raises
    ------
    CortseqError : fewer inputs or starts, equal starts, or a trajectory that leaves the finite numbers.
    """

    def push(states: Any, inputs: Any, vectors: Any) -> Any:
        return push_each(checked(partial(_given, flow_with_input, inputs[0])), states, vectors)

    return _test(push, inputs, starts, seed)


def _test(push: Callable[..., Any], inputs: Any, starts: Any, seed: int) -> EchoState:
    """Run the test with what a step does to states and tangent vectors.

    All under one input (n, m).
    """
    inputs, states = as_states(inputs), as_states(starts)
    if inputs.ndim != 2 or len(inputs) < _FEWEST_STEPS:
        raise CortseqError(
            f"inputs are (time, m), at least {_FEWEST_STEPS}",
            key="inputs",
            value=tuple(inputs.shape),
            fix="join trials, or take a longer one: few steps do not show whether states meet",
        )
    if states.ndim != 2 or len(states) < 2 or not _widest(states):
        raise CortseqError(
            "starts are (n, d), at least two different ones",
            key="starts",
            value=tuple(states.shape),
            fix="draw them from the range of each unit: starts that are the same meet without proof",
        )
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=states.shape))
    distances, growth = [_widest(states)], []
    with torch.no_grad():
        for t, x in enumerate(inputs):
            states, vectors = push(states, x.expand(len(states), -1), vectors)
            if not states.isfinite().all():
                raise CortseqError(
                    f"a trajectory left the finite numbers at step {t}",
                    key="starts",
                    fix="start nearer to the origin",
                )
            size = vectors.norm(dim=1, keepdim=True)
            vectors = torch.where(size > 0, vectors / size, 0.0)
            growth.append(size.squeeze(1).log().numpy())
            distances.append(_widest(states))
    half = len(inputs) // 2
    slope = float(np.mean(growth[half:]))
    apart = np.array(distances)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.log(apart[-1] / apart[half]) / (len(inputs) - half)
    meets = bool(apart[-1] <= _MET * apart[0] or rate <= slope / 2)
    forgets = slope < -np.log(len(inputs)) / len(inputs)
    return EchoState(bool(forgets and meets), slope, float(apart[-1]), apart)


def echo_state_of_fit(
    fit: Any,
    recording: xr.Dataset,
    member: int = 0,
    trials: ArrayLike | None = None,
    n_starts: int = 20,
    seed: int = 0,
) -> EchoState:
    """Return `echo_state_test` of one member on its recorded input, trials one after another.

    Starts are visited states in which every component is drawn on its own: inside the range of each, and
    further apart than the states themselves. `trials` are positions (trial,), None: all.
    """
    open_loop = driven(fit, recording, member, trials)
    visited = torch.cat([s[: n + 1] for s, n in zip(open_loop.states, open_loop.last, strict=True)]).numpy()
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(visited), size=(n_starts, visited.shape[1]))
    starts = np.take_along_axis(visited, rows, 0)
    return _test(open_loop.push, open_loop.stream.numpy(), starts, seed)


@dataclass(frozen=True, repr=False)
class EchoStateBounds(Shown):
    """Norm and radius of reservoir weights, and what they decide of the echo state.

    Attributes
    ----------
    sigma_max : largest singular value of W.
    radius : of (1 - a) 1 + a W.
    sufficient : sigma_max max|phi'| < 1: every input is forgotten.
    necessary : radius < 1, without which the zero input of an unbiased network (phi(0) = 0, phi'(0) = 1) is
        not forgotten.
    """

    sigma_max: float
    radius: float
    sufficient: bool
    necessary: bool


def echo_state_bounds(weights: ArrayLike, leak: float = 1.0, slope: float = 1.0) -> EchoStateBounds:
    """Bound the echo state of h' = (1 - a) h + a phi(W h + U x) from its weights W (hidden, hidden).

    a = leak, |phi'| <= slope.

    For a linear reservoir `necessary` decides. For tanh the truth lies between, and depends on the input:
    radius < 1 does not make it hold, and drive restores it where radius > 1. Jaeger 2001; Yildiz, Jaeger &
    Kiebel 2012, Neural Netw 35:1.
    """
    w = square(weights)
    sigma = float(np.linalg.norm(w, 2))
    radius = spectral_radius((1 - leak) * np.eye(len(w)) + leak * w)
    return EchoStateBounds(sigma, radius, slope * sigma < 1, radius < 1)


def _given(flow_with_input: DrivenStep, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    return flow_with_input(state, x)


def _widest(states: torch.Tensor) -> float:
    return float(torch.cdist(states, states, compute_mode="donot_use_mm_for_euclid_dist").max())
