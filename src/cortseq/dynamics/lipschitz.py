"""The bound on how fast a rate network's state can move, checked on data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import xr
from cortseq.dynamics.driven import driven
from cortseq.errors import CortseqError
from cortseq.notebook import Shown

_ROUNDING = 1e-12


@dataclass(frozen=True, repr=False)
class LipschitzBound(Shown):
    """Lipschitz constants of each member and how its steps compare with the bound.

    Attributes
    ----------
    by_state, by_input : (member,) the two constants.
    ratio : (member,) largest |dh| over its bound.
    violations, steps : (member,) how many steps exceed the bound, of how many.
    """

    by_state: np.ndarray
    by_input: np.ndarray
    ratio: np.ndarray
    violations: np.ndarray
    steps: np.ndarray


def lipschitz_bound(fit: Any, recording: xr.Dataset, trials: ArrayLike | None = None) -> LipschitzBound:
    """Check the Lipschitz bound of a rate network on the recorded input.

    |h_{t+1} - h_t| <= ((1 - a) + a L |W|) |h_t - h_{t-1}| + a L |U| |x_t - x_{t-1}|

    in all bins of `trials`, positions (trial,), None: all. L is the largest slope of the nonlinearity, 1 for
    tanh and ReLU. With a leak per unit (1 - a) is its largest value, a |W| and a |U| are |diag(a) W| and
    |diag(a) U|. Zero violations are expected: this is a theorem about the update rule.

    Raises
    ------
    CortseqError : a family with gates or plastic synapses, whose bound is another one.
    """
    if not bounded(fit):
        raise CortseqError(
            f"no such bound for a {fit.model.family} model",
            fix="give the fit of a leaky network without gates and plastic synapses, such as rate",
        )
    rows = [_member(fit, recording, trials, member) for member in range(fit.card["members"])]
    return LipschitzBound(*(np.array(column) for column in zip(*rows, strict=True)))


def bounded(fit: Any) -> bool:
    """Return whether the fit is of a leaky network, whose Lipschitz constants follow from its weights."""
    return fit.model.role == "recurrent" and fit.model.lipschitz is not None


def constants(fit: Any, member: int = 0) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Return the two Lipschitz constants, the leak and the weights of one member.

    (by_state, by_input, leak a (hidden,), W (hidden, hidden)), for families that have such a bound.
    """
    one = fit.member(member)
    q, slope = one.q, one.cell.lipschitz
    w, a = q["recurrent"].numpy(), np.broadcast_to(q["leak"].numpy().ravel(), len(q["bias"]))
    by_state = (1 - a).max() + slope * np.linalg.norm(a[:, None] * w, 2)
    by_input = slope * np.linalg.norm(a[:, None] * q["input_weight"].numpy(), 2)
    return float(by_state), float(by_input), a, w


def _member(fit: Any, recording: xr.Dataset, trials: Any, member: int) -> tuple[Any, ...]:
    loop = driven(fit, recording, member, trials)
    by_state, by_input, _, _ = constants(fit, member)
    moved = (loop.states[:, 1:] - loop.states[:, :-1]).norm(dim=-1).numpy()
    changed = (loop.inputs[:, 1:-1] - loop.inputs[:, :-2]).norm(dim=-1).numpy()
    within = np.arange(2, loop.states.shape[1]) <= loop.last[:, None]
    after = moved[:, 1:][within]
    bound = (by_state * moved[:, :-1] + by_input * changed)[within]
    ratio = np.divide(after, bound, out=np.zeros_like(after), where=bound > 0)
    violations = int((after > bound * (1 + _ROUNDING) + _ROUNDING).sum())
    return by_state, by_input, ratio.max(initial=0.0), violations, len(after)
