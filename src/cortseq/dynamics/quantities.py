"""The lines of the table of a dissection: quantities and how they are read from a product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cortseq._lazy import xr
from cortseq.dynamics.balance import typical_lag

NEAR = 1.0  # rms spreads of the visited states, up to which a fixed point is near them
SURPRISE_STEPS = 30  # bins for which what is left of a surprise is followed
PULSE_STEPS = 30  # bins for which the response to a pulse of an input is followed
MOST = 0.5  # share of the other members that have a fixed point, from which most members share it

Kind = Literal["size", "sign", "count"]


@dataclass(frozen=True)
class Quantity:
    """One line of the summary: a dynamical quantity and how it is read from a product.

    Attributes
    ----------
    name : as the table shows it.
    unit : "" for none; "time" and "bin" stand for the recording's own.
    map : what it is a number of: the closed, open or sampled map, or the weights.
    kind : what members must agree on: the size to 25 %, the sign, or the exact count.
    needs : variable of the product without which there is no line.
    values : function of the product, (member,) or (member, trial); None: the variable `needs` itself.
    left_out : whether the product holds `<needs>_left_out` (group, member), the same number with one group of
        trials left out each: where trials enter but are not averaged over.
    least, most : what a size or a count cannot be below or above: intervals end there.
    share_of : dimension of the product of which it is a share, such as "member"; "" for other numbers.
    norm : whether it is made of norms of a Jacobian, which other coordinates of the same state change.
    splits : a value on whose two sides a size means different things, such as 1 for a radius.
    nearest : whether it is of the fixed point nearest to the data: no size where that point is far from them.
    capped : whether `most` is as far as was looked: no size where a member reaches it.
    """

    name: str
    unit: str
    map: Literal["closed", "open", "sampled", "weights"]
    kind: Kind
    needs: str
    values: Callable[[xr.Dataset], np.ndarray] | None = None
    left_out: bool = False
    least: float = 0.0
    most: float = np.inf
    share_of: str = ""
    norm: bool = False
    splits: float = np.nan
    nearest: bool = False
    capped: bool = False

    @property
    def of_coordinates(self) -> bool:
        """Whether two networks of the same dynamics can have different numbers.

        A network with state S h in place of h and weights to match expects the same counts. Its eigenvalues
        and exponents are the same; its weights, and norms of its Jacobians, are not.
        """
        return self.norm or self.map == "weights"

    def read(self, found: xr.Dataset) -> np.ndarray:
        """Return the values (member,) or (member, trial) of a product."""
        values = found[self.needs].values if self.values is None else self.values(found)
        return np.asarray(values, dtype=np.float64)

    def without(self, found: xr.Dataset) -> np.ndarray | None:
        """Return the values (group, member) with groups of trials left out; None where there are none."""
        variable = f"{self.needs}_left_out"
        return found[variable].values if self.left_out and variable in found else None


def _slowest(found: xr.Dataset) -> np.ndarray:
    """Return time constant of the slowest decaying mode at the fixed point nearest to the data, s."""
    modulus = np.hypot(found["nearest_eigenvalues_real"].values, found["nearest_eigenvalues_imag"].values)
    modulus = np.where(modulus < 1, modulus, np.nan)
    known = np.isfinite(modulus).any(1)
    slowest = np.full(len(modulus), np.nan)
    slowest[known] = -found.attrs["bin_width"] / np.log(np.nanmax(modulus[known], 1))
    return slowest


def _horizon(found: xr.Dataset) -> np.ndarray:
    """Return lag at which gradients fall to 1/e, bins; that of the longest lag where they never do."""
    values = found["gradient_horizon"].values
    return np.where(np.isinf(values), float(found["lag"].values.max()), values)


def _near(found: xr.Dataset) -> np.ndarray:
    return np.asarray((found["distance"].values <= NEAR).sum(1))


QUANTITIES = (
    Quantity("fixed points", "", "closed", "count", "speed", lambda f: np.isfinite(f["speed"].values).sum(1)),
    Quantity("fixed points, all there are (rectified units)", "", "closed", "count", "every_point"),
    Quantity("fixed points under the mean input, all there are", "", "open", "count", "held_points"),
    Quantity("how many of them the search finds", "", "open", "count", "held_points_found"),
    Quantity("fixed points near the data", "", "closed", "count", "distance", _near),
    Quantity(
        "stable fixed points", "", "closed", "count", "stable", lambda f: (f["stable"].values == 1).sum(1)
    ),
    Quantity(
        "fixed points most members share",
        "",
        "closed",
        "count",
        "shared",
        lambda f: (f["shared"].values >= MOST).sum(1),
    ),
    Quantity(
        "line attractor (share of members)",
        "",
        "closed",
        "count",
        "line_attractor",
        most=1.0,
        share_of="member",
    ),
    Quantity("loops of the slow points near the data (b1)", "", "closed", "count", "slow_loops"),
    Quantity("loops of the visited states (b1)", "", "open", "count", "visited_loops"),
    Quantity(
        "spectral radius, nearest point", "", "closed", "size", "nearest_radius", splits=1.0, nearest=True
    ),
    Quantity(
        "slowest time constant, nearest point",
        "time",
        "closed",
        "size",
        "nearest_radius",
        _slowest,
        nearest=True,
    ),
    Quantity("departure from normality", "", "closed", "size", "henrici", norm=True, nearest=True),
    Quantity(
        "numerical abscissa of (J - 1)/dt",
        "1/time",
        "closed",
        "size",
        "numerical_abscissa",
        least=-np.inf,
        norm=True,
        nearest=True,
    ),
    Quantity("transient growth", "", "closed", "size", "transient_peak", norm=True, nearest=True),
    Quantity("largest Lyapunov exponent", "nats/bin", "closed", "sign", "leading_exponents"),
    Quantity("Kaplan-Yorke dimension (one start)", "", "closed", "size", "kaplan_yorke"),
    Quantity("entropy (one start)", "nats/bin", "closed", "size", "entropy"),
    Quantity(
        f"a surprise lasts (to 1/e; at most {SURPRISE_STEPS})",
        "bins",
        "closed",
        "size",
        "surprise_span",
        left_out=True,
        most=float(SURPRISE_STEPS),
        capped=True,
    ),
    Quantity("left of a surprise after 10 steps", "", "closed", "size", "surprise_left", left_out=True),
    Quantity("divergence of twins with common noise", "nats/bin", "sampled", "sign", "sampled_twin_slope"),
    Quantity("conditional exponent", "nats/bin", "open", "sign", "conditional_exponent"),
    Quantity(
        "echo state under the recorded input (share of members)",
        "",
        "open",
        "count",
        "echo_holds",
        most=1.0,
        share_of="member",
    ),
    Quantity(
        "stretch of a step (< 1: echo state under any input; else open)",
        "",
        "open",
        "size",
        "echo_stretch",
        norm=True,
        splits=1.0,
    ),
    Quantity(
        "radius of the weights (> 1: no echo state without input and bias; else open)",
        "",
        "weights",
        "size",
        "echo_radius",
        splits=1.0,
    ),
    Quantity(
        "response to a pulse of the input that moves most",
        "rms spreads",
        "open",
        "size",
        "pulse_gain",
        left_out=True,
    ),
    Quantity(
        f"a pulse of that input lasts (to 1/e; at most {PULSE_STEPS})",
        "bins",
        "open",
        "size",
        "pulse_span",
        left_out=True,
        most=float(PULSE_STEPS),
        capped=True,
    ),
    Quantity("memory capacity", "bins", "open", "size", "memory_capacity"),
    Quantity("gradient horizon (at most the trial)", "bins", "open", "size", "gradient_horizon", _horizon),
    Quantity(
        "trials whose gradient vanishes",
        "share",
        "open",
        "size",
        "vanishing",
        most=1.0,
        share_of="driven_trial",
    ),
    Quantity(
        "trials whose gradient explodes",
        "share",
        "open",
        "size",
        "exploding",
        most=1.0,
        share_of="driven_trial",
    ),
    Quantity("participation ratio", "", "open", "size", "participation_ratio", left_out=True),
    Quantity(
        "balance index",
        "",
        "open",
        "size",
        "balance_index",
        lambda f: mean_of_known(f["balance_index"].values, 1),
        left_out=True,
        most=1.0,
    ),
    Quantity(
        "tracking lag (where half of the units have one)",
        "bins",
        "open",
        "size",
        "tracking_lag",
        lambda f: np.array([typical_lag(row) for row in f["tracking_lag"].values]),
        left_out=True,
        least=-np.inf,
    ),
    Quantity(
        "weight outliers",
        "",
        "weights",
        "count",
        "outlier_p",
        lambda f: (f["outlier_p"].values < 0.05).sum(1),
    ),
    Quantity("gain of the weights", "", "weights", "size", "gain"),
    Quantity("exponent of tanh(W h), fitted W", "nats/step", "weights", "sign", "weights_exponent"),
    Quantity(
        "the same, W shuffled",
        "nats/step",
        "weights",
        "sign",
        "shuffled_exponent",
        lambda f: f["shuffled_exponent"].values.mean(1),
    ),
    Quantity("the same, mean-field theory", "nats/step", "weights", "sign", "mean_field_exponent"),
    Quantity(
        "states told by another member (R²)",
        "",
        "open",
        "size",
        "states_r2",
        lambda f: mean_of_known(f["states_r2"].values, 1),
        left_out=True,
        least=-np.inf,
        most=1.0,
    ),
    Quantity(
        "delay operator's angle to the recording's", "rulers", "sampled", "size", "operator_to_recording"
    ),
    Quantity(
        "the same, to another member's",
        "rulers",
        "sampled",
        "size",
        "operator_to_members",
        lambda f: mean_of_known(f["operator_to_members"].values, 1),
    ),
    Quantity(
        "signs of matched units of another member (kappa)",
        "",
        "open",
        "size",
        "sign_agreement",
        lambda f: mean_of_known(f["sign_agreement"].values, 1),
        least=-np.inf,
        most=1.0,
    ),
)


def mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean over one axis of the values (member, trial) that are not NaN; NaN where none is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis) / known.sum(axis))
